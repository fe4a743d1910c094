//! zroot runs a command as apparent root for a user without privileges.
//!
//! It enters a user namespace, installs a seccomp filter that lets privileged calls succeed without
//! doing anything, proves that the filter answers, and becomes the command. That is
//! zero-consistency root emulation (Priedhorsky, Jennings, Phinney 2024, arXiv 2405.06085).
//!
//! The crate is a command first. Its parts are reachable by [`internals`], for `main.rs`, tests,
//! benchmarks and fuzz targets; they change without notice. ARCHITECTURE.md has the map and the
//! invariants.

/// The parts. Nothing in here is an interface that other crates can rely on.
#[doc(hidden)]
#[path = "."] // their files lie beside this one
pub mod internals {
    pub mod arch;
    pub mod check;
    pub mod cli;
    pub mod detach;
    pub mod error;
    pub mod file_limit;
    pub mod filter;
    pub mod hint;
    pub mod host;
    pub mod launch;
    pub mod namespace;
    pub mod script;
    pub mod state;
    pub mod supervisor;
    pub mod sys;
    pub mod text;
    pub mod whole_file;
}

// The parts know each other without the detour: `crate::arch`.
use internals::{
    arch, check, detach, error, file_limit, filter, hint, host, launch, namespace, script, state,
    supervisor, sys, text, whole_file,
};

/// What is exported as `ZROOT` and printed by `--version`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
