//! System calls about mounts.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// Makes the mount that `root` is the root of read-only, and every mount below it.
///
/// # Errors
/// mount_setattr(2)'s: `ENOSYS` before 5.12.
pub fn make_read_only(root: BorrowedFd) -> Result<(), Errno> {
    let attr = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_RDONLY,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path is an empty C string, and `attr` outlives the call, which reads its size of
    // bytes from it.
    #[allow(unsafe_code)]
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            root.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    Errno::result(result).map(drop)
}

/// Says what option `key` of a mount that is being made is to be: fsconfig(2)'s
/// `FSCONFIG_SET_STRING`.
///
/// # Errors
/// fsconfig(2)'s.
pub fn set_option(context: impl AsFd, key: &CStr, value: &CStr) -> Result<(), Errno> {
    // SAFETY: the kernel reads two C strings.
    #[allow(unsafe_code)]
    let result = unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_fd().as_raw_fd(),
            SET_STRING,
            key.as_ptr(),
            value.as_ptr(),
            0,
        )
    };
    Errno::result(result).map(drop)
}

/// `FSCONFIG_SET_STRING`, include/uapi/linux/mount.h.
pub const SET_STRING: u32 = 1;
