//! landlock_restrict_self: the kernel's, but whom it restricts is remembered.

use nix::errno::Errno;

use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Answer, Outcome};
use crate::supervisor::target::request::Request;

/// Marks the caller, and has the kernel restrict it.
///
/// Nobody says what the kernel answered then, so that a caller is marked whose call fails as well:
/// the supervisor makes too little for it rather than too much. And one that cannot be marked is
/// not restricted.
pub fn answer(session: &mut Session, request: &Request) -> Outcome {
    match session.processes.restrict(session.sight.target(request)) {
        Ok(()) => Outcome::CONTINUE,
        Err(failed) => failed.outcome(Outcome::real(Answer::Error(Errno::EPERM))),
    }
}
