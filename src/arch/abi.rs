//! The ABIs: how `seccomp_data` describes them, and which of them one kernel executes. The only
//! place with `cfg(target_arch)`.

use std::fmt;

/// Byte order of an ABI's registers and of `seccomp_data`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Endian {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

/// A system call convention: one set of call numbers. Not the same as an architecture: one kernel
/// executes several, and x32 shares x86-64's audit architecture.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Abi {
    /// 64-bit x86.
    X86_64,
    /// x86-64 with 32-bit pointers: x86-64's audit architecture, numbers with `__X32_SYSCALL_BIT`.
    X32,
    /// 32-bit x86, through `int 0x80` or `sysenter`.
    I386,
    /// 64-bit Arm, little-endian.
    Aarch64,
    /// 32-bit Arm EABI, little-endian.
    Arm,
    /// 64-bit PowerPC, little-endian.
    Ppc64le,
    /// 64-bit IBM Z.
    S390x,
    /// 31-bit IBM Z.
    S390,
    /// 64-bit RISC-V.
    Riscv64,
    /// 32-bit RISC-V.
    Riscv32,
    /// 64-bit `LoongArch`.
    Loongarch64,
    /// 64-bit MIPS, little-endian, n64.
    Mips64el,
    /// 64-bit MIPS with 32-bit pointers, little-endian, n32.
    Mipsn32el,
    /// 32-bit MIPS, little-endian, o32.
    Mipsel,
}

use Abi::{
    Aarch64, Arm, I386, Loongarch64, Mips64el, Mipsel, Mipsn32el, Ppc64le, Riscv32, Riscv64, S390,
    S390x, X32, X86_64,
};

/// `__X32_SYSCALL_BIT`, arch/x86/include/uapi/asm/unistd.h.
const X32_SYSCALL_BIT: u32 = 0x4000_0000;

/// `__AUDIT_ARCH_64BIT`, `__AUDIT_ARCH_LE` and `__AUDIT_ARCH_CONVENTION_MIPS64_N32`,
/// include/uapi/linux/audit.h; they are or-ed to the ELF machine number.
const AUDIT_64BIT: u32 = 0x8000_0000;
const AUDIT_LE: u32 = 0x4000_0000;
const AUDIT_N32: u32 = 0x2000_0000;

/// ELF machine numbers, include/uapi/linux/elf-em.h.
mod em {
    pub const I386: u32 = 3;
    pub const MIPS: u32 = 8;
    pub const PPC64: u32 = 21;
    pub const S390: u32 = 22;
    pub const ARM: u32 = 40;
    pub const X86_64: u32 = 62;
    pub const AARCH64: u32 = 183;
    pub const RISCV: u32 = 243;
    pub const LOONGARCH: u32 = 258;
}

impl Abi {
    /// The ABI that this executable was built for.
    pub const NATIVE: Abi = NATIVE;

    /// The name used in options and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            X86_64 => "x86_64",
            X32 => "x32",
            I386 => "i386",
            Aarch64 => "aarch64",
            Arm => "arm",
            Ppc64le => "ppc64le",
            S390x => "s390x",
            S390 => "s390",
            Riscv64 => "riscv64",
            Riscv32 => "riscv32",
            Loongarch64 => "loongarch64",
            Mips64el => "mips64el",
            Mipsn32el => "mipsn32el",
            Mipsel => "mipsel",
        }
    }
}

#[doc(hidden)] // not for other crates
impl Abi {
    /// Every ABI of the matrix, in the order of its columns.
    pub const ALL: [Abi; 14] = [
        X86_64,
        X32,
        I386,
        Aarch64,
        Arm,
        Ppc64le,
        S390x,
        S390,
        Riscv64,
        Riscv32,
        Loongarch64,
        Mips64el,
        Mipsn32el,
        Mipsel,
    ];

    /// `seccomp_data.arch` of a call made through this ABI (`AUDIT_ARCH_*`,
    /// include/uapi/linux/audit.h).
    #[must_use]
    pub const fn audit_arch(self) -> u32 {
        match self {
            X86_64 | X32 => em::X86_64 | AUDIT_64BIT | AUDIT_LE,
            I386 => em::I386 | AUDIT_LE,
            Aarch64 => em::AARCH64 | AUDIT_64BIT | AUDIT_LE,
            Arm => em::ARM | AUDIT_LE,
            Ppc64le => em::PPC64 | AUDIT_64BIT | AUDIT_LE,
            S390x => em::S390 | AUDIT_64BIT,
            S390 => em::S390,
            Riscv64 => em::RISCV | AUDIT_64BIT | AUDIT_LE,
            Riscv32 => em::RISCV | AUDIT_LE,
            Loongarch64 => em::LOONGARCH | AUDIT_64BIT | AUDIT_LE,
            Mips64el => em::MIPS | AUDIT_64BIT | AUDIT_LE,
            Mipsn32el => em::MIPS | AUDIT_64BIT | AUDIT_LE | AUDIT_N32,
            Mipsel => em::MIPS | AUDIT_LE,
        }
    }

    /// The machine that a program of this ABI is for, as its ELF header says.
    #[must_use]
    pub const fn elf_machine(self) -> u32 {
        self.audit_arch() & 0xffff
    }

    /// The ABI of a call that `seccomp_data` shows with `audit_arch` and `nr`, or `None` if the
    /// matrix lacks it. x32's bit in the number is all that tells x32 from x86-64.
    #[must_use]
    pub fn of(audit_arch: u32, nr: u32) -> Option<Abi> {
        match Abi::ALL
            .into_iter()
            .find(|abi| abi.audit_arch() == audit_arch)?
        {
            X86_64 if nr & X32_SYSCALL_BIT != 0 => Some(X32),
            abi => Some(abi),
        }
    }

    /// Byte order of `seccomp_data`, which is the kernel's own: the same for all ABIs of a family.
    #[must_use]
    pub const fn endian(self) -> Endian {
        match self {
            S390x | S390 => Endian::Big,
            _ => Endian::Little,
        }
    }

    /// What the ABI or-s to every number in `seccomp_data.nr`: x32's bit, else 0.
    #[must_use]
    pub const fn nr_bit(self) -> u32 {
        match self {
            X32 => X32_SYSCALL_BIT,
            _ => 0,
        }
    }

    /// Whether C's `long` and a system call's register arguments have 64 bits. Not so for x32 and
    /// n32, whose `long` has 32.
    #[must_use]
    pub const fn long_is_64bit(self) -> bool {
        matches!(
            self,
            X86_64 | Aarch64 | Ppc64le | S390x | Riscv64 | Loongarch64 | Mips64el
        )
    }

    /// Whether a pointer argument can have bits above the 32nd: true also for x32 and n32, which
    /// run in 64-bit mode.
    #[must_use]
    pub const fn has_64bit_registers(self) -> bool {
        self.long_is_64bit() || matches!(self, X32 | Mipsn32el)
    }

    /// What the kernel uses of a register that holds a pointer. 31-bit s390 has the addressing mode
    /// in the top bit (`compat_ptr` in arch/s390/include/asm/compat.h); other 32-bit ABIs ignore
    /// the upper half; x32 and n32 run in 64-bit mode and use all of it.
    #[must_use]
    pub const fn pointer_mask(self) -> u64 {
        match self {
            S390 => 0x7fff_ffff,
            _ if self.has_64bit_registers() => u64::MAX,
            _ => 0xffff_ffff,
        }
    }

    /// Whether the old calls about ids take and give 16-bit ones, 0xffff for -1 (kernel/uid16.c):
    /// chown, fchown, lchown, getuid and its like, setuid and its like, getresuid, getresgid,
    /// getgroups, setgroups. Their twins whose names end in 32 have 32-bit ids, and so has
    /// fchownat, which has no twin.
    #[must_use]
    pub const fn has_16bit_ids(self) -> bool {
        matches!(self, I386 | Arm | S390)
    }

    /// The ioctl requests that set inode flags: [`fs_ioc_setflags`](Abi::fs_ioc_setflags) and
    /// [`fs_ioc_fssetxattr`](Abi::fs_ioc_fssetxattr).
    #[must_use]
    pub fn inode_flag_requests(self) -> &'static [u32] {
        static ALL: [[u32; 2]; Abi::ALL.len()] = {
            let mut all = [[0; 2]; Abi::ALL.len()];
            let mut i = 0;
            while i < all.len() {
                all[i] = [
                    Abi::ALL[i].fs_ioc_setflags(),
                    Abi::ALL[i].fs_ioc_fssetxattr(),
                ];
                i += 1;
            }
            all
        };
        &ALL[self as usize]
    }

    /// `FS_IOC_SETFLAGS` as this ABI spells it: `_IOW('f', 2, long)`, so its size follows `long`
    /// (include/uapi/linux/fs.h).
    #[must_use]
    pub const fn fs_ioc_setflags(self) -> u32 {
        self.iow(b'f', 2, if self.long_is_64bit() { 8 } else { 4 })
    }

    /// `FS_IOC_FSSETXATTR`: `_IOW('X', 32, struct fsxattr)`, 28 bytes on every ABI
    /// (include/uapi/linux/fs.h).
    #[must_use]
    pub const fn fs_ioc_fssetxattr(self) -> u32 {
        self.iow(b'X', 32, 28)
    }

    /// `O_CREAT` and `__O_TMPFILE`, either of which has open(2) make a file:
    /// include/uapi/asm-generic/fcntl.h, but mips has another `O_CREAT`
    /// (arch/mips/include/uapi/asm/fcntl.h).
    #[must_use]
    pub const fn open_flags_that_make(self) -> u32 {
        let creat = match self {
            Mips64el | Mipsn32el | Mipsel => 0o400,
            _ => 0o100,
        };
        creat | 0o20_000_000
    }

    /// `SOL_SOCKET`: asm-generic/socket.h, arch/mips/include/uapi/asm/socket.h.
    #[must_use]
    pub const fn sol_socket(self) -> u32 {
        match self {
            Mips64el | Mipsn32el | Mipsel => 0xffff,
            _ => 1,
        }
    }

    /// `SO_PEERCRED`: the same, and arch/powerpc/include/uapi/asm/socket.h.
    #[must_use]
    pub const fn so_peercred(self) -> u32 {
        match self {
            Mips64el | Mipsn32el | Mipsel => 18,
            Ppc64le => 21,
            _ => 17,
        }
    }

    /// `SO_PEERGROUPS` on every ABI of the matrix (asm-generic/socket.h).
    pub const SO_PEERGROUPS: u32 = 59;

    /// The options that tell who is at a socket's other end: [`so_peercred`](Abi::so_peercred)
    /// and [`SO_PEERGROUPS`](Abi::SO_PEERGROUPS).
    #[must_use]
    pub fn peer_options(self) -> &'static [u32] {
        static ALL: [[u32; 2]; Abi::ALL.len()] = {
            let mut all = [[Abi::SO_PEERGROUPS; 2]; Abi::ALL.len()];
            let mut i = 0;
            while i < all.len() {
                all[i][0] = Abi::ALL[i].so_peercred();
                i += 1;
            }
            all
        };
        &ALL[self as usize]
    }

    /// `_IO`: as `_IOW`, with "none", which mips and powerpc encode as 1 in three bits, where
    /// others have 0 in two.
    #[must_use]
    pub const fn io(self, kind: u8, nr: u8) -> u32 {
        let none = match self {
            Ppc64le | Mips64el | Mipsn32el | Mipsel => 1 << 29,
            _ => 0,
        };
        none | (kind as u32) << 8 | nr as u32
    }

    /// `_IOW`: asm-generic/ioctl.h, but mips and powerpc encode "write" as 4 in three bits, where
    /// others have 1 in two.
    const fn iow(self, kind: u8, nr: u8, size: u32) -> u32 {
        let write = match self {
            Ppc64le | Mips64el | Mipsn32el | Mipsel => 4 << 29,
            _ => 1 << 30,
        };
        write | size << 16 | (kind as u32) << 8 | nr as u32
    }

    /// Every ABI that a kernel which executes this one may execute too, this one first.
    #[must_use]
    pub const fn family(self) -> &'static [Abi] {
        match self {
            X86_64 => &[X86_64, X32, I386],
            X32 => &[X32, X86_64, I386],
            I386 => &[I386, X86_64, X32],
            Aarch64 => &[Aarch64, Arm],
            Arm => &[Arm, Aarch64],
            Ppc64le => &[Ppc64le],
            S390x => &[S390x, S390],
            S390 => &[S390, S390x],
            Riscv64 => &[Riscv64, Riscv32],
            Riscv32 => &[Riscv32, Riscv64],
            Loongarch64 => &[Loongarch64],
            Mips64el => &[Mips64el, Mipsn32el, Mipsel],
            Mipsn32el => &[Mipsn32el, Mips64el, Mipsel],
            Mipsel => &[Mipsel, Mips64el, Mipsn32el],
        }
    }
}

impl fmt::Display for Abi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

macro_rules! native {
    ($($condition:meta => $abi:ident,)+) => {
        $(#[cfg($condition)] const NATIVE: Abi = Abi::$abi;)+
        #[cfg(not(any($($condition),+)))]
        compile_error!("zroot has no system call numbers for this target: add its column to src/arch/table.rs");
    };
}

native! {
    all(target_arch = "x86_64", target_pointer_width = "64") => X86_64,
    all(target_arch = "x86_64", target_pointer_width = "32") => X32,
    target_arch = "x86" => I386,
    all(target_arch = "aarch64", target_endian = "little") => Aarch64,
    all(target_arch = "arm", target_endian = "little") => Arm,
    all(target_arch = "powerpc64", target_endian = "little") => Ppc64le,
    target_arch = "s390x" => S390x,
    target_arch = "riscv64" => Riscv64,
    target_arch = "riscv32" => Riscv32,
    target_arch = "loongarch64" => Loongarch64,
    all(target_arch = "mips64", target_endian = "little", target_pointer_width = "64") => Mips64el,
    all(target_arch = "mips64", target_endian = "little", target_pointer_width = "32") => Mipsn32el,
    all(target_arch = "mips", target_endian = "little") => Mipsel,
}
