//! The command line and the way to execve, against the real executable: what the command inherits,
//! and what bad input comes to.
#![allow(unsafe_code)] // pre_exec

mod common;

use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{
    PATH, Ran, control, dir, executable, for_root_only, is_root, run, skip, uid, user, zroot,
    zroot_with,
};

use zroot::internals::cli::{Consistency, Request};
use zroot::internals::filter::Level;

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

// What the command inherits.

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
        c"PATH=/bin:/usr/bin",
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
        c"PATH=/bin:/usr/bin",
        c"ZROOT=older",
    ];
    let ran = exactly(zroot(), &args, &set).output().expect("started");
    version_and_no_other(&ran.stdout, &[c"PATH=/bin:/usr/bin"]);

    let ran = exactly(
        zroot(),
        &[c"zroot", c"--no-apt-config", c"cat", c"/proc/self/environ"],
        &set,
    )
    .output()
    .expect("started");
    let expected = format!(
        "APT_CONFIG=/dev/null\0PATH=/bin:/usr/bin\0ZROOT={}\0",
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

// Options.

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
    const SELECTIVE: &str = "owner,identity,capability,device,probe,getid,xattr,foreign";
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
            "owner,identity,capability,device,probe,getid,sync,xattr,foreign",
        ),
        (
            &[c"-cauto", c"--fake=foreign,host", c"--no-fake=xattr,owner"],
            Some(Consistency::Auto),
            "identity,capability,device,probe,host",
            "identity,capability,device,probe,getid,foreign,host",
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
        let Ok(Request::Run(plan)) = zroot::internals::cli::parse(&args, |_| None) else {
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
        (&["-c", "maybe", "echo"], "'maybe'", "zero, selective, auto"),
        (
            &["--consistency", "echo"],
            "'echo'",
            "zero, selective, auto",
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

// Commands that cannot be run.

#[test]
fn a_command_that_is_not_there_is_127() {
    let dir = dir();
    let dangling = dir.path().join("dangling");
    symlink("/nonexistent", &dangling).expect("made");
    for (name, says) in [
        ("", "empty string"),
        (
            "nonexistent-command",
            "'nonexistent-command': command not found",
        ),
        ("./nonexistent-command", "No such file"),
        ("/nonexistent/command", "No such file"),
        ("/etc/passwd/command", "Not a directory"),
        (dangling.to_str().expect("UTF-8"), "No such file"),
    ] {
        let (what, _) = run(&mut zroot_with([name])).refused(127);
        assert!(what.contains(says), "{name}: {what}");
    }
}

#[test]
fn a_command_that_cannot_be_run_is_126() {
    let dir = dir();
    let at = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    fs::write(at("plain"), "#!/bin/sh\necho ran\n").expect("written");
    symlink("loop", at("loop")).expect("made");
    nix::unistd::mkfifo(at("fifo").as_str(), nix::sys::stat::Mode::S_IRWXU).expect("made");
    for (name, says, advises) in [
        ("/".into(), "it is a directory", ""),
        (at(""), "it is a directory", ""),
        (at("plain"), "Permission denied", "chmod +x"),
        (at("loop"), "symbolic links", ""),
        (at("fifo"), "not a regular file", ""),
        ("/dev/null".into(), "not a regular file", ""),
        (format!("/{}", "x".repeat(256)), "too long", ""),
        (format!("/{}", "x/".repeat(2100)), "too long", ""),
    ] {
        let (what, hint) = run(&mut zroot_with([&name])).refused(126);
        assert!(
            what.contains(says) && hint.contains(advises),
            "{name}: {what} / {hint}"
        );
    }
    // In PATH, but not executable: found nevertheless, unless there is another further on.
    let (what, hint) = run(zroot_with(["plain"]).env("PATH", dir.path())).refused(126);
    assert!(
        what.contains("Permission denied") && hint.contains("chmod +x"),
        "{what} / {hint}"
    );
    let second = common::dir();
    executable(&second.path().join("plain"), "#!/bin/sh\necho second\n");
    let path = format!(
        "{}:{}:{PATH}",
        dir.path().display(),
        second.path().display()
    );
    assert_eq!(
        run(zroot_with(["plain"]).env("PATH", path))
            .succeeds()
            .stdout,
        "second\n"
    );
    // A directory of that name does not count either.
    fs::create_dir(second.path().join("true")).expect("made");
    run(zroot_with(["true"]).env("PATH", format!("{}:{PATH}", second.path().display()))).succeeds();
    let (what, _) = run(zroot_with(["x".repeat(300)]).env("PATH", PATH)).refused(126);
    assert!(what.contains("too long"), "{what}");
}

#[test]
fn path_is_searched_as_execvp_does() {
    let dir = dir();
    show_arguments(dir.path());
    let here = dir.path().display();
    for path in [
        format!("{here}"),
        format!("/nonexistent:{here}"),
        ":/bin".into(),
        "/bin:".into(),
        "/bin::/usr/bin".into(),
        ".:/bin".into(),
        "/etc/passwd:.".into(),
    ] {
        let ran = run(zroot_with(["show"])
            .env("PATH", &path)
            .current_dir(dir.path()))
        .succeeds();
        assert!(ran.stdout.ends_with("show>\n"), "PATH={path}: {ran:#?}");
    }
    let ran = run(zroot_with(["show"])
        .env("PATH", "bin:sub/..")
        .current_dir(dir.path()));
    assert_eq!(ran.status, 127, "{ran:#?}");
    fs::create_dir(dir.path().join("sub")).expect("made");
    run(zroot_with(["show"])
        .env("PATH", "bin:sub/..")
        .current_dir(dir.path()))
    .succeeds();
    // An empty PATH is the present directory; without one, the system's own commands are found.
    run(zroot_with(["show"]).env("PATH", "").current_dir(dir.path())).succeeds();
    run(zroot_with(["true"]).env("PATH", "").current_dir(dir.path())).refused(127);
    run(zroot_with(["true"]).env_remove("PATH")).succeeds();
    run(zroot_with(["show"])
        .env_remove("PATH")
        .current_dir(dir.path()))
    .refused(127);
    run(zroot_with(["true"]).env("PATH", "/nonexistent")).refused(127);
    run(zroot_with(["true"]).env("PATH", format!("/{}:/bin:/usr/bin", "x".repeat(5000))))
        .succeeds();
}

/// Behind an unsearchable directory there is nothing to be found; but apparent root can search the
/// user's own.
#[test]
fn an_unsearchable_path_directory_is_passed_over() {
    let dir = dir();
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).expect("made");
    show_arguments(&closed);
    common::give(&closed);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).expect("chmod");
    let path = format!("{}:{PATH}", closed.display());
    run(sh("exec show", [""; 0]).env("PATH", &path)).fails_with("ermission denied");
    run(zroot_with(["show"]).env("PATH", &path)).succeeds();
    run(zroot_with(["true"]).env("PATH", &path)).succeeds();
    run(zroot_with(["nonexistent-command"]).env("PATH", &path)).refused(127);
    run(zroot_with(["nonexistent-command"]).env("PATH", &closed)).refused(127);
}

/// Directories that the unprivileged user may be unable to search.
const CLOSED: [&str; 4] = [
    "/lost+found",
    "/var/lib/private",
    "/etc/ssl/private",
    "/root",
];

#[test]
fn another_users_unsearchable_path_directory_is_passed_over() {
    let name = "another_users_unsearchable_path_directory_is_passed_over";
    let roots = tempfile::Builder::new()
        .tempdir_in("/tmp")
        .expect("a directory"); // mode 0700; root's own, if root makes it
    let known = CLOSED.map(Path::new);
    zroot();
    let is_closed = |path: &&Path| {
        run(user("stat").arg(path.join(".")))
            .stderr
            .contains("Permission denied")
    };
    let Some(closed) = [roots.path()]
        .into_iter()
        .chain(known)
        .find(is_closed)
        .and_then(Path::to_str)
    else {
        return skip(name, "every directory can be searched");
    };
    run(zroot_with(["true"]).env("PATH", format!("{closed}:{PATH}"))).succeeds();
    for path in [
        closed.to_owned(),
        format!("{closed}:/bin"),
        format!("/bin:{closed}"),
    ] {
        let (what, _) = run(zroot_with(["nonexistent-command"]).env("PATH", path)).refused(127);
        assert_eq!(what, "'nonexistent-command': command not found");
    }
    let (what, _) = run(&mut zroot_with([format!("{closed}/command")])).refused(126);
    assert!(what.contains("Permission denied"), "{what}");
}

/// An ELF header (elf(5)) of class 64 with one program header, `PT_INTERP`, that names
/// `interpreter`.
fn elf64(machine: u16, big_endian: bool, interpreter: &CStr) -> Vec<u8> {
    let number = |value: u64, size: usize| {
        let little = value.to_le_bytes();
        let mut bytes = little[..size].to_vec();
        if big_endian {
            bytes.reverse();
        }
        bytes
    };
    let name = interpreter.to_bytes_with_nul();
    let mut elf = b"\x7fELF\x02".to_vec();
    elf.extend([if big_endian { 2 } else { 1 }, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for (value, size) in [
        (2, 2),
        (machine.into(), 2),
        (1, 4),
        (0x40_0000, 8),
        (64, 8),
        (0, 8),
        (0, 4),
        (64, 2),
        (56, 2),
        (1, 2),
        (0, 2),
        (0, 2),
        (0, 2),
    ] {
        elf.extend(number(value, size));
    }
    let len = name.len() as u64;
    for (value, size) in [
        (3, 4),
        (4, 4),
        (64 + 56, 8),
        (0, 8),
        (0, 8),
        (len, 8),
        (len, 8),
        (1, 8),
    ] {
        elf.extend(number(value, size));
    }
    elf.extend(name);
    elf
}

/// `e_machine` of the machine itself, from this test program's own header.
fn own_machine() -> u16 {
    let head = fs::read("/proc/self/exe").expect("read");
    u16::from_ne_bytes([head[18], head[19]])
}

#[test]
fn an_executable_for_another_machine_is_named_as_such() {
    let dir = dir();
    let foreign = dir.path().join("foreign");
    for (machine, big_endian, name) in [
        (22, true, "s390x"),
        (183, false, "aarch64"),
        (243, false, "riscv64"),
        (62, false, "x86-64"),
        (21, false, "ppc64"),
        (4242, false, "ELF machine 4242"),
    ] {
        if machine == own_machine() {
            continue;
        }
        executable(&foreign, elf64(machine, big_endian, c"/lib/ld.so"));
        let (what, hint) = run(zroot_with([&foreign]).arg("x")).refused(126);
        assert!(
            what.contains("Exec format error")
                && hint.contains(&format!("an executable for {name}, ")),
            "{what} / {hint}"
        );
    }
}

#[test]
fn broken_executables_are_126() {
    let dir = dir();
    let broken = dir.path().join("broken");
    let whole = elf64(
        own_machine(),
        cfg!(target_endian = "big"),
        c"/nonexistent/ld.so",
    );
    let garbage: Vec<u8> = (0..2000_u32)
        .map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[2])
        .collect();
    assert!(garbage.contains(&0));
    for contents in [
        &whole[..20],
        &whole[..4],
        &garbage,
        b"\0",
        b"\x7fELF\x02\x01\x01\0\0",
        &[b"MZ\0\0", &garbage[..]].concat(),
    ] {
        // Of a file without a NUL at its start nobody can tell that it is no script.
        if !contents.contains(&0) {
            continue;
        }
        executable(&broken, contents);
        let (what, hint) = run(&mut zroot_with([&broken])).refused(126);
        assert!(
            what.contains("Exec format error") && !hint.is_empty(),
            "{what} / {hint}"
        );
    }
}

#[test]
#[cfg(target_pointer_width = "64")]
fn a_missing_loader_is_named() {
    let dir = dir();
    let path = dir.path().join("dangling");
    executable(
        &path,
        elf64(
            own_machine(),
            cfg!(target_endian = "big"),
            c"/nonexistent/ld.so",
        ),
    );
    let (what, hint) = run(&mut zroot_with([&path])).refused(126);
    assert!(
        what.contains("interpreter is missing") && hint.contains("'/nonexistent/ld.so'"),
        "{what} / {hint}"
    );
}

#[test]
fn a_missing_interpreter_of_a_script_is_named() {
    let dir = dir();
    let path = dir.path().join("crooked");
    for (line, named) in [
        ("#!/nonexistent/perl -w\n", "'/nonexistent/perl'"),
        ("#! \t/nonexistent/sh", "'/nonexistent/sh'"),
        ("#!/bin/sh\r\n", "'/bin/sh\\r'"),
    ] {
        executable(&path, line);
        let (what, hint) = run(zroot_with([&path]).arg("x")).refused(126);
        assert!(
            what.contains("interpreter is missing") && hint.contains(named),
            "{line:?}: {what} / {hint}"
        );
        let (what, hint) =
            run(zroot_with(["crooked"]).env("PATH", format!("{}:{PATH}", dir.path().display())))
                .refused(126);
        assert!(
            what.contains("interpreter is missing") && hint.contains(named),
            "{line:?}: {what} / {hint}"
        );
    }
    // One that is there but cannot be run.
    for line in ["#!/etc/passwd\n", "#!/usr\n"] {
        executable(&path, line);
        let (what, hint) = run(&mut zroot_with([&path])).refused(126);
        assert!(
            what.contains("Permission denied") && hint.contains(line[2..].trim()),
            "{line:?}: {what} / {hint}"
        );
    }
}

#[test]
fn a_script_without_its_first_line_is_the_shells() {
    let dir = dir();
    let path = dir.path().join("script");
    executable(&path, "printf '<%s>' \"$0\" \"$@\"; id -u\n");
    let ran = run(zroot_with([&path]).args(["a b", "", "-c"])).succeeds();
    assert_eq!(ran.stdout, format!("<{}><a b><><-c>0\n", path.display()));
    let ran =
        run(zroot_with(["script", "x"]).env("PATH", format!("{}:{PATH}", dir.path().display())))
            .succeeds();
    assert_eq!(ran.stdout, format!("<{}><x>0\n", path.display()));
    executable(&path, "");
    run(&mut zroot_with([&path])).succeeds();
}

#[test]
fn too_large_an_argument_list_is_said_to_be_so() {
    let big = "x".repeat(100_000);
    let string = format!("true {}", "${BIG}".repeat(21)); // MAX_ARG_STRLEN is 32 pages, of 64 KiB at most
    let (what, hint) = run(zroot_with(["-S", &string]).env("BIG", big)).refused(126);
    assert!(
        what.contains("Argument list too long") && hint.contains("environment"),
        "{what} / {hint}"
    );
}

#[test]
fn an_executable_that_is_being_written_is_busy() {
    let dir = dir();
    let path = dir.path().join("busy");
    executable(&path, fs::read("/bin/true").expect("read"));
    let writer = OpenOptions::new().append(true).open(&path).expect("opened");
    let (what, _) = run(&mut zroot_with([&path])).refused(126);
    assert!(what.contains("Text file busy"), "{what}");
    drop(writer);
}

#[test]
fn a_noexec_file_system_is_suspected() {
    let dir = dir();
    let script =
        r#"mount -t tmpfs -o noexec none "$1" && cp /bin/true "$1" && exec "$0" "$1/true""#;
    let ran = run(user("unshare")
        .args(["-rm", "sh", "-c", script])
        .arg(zroot())
        .arg(dir.path()));
    let (what, hint) = ran.refused(126);
    assert!(
        what.contains("Permission denied") && hint.contains("noexec"),
        "{what} / {hint}"
    );
}

// #! lines and -S.

/// Writes `lines` to an executable script and runs it with `args`, among them what a careless shell
/// would split, expand or drop.
fn run_script(lines: &str, args: &[&str]) -> Ran {
    let dir = dir();
    let path = dir.path().join("a script");
    executable(&path, lines);
    let mut ran = run(user(&path).args(args));
    ran.stdout = ran.stdout.replace(path.to_str().expect("UTF-8"), "SCRIPT");
    ran
}

#[test]
fn zroot_is_an_interpreter() {
    let body = "printf '<%s>' \"$0\" \"$@\"; printf ' %s' $(id -u) $-; false; echo after\n";
    let args = ["a  b", "", "-v", "--", "--help", "*", "-S", "end "];
    let shown = "<SCRIPT><a  b><><-v><--><--help><*><-S><end > 0";
    let zroot = zroot().display();

    let ran = run_script(&format!("#!{zroot} /bin/sh\n{body}"), &args);
    assert_eq!(ran.succeeds().stdout, format!("{shown}after\n"));
    for line in [
        "-S --no-sync -- /bin/sh -e",
        "-S/bin/sh -e",
        "-S   /bin/sh\t-e  ",
        "--split-string=/bin/sh '-e'",
        "-S 'sh' \"-e\" # comment",
    ] {
        let ran = run_script(&format!("#!{zroot} {line}\n{body}"), &args);
        assert_eq!(
            (ran.stdout.as_str(), ran.stderr.as_str(), ran.status),
            (format!("{shown} e").as_str(), "", 1),
            "{line}"
        );
    }
    let ran = run_script(
        &format!("#!{zroot} -vS --no-sync /bin/sh -e\n{body}"),
        &args,
    );
    assert_eq!((ran.stdout, ran.status), (format!("{shown} e"), 1));
    assert!(
        ran.stderr
            .contains("fakes owner,identity,capability,device,probe,sync"),
        "{}",
        ran.stderr
    );
    // Without -S, all that follows is one argument, and zroot must not take it for options of its
    // own.
    let (what, _) = run_script(&format!("#!{zroot} /bin/sh -e\n{body}"), &args).refused(127);
    assert!(what.contains("'/bin/sh -e'"), "{what}");
}

/// Strings after `-S SHOW` for which zroot and coreutils' env must agree, be it that both refuse.
const SPLITS: &[&str] = &[
    "",
    " ",
    "a",
    "a b",
    "  a \t b  ",
    "a\nb",
    "a\x0bb\x0cc\rd",
    "'a b'",
    "\"a b\"",
    "a'b'c",
    "a'b c'\"d e\"f",
    "''",
    "\"\"",
    "'' ''",
    "a '' b",
    "a''",
    "'\"'",
    "\"'\"",
    "# comment",
    "a # comment",
    "a#b",
    "a '#' b",
    "'#a'",
    "\"#a\"",
    "\\#a",
    "a \\# b",
    "a\\_b",
    "a\\_\\_b",
    "\\_a",
    "\"a\\_b\"",
    "'a\\_b'",
    "a\\tb",
    "a\\nb\\rc\\fd\\ve",
    "\"a\\tb\\n\"",
    "'a\\tb'",
    "\\t",
    "\\\"a b\\\"",
    "\\'a b\\'",
    "'a\\'b'",
    "'a\\\\b'",
    "\"a\\\"b\"",
    "\"a\\'b\"",
    "\"a\\\\b\"",
    "a\\\\b",
    "a\\c b",
    "a \\c b",
    "a\\$b",
    "\"a\\$b\"",
    "'$X'",
    "'${X}'",
    "${X}",
    "a${X}b",
    "\"${X}\"",
    "\"a ${X} b\"",
    "${X}${X}",
    "${BLANKS}",
    "\"${BLANKS}\"",
    "a${BLANKS}b",
    "${UNSET}",
    "a ${UNSET} b",
    "a${UNSET}b",
    "\"${UNSET}\"",
    "${EMPTY}",
    "a ${EMPTY} b",
    "${QUOTES}",
    "${_U1}",
    "-v",
    "--help",
    "-- -x",
    "X=y",
    "\u{fc}ml\u{e4}ut",
    "*",
    "~ $",
    "$X",
    "${}",
    "${X",
    "${1}",
    "${X-y}",
    "${X }",
    "$(true)",
    "a$",
    "\"$\"",
    "'a",
    "\"a",
    "a'",
    "a\\",
    "\"a\\",
    "'a\\",
    "a\\qb",
    "\"a\\qb\"",
    "'a\\qb'",
    "\"a\\cb\"",
    "'a\\cb'",
    "a\\ b",
    "a\\\nb",
    "\"${X\"",
    "\"\" # \"",
    "a \\c '",
    "# '",
    "\\_",
    "\\_\\_",
    "a\\_",
    "\\c",
    "\"#\" a",
    "a ${UNSET}# b",
    "${UNSET}#b",
    "''#b",
    "a\\_#b",
];

#[test]
fn a_string_is_split_as_env_does() {
    let dir = dir();
    let show = show_arguments(dir.path());
    let with_variables = |program: &Path, string: &str| {
        let mut command = user(program);
        command.envs([
            ("X", "x y"),
            ("EMPTY", ""),
            ("BLANKS", "  p  q "),
            ("QUOTES", "'a b' \"c"),
            ("_U1", "u"),
        ]);
        run(command.arg("-S").arg(string).args(["last one", "#"]))
    };
    let mut refused = 0;
    for split in SPLITS {
        // With the string first, in the middle and last of what is split; leading blanks must not
        // matter.
        for string in [
            format!("{} {split}", show.display()),
            format!(" {} 1 {split} ", show.display()),
        ] {
            let (env, ours) = (
                with_variables(Path::new("env"), &string),
                with_variables(zroot(), &string),
            );
            if env.status == 0 {
                assert_eq!(
                    (ours.status, ours.stdout),
                    (0, env.stdout),
                    "-S '{string}': {}",
                    ours.stderr
                );
            } else {
                assert_eq!(env.status, 125, "{env:#?}");
                let (what, hint) = ours.refused(125);
                assert!(
                    what.starts_with("-S: ") && hint.contains("env(1)"),
                    "{what} / {hint}"
                );
                refused += 1;
            }
        }
    }
    assert!(refused > 20, "only {refused} refusals");
}

#[test]
fn a_string_may_hold_options_and_the_command_follow_it() {
    let ran = run(&mut zroot_with([
        "-S",
        "-C /usr --no-apt-config",
        "sh",
        "-c",
        "pwd; echo ${APT_CONFIG-none}",
    ]))
    .succeeds();
    assert_eq!(ran.stdout, "/usr\nnone\n");
    let ran = run(&mut zroot_with(["--split-string", "echo a", "-S", "b"])).succeeds();
    assert_eq!(ran.stdout, "a -S b\n");
    let (what, _) = run(&mut zroot_with(["-S", "-S true"])).refused(125);
    assert!(what.contains("-S must be the first"), "{what}");
    let (what, _) = run(&mut zroot_with(["-S", ""])).refused(125);
    assert!(what.starts_with("no command given"), "{what}");
    let ran = run(zroot_with([
        OsStr::new("-S"),
        OsStr::from_bytes(b"printf %s '\xff ${X}'${X}"),
    ])
    .env("X", OsStr::from_bytes(b"\xfe")));
    assert_eq!(ran.succeeds().stdout, "\u{fffd} ${X}\u{fffd}");
}

// --if-needed, --userns, --allow-new-privs.

/// What tells a plain process from an emulated one.
const STATE: &str = "id -u; readlink /proc/self/ns/user; grep -E '^(Seccomp|NoNewPrivs):' /proc/self/status; echo ZROOT=$ZROOT";

fn namespace() -> String {
    fs::read_link("/proc/self/ns/user")
        .expect("read")
        .to_str()
        .expect("UTF-8")
        .to_owned()
}

#[test]
fn if_needed_emulates_for_a_user_and_for_root_over_one_id() {
    let ran = run(&mut zroot_with(["--if-needed", "sh", "-c", STATE])).succeeds();
    assert!(
        ran.stdout.starts_with("0\n") && !ran.stdout.contains(&namespace()),
        "{ran:#?}"
    );
    assert!(
        ran.stdout.contains("Seccomp:\t2\nZROOT=0")
            || ran.stdout.contains("Seccomp:\t2") && ran.stdout.contains("ZROOT=0"),
        "{ran:#?}"
    );
    let file = dir();
    let chown = [
        zroot(),
        Path::new("--if-needed"),
        Path::new("chown"),
        Path::new("1:1"),
        file.path(),
    ];
    run(&mut control(chown)).succeeds();
    run(&mut control([
        "chown".as_ref(),
        "1:1".as_ref(),
        file.path().as_os_str(),
    ]))
    .fails_with("Invalid argument");
}

#[test]
fn if_needed_runs_plainly_for_real_root() {
    let name = "if_needed_runs_plainly_for_real_root";
    let many =
        fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !map.trim_end().ends_with(" 1"));
    if for_root_only(name) {
        return;
    }
    if !many {
        return skip(name, "root has one id only");
    }
    let mut command = Command::new(zroot());
    let ran = run(command
        .args(["--if-needed", "sh", "-c", STATE])
        .env_remove("ZROOT"))
    .succeeds();
    let bare = run(Command::new("sh").args(["-c", STATE]).env_remove("ZROOT")).succeeds();
    assert_eq!(ran.stdout, bare.stdout);
    assert!(
        ran.stdout.contains("Seccomp:\t0") && ran.stdout.contains(&namespace()),
        "{ran:#?}"
    );
    // Without the option, it is emulated for root as well, and ownership stays as it was.
    let file = tempfile::NamedTempFile::new().expect("a file");
    run(Command::new(zroot())
        .args(["--", "chown", "1:1"])
        .arg(file.path()))
    .succeeds();
    run(Command::new(zroot())
        .args(["--if-needed", "--", "chown", "2:2"])
        .arg(file.path()))
    .succeeds();
    let owner = run(Command::new("stat").args(["-c", "%u:%g"]).arg(file.path())).succeeds();
    assert_eq!(owner.stdout, "2:2\n");
    // A lost capability makes root over many ids no real root.
    let ran = run(Command::new("setpriv")
        .args(["--bounding-set=-chown", "--inh-caps=-chown"])
        .arg(zroot())
        .args(["--if-needed", "sh", "-c", STATE]));
    assert!(ran.stdout.contains("Seccomp:\t2"), "{ran:#?}");
}

#[test]
fn if_needed_says_a_missing_command_as_ever() {
    run(&mut zroot_with(["--if-needed", "nonexistent-command"])).refused(127);
    if is_root() {
        run(Command::new(zroot()).args(["--if-needed", "/etc/passwd"])).refused(126);
    }
}

#[test]
fn without_a_namespace_the_filter_alone_makes_root() {
    let ran = run(&mut zroot_with(["--userns=never", "sh", "-c", STATE])).succeeds();
    let mut lines = ran.stdout.lines();
    assert_eq!(
        (lines.next(), lines.next()),
        (Some("0"), Some(namespace().as_str())),
        "{ran:#?}"
    );
    assert!(
        ran.stdout.contains("NoNewPrivs:\t1\nSeccomp:\t2\n"),
        "{ran:#?}"
    );

    let ran = run(&mut zroot_with(["--userns=never", "id"])).succeeds();
    assert!(
        ran.stdout.starts_with("uid=0(root) gid=0(root)"),
        "{ran:#?}"
    );
    let dir = dir();
    let file = dir.path().join("file");
    fs::write(&file, "").expect("written");
    common::give(&file);
    let script = r#"chown 1:1 "$1" && stat -c %u:%g "$1""#;
    let ran = run(&mut zroot_with([
        "--userns=never".as_ref(),
        "sh".as_ref(),
        "-c".as_ref(),
        script.as_ref(),
        "sh".as_ref(),
        file.as_os_str(),
    ]));
    assert_eq!(ran.succeeds().stdout, format!("{0}:{0}\n", uid()));
    run(user("chown").arg("1:1").arg(&file)).fails_with("not permitted");
    // The control: with the ids' class off, it is the user again.
    let ran = run(&mut zroot_with([
        "--userns=never",
        "--no-fake=getid",
        "id",
        "-u",
    ]))
    .succeeds();
    assert_eq!(ran.stdout, format!("{}\n", uid()));
}

#[test]
fn new_privileges_are_off_unless_allowed() {
    let state = ["grep", "NoNewPrivs", "/proc/self/status"];
    assert_eq!(
        run(&mut zroot_with(state)).succeeds().stdout,
        "NoNewPrivs:\t1\n"
    );
    let ran = run(zroot_with(["--allow-new-privs"]).args(state)).succeeds();
    assert_eq!(ran.stdout, "NoNewPrivs:\t0\n");
    let (what, hint) = run(&mut zroot_with([
        "--allow-new-privs",
        "--userns=never",
        "echo",
        "ran",
    ]))
    .refused(125);
    assert!(
        what.contains("cannot install the filter: Permission denied"),
        "{what}"
    );
    assert!(
        hint.contains("--allow-new-privs needs CAP_SYS_ADMIN"),
        "{hint}"
    );
    // Whoever has it already needs no namespace.
    run(&mut control([
        zroot().as_os_str(),
        "--allow-new-privs".as_ref(),
        "--userns=never".as_ref(),
        "true".as_ref(),
    ]))
    .succeeds();
}

// Classes, by their effect.

/// Asserts that `command` fails, with `why`, under zroot as it is by default, and succeeds with
/// `option`.
#[track_caller]
fn only_with(option: &str, command: &[&str], why: &str) -> Ran {
    run(&mut zroot_with(command)).fails_with(why);
    run(zroot_with([option]).args(command)).succeeds()
}

/// Asserts that `command` succeeds under zroot, and fails, with `why`, with `option` and without
/// any filter.
#[track_caller]
fn not_with(option: &str, command: &[&str], why: &str) {
    run(&mut zroot_with(command)).succeeds();
    run(zroot_with([option]).args(command)).fails_with(why);
    run(&mut control(command)).fails_with(why);
}

#[test]
fn default_classes_can_be_switched_off_one_by_one() {
    let dir = dir();
    let path = dir.path().to_str().expect("UTF-8");
    not_with(
        "--no-fake=owner",
        &["chown", "1:1", path],
        "Invalid argument",
    );
    not_with("--no-fake=owner", &["chgrp", "1", path], "Invalid argument");
    not_with(
        "--no-fake=identity",
        &["setpriv", "--reuid", "1", "true"],
        "setresuid failed",
    );
    not_with(
        "--no-fake=identity",
        &["setpriv", "--clear-groups", "true"],
        "setgroups failed",
    );
    not_with(
        "--no-fake=device",
        &["mknod", &format!("{path}/null"), "c", "1", "3"],
        "not permitted",
    );
    // A class that is off takes nothing from the others.
    run(&mut zroot_with([
        "--no-fake=identity,device,capability",
        "chown",
        "1:1",
        path,
    ]))
    .succeeds();
}

#[test]
fn host_names_are_pretended_on_demand() {
    need!("host_names_are_pretended_on_demand", "hostname");
    let before = fs::read_to_string("/proc/sys/kernel/hostname").expect("read");
    only_with("--fake=host", &["hostname", "zroot-test"], "must be root");
    only_with("--fake=host", &["date", "-s", "@0"], "not permitted");
    assert_eq!(
        fs::read_to_string("/proc/sys/kernel/hostname").expect("read"),
        before
    );
}

/// fsync(2) of /dev/null is EINVAL from any kernel.
#[test]
fn writing_to_disk_is_pretended_on_demand() {
    for option in ["--fake=sync", "--no-sync"] {
        only_with(option, &["sync", "/dev/null"], "Invalid argument");
        only_with(option, &["sync", "-d", "/dev/null"], "Invalid argument");
        only_with(
            option,
            &["dd", "if=/dev/null", "of=/dev/null", "conv=fsync"],
            "fsync failed",
        );
    }
}

#[test]
fn limits_are_pretended_on_demand_and_questions_are_real() {
    let name = "limits_are_pretended_on_demand_and_questions_are_real";
    need!(name, "renice", "prlimit", "chrt");
    only_with(
        "--fake=limits",
        &["sh", "-c", "renice -n -5 -p $$"],
        "Permission denied",
    );
    only_with(
        "--fake=limits",
        &["sh", "-c", "ulimit -n 60 && ulimit -Hn 70"],
        "not permitted",
    );
    only_with(
        "--fake=limits",
        &["chrt", "-f", "1", "true"],
        "not permitted",
    );
    let ran = run(&mut zroot_with(["nice", "-n", "-5", "true"])).succeeds();
    assert!(ran.stderr.contains("cannot set niceness"), "{ran:#?}");
    let ran = run(&mut zroot_with([
        "--fake=limits",
        "nice",
        "-n",
        "-5",
        "true",
    ]))
    .succeeds();
    assert_eq!(ran.stderr, "");
    let script = r#"ulimit -n 77; exec "$0" --fake=limits prlimit --nofile --noheadings -o SOFT"#;
    let ran = run(user("sh").args(["-c", script]).arg(zroot())).succeeds();
    assert_eq!(ran.stdout.trim(), "77");
}

#[test]
fn mounts_are_pretended_on_demand() {
    let before = "cat /proc/self/mounts";
    let bare = run(&mut zroot_with(["sh", "-c", before])).succeeds().stdout;
    let ran = only_with(
        "--fake=mount",
        &["sh", "-c", &format!("mount -t tmpfs x /mnt && {before}")],
        "mount:",
    );
    assert_eq!(ran.stdout, bare);
    only_with(
        "--fake=mount",
        &["mount", "--bind", "/usr", "/mnt"],
        "mount:",
    );
    only_with("--fake=mount", &["umount", "/proc"], "umount:");
}

#[test]
fn extended_attributes_are_pretended_on_demand() {
    need!(
        "extended_attributes_are_pretended_on_demand",
        "setfattr",
        "setcap",
        "getcap"
    );
    let dir = dir();
    let path = dir.path().to_str().expect("UTF-8");
    only_with(
        "--fake=xattr",
        &["setfattr", "-n", "trusted.zroot", "-v", "1", path],
        "not permitted",
    );
    only_with(
        "--fake=xattr",
        &["setfattr", "-x", "user.zroot-absent", path],
        "No such attribute",
    );
    // Why it is off by default: a file capability is real without it and lost with it.
    let file = dir.path().join("file");
    fs::copy("/bin/true", &file).expect("copied");
    common::give(&file);
    let script = r#"setcap cap_net_raw+ep "$1" && getcap "$1""#;
    let with = |options: &[&str]| {
        run(zroot_with(options)
            .args(["sh", "-c", script, "sh"])
            .arg(&file))
        .succeeds()
        .stdout
    };
    assert_eq!(with(&["--fake=xattr"]), "");
    assert!(with(&[]).contains("cap_net_raw=ep"));
}

#[test]
fn inode_flags_are_pretended_on_demand() {
    let name = "inode_flags_are_pretended_on_demand";
    need!(name, "chattr", "lsattr");
    let dir = dir();
    let path = dir.path().to_str().expect("UTF-8");
    zroot();
    if run(user("lsattr").args(["-d", path])).status != 0 {
        return skip(name, "the file system of /tmp has no inode flags");
    }
    only_with(
        "--fake=inode-flags",
        &["chattr", "+i", path],
        "not permitted",
    );
    let ran = run(user("lsattr").args(["-d", path])).succeeds();
    assert!(
        !ran.stdout
            .split(' ')
            .next()
            .is_some_and(|flags| flags.contains('i')),
        "{ran:#?}"
    );
}

// The executable itself.

/// The files in /proc/self of a program that its user cannot read are root's (`fs/exec.c`,
/// `would_dump`).
#[test]
fn an_executable_that_cannot_be_read_works() {
    let dir = dir();
    let copy = dir.path().join("zroot");
    executable(&copy, fs::read(zroot()).expect("read"));
    let mut modes = vec![(uid(), 0o111)];
    if is_root() {
        modes.push((0, 0o711));
    }
    for (owner, mode) in modes {
        if is_root() {
            chown(&copy, Some(owner), Some(owner)).expect("chown");
        }
        fs::set_permissions(&copy, fs::Permissions::from_mode(mode)).expect("chmod");
        run(user("cat").arg(&copy)).fails_with("Permission denied");
        let ran = run(user(&copy).args(["sh", "-c"]).arg(format!(
            "id -u; chown 1:1 {}; cat $APT_CONFIG",
            dir.path().display()
        )))
        .succeeds();
        assert!(
            ran.stdout.starts_with("0\n") && ran.stdout.contains("APT::Sandbox"),
            "{ran:#?}"
        );
        assert_eq!(ran.stderr, "");
    }
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("chmod");
}

#[track_caller]
fn refuses_privileges(ran: Ran) {
    let (what, _) = ran.refused(125);
    assert!(what.contains("refusing to run setuid"), "{what}");
}

/// A file capability that a user may give: it counts where the user's own id is root of an outer
/// namespace, and the process is not root in the inner one (security/commoncap.c,
/// `rootid_owns_currentns`).
#[test]
fn zroot_with_file_capabilities_refuses() {
    need!("zroot_with_file_capabilities_refuses", "setcap");
    let dir = dir();
    let copy = dir.path().join("zroot");
    executable(&copy, fs::read(zroot()).expect("read"));
    let inner = ["unshare", "--user", "--map-user=1000"];
    let in_there = |rest: &[&OsStr]| run(control(inner).args(rest));
    in_there(&[copy.as_os_str(), "--version".as_ref()]).succeeds();
    run(&mut control([
        "setcap".as_ref(),
        "cap_net_raw+ep".as_ref(),
        copy.as_os_str(),
    ]))
    .succeeds();
    refuses_privileges(in_there(&[
        copy.as_os_str(),
        "echo".as_ref(),
        "ran".as_ref(),
    ]));
    refuses_privileges(in_there(&[copy.as_os_str(), "--version".as_ref()]));
}

#[test]
fn a_setuid_or_setgid_zroot_refuses() {
    let name = "a_setuid_or_setgid_zroot_refuses";
    if for_root_only(name) {
        return;
    }
    let dir = dir();
    let copy = dir.path().join("zroot");
    executable(&copy, fs::read(zroot()).expect("read"));
    for (owner, group, mode) in [
        (1, 1, 0o4755),
        (0, 0, 0o4755),
        (common::TEST_ID, 1, 0o2755),
        (1, common::TEST_ID, 0o6755),
    ] {
        chown(&copy, Some(owner), Some(group)).expect("chown");
        fs::set_permissions(&copy, fs::Permissions::from_mode(mode)).expect("chmod");
        let ran = run(user(&copy).args(["echo", "ran"]));
        if run(user("findmnt")
            .args(["-n", "-o", "OPTIONS", "-T"])
            .arg(&copy))
        .stdout
        .contains("nosuid")
        {
            return skip(name, "/tmp is mounted nosuid");
        }
        refuses_privileges(ran);
    }
    // One's own id is no privilege.
    chown(&copy, Some(common::TEST_ID), Some(common::TEST_ID)).expect("chown");
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o6755)).expect("chmod");
    assert_eq!(
        run(user(&copy).args(["echo", "ran"])).succeeds().stdout,
        "ran\n"
    );
}

#[test]
fn a_command_of_roots_path_is_named() {
    let dir = ["/usr/sbin", "/sbin"]
        .into_iter()
        .find(|dir| Path::new(dir).join("chroot").is_file())
        .expect("chroot in an sbin");
    let (what, hint) = run(zroot_with(["chroot", "/"]).env("PATH", "/nowhere")).refused(127);
    assert_eq!(what, "'chroot': command not found");
    assert!(hint.starts_with(&format!("it is in {dir}, ")), "{hint}");
    run(zroot_with(["true"]).env("PATH", "/usr/bin:/bin")).succeeds();
}
