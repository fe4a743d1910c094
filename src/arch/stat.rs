//! What the calls of the stat family, statx apart, write to user space: where each field of `struct
//! stat` lies for each ABI and call, and what becomes of values there. Pure.
//!
//! After the kernel's own functions: `cp_old_stat`, `cp_new_stat`, `cp_new_stat64` and
//! `cp_compat_stat` (fs/stat.c) and the `cp_stat64` of arch/x86/kernel/sys_ia32.c and
//! arch/s390/kernel/compat_linux.c. `tests/it/stat_layouts.rs` compares with the kernel's headers,
//! and with what this machine's kernel writes.
//!
//! Traps: before Linux 5.18 a file with a large device number made `stat` fail on i386 and arm
//! (EOVERFLOW); here, as since then, it does not. `oldstat` cuts sizes off, as 64-bit kernels do,
//! which is what executes it today; a 32-bit kernel has EOVERFLOW. 31-bit s390 has no nanoseconds
//! in its `stat64`, whatever its header says. x32 and n32 have the struct of the 64-bit ABI, and so
//! has mipsel's `stat64`. 64-bit mips has times of 32 bits.

use std::ops::Deref;

use super::abi::{Abi, Endian};
use super::table::Sysno;

/// A moment, since the beginning of 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// Negative before that.
    pub seconds: i64,
    /// Later than `seconds`, also before 1970.
    pub nanoseconds: u32,
}

/// What stat(2) says of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts {
    /// The device that the file lies on, major and minor number: 12 and 20 bits.
    pub dev: (u32, u32),
    /// Its number there.
    pub ino: u64,
    /// Type and permissions.
    pub mode: u32,
    /// How many names it has.
    pub nlink: u32,
    /// Who owns it.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Which device it is, if it is one.
    pub rdev: (u32, u32),
    /// Bytes.
    pub size: u64,
    /// How many bytes are best read at once.
    pub blksize: u32,
    /// How many times 512 bytes it takes.
    pub blocks: u64,
    /// When it was last read.
    pub accessed: Moment,
    /// When its contents were last changed.
    pub modified: Moment,
    /// When anything of it was last changed.
    pub changed: Moment,
}

/// A field of a struct, as the kernel names them.
#[allow(missing_docs, non_camel_case_types)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    st_dev,
    st_ino,
    /// The inode's number where a `stat64` had too little room for it: what fits.
    __st_ino,
    st_mode,
    st_nlink,
    st_uid,
    st_gid,
    st_rdev,
    st_size,
    st_blksize,
    st_blocks,
    st_atime,
    st_atime_nsec,
    st_mtime,
    st_mtime_nsec,
    st_ctime,
    st_ctime_nsec,
}

/// Where a field lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Which.
    pub field: Field,
    /// Its first byte.
    pub offset: u8,
    /// How many bytes it has: 2, 4 or 8.
    pub width: u8,
}

/// A struct. What is no field in it is padding.
#[derive(PartialEq, Eq, Debug)]
pub struct Layout {
    /// Its tag in the kernel's headers.
    pub tag: &'static str,
    /// How many bytes it has.
    pub size: u8,
    /// Its fields, in their order.
    pub places: &'static [Place],
}

/// The bytes of the largest struct.
const MOST: usize = 144;

/// The tag of the oldest struct, in which more is cut off than in others.
const OLD: &str = "__old_kernel_stat";

/// `layout!("TAG" SIZE: FIELD OFFSET WIDTH, ...)`.
macro_rules! layout {
    ($tag:tt $size:literal: $($field:ident $offset:literal $width:literal),+ $(,)?) => {
        &Layout {
            tag: $tag,
            size: $size,
            places: &[$(Place { field: Field::$field, offset: $offset, width: $width }),+],
        }
    };
}

/// i386 alone still has the oldest calls.
static OLDEST: &Layout = layout!(OLD 32:
    st_dev 0 2, st_ino 2 2, st_mode 4 2, st_nlink 6 2, st_uid 8 2, st_gid 10 2, st_rdev 12 2,
    st_size 16 4, st_atime 20 4, st_mtime 24 4, st_ctime 28 4,
);

/// x86-64 and 64-bit PowerPC.
static STAT_X86_64: &Layout = layout!("stat" 144:
    st_dev 0 8, st_ino 8 8, st_nlink 16 8, st_mode 24 4, st_uid 28 4, st_gid 32 4, st_rdev 40 8,
    st_size 48 8, st_blksize 56 8, st_blocks 64 8,
    st_atime 72 8, st_atime_nsec 80 8, st_mtime 88 8, st_mtime_nsec 96 8,
    st_ctime 104 8, st_ctime_nsec 112 8,
);

/// include/uapi/asm-generic/stat.h.
static STAT_GENERIC: &Layout = layout!("stat" 128:
    st_dev 0 8, st_ino 8 8, st_mode 16 4, st_nlink 20 4, st_uid 24 4, st_gid 28 4, st_rdev 32 8,
    st_size 48 8, st_blksize 56 4, st_blocks 64 8,
    st_atime 72 8, st_atime_nsec 80 8, st_mtime 88 8, st_mtime_nsec 96 8,
    st_ctime 104 8, st_ctime_nsec 112 8,
);

static STAT_S390X: &Layout = layout!("stat" 144:
    st_dev 0 8, st_ino 8 8, st_nlink 16 8, st_mode 24 4, st_uid 28 4, st_gid 32 4, st_rdev 40 8,
    st_size 48 8,
    st_atime 56 8, st_atime_nsec 64 8, st_mtime 72 8, st_mtime_nsec 80 8,
    st_ctime 88 8, st_ctime_nsec 96 8,
    st_blksize 104 8, st_blocks 112 8,
);

/// i386 and arm.
static STAT_I386: &Layout = layout!("stat" 64:
    st_dev 0 4, st_ino 4 4, st_mode 8 2, st_nlink 10 2, st_uid 12 2, st_gid 14 2, st_rdev 16 4,
    st_size 20 4, st_blksize 24 4, st_blocks 28 4,
    st_atime 32 4, st_atime_nsec 36 4, st_mtime 40 4, st_mtime_nsec 44 4,
    st_ctime 48 4, st_ctime_nsec 52 4,
);

static STAT_S390: &Layout = layout!("stat" 64:
    st_dev 0 2, st_ino 4 4, st_mode 8 2, st_nlink 10 2, st_uid 12 2, st_gid 14 2, st_rdev 16 2,
    st_size 20 4, st_blksize 24 4, st_blocks 28 4,
    st_atime 32 4, st_atime_nsec 36 4, st_mtime 40 4, st_mtime_nsec 44 4,
    st_ctime 48 4, st_ctime_nsec 52 4,
);

/// mipsel.
static STAT_MIPS_O32: &Layout = layout!("stat" 144:
    st_dev 0 4, st_ino 16 4, st_mode 20 4, st_nlink 24 4, st_uid 28 4, st_gid 32 4, st_rdev 36 4,
    st_size 48 4,
    st_atime 56 4, st_atime_nsec 60 4, st_mtime 64 4, st_mtime_nsec 68 4,
    st_ctime 72 4, st_ctime_nsec 76 4,
    st_blksize 80 4, st_blocks 84 4,
);

/// The `stat` of 64-bit mips, which is the `stat64` of 32-bit mips.
macro_rules! layout_of_mips {
    ($tag:literal) => {
        layout!($tag 104:
            st_dev 0 4, st_ino 16 8, st_mode 24 4, st_nlink 28 4, st_uid 32 4, st_gid 36 4,
            st_rdev 40 4, st_size 56 8,
            st_atime 64 4, st_atime_nsec 68 4, st_mtime 72 4, st_mtime_nsec 76 4,
            st_ctime 80 4, st_ctime_nsec 84 4,
            st_blksize 88 4, st_blocks 96 8,
        )
    };
}

static STAT_MIPS_64: &Layout = layout_of_mips!("stat");
static STAT64_MIPS: &Layout = layout_of_mips!("stat64");

static STAT64_I386: &Layout = layout!("stat64" 96:
    st_dev 0 8, __st_ino 12 4, st_mode 16 4, st_nlink 20 4, st_uid 24 4, st_gid 28 4, st_rdev 32 8,
    st_size 44 8, st_blksize 52 4, st_blocks 56 8,
    st_atime 64 4, st_atime_nsec 68 4, st_mtime 72 4, st_mtime_nsec 76 4,
    st_ctime 80 4, st_ctime_nsec 84 4,
    st_ino 88 8,
);

static STAT64_ARM: &Layout = layout!("stat64" 104:
    st_dev 0 8, __st_ino 12 4, st_mode 16 4, st_nlink 20 4, st_uid 24 4, st_gid 28 4, st_rdev 32 8,
    st_size 48 8, st_blksize 56 4, st_blocks 64 8,
    st_atime 72 4, st_atime_nsec 76 4, st_mtime 80 4, st_mtime_nsec 84 4,
    st_ctime 88 4, st_ctime_nsec 92 4,
    st_ino 96 8,
);

/// `struct stat64_emu31`: that of the header, but for the nanoseconds.
static STAT64_S390: &Layout = layout!("stat64" 104:
    st_dev 0 8, __st_ino 12 4, st_mode 16 4, st_nlink 20 4, st_uid 24 4, st_gid 28 4, st_rdev 32 8,
    st_size 48 8, st_blksize 56 4, st_blocks 68 4,
    st_atime 72 4, st_mtime 80 4, st_ctime 88 4,
    st_ino 96 8,
);

/// The struct that `call` fills through `abi`; `None` where the kernel has no such call, or it is
/// none of these.
#[must_use]
pub fn layout(abi: Abi, call: Sysno) -> Option<&'static Layout> {
    use Sysno::{
        fstat, fstat64, fstatat64, lstat, lstat64, newfstatat, oldfstat, oldlstat, oldstat, stat,
        stat64,
    };
    call.nr(abi)?;
    Some(match call {
        // PowerPC has numbers for them, no more.
        oldstat | oldfstat | oldlstat => match abi {
            Abi::I386 => OLDEST,
            _ => return None,
        },
        stat | fstat | lstat | newfstatat => match abi {
            Abi::X86_64 | Abi::X32 | Abi::Ppc64le => STAT_X86_64,
            Abi::Aarch64 | Abi::Riscv64 | Abi::Loongarch64 => STAT_GENERIC,
            Abi::S390x => STAT_S390X,
            Abi::I386 | Abi::Arm => STAT_I386,
            Abi::S390 => STAT_S390,
            Abi::Mips64el | Abi::Mipsn32el => STAT_MIPS_64,
            Abi::Mipsel => STAT_MIPS_O32,
            Abi::Riscv32 => return None,
        },
        stat64 | fstat64 | lstat64 | fstatat64 => match abi {
            Abi::I386 => STAT64_I386,
            Abi::Arm => STAT64_ARM,
            Abi::S390 => STAT64_S390,
            Abi::Mipsel => STAT64_MIPS,
            _ => return None,
        },
        _ => return None,
    })
}

/// What a call writes.
#[derive(Clone, Copy, Debug)]
pub struct Encoded {
    bytes: [u8; MOST],
    len: usize,
}

impl Deref for Encoded {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The bytes that `call` through `abi` writes for `facts`, in the ABI's byte order, padding zero.
/// `None` where the kernel would not write them: a value does not fit (EOVERFLOW), or the call is
/// none of these (statx is not).
#[must_use]
pub fn encode(abi: Abi, call: Sysno, facts: &Facts) -> Option<Encoded> {
    let layout = layout(abi, call)?;
    let mut encoded = Encoded {
        bytes: [0; MOST],
        len: usize::from(layout.size),
    };
    for place in layout.places {
        let value = value(facts, *place, layout.tag == OLD)?;
        let (at, width) = (usize::from(place.offset), usize::from(place.width));
        let room = &mut encoded.bytes[at..at + width];
        match abi.endian() {
            Endian::Little => room.copy_from_slice(&value.to_le_bytes()[..width]),
            Endian::Big => room.copy_from_slice(&value.to_be_bytes()[8 - width..]),
        }
    }
    Some(encoded)
}

/// What stands at `place`, of which only the last bytes do; `None` if the kernel minds that.
fn value(facts: &Facts, place: Place, is_old: bool) -> Option<u64> {
    let fits = |value: u64| place.width == 8 || value >> (8 * place.width) == 0;
    let seconds = |moment: &Moment| u64::from_ne_bytes(moment.seconds.to_ne_bytes());
    Some(match place.field {
        Field::st_dev => device(facts.dev, place.width, is_old)?,
        Field::st_rdev => device(facts.rdev, place.width, is_old)?,
        Field::st_ino => Some(facts.ino).filter(|ino| fits(*ino))?,
        Field::__st_ino => facts.ino,
        Field::st_mode => facts.mode.into(),
        Field::st_nlink => Some(facts.nlink.into()).filter(|nlink| fits(*nlink))?,
        Field::st_uid => id(facts.uid, place.width),
        Field::st_gid => id(facts.gid, place.width),
        // MAX_NON_LFS, include/linux/fs.h
        Field::st_size if place.width == 4 && !is_old && facts.size > 0x7fff_ffff => return None,
        Field::st_size => facts.size,
        Field::st_blksize => facts.blksize.into(),
        Field::st_blocks => facts.blocks,
        Field::st_atime => seconds(&facts.accessed),
        Field::st_atime_nsec => facts.accessed.nanoseconds.into(),
        Field::st_mtime => seconds(&facts.modified),
        Field::st_mtime_nsec => facts.modified.nanoseconds.into(),
        Field::st_ctime => seconds(&facts.changed),
        Field::st_ctime_nsec => facts.changed.nanoseconds.into(),
    })
}

/// A device's number (include/linux/kdev_t.h): `new_encode_dev`, which for small numbers is
/// `old_encode_dev`. Two bytes have room for small ones only; the oldest call does not look.
fn device((major, minor): (u32, u32), width: u8, is_old: bool) -> Option<u64> {
    if is_old {
        return Some((major << 8 | minor).into());
    }
    if width < 4 && (major > 0xff || minor > 0xff) {
        return None;
    }
    Some((minor & 0xff | major << 8 | (minor & !0xff) << 12).into())
}

/// An id: what does not fit into 16 bits is that of "nobody" (`high2lowuid`,
/// include/linux/highuid.h; an administrator can choose another, kernel.overflowuid).
const fn id(id: u32, width: u8) -> u64 {
    if width == 2 && id > 0xffff {
        65534
    } else {
        id as u64
    }
}
