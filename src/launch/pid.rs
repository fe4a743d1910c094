//! A PID namespace of the command's own (`--pid`), so that what it sends to all processes, and what
//! it leaves running, stays inside.
//!
//! Three processes: this one passes on signals and the end. Its child is the first process of the
//! namespace, which takes in orphans; it must not be the command, because signals do not end a
//! first process unless it has a handler. The first one's child becomes the command. When the
//! command has ended, so does the first process, and the kernel ends all others.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::{set_name, set_pdeathsig};
use nix::sys::signal::Signal;
use nix::unistd::{ForkResult, pipe2, read, write};

use super::error::Error;
use super::relay::{Held, repeat};
use crate::detach::hold_nothing_but;
use crate::error::Failure;
use crate::namespace::pid::mount_proc;
use crate::sys::process::{End, exit, fork};

/// Makes the namespace. Returns `None` in its second process, which is to become the command. This
/// process waits for that, and returns the exit status to pass on. Needs a mount namespace of our
/// own, in which `/proc` is covered by that of the new namespace.
///
/// # Errors
/// [`Error`] if it is not to be had; in the namespace's first process if that cannot have its
/// `/proc`.
pub fn enter() -> Result<Option<u8>, Error> {
    let failed = |errno| Failure::errno("cannot start a process", errno);
    unshare(CloneFlags::CLONE_NEWPID).map_err(|errno| {
        let hint = "--pid needs CAP_SYS_ADMIN, which --userns=auto brings where user namespaces are allowed";
        Failure::errno("cannot make a PID namespace", errno).hint(hint)
    })?;
    let held = Held::hold().map_err(failed)?;
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).map_err(failed)?;
    match fork().map_err(failed)? {
        ForkResult::Parent { child } => {
            hold_nothing_but(&[libc::STDERR_FILENO, reader.as_raw_fd()]);
            std::mem::forget(writer);
            let end = held.pass_on(child);
            let end = end.map_err(|errno| Failure::errno("cannot wait for the command", errno))?;
            held.let_go();
            Ok(Some(repeat(told(&reader).unwrap_or(end))))
        }
        ForkResult::Child => {
            let is_bound = set_pdeathsig(Signal::SIGKILL).is_ok();
            drop(reader);
            if !is_bound || is_alone(&writer) {
                exit(125); // it was killed before that, and nobody waits for a word
            }
            mount_proc()?;
            match fork().map_err(failed)? {
                ForkResult::Parent { child } => {
                    let _ = set_name(c"zroot-init");
                    hold_nothing_but(&[writer.as_raw_fd()]);
                    if let Ok(end) = held.pass_on(child) {
                        tell(&writer, end);
                    }
                    exit(125) // which counts if nothing was told
                }
                ForkResult::Child => {
                    held.let_go();
                    Ok(None)
                }
            }
        }
    }
}

/// Whether nobody reads any more what is written to this pipe.
fn is_alone(writer: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(writer.as_fd(), PollFlags::empty())];
    let errors = |polled: &PollFd| {
        polled
            .revents()
            .is_some_and(|it| it.contains(PollFlags::POLLERR))
    };
    poll(&mut polled, PollTimeout::ZERO).is_ok() && errors(&polled[0])
}

/// Says how the command has ended: the first process of a namespace cannot end by a signal itself.
fn tell(writer: &OwnedFd, end: End) {
    let (kind, number) = match end {
        End::Exited(status) => (0, status),
        End::Signaled(number) => (1, number),
    };
    let words: [i32; 2] = [kind, number];
    // Fewer bytes than PIPE_BUF go at once, or not at all.
    let _ = write(writer, words.map(i32::to_ne_bytes).as_flattened());
}

/// What [`tell`] has said, if it has.
fn told(reader: &OwnedFd) -> Option<End> {
    let mut words = [[0; 4]; 2];
    loop {
        match read(reader, words.as_flattened_mut()) {
            Err(Errno::EINTR) => {}
            Ok(8) => break,
            _ => return None,
        }
    }
    match words.map(i32::from_ne_bytes) {
        [0, status] => Some(End::Exited(status)),
        [_, number] => Some(End::Signaled(number)),
    }
}
