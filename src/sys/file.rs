//! System calls on files.

#![allow(unsafe_code)] // no crate has a safe call for any of them, or not with these arguments

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::fcntl::AtFlags;

use crate::arch::{Abi, Sysno};

/// A directory, told apart from all others: device, inode, and the mount through which it is seen
/// (0 where the kernel does not say, before 5.8).
pub type Place = (u32, u32, u64, u64);

/// Where `path` leads.
///
/// # Errors
/// statx(2)'s.
pub fn place(path: &CStr) -> Result<Place, Errno> {
    /// include/uapi/linux/stat.h; unknown bits of a mask are ignored.
    const STATX_MNT_ID: libc::c_uint = 0x1000;
    let mut status = MaybeUninit::<libc::statx>::zeroed();
    let (flags, mask) = (libc::AT_NO_AUTOMOUNT, libc::STATX_INO | STATX_MNT_ID);
    let (number, out) = (libc::SYS_statx, status.as_mut_ptr());
    // libc's own would be a null pointer: the standard library refers to it weakly, so that a
    // static executable goes without.
    // SAFETY: the kernel reads a path that ends in a null byte and writes a struct statx.
    let ret = unsafe { libc::syscall(number, libc::AT_FDCWD, path.as_ptr(), flags, mask, out) };
    Errno::result(ret)?;
    // SAFETY: of plain integers, for which the zeroes that were there are values.
    let status = unsafe { status.assume_init() };
    Ok((
        status.stx_dev_major,
        status.stx_dev_minor,
        status.stx_ino,
        status.stx_mnt_id,
    ))
}

/// fchmodat2(2) from the working directory.
///
/// # Errors
/// fchmodat2(2)'s.
pub fn fchmodat2(path: &CStr, mode: u32, flags: AtFlags) -> Result<(), Errno> {
    let number = native(&[Sysno::fchmodat2]);
    let flags = flags.bits();
    // SAFETY: the kernel reads a path that ends in a null byte.
    let ret = unsafe { libc::syscall(number, libc::AT_FDCWD, path.as_ptr(), mode, flags) };
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

/// utimensat(2) from the working directory, with times of 64 bits also where libc's have 32.
///
/// # Errors
/// utimensat(2)'s.
pub fn utimensat(path: &CStr, times: &[Time; 2], flags: AtFlags) -> Result<(), Errno> {
    let number = if Abi::NATIVE.long_is_64bit() {
        native(&[Sysno::utimensat])
    } else {
        native(&[Sysno::utimensat_time64, Sysno::utimensat])
    };
    let (path, times, flags) = (path.as_ptr(), times.as_ptr(), flags.bits());
    // SAFETY: the kernel reads a path that ends in a null byte, and two times.
    let ret = unsafe { libc::syscall(number, libc::AT_FDCWD, path, times, flags) };
    Errno::result(ret).map(drop)
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

/// setxattr(2), or lsetxattr(2) unless `follow`; `flags` is `XATTR_CREATE`, `XATTR_REPLACE` or 0.
///
/// # Errors
/// setxattr(2)'s.
pub fn setxattr(
    path: &CStr,
    follow: bool,
    name: &CStr,
    value: &[u8],
    flags: i32,
) -> Result<(), Errno> {
    let set = if follow {
        libc::setxattr
    } else {
        libc::lsetxattr
    };
    let (data, len) = (value.as_ptr().cast(), value.len());
    // SAFETY: two strings that end in a null byte, and as many bytes as are said.
    Errno::result(unsafe { set(path.as_ptr(), name.as_ptr(), data, len, flags) }).map(drop)
}

/// removexattr(2), or lremovexattr(2) unless `follow`.
///
/// # Errors
/// removexattr(2)'s.
pub fn removexattr(path: &CStr, follow: bool, name: &CStr) -> Result<(), Errno> {
    let remove = if follow {
        libc::removexattr
    } else {
        libc::lremovexattr
    };
    // SAFETY: two strings that end in a null byte.
    Errno::result(unsafe { remove(path.as_ptr(), name.as_ptr()) }).map(drop)
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
