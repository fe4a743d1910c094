//! Extended attributes.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// Sets the extended attribute `name` of an open file.
///
/// # Errors
/// fsetxattr(2)'s.
pub fn fsetxattr(file: BorrowedFd, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    // SAFETY: the kernel reads a string that ends in a null byte, and as many bytes as are said.
    #[allow(unsafe_code)]
    let result = unsafe {
        libc::fsetxattr(
            file.as_raw_fd(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            0,
        )
    };
    Errno::result(result).map(drop)
}
