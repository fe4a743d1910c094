//! zroot by the name of `fakeroot`, beside the real one, and beside real root, who decides what is
//! right.

mod callers;
mod options;
mod own;
mod packages;
mod promises;

use std::ffi::OsStr;
use std::process::Command;

use crate::common::{PATH, names, user};

/// `program` by the unprivileged user, to whom zroot is `fakeroot`.
fn user_with_ours(program: impl AsRef<OsStr>) -> Command {
    let mut command = user(program);
    command.env("PATH", format!("{}:{PATH}", names().display()));
    command
}

/// zroot as `fakeroot ARGS...`, by the unprivileged user.
fn ours<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = user_with_ours(names().join("fakeroot"));
    command.args(args);
    command
}

/// The real `fakeroot ARGS...`, by the unprivileged user.
fn theirs<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = user("fakeroot");
    command.args(args);
    command
}
