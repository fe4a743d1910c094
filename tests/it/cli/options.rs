//! Options: what they say, how they add up, and what bad usage comes to.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Stdio;

use zroot::internals::cli::{Consistency, Request};
use zroot::internals::filter::Level;

use super::show_arguments;
use crate::common::{Ran, dir, executable, run, uid, zroot_with};

#[test]
fn options_stop_at_the_command() {
    for args in [
        &["echo", "-v", "--bogus", "-h"][..],
        &["--", "echo", "-v", "--bogus", "-h"],
        &["-C", "/", "--", "echo", "-v", "--bogus", "-h"],
    ] {
        let ran = run(&mut zroot_with(args)).succeeds();
        assert_eq!(
            (ran.stdout.as_str(), ran.stderr.as_str()),
            ("-v --bogus -h\n", "")
        );
    }
    let ran = run(&mut zroot_with(["sh", "-c", "echo $#", "sh", "--", "a"])).succeeds();
    assert_eq!(ran.stdout, "2\n");
    let (what, _) = run(&mut zroot_with(["-"])).refused(127);
    assert_eq!(what, "'-': command not found");
    let (what, _) = run(&mut zroot_with(["--", "-v"])).refused(127);
    assert_eq!(what, "'-v': command not found");
}

#[test]
fn chdir_takes_its_value_in_every_form() {
    for args in [
        &["-C", "/usr"][..],
        &["-C/usr"],
        &["--chdir", "/usr"],
        &["--chdir=/usr"],
        &["-C", "/", "-C", "/usr"],
        &["-C", "/etc/../usr"],
    ] {
        let ran = run(zroot_with(args).arg("pwd")).succeeds();
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("/usr\n", ""));
    }
    let ran = run(&mut zroot_with(["-vC", "/usr", "pwd"])).succeeds();
    assert!(
        ran.stdout == "/usr\n" && ran.stderr.contains("user namespace"),
        "{ran:#?}"
    );
    let ran = run(&mut zroot_with(["-vC/usr", "pwd"])).succeeds();
    assert!(
        ran.stdout == "/usr\n" && ran.stderr.contains("user namespace"),
        "{ran:#?}"
    );
}

#[test]
fn the_command_is_looked_up_in_the_new_directory() {
    let dir = dir();
    show_arguments(dir.path());
    let ran = run(&mut zroot_with([
        OsStr::new("-C"),
        dir.path().as_os_str(),
        OsStr::new("./show"),
    ]))
    .succeeds();
    assert_eq!(ran.stdout, "<./show>\n");
}

#[test]
fn a_bad_directory_is_refused() {
    let dir = dir();
    let file = dir.path().join("file");
    fs::write(&file, "").expect("written");
    for (name, why) in [
        ("/nonexistent", "No such file"),
        (file.to_str().expect("UTF-8"), "Not a directory"),
        ("/a\nb", "'/a\\nb': No such file"),
    ] {
        let (what, _) = run(&mut zroot_with(["-C", name, "true"])).refused(125);
        assert!(
            what.starts_with("cannot change to '") && what.contains(why),
            "{what}"
        );
    }
    let (what, _) = run(&mut zroot_with(["-C", "", "true"])).refused(125);
    assert!(what.contains("--chdir"), "{what}");
}

#[test]
fn verbose_says_each_step_and_silence_is_the_default() {
    let ran = run(&mut zroot_with(["-v", "true"])).succeeds();
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert!(
        lines.iter().all(|line| line.starts_with("zroot: ")),
        "{lines:#?}"
    );
    assert!(
        lines[0].contains(&format!("uid {} ", uid())) && lines[1].contains("APT_CONFIG=/proc/"),
        "{lines:#?}"
    );
    assert!(
        lines[2].contains("fakes owner,identity,capability,device,probe") && lines.len() == 3,
        "{lines:#?}"
    );
    let ran = run(&mut zroot_with(["true"])).succeeds();
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
}

#[test]
fn help_and_version_go_to_standard_output() {
    let ran = run(&mut zroot_with(["-V"])).succeeds();
    assert_eq!(
        (ran.stdout, ran.stderr.as_str()),
        (format!("zroot {}\n", zroot::VERSION), "")
    );
    for option in ["-h", "--help"] {
        let ran = run(&mut zroot_with([option])).succeeds();
        assert_eq!(ran.stderr, "");
        for arg in zroot::internals::cli::definition().get_arguments() {
            let long = format!(
                "--{}",
                arg.get_long().expect("every option has a long name")
            );
            let named = ran
                .stdout
                .lines()
                .any(|line| line.split([' ', ',', '[']).any(|word| word == long));
            assert!(named, "{option} does not mention {long}:\n{}", ran.stdout);
        }
        for class in zroot::internals::filter::Class::ALL {
            assert!(
                ran.stdout.contains(class.name()),
                "{option} does not mention {class}"
            );
        }
    }
    // They win over a command, and nothing is run.
    let ran = run(&mut zroot_with(["-V", "echo", "ran"])).succeeds();
    assert!(!ran.stdout.contains("ran"), "{ran:#?}");
}

#[test]
fn help_that_cannot_be_written_is_an_error() {
    let full = OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("/dev/full");
    let mut child = zroot_with(["--help"])
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .expect("a pipe")
        .read_to_string(&mut stderr)
        .expect("read");
    assert_eq!(child.wait().expect("waited for").code(), Some(125));
    assert!(
        stderr.starts_with("zroot: cannot write to standard output: No space left"),
        "{stderr}"
    );
}

#[test]
fn the_last_of_repeated_options_wins() {
    let ran = run(&mut zroot_with([
        "--userns=never",
        "--userns=auto",
        "-v",
        "-v",
        "true",
    ]))
    .succeeds();
    assert!(ran.stderr.contains("user namespace: uid"), "{ran:#?}");
    let ran = run(&mut zroot_with([
        "--userns=auto",
        "--userns",
        "never",
        "-vv",
        "true",
    ]))
    .succeeds();
    assert!(ran.stderr.contains("no user namespace"), "{ran:#?}");
    run(&mut zroot_with([
        "--if-needed",
        "--if-needed",
        "--no-sync",
        "--no-sync",
        "true",
    ]))
    .succeeds();
}

/// Classes add up, and removal beats addition, wherever it stands.
#[test]
fn classes_add_up() {
    for (options, classes) in [
        (
            &["--fake=sync", "--fake=host,limits"][..],
            "owner,identity,capability,device,probe,sync,host,limits",
        ),
        (
            &["--no-fake=owner", "--fake=owner"],
            "identity,capability,device,probe",
        ),
        (&["--no-fake", "all"], "probe"),
        (
            &["--no-fake=owner,device", "--no-fake=identity"],
            "capability,probe",
        ),
        (
            &["--no-sync", "--no-fake=sync"],
            "owner,identity,capability,device,probe",
        ),
        (
            &["--fake=all"],
            "owner,identity,capability,device,probe,getid,sync,xattr,inode-flags,host,limits,mount",
        ),
        (
            &["--consistency=zero", "--fake=all", "--no-fake=foreign"][..],
            "owner,identity,capability,device,probe,getid,sync,xattr,inode-flags,host,limits,mount",
        ),
        (
            &["-c", "zero", "--no-fake=foreign,owner"],
            "identity,capability,device,probe",
        ),
    ] {
        let ran = run(zroot_with(options).args(["-v", "true"])).succeeds();
        assert!(
            ran.stderr.contains(&format!("fakes {classes}, answers")),
            "{options:?}: {ran:#?}"
        );
    }
}

/// The same options under either level: which one it is may be decided only when zroot runs.
#[test]
fn a_plan_has_a_policy_for_every_level() {
    const ZERO: &str = "owner,identity,capability,device,probe";
    const SELECTIVE: &str = "owner,identity,capability,device,probe,getid,xattr,foreign,limits";
    for (options, consistency, zero, selective) in [
        (&[][..], None, ZERO, SELECTIVE),
        (&[c"-c", c"zero"], Some(Consistency::Zero), ZERO, SELECTIVE),
        (
            &[c"--consistency=selective"],
            Some(Consistency::Selective),
            ZERO,
            SELECTIVE,
        ),
        (
            &[c"-czero", c"-vcauto"],
            Some(Consistency::Auto),
            ZERO,
            SELECTIVE,
        ),
        (
            &[c"--no-sync", c"--userns=never"],
            None,
            "owner,identity,capability,device,probe,getid,sync",
            "owner,identity,capability,device,probe,getid,sync,xattr,foreign,limits",
        ),
        (
            &[c"-cauto", c"--fake=foreign,host", c"--no-fake=xattr,owner"],
            Some(Consistency::Auto),
            "identity,capability,device,probe,host",
            "identity,capability,device,probe,getid,foreign,host,limits",
        ),
        (
            &[c"--fake=all", c"--no-fake=mount"],
            None,
            "owner,identity,capability,device,probe,getid,sync,xattr,inode-flags,host,limits",
            "owner,identity,capability,device,probe,getid,sync,xattr,foreign,inode-flags,host,limits",
        ),
        (&[c"--no-fake=all", c"--fake=all"], None, "probe", "probe"),
    ] {
        let args = [&[c"zroot"], options, &[c"true"]].concat();
        let Ok(Request::Run(plan)) = zroot::internals::cli::parse(&args, |_| None, &mut None)
        else {
            panic!("{options:?} is refused")
        };
        assert_eq!(plan.consistency, consistency, "{options:?}");
        let classes = |level| plan.policy(level).classes.to_string();
        assert_eq!(
            (classes(Level::Zero), classes(Level::Selective)),
            (zero.to_owned(), selective.to_owned()),
            "{options:?}"
        );
        assert!(
            Level::ALL
                .into_iter()
                .all(|level| plan.policy(level).level == level)
        );
    }
}

#[test]
fn bad_usage_is_one_line_and_a_hint() {
    let classes = "the classes are owner identity capability device probe getid sync xattr foreign inode-flags host limits mount";
    for (args, says, advises) in [
        (&["--bogus", "echo"][..], "'--bogus'", "zroot --help"),
        (&["--verbos", "echo"], "'--verbos'", "'--verbose'"),
        (&["--no-synk", "echo"], "'--no-synk'", "'--no-sync'"),
        (&["-x", "echo"], "'-x'", "zroot --help"),
        (&["-vx", "echo"], "'-x'", "zroot --help"),
        (&["--fake=bogus", "echo"], classes, ""),
        (&["--fake=sync,bogus", "echo"], classes, ""),
        (&["--fake=", "echo"], "--fake", ""),
        (&["--no-fake=bogus", "echo"], classes, ""),
        (&["--userns=maybe", "echo"], "'maybe'", "auto, never"),
        (&["--userns", "echo"], "'echo'", "auto, never"),
        (&["--no-fake=probe", "echo"], "self-test", "emulation"),
        (&["--no-fake=owner,probe", "echo"], "self-test", "emulation"),
        (
            &["-c", "maybe", "echo"],
            "'maybe'",
            "zero, selective, full, auto",
        ),
        (
            &["--consistency", "echo"],
            "'echo'",
            "zero, selective, full, auto",
        ),
        (&["-c"], "--consistency", ""),
        (
            &["--fake=foreign", "echo"],
            "whose a file is",
            "--consistency=selective",
        ),
        (
            &["--consistency=zero", "--fake=sync,foreign", "echo"],
            "whose a file is",
            "--consistency=selective",
        ),
        (
            &["-cselective", "-czero", "--fake=foreign", "echo"],
            "whose a file is",
            "--consistency=selective",
        ),
        (
            &["-cselective", "--fake=stat", "echo"],
            "a supervisor that forgets cannot tell whose a file is",
            "--consistency=full",
        ),
        (
            &["-c", "selective", "--no-fake=probe", "echo"],
            "self-test",
            "emulation",
        ),
        (&["--if-needed=yes", "echo"], "--if-needed", ""),
        (&["-C"], "--chdir", ""),
        (&["--chdir"], "--chdir", ""),
        (&["-S"], "-S", ""),
        (&["-v", "-S", "echo"], "-S must be the first", ""),
        (&["-vvS", "echo"], "-S must be the first", ""),
    ] {
        let (what, hint) = run(&mut zroot_with(args)).refused(125);
        assert!(
            what.contains(says) && hint.contains(advises),
            "{args:?}: {what} / {hint}"
        );
    }
}

/// A line break in an argument once broke the message, and the rest of the argument was lost.
#[test]
fn a_message_is_one_line_whatever_the_argument() {
    for option in [
        "--bo\ngus",
        "--fake=a\nb",
        "--userns=a\n\nb",
        "-x\n",
        "-Sa\n'b",
        "--no-fake=\x1b[31m",
    ] {
        let (what, _) = run(&mut zroot_with([option, "echo"])).refused(125);
        assert!(!what.contains(char::is_control), "{what:?}");
    }
    let (what, _) = run(&mut zroot_with(["--fake=a\nb", "echo"])).refused(125);
    assert!(what.contains("'a\\nb'"), "{what}");
    for (name, status) in [("a\nb", 127), ("/a\nb", 127), ("\x1b[31m", 127)] {
        let (what, _) = run(&mut zroot_with([name])).refused(status);
        assert!(!what.contains(char::is_control), "{what:?}");
    }
    for bytes in [&b"--\xff"[..], b"-\xff", b"--fake=\xff", b"--userns=\xff"] {
        run(&mut zroot_with([
            OsStr::from_bytes(bytes),
            OsStr::new("echo"),
        ]))
        .refused(125);
    }
}

#[test]
fn without_a_command_and_a_terminal_there_is_nothing_to_do() {
    for args in [&[][..], &["--"], &["-v"], &["-C", "/"]] {
        let (what, hint) = run(&mut zroot_with(args)).refused(125);
        assert!(
            what.starts_with("no command given") && hint.contains("zroot [OPTIONS]"),
            "{what} / {hint}"
        );
    }
}

/// It once panicked, which in a release build is SIGABRT.
#[test]
fn a_message_that_cannot_be_written_changes_nothing_else() {
    let full = || {
        OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .expect("/dev/full")
    };
    for (args, status) in [
        (&["--bogus"][..], 125),
        (&["nonexistent-command"], 127),
        (&["/"], 126),
        (&["-v", "sh", "-c", "exit 42"], 42),
    ] {
        let ended = zroot_with(args).stderr(full()).status().expect("started");
        assert_eq!(ended.code(), Some(status), "{args:?}");
    }
}

/// Runs `zroot ARGS` with a terminal as standard input, which ends at once, and SHELL as given.
fn on_a_terminal(args: &[&str], shell: Option<&str>) -> Ran {
    use nix::fcntl::OFlag;
    use std::io::Write;
    // Not openpty, whose descriptors other threads' children would inherit.
    let mut master = nix::pty::posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)
        .expect("a terminal");
    nix::pty::grantpt(&master).expect("granted");
    nix::pty::unlockpt(&master).expect("unlocked");
    let name = nix::pty::ptsname_r(&master).expect("a name");
    let slave = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY)
        .open(name)
        .expect("opened");
    master.write_all(b"\x04").expect("end of input");
    let mut command = zroot_with(args);
    command.env_remove("SHELL").stdin(slave);
    if let Some(shell) = shell {
        command.env("SHELL", shell);
    }
    run(&mut command)
}

#[test]
fn on_a_terminal_the_shell_is_started() {
    let dir = dir();
    let shell = dir.path().join("my shell");
    executable(
        &shell,
        "#!/bin/sh\necho \"mine, $# arguments, uid $(id -u)\"\n",
    );
    let shell = shell.to_str();
    for args in [&[][..], &["--"], &["-C", "/"]] {
        assert_eq!(
            on_a_terminal(args, shell).succeeds().stdout,
            "mine, 0 arguments, uid 0\n"
        );
    }
    // Without SHELL, or with an empty one, /bin/sh reads the terminal to its end.
    for shell in [None, Some("")] {
        assert_eq!(on_a_terminal(&[], shell).status, 0);
    }
    let (what, _) = on_a_terminal(&[], Some("/nonexistent/shell")).refused(127);
    assert!(what.contains("/nonexistent/shell"), "{what}");
    // With a command, the terminal does not matter.
    assert_eq!(
        on_a_terminal(&["echo", "typed"], shell).succeeds().stdout,
        "typed\n"
    );
}

#[test]
fn what_was_typed_in_place_of_an_option_is_told_the_right_form() {
    for (args, status, advice) in [
        (
            &["--explain", "setuid", "-1"][..],
            125,
            "--explain CALL -- -1",
        ),
        (&["--explain=chown", "-1"], 125, "--explain CALL -- -1"),
        (&["--check", "json"], 125, "--check=json"),
        (&["--dump-filter", "raw"], 125, "--dump-filter=raw"),
        (&["--summary", "x.json", "true"], 127, "--summary=FILE"),
        (&["--trace", "x.log", "true"], 127, "--trace=FILE"),
        (&["-root", "x", "true"], 125, "--root"),
        (&["-version"], 125, "--version"),
        (&["-r", "id"], 125, "leave it out"),
        (&["-u", "games", "id"], 125, "-c full su USER"),
    ] {
        let (_, hint) = run(&mut zroot_with(args)).refused(status);
        assert!(hint.contains(advice), "{args:?}: {hint}");
    }
    // The controls: the right forms, and wrong ones of which nobody knows what they mean.
    for args in [
        &["--explain", "setuid", "--", "-1"][..],
        &["--check=json"],
        &["--summary=/dev/null", "true"],
        &["--summary", "true"],
        &["-c", "full", "--", "setpriv", "--reuid", "5", "id"],
    ] {
        run(&mut zroot_with(args)).succeeds();
    }
    for args in [
        &["-1", "true"][..],
        &["--explai", "setuid", "-1"],
        &["--check", "true"],
    ] {
        let (_, hint) = run(&mut zroot_with(args)).refused(125);
        assert!(
            !hint.contains("--explain CALL --") && !hint.contains("--check="),
            "{args:?}: {hint}"
        );
    }
    let (_, hint) = run(&mut zroot_with(["--summary=/dev/null", "x.json"])).refused(127);
    assert_eq!(hint, "");
}

#[test]
fn a_call_in_the_place_of_its_class_is_told_the_class() {
    for option in ["--fake", "--no-fake", "--fail-on"] {
        let ran = run(&mut zroot_with([option, "chown,statx", "true"]));
        let (what, _) = ran.refused(125);
        assert!(
            what.contains("'chown'") && what.ends_with("class owner, which is switched as a whole"),
            "{what}"
        );
        // The control.
        let (what, _) = run(&mut zroot_with([option, "chwon", "true"])).refused(125);
        assert!(what.contains("the classes are owner identity "), "{what}");
        run(&mut zroot_with([option, "owner", "true"])).succeeds();
    }
}
