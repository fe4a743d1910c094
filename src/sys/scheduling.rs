//! Priorities and scheduling policies, of this process and others.

#![allow(unsafe_code)] // no crate has a safe call for any of them

use nix::errno::Errno;

/// The nice value of thread `tid`.
///
/// # Errors
/// getpriority(2)'s: `ESRCH`.
pub fn nice_of(tid: i32) -> Result<i32, Errno> {
    // SAFETY: getpriority(2) takes two integers.
    let ret = unsafe { libc::syscall(libc::SYS_getpriority, libc::PRIO_PROCESS, tid) };
    // 1 to 40, the highest last, lest it be taken for an error (kernel/sys.c, `getpriority`).
    Ok(20 - i32::try_from(Errno::result(ret)?).unwrap_or(20))
}

/// setpriority(2): `which` is one of `PRIO_*`.
///
/// # Errors
/// setpriority(2)'s.
pub fn set_nice(which: i32, who: i32, nice: i32) -> Result<(), Errno> {
    // SAFETY: setpriority(2) takes three integers.
    let ret = unsafe { libc::syscall(libc::SYS_setpriority, which, who, nice) };
    Errno::result(ret).map(drop)
}

/// Sets the scheduling policy of thread `tid`, and its real-time priority.
///
/// # Errors
/// sched_setscheduler(2)'s.
pub fn set_scheduler(tid: i32, policy: i32, priority: i32) -> Result<(), Errno> {
    let at = &raw const priority;
    // SAFETY: the kernel reads a struct sched_param, which is one int.
    let ret = unsafe { libc::syscall(libc::SYS_sched_setscheduler, tid, policy, at) };
    Errno::result(ret).map(drop)
}

/// Sets the real-time priority of thread `tid`.
///
/// # Errors
/// sched_setparam(2)'s.
pub fn set_scheduler_priority(tid: i32, priority: i32) -> Result<(), Errno> {
    let at = &raw const priority;
    // SAFETY: the kernel reads a struct sched_param, which is one int.
    let ret = unsafe { libc::syscall(libc::SYS_sched_setparam, tid, at) };
    Errno::result(ret).map(drop)
}

/// sched_setattr(2) with `attributes`, a `struct sched_attr` that says how large it is.
///
/// # Errors
/// sched_setattr(2)'s; `EINVAL` if it says that it is larger.
pub fn set_scheduler_attributes(tid: i32, attributes: &mut [u8], flags: i32) -> Result<(), Errno> {
    let size = attributes.first_chunk().copied().map(u32::from_ne_bytes);
    if size.is_none_or(|size| size == 0 || size as usize > attributes.len()) {
        return Err(Errno::EINVAL);
    }
    let at = attributes.as_mut_ptr();
    // SAFETY: the kernel reads as much as the structure's first member says, and may write that.
    let ret = unsafe { libc::syscall(libc::SYS_sched_setattr, tid, at, flags) };
    Errno::result(ret).map(drop)
}

/// ioprio_set(2): `which` is one of `IOPRIO_WHO_*`.
///
/// # Errors
/// ioprio_set(2)'s.
pub fn set_io_priority(which: i32, who: i32, priority: i32) -> Result<(), Errno> {
    // SAFETY: ioprio_set(2) takes three integers.
    let ret = unsafe { libc::syscall(libc::SYS_ioprio_set, which, who, priority) };
    Errno::result(ret).map(drop)
}
