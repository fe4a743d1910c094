//! Limits that the caller has, and input that is larger than anybody means it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt;

use crate::common::{Ran, SmallTree, dir, give, run, user, zroot, zroot_with};

/// `zroot ARGS...` under the limits of prlimit(1).
fn limited<A: AsRef<OsStr>>(limits: &[&str], args: impl IntoIterator<Item = A>) -> Ran {
    let mut command = user("prlimit");
    run(command.args(limits).arg("--").arg(zroot()).args(args))
}

/// Writing apt's configuration once ended zroot by SIGXFSZ.
#[test]
fn no_file_may_grow() {
    need!("no_file_may_grow", "prlimit");
    let script = r#"ulimit -f; ulimit -Hf; grep -c Sandbox "$APT_CONFIG""#;
    let ran = limited(&["--fsize=0:"], ["sh", "-c", script]).succeeds();
    assert_eq!(ran.stdout, "0\nunlimited\n1\n");
    let ran = limited(&["--fsize=4096:8192"], ["sh", "-c", script]).succeeds();
    assert_eq!(ran.stdout, "8\n16\n1\n");
    for limit in ["--fsize=0", "--fsize=50", "--fsize=0:50"] {
        let (what, hint) = limited(&[limit], ["true"]).refused(125);
        assert_eq!(
            what,
            "cannot hold apt's configuration in memory: the limit on the size of files is too low"
        );
        assert!(
            hint.contains("ulimit -f") && hint.contains("--no-apt-config"),
            "{hint}"
        );
        let ran = limited(&[limit], ["--no-apt-config", "id", "-u"]).succeeds();
        assert_eq!(ran.stdout, "0\n");
    }
    // An enclosing zroot may pretend to raise the limit.
    let inner = zroot().as_os_str();
    let args = ["--fake=limits", "--no-apt-config"].map(OsStr::new);
    let args = args.into_iter().chain([inner, OsStr::new("true")]);
    let (what, _) = limited(&["--fsize=0:"], args).refused(125);
    assert!(what.ends_with("the limit on the size of files is too low"));
}

/// What every program of glibc's needs is 16 kB; with options, and for messages, twice as much.
#[test]
fn a_small_stack_is_enough() {
    need!("a_small_stack_is_enough", "prlimit");
    let Some(tree) = SmallTree::new("a_small_stack_is_enough") else {
        return;
    };
    let root = tree.root();
    let root = root.to_str().expect("UTF-8");
    for (args, status) in [
        (&["true"][..], 0),
        (&["--no-sync", "true"], 0),
        (&["--root", root, "/bin/true"], 0),
        (&["-c", "selective", "true"], 0),
        (&["--summary", "true"], 0),
        (&["--fail-on=owner", "true"], 0),
        (&["-S", "-v true"], 0),
        (&["--help"], 0),
        (&["--explain", "chown"], 0),
        (&["--dump-filter"], 0),
        (&["--bogus", "true"], 125),
        (&["--userns=bogus", "true"], 125),
        (&["no-such-command"], 127),
    ] {
        let ran = limited(&["--stack=32768:"], args);
        assert_eq!(ran.status, status, "{args:?}: {ran:#?}");
    }
}

/// It once was four lines and SIGABRT.
#[test]
fn no_memory_is_one_line() {
    need!("no_memory_is_one_line", "prlimit");
    let mut command = user("prlimit");
    command.args(["--as=20000000", "--"]).arg(zroot());
    command.arg("-S").arg("${X}".repeat(25_000));
    let (what, hint) = run(command.env("X", "x".repeat(1000))).refused(125);
    assert_eq!((&*what, &*hint), ("out of memory", ""));
}

/// A name of 400 letters once took ten seconds to be unknown. What is counted is the processor's
/// time: another second, and the kernel ends it.
#[test]
fn what_is_long_is_refused_soon_and_in_short() {
    need!("what_is_long_is_refused_soon_and_in_short", "prlimit");
    let soon = |args: &[OsString]| {
        let ran = limited(&["--cpu=1:2"], args);
        let status = ran.status;
        assert!(matches!(status, 125..=127), "{status} {:.80?}", args[0]);
        let (what, hint) = ran.refused(status);
        for line in [what, hint] {
            assert!(line.chars().count() < 1100, "{:.80?}: {line}", args[0]);
        }
    };
    for letters in [
        &b"a"[..],
        b"\\",
        b"\x01",
        b"'",
        "\u{20ac}".as_bytes(),
        b"a,",
    ] {
        let long = letters.repeat(100_000 / letters.len());
        let with = |start: &str| OsString::from_vec([start.as_bytes(), &long].concat());
        for option in [
            "--chdir=",
            "--root=",
            "--root=/ --bind=",
            "--userns=",
            "--consistency=",
            "--fake=",
            "--no-fake=",
            "--fail-on=",
            "--arch=",
            "--explain=",
            "--check=",
            "--dump-filter=",
            "--no-sync=",
            "--summary=",
            "--trace=",
            "--",
            "--x",
            "-S\"",
            "-S",
            "",
            "/",
        ] {
            let (first, start) = option.split_once(' ').unwrap_or(("--", option));
            match start {
                "" | "/" => soon(&[OsString::from("--"), with(start)]),
                _ if first == "--" => soon(&[with(start), "true".into()]),
                _ => soon(&[first.into(), with(start), "true".into()]),
            }
        }
        for start in ["0", "-"] {
            soon(
                &["--explain", "chown", "--"]
                    .map(OsString::from)
                    .into_iter()
                    .chain([with(&format!("{start}0"))])
                    .collect::<Vec<_>>(),
            );
        }
        soon(&["--dump-filter".into(), "--".into(), with("x")]);
        soon(&["--check".into(), "--".into(), with("x")].map(|arg: OsString| arg));
    }
    // Of a line that is too long the beginning and the end are left.
    let name = format!("begin{}end", "x".repeat(5000));
    let (what, _) = run(&mut zroot_with(["-C", &name, "true"])).refused(125);
    assert!(
        what.starts_with("cannot change to 'begin") && what.ends_with("end': File name too long"),
        "{what}"
    );
}

/// A sparse file of 3 GB once took 6 GB of memory.
#[test]
fn a_large_apt_config_is_refused() {
    need!("a_large_apt_config_is_refused", "prlimit");
    let dir = dir();
    let path = dir.path().join("apt.conf");
    let file = File::create(&path).expect("a file");
    give(&path);
    let with = |args: &[&str]| {
        let mut command = user("prlimit");
        command.arg("--as=50000000").arg("--").arg(zroot());
        run(command.args(args).env("APT_CONFIG", &path))
    };
    for size in [(1 << 20) + 1, 3 << 30] {
        file.set_len(size).expect("a hole");
        let (what, hint) = with(&["true"]).refused(125);
        assert_eq!(
            what,
            format!(
                "APT_CONFIG names '{}', which is larger than 1 MiB",
                path.display()
            )
        );
        assert!(
            hint.contains("unset") && hint.contains("--no-apt-config"),
            "{hint}"
        );
        with(&["--no-apt-config", "true"]).succeeds();
    }
    file.set_len(1 << 20).expect("a hole");
    let ran = with(&["sh", "-c", r#"wc -c <"$APT_CONFIG""#]).succeeds();
    let size: u64 = ran.stdout.trim().parse().expect("a number");
    assert!(size > 1 << 20, "{size}");
    // What cannot be read counts as empty.
    fs::remove_file(&path).expect("removed");
    with(&["true"]).succeeds();
}
