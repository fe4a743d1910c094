//! `--summary`, `--trace`, `--fail-on`: what they say is what happened.

use std::fs;
use std::path::Path;
use std::process::Command;

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

/// What is in `path` once the supervisor has written it. Nobody can wait for the supervisor itself.
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
    let summary =
        serde_json::from_str(&written(&dir.path().join("s.json"))).expect("a JSON object");
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
    let summary: Value = serde_json::from_str(&written(&dir.path().join("s.json"))).expect("JSON");
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

#[test]
fn names_are_those_of_the_root_directory() {
    let Some(tree) = SmallTree::new("names_are_those_of_the_root_directory") else {
        return;
    };
    tree.prepare("echo 'mail:x:77:88::/:' > root/etc/passwd; echo 'post:x:88:' > root/etc/group; mkdir root/proc; : > root/f");
    let ran = run(&mut tree.inside(&["--summary=s.json"], "chown 77:88 /f")).succeeds();
    assert_eq!(ran.stderr, "");
    let summary: Value =
        serde_json::from_str(&written(&tree.place().join("s.json"))).expect("JSON");
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
fn signals_reach_the_command_behind_fail_on() {
    let dir = dir();
    let script = "trap 'echo got it; exit 9' TERM; echo $$ > pid; while :; do sleep 0.01; done";
    let mut command = zroot_with(["--fail-on=owner", "--", "sh", "-c", script]);
    let child = command
        .current_dir(dir.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("zroot");
    written(&dir.path().join("pid"));
    run(Command::new("kill").args(["-TERM", &child.id().to_string()])).succeeds();
    let output = child.wait_with_output().expect("an end");
    assert_eq!(
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).as_ref()
        ),
        (Some(9), "got it\n")
    );
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
    command.args(alone).args([
        "sh",
        "-c",
        "\"$0\" --summary=s.json -- sh -c \"$1\"; while [ ! -s s.json ]; do sleep 0.01; done",
    ]);
    run(command.arg(zroot()).arg(script).current_dir(dir.path())).succeeds();
    let summary: Value = serde_json::from_str(&written(&dir.path().join("s.json"))).expect("JSON");
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
