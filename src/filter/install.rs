//! Installs a program and proves that it answers: the filter's only contact with the kernel.

#![allow(unsafe_code)] // seccomp(2) with flags and the probe: no crate has a safe call for them

use std::fmt;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use crate::filter::asm::sock_filter;
use crate::filter::policy::{ClassSet, Level, Policy};

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
    first_known(&[libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW, 0], program).map(drop)
}

/// The same for a program that has calls notified. Returns the listener: one may be in a chain of
/// filters, else the error is `EBUSY`.
///
/// # Errors
/// [`InstallError::Refused`] with seccomp(2)'s error.
pub fn install_with_listener(program: &[sock_filter]) -> Result<OwnedFd, InstallError> {
    let flags = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW | libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // Since 5.19 a signal that does not kill can wait until a call that is in hand has its answer.
    let fd = first_known(
        &[flags | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, flags],
        program,
    )?;
    // SAFETY: the kernel has just made the descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// seccomp(2) with the first of `choices` of flags that the kernel knows; what it returns.
#[inline]
fn first_known(choices: &[libc::c_ulong], program: &[sock_filter]) -> Result<RawFd, InstallError> {
    /// `struct sock_fprog`, include/uapi/linux/filter.h.
    #[repr(C)]
    struct SockFprog {
        len: libc::c_ushort,
        filter: *const sock_filter,
    }

    // asm::MAX_LEN keeps every assembled program below this.
    let len = libc::c_ushort::try_from(program.len())
        .map_err(|_| InstallError::Refused(Errno::EINVAL))?;
    let fprog = SockFprog {
        len,
        filter: program.as_ptr(),
    };
    let mut result = Err(InstallError::Refused(Errno::EINVAL));
    for flags in choices {
        // SAFETY: `fprog` and the `len` instructions it points to outlive the call, which only
        // reads them.
        let ret = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                *flags,
                &raw const fprog,
            )
        };
        result = Errno::result(ret).map_err(InstallError::Refused);
        if result != Err(InstallError::Refused(Errno::EINVAL)) {
            break;
        }
    }
    result.map(|fd| RawFd::try_from(fd).unwrap_or(-1))
}

/// Makes a call that only the filter can answer with success: `kexec_load`, with arguments that the
/// kernel refuses whoever asks (more segments than `KEXEC_SEGMENT_MAX` and unknown flags:
/// kernel/kexec.c, `kexec_load_check`).
///
/// # Errors
/// [`InstallError::NoAnswer`] if the kernel, or another filter, answered instead.
#[inline]
pub fn probe() -> Result<(), InstallError> {
    kexec_load(HELLO).map(drop).map_err(InstallError::NoAnswer)
}

/// The same with a supervisor that answers as `policy` says, which returns a value: tells whether
/// that arrives.
///
/// # Errors
/// [`InstallError::NoAnswer`] if the kernel, or another filter, answered instead.
pub fn probe_supervisor(policy: Policy) -> Result<bool, InstallError> {
    let answer = ask().map_err(InstallError::NoAnswer)?;
    Ok(from_hello(answer)
        == Some(Policy {
            is_watched: false,
            ..policy
        }))
}

/// What is above this process already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outer {
    /// A filter that pretends by itself, a zroot's at level zero for one. What it pretends no
    /// filter below is asked about.
    Filter,
    /// A zroot's supervisor, which answers as this says.
    Supervisor(Policy),
}

/// Asks what is above this process, if anything.
#[must_use]
pub fn hello() -> Option<Outer> {
    // The kernel answers with an error.
    match ask().ok()? {
        0 => Some(Outer::Filter),
        answer => from_hello(answer).map(Outer::Supervisor),
    }
}

/// What a supervisor that answers as `policy` says returns to [`hello`]: never 0, nor anything like
/// an error.
#[must_use]
pub const fn to_hello(policy: Policy) -> i64 {
    ((policy.level as i64) << 16) + policy.classes.bits() as i64 + 1
}

fn from_hello(answer: libc::c_long) -> Option<Policy> {
    let answer = u32::try_from(answer).ok()?.checked_sub(1)?;
    let level = Level::ALL.get((answer >> 16) as usize)?;
    Some(Policy {
        level: *level,
        classes: ClassSet::from_bits((answer & 0xffff) as u16),
        is_watched: false,
    })
}

/// The first argument of the calls by which a zroot asks for a supervisor, its own or one above it
/// ("zroo").
pub const HELLO: usize = 0x7a72_6f6f;

/// Asks by `kexec_load`; and where the profile of a container runtime around us refuses that, whose
/// error comes before any notification (kernel/seccomp.c, `seccomp_run_filters`), by a call that
/// the profiles permit and the kernel still refuses.
fn ask() -> Result<libc::c_long, Errno> {
    kexec_load(HELLO).or_else(|refused| setgroups(HELLO).map_err(|_| refused))
}

#[inline]
fn kexec_load(entry: usize) -> Result<libc::c_long, Errno> {
    let (segments, flags) = (usize::MAX, usize::MAX);
    // SAFETY: the segment pointer is null and the count out of range, so that no memory is touched,
    // whoever answers.
    Errno::result(unsafe {
        libc::syscall(
            libc::SYS_kexec_load,
            entry,
            segments,
            std::ptr::null::<libc::c_void>(),
            flags,
        )
    })
}

/// `count` above `NGROUPS_MAX` is an error, whoever asks (kernel/groups.c).
fn setgroups(count: usize) -> Result<libc::c_long, Errno> {
    // SAFETY: the pointer is null, so that no memory is touched, whoever answers.
    Errno::result(unsafe {
        libc::syscall(libc::SYS_setgroups, count, std::ptr::null::<libc::gid_t>())
    })
}
