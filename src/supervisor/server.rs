//! The loop: take a call, answer it, take the next, until nobody is left under the filter. It runs
//! under a guard ([`recovery::guard`](super::recovery::guard)), which replaces it if it dies.

use nix::errno::Errno;

use super::recovery::guard::Guard;
use super::route::Routes;
use super::session::Session;
use super::target::answer::{Answer, Outcome};
use super::target::listener::Received;
use super::target::request::Request;
use crate::sys::process;

/// A supervisor at work.
struct Server {
    session: Session,
    routes: Routes,
    guard: Guard,
}

/// Serves until the last process under the filter is gone. Does not return.
pub fn serve(session: Session) -> ! {
    let guard = Guard::prepare();
    let _ = session.sight.base.stand();
    let routes = Routes::new(session.policy);
    let mut server = Server {
        session,
        routes,
        guard,
    };
    // Answer the probe before forking the guard, so that the command need not wait for that.
    server.take_call();
    server.fork_guard();
    loop {
        server.take_call();
        if server.session.in_flight.is_retired() {
            process::exit(0);
        }
        if server.guard.is_gone() {
            server.fork_guard();
        }
    }
}

impl Server {
    /// Goes on in a child of this process, which guards it, or of a later child.
    fn fork_guard(&mut self) {
        self.guard.fork(&mut self.session.in_flight);
        self.session.take_over(self.guard.is_successor);
    }

    /// Waits for a call and answers it. A successor finds one waiting: the call that was in hand.
    /// Ends the process when the last one under the filter is gone.
    fn take_call(&mut self) {
        let Session {
            sight, in_flight, ..
        } = &mut self.session;
        if !in_flight.has_call() {
            match sight.listener.receive(in_flight.room()) {
                Ok(Received::Call) => in_flight.begin(),
                Ok(Received::Nothing) => return,
                Ok(Received::End) | Err(_) => {
                    self.session.finish();
                    process::exit(0)
                }
            }
        }
        self.answer_call();
    }

    /// Answers the call in hand.
    fn answer_call(&mut self) {
        let Some(notification) = self.session.in_flight.notification() else {
            return;
        };
        if self.session.in_flight.response().is_none() {
            let unknown = Outcome::real(Answer::Error(Errno::ENOSYS));
            let outcome = match Request::decode(&notification) {
                Some(request) if self.session.in_flight.try_again() => {
                    self.routes.answer(&mut self.session, &request)
                }
                // The matrix does not have it, or servers have died of it.
                _ => unknown,
            };
            self.session.in_flight.answer(outcome.answer);
        }
        let Session {
            sight, in_flight, ..
        } = &mut self.session;
        let response = in_flight.response();
        let sent = response.is_some_and(|response| sight.listener.send(response).is_ok());
        in_flight.finish(notification.pid, sent);
    }
}
