//! The limits of other processes.

#![allow(unsafe_code)] // prlimit(2): no crate has a safe call for another process's

use std::ptr;

use nix::errno::Errno;

/// The soft limit RLIMIT_LOCKS of the process that thread `tid` is in, set to `new` if that is
/// given; the value before. It limits nothing since Linux 2.4.25, fork(2) copies it and execve(2)
/// keeps it: a place for a number that follows a process and its children.
///
/// # Errors
/// prlimit(2)'s.
pub fn locks_limit(tid: i32, new: Option<u64>) -> Result<u64, Errno> {
    // struct rlimit64: the soft limit, the hard limit.
    let mut old = [0_u64; 2];
    let limits = new.map(|soft| [soft, libc::RLIM64_INFINITY]);
    let new = limits.as_ref().map_or(ptr::null(), ptr::from_ref);
    let resource = libc::RLIMIT_LOCKS;
    // SAFETY: the kernel reads one struct rlimit64, or nothing, and writes one.
    let ret = unsafe { libc::syscall(libc::SYS_prlimit64, tid, resource, new, &raw mut old) };
    Errno::result(ret)?;
    Ok(old[0])
}
