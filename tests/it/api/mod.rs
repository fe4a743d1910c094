//! The interface for other crates: what it is, and that a builder gets what it says.

mod exec;
mod filter;
mod spawn;
mod types;

use std::env;
use std::process::{Command, exit};

use crate::common::{LONG, user, zroot};
use crate::this_test::ThisTest;

/// Set where this program is a builder, to the path of zroot.
const BUILDER: &str = "ZROOT_API_TEST";

/// The test `name` once more, as the unprivileged user, where it does `work` and ends with the status
/// that this returns. It has two threads there: the harness waits for it.
fn builder(module_path: &str, name: &str, work: impl FnOnce() -> i32) -> (ThisTest, Command) {
    if env::var_os(BUILDER).is_some() {
        println!(); // behind the harness's own line
        // Whoever waits for what does not come is killed.
        nix::unistd::alarm::set(u32::try_from(LONG.as_secs()).expect("seconds"));
        exit(work());
    }
    let this = ThisTest::new(module_path, name);
    let [program, args @ ..] = &this.command()[..] else {
        panic!("no command line")
    };
    let mut command = user(program);
    command.args(args).env(BUILDER, zroot());
    (this, command)
}

/// For a builder: zroot's path.
fn executable() -> String {
    env::var(BUILDER).expect("a builder")
}

/// For a builder: the lines of a file in `/proc/self`, of which one begins with `name`.
fn own_status(name: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find(|line| line.starts_with(name));
    line.expect("such a line").to_owned()
}
