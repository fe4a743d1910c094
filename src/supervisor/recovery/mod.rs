//! What survives a supervisor, so that its successor can go on where it ended.

pub mod in_flight;
pub mod journal;
