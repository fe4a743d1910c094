//! The command line and the way to execve, against the real executable: what the command inherits,
//! and what bad input comes to.
#![allow(unsafe_code)] // pre_exec

mod classes;
mod commands;
mod completions;
mod error_fd;
mod executable;
mod inherited;
mod limits;
mod man;
mod options;
mod privileges;
mod scripts;
mod symptoms;

use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{Ran, executable, run, user, zroot};

/// `sh -c SCRIPT sh ARGS...` as the unprivileged user.
fn sh<A: AsRef<OsStr>>(script: &str, args: impl IntoIterator<Item = A>) -> Command {
    zroot(); // other tests find its copy busy if this one forks while it is written
    let mut command = user("sh");
    command.args(["-c", script, "sh"]).args(args);
    command
}

/// Runs `command` in a shell after `setup`, bare and under `zroot OPTIONS`, and asserts that both
/// print the same.
#[track_caller]
fn same_with_zroot(setup: &str, options: &[&str], command: &[&str]) -> Ran {
    let script = format!("{setup}\nexec \"$@\"");
    let bare = run(&mut sh(&script, command)).succeeds();
    let mut with = vec![zroot().to_str().expect("UTF-8")];
    with.extend_from_slice(options);
    with.push("--");
    with.extend_from_slice(command);
    let with = run(&mut sh(&script, with)).succeeds();
    assert_eq!(
        (&with.stdout, &with.stderr),
        (&bare.stdout, &bare.stderr),
        "after '{setup}'"
    );
    with
}

/// A command that executes `path` with exactly these arguments, its own name included, and exactly
/// this environment.
fn exactly(path: &Path, args: &[&CStr], env: &[&CStr]) -> Command {
    let c_string = CString::new(path.as_os_str().as_bytes()).expect("no NUL");
    let owned = |strings: &[&CStr]| {
        strings
            .iter()
            .map(|string| CString::from(*string))
            .collect::<Vec<CString>>()
    };
    let (args, env) = (owned(args), owned(env));
    let mut command = user(path);
    // SAFETY: the closure does nothing but execve; std's fork took malloc's locks, so that nix may
    // collect its pointers.
    unsafe {
        command.pre_exec(move || {
            let Err(errno) = nix::unistd::execve(&c_string, &args, &env);
            Err(errno.into())
        });
    }
    command
}

/// A program that prints its arguments, name first, each on a line in angle brackets.
fn show_arguments(dir: &Path) -> PathBuf {
    let path = dir.join("show");
    executable(&path, "#!/bin/sh\nprintf '<%s>\\n' \"$0\" \"$@\"\n");
    path
}
