//! System calls on files.

#![allow(unsafe_code)] // no crate has a safe call for any of them, or not with these arguments

use std::ffi::CStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::fcntl::AtFlags;

use crate::arch::{Abi, Sysno};

/// A file as one sees it, told apart from all others: device, inode, and the mount through which it
/// is seen (0 where the kernel does not say, before 5.8).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Place {
    /// The device of its file system: major and minor number.
    pub dev: (u32, u32),
    /// Its inode.
    pub ino: u64,
    /// The mount.
    pub mount: u64,
}

/// What the supervisor wants to know of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Look {
    /// Which file it is.
    pub place: Place,
    /// Its type and permissions, as `st_mode`.
    pub mode: u32,
    /// Its owner, as the present user namespace numbers users.
    pub uid: u32,
    /// Its group, as the present user namespace numbers groups.
    pub gid: u32,
    /// How many names it has.
    pub links: u32,
    /// When it was made, in nanoseconds since 1970; `None` where the file system does not say.
    pub born: Option<i128>,
}

/// Looks at what `path` leads to from `dir`, with `AT_*` flags; an empty path with `AT_EMPTY_PATH`
/// means `dir` itself. No server is asked: what the kernel has of a file in a network or FUSE file
/// system is taken.
///
/// # Errors
/// statx(2)'s.
pub fn look(dir: impl AsFd, path: &CStr, flags: AtFlags) -> Result<Look, Errno> {
    /// include/uapi/linux/stat.h; unknown bits of a mask are ignored.
    const STATX_MNT_ID: libc::c_uint = 0x1000;
    let flags = flags.bits() | libc::AT_NO_AUTOMOUNT | libc::AT_STATX_DONT_SYNC;
    let mask = libc::STATX_TYPE
        | libc::STATX_MODE
        | libc::STATX_UID
        | libc::STATX_GID
        | libc::STATX_NLINK
        | libc::STATX_INO
        | libc::STATX_BTIME
        | STATX_MNT_ID;
    Ok(Look::from(&statx(dir, path, flags, mask)?))
}

impl From<&libc::statx> for Look {
    fn from(status: &libc::statx) -> Look {
        let born = status.stx_btime;
        Look {
            place: Place {
                dev: (status.stx_dev_major, status.stx_dev_minor),
                ino: status.stx_ino,
                mount: status.stx_mnt_id,
            },
            mode: status.stx_mode.into(),
            uid: status.stx_uid,
            gid: status.stx_gid,
            links: status.stx_nlink,
            born: (status.stx_mask & libc::STATX_BTIME != 0)
                .then(|| i128::from(born.tv_sec) * 1_000_000_000 + i128::from(born.tv_nsec)),
        }
    }
}

/// statx(2) of what `path` leads to from `dir`, with `flags` and `mask` as the kernel takes them.
///
/// # Errors
/// statx(2)'s.
pub fn statx(
    dir: impl AsFd,
    path: &CStr,
    flags: libc::c_int,
    mask: u32,
) -> Result<libc::statx, Errno> {
    let mut status = MaybeUninit::<libc::statx>::zeroed();
    let (number, dir, out) = (
        libc::SYS_statx,
        dir.as_fd().as_raw_fd(),
        status.as_mut_ptr(),
    );
    // libc's own would be a null pointer: the standard library refers to it weakly, so that a
    // static executable goes without.
    // SAFETY: the kernel reads a path that ends in a null byte and writes a struct statx.
    let ret = unsafe { libc::syscall(number, dir, path.as_ptr(), flags, mask, out) };
    Errno::result(ret)?;
    // SAFETY: of plain integers, for which the zeroes that were there are values.
    Ok(unsafe { status.assume_init() })
}

/// Whether a null path is as good as an empty one to the stat family, with `AT_EMPTY_PATH`: since
/// 6.11 (fs/namei.c, `getname_maybe_null`).
#[must_use]
pub fn may_lack_path() -> bool {
    static MAY: OnceLock<bool> = OnceLock::new();
    *MAY.get_or_init(|| {
        let (number, none, nothing) = (libc::SYS_statx, libc::c_int::MAX, 0_usize);
        // SAFETY: the kernel complains of the path, or of a descriptor that nobody has.
        let ret = unsafe {
            let flags = libc::AT_EMPTY_PATH;
            libc::syscall(number, none, nothing, flags, 0, nothing)
        };
        Errno::result(ret) == Err(Errno::EBADF)
    })
}

/// The bytes of a `struct statx`, as a caller of any ABI gets them.
#[must_use]
pub fn statx_bytes(status: &libc::statx) -> [u8; size_of::<libc::statx>()] {
    // SAFETY: it is of plain integers, without gaps between them (include/uapi/linux/stat.h).
    unsafe { std::mem::transmute_copy(status) }
}

/// What tells the inode that `path` leads to from `dir` from a later one that gets its number: a
/// hash of the handle that its file system has for it (name_to_handle_at(2)); `None` where that has
/// none. An empty path means `dir` itself; a link at the end is not followed.
#[must_use]
pub fn handle(dir: impl AsFd, path: &CStr) -> Option<u64> {
    /// include/uapi/linux/fcntl.h, since 6.5: a handle that need not lead back to the file. More
    /// file systems have one.
    const AT_HANDLE_FID: libc::c_int = 0x200;
    static KNOWS_FID: AtomicBool = AtomicBool::new(true);
    /// The handle that the kernel makes where the file system has none of its own
    /// (fs/exportfs/expfs.c, `exportfs_encode_ino64_fid`): number and generation.
    const FILEID_INO64_GEN: libc::c_int = 0x81;
    /// `struct file_handle`, include/linux/fs.h, with room for the longest (`MAX_HANDLE_SZ`).
    #[repr(C)]
    struct Handle {
        bytes: libc::c_uint,
        kind: libc::c_int,
        contents: [u8; 128],
    }
    let ask = |flags: libc::c_int| {
        let mut found = Handle {
            bytes: 128,
            kind: 0,
            contents: [0; 128],
        };
        let (number, fd) = (libc::SYS_name_to_handle_at, dir.as_fd().as_raw_fd());
        let (out, flags) = (&raw mut found, libc::AT_EMPTY_PATH | flags);
        let mut mount: libc::c_int = 0;
        // SAFETY: the kernel reads a path that ends in a null byte, writes as many bytes as it is
        // told there is room for, and the number of a mount.
        let ret = unsafe { libc::syscall(number, fd, path.as_ptr(), out, &raw mut mount, flags) };
        Errno::result(ret).map(|_| found)
    };
    let found = if KNOWS_FID.load(Ordering::Relaxed) {
        ask(AT_HANDLE_FID).or_else(|errno| {
            if errno == Errno::EINVAL {
                KNOWS_FID.store(false, Ordering::Relaxed);
                ask(0)
            } else {
                Err(errno)
            }
        })
    } else {
        ask(0)
    };
    let found = found.ok()?;
    let bytes = found.contents.get(..found.bytes as usize)?;
    // Without a generation it is the number over again.
    if found.kind == FILEID_INO64_GEN && bytes.get(8..12) == Some(&[0; 4]) {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    (found.kind, bytes).hash(&mut hasher);
    Some(hasher.finish())
}

/// The number of the namespace that a link in `/proc/PID/ns` at `path` from `dir` leads to: its
/// text ends in `[NUMBER]` (fs/nsfs.c, `ns_get_name`). Following it costs twice as much.
///
/// # Errors
/// readlink(2)'s; `EINVAL` for another link.
pub fn namespace(dir: impl AsFd, path: &CStr) -> Result<u64, Errno> {
    let mut text = [0_u8; 64];
    let (dir, to, len) = (dir.as_fd().as_raw_fd(), text.as_mut_ptr(), text.len());
    // SAFETY: the kernel reads a path that ends in a null byte and writes `len` bytes at most.
    let len = Errno::result(unsafe { libc::readlinkat(dir, path.as_ptr(), to.cast(), len) })?;
    let text = text.get(..len.unsigned_abs()).unwrap_or_default();
    let number = |text: &str| text.strip_suffix(']')?.rsplit('[').next()?.parse().ok();
    let text = std::str::from_utf8(text).ok();
    text.and_then(number).ok_or(Errno::EINVAL)
}

/// fchmodat2(2) on `file` itself, which may be opened with `O_PATH`.
///
/// # Errors
/// fchmodat2(2)'s: `ENOSYS` before 6.6.
pub fn chmod_empty(file: impl AsFd, mode: u32) -> Result<(), Errno> {
    let number = native(&[Sysno::fchmodat2]);
    let (fd, path, flags) = (file.as_fd().as_raw_fd(), c"".as_ptr(), libc::AT_EMPTY_PATH);
    // SAFETY: the kernel reads a path that ends in a null byte.
    let ret = unsafe { libc::syscall(number, fd, path, mode, flags) };
    Errno::result(ret).map(drop)
}

/// chmod(2) of what `path` leads to from `dir`, with all bits of `mode` as they are.
///
/// # Errors
/// chmod(2)'s.
pub fn chmod_at(dir: impl AsFd, path: &CStr, mode: u32) -> Result<(), Errno> {
    let number = native(&[Sysno::fchmodat]);
    // SAFETY: the kernel reads a path that ends in a null byte.
    let ret = unsafe { libc::syscall(number, dir.as_fd().as_raw_fd(), path.as_ptr(), mode) };
    Errno::result(ret).map(drop)
}

/// `struct __kernel_timespec`, include/uapi/linux/time_types.h, which all ABIs have by now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Time {
    /// Since 1970.
    pub seconds: i64,
    /// Below 10^9; or `UTIME_NOW`, `UTIME_OMIT`.
    pub nanoseconds: i64,
}

/// utimensat(2) on `file` itself, which may be opened with `O_PATH` (since 5.8), with times of 64
/// bits also where libc's have 32.
///
/// # Errors
/// utimensat(2)'s.
pub fn touch_empty(file: impl AsFd, times: &[Time; 2]) -> Result<(), Errno> {
    let number = if Abi::NATIVE.long_is_64bit() {
        native(&[Sysno::utimensat])
    } else {
        native(&[Sysno::utimensat_time64, Sysno::utimensat])
    };
    let (fd, path, times) = (file.as_fd().as_raw_fd(), c"".as_ptr(), times.as_ptr());
    // SAFETY: the kernel reads a path that ends in a null byte, and two times.
    let ret = unsafe { libc::syscall(number, fd, path, times, libc::AT_EMPTY_PATH) };
    Errno::result(ret).map(drop)
}

/// Whether the kernel has fchmodat2(2), and no filter around us hides it.
#[must_use]
pub fn has_fchmodat2() -> bool {
    static IS_THERE: OnceLock<bool> = OnceLock::new();
    *IS_THERE.get_or_init(|| {
        let (number, all) = (native(&[Sysno::fchmodat2]), -1_isize);
        // SAFETY: the kernel complains of flags that nobody knows before it reads a path
        // (fs/open.c, do_fchmodat), and none is at the last address.
        let ret = unsafe { libc::syscall(number, all, all, all, all) };
        Errno::result(ret) == Err(Errno::EINVAL)
    })
}

/// The number by which this executable makes the first of `calls` that its ABI has.
fn native(calls: &[Sysno]) -> libc::c_long {
    calls
        .iter()
        .find_map(|call| call.nr(Abi::NATIVE))
        .and_then(|number| i32::try_from(number).ok())
        .unwrap_or(-1)
        .into()
}

/// setxattr(2); `flags` is `XATTR_CREATE`, `XATTR_REPLACE` or 0.
///
/// # Errors
/// setxattr(2)'s.
pub fn setxattr(path: &CStr, name: &CStr, value: &[u8], flags: i32) -> Result<(), Errno> {
    let (data, len) = (value.as_ptr().cast(), value.len());
    // SAFETY: two strings that end in a null byte, and as many bytes as are said.
    Errno::result(unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), data, len, flags) })
        .map(drop)
}

/// getxattr(2): the value.
///
/// # Errors
/// getxattr(2)'s.
pub fn getxattr(path: &CStr, name: &CStr) -> Result<Vec<u8>, Errno> {
    // SAFETY: two strings that end in a null byte, and room for as many bytes as are said.
    xattr_bytes(|to, room| unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), to.cast(), room) })
}

/// getxattr(2): the value, if it is that short.
///
/// # Errors
/// getxattr(2)'s: `ERANGE` for a longer one.
pub fn getxattr_short(path: &CStr, name: &CStr) -> Result<Vec<u8>, Errno> {
    // For whoever asks this of a million files: `getxattr` clears 64 KiB each time.
    let mut bytes = [0_u8; 256];
    let (to, room) = (bytes.as_mut_ptr().cast(), bytes.len());
    // SAFETY: two strings that end in a null byte, and room for as many bytes as are said.
    let len = Errno::result(unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), to, room) })?;
    Ok(bytes[..len.unsigned_abs()].to_vec())
}

/// listxattr(2): the names, each with its end.
///
/// # Errors
/// listxattr(2)'s.
pub fn listxattr(path: &CStr) -> Result<Vec<u8>, Errno> {
    // SAFETY: a string that ends in a null byte, and room for as many bytes as are said.
    xattr_bytes(|to, room| unsafe { libc::listxattr(path.as_ptr(), to.cast(), room) })
}

/// What `call` writes, which has room for as many bytes as are said.
fn xattr_bytes(call: impl Fn(*mut u8, usize) -> isize) -> Result<Vec<u8>, Errno> {
    // As much as there can be (XATTR_SIZE_MAX, XATTR_LIST_MAX, include/uapi/linux/limits.h).
    let mut bytes = vec![0; 65536];
    let len = Errno::result(call(bytes.as_mut_ptr(), bytes.len()))?;
    bytes.truncate(len.unsigned_abs());
    Ok(bytes)
}

/// removexattr(2).
///
/// # Errors
/// removexattr(2)'s.
pub fn removexattr(path: &CStr, name: &CStr) -> Result<(), Errno> {
    // SAFETY: two strings that end in a null byte.
    Errno::result(unsafe { libc::removexattr(path.as_ptr(), name.as_ptr()) }).map(drop)
}

/// fsetxattr(2).
///
/// # Errors
/// fsetxattr(2)'s.
pub fn fsetxattr(file: impl AsFd, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    let (fd, data, len) = (file.as_fd().as_raw_fd(), value.as_ptr().cast(), value.len());
    // SAFETY: a string that ends in a null byte, and as many bytes as are said.
    Errno::result(unsafe { libc::fsetxattr(fd, name.as_ptr(), data, len, 0) }).map(drop)
}

/// Closes all descriptors from `first` to `last`. Nobody must rely on them.
///
/// # Errors
/// close_range(2)'s: `ENOSYS` before 5.9.
pub fn close_range(first: RawFd, last: RawFd) -> Result<(), Errno> {
    // SAFETY: close_range(2) takes three integers.
    let ret = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    Errno::result(ret).map(drop)
}

/// Another descriptor of the file that is open as `number`.
///
/// # Errors
/// fcntl(2)'s: `EBADF`.
pub fn duplicate(number: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: fcntl(2) takes three integers here.
    let fd = Errno::result(unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 0) })?;
    // SAFETY: it is a new one, which nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Has the next execve(2) close the descriptor of that number.
///
/// # Errors
/// fcntl(2)'s: `EBADF`.
pub fn close_on_exec(number: RawFd) -> Result<(), Errno> {
    // SAFETY: fcntl(2) takes three integers here.
    let ret = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    Errno::result(ret).map(drop)
}

/// How a file is locked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lock {
    /// Others may have a shared lock, too.
    Shared,
    /// Nobody else has one.
    Exclusive,
}

/// Locks `file` by flock(2), in place of the lock that it has, without waiting; false if somebody
/// else's lock is in the way, and then it has none. Where the file system has no locks, this is as
/// if nobody else had one.
///
/// # Errors
/// flock(2)'s: `EBADF`.
pub fn lock(file: impl AsFd, how: Lock) -> Result<bool, Errno> {
    let operation = match how {
        Lock::Shared => libc::LOCK_SH,
        Lock::Exclusive => libc::LOCK_EX,
    };
    loop {
        // SAFETY: flock(2) takes two integers.
        let ret = unsafe { libc::flock(file.as_fd().as_raw_fd(), operation | libc::LOCK_NB) };
        match Errno::result(ret) {
            Ok(_) | Err(Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::ENOLCK | Errno::EINVAL) => {
                return Ok(true);
            }
            Err(Errno::EINTR) => {}
            Err(Errno::EWOULDBLOCK) => return Ok(false),
            Err(errno) => return Err(errno),
        }
    }
}
