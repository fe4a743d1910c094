//! The guard: a process that only waits for the one that serves. If that dies, or hangs in one call
//! (a path that leads into a file system which a target serves, for one), a successor goes on. If
//! it is the guard that dies, the one that serves becomes a guard itself, and forks its successor.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::{set_name, set_pdeathsig};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getppid, pipe2};

use super::in_flight::InFlight;
use crate::detach;

/// How long a call may take before a successor goes on with the rest, in milliseconds.
const PATIENCE: u16 = 1000;

/// Whether the guard is gone.
static IS_ALONE: AtomicBool = AtomicBool::new(false);

/// What a guard waits for.
enum Fate {
    /// The last process under the filter is gone.
    Done,
    /// The server died before.
    Died,
    /// It has had one call in hand for too long.
    Hangs,
}

/// What makes the process one that serves under a guard. Its end tells the guard of this process's.
#[derive(Default)]
pub struct Guarded {
    /// A pipe that closes with this process; none where no guard could be had.
    life: Option<OwnedFd>,
    /// Whether another process served before.
    pub is_successor: bool,
}

/// Readies this process for a guard: which signal tells of the guard's end, and that children can
/// be waited for. All other signals are blocked: nothing aimed at the command may stop us while it
/// needs answers.
pub fn prepare() {
    let action = |handler| SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler stores to an atomic.
    #[allow(unsafe_code)]
    let _ = unsafe { sigaction(Signal::SIGUSR1, &action(SigHandler::Handler(guard_is_gone))) };
    // The caller may ignore the ends of its children, a guard must not.
    // SAFETY: no handler is set.
    #[allow(unsafe_code)]
    let _ = unsafe { sigaction(Signal::SIGCHLD, &action(SigHandler::SigDfl)) };
    let mut blocked = SigSet::all();
    blocked.remove(Signal::SIGUSR1);
    let _ = blocked.thread_set_mask();
}

/// Whether the guard has died since this was last asked.
pub fn is_gone() -> bool {
    IS_ALONE.swap(false, Ordering::Relaxed)
}

/// Forks a process that serves, and replaces it if it dies or hangs. Returns in each of those; in
/// this process only where none can be forked. `in_flight` is where they put the call in hand.
pub fn guard(in_flight: &mut InFlight) -> Guarded {
    let _ = set_name(c"zroot-guard");
    let own = Pid::this();
    let mut hung: Vec<Pid> = Vec::new();
    let mut guarded = Guarded::default();
    while let Ok((wait, life)) = pipe2(OFlag::O_CLOEXEC) {
        // SAFETY: a supervisor has one thread, so that the child may do whatever the parent may.
        #[allow(unsafe_code)]
        let child = match unsafe { fork() } {
            Ok(ForkResult::Parent { child }) => child,
            Ok(ForkResult::Child) => {
                guarded.life = Some(life);
                let _ = set_pdeathsig(Signal::SIGUSR1);
                IS_ALONE.store(getppid() != own, Ordering::Relaxed);
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
                detach::exit(0)
            }
            Fate::Died => {}
            Fate::Hangs => {
                in_flight.retire();
                hung.push(child);
                match InFlight::new() {
                    Ok(new) => *in_flight = new,
                    Err(_) => detach::exit(1),
                }
            }
        }
        guarded.is_successor = true;
    }
    let _ = set_name(c"zroot-supervise");
    guarded
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
                _ => return Fate::Died,
            },
            Err(_) => {}
        }
    }
}

extern "C" fn guard_is_gone(_: libc::c_int) {
    IS_ALONE.store(true, Ordering::Relaxed);
}
