//! A process that outlives zroot, and that the command never finds among its children.

use std::fs;
use std::os::fd::{AsRawFd, RawFd};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::prctl::get_child_subreaper;
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, getpid, setsid};

use crate::sys::file::close_range;
use crate::sys::process::{exit, fork, fork_without_signal};

/// Runs `work` in a process of its own, in its own session. That process drops nothing of the
/// caller's, and the caller nothing that `work` owns: it is the other process's now.
///
/// # Errors
/// fork(2)'s; `EAGAIN` for the second one's. `work` is dropped then.
pub fn detached(work: impl FnOnce()) -> Result<(), Errno> {
    let start = || {
        // The command may send a signal to its process group at once.
        let _ = setsid();
    };
    if adopts_orphans() {
        // A grandchild would come back to us.
        return fork_without_signal(|| {
            start();
            work();
            0
        })
        .map(drop);
    }
    // Twice, so that it becomes somebody else's child.
    match fork()? {
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
            let second = fork();
            if matches!(second, Ok(ForkResult::Child)) {
                work();
            }
            exit(second.is_err().into())
        }
    }
}

/// Whether this process becomes the parent of its descendants whose parents have ended: it is the
/// first of its PID namespace, or a subreaper.
fn adopts_orphans() -> bool {
    getpid().as_raw() == 1 || get_child_subreaper().unwrap_or(false)
}

/// Closes every descriptor but `keep`. If a pipe of the caller's stayed open, its reader would wait
/// for us. The standard descriptors lead to `/dev/null` afterwards, unless they are in `keep`.
pub fn hold_nothing_but(keep: &[RawFd]) {
    let mut keep = keep.to_owned();
    keep.sort_unstable();
    let mut first = 0;
    let mut done = Ok(());
    for kept in keep.iter().copied().chain([RawFd::MAX]) {
        if kept > first && done.is_ok() {
            done = close_range(first, kept - 1);
        }
        first = kept.saturating_add(1);
    }
    if done.is_err() {
        close_one_by_one(&keep);
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

/// The same before 5.9.
fn close_one_by_one(keep: &[RawFd]) {
    // Not the standard library's, which panics where closing the directory fails.
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let Ok(mut dir) = Dir::open("/proc/self/fd", flags, Mode::empty()) else {
        return;
    };
    let own = dir.as_raw_fd();
    let open = dir.iter().flatten();
    let open: Vec<RawFd> = open
        .filter_map(|entry| entry.file_name().to_str().ok()?.parse().ok())
        .filter(|fd| *fd != own && !keep.contains(fd))
        .collect();
    for fd in open {
        let _ = nix::unistd::close(fd);
    }
}
