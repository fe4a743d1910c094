//! `--explain`: what it says against the policy, for every call, ABI and level, and how its
//! arguments are read.

use zroot::internals::arch::{Abi, Sysno, others};
use zroot::internals::filter::explain::explain;
use zroot::internals::filter::policy::{Action, Rule, When};
use zroot::internals::filter::{Class, ClassSet, Level, Policy};

use crate::common::{run, zroot_with};

/// `zroot ARGS...`, which succeeds without a word on standard error: its lines.
#[track_caller]
fn lines(args: &[&str]) -> Vec<String> {
    let ran = run(&mut zroot_with(args)).succeeds();
    assert_eq!(ran.stderr, "");
    ran.stdout.lines().map(str::to_owned).collect()
}

/// What is said of x86-64, which has every call.
#[track_caller]
fn answer(args: &[&str]) -> String {
    let all = lines(&[&["--arch=x86_64"], args].concat());
    assert!(all.len() == 4 && all[1].starts_with("x86_64 "), "{all:#?}");
    all[1]
        .split_whitespace()
        .skip(2)
        .collect::<Vec<_>>()
        .join(" ")
}

const REAL: &str = "real";
const SUCCESS: &str = "success without doing anything";
const SUPERVISOR: &str = "the supervisor answers";

#[test]
fn every_call_is_answered_as_the_policy_says() {
    let policies = Level::ALL.into_iter().flat_map(|level| {
        [
            level.default_classes(),
            level.classes(),
            ClassSet::EMPTY.with(Class::Probe),
        ]
        .map(|classes| Policy {
            classes,
            ..Policy::of(level)
        })
    });
    let policies = policies.chain(Level::ALL.map(|level| Policy {
        is_saved: true,
        ..Policy::of(level)
    }));
    for (policy, call) in
        policies.flat_map(|policy| Sysno::ALL.iter().map(move |call| (policy, *call)))
    {
        let rule = policy.rules().find(|rule| rule.call == call);
        for kernel in Abi::ALL.into_iter().map(Some).chain([None]) {
            let text = explain(call.name(), [None; 6], kernel, policy).expect("a call");
            let lines: Vec<&str> = text.lines().collect();
            let class = Class::ALL.into_iter().find(|class| {
                Level::ALL
                    .iter()
                    .any(|level| class.rules(*level).any(|rule| rule.call == call))
            });
            // What removes files is looked at where something is saved.
            let class = class.map_or("none", Class::name);
            let heading = format!("{}: class {class}, ", call.name());
            assert!(lines[0].starts_with(&heading), "{policy}: {}", lines[0]);
            assert_eq!(
                lines[0].contains(" on at level"),
                rule.is_some(),
                "{policy}: {}",
                lines[0]
            );
            let abis = kernel.map_or(&Abi::ALL[..], Abi::family);
            assert_eq!(lines.len(), 1 + abis.len());
            for (abi, line) in abis.iter().zip(&lines[1..]) {
                let words: Vec<&str> = line.split_whitespace().collect();
                let (said, number) = (words[2..].join(" "), call.nr(*abi));
                let shown = number.map_or("-".into(), |nr| {
                    if *abi == Abi::X32 {
                        format!("{nr:#x}")
                    } else {
                        nr.to_string()
                    }
                });
                assert_eq!((words[0], words[1]), (abi.name(), &*shown), "{line}");
                assert_eq!(
                    said,
                    if number.is_some() {
                        expected(rule)
                    } else {
                        "no such call"
                    },
                    "{policy}: {call:?} on {abi} of {kernel:?}"
                );
            }
        }
    }
}

/// What is to be said of a call with unknown arguments.
fn expected(rule: Option<Rule>) -> &'static str {
    match rule.map(|rule| (rule.when, rule.action)) {
        None => REAL,
        Some((When::Always, Action::FakeSuccess)) => SUCCESS,
        Some((When::Always, Action::Notify)) => SUPERVISOR,
        Some((When::Always, Action::Absent)) => "not there (ENOSYS)",
        Some((When::DeviceNode { mode: 1, dev: 2 }, _)) => {
            "depends on argument 2 (mode) and argument 3 (device number)"
        }
        Some((When::DeviceNode { mode: 2, dev: 3 }, _)) => {
            "depends on argument 3 (mode) and argument 4 (device number)"
        }
        Some((When::NonNull { arg: 2 }, _)) => "depends on argument 3 (pointer)",
        Some((When::SetsInodeFlags { request: 1 }, _)) => "depends on argument 2 (request)",
        Some((When::MakesFile { flags: 1 }, _)) => "depends on argument 2 (flags)",
        Some((When::MakesFile { flags: 2 }, _)) => "depends on argument 3 (flags)",
        Some((
            When::CapabilityPrctl { option: 0 }
            | When::SetIdPrctl { option: 0 }
            | When::PrivilegePrctl { option: 0 },
            _,
        )) => "depends on argument 1 (option)",
        Some((When::IsLocksLimit { resource: 0 }, _)) => "depends on argument 1 (resource)",
        Some((When::IsLocksLimit { resource: 1 }, _)) => "depends on argument 2 (resource)",
        Some((
            When::IsLocksLimitOrNonNull {
                resource: 1,
                arg: 2,
            },
            _,
        )) => "depends on argument 2 (resource) and argument 3 (pointer)",
        Some((When::AsksForPeer { option: 2 }, _)) => "depends on argument 3 (optname)",
        Some((When::IsSocketCall { call: 0 }, _)) => "depends on argument 1 (call)",
        other => panic!("{other:?} is new here"),
    }
}

#[test]
fn arguments_decide() {
    let met = |what: &str| format!("{what}: condition met");
    let not_met = || format!("{REAL}: condition not met");
    for (args, says) in [
        (&["mknod", "PATH", "0020666", "259"][..], met(SUCCESS)),
        (&["mknod", "-", "0o20666", "0x103"], met(SUCCESS)),
        (&["mknod", "-", "8630", "1"], met(SUCCESS)),
        (&["mknod", "-", "0x21b6", "1"], met(SUCCESS)),
        (&["mknod", "PATH", "0020666", "0"], not_met()),
        (&["mknod", "PATH", "0060666", "0"], met(SUCCESS)),
        (&["mknod", "PATH", "0060666"], met(SUCCESS)),
        (&["mknod", "PATH", "0010666"], not_met()),
        (
            &["mknod", "PATH", "0020666"],
            "depends on argument 3 (device number)".into(),
        ),
        (
            &["mknod", "PATH", "MODE", "259"],
            "depends on argument 2 (mode)".into(),
        ),
        (&["chown", "1", "2", "3", "4", "5", "6"], SUCCESS.into()),
        (&["lchown"], SUCCESS.into()),
        (&["mount"], REAL.into()),
    ] {
        assert_eq!(answer(&[&["--explain"], args].concat()), says, "{args:?}");
    }
    // What looks like an option needs the usual "--".
    assert_eq!(
        answer(&[
            "--explain",
            "mknodat",
            "--",
            "-100",
            "PATH",
            "0020666",
            "259"
        ]),
        met(SUCCESS)
    );
    assert_eq!(
        answer(&[
            "--explain=mknodat",
            "--",
            "-1",
            "-",
            "0x10000000020666",
            "-1"
        ]),
        not_met()
    );
    assert_eq!(
        answer(&["-c", "selective", "--explain", "prctl", "8"]),
        met(SUPERVISOR)
    );
    assert_eq!(
        answer(&["-c", "selective", "--explain", "prctl", "15"]),
        not_met()
    );
    assert_eq!(
        answer(&["-c", "selective", "--explain", "chown"]),
        SUPERVISOR
    );
    assert_eq!(
        answer(&["--fake=limits", "--explain", "prlimit64", "0", "7", "0"]),
        not_met()
    );
    assert_eq!(answer(&["--no-sync", "--explain", "fsync", "3"]), SUCCESS);
    assert_eq!(answer(&["--userns=never", "--explain", "getuid"]), SUCCESS);
    assert_eq!(answer(&["--no-fake=owner", "--explain", "fchown"]), REAL);
}

/// The upper half of a register counts where the kernel looks at it.
#[test]
fn an_argument_has_its_abis_width() {
    let all = lines(&[
        "--fake=limits",
        "--arch=all",
        "--explain",
        "prlimit64",
        "-",
        "-",
        "0x100000000",
    ]);
    for (abi, line) in Abi::ALL.into_iter().zip(&all[1..]) {
        let says = if abi.has_64bit_registers() {
            "condition met"
        } else {
            "condition not met"
        };
        assert!(
            line.starts_with(abi.name()) && line.ends_with(says),
            "{line}"
        );
    }
    let all = lines(&[
        "--fake=inode-flags",
        "--arch=all",
        "--explain",
        "ioctl",
        "3",
        "0x40086602",
    ]);
    for (abi, line) in Abi::ALL.into_iter().zip(&all[1..]) {
        let says = if abi.fs_ioc_setflags() == 0x4008_6602 {
            "condition met"
        } else {
            "condition not met"
        };
        assert!(
            line.starts_with(abi.name()) && line.ends_with(says),
            "{line}"
        );
    }
}

#[test]
fn the_heading_says_why() {
    for (args, says) in [
        (
            &["chown"][..],
            "chown: class owner, on at level zero: success without doing anything",
        ),
        (
            &["chown", "-c", "selective"],
            "chown: class owner, on at level selective: the supervisor answers",
        ),
        (
            &["chmod"],
            "chmod: class foreign, executed by the kernel at level zero; level selective has an answer for it",
        ),
        (
            &["getresuid", "--userns=never"],
            "getresuid: class getid, executed by the kernel at level zero; level selective has an answer for it",
        ),
        (
            &["fsync"],
            "fsync: class sync, off at level zero: executed by the kernel",
        ),
        (
            &["fsopen", "--fake=mount"],
            "fsopen: class mount, on at level zero: not there (ENOSYS)",
        ),
        (
            &["prlimit64", "--fake=limits"],
            "prlimit64: class limits, on at level zero: success without doing anything if the pointer is not null, else real",
        ),
        (&["read"], "read: in no class: executed by the kernel"),
    ] {
        assert_eq!(lines(&[&["--explain"], args].concat())[0], says);
    }
    assert!(others::names().all(|name| {
        explain(name, [None; 6], None, Policy::DEFAULT)
            .is_ok_and(|text| text.contains("in no class"))
    }));
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (args, says, advises) in [
        (
            &["--explain", "lchwon"][..],
            "'lchwon'",
            "similar names: lchown",
        ),
        (&["--explain", "opneat"], "'opneat'", "openat"),
        (&["--explain", "mknode", "-", "8192"], "'mknode'", "mknod"),
        (&["--explain", "chown64"], "'chown64'", "chown32"),
        (&["--explain", ""], "''", ""),
        (
            &["--explain", "no such call at all"],
            "'no such call at all'",
            "asm/unistd.h",
        ),
        (&["--explain", "a\nb"], "'a\\nb'", ""),
        (&["--explain"], "--explain", ""),
        (&["--explain", "chown", "PATH", "09"], "'09'", "0777"),
        (&["--explain", "chown", "PATH", "0x"], "'0x'", "0777"),
        (&["--explain", "chown", "PATH", "0x+1"], "'0x+1'", "0777"),
        (&["--explain", "chown", "PATH", "5a"], "'5a'", "0777"),
        (
            &["--explain", "chown", "PATH", "18446744073709551616"],
            "'18446744073709551616'",
            "0777",
        ),
        (
            &["--explain", "chown", "1", "2", "3", "4", "5", "6", "7"],
            "6 arguments",
            "",
        ),
        (
            &["--explain", "chown", "-c", "auto"],
            "auto",
            "-c selective",
        ),
        (&["--explain", "chown", "--arch=vax"], "'vax'", ""),
    ] {
        let (what, hint) = run(&mut zroot_with(args)).refused(125);
        assert!(
            what.contains(says) && hint.contains(advises),
            "{args:?}: {what} / {hint}"
        );
    }
}
