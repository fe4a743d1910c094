//! What a host allows and forbids, and what other launchers around zroot and inside it do to it.

mod check;
mod hint;
mod nesting;
mod refusals;
