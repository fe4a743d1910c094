//! The program for this machine: a constant for each level's default classes, generated for others.

use std::borrow::Cow;

use super::asm::{AsmError, sock_filter};
use super::codegen::build;
use super::policy::{Level, Policy};
use crate::arch::Abi;

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
