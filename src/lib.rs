//! zroot runs a command as apparent root for a user without privileges.
//!
//! It enters a user namespace, installs a seccomp filter that lets privileged calls succeed without
//! doing anything, proves that the filter answers, and becomes the command. That is
//! zero-consistency root emulation (Priedhorsky, Jennings, Phinney 2024, arXiv 2405.06085).
//!
//! A builder that is written in Rust can have both parts:
//!
//! - [`Filter`] is the seccomp filter alone, for a program that installs it itself:
//!
//!   ```
//!   use zroot::{Abi, Class, Filter, Level};
//!
//!   let filter = Filter::new(Level::Zero).without(Class::Device);
//!   let program: Vec<zroot::sock_filter> = filter.build(Abi::NATIVE)?;
//!   // seccompiler::apply_filter(&program)?;
//!   # Ok::<(), zroot::Error>(())
//!   ```
//!
//! - [`Command`] is a command as apparent root, in this process or in a child:
//!
//!   ```no_run
//!   use zroot::{Command, Level};
//!
//!   let install = Command::new("apt-get").args(["install", "-y", "gcc"]);
//!   let mut child = install.root("rootfs").level(Level::Full).spawn()?;
//!   let status = child.wait()?; // apt-get's own
//!
//!   let error = Command::new("make").arg("install").exec(); // this process becomes make
//!   Err(error)?;
//!   # Ok::<(), Box<dyn std::error::Error>>(())
//!   ```
//!
//! What is documented here follows semantic versioning. All else is reachable only for zroot's own
//! executable, tests and benchmarks, and changes without notice.
//!
//! Other languages have the command line: `zroot --dump-filter=raw` is the filter, and `--error-fd`
//! tells a caller whether the command has begun.

pub use internals::api::{Command, Error, Filter};
pub use internals::arch::Abi;
pub use internals::filter::asm::sock_filter;
pub use internals::filter::{Class, Level};

/// The parts. Nothing in here is an interface that other crates can rely on.
#[doc(hidden)]
#[path = "."] // their files lie beside this one
pub mod internals {
    pub mod api;
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
