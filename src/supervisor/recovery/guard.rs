//! The guard: a process that only waits for the one that serves. If that dies, or hangs in one call
//! (a path that leads into a file system which a target serves, for one), a successor goes on. If
//! it is the guard that dies, the one that serves becomes a guard itself, and forks its successor.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::{set_name, set_pdeathsig};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, getppid, pipe2};

use super::in_flight::InFlight;
use crate::sys::process;

/// How long a call may take before a successor goes on with the rest, in milliseconds.
const PATIENCE: u16 = 1000;

/// Tells the process that serves of the guard's end.
const GUARD_IS_GONE: Signal = Signal::SIGUSR1;

/// What a guard waits for.
enum Fate {
    /// The last process under the filter is gone.
    Done,
    /// The server was killed before.
    Killed,
    /// It died of itself.
    Died,
    /// It has had one call in hand for too long.
    Hangs,
}

/// What the process that serves has of its guard.
pub struct Guard {
    /// Set by [`GUARD_IS_GONE`].
    is_gone: &'static AtomicBool,
    /// A pipe whose end tells the guard of this process's; none where no guard could be had.
    life: Option<OwnedFd>,
    /// Whether another process served before.
    pub is_successor: bool,
}

impl Guard {
    /// None yet. Readies this process for one: children can be waited for, and a signal tells of
    /// the guard's end. All other signals are blocked: nothing aimed at the command may stop us
    /// while it needs answers.
    #[must_use]
    pub fn prepare() -> Guard {
        // The caller may ignore the ends of its children, a guard must not.
        process::default_signal(Signal::SIGCHLD);
        let is_gone = process::flag_signal(GUARD_IS_GONE);
        let mut blocked = SigSet::all();
        blocked.remove(GUARD_IS_GONE);
        let _ = blocked.thread_set_mask();
        Guard {
            is_gone,
            life: None,
            is_successor: false,
        }
    }

    /// Whether the guard has died since this was last asked.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.is_gone.swap(false, Ordering::Relaxed)
    }

    /// Forks a process that serves, and replaces it if it dies or hangs. Returns in each of those;
    /// in this process only where none can be forked. `in_flight` is where they put the call in
    /// hand.
    pub fn fork(&mut self, in_flight: &mut InFlight) {
        let _ = set_name(c"zroot-guard");
        let own = Pid::this();
        let mut hung: Vec<Pid> = Vec::new();
        (self.life, self.is_successor) = (None, false);
        while let Ok((wait, life)) = pipe2(OFlag::O_CLOEXEC) {
            let child = match process::fork() {
                Ok(ForkResult::Parent { child }) => child,
                Ok(ForkResult::Child) => {
                    self.life = Some(life);
                    let _ = set_pdeathsig(GUARD_IS_GONE);
                    // It may have died before it was asked to tell.
                    self.is_gone.store(getppid() != own, Ordering::Relaxed);
                    break;
                }
                Err(_) => break,
            };
            drop(life);
            match fate_of(child, &wait, in_flight, &mut hung) {
                Fate::Done => {
                    for process in hung {
                        let _ = kill(process, Signal::SIGKILL);
                    }
                    process::exit(0)
                }
                Fate::Killed => {}
                // Most likely of the call that it had in hand.
                Fate::Died => in_flight.blame(),
                Fate::Hangs => {
                    in_flight.retire();
                    hung.push(child);
                    match InFlight::new() {
                        Ok(new) => *in_flight = new,
                        Err(_) => process::exit(1),
                    }
                }
            }
            self.is_successor = true;
        }
        let _ = set_name(c"zroot-supervise");
    }
}

/// Waits for the end of `child`, which holds the other end of `wait`, or for it to hang. Meanwhile,
/// sees those off that hung and have come back.
fn fate_of(child: Pid, wait: &OwnedFd, in_flight: &InFlight, hung: &mut Vec<Pid>) -> Fate {
    let mut in_hand = None;
    loop {
        let mut fds = [PollFd::new(wait.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::from(PATIENCE)) {
            Ok(0) => {
                let nohang = Some(WaitPidFlag::WNOHANG);
                hung.retain(|process| {
                    matches!(waitpid(*process, nohang), Ok(WaitStatus::StillAlive))
                });
                let now = in_flight.in_hand();
                if now.is_some() && now == in_hand {
                    return Fate::Hangs;
                }
                in_hand = now;
            }
            Ok(_) => match waitpid(child, None) {
                Err(Errno::EINTR) => {}
                Ok(WaitStatus::Exited(_, 0)) => return Fate::Done,
                Ok(WaitStatus::Signaled(_, Signal::SIGKILL, _)) => return Fate::Killed,
                _ => return Fate::Died,
            },
            Err(_) => {}
        }
    }
}
