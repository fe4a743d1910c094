//! Names and numbers of system calls, what their arguments are, and the ABIs. Depends on nothing.

mod abi;
pub mod others;
pub mod signature;
mod table;

pub use abi::{Abi, Endian};
pub use table::Sysno;
