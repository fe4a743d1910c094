//! The filter as others install it.
#![allow(unsafe_code)] // pre_exec

use std::os::unix::process::CommandExt;
use std::process::Command;

use zroot::internals::arch::Endian;
use zroot::{Abi, Class, Filter, Level, sock_filter};

use crate::common::{NOT_PERMITTED, dir, run, user, zroot_with};

/// As the kernel of `abi` has it in memory.
fn bytes(program: &[sock_filter], abi: Abi) -> Vec<u8> {
    let bytes = |insn: &sock_filter| {
        let (code, k) = match abi.endian() {
            Endian::Little => (insn.code.to_le_bytes(), insn.k.to_le_bytes()),
            Endian::Big => (insn.code.to_be_bytes(), insn.k.to_be_bytes()),
        };
        [&code[..], &[insn.jt, insn.jf], &k].concat()
    };
    program.iter().flat_map(bytes).collect()
}

#[test]
fn it_is_what_zroot_dumps() {
    type Choice = (fn(Filter) -> Filter, &'static [&'static str]);
    let choices: [Choice; 3] = [
        (|filter| filter, &[]),
        (
            |filter| {
                filter
                    .without(Class::Device)
                    .with(Class::Sync)
                    .with(Class::Sync)
            },
            &["--no-fake=device", "--fake=sync"],
        ),
        (
            |filter| {
                filter
                    .without(Class::Getid)
                    .with(Class::Getid)
                    .without(Class::Mount)
            },
            &["--no-fake=getid,mount"],
        ),
    ];
    for level in Level::ALL {
        for abi in Abi::ALL {
            for (choose, options) in choices {
                let filter = choose(Filter::new(level));
                let program = filter.build(abi).expect("a program");
                let mut zroot = zroot_with(["--dump-filter=raw", "--consistency", level.name()]);
                zroot.args(["--arch", abi.name()]).args(options);
                let dumped = zroot.output().expect("started");
                assert!(dumped.status.success(), "{dumped:?}");
                assert_eq!(bytes(&program, abi), dumped.stdout, "{filter:?} {abi}");
            }
        }
    }
}

#[test]
fn what_makes_no_sense_is_an_error() {
    for (filter, message, hint) in [
        (
            Filter::new(Level::Zero).with(Class::Stat).with(Class::Sync),
            "level zero has no calls of class stat",
            "level full has",
        ),
        (
            Filter::new(Level::Zero).with(Class::Foreign),
            "level zero has no calls of class foreign",
            "level selective has",
        ),
        (
            Filter::new(Level::Full).without(Class::Probe),
            "class probe cannot be left out",
            "by it one can tell whether the filter answers",
        ),
    ] {
        let error = filter.build(Abi::NATIVE).expect_err(message);
        assert_eq!(
            (error.status(), error.message(), error.hint()),
            (125, message, Some(hint))
        );
        assert_eq!(error.to_string(), format!("{message} ({hint})"));
    }
}

/// Has `command` start under the filter, which another crate installs.
#[cfg(target_endian = "little")]
fn under(command: &mut Command, filter: &Filter) {
    let program = filter.build(Abi::NATIVE).expect("a program");
    // SAFETY: the closure makes system calls only, and memory is to be had: std's fork takes malloc's
    // locks.
    unsafe {
        command
            .pre_exec(move || seccompiler::apply_filter(&program).map_err(std::io::Error::other));
    }
}

/// seccompiler is there for these machines.
#[cfg(target_endian = "little")]
#[test]
fn it_answers_where_another_crate_installs_it() {
    let dir = dir();
    let file = dir.path().join("file");
    let script = r#"touch "$0"; for call in "chown 5:7 $0" "mknod $0-device c 1 3" "sync"; do
        $call 2>&1 && echo done; done; id -u"#;
    let ran = |filter: Option<Filter>| {
        let mut command = user("sh");
        command.args(["-c", script]).arg(&file);
        if let Some(filter) = filter {
            under(&mut command, &filter);
        }
        let ran = run(&mut command).succeeds();
        let lines = ran
            .stdout
            .lines()
            .map(|line| line.rsplit(": ").next().unwrap_or_default().to_owned());
        lines.collect::<Vec<_>>()
    };
    let own = crate::common::uid().to_string();
    let zero = || Filter::new(Level::Zero);
    assert_eq!(ran(None), [NOT_PERMITTED, NOT_PERMITTED, "done", &own]);
    assert_eq!(ran(Some(zero())), ["done", "done", "done", &own]);
    assert_eq!(
        ran(Some(zero().without(Class::Device).with(Class::Getid))),
        ["done", NOT_PERMITTED, "done", "0"]
    );
    // Without a supervisor, as documented.
    let absent = "Function not implemented";
    assert_eq!(
        ran(Some(Filter::new(Level::Selective)))[..2],
        [absent, absent]
    );
}
