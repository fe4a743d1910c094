//! `--pid`: nothing gets out of the PID namespace but the end, and nothing stays behind.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::{SmallTree, dir, run, user, wait_for, zroot, zroot_with};

const LEVELS: [&str; 3] = ["zero", "selective", "full"];

/// Whether a process that says `mark` on its command line has not ended.
fn runs(mark: &str) -> bool {
    let says = |entry: fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.starts_with("sleep") && line.contains(mark)
    };
    fs::read_dir("/proc").expect("/proc").flatten().any(says)
}

/// A time to sleep that only the test `name` has.
fn mark(name: &str) -> String {
    let sum: u32 = name.bytes().map(u32::from).sum();
    format!("{}.{sum}", 90_000 + std::process::id())
}

/// Starts a command whose standard input and output are pipes, and waits for its first line.
fn start(command: &mut Command) -> (Child, String) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let (mut said, mut byte) = (Vec::new(), [0]);
    let stdout = child.stdout.as_mut().expect("a pipe");
    while stdout.read(&mut byte).expect("a line") == 1 && byte != *b"\n" {
        said.push(byte[0]);
    }
    (child, String::from_utf8(said).expect("UTF-8"))
}

fn with_pid(level: &str, script: &str) -> Command {
    zroot_with(["--pid", "-c", level, "--", "sh", "-c", script])
}

#[test]
fn processes_are_numbered_anew() {
    let script = "echo $$; echo /proc/[0-9]*; readlink /proc/self/exe > /dev/null && cat /proc/1/comm; head -c 8 $APT_CONFIG";
    for level in LEVELS {
        let ran = run(&mut with_pid(level, script)).succeeds();
        assert_eq!(
            ran.stdout, "2\n/proc/1 /proc/2\nzroot-init\n// zroot",
            "{level}"
        );
        assert_eq!(ran.stderr, "");
    }
    let ran = run(&mut zroot_with(["--", "sh", "-c", script])).succeeds();
    assert!(!ran.stdout.starts_with("2\n"), "{ran:#?}");
}

#[test]
fn what_it_leaves_running_ends_with_it() {
    let mark = mark("what_it_leaves_running_ends_with_it");
    let script = format!(
        "setsid sleep {mark} > /dev/null 2>&1 & until grep -qx sleep /proc/$!/comm; do :; done; echo started; exit 5"
    );
    for level in LEVELS {
        let ran = run(&mut with_pid(level, &script));
        assert_eq!((ran.status, &ran.stdout[..]), (5, "started\n"), "{ran:#?}");
        assert!(!runs(&mark), "{level}");
    }
    // The control. What is found is ended by its number.
    let ran = run(&mut zroot_with(["--", "sh", "-c", &script]));
    assert!(runs(&mark), "{ran:#?}");
    run(user("pkill").args(["-f", &format!("^sleep {mark}$")])).succeeds();
}

/// Everything in a namespace around it, which the control ends.
#[test]
fn a_signal_to_all_stays_inside() {
    let around = r#"sleep 1000 & outside=$!; "$@"
        state=$(sed -n 's/^State:\t\(.\).*/\1/p' /proc/$outside/status 2> /dev/null)
        if [ "${state:-Z}" = Z ]; then echo gone; else echo there; fi"#;
    let inside = "sleep 1000 & kill -KILL -1; wait; echo sent";
    let tried = |options: &[&str]| {
        let mut command = user("unshare");
        command.args(["-rpf", "--mount-proc", "sh", "-c", around, "sh"]);
        command
            .arg(zroot())
            .args(options)
            .args(["--", "sh", "-c", inside]);
        run(&mut command).succeeds().stdout
    };
    for level in LEVELS {
        assert_eq!(tried(&["--pid", "-c", level]), "sent\nthere\n", "{level}");
    }
    assert_eq!(tried(&[]), "sent\ngone\n");
}

/// The supervisor is outside.
#[test]
fn the_supervisor_outlives_a_signal_to_all() {
    let dir = dir();
    let script = "sleep 1000 & kill -KILL -1; touch f; chown 5:6 f && stat -c %u:%g f";
    let mut command = with_pid("full", script);
    let ran = run(command.current_dir(dir.path())).succeeds();
    assert_eq!(ran.stdout, "5:6\n");
    // The control: one that is inside does not.
    let mut command = user("unshare");
    command.args(["-rpf", "--mount-proc", "sh", "-c", r#""$@"; exit"#, "sh"]);
    command
        .arg(zroot())
        .args(["-c", "full", "--", "sh", "-c", script]);
    run(command.current_dir(dir.path())).fails_with("Function not implemented");
}

#[test]
fn the_end_is_the_commands() {
    for level in LEVELS {
        for status in [0, 1, 42, 125, 255] {
            let ran = run(&mut with_pid(level, &format!("exit {status}")));
            assert_eq!(ran.status, status, "{ran:#?}");
        }
        for signal in [libc::SIGTERM, libc::SIGKILL, libc::SIGSEGV, 40] {
            let ended = with_pid(level, &format!("kill -{signal} $$"))
                .status()
                .expect("started");
            assert_eq!(ended.signal(), Some(signal), "{level}");
        }
    }
    let (what, _) = run(&mut zroot_with(["--pid", "no-such-command"])).refused(127);
    assert!(what.contains("'no-such-command'"), "{what}");
    run(&mut zroot_with(["--pid", "/etc/passwd"])).refused(126);
}

#[test]
fn signals_are_passed_on() {
    for signal in [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGUSR1,
    ] {
        for (script, status) in [
            ("echo; read line; exit 1".to_owned(), None),
            (
                format!("trap 'exit 7' {}; echo; read line; exit 1", signal as i32),
                Some(7),
            ),
        ] {
            // Whoever runs the tests may ignore some.
            let mut command = user("env");
            command.arg("--default-signal").arg(zroot());
            command.args(["--pid", "--", "sh", "-c", &script]);
            let (mut child, _) = start(&mut command);
            let stdin = child.stdin.take();
            kill(Pid::from_raw(child.id().try_into().expect("a pid")), signal).expect("kill");
            let end = child.wait().expect("zroot's end");
            let by = status.is_none().then_some(signal as i32);
            assert_eq!((end.code(), end.signal()), (status, by), "{signal}");
            drop(stdin);
        }
    }
}

#[test]
fn a_zroot_that_is_killed_takes_all_along() {
    let mark = mark("a_zroot_that_is_killed_takes_all_along");
    let Some(tree) = SmallTree::new("a_zroot_that_is_killed_takes_all_along") else {
        return;
    };
    let script = format!("setsid sleep {mark} > /dev/null 2>&1 & echo; read line");
    // With a zroot beside the command, for what is lent, and without.
    for mut command in [with_pid("full", &script), tree.inside(&["--pid"], &script)] {
        let (mut child, _) = start(&mut command);
        wait_for("a daemon", || runs(&mark).then_some(()));
        child.kill().expect("kill");
        child.wait().expect("zroot's end");
        wait_for("the end of the daemon", || (!runs(&mark)).then_some(()));
    }
}

#[test]
fn orphans_are_taken_in() {
    let script = r#"mkfifo end
        (sh -c 'echo $$ > orphan; read line < end' & )
        until test -s orphan; do :; done; of=/proc/$(cat orphan)
        until grep -q "^PPid:.1$" $of/status; do :; done; echo taken in
        echo > end; while test -e $of; do :; done; echo gone"#;
    let dir = dir();
    let mut command = with_pid("zero", script);
    let ran = run(command.current_dir(dir.path())).succeeds();
    assert_eq!(ran.stdout, "taken in\ngone\n");
}

/// In a root directory, and with what else zroot stays beside the command for.
#[test]
fn it_goes_with_other_options() {
    let Some(tree) = SmallTree::new("it_goes_with_other_options") else {
        return;
    };
    tree.prepare("mkdir root/proc root/sys root/dev; touch -d 2001-02-03 root root/etc");
    let before = tree.listing();
    for level in LEVELS {
        let script =
            "echo $$ /proc/[0-9]*; grep -c . /etc/resolv.conf > /dev/null && echo lent; exit 3";
        let ran = run(&mut tree.inside(&["--pid", "-c", level, "--dev=private"], script));
        assert_eq!(
            (ran.status, &ran.stdout[..]),
            (3, "2 /proc/1 /proc/2\nlent\n"),
            "{ran:#?}"
        );
        tree.as_before(&before);
    }
    let dir = dir();
    let script = "touch f; chown 5:6 f; sleep 1000 & exit 4";
    let mut command = zroot_with([
        "--pid",
        "--summary=said.json",
        "--trace=trace",
        "-s",
        "state",
    ]);
    command
        .args(["--", "sh", "-c", script])
        .current_dir(dir.path());
    let ran = run(&mut command);
    assert_eq!((ran.status, &ran.stderr[..]), (4, ""), "{ran:#?}");
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).expect(name);
    let said: serde_json::Value = serde_json::from_str(&read("said.json")).expect("JSON");
    assert_eq!(said["partial"], false);
    assert_eq!(said["classes"]["owner"]["total"], 1);
    assert!(read("trace").contains("chown"));
    assert!(read("state").contains("uid=5,gid=6"));
    let mut command = zroot_with(["--pid", "-i", "state", "stat", "-c", "%u:%g", "f"]);
    let ran = run(command.current_dir(dir.path())).succeeds();
    assert_eq!(ran.stdout, "5:6\n");
    let ran =
        run(zroot_with(["--pid", "--fail-on=owner", "chown", "5", "f"]).current_dir(dir.path()));
    assert_eq!(ran.status, 124, "{ran:#?}");
    // One in another, as the supervisor around it has it.
    let zroot = zroot().to_str().expect("UTF-8");
    let ran = run(&mut zroot_with([
        "--pid", "-c", "full", zroot, "--pid", "--", "sh", "-c", "echo $$",
    ]));
    assert_eq!(ran.succeeds().stdout, "2\n");
}

/// Names that the kernel would read for the supervisor, and not for the caller.
#[test]
fn the_supervisor_knows_whose_proc_it_is() {
    let dir = dir();
    let script = "exec 3> f; chown 5:6 /proc/self/fd/3; stat -L -c %u:%g /dev/fd/3; chown 7 /proc/$$/cwd/f; stat -c %u f; stat -c %i /proc/self/task > /dev/null && readlink /proc/self";
    let mut command = with_pid("full", script);
    let ran = run(command.current_dir(dir.path())).succeeds();
    let (owners, number) = ran.stdout.rsplit_once("7\n").expect("owners");
    assert_eq!(owners, "5:6\n");
    assert!(
        number.trim().parse::<u32>().is_ok_and(|number| number < 20),
        "{ran:#?}"
    );
    // In a user namespace below a helper answers, which takes the caller's ids.
    let script = "unshare -r sh -c 'touch g; chmod 640 g; chown 0 g; stat -c %a:%u g'; setpriv --reuid 5 --clear-groups id -u";
    let mut command = with_pid("full", script);
    let ran = run(command.current_dir(dir.path())).succeeds();
    assert_eq!(ran.stdout, "640:0\n5\n");
}

#[test]
fn where_it_cannot_be_had() {
    let masked = r#"mount -t tmpfs none /proc/fs; exec "$0" --pid echo ran"#;
    let mut command = user("unshare");
    command.args(["-rm", "sh", "-c", masked]).arg(zroot());
    let (what, hint) = run(&mut command).refused(125);
    assert_eq!(
        what,
        "cannot mount a /proc for the PID namespace: Operation not permitted"
    );
    assert!(hint.contains("/proc are covered"), "{hint}");
    let refused = run(&mut zroot_with(["--userns=never", "--pid", "echo", "ran"])).refused(125);
    assert!(refused.1.contains("CAP_SYS_ADMIN"), "{refused:?}");
    let Some(tree) = SmallTree::new("where_it_cannot_be_had") else {
        return;
    };
    tree.prepare("chmod 555 root");
    let (what, hint) = run(&mut tree.inside(&["--pid"], "echo ran")).refused(125);
    assert!(what.starts_with("cannot mount a /proc"), "{what}");
    assert_eq!(hint, "the root directory has no /proc: make one");
}

/// On a terminal: what is typed there reaches the command once.
#[test]
fn a_terminal() {
    need!("a_terminal", "script", "bash");
    let zroot = zroot().display();
    let on_terminal = |inside: &str, typed: &[(&str, &[u8])]| {
        // Whatever started the tests may ignore what is typed, as a shell's background jobs do.
        let mut command = user("env");
        command.args(["--default-signal", "script", "-qec", inside, "/dev/null"]);
        command.process_group(0);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let mut stdin = child.stdin.take().expect("a pipe");
        let mut stdout = child.stdout.take().expect("a pipe");
        let mut said = Vec::new();
        for (until, typed) in typed {
            let mut byte = [0];
            while !String::from_utf8_lossy(&said).contains(until) {
                assert_eq!(
                    stdout.read(&mut byte).expect("read"),
                    1,
                    "no {until}: {said:?}"
                );
                said.push(byte[0]);
            }
            stdin.write_all(typed).expect("typed");
        }
        stdout.read_to_end(&mut said).expect("the rest");
        let status = child.wait().expect("the end").code();
        (status, String::from_utf8_lossy(&said).into_owned())
    };
    // Ctrl-C
    let trap = format!(
        "exec {zroot} --pid -- sh -c 'trap \"echo interrupted; exit 3\" INT; echo ready; while read line; do :; done'"
    );
    let (status, said) = on_terminal(&trap, &[("ready", b"\x03")]);
    assert_eq!(status, Some(3), "{said}");
    assert_eq!(said.matches("interrupted").count(), 1, "{said}");
    // Ctrl-Z, and on.
    let job = format!(
        "bash --norc -c 'set -m; {zroot} --pid -- sh -c \"echo ready; read line; echo got \\$line\"; echo stopped $?; fg > /dev/null; echo end $?'"
    );
    let typed: &[(&str, &[u8])] = &[("ready", b"\x1a"), ("stopped 148", b"on\n")];
    let (_, said) = on_terminal(&job, typed);
    assert!(said.contains("got on") && said.contains("end 0"), "{said}");
    // A shell with jobs of its own.
    let shell = format!("{zroot} --pid -- bash --norc -i");
    let typed: &[(&str, &[u8])] = &[
        ("", b"PS1=; sh -c 'echo re\"\"ady; exec sleep 1000'\n"),
        ("ready", b"\x1a"),
        ("Stopped", b"exec sh -c 'exit 6'\n"),
    ];
    let (status, said) = on_terminal(&shell, typed);
    assert_eq!(status, Some(6), "{said}");
    assert!(!said.contains("no job control"), "{said}");
}
