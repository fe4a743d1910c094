//! What other crates may rely on: [`Filter`], [`Command`], [`Error`]. lib.rs hands it on.

mod command;
mod error;
mod filter;

pub use command::Command;
pub use error::Error;
pub use filter::Filter;
