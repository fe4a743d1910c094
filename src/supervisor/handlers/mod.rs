//! The answers: one file per kind of call. A [`Handler`] gets the session and the request, and says
//! what the caller is answered and what that is worth.

pub mod device;
pub mod identity;
pub mod landlock;
pub mod limit;
pub mod mode_and_time;
pub mod owner;
pub mod plain;
mod rights;
pub mod set_id;
pub mod stat;
pub mod xattr;

use super::session::Session;
use super::target::answer::Outcome;
use super::target::request::Request;

/// Answers one call, which may mean to do what it asks for.
pub type Handler = fn(&mut Session, &Request) -> Outcome;
