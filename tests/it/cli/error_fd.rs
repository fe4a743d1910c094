//! `--error-fd`: what keeps the command from beginning is said there, and nothing else; it is closed
//! when the command begins.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::{fs, thread};

use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use zroot::internals::sys::process::inherit;

use super::sh;
use crate::common::{LONG, SmallTree, dir, filter_answering, give, run, under_filter, zroot};

/// `zroot ARGS...` with descriptor 3 open as `file` is by `redirection`.
fn with_file(redirection: &str, file: &std::path::Path, args: &[&str]) -> Command {
    let zroot = zroot().to_str().expect("UTF-8");
    let script = format!("file=$1; shift; exec \"$@\" 3{redirection}\"$file\"");
    let file = file.to_str().expect("UTF-8");
    sh(&script, [&[file, zroot], args].concat())
}

#[test]
fn what_keeps_the_command_from_beginning_is_said_there() {
    let (dir, none) = (dir(), dir());
    let file = dir.path().join("errors");
    for (args, status, is_filtered) in [
        (&["--", "zroot-none"][..], 127, false),
        (&["/etc/passwd"], 126, false),
        (&["--root", "/none", "true"], 125, false),
        (&["--bind", "/etc", "true"], 125, false), // without --root
        (&["--unknown", "true"], 125, false),
        (&["--dump-filter=raw", "--arch=all"], 125, false),
        (&["true"], 125, true),
        (&["--summary", "true"], 125, true), // in a process beside which zroot stays
        (&["--save", "state", "true"], 125, true),
    ] {
        let start = |command: &mut Command| {
            command.current_dir(none.path());
            if is_filtered {
                let eperm = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();
                under_filter(command, filter_answering(libc::SYS_unshare, eperm));
            }
            run(command)
        };
        let (what, hint) = start(&mut with_file(">", &file, args)).refused(status);
        let hint = if hint.is_empty() {
            hint
        } else {
            format!("hint: {hint}\n")
        };
        for option in [
            &["--error-fd=3"][..],
            &["--error-fd", "9", "--error-fd", "3"],
        ] {
            let args = [option, args].concat();
            let ran = start(&mut with_file(">", &file, &args));
            let said = (ran.status, &*ran.stdout, &*ran.stderr);
            assert_eq!(said, (status, "", ""), "{ran:#?}");
            let said = fs::read_to_string(&file).expect("what was said");
            assert_eq!(said, format!("zroot: {what}\n{hint}"), "{args:?}");
        }
    }
}

#[test]
fn nothing_else_is_said_there() {
    let dir = dir();
    let file = dir.path().join("errors");
    let script = "chown 5:7 \"$0\"; echo command >&2; exit 125";
    let script = ["-v", "--", "sh", "-c", script, "/dev/null"];
    for (option, status, says) in [
        ("--userns=auto", 125, "zroot: user namespace"),
        (
            "--fail-on=owner",
            124,
            "zroot: calls were pretended that --fail-on forbids: owner",
        ),
    ] {
        let args = [&["--error-fd=3", option], &script[..]].concat();
        let ran = run(&mut with_file(">", &file, &args));
        assert_eq!(ran.status, status, "{ran:#?}");
        assert!(
            ran.stderr.contains(says) && ran.stderr.contains("command\n"),
            "{ran:#?}"
        );
        assert_eq!(fs::read_to_string(&file).expect("the file"), "", "{option}");
    }
}

#[test]
fn without_a_descriptor_to_write_to_it_is_standard_error() {
    let dir = dir();
    let file = dir.path().join("file");
    fs::write(&file, "").expect("written");
    give(&file);
    for (redirection, fd, says) in [
        ("<", "3", "'zroot-none': command not found"),
        (">", "9", "--error-fd: descriptor 9: Bad file number"),
        (">", "2", "invalid value '2' for '--error-fd <FD>'"),
        (">", "-1", "invalid value '-1' for '--error-fd <FD>'"),
        (">", "x", "invalid value 'x' for '--error-fd <FD>'"),
    ] {
        let option = format!("--error-fd={fd}");
        let ran = run(&mut with_file(redirection, &file, &[&option, "zroot-none"]));
        let status = if redirection == "<" { 127 } else { 125 };
        let (what, _) = ran.refused(status);
        assert!(what.starts_with(says), "{what}");
    }
}

#[test]
fn the_command_does_not_have_it() {
    let dir = dir();
    let file = dir.path().join("file");
    let write = ["sh", "-c", "echo command >&3"];
    run(&mut with_file(">", &file, &write)).succeeds(); // the control
    assert_eq!(fs::read_to_string(&file).expect("the file"), "command\n");
    for option in [
        "--userns=auto",
        "--consistency=full",
        "--summary",
        "--if-needed",
    ] {
        let args = [&["--error-fd=3", option], &write[..]].concat();
        run(&mut with_file(">", &file, &args)).fails_with("3: Bad file descriptor");
        assert_eq!(fs::read_to_string(&file).expect("the file"), "", "{option}");
    }
}

/// Whoever had it would keep a reader waiting, who could not tell that the command has begun.
#[test]
fn nobody_has_it_when_the_command_has_begun() {
    let Some(tree) = SmallTree::new("nobody_has_it_when_the_command_has_begun") else {
        return;
    };
    for options in [
        &[][..],
        &["-c", "selective"],
        &["-c", "full"],
        &["--summary=summary"],
        &["--trace=trace", "-c", "full"],
        &["--save=state"],
        &["--root=root"], // which is lent a resolv.conf
        &["--root=root", "--owners=xattr"],
    ] {
        let (from, to) = pipe2(OFlag::O_CLOEXEC).expect("a pipe");
        let mut command = tree.zroot([format!("--error-fd={}", to.as_raw_fd())]);
        command.args(options).args(["--", "cat"]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        inherit(&mut command, to);
        let mut child = command.spawn().expect("started");
        drop(command);
        let (send, said) = mpsc::channel();
        thread::spawn(move || {
            let mut text = String::new();
            let read = File::from(from).read_to_string(&mut text);
            let _ = send.send(read.map(|_| text));
        });
        let said = said.recv_timeout(LONG);
        let said = said.unwrap_or_else(|_| panic!("{options:?}: somebody has it"));
        assert_eq!(said.expect("read"), "", "{options:?}");
        let ended = child.try_wait().expect("asked for");
        assert_eq!(ended, None, "{options:?}: cat waits for input");
        drop(child.stdin.take());
        let output = child.wait_with_output().expect("waited for");
        assert!(output.status.success(), "{options:?}: {output:?}");
    }
}
