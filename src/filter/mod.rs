//! The zero-consistency filter: policy (what is faked) -> code generation -> program -> kernel.
//!
//! [`policy`] knows calls by name, [`asm`] knows BPF, [`codegen`] joins the two through [`arch`](crate::arch), [`install`](mod@install) is the
//! only part that talks to the kernel. [`disasm`] and [`sim`] read programs, for people and for tests.

pub mod asm;
pub mod codegen;
pub mod disasm;
pub mod install;
pub mod policy;
pub mod sim;

pub use codegen::build;
pub use install::install;
pub use policy::{Class, ClassSet};
