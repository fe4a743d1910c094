//! Answers that need no look at the call.

use nix::errno::Errno;

use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Answer, Outcome};
use crate::supervisor::target::request::Request;

/// The kernel executes it.
#[must_use]
pub fn allow(_: &mut Session, _: &Request) -> Outcome {
    Outcome::CONTINUE
}

/// Success, and nothing is done.
#[must_use]
pub fn pretend(_: &mut Session, _: &Request) -> Outcome {
    Outcome::PRETENDED
}

/// There is no such call.
#[must_use]
pub fn absent(_: &mut Session, _: &Request) -> Outcome {
    Outcome::real(Answer::Error(Errno::ENOSYS))
}

/// The self-test: 0, which the kernel never returns.
#[must_use]
pub fn probe(_: &mut Session, _: &Request) -> Outcome {
    Outcome::real(Answer::Value(0))
}
