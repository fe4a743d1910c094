//! zroot runs a command as apparent root for a user without privileges.
//!
//! It enters a user namespace ([`namespace`]), installs a seccomp filter that lets privileged calls
//! succeed without doing anything ([`filter`]), proves that the filter answers, and becomes the
//! command ([`exec`]). That is zero-consistency root emulation (Priedhorsky, Jennings, Phinney
//! 2024, arXiv 2405.06085).
//!
//! The library is there so that tests, benchmarks and fuzz targets reach the parts; `main.rs` shows
//! the order in which they are used. ARCHITECTURE.md has the map and the invariants.

pub mod apt;
pub mod arch;
pub mod beside;
pub mod check;
pub mod cli;
pub mod detach;
pub mod exec;
pub mod explain;
pub mod failure;
pub mod filter;
pub mod hint;
pub mod host;
pub mod namespace;
pub mod supervisor;

/// What is exported as `ZROOT` and printed by `--version`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
