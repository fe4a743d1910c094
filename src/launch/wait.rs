//! Waiting for the command, for the one option that needs a word after its end: the command runs
//! in a child, and zroot passes on its exit status.

use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, raise, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};

use crate::error::{Failure, PRETENDED};
use crate::filter::policy::ClassSet;
use crate::sys::process::{default_signal, fork, ignore_signal};

/// How the command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// With this exit status.
    Exited(i32),
    /// By this signal.
    Signaled(Signal),
}

/// Signals that are meant for the command. SIGINT and SIGQUIT come from the terminal, to both.
const FORWARDED: [Signal; 4] = [
    Signal::SIGHUP,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// Forks. Returns `None` in the child at once. The parent waits for the child's end, and ends as it
/// did, unless `seen` has what is `forbidden`.
///
/// # Errors
/// [`Failure`] if there can be no child, or with what was forbidden.
#[inline(never)]
pub fn wait_and_judge(
    forbidden: ClassSet,
    seen: impl Fn() -> ClassSet,
) -> Result<Option<u8>, Failure> {
    let end = wait_for_child().map_err(|errno| Failure::errno("cannot start a process", errno))?;
    let Some(end) = end else { return Ok(None) };
    let found = forbidden.minus(ClassSet::ALL.minus(seen()));
    if found == ClassSet::EMPTY {
        return Ok(Some(end.repeat()));
    }
    let failure = Failure {
        status: PRETENDED,
        ..Failure::new(format!(
            "calls were pretended that --fail-on forbids: {found}"
        ))
    };
    Err(failure.hint("--summary says which"))
}

/// Forks. Returns `None` in the child at once, and in the parent the child's end. Meanwhile the
/// parent passes signals on to it.
///
/// # Errors
/// fork(2)'s.
fn wait_for_child() -> Result<Option<End>, Errno> {
    let mut signals = SigSet::from_iter(FORWARDED);
    signals.add(Signal::SIGCHLD);
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&signals), Some(&mut before))?;
    let child = match fork()? {
        ForkResult::Child => {
            sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
            return Ok(None);
        }
        ForkResult::Parent { child } => child,
    };
    ignore_signal(Signal::SIGINT);
    ignore_signal(Signal::SIGQUIT);
    // Where the caller ignores SIGCHLD, no status would be left.
    default_signal(Signal::SIGCHLD);
    loop {
        if let Some(end) = end_of(child) {
            return Ok(Some(end));
        }
        match signals.wait() {
            Ok(Signal::SIGCHLD) | Err(_) => {}
            Ok(signal) => {
                let _ = kill(child, signal);
            }
        }
    }
}

fn end_of(child: Pid) -> Option<End> {
    match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::Exited(_, status)) => Some(End::Exited(status)),
        Ok(WaitStatus::Signaled(_, signal, _)) => Some(End::Signaled(signal)),
        Ok(_) | Err(Errno::EINTR) => None,
        Err(_) => Some(End::Exited(0)), // somebody else has waited for it
    }
}

impl End {
    /// Ends this process the same way; the exit status where a signal does not do it.
    fn repeat(self) -> u8 {
        match self {
            End::Exited(status) => u8::try_from(status & 0xff).unwrap_or(u8::MAX),
            End::Signaled(number) => {
                default_signal(number);
                let _ = SigSet::from_iter([number]).thread_unblock();
                // Its core, if it left one, is the command's.
                let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
                let _ = raise(number);
                128_u8.saturating_add(u8::try_from(number as i32).unwrap_or(0))
            }
        }
    }
}
