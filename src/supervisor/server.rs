//! The loop: take a call, answer it, take the next, until nobody is left under the filter.
//!
//! The loop runs in a child of a guard, a process that only waits for its end. Killed, it is
//! replaced: its successor has the journal and the desk and so neither forgets what was set nor
//! leaves the caller waiting whose call was in hand. A supervisor that hangs in one call (a path
//! that leads into a file system which a target serves, for one) is left to it after a second, and
//! a successor goes on with the others. If it is the guard that is killed, the supervisor becomes
//! one.

use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::{set_name, set_pdeathsig};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getppid, pipe2};

use super::handlers::{device, identity, mode_and_time, owner, xattr};
use super::{IdMaps, Treatment};
use crate::detach;
use crate::filter::install;
use crate::filter::policy::{Action, Class, Policy};
use crate::supervisor::handlers::device::Made;
use crate::supervisor::memory::processes::Store;
use crate::supervisor::recovery::in_flight::Desk;
use crate::supervisor::report::Report;
use crate::supervisor::target::call::{Answer, Call};
use crate::supervisor::target::listener::{Listener, Received, Response};
use crate::supervisor::target::{Home, Target};

/// How long a call may take before another supervisor goes on with the rest, in milliseconds.
const PATIENCE: u16 = 1000;

/// All that a supervisor works with.
pub struct Supervisor {
    /// Where calls come from.
    pub listener: Listener,
    /// Where it stands.
    pub home: Home,
    /// What it remembers.
    pub store: Store,
    /// Which ids the kernel knows here.
    pub maps: IdMaps,
    /// What becomes of each call, in the order of `Sysno::ALL`.
    pub treatments: Vec<Option<Treatment>>,
    /// What is answered.
    pub answers: Policy,
    /// The call in hand.
    pub desk: Desk,
    /// Who wants to know.
    pub report: Report,
    /// What tells the guard of this process's end: a pipe that closes with it.
    pub life: Option<OwnedFd>,
    /// A file made for a call whose caller was called away.
    pub unanswered: Option<Made>,
}

/// Whether the guard is gone.
static IS_ALONE: AtomicBool = AtomicBool::new(false);

/// What a guard waits for.
enum Fate {
    /// The last process under the filter is gone.
    Done,
    /// The supervisor died before.
    Died,
    /// It has had one call in hand for too long.
    Hangs,
}

impl Supervisor {
    /// Serves until the last process under the filter is gone. Does not return.
    pub fn run(mut self) -> ! {
        let action = SigAction::new(
            SigHandler::Handler(guard_is_gone),
            SaFlags::empty(),
            SigSet::empty(),
        );
        // SAFETY: the handler stores to an atomic.
        #[allow(unsafe_code)]
        let _ = unsafe { sigaction(Signal::SIGUSR1, &action) };
        // The caller may ignore the ends of its children, a guard must not.
        let action = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        // SAFETY: no handler is set.
        #[allow(unsafe_code)]
        let _ = unsafe { sigaction(Signal::SIGCHLD, &action) };
        // It ends when its work is done, whoever tells it to end before, or to stay within a limit
        // of the caller's.
        let mut blocked = SigSet::all();
        blocked.remove(Signal::SIGUSR1);
        let _ = blocked.thread_set_mask();
        let _ = self.home.stand();
        // The probe: the command begins the sooner.
        self.take_call();
        self.guard();
        loop {
            self.take_call();
            if self.desk.is_retired() {
                detach::exit(0);
            }
            if IS_ALONE.swap(false, Ordering::Relaxed) {
                self.guard();
            }
        }
    }

    /// Waits for a call and answers it. One is there already where the last supervisor died of it.
    /// Ends with the last process under the filter.
    fn take_call(&mut self) {
        if self.desk.notification().notif.id == 0 {
            match self.listener.receive(self.desk.clear()) {
                Ok(Received::Call) => self.desk.begin(),
                Ok(Received::Nothing) => return,
                Ok(Received::End) | Err(_) => {
                    self.report.finish();
                    detach::exit(0)
                }
            }
        }
        self.handle();
    }

    /// Answers the call on the desk.
    fn handle(&mut self) {
        let notif = &self.desk.notification().notif;
        let id = notif.id;
        let made = self.unanswered.take();
        let mut unanswered = None;
        if self.desk.response().is_none() {
            let answer = match Call::decode(notif) {
                // Two supervisors have died of it.
                Some(_) if !self.desk.try_again() => Answer::Error(Errno::ENOSYS),
                Some(call) => self.answer(&call, made, &mut unanswered),
                None => Answer::Error(Errno::ENOSYS),
            };
            self.desk.answer(Response::new(id, answer));
        }
        if let Some(response) = self.desk.response() {
            if self.listener.send(response).is_err() {
                self.unanswered = unanswered;
            }
        }
        self.desk.finish();
    }

    /// Works out the answer, which may mean to do what is asked.
    fn answer(&mut self, call: &Call, made: Option<Made>, unanswered: &mut Option<Made>) -> Answer {
        let Some((class, action)) = self.treatments[call.sysno as usize] else {
            return Answer::Real;
        };
        let is_hello = super::is_hello(call);
        let class = if is_hello { Class::Probe } else { class };
        let (listener, home) = (&self.listener, &self.home);
        let target = Target {
            call,
            listener,
            home,
            is_closed: Cell::new(false),
            is_pretended: Cell::new(false),
        };
        let answer = match action {
            _ if is_hello => Answer::Value(install::to_hello(self.answers)),
            _ if class == Class::Probe => Answer::Value(0),
            Action::Allow => Answer::Real,
            Action::Absent => Answer::Error(Errno::ENOSYS),
            Action::FakeSuccess => Answer::Value(target.pretend()),
            Action::Notify => match class {
                Class::Owner => owner::answer(&target, &self.maps).into(),
                Class::Device => device::answer(&target, made, &self.desk)
                    .map(|(value, made)| {
                        *unanswered = made;
                        value
                    })
                    .into(),
                Class::Foreign => mode_and_time::answer(&target).into(),
                Class::Xattr => xattr::answer(&target, &self.maps).into(),
                _ => identity::answer(&target, &mut self.store),
            },
        };
        let answer = match answer {
            // Without a look there is nothing better than level zero's answer.
            Answer::Error(_) if target.is_closed.get() => Answer::Value(target.pretend()),
            answer => answer,
        };
        if self.report.is_wanted() {
            self.report
                .note(&target, class, answer, target.is_pretended.get());
        }
        answer
    }

    /// Becomes the guard of a child and of its successors. Comes back in each of them, to serve;
    /// and here, to serve without a guard, where no process is to be had.
    fn guard(&mut self) {
        let _ = set_name(c"zroot-guard");
        let own = Pid::this();
        let mut hung: Vec<Pid> = Vec::new();
        let mut is_successor = false;
        loop {
            self.life = None;
            let Ok((wait, life)) = pipe2(OFlag::O_CLOEXEC) else {
                break;
            };
            // SAFETY: a supervisor has one thread, so that the child may do whatever the parent
            // may.
            #[allow(unsafe_code)]
            let child = match unsafe { fork() } {
                Ok(ForkResult::Parent { child }) => child,
                Ok(ForkResult::Child) => {
                    self.life = Some(life);
                    let _ = set_pdeathsig(Signal::SIGUSR1);
                    IS_ALONE.store(getppid() != own, Ordering::Relaxed);
                    break;
                }
                Err(_) => break,
            };
            drop(life);
            match self.fate_of(child, &wait, &mut hung) {
                Fate::Done => {
                    for process in hung {
                        let _ = kill(process, Signal::SIGKILL);
                    }
                    detach::exit(0)
                }
                Fate::Died => is_successor = true,
                Fate::Hangs => {
                    is_successor = true;
                    self.desk.retire();
                    hung.push(child);
                    match Desk::new() {
                        Ok(desk) => self.desk = desk,
                        Err(_) => detach::exit(1),
                    }
                }
            }
        }
        let _ = set_name(c"zroot-supervise");
        self.report.is_partial |= is_successor;
        if let Ok(journal) = self.store.journal().try_clone() {
            self.store = Store::new(journal);
        }
    }

    /// Waits for the end of `child`, which holds the other end of `wait`, or for it to hang.
    /// Meanwhile, sees those off that hung and have come back.
    fn fate_of(&self, child: Pid, wait: &OwnedFd, hung: &mut Vec<Pid>) -> Fate {
        let mut in_hand = None;
        loop {
            let mut fds = [PollFd::new(wait.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::from(PATIENCE)) {
                Ok(0) => {
                    hung.retain(|process| {
                        matches!(
                            waitpid(*process, Some(WaitPidFlag::WNOHANG)),
                            Ok(WaitStatus::StillAlive)
                        )
                    });
                    let now = self.desk.in_hand();
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
}

extern "C" fn guard_is_gone(_: libc::c_int) {
    IS_ALONE.store(true, Ordering::Relaxed);
}
