//! The supervisor: a detached process that answers the calls which the filter hands on
//! (`SECCOMP_RET_USER_NOTIF`), so that they are real where the kernel permits them and pretended
//! only where it refuses.
//!
//! ```text
//! launch -> server: receive (target::listener) -> decode (target::request)
//!                   -> route -> handler -> outcome -> report -> send (target::listener)
//!                               through target, to memory and files
//!                               through memory, to what has been set
//! ```
//!
//! [`recovery`] holds what a successor finds when the process that serves dies.

pub mod handlers;
pub mod handshake;
mod helpers;
pub mod launch;
pub mod memory;
pub mod recovery;
pub mod report;
pub mod route;
pub mod server;
pub mod session;
pub mod target;

pub use launch::{Unavailable, Waiting, start};
