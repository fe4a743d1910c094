//! What the command inherits: everything of the caller's, as it was.

use std::ffi::{CStr, OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::{exactly, same_with_zroot, sh, show_arguments};
use crate::common::{PATH, dir, executable, run, zroot, zroot_with};

#[test]
fn the_exit_status_is_the_commands_own() {
    for status in [0, 1, 2, 124, 125, 126, 127, 128, 255] {
        let ran = run(&mut zroot_with(["sh", "-c", &format!("exit {status}")]));
        assert_eq!((ran.status, ran.stderr.as_str()), (status, ""), "{ran:#?}");
    }
}

#[test]
fn death_by_a_signal_is_seen_by_the_parent() {
    use std::os::unix::process::ExitStatusExt;
    for signal in [libc::SIGKILL, libc::SIGTERM, libc::SIGSEGV, libc::SIGPIPE] {
        let status = zroot_with(["sh", "-c", &format!("ulimit -c 0; kill -{signal} $$")])
            .status()
            .expect("started");
        assert_eq!(status.signal(), Some(signal), "{status:?}");
    }
}

#[test]
fn zroot_becomes_the_command() {
    let script = r#"echo $$; exec "$@""#;
    let ran = run(&mut sh(
        script,
        [
            zroot(),
            Path::new("sh"),
            Path::new("-c"),
            Path::new("echo $$ $PPID; exec ps -o ppid= -p $$"),
        ],
    ));
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let (before, after) = (lines[0], lines[1].split(' ').next());
    assert_eq!(Some(before), after, "{ran:#?}");
}

/// The open descriptors that `ls` sees after `setup`, with the one that it opens itself.
fn descriptors(setup: &str, zroot_and_options: &[&str]) -> Vec<u32> {
    let mut args = zroot_and_options.to_vec();
    args.extend(["ls", "/proc/self/fd"]);
    let ran = run(&mut sh(&format!("{setup}\nexec \"$@\""), args)).succeeds();
    ran.stdout
        .lines()
        .map(|line| line.parse().expect("a number"))
        .collect()
}

#[test]
fn the_descriptors_are_the_callers_and_one_more_for_apt() {
    let zroot = zroot().to_str().expect("UTF-8");
    for setup in [
        "",
        "exec 7</etc/passwd 9>/dev/null",
        "exec 0<&-",
        "exec 2>&-",
        "exec 0<&- 2>&- 5</dev/null",
    ] {
        let bare = descriptors(setup, &[]);
        assert_eq!(
            descriptors(setup, &[zroot, "--no-apt-config"]),
            bare,
            "after '{setup}'"
        );
        let with = descriptors(setup, &[zroot]);
        let extra: Vec<u32> = with
            .iter()
            .copied()
            .filter(|fd| !bare.contains(fd))
            .collect();
        assert!(
            extra.len() == 1 && extra[0] >= 50,
            "{extra:?} after '{setup}'"
        );
        assert_eq!(with.len(), bare.len() + 1, "after '{setup}'");
    }
}

#[test]
fn an_inherited_descriptor_keeps_its_position() {
    let script = r#"exec 7<"$1"; shift; read first <&7; exec "$@""#;
    let dir = dir();
    let file = dir.path().join("lines");
    fs::write(&file, "one\ntwo\nthree\n").expect("written");
    // dash reads a regular file by the byte, so that the second line is the next.
    let ran = run(&mut sh(
        script,
        [
            &file,
            zroot(),
            Path::new("cat"),
            Path::new("/dev/fd/7"),
            Path::new("/dev/null"),
        ],
    ));
    assert!(ran.succeeds().stdout.contains("three"));
    let ran = run(&mut sh(
        script,
        [
            &file,
            zroot(),
            Path::new("sh"),
            Path::new("-c"),
            Path::new("cat <&7"),
        ],
    ))
    .succeeds();
    assert_eq!(ran.stdout, "two\nthree\n");
}

#[test]
fn closed_standard_streams_stay_closed() {
    let report = "for fd in 0 1 2; do test -e /proc/self/fd/$fd && exit 3; done; exit 42";
    for options in [&["-v"][..], &["--no-apt-config"], &["--userns=never"]] {
        let mut args = vec![zroot().to_str().expect("UTF-8")];
        args.extend_from_slice(options);
        args.extend(["sh", "-c", report]);
        let ran = run(&mut sh("exec 0<&- 1>&- 2>&-; exec \"$@\"", args));
        assert_eq!(ran.status, 42, "{ran:#?}");
    }
}

#[test]
fn few_descriptors_are_enough() {
    let script = r#"ulimit -n 20; exec "$@""#;
    let ran = run(&mut sh(
        script,
        [
            zroot(),
            Path::new("sh"),
            Path::new("-c"),
            Path::new("cat $APT_CONFIG"),
        ],
    ))
    .succeeds();
    assert!(
        ran.stdout.contains("APT::Sandbox::User \"root\";"),
        "{ran:#?}"
    );
    let ran = run(&mut sh(
        r#"ulimit -n 3; exec "$@""#,
        [zroot(), Path::new("true")],
    ));
    let (what, hint) = ran.refused(125);
    assert!(
        what.contains("Too many open files") && hint.contains("--no-apt-config"),
        "{what} / {hint}"
    );
}

#[test]
fn umask_working_directory_limits_and_priority_are_the_callers() {
    same_with_zroot("umask 027", &[], &["grep", "^Umask", "/proc/self/status"]);
    same_with_zroot("cd /usr/bin", &[], &["pwd"]);
    same_with_zroot(
        "ulimit -n 100 -s 1024 -c 5; ulimit -Ht 1000",
        &[],
        &["cat", "/proc/self/limits"],
    );
    same_with_zroot("exec nice -n 5 \"$@\"", &[], &["nice"]);
    same_with_zroot(
        "",
        &[],
        &["cut", "-d", " ", "-f", "5,6,7,8", "/proc/self/stat"],
    ); // process group, session, terminal
}

/// Rust's start-up ignores SIGPIPE, which would survive execve.
#[test]
fn signal_dispositions_and_mask_are_the_callers() {
    let signals = [
        "grep",
        "-E",
        "^(Sig(Ign|Blk|Cgt)|SigPnd|ShdPnd)",
        "/proc/self/status",
    ];
    for setup in [
        "",
        "trap '' PIPE",
        "trap '' INT QUIT",
        "exec env --ignore-signal=PIPE,INT,CHLD \"$@\"",
        "exec env --block-signal=PIPE,USR1,TERM \"$@\"",
        "exec env --default-signal --block-signal \"$@\"",
    ] {
        let ran = same_with_zroot(setup, &[], &signals);
        assert_eq!(ran.stdout.lines().count(), 5, "{ran:#?}");
    }
    let ran = same_with_zroot("trap '' PIPE", &[], &signals);
    let ignored = ran
        .stdout
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:\t")?, 16).ok());
    assert_ne!(
        ignored.expect("SigIgn") & 1 << (libc::SIGPIPE - 1),
        0,
        "{ran:#?}"
    );
}

#[test]
fn a_closed_pipe_ends_the_writer_in_silence() {
    let ran = run(&mut zroot_with(["sh", "-c", "yes | head -1"])).succeeds();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("y\n", ""));
}

fn version_and_no_other(environment: &[u8], expected: &[&CStr]) {
    let entries: Vec<&[u8]> = environment
        .split(|byte| *byte == 0)
        .filter(|entry| !entry.is_empty())
        .collect();
    let (own, rest): (Vec<&[u8]>, Vec<&[u8]>) = entries
        .into_iter()
        .partition(|entry| entry.starts_with(b"ZROOT=") || entry.starts_with(b"APT_CONFIG="));
    assert_eq!(
        rest,
        expected
            .iter()
            .map(|entry| entry.to_bytes())
            .collect::<Vec<_>>()
    );
    assert_eq!(own[0], format!("ZROOT={}", zroot::VERSION).as_bytes());
    assert!(own[1].starts_with(b"APT_CONFIG=/proc/"), "{own:?}");
    assert_eq!(own.len(), 2);
}

#[test]
fn the_environment_is_the_callers_and_two_more() {
    let odd = [
        c"PATH=/opt/bin:/bin:/sbin",
        c"TWICE=1",
        c"NOEQUALS",
        c"=empty name",
        c"TWICE=2",
        c"BYTES=\xff\xfe",
        c"E=",
        c"X==",
        c"ZROOTX=kept",
    ];
    let args = [c"zroot", c"cat", c"/proc/self/environ"];
    let ran = exactly(zroot(), &args, &odd).output().expect("started");
    version_and_no_other(&ran.stdout, &odd);

    // What it sets replaces what was there, however often.
    let set = [
        c"ZROOT=old",
        c"APT_CONFIG=/dev/null",
        c"PATH=/bin:/sbin",
        c"ZROOT=older",
    ];
    let ran = exactly(zroot(), &args, &set).output().expect("started");
    version_and_no_other(&ran.stdout, &[c"PATH=/bin:/sbin"]);

    let ran = exactly(
        zroot(),
        &[c"zroot", c"--no-apt-config", c"cat", c"/proc/self/environ"],
        &set,
    )
    .output()
    .expect("started");
    let expected = format!(
        "APT_CONFIG=/dev/null\0PATH=/bin:/sbin\0ZROOT={}\0",
        zroot::VERSION
    );
    assert_eq!(String::from_utf8_lossy(&ran.stdout), expected);

    let ran = exactly(
        zroot(),
        &[c"zroot", c"/bin/cat", c"/proc/self/environ"],
        &[],
    )
    .output()
    .expect("started");
    version_and_no_other(&ran.stdout, &[]);
}

#[test]
fn zroots_own_name_does_not_matter() {
    for names in [
        &[c"zroot"][..],
        &[c""],
        &[c"-zroot"],
        &[c"\xff"],
        &[c"a\nb"],
    ] {
        let args = [names, &[c"sh", c"-c", c"echo $0; id -u"]].concat();
        let ran = run(&mut exactly(zroot(), &args, &[c"PATH=/bin:/usr/bin"])).succeeds();
        assert_eq!(ran.stdout, "sh\n0\n");
    }
    // Linux gives a program that is started with no argument at all an empty name (fs/exec.c, since
    // 5.18).
    let (what, _) = run(&mut exactly(zroot(), &[], &[])).refused(125);
    assert!(what.starts_with("no command given"), "{what}");
}

#[test]
fn the_commands_name_and_arguments_are_as_typed() {
    let dir = dir();
    let show = show_arguments(dir.path());
    let path = format!("{}:{PATH}", dir.path().display());
    let mut command = zroot_with(["show", "", " a  b ", "-v", "--", "--help", "*"]);
    let ran = run(command.env("PATH", &path)).succeeds();
    let lines: Vec<&str> = ran.stdout.lines().collect();
    // A script's interpreter is given the path that execve was.
    assert_eq!(
        lines[1..],
        ["<>", "< a  b >", "<-v>", "<-->", "<--help>", "<*>"]
    );
    assert_eq!(lines[0], format!("<{}>", show.display()));
    let ran = run(&mut zroot_with(["cat", "/proc/self/cmdline"])).succeeds();
    assert_eq!(ran.stdout, "cat\0/proc/self/cmdline\0");
}

#[test]
fn bytes_that_are_not_utf8_pass() {
    let dir = dir();
    let odd = OsString::from_vec(b"\xff\xfe odd \x01".to_vec());
    let name = dir.path().join(&odd);
    executable(&name, "#!/bin/sh\npwd\nprintf %s \"$1\"\n");
    let output = zroot_with([
        OsStr::new("-C"),
        dir.path().as_os_str(),
        name.as_os_str(),
        &odd,
    ])
    .output()
    .expect("started");
    assert_eq!(
        output.stdout,
        [dir.path().as_os_str().as_bytes(), b"\n", odd.as_bytes()].concat()
    );

    let sub = dir.path().join(OsStr::from_bytes(b"dir\xff"));
    fs::create_dir(&sub).expect("made");
    let output = zroot_with([OsStr::new("-C"), sub.as_os_str(), OsStr::new("pwd")])
        .output()
        .expect("started");
    assert_eq!(output.stdout, [sub.as_os_str().as_bytes(), b"\n"].concat());
}

#[test]
fn a_hundred_thousand_arguments_pass() {
    let args = (0..100_000).map(|i| i.to_string());
    let ran = run(&mut zroot_with(
        ["sh", "-c", "echo $# ${100000}", "sh"]
            .map(String::from)
            .into_iter()
            .chain(args),
    ))
    .succeeds();
    assert_eq!(ran.stdout, "100000 99999\n");
}
