//! What the supervisor remembers between calls.

pub mod credentials;
pub mod processes;
