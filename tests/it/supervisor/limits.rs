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
    // No file may grow: the descriptors of the tests' own output are not files.
    for size in [0, 100, 1000] {
        assert_eq!(
            limited(
                &format!("--fsize={size}"),
                &["--no-apt-config", "-c", "selective"]
            )
            .succeeds()
            .stdout,
            REAL,
            "{size}"
        );
    }
    for megabytes in [1, 2, 3, 4, 5, 6, 8, 16] {
        let ran = limited(&format!("--as={megabytes}000000"), selective);
        assert!(ran.status != 0 || ran.stdout == REAL, "{ran:#?}");
    }
    // The processor time of the supervisor is limited as its caller's is: another follows.
    assert_eq!(limited("--cpu=1", selective).succeeds().stdout, REAL);
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
