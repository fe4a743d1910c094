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
pub mod sim;

use std::borrow::Cow;

pub use codegen::build;
pub use install::install;
pub use policy::{Class, ClassSet, Level, Policy};

use crate::arch::Abi;
use asm::{AsmError, sock_filter};

/// What [`build`] gives for the native family and each level's default classes, built by `build.rs`
/// with the same code. Generated in every run, it would be five of six instructions of zroot's own
/// before execve, and 2 % of the time.
#[allow(clippy::unreadable_literal)] // generated
static DEFAULTS: [&[sock_filter]; Level::ALL.len()] = {
    const ALL: [[&[sock_filter]; Level::ALL.len()]; Abi::ALL.len()] =
        include!(concat!(env!("OUT_DIR"), "/default_filters.rs"));
    ALL[Abi::NATIVE as usize]
};

/// The filter for this machine's ABIs.
///
/// # Errors
/// [`build`]'s.
#[inline]
pub fn program(policy: Policy) -> Result<Cow<'static, [sock_filter]>, AsmError> {
    if policy == Policy::of(policy.level) {
        Ok(DEFAULTS[policy.level as usize].into())
    } else {
        build(Abi::NATIVE.family(), policy).map(Cow::from)
    }
}
