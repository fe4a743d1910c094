//! `--summary`, `--trace`, `--fail-on`: what they say is what happened.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::common::{Ran, SmallTree, dir, run, skip, user, wait_for, zroot, zroot_with};

/// A directory and what a script in it has pretended, at `level`.
struct Told {
    dir: TempDir,
    ran: Ran,
    summary: Value,
    trace: Vec<Value>,
}

/// The summary in `path`. It is complete when zroot has ended.
#[track_caller]
fn summary(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("the summary: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Waits until a command has written its file.
fn written(path: &Path) -> String {
    wait_for(&format!("{} is written", path.display()), || {
        fs::read_to_string(path)
            .ok()
            .filter(|text| text.ends_with('\n'))
    })
}

fn told(level: &str, script: &str) -> Told {
    let dir = dir();
    let mut command = zroot_with([
        "--consistency",
        level,
        "--summary=s.json",
        "--trace=t.json",
        "--",
        "sh",
        "-c",
        script,
    ]);
    let ran = run(command.current_dir(dir.path()));
    let summary = summary(&dir.path().join("s.json"));
    let trace = fs::read_to_string(dir.path().join("t.json")).expect("a file");
    let trace = trace
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    Told {
        dir,
        ran,
        summary,
        trace,
    }
}

impl Told {
    fn total(&self, class: &str) -> u64 {
        self.summary["classes"][class]["total"]
            .as_u64()
            .unwrap_or(0)
    }

    /// The lines of one class, as `CALL PATH ARGUMENTS`, paths without the directory.
    fn lines(&self, class: &str) -> Vec<String> {
        let lines = self.trace.iter().filter(|line| line["class"] == class);
        let place = format!("{}/", self.dir.path().display());
        lines
            .map(|line| {
                format!("{} {} {}", line["call"], line["path"], line["arguments"])
                    .replace(&place, "")
            })
            .collect()
    }
}

#[test]
fn every_pretended_call_is_counted_as_strace_counts_them() {
    need!(
        "every_pretended_call_is_counted_as_strace_counts_them",
        "strace"
    );
    let script = "mkdir d; for i in 1 2 3 4 5 6 7 8 9; do mkdir d/$i; touch d/$i/a d/$i/b; done
        strace -f -qq -e trace=chown,fchown,lchown,fchownat -o calls sh -c 'chown -R 5:7 d; chown 8 d; chgrp -h 9 d/1/a'";
    for level in ["zero", "selective"] {
        let told = told(level, script);
        assert_eq!(told.ran.status, 0, "{:#?}", told.ran);
        let calls = fs::read_to_string(told.dir.path().join("calls")).expect("strace's file");
        let answered = calls.lines().filter(|line| line.ends_with("= 0")).count() as u64;
        assert!(answered >= 30, "{calls}");
        assert_eq!(told.total("owner"), answered, "{level}: {:#}", told.summary);
        assert_eq!(told.lines("owner").len() as u64, answered, "{level}");
    }
}

#[test]
fn files_are_named_as_the_process_sees_them() {
    let script = r#"mkdir sub; touch f sub/g; ln -s f link; ln -s /nonexistent dangling
        chown 5:7 f; chown 5:7 link; chown -h 5:7 link dangling; cd sub; chown 5 ../f ./g; exec 9< g
        perl -e 'open F, "<&=9"; chown 3, -1, *F or die'; cd ..; touch "a
b\"c"; chown 5 "a
b\"c""#;
    need!("files_are_named_as_the_process_sees_them", "perl");
    for level in ["zero", "selective"] {
        let told = told(level, script);
        assert_eq!(told.ran.status, 0, "{:#?}", told.ran);
        let lines = told.lines("owner");
        let expected = [
            r#""fchownat" "f" {"gid":"7","uid":"5"}"#,
            r#""fchownat" "f" {"gid":"7","uid":"5"}"#, // through the link
            r#""fchownat" "link" {"gid":"7","uid":"5"}"#,
            r#""fchownat" "dangling" {"gid":"7","uid":"5"}"#,
            r#""fchownat" "f" {"gid":"-1","uid":"5"}"#,
            r#""fchownat" "sub/g" {"gid":"-1","uid":"5"}"#,
            r#""fchown" "sub/g" {"gid":"-1","uid":"3"}"#,
            r#""fchownat" "a\nb\"c" {"gid":"-1","uid":"5"}"#,
        ];
        assert_eq!(lines, expected, "{level}");
    }
}

#[test]
fn the_summary_names_owners_devices_and_who_looks() {
    need!("the_summary_names_owners_devices_and_who_looks", "perl");
    let script = "touch f g; chown 65533:65532 f g; chown 0:0 g; mknod null c 1 3; mknod -m 600 disk b 8 300 || :
        perl -e '$> = 5; print $>'";
    for (level, devices, seen) in [("zero", 2, "0"), ("selective", 2, "5")] {
        let told = told(level, script);
        assert_eq!(told.ran.stdout, seen, "{level}: {:#?}", told.ran);
        let summary = &told.summary;
        let place = told.dir.path().display();
        assert_eq!(
            (&summary["schema"], &summary["level"], &summary["partial"]),
            (&1.into(), &level.into(), &false.into())
        );
        let owner = &summary["owners"][0];
        assert_eq!(
            (&owner["uid"], &owner["gid"], &owner["files"]),
            (&65533.into(), &65532.into(), &2.into()),
            "{summary:#}"
        );
        assert_eq!(
            owner["paths"],
            serde_json::json!([format!("{place}/f"), format!("{place}/g")])
        );
        let named = summary["devices"].as_array().expect("a list");
        assert_eq!(named.len(), devices, "{summary:#}");
        assert!(
            named.contains(
                &serde_json::json!({ "path": format!("{place}/null"), "device": "c 1:3" })
            ),
            "{summary:#}"
        );
        assert!(
            named.contains(
                &serde_json::json!({ "path": format!("{place}/disk"), "device": "b 8:300" })
            ),
            "{summary:#}"
        );
        assert_eq!(
            summary["checked_ids"],
            serde_json::json!(["perl"]),
            "{summary:#}"
        );
    }
}

#[test]
fn what_the_kernel_did_is_not_pretended() {
    let script = "touch f; chmod 600 f; touch -d 2001-02-03 f; chown 0:0 f; mkfifo p; chown 5 nonexistent; chmod 700 /etc; true";
    let told = told("selective", script);
    assert_eq!(told.ran.status, 0, "{:#?}", told.ran);
    assert_eq!(
        told.summary["classes"]["foreign"]["total"], 1,
        "{:#}",
        told.summary
    ); // /etc is another's
    assert_eq!(
        told.summary["classes"]
            .as_object()
            .map(serde_json::Map::len),
        Some(1),
        "{:#}",
        told.summary
    );
    assert_eq!(told.summary["owners"], serde_json::json!([]));
    let nothing = self::told("zero", "touch f; chmod 600 f");
    assert_eq!(nothing.summary["classes"], serde_json::json!({}));
    assert!(nothing.trace.is_empty());
}

#[test]
fn what_does_nothing_at_any_level_is_reported_as_well() {
    let dir = dir();
    let script = "sync; hostname other 2>/dev/null || :";
    let mut command = zroot_with([
        "-c",
        "selective",
        "--fake=sync,host",
        "--summary=s.json",
        "--",
        "sh",
        "-c",
        script,
    ]);
    run(command.current_dir(dir.path())).succeeds();
    let summary = summary(&dir.path().join("s.json"));
    assert_eq!(
        summary["classes"]["sync"]["programs"]["sync"], 1,
        "{summary:#}"
    );
}

#[test]
fn text_goes_to_standard_error() {
    let ran = run(&mut zroot_with([
        "--summary",
        "--trace",
        "--",
        "sh",
        "-c",
        "chown 65533:65532 /tmp",
    ]))
    .succeeds();
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert!(
        lines[0].ends_with(" chown fchownat(\"/tmp\", uid=65533, gid=65532) = 0"),
        "{ran:#?}"
    );
    assert_eq!(lines[1], "zroot: pretended calls (level zero):");
    assert!(
        lines[2].contains("owner") && lines[2].ends_with("1  by chown 1 (fchownat 1)"),
        "{ran:#?}"
    );
    assert_eq!(
        lines[4].split_whitespace().collect::<Vec<_>>(),
        ["65533:65532", "/tmp"],
        "{ran:#?}"
    );
    let ran = run(&mut zroot_with(["--summary", "true"])).succeeds();
    assert_eq!(ran.stderr, "zroot: nothing was pretended (level zero)\n");
}

/// At level full the owner that a file has at last counts, whoever made it, and what keeps it is
/// named.
#[test]
fn what_is_remembered_is_named_with_what_keeps_it() {
    let test = "what_is_remembered_is_named_with_what_keeps_it";
    need!(test, "setpriv");
    let script = "umask 0; touch f g h; chown 65533:65532 f g h; chown 0:0 g; chown 65531:65532 h
        mknod null c 1 3; mkdir d; chmod 777 d; setpriv --reuid 65530 --regid 65530 --clear-groups touch d/made";
    let told = told("full", script);
    assert_eq!(told.ran.status, 0, "{:#?}", told.ran);
    let place = told.dir.path().display();
    let owners = told.summary["owners"].as_array().expect("a list");
    let owners: Vec<(&serde_json::Value, &serde_json::Value)> = owners
        .iter()
        .map(|owner| (&owner["uid"], &owner["paths"]))
        .collect();
    let path = |name: &str| serde_json::json!([format!("{place}/{name}")]);
    assert_eq!(
        owners,
        [
            (&65530.into(), &path("d/made")),
            (&65531.into(), &path("h")),
            (&65533.into(), &path("f")),
        ]
    );
    assert_eq!(
        told.summary["kept_by"],
        serde_json::json!(["--save", "--owners"])
    );
    // The control: at a level that forgets, nothing keeps them.
    let told = self::told("selective", script);
    assert_eq!(told.summary["kept_by"], serde_json::json!([]));
    let ran = run(&mut zroot_with([
        "-c",
        "full",
        "--summary",
        "--",
        "sh",
        "-c",
        "f=$(mktemp); chown 5 $f; rm $f",
    ]));
    assert!(
        ran.stderr.contains("--save and --owners keep them"),
        "{ran:#?}"
    );
}

/// Owners that are kept are not lost: --fail-on and the summary say so.
#[test]
fn what_is_kept_is_not_forbidden() {
    let test = "what_is_kept_is_not_forbidden";
    need!(test, "setfattr", "setpriv");
    let Some(tree) = SmallTree::new(test) else {
        return;
    };
    tree.prepare("mkdir root/proc root/dev root/sys; : >root/tmp/f; ln -s f root/tmp/l");
    let (full, save) = (&["-c", "full"][..], &["-s", "state"][..]);
    let owners = &["--owners=xattr"][..];
    // The last column: the option that keeps it.
    for (class, script, options, status, kept) in [
        ("owner", "chown 5:7 /tmp/f", full, 124, None),
        ("owner", "chown 5:7 /tmp/f", save, 0, Some("--save")),
        ("owner", "chown 5:7 /tmp/f", owners, 0, Some("--owners")),
        ("owner", "chown -h 5:7 /tmp/l", save, 0, Some("--save")),
        // A symbolic link cannot carry one, which is said.
        (
            "owner",
            "chown -h 5:7 /tmp/l",
            owners,
            124,
            Some("--owners"),
        ),
        ("device", "mknod /tmp/null c 1 3", full, 124, None),
        ("device", "mknod /tmp/null c 1 3", save, 0, Some("--save")),
        (
            "device",
            "mknod /tmp/null c 1 3",
            owners,
            0,
            Some("--owners"),
        ),
        // A level that remembers nothing keeps nothing.
        ("owner", "chown 5:7 /tmp/f", &["-c", "selective"], 124, None),
    ] {
        tree.prepare("rm -f root/tmp/null state s.json");
        let forbids = format!("--fail-on={class}");
        let ran =
            run(&mut tree.inside(&[options, &[&forbids, "--summary=s.json"]].concat(), script));
        assert_eq!(ran.status, status, "{ran:#?}");
        let summary = summary(&tree.place().join("s.json"));
        assert_eq!(summary["kept"], kept.is_some(), "{ran:#?} {summary}");
        tree.prepare("rm -f root/tmp/null");
        let text = run(&mut tree.inside(&[options, &["--summary"]].concat(), script)).stderr;
        let says = kept.map(|kept| format!("are remembered, and kept by {kept}:"));
        assert!(says.is_none_or(|says| text.contains(&says)), "{text}");
    }
    // Attributes are saved as well. What a process becomes is not.
    let attribute = "echo >f; setfattr -n trusted.a -v b f";
    for (class, script, options, status) in [
        ("xattr", attribute, save, 0),
        ("xattr", attribute, full, 124),
        (
            "identity",
            "setpriv --reuid 5 --clear-groups true",
            save,
            124,
        ),
    ] {
        let place = dir();
        let mut command = zroot_with(options);
        command.args(["--fail-on", class, "--", "sh", "-ec", script]);
        assert_eq!(run(command.current_dir(place.path())).status, status);
    }
}

#[test]
fn names_are_those_of_the_root_directory() {
    let Some(tree) = SmallTree::new("names_are_those_of_the_root_directory") else {
        return;
    };
    tree.prepare("echo 'mail:x:77:88::/:' > root/etc/passwd; echo 'post:x:88:' > root/etc/group; mkdir root/proc; : > root/f");
    let ran = run(&mut tree.inside(&["--summary=s.json"], "chown 77:88 /f")).succeeds();
    assert_eq!(ran.stderr, "");
    let summary = summary(&tree.place().join("s.json"));
    let owner = &summary["owners"][0];
    assert_eq!(
        (&owner["user"], &owner["group"], &owner["paths"]),
        (&"mail".into(), &"post".into(), &serde_json::json!(["/f"]))
    );
}

#[test]
fn a_class_that_was_pretended_has_a_status_of_its_own() {
    let status = |options: &[&str], script: &str| {
        let dir = dir();
        let mut command = zroot_with(options.iter().chain(&["--", "sh", "-c", script]));
        run(command.current_dir(dir.path()))
    };
    let (what, hint) = status(&["--fail-on=owner"], "touch f; chown 5 f; exit 3").refused(124);
    assert_eq!(
        (what.as_str(), hint.as_str()),
        (
            "calls were pretended that --fail-on forbids: owner",
            "--summary says which"
        )
    );
    for (options, script, expected) in [
        (&["--fail-on=device"][..], "touch f; chown 5 f; exit 3", 3),
        (&["--fail-on=all"], "exit 7", 7),
        (&["--fail-on=all"], "kill -9 $$", 128 + 9),
        (&["--fail-on=all"], "kill -TERM $$", 128 + 15),
        (
            &["--fail-on=owner", "-c", "selective"],
            "touch f; chown 0:0 f",
            0,
        ),
        (
            &["--fail-on=owner", "-c", "selective"],
            "touch f; chown 5:0 f",
            124,
        ),
        (&["--fail-on=all"], "nonexistent-command", 127),
    ] {
        assert_eq!(
            status(options, script).status,
            expected,
            "{options:?} {script}"
        );
    }
    // zroot's own errors are those of the child.
    let ran = run(&mut zroot_with(["--fail-on=owner", "--", "/etc/passwd"]));
    assert_eq!(ran.status, 126, "{ran:#?}");
}

#[test]
fn signals_reach_the_command() {
    for (name, number) in [
        ("TERM", libc::SIGTERM),
        ("HUP", libc::SIGHUP),
        ("INT", libc::SIGINT),
        ("QUIT", libc::SIGQUIT),
        ("USR1", libc::SIGUSR1),
        ("ALRM", libc::SIGALRM),
        ("WINCH", libc::SIGWINCH),
        ("RTMIN", libc::SIGRTMIN()),
    ] {
        let dir = dir();
        // Under nohup, or in a script's background, it is ignored, and a shell keeps to that.
        // SAFETY: no handler of Rust's is installed.
        #[allow(unsafe_code)]
        unsafe {
            libc::signal(number, libc::SIG_DFL);
        }
        // With no word at once, and with the shell's own end by that signal.
        let script = format!(
            "trap 'echo got it; trap - {name}; kill -{name} $$; exit 9' {name}; echo $$ > pid
            while :; do sleep 0.01; done"
        );
        let mut command = zroot_with(["--fail-on=owner", "--", "bash", "-c", &script]);
        let child = command
            .current_dir(dir.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("zroot");
        written(&dir.path().join("pid"));
        let zroot = i32::try_from(child.id()).expect("a pid");
        // SAFETY: kill(2) takes two integers.
        #[allow(unsafe_code)]
        unsafe {
            libc::kill(zroot, number);
        }
        let output = child.wait_with_output().expect("an end");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "got it\n",
            "{name}"
        );
        let status = output.status;
        if name == "WINCH" || name == "QUIT" {
            assert_eq!(status.code(), Some(9), "bash does not end by it");
        } else {
            assert_eq!(status.signal(), Some(number), "{name}: {status:?}");
        }
    }
}

/// Whoever sets a timer and executes zroot means the command.
#[test]
fn a_timer_ends_the_command() {
    need!("a_timer_ends_the_command", "perl");
    let script = r#"alarm 1; exec @ARGV, "sh", "-c", "echo begun; exec sleep 1000""#;
    let ran = run(user("perl")
        .args(["-e", script])
        .arg(zroot())
        .arg("--fail-on=owner"));
    assert_eq!(
        (ran.status, ran.stdout.as_str()),
        (128 + libc::SIGALRM, "begun\n")
    );
}

#[test]
fn the_command_goes_with_a_zroot_that_is_killed() {
    for option in ["--summary", "--trace", "--fail-on=owner"] {
        let dir = dir();
        let script = "echo $$ > pid; exec sleep 1000";
        let mut command = zroot_with([option, "--", "sh", "-c", script]);
        let mut child = command.current_dir(dir.path()).spawn().expect("zroot");
        let pid = written(&dir.path().join("pid"));
        child.kill().expect("kill");
        child.wait().expect("its end");
        let stat = format!("/proc/{}/stat", pid.trim());
        wait_for("the command's end", || {
            let stat = fs::read_to_string(&stat).unwrap_or_default();
            (stat.is_empty() || stat.contains(") Z ")).then_some(())
        });
    }
}

/// Whoever reads from a pipe waits for the command, not for the zroot beside it.
#[test]
fn zroot_beside_the_command_holds_no_pipe() {
    let mut command = zroot_with([
        "--fail-on=owner",
        "--",
        "sh",
        "-c",
        "exec >&-; read line; exit 7",
    ]);
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("zroot");
    let mut stdout = child.stdout.take().expect("a pipe");
    let mut said = String::new();
    std::io::Read::read_to_string(&mut stdout, &mut said).expect("the pipe's end");
    drop(child.stdin.take());
    assert_eq!(child.wait().expect("its end").code(), Some(7));
}

/// A caller that ignores the ends of its children, which execve keeps: their status was lost.
#[test]
fn the_status_survives_an_ignored_sigchld() {
    let test = "the_status_survives_an_ignored_sigchld";
    need!(test, "strace", "perl");
    let script = r#"$SIG{CHLD} = "IGNORE"; exec @ARGV"#;
    // zroot takes its time between the fork and whatever it does about the signal.
    let inject = ["rt_sigaction", "rt_sigprocmask", "wait4"]
        .map(|call| format!("inject={call}:delay_enter=100000"));
    for inject in inject {
        let mut command = user("strace");
        command.args(["-qq", "-o", "/dev/null", "-e", &inject]);
        command.args(["perl", "-e", script]).arg(zroot());
        let ran = run(command.args(["--fail-on=device", "--", "sh", "-c", "exit 5"]));
        assert_eq!(ran.status, 5, "{inject}: {ran:#?}");
    }
    // The command finds it as the caller left it.
    let script = r#"$SIG{CHLD} = "IGNORE"; exec @ARGV, "--fail-on=device", "--",
        "grep", "SigIgn", "/proc/self/status""#;
    let ran = run(user("perl").args(["-e", script]).arg(zroot())).succeeds();
    let ignored = ran
        .stdout
        .split_whitespace()
        .last()
        .expect("a mask")
        .to_owned();
    let ignored = u64::from_str_radix(&ignored, 16).expect("a number");
    assert_eq!(ignored >> (libc::SIGCHLD - 1) & 1, 1, "{ran:#?}");
}

/// As often as it takes to see one that comes too late, without pausing.
#[test]
fn the_report_is_complete_when_zroot_has_ended() {
    for round in 0..40 {
        let level = ["zero", "selective"][round % 2];
        let told = told(level, "touch f; chown 5 f; chown 6 f; exit 3");
        assert_eq!((told.ran.status, told.total("owner")), (3, 2), "{level}");
        assert_eq!(told.trace.len(), 2, "{level}");
        assert_eq!(told.summary["running"], serde_json::json!([]), "{level}");
        let left = fs::read_dir(told.dir.path()).expect("a directory").count();
        assert_eq!(left, 3, "a file too many");
    }
}

#[test]
fn who_still_runs_is_named_and_counted_at_its_end() {
    let dir = dir();
    let script = "touch f; chown 5 f
        sh -c 'echo > ready; read go < go; chown 6 f' > /dev/null 2>&1 &
        read line < ready; exit 4";
    run(user("mkfifo").args(["go", "ready"]).current_dir(dir.path())).succeeds();
    for options in [
        &["-c", "zero"][..],
        &["-c", "selective"],
        &["--userns=never"],
    ] {
        let mut command = zroot_with(options);
        command.args(["--summary=s.json", "--", "sh", "-c", script]);
        let ran = run(command.current_dir(dir.path()));
        assert_eq!((ran.status, ran.stderr.as_str()), (4, ""), "{options:?}");
        let path = dir.path().join("s.json");
        let now = summary(&path);
        assert_eq!(
            (&now["partial"], &now["classes"]["owner"]["total"]),
            (&true.into(), &1.into()),
            "{options:?}: {now:#}"
        );
        let running = now["running"].as_array().expect("a list");
        let [process] = &running[..] else {
            panic!("{options:?}: {now:#}");
        };
        assert_eq!(process["program"], "sh");
        let stat = fs::read_to_string(format!("/proc/{}/stat", process["pid"]));
        assert!(stat.is_ok_and(|stat| stat.contains("(sh)")), "{now:#}");
        fs::write(dir.path().join("go"), "go\n").expect("a word");
        wait_for("the rest", || {
            let later = summary(&path);
            (later["partial"] == false
                && later["running"] == serde_json::json!([])
                && later["classes"]["owner"]["total"] == 2)
                .then_some(())
        });
    }
    // On a terminal nothing comes after the next prompt.
    // (Into a file, since the supervisor holds a pipe until the last one has ended.)
    let mut command = user("sh");
    command.args(["-c", r#"exec "$0" --summary -- sh -c "$1" 2> said"#]);
    let ran = run(command.arg(zroot()).arg(script).current_dir(dir.path()));
    assert_eq!(ran.status, 4, "{ran:#?}");
    let said = || fs::read_to_string(dir.path().join("said")).expect("a file");
    let stderr = said();
    let named = stderr.lines().last().unwrap_or_default();
    assert!(
        named.starts_with("zroot: still running, and counted only up to here: sh ("),
        "{stderr}"
    );
    fs::write(dir.path().join("go"), "go\n").expect("a word");
    let pid = named.rsplit('(').next().unwrap_or_default();
    let stat = format!("/proc/{}/stat", pid.trim_end_matches(')'));
    wait_for("its end", || {
        let stat = fs::read_to_string(&stat).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    });
    assert_eq!(said(), stderr);
}

#[test]
fn the_file_is_as_before_or_complete() {
    let dir = dir();
    let script = "echo old > s; chmod 640 s; ln -s s link; ln s old";
    run(user("sh").args(["-ec", script]).current_dir(dir.path())).succeeds();
    let script = "touch f; chown 5 f; cat s link";
    let mut command = zroot_with(["--summary=link", "--", "sh", "-c", script]);
    let ran = run(command.current_dir(dir.path())).succeeds();
    assert_eq!(ran.stdout, "old\nold\n");
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).expect("a file");
    assert!(
        read("s").starts_with("zroot: pretended calls"),
        "{}",
        read("s")
    );
    assert_eq!(read("old"), "old\n");
    assert!(dir.path().join("link").is_symlink());
    let mode = fs::metadata(dir.path().join("s"))
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o640);
    // A directory that takes no new files: as it is.
    let script = "mkdir d; echo old > d/s; chmod 555 d";
    run(user("sh").args(["-ec", script]).current_dir(dir.path())).succeeds();
    run(zroot_with(["--summary=d/s", "true"]).current_dir(dir.path())).succeeds();
    assert_eq!(read("d/s"), "zroot: nothing was pretended (level zero)\n");
    let (what, _) =
        run(zroot_with(["--summary=d/new", "true"]).current_dir(dir.path())).refused(125);
    assert!(what.ends_with("/d/new': Permission denied"), "{what}");
    // What is no regular file: a pipe.
    run(user("mkfifo").arg("pipe").current_dir(dir.path())).succeeds();
    let script = r#"cat pipe > got & "$0" --summary=pipe true; wait"#;
    run(user("sh")
        .args(["-c", script])
        .arg(zroot())
        .current_dir(dir.path()))
    .succeeds();
    assert_eq!(read("got"), "zroot: nothing was pretended (level zero)\n");
}

#[test]
fn a_report_that_cannot_be_written_is_an_error() {
    for option in ["--summary=/dev/full", "--trace=/dev/full"] {
        let mut command = zroot_with([option, "--", "sh", "-c", "chown 5 /tmp; echo ran; exit 3"]);
        let ran = run(&mut command);
        assert_eq!(
            (ran.status, ran.stdout.as_str(), ran.stderr.as_str()),
            (
                125,
                "ran\n",
                "zroot: cannot write to '/dev/full': No space left on device\n"
            )
        );
    }
}

/// All that could write it is gone.
#[test]
fn a_report_that_is_lost_is_an_error() {
    let test = "a_report_that_is_lost_is_an_error";
    need!(test, "pkill");
    let alone = ["-rpf", "--mount-proc", "--"];
    if run(user("unshare").args(alone).arg("true")).status != 0 {
        skip(test, "there are no PID namespaces for users");
        return;
    }
    let dir = dir();
    let script =
        "pkill -STOP zroot-guard; pkill -KILL zroot-supervise; pkill -KILL zroot-guard; exit 3";
    let mut command = user("unshare");
    command.args(alone).arg(zroot());
    command.args(["--summary=s.json", "--", "sh", "-c", script]);
    let ran = run(command.current_dir(dir.path()));
    assert_eq!(
        (ran.status, ran.stderr.as_str()),
        (
            125,
            "zroot: the supervisor is gone, and its report with it\n"
        )
    );
    assert!(!dir.path().join("s.json").exists());
}

#[test]
fn a_reader_that_is_slow_gets_it_all() {
    let test = "a_reader_that_is_slow_gets_it_all";
    need!(test, "perl");
    let dir = dir();
    run(user("mkfifo").arg("pipe").current_dir(dir.path())).succeeds();
    // It reads nothing before the command has ended, which the pipe cannot hold.
    let script = r#"touch f; perl -e 'chown $_, $_, "f" for 1..3000'; echo > ended"#;
    let both = r#"{ until [ -e ended ]; do sleep 0.01; done; cat; } < pipe > got &
        "$0" --trace=pipe -- sh -c "$1"; wait"#;
    let mut command = user("sh");
    command.args(["-c", both]).arg(zroot()).arg(script);
    run(command.current_dir(dir.path())).succeeds();
    let got = fs::read_to_string(dir.path().join("got")).expect("a file");
    assert_eq!(got.lines().count(), 3000);
}

#[test]
fn a_report_that_cannot_be_written_runs_nothing() {
    let dir = dir();
    let (what, _) =
        run(zroot_with(["--summary=none/s", "--", "touch", "ran"]).current_dir(dir.path()))
            .refused(125);
    assert_eq!(
        what,
        "cannot write to 'none/s': No such file or directory"
            .replace("none", &format!("{}/none", dir.path().display()))
    );
    assert!(!dir.path().join("ran").exists());
    // Where there is no command, nothing is made, or emptied.
    run(user("sh")
        .args(["-c", "echo old > old"])
        .current_dir(dir.path()))
    .succeeds();
    run(
        zroot_with(["--trace=new", "--summary=old", "--", "nonexistent-command"])
            .current_dir(dir.path()),
    )
    .refused(127);
    assert!(!dir.path().join("new").exists());
    assert_eq!(
        fs::read_to_string(dir.path().join("old")).expect("a file"),
        "old\n"
    );
}

#[test]
fn inside_a_supervised_zroot_there_is_nothing_to_watch() {
    let inner = format!("{} --summary true", zroot().display());
    let ran = run(&mut zroot_with([
        "-c",
        "selective",
        "--",
        "sh",
        "-c",
        &inner,
    ]));
    let (what, hint) = ran.refused(125);
    assert!(
        what.contains("a zroot around this one") && hint == "ask that one",
        "{what}: {hint}"
    );
}

#[test]
fn a_zroot_inside_is_watched_as_well() {
    let inner = format!("touch f; {} chown 5:7 f", zroot().display());
    for level in ["zero", "selective"] {
        let told = told(level, &inner);
        assert_eq!(
            (told.ran.status, told.total("owner")),
            (0, 1),
            "{level}: {:#}",
            told.summary
        );
    }
}

#[test]
fn the_numbers_survive_a_supervisor_that_is_killed() {
    need!("the_numbers_survive_a_supervisor_that_is_killed", "pgrep");
    let test = "the_numbers_survive_a_supervisor_that_is_killed";
    // In a PID namespace of its own there is only one supervisor to be found.
    let alone = ["-rpf", "--mount-proc", "--"];
    if run(user("unshare").args(alone).arg("true")).status != 0 {
        skip(test, "there are no PID namespaces for users");
        return;
    }
    let dir = dir();
    let script = "touch f; chown 5 f; kill -9 $(pgrep -x zroot-supervise); chown 5 f";
    let mut command = user("unshare");
    command
        .args(alone)
        .arg(zroot())
        .args(["--summary=s.json", "--", "sh", "-c", script]);
    run(command.current_dir(dir.path())).succeeds();
    let summary = summary(&dir.path().join("s.json"));
    assert_eq!(
        (&summary["partial"], &summary["classes"]["owner"]["total"]),
        (&false.into(), &2.into()),
        "{summary:#}"
    );
}

#[test]
fn what_has_no_end_is_only_counted() {
    need!("what_has_no_end_is_only_counted", "perl");
    let told = told(
        "zero",
        r#"touch f; perl -e 'chown $_, $_, "f" for 1..3000'"#,
    );
    assert_eq!(told.total("owner"), 3000);
    let owners = told.summary["owners"].as_array().expect("a list");
    assert_eq!(owners.len(), 1001, "a thousand by name, the rest as one");
}

/// What a descriptor leads to is others' as well: it is added to, and not replaced.
#[test]
fn a_descriptor_is_written_to_as_it_is() {
    let dir = dir();
    let script = r#"{ "$0" --summary=/dev/stdout --trace=/dev/fd/3 -- sh -c 'echo said; chown 5 .'
        echo after; } > out 3> traced; ls"#;
    let mut command = user("sh");
    let ran = run(command
        .args(["-ec", script])
        .arg(zroot())
        .current_dir(dir.path()))
    .succeeds();
    assert_eq!(ran.stdout, "out\ntraced\n");
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).expect("a file");
    let out = read("out");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(
        (lines[0], lines[1], lines[lines.len() - 1]),
        ("said", "zroot: pretended calls (level zero):", "after"),
        "{out}"
    );
    assert!(
        read("traced").contains(" chown fchownat("),
        "{}",
        read("traced")
    );
}

/// As the first process of a PID namespace zroot is given others' children.
#[test]
fn orphans_are_seen_off() {
    let test = "orphans_are_seen_off";
    let alone = ["-rpf", "--mount-proc", "--"];
    if run(user("unshare").args(alone).arg("true")).status != 0 {
        skip(test, "there are no PID namespaces for users");
        return;
    }
    let script = r#"test $(cut -d' ' -f4 /proc/$$/stat) = 1
        sh -c 'sh -c "read line < /proc/self/stat; echo \$line | cut -d\  -f1" &' > orphan
        until read orphan rest < orphan && ! test -e /proc/$orphan; do sleep 0.01; done"#;
    let mut command = user("unshare");
    command
        .args(alone)
        .arg(zroot())
        .args(["--fail-on=owner", "--"]);
    let dir = dir();
    let ran = run(command.args(["sh", "-ec", script]).current_dir(dir.path()));
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{ran:#?}");
}
