//! The guard: a process that only waits for the one that serves. If that dies, or hangs in one call
//! (a path that leads into a file system which a target serves, for one), a successor goes on. If
//! it is the guard that dies, the one that serves forks its successor, and guards it.
//!
//! The guard sleeps while no calls come. The first one after a while wakes it, by the pipe that
//! tells of the server's end. Then it looks every few milliseconds whether calls go on.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::prctl::{set_name, set_pdeathsig};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::stat::Mode;
use nix::sys::time::TimeSpec;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, getppid, pipe2};

use super::hazards::Hazards;
use super::in_flight::InFlight;
use crate::sys::process;

/// How long the guard waits from one look at the server to the next.
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);
/// At how many looks in a row a server that waits for somebody must have the same call in hand
/// before it is given up.
const WAITING: u32 = 2;
/// The same for one that waits for a disk, for a server on the network, or for its caller to be
/// given a processor: it seldom waits long.
const BLOCKED: u32 = 25;
/// After how many looks without a new call the guard sleeps.
const QUIET: u32 = 50;
/// How many servers in a row may die without having answered a call.
const FRUITLESS: u32 = 20;

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
    /// The guard's number.
    process: Pid,
    /// A pipe whose end tells the guard of this process's, and which wakes it; none where no guard
    /// could be had.
    life: Option<OwnedFd>,
    /// Whether another process served before.
    pub is_successor: bool,
    /// Whether that has died, so that what its helpers had in hand is left.
    pub inherits: bool,
}

impl Guard {
    /// None yet. Readies this process for one: children can be waited for, and a signal tells of
    /// the guard's end. All other signals are blocked: nothing aimed at the command may stop us
    /// while it needs answers.
    #[must_use]
    pub fn prepare() -> Guard {
        // The caller may ignore the ends of its children, a guard must not.
        process::flag_signal(Signal::SIGCHLD);
        let is_gone = process::flag_signal(GUARD_IS_GONE);
        let mut blocked = SigSet::all();
        blocked.remove(GUARD_IS_GONE);
        let _ = blocked.thread_set_mask();
        Guard {
            is_gone,
            process: Pid::this(),
            life: None,
            is_successor: false,
            inherits: false,
        }
    }

    /// Whether the guard has died since this was last asked. Anybody may send a signal that says
    /// so.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.is_gone.swap(false, Ordering::Relaxed) && getppid() != self.process
    }

    /// Wakes the guard, if it sleeps: there is a call in hand.
    pub fn wake(&self, in_flight: &InFlight) {
        if let Some(life) = self.life.as_ref().filter(|_| in_flight.wakes_guard()) {
            // It is never full: the guard sleeps after it has been emptied.
            let _ = nix::unistd::write(life, b"!");
        }
    }

    /// Forks a process that serves, and replaces it if it dies or hangs. Returns in each of those;
    /// in this process only where none can be forked. `in_flight` is where they put the call in
    /// hand.
    pub fn fork(&mut self, in_flight: &mut InFlight, hazards: Hazards) {
        let own = Pid::this();
        let mut hung: Vec<Pid> = Vec::new();
        let mut fruitless = 0;
        (self.life, self.is_successor, self.inherits) = (None, false, false);
        while let Ok((wait, life)) = pipe2(OFlag::O_CLOEXEC) {
            let before = in_flight.calls();
            let child = match process::fork() {
                Ok(ForkResult::Parent { child }) => child,
                Ok(ForkResult::Child) => {
                    (self.life, self.process) = (Some(life), own);
                    let _ = set_pdeathsig(GUARD_IS_GONE);
                    // It may have died before it was asked to tell.
                    self.is_gone.store(getppid() != own, Ordering::Relaxed);
                    break;
                }
                Err(_) => break,
            };
            // Not before there is another that serves: until then it is this one.
            let _ = set_name(c"zroot-guard");
            drop(life);
            self.inherits = true;
            match fate_of(child, &wait, in_flight, hazards, &mut hung) {
                Fate::Done => {
                    for process in hung {
                        let _ = kill(process, Signal::SIGKILL);
                    }
                    process::exit(0)
                }
                Fate::Killed => {}
                Fate::Died => {
                    // Most likely of the call that it had in hand.
                    in_flight.blame();
                    // If not, more of them do not help. All calls fail then.
                    fruitless = if in_flight.calls() == before {
                        fruitless + 1
                    } else {
                        0
                    };
                    if fruitless > FRUITLESS {
                        process::exit(1);
                    }
                }
                Fate::Hangs => {
                    self.inherits = false;
                    hazards.learn();
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
/// sees those off that hung and have come back, and lets nobody stop the child.
fn fate_of(
    child: Pid,
    wait: &OwnedFd,
    in_flight: &InFlight,
    hazards: Hazards,
    hung: &mut Vec<Pid>,
) -> Fate {
    let mut signals = SigSet::thread_get_mask().unwrap_or_else(|_| SigSet::all());
    signals.remove(Signal::SIGCHLD);
    // The same call in hand, and no new one: at how many looks in a row.
    let (mut in_hand, mut same, mut calls, mut quiet) = (None, 0, 0, 0);
    loop {
        let timeout = (quiet < QUIET).then(|| TimeSpec::from(BETWEEN_LOOKS));
        if timeout.is_none() && !in_flight.lets_guard_sleep() {
            quiet = 0;
            continue;
        }
        let mut fds = [PollFd::new(wait.as_fd(), PollFlags::POLLIN)];
        let polled = ppoll(&mut fds, timeout, Some(signals));
        let events = fds[0].revents().unwrap_or(PollFlags::empty());
        match polled {
            Ok(0) => {
                let now = in_flight.in_hand();
                let is_quiet = now.is_none() && calls == in_flight.calls();
                quiet = if is_quiet { quiet + 1 } else { 0 };
                calls = in_flight.calls();
                same = if now.is_some() && now == in_hand {
                    same + 1
                } else {
                    0
                };
                in_hand = now;
                let is_late = same >= WAITING
                    && match state(child) {
                        'S' => !hazards.is_giving() || same >= BLOCKED,
                        'D' => same >= BLOCKED,
                        // It would go on if there were a processor for it, or if it were not
                        // stopped.
                        _ => false,
                    };
                if is_late {
                    return Fate::Hangs;
                }
            }
            Ok(_) if events.contains(PollFlags::POLLIN) => {
                let _ = nix::unistd::read(wait, &mut [0; 16]);
                quiet = 0;
            }
            Ok(_) => match waitpid(child, None) {
                Err(Errno::EINTR) => {}
                Ok(WaitStatus::Exited(_, 0)) => return Fate::Done,
                Ok(WaitStatus::Signaled(_, Signal::SIGKILL, _)) => return Fate::Killed,
                _ => return Fate::Died,
            },
            Err(_) => {
                // A child has ended, whose pipe tells more, or was stopped.
                if state(child) == 'T' {
                    let _ = kill(child, Signal::SIGCONT);
                }
                let nohang = Some(WaitPidFlag::WNOHANG);
                hung.retain(|process| {
                    matches!(waitpid(*process, nohang), Ok(WaitStatus::StillAlive))
                });
            }
        }
    }
}

/// What a process does, as proc_pid_stat(5) has it: `R` for running, and so on. The guard stands in
/// `/proc`.
fn state(process: Pid) -> char {
    let mut stat = [0; 128];
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let len = open(format!("{process}/stat").as_str(), flags, Mode::empty())
        .and_then(|file| nix::unistd::read(&file, &mut stat));
    let stat = &stat[..len.unwrap_or(0)];
    let behind_name = stat.iter().rposition(|byte| *byte == b')');
    let state = behind_name.and_then(|at| stat.get(at + 2));
    state.map_or('?', |state| char::from(*state))
}
