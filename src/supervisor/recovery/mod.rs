//! What survives the process that serves, so that its successor goes on where it ended: the call in
//! flight and the journal of what has been set. And the guard, which forks the successor.

pub mod guard;
pub mod hazards;
pub mod in_flight;
pub mod journal;
