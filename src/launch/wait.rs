//! Staying beside the command, for the one option that needs a word after its end: the command runs
//! in a child, and its exit status is passed on.

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, kill, raise, signal, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

/// How the command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
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

/// Goes on in a child, where `None` is returned; here, waits for its end, and passes signals on to
/// it meanwhile.
///
/// # Errors
/// fork(2)'s.
#[inline(never)]
pub fn wait_for_child() -> Result<Option<End>, Errno> {
    let mut signals = SigSet::from_iter(FORWARDED);
    signals.add(Signal::SIGCHLD);
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&signals), Some(&mut before))?;
    // SAFETY: zroot has one thread, so that the child may do whatever the parent may.
    #[allow(unsafe_code)]
    let child = match unsafe { fork() }? {
        ForkResult::Child => {
            sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None)?;
            return Ok(None);
        }
        ForkResult::Parent { child } => child,
    };
    for terminal in [Signal::SIGINT, Signal::SIGQUIT] {
        // SAFETY: no handler.
        #[allow(unsafe_code)]
        let _ = unsafe { signal(terminal, SigHandler::SigIgn) };
    }
    // An ignored SIGCHLD would not be waited for, nor leave a status.
    // SAFETY: no handler.
    #[allow(unsafe_code)]
    let _ = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) };
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
    #[must_use]
    pub fn repeat(self) -> u8 {
        match self {
            End::Exited(status) => u8::try_from(status & 0xff).unwrap_or(u8::MAX),
            End::Signaled(number) => {
                // SAFETY: no handler.
                #[allow(unsafe_code)]
                let _ = unsafe { signal(number, SigHandler::SigDfl) };
                let _ = SigSet::from_iter([number]).thread_unblock();
                // Its core, if it left one, is the command's.
                let _ =
                    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0);
                let _ = raise(number);
                128_u8.saturating_add(u8::try_from(number as i32).unwrap_or(0))
            }
        }
    }
}
