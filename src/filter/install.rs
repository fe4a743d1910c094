//! Installs a program and proves that it answers: the filter's only contact with the kernel.

use std::fmt;
use std::os::fd::OwnedFd;

use nix::errno::Errno;

use crate::filter::asm::sock_filter;
use crate::sys::seccomp;

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
            InstallError::Refused(errno) => {
                write!(f, "cannot install the filter: {}", errno.desc())
            }
            InstallError::NoAnswer(errno) => {
                write!(f, "the filter does not answer: {}", errno.desc())
            }
        }
    }
}

impl std::error::Error for InstallError {}

/// Puts `program` on top of whatever filters the process has, for this process and all its
/// descendants, for good. Needs `no_new_privs` or `CAP_SYS_ADMIN` in the user namespace.
///
/// # Errors
/// [`InstallError::Refused`] with seccomp(2)'s error.
#[inline]
pub fn install(program: &[sock_filter]) -> Result<(), InstallError> {
    // From 4.17 to 5.15 a filter also turns on the mitigation of speculative store bypass, which
    // slows the command down; SPEC_ALLOW leaves that as it is (kernel/seccomp.c,
    // seccomp_assign_mode). Kernels before 4.17 answer EINVAL to the flag.
    let spec_allow = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    first_known([spec_allow, 0], |flags| seccomp::install(program, flags))
}

/// The same for a program that has calls notified. Returns the listener: one may be in a chain of
/// filters, else the error is `EBUSY`.
///
/// # Errors
/// [`InstallError::Refused`] with seccomp(2)'s error.
pub fn install_with_listener(program: &[sock_filter]) -> Result<OwnedFd, InstallError> {
    let spec_allow = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    // Since 5.19 a signal that does not kill can wait until a call that is in hand has its answer.
    let wait_killable = spec_allow | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    first_known([wait_killable, spec_allow], |flags| {
        seccomp::install_with_listener(program, flags)
    })
}

/// Installs with the first of `choices` of flags that the kernel knows.
#[inline]
fn first_known<T>(
    choices: [libc::c_ulong; 2],
    install: impl Fn(libc::c_ulong) -> Result<T, Errno>,
) -> Result<T, InstallError> {
    let [newest, oldest] = choices;
    let installed = match install(newest) {
        Err(Errno::EINVAL) => install(oldest),
        installed => installed,
    };
    installed.map_err(InstallError::Refused)
}

/// Makes a call that only the filter can answer with success.
///
/// # Errors
/// [`InstallError::NoAnswer`] if the kernel, or another filter, answered instead.
#[inline]
pub fn probe() -> Result<(), InstallError> {
    seccomp::kexec_load(0)
        .map(drop)
        .map_err(InstallError::NoAnswer)
}
