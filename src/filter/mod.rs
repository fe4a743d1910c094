//! The filter: policy (what is faked, and what the supervisor is asked) -> code generation ->
//! program -> kernel.
//!
//! [`policy`] knows calls by name, [`asm`] knows BPF, [`codegen`] joins the two through
//! [`arch`](crate::arch), [`mod@install`] is the only part that talks to the kernel. [`disasm`] and
//! [`sim`] read programs, for people and for tests; [`dump`] writes them as others take them.

pub mod asm;
pub mod codegen;
pub mod disasm;
pub mod dump;
pub mod explain;
pub mod install;
pub mod policy;
mod program;
pub mod sim;

pub use codegen::build;
pub use install::install;
pub use policy::{Class, ClassSet, Level, Policy};
pub use program::program;
