//! The answers: one file per kind of call. A [`Handler`] gets the session and the request, and says
//! what the caller is answered and what that is worth.

mod acl;
pub mod bind;
pub mod device;
pub mod identity;
pub mod ipc;
pub mod landlock;
pub mod limit;
pub mod maker;
pub mod memory_lock;
pub mod mode_and_time;
pub mod mount;
pub mod open;
pub mod owner;
pub mod peer;
pub mod plain;
pub mod priority;
pub mod remove;
mod rights;
pub mod roam;
pub mod set_id;
pub mod stat;
mod view;
pub mod xattr;
pub mod xattr_read;

use super::session::Session;
use super::target::answer::Outcome;
use super::target::request::Request;

/// Answers one call, which may mean to do what it asks for.
pub type Handler = fn(&mut Session, &Request) -> Outcome;
