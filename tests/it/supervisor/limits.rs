//! Limits, signals and rights of the caller.

use std::ffi::OsStr;
use std::process::Command;

use nix::sys::signal::Signal;

use super::{Bench, GUARD, Live, PRETENDED, REAL, SUPERVISOR, program, refused, send};
use crate::common::{self, run, zroot};

#[test]
fn limits_of_the_caller() {
    let Some(bench) = Bench::new("limits_of_the_caller") else {
        return;
    };
    need!("limits_of_the_caller", "prlimit");
    let limited = |limit: &str, options: &[&str]| {
        let mut command = bench.command(["timeout", "10", "prlimit", limit]);
        let ran = run(command
            .arg(zroot())
            .args(options)
            .arg(program())
            .arg("calls"));
        assert_ne!(ran.status, 124, "{limit}: it hangs");
        bench.nothing_is_left();
        ran
    };
    let selective = &["-c", "selective"][..];
    refused(
        limited("--locks=1000", selective),
        "the hard limit on locks",
        "unlimited",
    );
    assert_eq!(
        limited("--locks=1000", &["-c", "auto"]).succeeds().stdout,
        PRETENDED
    );
    assert_eq!(
        limited("--locks=1000:unlimited", selective)
            .succeeds()
            .stdout,
        REAL
    );
    for count in 5..40 {
        let ran = limited(&format!("--nofile={count}:"), selective);
        if ran.status == 125 {
            refused(ran, "Too many open files", "open files");
        } else {
            assert_eq!(ran.succeeds().stdout, REAL, "{count}");
        }
    }
    for count in [1, 2, 3] {
        refused(
            limited(&format!("--nproc={count}:"), selective),
            "cannot start the supervisor",
            "processes",
        );
    }
    // No file may grow. (The tests' own output is not in files.)
    for size in [0, 100, 1000] {
        let soft = format!("--fsize={size}:");
        assert_eq!(limited(&soft, selective).succeeds().stdout, REAL, "{size}");
        let hard = format!("--fsize={size}");
        let ran = |level| limited(&hard, &["--no-apt-config", "-c", level]);
        refused(ran("selective"), "the size of files", "raise it");
        assert_eq!(ran("auto").succeeds().stdout, PRETENDED, "{size}");
    }
    for megabytes in [1, 2, 3, 4, 5, 6, 8, 16] {
        let ran = limited(&format!("--as={megabytes}000000"), selective);
        assert!(ran.status != 0 || ran.stdout == REAL, "{ran:#?}");
    }
    // The processor time of the supervisor is limited as its caller's is: another follows.
    assert_eq!(limited("--cpu=1", selective).succeeds().stdout, REAL);
}

/// The journal is a file. What went into it was once lost under such a limit.
#[test]
fn what_was_set_outlives_the_supervisor_where_no_file_may_grow() {
    let test = "what_was_set_outlives_the_supervisor_where_no_file_may_grow";
    let Some(bench) = Bench::new(test) else {
        return;
    };
    need!(test, "prlimit");
    let mut command = bench.command(["prlimit", "--fsize=0:"]);
    command.arg(zroot());
    command.args(["--no-apt-config", "-c", "selective"]);
    let mut live = Live::start(command.arg(program()).args(["canary", "a"]));
    live.says("ready");
    let supervisor = bench.one(SUPERVISOR);
    send(supervisor, Signal::SIGKILL);
    bench.successor(SUPERVISOR, supervisor);
    live.ends("right");
    bench.nothing_is_left();
}

/// The supervisor needs more of a stack than the command may have, and more time.
#[test]
fn a_supervisor_raises_what_it_may() {
    let test = "a_supervisor_raises_what_it_may";
    let Some(bench) = Bench::new(test) else {
        return;
    };
    need!(test, "prlimit");
    let soft = ["--fsize=0:", "--stack=65536:", "--nofile=40:", "--cpu=5:"];
    let mut command = bench.command(["prlimit"]);
    command.args(soft).arg(zroot());
    command.args(["--no-apt-config", "-c", "selective"]);
    let mut live = Live::start(command.arg(program()).args(["canary", "a"]));
    live.says("ready");
    for process in [bench.one(SUPERVISOR), bench.one(GUARD)] {
        let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).expect("limits");
        for name in ["file size", "stack size", "open files", "cpu time"] {
            let line = limits.lines().find_map(|line| {
                let values = line.strip_prefix("Max ")?.strip_prefix(name)?;
                let mut values = values.split_whitespace();
                Some((values.next()?, values.next()?))
            });
            assert!(line.is_some_and(|(soft, hard)| soft == hard), "{limits}");
        }
    }
    live.ends("right");
    bench.nothing_is_left();
}

#[test]
fn signals_of_the_caller() {
    let Some(bench) = Bench::new("signals_of_the_caller") else {
        return;
    };
    for how in ["ignored", "blocked"] {
        let mut command = bench.command([
            program().as_os_str(),
            OsStr::new("with"),
            OsStr::new(how),
            zroot().as_os_str(),
        ]);
        let mut live = Live::start(
            command
                .args(["-c", "selective"])
                .arg(program())
                .args(["canary", "a"]),
        );
        live.says("ready");
        for _ in 0..3 {
            let supervisor = bench.one(SUPERVISOR);
            send(supervisor, Signal::SIGKILL);
            bench.successor(SUPERVISOR, supervisor);
        }
        let guard = bench.one(GUARD);
        send(guard, Signal::SIGKILL);
        bench.successor(GUARD, guard);
        live.ends("right");
        bench.nothing_is_left();
    }
}

/// Nobody may look into a process whose program he may not read, in a namespace or not.
#[test]
fn a_program_that_cannot_be_read() {
    let Some(bench) = Bench::new("a_program_that_cannot_be_read") else {
        return;
    };
    if common::for_root_only("a_program_that_cannot_be_read") {
        return;
    }
    let copy = bench.dir.path().join("unreadable");
    run(Command::new("install")
        .args(["-m", "711"])
        .arg(program())
        .arg(&copy))
    .succeeds();
    let ran = run(bench.selective(&[]).arg(&copy).arg("calls")).succeeds();
    assert_eq!(ran.stdout, PRETENDED);
    bench.nothing_is_left();
}
