//! A process that outlives zroot's becoming the command and is nobody's child.

use std::fs;
use std::os::fd::{AsRawFd, RawFd};

use nix::errno::Errno;
use nix::sched::{CloneFlags, clone};
use nix::sys::prctl::get_child_subreaper;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, getpid, setsid};

/// Runs `work` in a process of its own, in its own session, which the command does not find among
/// its children. There, nothing of the caller's is dropped; here, nothing that `work` owns: it is
/// the other process's now.
///
/// # Errors
/// fork(2)'s; `EAGAIN` for the second one's.
pub fn detached(work: impl FnOnce()) -> Result<(), Errno> {
    let start = || {
        // The command may send a signal to its process group at once.
        let _ = setsid();
    };
    if adopts_orphans() {
        // It would come back to us. One whose end nobody is told of is left out of wait(2), unless
        // asked for by __WALL (kernel/exit.c, eligible_child).
        let mut stack = vec![0; 1 << 20];
        let mut work = Some(work);
        let child = Box::new(|| {
            start();
            if let Some(work) = work.take() {
                work();
            }
            exit(0)
        });
        // SAFETY: the child has a copy of all memory, the stack among it.
        #[allow(unsafe_code)]
        unsafe { clone(child, &mut stack, CloneFlags::empty(), None) }?;
        std::mem::forget(work);
        return Ok(());
    }
    // Twice, so that it is somebody else's child.
    // SAFETY: zroot has one thread, so that the child may do whatever the parent may.
    #[allow(unsafe_code)]
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            let ended = loop {
                match waitpid(child, None) {
                    Err(Errno::EINTR) => {}
                    ended => break ended,
                }
            };
            match ended {
                // No status is kept where the caller ignores SIGCHLD, which survives execve.
                Ok(WaitStatus::Exited(_, 0)) | Err(Errno::ECHILD) => {
                    std::mem::forget(work);
                    Ok(())
                }
                _ => Err(Errno::EAGAIN),
            }
        }
        ForkResult::Child => {
            start();
            // SAFETY: as above.
            #[allow(unsafe_code)]
            let second = unsafe { fork() };
            if matches!(second, Ok(ForkResult::Child)) {
                work();
            }
            exit(second.is_err().into())
        }
    }
}

/// Whether children of children become this process's own when their parents end: it is its PID
/// namespace's first, or a subreaper.
fn adopts_orphans() -> bool {
    getpid().as_raw() == 1 || get_child_subreaper().unwrap_or(false)
}

/// Ends a forked process. Not exit(3): what is buffered or registered is the parent's.
pub fn exit(status: i32) -> ! {
    // SAFETY: _exit(2) only ends the process.
    #[allow(unsafe_code)]
    unsafe {
        libc::_exit(status)
    }
}

/// Closes every descriptor but `keep`: a pipe of the caller's, held open, would keep its reader
/// waiting. The standard ones may be among `keep`, where the caller has closed its own; else they
/// lead to `/dev/null`.
pub fn hold_nothing_but(keep: &[RawFd]) {
    let Ok(open) = fs::read_dir("/proc/self/fd") else {
        return;
    };
    let open: Vec<RawFd> = open
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for fd in open.into_iter().filter(|fd| !keep.contains(fd)) {
        let _ = nix::unistd::close(fd);
    }
    while let Ok(null) = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
    {
        if null.as_raw_fd() > 2 {
            break;
        }
        std::mem::forget(null);
    }
}
