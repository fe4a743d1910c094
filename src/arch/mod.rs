//! Names and numbers of system calls, what their arguments are, what stat(2) and its kin write, and
//! the ABIs. Depends on nothing.

mod abi;
pub mod others;
pub mod signature;
pub mod stat;
mod table;

pub use abi::{Abi, Endian};
pub use table::Sysno;
