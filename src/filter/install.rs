//! Installs a program and proves that it answers: the filter's only contact with the kernel.

#![allow(unsafe_code)] // seccomp(2) with flags and the probe: no crate has a safe call for them

use std::fmt;

use nix::errno::Errno;

use crate::filter::asm::sock_filter;

/// Why the emulation is not on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InstallError {
    /// The kernel refused the program.
    Refused(Errno),
    /// The program is in place, but the probe came back with this error instead of success.
    NoAnswer(Errno),
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InstallError::Refused(errno) => write!(f, "cannot install the filter: {}", errno.desc()),
            InstallError::NoAnswer(errno) => write!(f, "the filter does not answer: {}", errno.desc()),
        }
    }
}

impl std::error::Error for InstallError {}

/// Puts `program` on top of whatever filters the process has, for this process and all its descendants, for good. Needs `no_new_privs`
/// or `CAP_SYS_ADMIN` in the user namespace.
///
/// # Errors
/// [`InstallError::Refused`] with seccomp(2)'s error.
pub fn install(program: &[sock_filter]) -> Result<(), InstallError> {
    /// `struct sock_fprog`, include/uapi/linux/filter.h.
    #[repr(C)]
    struct SockFprog {
        len: libc::c_ushort,
        filter: *const sock_filter,
    }

    // asm::MAX_LEN keeps every assembled program below this.
    let len = libc::c_ushort::try_from(program.len()).map_err(|_| InstallError::Refused(Errno::EINVAL))?;
    let fprog = SockFprog { len, filter: program.as_ptr() };
    // From 4.17 to 5.15 a filter also turns on the mitigation of speculative store bypass, which slows the command down; SPEC_ALLOW
    // leaves that as it is (kernel/seccomp.c, seccomp_assign_mode). Kernels before 4.17 answer EINVAL to the flag.
    let mut result = Err(InstallError::Refused(Errno::EINVAL));
    for flags in [libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW, 0] {
        // SAFETY: `fprog` and the `len` instructions it points to outlive the call, which only reads them.
        let ret = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const fprog) };
        result = Errno::result(ret).map(drop).map_err(InstallError::Refused);
        if result != Err(InstallError::Refused(Errno::EINVAL)) {
            break;
        }
    }
    result
}

/// Makes a call that only the filter can answer with success: `kexec_load`, with arguments that the kernel refuses whoever asks
/// (more segments than `KEXEC_SEGMENT_MAX` and unknown flags: kernel/kexec.c, `kexec_load_check`).
///
/// # Errors
/// [`InstallError::NoAnswer`] if the kernel, or another filter, answered instead.
pub fn probe() -> Result<(), InstallError> {
    let (entry, segments, flags) = (usize::MAX, usize::MAX, usize::MAX);
    // SAFETY: the segment pointer is null and the count out of range, so that no memory is touched, whoever answers.
    let ret = unsafe { libc::syscall(libc::SYS_kexec_load, entry, segments, std::ptr::null::<libc::c_void>(), flags) };
    Errno::result(ret).map(drop).map_err(InstallError::NoAnswer)
}
