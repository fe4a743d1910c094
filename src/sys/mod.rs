//! System calls that no crate has a safe call for, each behind a safe function: beside argv in
//! `main.rs` and the allocator in `arena.rs` the only `unsafe`.

pub mod file;
pub mod ipc;
pub mod memory;
pub mod mount;
pub mod process;
pub mod scheduling;
pub mod seccomp;
pub mod socket;
