//! The zero-consistency filter: policy (what is faked) -> code generation -> program -> kernel.
//!
//! [`policy`] knows calls by name, [`asm`] knows BPF, [`codegen`] joins the two through [`arch`](crate::arch), [`mod@install`] is the
//! only part that talks to the kernel. [`disasm`] and [`sim`] read programs, for people and for tests.

pub mod asm;
pub mod codegen;
pub mod disasm;
pub mod install;
pub mod policy;
pub mod sim;

use std::borrow::Cow;

pub use codegen::build;
pub use install::install;
pub use policy::{Class, ClassSet};

use crate::arch::Abi;
use asm::{AsmError, sock_filter};

/// What [`build`] gives for the native family and the default classes, built by `build.rs` with the same code. Generated in every run, it
/// would be five of six instructions of zroot's own before execve, and 2 % of the time.
#[allow(clippy::unreadable_literal)] // generated
static DEFAULT: &[sock_filter] = {
    const ALL: [&[sock_filter]; Abi::ALL.len()] = include!(concat!(env!("OUT_DIR"), "/default_filters.rs"));
    ALL[Abi::NATIVE as usize]
};

/// The filter for this machine's ABIs.
///
/// # Errors
/// [`build`]'s.
pub fn program(classes: ClassSet) -> Result<Cow<'static, [sock_filter]>, AsmError> {
    if classes == ClassSet::DEFAULT { Ok(DEFAULT.into()) } else { build(Abi::NATIVE.family(), classes).map(Cow::from) }
}
