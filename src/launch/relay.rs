//! Standing between a caller and the command: signals are passed on to the one, and the end to the
//! other.

use std::io::{Write, stderr};

use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::unistd::Pid;

use crate::error::Failure;
use crate::sys::process::{
    Arrived, End, default_signal, die_of, end_of, ignore_signal, send_signal, signal_at_hand,
    wait_for_signal,
};

/// Signals that are held back, to be passed on.
pub struct Held {
    signals: SigSet,
    /// What was blocked before.
    before: SigSet,
    /// Whether `SIGCHLD` was ignored. No status would be left of the child then.
    ignored: bool,
}

impl Held {
    /// From now on signals wait. Not those that stop and continue us together with the command, nor
    /// those that are our own faults.
    ///
    /// # Errors
    /// sigprocmask(2)'s.
    pub fn hold() -> Result<Held, Errno> {
        let mut signals = SigSet::all();
        for own in [
            Signal::SIGTSTP,
            Signal::SIGTTIN,
            Signal::SIGTTOU,
            Signal::SIGSEGV,
            Signal::SIGBUS,
            Signal::SIGILL,
            Signal::SIGFPE,
            Signal::SIGABRT,
            Signal::SIGSYS,
            Signal::SIGTRAP,
        ] {
            signals.remove(own);
        }
        let mut before = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&signals), Some(&mut before))?;
        let ignored = default_signal(Signal::SIGCHLD);
        Ok(Held {
            signals,
            before,
            ignored,
        })
    }

    /// All is as it was before.
    pub fn let_go(&self) {
        if self.ignored {
            ignore_signal(Signal::SIGCHLD);
        }
        // It was possible before.
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }

    /// Waits for `child`, which saves to `what`. A signal that would end us may have been meant for
    /// the command; the second one is meant for us.
    ///
    /// # Errors
    /// A [`Failure`] that says so. The child is killed then, and not waited for: it may wait for a
    /// disk.
    pub fn wait_for(&self, child: Pid, what: &str) -> Result<(), Failure> {
        let (mut is_patient, mut is_told) = (false, false);
        while let Ok(None) = end_of(child, is_patient) {
            let signal = match wait_for_signal(&self.signals) {
                Ok(Arrived { number, .. }) => Signal::try_from(number).ok(),
                Err(Errno::EINTR) => None,
                Err(_) => {
                    is_patient = true;
                    None
                }
            };
            let Some(signal) = signal.filter(|signal| is_to_end(*signal)) else {
                continue;
            };
            if is_told {
                let _ = send_signal(child, libc::SIGKILL);
                let failure = Failure::new(format!("{signal} while saving to {what}"));
                return Err(failure.hint("a file is as it was before, or complete"));
            }
            is_told = true;
            let line = format!("still saving to {what}; another {signal} gives that up");
            let _ = writeln!(stderr(), "zroot: {line}");
        }
        Ok(())
    }

    /// Passes on signals to `child` until its end, and returns that.
    ///
    /// # Errors
    /// waitpid(2)'s.
    pub fn pass_on(&self, child: Pid) -> Result<End, Errno> {
        let mut is_patient = false;
        loop {
            if let Some(end) = end_of(child, is_patient)? {
                // They were the command's: its last act may have been to send them to its whole
                // process group, which we are of.
                while signal_at_hand(&self.signals).is_some() {}
                return Ok(end);
            }
            match wait_for_signal(&self.signals) {
                Ok(signal) if is_for_command(signal) => {
                    // It may be gone by now.
                    let _ = send_signal(child, signal.number);
                }
                Ok(_) | Err(Errno::EINTR) => {}
                // Signals cannot be waited for; its end can.
                Err(_) => is_patient = true,
            }
        }
    }
}

/// Whether `signal` is one by which programs are ended, and would end us.
fn is_to_end(signal: Signal) -> bool {
    const ALL: [Signal; 4] = [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
    ];
    let is_ignored = || {
        let is_ignored = default_signal(signal);
        if is_ignored {
            ignore_signal(signal);
        }
        is_ignored
    };
    ALL.contains(&signal) && !is_ignored()
}

/// Whether the command has not got the signal already: what comes from the terminal goes to its
/// whole process group.
fn is_for_command(signal: Arrived) -> bool {
    const FROM_TERMINAL: [Signal; 4] = [
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGHUP,
        Signal::SIGWINCH,
    ];
    let is = |known: Signal| known as libc::c_int == signal.number;
    !is(Signal::SIGCHLD) && (signal.is_sent || !FROM_TERMINAL.into_iter().any(is))
}

/// Ends this process as another has ended; the exit status where a signal does not do it.
#[must_use]
pub fn repeat(end: End) -> u8 {
    match end {
        End::Exited(status) => u8::try_from(status & 0xff).unwrap_or(u8::MAX),
        End::Signaled(number) => {
            // Its core, if it left one, is the command's.
            let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
            die_of(number);
            128_u8.saturating_add(u8::try_from(number).unwrap_or(0))
        }
    }
}
