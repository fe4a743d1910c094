//! Helpers: processes that answer one call each. A call gets one if it may have to wait for
//! somebody (a file system that a target serves), or if its caller's rights are not the
//! supervisor's.
//!
//! What each helper has in hand is in memory that a successor of this process shares. A helper that
//! is killed is replaced.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, getppid};

use super::recovery::in_flight::{InFlight, Places};
use super::session::Session;
use crate::sys::process;

/// A file system that takes longer may take for ever the next time.
const IN_TIME: Duration = Duration::from_millis(2);

/// Helpers at work, and room for what they have in hand.
pub struct Helpers {
    /// Set by `SIGCHLD`.
    one_has_ended: &'static AtomicBool,
    /// `None` before the first of them can be had.
    places: Option<Places>,
    working: Vec<Helper>,
}

struct Helper {
    process: Pid,
    /// Where the call is, and its number: once it is answered, the place is another's.
    in_flight: InFlight,
    call: u64,
}

impl Helpers {
    /// None, and no room for any yet.
    #[must_use]
    pub fn new() -> Helpers {
        Helpers {
            one_has_ended: process::flag_signal(Signal::SIGCHLD),
            places: None,
            working: Vec::new(),
        }
    }

    /// Makes room. The processes forked from now on share what helpers will have in hand.
    pub fn prepare(&mut self) {
        self.places = self.places.or_else(|| Places::new().ok());
    }

    /// Whether there are any.
    #[must_use]
    pub fn are_there(&self) -> bool {
        !self.working.is_empty()
    }

    /// Has a helper answer the call that `session` has in hand, by `answer`; false if there can be
    /// none.
    pub fn start(&mut self, session: &mut Session, answer: impl Fn(&mut Session)) -> bool {
        let Some(Ok(place)) = self.places.map(Places::free) else {
            return false;
        };
        if session.report.listen().is_err() {
            return false;
        }
        place.take_from(&session.in_flight);
        self.fork(session, place, &answer)
    }

    fn fork(
        &mut self,
        session: &mut Session,
        in_flight: InFlight,
        answer: &impl Fn(&mut Session),
    ) -> bool {
        let (own, call) = (Pid::this(), in_flight.id());
        match process::fork() {
            Ok(ForkResult::Parent { child }) => {
                self.working.push(Helper {
                    process: child,
                    in_flight,
                    call,
                });
                true
            }
            Ok(ForkResult::Child) => {
                // A successor of this one's parent starts it again.
                let _ = set_pdeathsig(Signal::SIGKILL);
                if getppid() != own || session.become_helper(in_flight).is_err() {
                    process::exit(1);
                }
                let since = Instant::now();
                answer(session);
                session
                    .sight
                    .hazards
                    .has_answered(since.elapsed() < IN_TIME);
                process::exit(0)
            }
            Err(_) => {
                in_flight.clear();
                false
            }
        }
    }

    /// Starts again those that another process had started, which has died, and they with it.
    pub fn inherit(&mut self, session: &mut Session, answer: impl Fn(&mut Session)) {
        self.working.clear();
        let places = self.places;
        for place in places.into_iter().flat_map(Places::taken) {
            self.fork(session, place, &answer);
        }
    }

    /// Sees those off that have ended, and replaces those that were killed.
    pub fn see_off(&mut self, session: &mut Session, answer: impl Fn(&mut Session)) {
        if self.one_has_ended.swap(false, Ordering::AcqRel) {
            self.collect(session, WaitPidFlag::WNOHANG, &answer);
        }
    }

    /// Waits for the end of all.
    pub fn wait(&mut self, session: &mut Session, answer: impl Fn(&mut Session)) {
        while self.are_there() {
            self.collect(session, WaitPidFlag::empty(), &answer);
        }
    }

    /// Ends all: nobody waits for them.
    pub fn end(&mut self) {
        for helper in self.working.drain(..) {
            let _ = kill(helper.process, Signal::SIGKILL);
        }
    }

    fn collect(&mut self, session: &mut Session, how: WaitPidFlag, answer: &impl Fn(&mut Session)) {
        for helper in std::mem::take(&mut self.working) {
            match waitpid(helper.process, Some(how)) {
                Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => self.working.push(helper),
                _ if helper.in_flight.id() != helper.call => {}
                ended => {
                    if !matches!(ended, Ok(WaitStatus::Signaled(_, Signal::SIGKILL, _))) {
                        helper.in_flight.blame();
                    }
                    self.fork(session, helper.in_flight, answer);
                }
            }
        }
    }
}
