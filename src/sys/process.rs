//! Processes, signals and limits.

use std::ffi::c_void;
use std::mem;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::sched::{CloneFlags, clone, unshare};
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::{ForkResult, Pid};

use crate::arch::Abi;

/// fork(2), for a process of one thread.
///
/// With more threads the child would find memory as the others left it in the middle of their
/// work, so this refuses.
///
/// # Errors
/// fork(2)'s; unshare(2)'s, which is `EINVAL`, if there is more than one thread.
pub fn fork() -> Result<ForkResult, Errno> {
    has_one_thread()?;
    // SAFETY: there is one thread, and nobody but it could start another before the call. So the
    // child has a copy of memory in which nothing is half done, and may do what the parent may.
    #[allow(unsafe_code)]
    unsafe {
        nix::unistd::fork()
    }
}

/// Runs `work` in a child whose end nobody is told of, and ends the child with the status that
/// `work` returns. Needs a process of one thread, as [`fork`] does.
///
/// The parent gets no signal, and its wait(2) leaves the child out unless asked for it by
/// `__WALL` (kernel/exit.c, `eligible_child`). The parent drops nothing that `work` owns: it is
/// the child's now.
///
/// # Errors
/// clone(2)'s or mmap(2)'s; unshare(2)'s, which is `EINVAL`, if there is more than one thread.
pub fn fork_without_signal(work: impl FnOnce() -> i32) -> Result<Pid, Errno> {
    has_one_thread()?;
    let mut stack = Stack::new()?;
    let mut work = Some(work);
    let child = Box::new(|| work.take().map_or(0, |work| work()) as isize);
    // SAFETY: as in `fork`: without CLONE_VM the child has a copy of all memory, its stack among
    // it, and there is no other thread. It does not leave the closure but by its end.
    #[allow(unsafe_code)]
    let pid = unsafe { clone(child, stack.usable(), CloneFlags::empty(), None) }?;
    mem::forget(work);
    Ok(pid)
}

/// A stack for a child. Whoever runs over its end meets a fault, and not somebody's memory.
struct Stack(NonNull<c_void>);

impl Stack {
    /// A multiple of the largest page size (64 KiB).
    const GUARD: usize = 64 << 10;
    const SIZE: NonZeroUsize = NonZeroUsize::new(Stack::GUARD + (1 << 20)).unwrap();

    fn new() -> Result<Stack, Errno> {
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping takes nothing from anybody.
        #[allow(unsafe_code)]
        let start = unsafe { mmap_anonymous(None, Stack::SIZE, access, MapFlags::MAP_PRIVATE) }?;
        let stack = Stack(start);
        // SAFETY: it is ours, and nothing refers to it.
        #[allow(unsafe_code)]
        unsafe { mprotect(start, Stack::GUARD, ProtFlags::PROT_NONE) }?;
        Ok(stack)
    }

    /// What is above the guard.
    fn usable(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is that long, zeroed, and ours as long as `self` lives; whoever has
        // `self` borrowed for writing is alone with it.
        #[allow(unsafe_code)]
        unsafe {
            let start = self.0.cast::<u8>().add(Stack::GUARD);
            slice::from_raw_parts_mut(start.as_ptr(), Stack::SIZE.get() - Stack::GUARD)
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing refers to it any more. A child never comes here.
        #[allow(unsafe_code)]
        let _ = unsafe { munmap(self.0, Stack::SIZE.get()) };
    }
}

/// Whether this process has one thread, as an error where it has more or nobody can tell.
///
/// # Errors
/// unshare(2)'s, which is `EINVAL` for more than one thread.
pub fn has_one_thread() -> Result<(), Errno> {
    // Nothing is unshared: the kernel looks whether it would have to (kernel/fork.c,
    // check_unshare_flags).
    match unshare(CloneFlags::CLONE_THREAD) {
        // A container runtime may forbid unshare(2). The directory has a link of its own, one in
        // its parent, and one for each thread (fs/proc/base.c, proc_task_getattr).
        Err(refused) => match nix::sys::stat::stat(c"/proc/self/task") {
            Ok(status) if status.st_nlink == 3 => Ok(()),
            _ => Err(refused),
        },
        Ok(()) => Ok(()),
    }
}

/// Has the child that `command` starts inherit `descriptor`, by its number. It is closed here as
/// soon as `command` is dropped.
pub fn inherit(command: &mut Command, descriptor: OwnedFd) {
    let keep = move || {
        // SAFETY: fcntl(2) takes three integers here.
        #[allow(unsafe_code)]
        let ret = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_SETFD, 0) };
        Errno::result(ret)?;
        Ok(())
    };
    // SAFETY: between fork(2) and execve(2) the closure makes one system call, and neither takes a
    // lock nor memory.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(keep);
    }
}

/// Ends a forked process. Not exit(3): what is buffered or registered is the parent's.
pub fn exit(status: i32) -> ! {
    // SAFETY: _exit(2) only ends the process.
    #[allow(unsafe_code)]
    unsafe {
        libc::_exit(status)
    }
}

/// Leaves `signal` to the kernel. Returns whether it was ignored.
#[must_use]
pub fn default_signal(signal: Signal) -> bool {
    let before = set(signal, SigHandler::SigDfl);
    before.is_some_and(|before| matches!(before.handler(), SigHandler::SigIgn))
}

/// Ignores `signal`.
pub fn ignore_signal(signal: Signal) {
    set(signal, SigHandler::SigIgn);
}

/// A signal that was waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrived {
    /// Its number. Real-time signals have no names.
    pub number: libc::c_int,
    /// Whether a process sent it, and not the kernel (sigaction(2), `si_code`).
    pub is_sent: bool,
}

/// Waits for one of `signals`, which must be blocked.
///
/// # Errors
/// sigwaitinfo(2)'s: `EINTR`.
pub fn wait_for_signal(signals: &SigSet) -> Result<Arrived, Errno> {
    await_signal(signals, ptr::null())
}

/// One of `signals`, which must be blocked, that is here already.
#[must_use]
pub fn signal_at_hand(signals: &SigSet) -> Option<Arrived> {
    let no_time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    loop {
        match await_signal(signals, &raw const no_time) {
            Err(Errno::EINTR) => {}
            arrived => return arrived.ok(),
        }
    }
}

/// sigtimedwait(2); for ever if `time` is null.
fn await_signal(signals: &SigSet, time: *const libc::timespec) -> Result<Arrived, Errno> {
    let mut info = mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: the kernel reads a set, and a time if there is one, and writes a siginfo_t.
    #[allow(unsafe_code)]
    let number = unsafe { libc::sigtimedwait(signals.as_ref(), info.as_mut_ptr(), time) };
    let number = Errno::result(number)?;
    // SAFETY: it was zeroed, which is a value, and the kernel has written it since.
    #[allow(unsafe_code)]
    let info = unsafe { info.assume_init() };
    Ok(Arrived {
        number,
        is_sent: info.si_code <= 0,
    })
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// With this exit status.
    Exited(libc::c_int),
    /// By the signal of this number.
    Signaled(libc::c_int),
}

/// How `child` has ended, which is gone then; `None` if it has not. Waits for its end if
/// `is_patient`. Other children that have ended are gone as well: the first process of a PID
/// namespace is given others' children.
///
/// # Errors
/// waitpid(2)'s: `ECHILD`.
pub fn end_of(child: Pid, is_patient: bool) -> Result<Option<End>, Errno> {
    let mut status = 0;
    let flags = if is_patient { 0 } else { libc::WNOHANG };
    let mut failed = false;
    loop {
        // SAFETY: the kernel writes an integer. nix's own call loses the end by a real-time signal.
        #[allow(unsafe_code)]
        let ended = unsafe { libc::waitpid(-1, &raw mut status, flags) };
        return match Errno::result(ended) {
            Err(Errno::EINTR) => continue,
            Ok(0) => Ok(None),
            Ok(other) if other != child.as_raw() => continue,
            Ok(_) if libc::WIFSIGNALED(status) => Ok(Some(End::Signaled(libc::WTERMSIG(status)))),
            Ok(_) => Ok(Some(End::Exited(libc::WEXITSTATUS(status)))),
            // There is no other way to learn of it.
            Err(errno) if errno != Errno::ECHILD && !failed => {
                failed = true;
                continue;
            }
            Err(errno) => Err(errno),
        };
    }
}

/// Ends this process by the signal of that number. Returns if that does not end a process.
pub fn die_of(number: libc::c_int) {
    let mut one = SigSet::empty();
    // SAFETY: without a handler nothing of ours runs; sigaddset(3) changes a set of ours; raise(3)
    // takes an integer.
    #[allow(unsafe_code)]
    unsafe {
        libc::signal(number, libc::SIG_DFL);
        let mut set = *one.as_ref();
        libc::sigaddset(&raw mut set, number);
        one = SigSet::from_sigset_t_unchecked(set);
        let _ = one.thread_unblock();
        libc::raise(number);
    }
}

/// kill(2) with any signal's number.
///
/// # Errors
/// kill(2)'s.
pub fn send_signal(process: Pid, number: libc::c_int) -> Result<(), Errno> {
    // SAFETY: kill(2) takes two integers.
    #[allow(unsafe_code)]
    Errno::result(unsafe { libc::kill(process.as_raw(), number) }).map(drop)
}

/// Sets the flag that this returns whenever `signal` arrives, and interrupts a call that waits.
///
/// A handler must not do much, so that it cannot be given: this one stores to an atomic.
pub fn flag_signal(signal: Signal) -> &'static AtomicBool {
    set(signal, SigHandler::Handler(flag));
    &FLAGS[signal as usize]
}

/// One for each signal number that [`Signal`] has a name for: below 32 on every architecture.
static FLAGS: [AtomicBool; 32] = [const { AtomicBool::new(false) }; 32];

extern "C" fn flag(signal: libc::c_int) {
    let flag = usize::try_from(signal).ok().and_then(|at| FLAGS.get(at));
    if let Some(flag) = flag {
        flag.store(true, Ordering::Relaxed);
    }
}

/// Returns what was before. The kernel refuses only what is no signal, SIGKILL and SIGSTOP.
fn set(signal: Signal, handler: SigHandler) -> Option<SigAction> {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: without a handler of ours nothing of ours runs. `flag` is one that may run between
    // any two instructions: it takes no lock and no memory, and stores to an atomic.
    #[allow(unsafe_code)]
    unsafe { sigaction(signal, &action) }.ok()
}

/// A descriptor that can be read once `process` has ended.
///
/// # Errors
/// pidfd_open(2)'s: `ENOSYS` before 5.3.
pub fn pidfd_open(process: Pid) -> Result<OwnedFd, Errno> {
    // SAFETY: pidfd_open(2) takes two integers; what it returns is a new descriptor, which nobody
    // else owns.
    #[allow(unsafe_code)]
    unsafe {
        owned(libc::syscall(libc::SYS_pidfd_open, process.as_raw(), 0))
    }
}

/// A pidfd of thread `tid`.
///
/// # Errors
/// pidfd_open(2)'s: `EINVAL` or `ENOENT` for a thread that is not its process's first, before 6.9.
pub fn pidfd_open_thread(tid: i32) -> Result<OwnedFd, Errno> {
    /// `PIDFD_THREAD`, include/uapi/linux/pidfd.h.
    const PIDFD_THREAD: libc::c_int = libc::O_EXCL;
    let open = |flags: libc::c_int| {
        // SAFETY: pidfd_open(2) takes two integers; what it returns is a new descriptor, which
        // nobody else owns.
        #[allow(unsafe_code)]
        unsafe {
            owned(libc::syscall(libc::SYS_pidfd_open, tid, flags))
        }
    };
    match open(PIDFD_THREAD) {
        Err(Errno::EINVAL) => open(0),
        thread => thread,
    }
}

/// Whether the thread or process of a pidfd has not ended, or is still there to be waited for.
#[must_use]
pub fn is_alive(thread: impl AsFd) -> bool {
    let (fd, none, info, flags) = (thread.as_fd().as_raw_fd(), 0, 0, 0);
    // SAFETY: pidfd_send_signal(2) sends nothing for signal 0, and reads nothing at a null pointer.
    #[allow(unsafe_code)]
    let ret = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, none, info, flags) };
    Errno::result(ret).is_ok()
}

/// A copy of descriptor `fd` of `thread`, a pidfd.
///
/// # Errors
/// pidfd_getfd(2)'s: `EBADF`; `EPERM` where the thread must not be looked into; `ESRCH`.
pub fn descriptor_of(thread: impl AsFd, fd: RawFd) -> Result<OwnedFd, Errno> {
    let (from, flags) = (thread.as_fd().as_raw_fd(), 0);
    // SAFETY: pidfd_getfd(2) takes three integers; what it returns is a new descriptor, which
    // nobody else owns.
    #[allow(unsafe_code)]
    unsafe {
        owned(libc::syscall(libc::SYS_pidfd_getfd, from, fd, flags))
    }
}

/// The namespace around `namespace`, which is one of PIDs or users, by descriptors.
///
/// # Errors
/// ioctl(2)'s: `EPERM` where there is none that this process may know of.
pub fn parent_of_namespace(namespace: impl AsFd) -> Result<OwnedFd, Errno> {
    /// `_IO(0xb7, 2)`, include/uapi/linux/nsfs.h.
    const NS_GET_PARENT: u32 = Abi::NATIVE.io(0xb7, 2);
    let (number, fd) = (libc::SYS_ioctl, namespace.as_fd().as_raw_fd());
    // SAFETY: ioctl(2) takes three integers here; what it returns is a new descriptor, which nobody
    // else owns.
    #[allow(unsafe_code)]
    unsafe {
        owned(libc::syscall(number, fd, NS_GET_PARENT, 0))
    }
}

/// The descriptor that a system call returned.
///
/// # Safety
/// It is a new one, or an error.
#[allow(unsafe_code)]
unsafe fn owned(returned: libc::c_long) -> Result<OwnedFd, Errno> {
    let fd = RawFd::try_from(Errno::result(returned)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the caller says so.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The soft limit RLIMIT_LOCKS of the process that thread `tid` is in, set to `new` if that is
/// given; the value before. It limits nothing since Linux 2.4.25, fork(2) copies it and execve(2)
/// keeps it: a place for a number that follows a process and its children.
///
/// # Errors
/// prlimit(2)'s.
pub fn locks_limit(tid: i32, new: Option<u64>) -> Result<u64, Errno> {
    let new = new.map(|soft| Limit {
        soft,
        hard: libc::RLIM64_INFINITY,
    });
    Ok(limit(
        tid,
        u32::from_ne_bytes(libc::RLIMIT_LOCKS.to_ne_bytes()),
        new,
    )?
    .soft)
}

/// A limit of a process: `struct rlimit64`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limit {
    /// The one that counts.
    pub soft: u64,
    /// How far it may be raised.
    pub hard: u64,
}

/// The limit `resource` of the process that thread `tid` is in, set to `new` if that is given; what
/// it was before.
///
/// # Errors
/// prlimit(2)'s.
pub fn limit(tid: i32, resource: u32, new: Option<Limit>) -> Result<Limit, Errno> {
    let mut old = Limit::default();
    let new = new.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the kernel reads one struct rlimit64, or nothing, and writes one.
    #[allow(unsafe_code)]
    let ret = unsafe { libc::syscall(libc::SYS_prlimit64, tid, resource, new, &raw mut old) };
    Errno::result(ret)?;
    Ok(old)
}

/// What a thread may do, and what it could raise again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capabilities {
    /// What counts: bit N is capability N.
    pub effective: u64,
    /// What may become effective.
    pub permitted: u64,
}

/// `_LINUX_CAPABILITY_VERSION_3`, include/uapi/linux/capability.h: 64 bits a set.
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// The capabilities of thread `tid`, this one's for 0. Anybody may ask for anybody's.
///
/// # Errors
/// capget(2)'s: `ESRCH`.
pub fn capabilities(tid: i32) -> Result<Capabilities, Errno> {
    let header = [CAPABILITY_VERSION, u32::from_ne_bytes(tid.to_ne_bytes())];
    // Effective, permitted, inheritable: the lower words, then the upper ones.
    let mut data = [0_u32; 6];
    // SAFETY: the kernel reads a struct of two words and writes two structs of three.
    #[allow(unsafe_code)]
    let ret = unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), data.as_mut_ptr()) };
    Errno::result(ret)?;
    let set = |low: usize| u64::from(data[low]) | u64::from(data[low + 3]) << 32;
    Ok(Capabilities {
        effective: set(0),
        permitted: set(1),
    })
}

/// Takes `capabilities`, and none beside them, for this thread.
///
/// # Errors
/// capset(2)'s: `EPERM` for some that are not permitted.
pub fn set_capabilities(capabilities: Capabilities) -> Result<(), Errno> {
    let word = |set: u64, upper: bool| {
        let set = if upper { set >> 32 } else { set & 0xffff_ffff };
        u32::try_from(set).unwrap_or_default()
    };
    let Capabilities {
        effective,
        permitted,
    } = capabilities;
    let header = [CAPABILITY_VERSION, 0];
    let half = |upper| [word(effective, upper), word(permitted, upper), 0];
    let data = [half(false), half(true)];
    // SAFETY: the kernel reads a struct of two words and two of three.
    #[allow(unsafe_code)]
    let ret = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) };
    Errno::result(ret).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test harness has a thread beside this one.
    #[test]
    fn a_process_of_two_threads_does_not_fork() {
        let one = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| one.wait());
            assert_eq!(fork().err(), Some(Errno::EINVAL));
            assert_eq!(fork_without_signal(|| 0).err(), Some(Errno::EINVAL));
            one.wait();
        });
    }

    #[test]
    fn a_signal_sets_its_flag() {
        let flag = flag_signal(Signal::SIGUSR2);
        assert!(!flag.load(Ordering::Relaxed));
        nix::sys::signal::raise(Signal::SIGUSR2).expect("a signal to this thread");
        assert!(flag.load(Ordering::Relaxed));
        assert!(!default_signal(Signal::SIGUSR2));
    }
}
