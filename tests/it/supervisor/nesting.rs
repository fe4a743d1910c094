//! A supervisor in another, and beside somebody else's.

use std::ffi::OsStr;
use std::io::Read;

use super::{Bench, Live, NO, PRETENDED, REAL, SUPERVISOR, program, refused};
use crate::common::{self, run, zroot, zroot_with};

/// The command is never run without the emulation that was asked for.
#[test]
fn a_supervisor_that_answers_less_is_not_enough() {
    let inside = |options: &[&str], script: &str| {
        let mut command = zroot_with(["-c", "selective", "--no-fake=owner", "--"]);
        run(command
            .arg(zroot())
            .args(options)
            .args(["--", "sh", "-c", script]))
    };
    let (what, hint) = inside(&["-c", "selective"], "true").refused(125);
    assert_eq!(
        what,
        "the supervisor of the zroot around this one does not answer owner"
    );
    assert!(hint.contains("--no-fake"), "{hint}");
    // At a level of its own choice it brings the filter for it.
    for options in [&[][..], &["-c", "auto"]] {
        inside(options, "f=$(mktemp) && chown 5:7 $f && rm $f").succeeds();
    }
    inside(&["-c", "selective", "--no-fake=owner"], "true").succeeds();
    // One that watches at level zero answers as blindly as a filter.
    let watched = |options: &[&str]| {
        let mut command = zroot_with(["--summary=/dev/null", "--"]);
        run(command.arg(zroot()).args(options).args([
            "--",
            "sh",
            "-c",
            "f=$(mktemp) && chown 5:7 $f && rm $f",
        ]))
    };
    refused(
        watched(&["-c", "selective"]),
        "answers at level zero",
        "give the outer one -c selective",
    );
    refused(
        inside(&["-c", "full"], "true"),
        "answers at level selective",
        "give the outer one -c full",
    );
    for options in [&[][..], &["-c", "auto"], &["-c", "zero"]] {
        watched(options).succeeds();
    }
    run(
        zroot_with(["-c", "selective", "--no-fake=owner", "--", "sh", "-c"])
            .arg("f=$(mktemp); chown 5:7 $f; s=$?; rm $f; exit $s"),
    )
    .fails_with("Invalid argument");
}

#[test]
fn zroots_share_a_supervisor() {
    let Some(bench) = Bench::new("zroots_share_a_supervisor") else {
        return;
    };
    let inner = zroot().to_str().expect("UTF-8");
    let selective = &["-c", "selective"][..];
    let cases: &[(&[&str], &[&str], &str, usize)] = &[
        (selective, selective, REAL, 1),
        (selective, &[], REAL, 1),
        (selective, &["-c", "auto"], REAL, 1),
        (&["-c", "auto"], &["--no-sync"], REAL, 1),
        (
            selective,
            &["-c", "zero"],
            "chown 0, missing 0, mknod 0, setresuid 0, uid 0\n",
            1,
        ),
        (&["-c", "zero"], &["-c", "auto"], PRETENDED, 0),
        (selective, &["--userns=never"], REAL, 1),
    ];
    for (outer, options, says, supervisors) in cases {
        let script = r#"echo; while ! read line; do :; done; "$@""#;
        let mut command = bench.command(
            [inner]
                .iter()
                .chain(*outer)
                .chain(&[inner])
                .chain(*options)
                .chain(&["sh", "-c", script, "sh"]),
        );
        let mut live = Live::start(command.arg(program()).arg("calls"));
        live.says("");
        assert_eq!(
            bench.named(SUPERVISOR).len(),
            *supervisors,
            "{outer:?} {options:?}"
        );
        std::io::Write::write_all(live.stdin.as_mut().expect("a pipe"), b"\n").expect("written");
        let mut said = String::new();
        live.stdout.read_to_string(&mut said).expect("text");
        assert_eq!(said, *says, "{outer:?} {options:?}");
        drop(live);
        bench.nothing_is_left();
    }
    // A program in between that clears the environment, as sudo and su do.
    let mut command = bench.selective(&["env", "-i", inner, "-c", "selective"]);
    assert_eq!(
        run(command.arg(program()).arg("calls")).succeeds().stdout,
        REAL
    );
    // Beneath a filter that pretends by itself, no other is asked.
    let mut command = bench.command([inner, inner, "-c", "selective"]);
    refused(
        run(command.arg("true")),
        "a filter around this process pretends already",
        "run the outer zroot with --consistency=selective",
    );
    // The inner one wants more than the outer one answers: its own filter does that.
    let mut command = bench.selective(&[inner, "-v", "--no-sync"]);
    let ran = run(command.arg("true")).succeeds();
    assert!(
        ran.stderr.contains(
            "the supervisor of the zroot around this one answers at level selective: owner"
        ) && ran.stderr.contains("filter: fakes sync"),
        "{ran:#?}"
    );
}

#[test]
fn a_root_directory_inside_and_around() {
    let name = "a_root_directory_inside_and_around";
    let (Some(bench), Some(tree)) = (Bench::new(name), common::SmallTree::new(name)) else {
        return;
    };
    let script = [NO, "cd /tmp; touch f; chown 1:1 /tmp/f; chmod 640 f; mknod n c 1 3; no chown 1:1 missing; stat -c %F n"].concat();
    for inner in [
        &[zroot().to_str().expect("UTF-8"), "--root"][..],
        &["--root"],
    ] {
        let mut command = bench.selective(inner);
        let ran = run(command.arg(tree.root()).args(["sh", "-ec", &script])).succeeds();
        assert_eq!(ran.stdout, "regular empty file\n", "{ran:#?}");
        bench.nothing_is_left();
        tree.prepare("rm root/tmp/n");
    }
}

/// Another listener in the chain of filters, which the kernel permits one of.
#[test]
fn a_listener_of_somebody_else() {
    let Some(bench) = Bench::new("a_listener_of_somebody_else") else {
        return;
    };
    let under = |options: &[&str]| {
        let mut command = bench.command([
            program().as_os_str(),
            OsStr::new("listener"),
            zroot().as_os_str(),
        ]);
        run(command.args(options).arg(program()).arg("calls"))
    };
    refused(
        under(&["-c", "selective"]),
        "cannot install the filter: Device or resource busy",
        "--consistency=zero",
    );
    bench.nothing_is_left();
    let ran = under(&["-v", "-c", "auto"]).succeeds();
    assert!(
        ran.stdout == PRETENDED && ran.stderr.contains("level zero: cannot install the filter"),
        "{ran:#?}"
    );
    assert_eq!(under(&["-c", "auto"]).succeeds().stderr, "");
    bench.nothing_is_left();
}
