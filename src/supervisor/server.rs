//! The loop: take a call, answer it, take the next, until nobody is left under the filter. It runs
//! under a guard ([`recovery::guard`](super::recovery::guard)), which replaces it if it dies.

use nix::errno::Errno;
use nix::sys::signal::Signal;

use super::helpers::Helpers;
use super::recovery::guard::Guard;
use super::route::Routes;
use super::session::Session;
use super::target::answer::{Answer, Outcome};
use super::target::listener::Received;
use super::target::request::Request;
use super::target::running::running;
use crate::sys::process;

/// A supervisor at work.
struct Server {
    session: Session,
    routes: Routes,
    guard: Guard,
    helpers: Helpers,
}

/// Serves until the last process under the filter is gone. Does not return.
pub fn serve(session: Session) -> ! {
    let guard = Guard::prepare();
    // Elsewhere its names would lead astray. Zroot learns that nobody answers.
    if session.sight.base.stand().is_err() {
        process::exit(1);
    }
    let routes = Routes::new(session.policy);
    let helpers = Helpers::new();
    let mut server = Server {
        session,
        routes,
        guard,
        helpers,
    };
    // Answer the probe before forking the guard, so that the command need not wait for that.
    server.take_call();
    server.helpers.prepare();
    server.fork_guard();
    loop {
        server.take_call();
        if server.session.in_flight.is_retired() {
            server.retire();
        }
        if server.guard.is_gone() {
            server.fork_guard();
        }
    }
}

impl Server {
    /// Goes on in a child of this process, which guards it, or of a later child.
    fn fork_guard(&mut self) {
        self.guard
            .fork(&mut self.session.in_flight, self.session.sight.hazards);
        self.session.take_over(self.guard.is_successor);
        if self.guard.inherits {
            let routes = &self.routes;
            let answer = |session: &mut Session| finish_call(session, routes);
            self.helpers.inherit(&mut self.session, answer);
        }
    }

    /// Ends this process, whose successor serves already, once its helpers have ended.
    fn retire(&mut self) -> ! {
        let routes = &self.routes;
        let answer = |session: &mut Session| finish_call(session, routes);
        self.helpers.wait(&mut self.session, answer);
        process::exit(0)
    }

    /// Waits for a call and answers it. A successor finds one waiting: the call that was in hand.
    /// Ends the process when the last one under the filter is gone.
    fn take_call(&mut self) {
        let routes = &self.routes;
        let answer = |session: &mut Session| finish_call(session, routes);
        while (self.helpers.are_there() || self.session.report.is_awaited())
            && !self.session.in_flight.has_call()
        {
            let Session { sight, report, .. } = &mut self.session;
            let is_ready = sight.listener.is_ready(Signal::SIGCHLD, report.awaited());
            report.go_on(|| running(&sight.base));
            self.helpers.see_off(&mut self.session, answer);
            if is_ready {
                break;
            }
        }
        let Session {
            sight, in_flight, ..
        } = &mut self.session;
        if !in_flight.has_call() {
            sight.hazards.asks_nobody();
            match sight.listener.receive(in_flight.room()) {
                Ok(Received::Call) => {
                    in_flight.begin();
                    self.guard.wake(in_flight);
                }
                Ok(Received::Nothing) => return,
                // Another process may fare better.
                Err(_) => process::exit(1),
                Ok(Received::End) => {
                    self.helpers.end();
                    self.session.finish();
                    process::exit(0)
                }
            }
        }
        if self.session.in_flight.response().is_none()
            && answer_call(&mut self.session, &self.routes) == Answer::Helper
            && self.helpers.start(&mut self.session, answer)
        {
            self.session.in_flight.hand_on();
            return;
        }
        send(&mut self.session);
    }
}

/// Answers the call in hand, in a helper.
fn finish_call(session: &mut Session, routes: &Routes) {
    if session.in_flight.response().is_none() {
        answer_call(session, routes);
    }
    send(session);
}

/// Finds out what the call in hand is to be answered with.
fn answer_call(session: &mut Session, routes: &Routes) -> Answer {
    let request = session
        .in_flight
        .notification()
        .and_then(|notification| Request::decode(&notification));
    let outcome = match request {
        Some(request) if session.in_flight.try_again() => routes.answer(session, &request),
        // The matrix does not have it, or servers have died of it.
        _ => Outcome::real(Answer::Error(Errno::ENOSYS)),
    };
    if outcome.answer != Answer::Helper || session.sight.is_helper {
        session.in_flight.answer(outcome.answer);
    }
    outcome.answer
}

/// Answers the call in hand with that.
fn send(session: &mut Session) {
    let Session {
        sight, in_flight, ..
    } = session;
    let Some(notification) = in_flight.notification() else {
        return;
    };
    // No helper could be had: the kernel is the next best.
    if in_flight.response().is_none() {
        in_flight.answer(Answer::Continue);
    }
    let Some(response) = in_flight.response() else {
        return;
    };
    let is_heard = match sight.listener.send(response) {
        Ok(()) => true,
        // Nobody waits, or it has been answered already.
        Err(Errno::ENOENT | Errno::EINPROGRESS) => false,
        // Another process may fare better. The answer is kept for it.
        Err(_) => process::exit(1),
    };
    in_flight.finish(notification.pid, is_heard);
}
