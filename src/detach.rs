//! A process that outlives zroot's becoming the command and is nobody's child.

use std::fs;
use std::os::fd::{AsRawFd, RawFd};

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, setsid};

/// Runs `work` in a process of its own, in its own session, forked twice so that the command does not find a child that it did not start. There,
/// nothing of the caller's is dropped; here, nothing that `work` owns: it is the other process's now.
///
/// # Errors
/// fork(2)'s; `EAGAIN` for the second one's.
pub fn detached(work: impl FnOnce()) -> Result<(), Errno> {
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
            // The command may send a signal to its process group at once.
            let _ = setsid();
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

/// Ends a forked process. Not exit(3): what is buffered or registered is the parent's.
pub fn exit(status: i32) -> ! {
    // SAFETY: _exit(2) only ends the process.
    #[allow(unsafe_code)]
    unsafe {
        libc::_exit(status)
    }
}

/// Closes every descriptor but `keep`: a pipe of the caller's, held open, would keep its reader waiting. The standard ones may be among `keep`,
/// where the caller has closed its own; else they lead to `/dev/null`.
pub fn hold_nothing_but(keep: &[RawFd]) {
    let Ok(open) = fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<RawFd> = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| !keep.contains(fd)) {
        let _ = nix::unistd::close(fd);
    }
    while let Ok(null) = fs::OpenOptions::new().read(true).write(true).open("/dev/null") {
        if null.as_raw_fd() > 2 {
            break;
        }
        std::mem::forget(null);
    }
}
