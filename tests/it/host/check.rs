//! `--check` says what is so, and what to change where it is not.

use std::fs;

use serde_json::Value;

use crate::common::{self, dir, filter_answering, run, under_filter, user, zroot, zroot_with};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn tried<'a>(check: &'a Value, name: &str) -> &'a Value {
    let list = check["tried"].as_array().expect("a list");
    list.iter()
        .find(|tried| tried["name"] == name)
        .unwrap_or_else(|| panic!("no '{name}' in {check:#}"))
}

#[test]
fn everything_works_where_everything_does() {
    let ran = run(&mut zroot_with(["--check"])).succeeds();
    assert_eq!(ran.stderr, "");
    for line in [
        "level zero: works",
        "level selective: works",
        "level full: works",
    ] {
        assert!(ran.stdout.lines().any(|one| one == line), "{ran:#?}");
    }
    let check = json(&run(&mut zroot_with(["--check=json"])).succeeds().stdout);
    assert_eq!(
        check["levels"],
        serde_json::json!({ "zero": true, "selective": true, "full": true })
    );
    for name in [
        "user namespace",
        "filter",
        "supervisor",
        "user attributes",
        "file capabilities",
        "ACLs",
        "inode identity",
    ] {
        assert_eq!(tried(&check, name)["works"], true, "{check:#}");
    }
    assert!(
        check["apparmor_profile"]
            .as_str()
            .expect("text")
            .contains(&format!("profile zroot {}", zroot().display()))
    );
}

#[test]
fn a_forbidden_namespace_is_named_with_its_cause() {
    // The limit of a namespace around zroot, which its owner may set.
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all \"$0\" --check=$1 $2";
    let outer = |form: &str, more: &str| {
        let mut command = user("unshare");
        command
            .args([
                "-r",
                "--map-user=1000",
                "--keep-caps",
                "--",
                "sh",
                "-c",
                script,
            ])
            .arg(zroot())
            .args([form, more]);
        run(&mut command)
    };
    let ran = outer("json", "--userns=auto");
    assert_eq!(ran.status, 125, "{ran:#?}");
    let check = json(&ran.stdout);
    assert_eq!(
        check["levels"],
        serde_json::json!({ "zero": false, "selective": false, "full": false })
    );
    let namespace = tried(&check, "user namespace");
    assert_eq!(namespace["works"], false);
    assert!(
        namespace["hint"]
            .as_str()
            .expect("a hint")
            .contains("user.max_user_namespaces is 0"),
        "{check:#}"
    );
    assert_eq!(check["host"]["user.max_user_namespaces"], "0");
    let ran = outer("text", "--userns=auto");
    assert!(
        ran.stdout.contains("\n  NO  user namespace")
            && ran.stdout.contains("\nlevel zero: does not work"),
        "{ran:#?}"
    );
    // The cause is said once; and what works without.
    assert_eq!(
        ran.stdout.matches("user.max_user_namespaces is 0").count(),
        1,
        "{ran:#?}"
    );
    let same = "  NO  supervisor (full)         for the same reason as user namespace\n";
    assert!(ran.stdout.contains(same), "{ran:#?}");
    assert!(
        ran.stdout
            .contains("\nlevel zero: does not work, but with --userns=never\n")
            && ran.stdout.contains("\n  ok  --userns=never, zero "),
        "{ran:#?}"
    );
    assert_eq!(tried(&check, "--userns=never, zero")["works"], true);
    // Without a namespace the filter is enough.
    let ran = outer("json", "--userns=never").succeeds();
    assert!(!ran.stdout.contains("--userns=never, "), "{ran:#?}");
    assert_eq!(json(&ran.stdout)["levels"]["zero"], true);
}

#[test]
fn an_outer_filter_is_named_with_what_it_has_to_allow() {
    let refuse = |form: &str| {
        let filter = filter_answering(
            libc::SYS_unshare,
            libc::SECCOMP_RET_ERRNO | libc::EPERM as u32,
        );
        run(under_filter(&mut zroot_with([form]), filter))
    };
    let ran = refuse("--check");
    assert_eq!(ran.status, 125, "{ran:#?}");
    for part in [
        "an outer seccomp filter",
        "seccomp filters around: 1",
        "SCMP_ACT_ALLOW",
        "level zero: does not work",
    ] {
        assert!(ran.stdout.contains(part), "no '{part}' in {ran:#?}");
    }
    assert_eq!(
        json(&refuse("--check=json").stdout)["levels"]["zero"],
        false
    );
}

#[test]
fn a_chroot_without_proc_has_level_zero_only() {
    let dir = dir();
    fs::create_dir(dir.path().join("root")).expect("a directory");
    common::give(&dir.path().join("root"));
    run(user("cp").arg(zroot()).arg(dir.path().join("root/zroot"))).succeeds();
    let ran = run(user("unshare")
        .args(["-r", "chroot", "root", "/zroot", "--check=json"])
        .current_dir(dir.path()))
    .succeeds();
    let check = json(&ran.stdout);
    assert_eq!(
        check["levels"],
        serde_json::json!({ "zero": true, "selective": false, "full": false })
    );
    assert!(
        tried(&check, "supervisor")["hint"]
            .as_str()
            .expect("a hint")
            .contains("mount /proc"),
        "{check:#}"
    );
    // The kernel is known without.
    let release = run(user("uname").args(["-sr"])).succeeds().stdout;
    assert_eq!(check["kernel"], release.trim());
}

#[test]
fn under_a_supervisor_that_one_is_named() {
    let inner = format!("{} --check=json", zroot().display());
    let ran = run(&mut zroot_with([
        "-c",
        "selective",
        "--",
        "sh",
        "-c",
        &inner,
    ]))
    .succeeds();
    let check = json(&ran.stdout);
    assert_eq!(check["levels"]["selective"], true);
    assert!(
        tried(&check, "supervisor")["detail"]
            .as_str()
            .expect("text")
            .contains("around this one"),
        "{check:#}"
    );
}

#[test]
fn a_directory_that_keeps_no_attributes_is_named() {
    let place = dir();
    let place = place.path().to_str().expect("UTF-8");
    let refuse = filter_answering(
        libc::SYS_fsetxattr,
        libc::SECCOMP_RET_ERRNO | libc::EOPNOTSUPP as u32,
    );
    let mut command = zroot_with(["--check=json", "-C", place]);
    let check = json(&run(under_filter(&mut command, refuse)).succeeds().stdout);
    let attributes = tried(&check, "user attributes");
    assert_eq!(
        (&attributes["works"], &check["levels"]["zero"]),
        (&false.into(), &true.into())
    );
    assert_eq!(
        attributes["detail"],
        format!("user.zroot in '{place}': Operation not supported on transport endpoint")
    );
    assert_eq!(attributes["hint"], "use a file system that keeps it");
    // The control.
    let check = json(
        &run(&mut zroot_with(["--check=json", "-C", place]))
            .succeeds()
            .stdout,
    );
    assert_eq!(tried(&check, "user attributes")["works"], true, "{check:#}");
}

/// That says nothing of its file system.
#[test]
fn a_directory_that_takes_no_files_is_named_as_such() {
    let place = dir();
    let closed = place.path().join("closed");
    fs::create_dir(&closed).expect("a directory");
    common::give(&closed);
    run(user("chmod").arg("0").arg(&closed)).succeeds();
    // Root's, of the host's and of our own namespace.
    for dir in ["/usr", "/proc", "/nonexistent"] {
        let ran = run(&mut zroot_with(["--check", "-C", dir])).succeeds();
        assert_eq!(
            ran.stdout
                .matches(&format!("cannot make a file in '{dir}': "))
                .count(),
            1,
            "{ran:#?}"
        );
        assert_eq!(ran.stdout.matches("with -C DIR").count(), 1, "{ran:#?}");
        assert_eq!(
            ran.stdout
                .matches("for the same reason as user attributes")
                .count(),
            2,
            "{ran:#?}"
        );
        assert!(!ran.stdout.contains("file system that keeps"), "{ran:#?}");
    }
    // The owner's mode does not stop apparent root.
    let ran = run(&mut zroot_with([
        "--check",
        "-C",
        closed.to_str().expect("UTF-8"),
    ]))
    .succeeds();
    assert!(ran.stdout.contains("  ok  user attributes "), "{ran:#?}");
}

/// What the kernel says of the directory itself, by another program's calls.
#[test]
fn whether_a_directory_tells_inodes_apart_is_said() {
    const TEST: &str = "whether_a_directory_tells_inodes_apart_is_said";
    need!(TEST, "stat");
    let identity = |dir: &str| {
        let check = run(&mut zroot_with(["--check=json", "-C", dir])).succeeds();
        tried(&json(&check.stdout), "inode identity").clone()
    };
    let place = dir();
    let place = place.path().to_str().expect("UTF-8");
    for dir in [place, "/dev/shm"] {
        let born = run(user("stat").args(["-c", "%W", dir])).succeeds().stdout;
        if born.trim() == "0" {
            common::skip(TEST, &format!("{dir} tells no birth times"));
            continue;
        }
        let said = identity(dir);
        let detail = said["detail"].as_str().expect("text");
        assert!(detail.starts_with("birth times"), "{said:#}");
        assert!(detail.ends_with(&format!(", in '{dir}'")), "{said:#}");
        assert_eq!(
            (&said["works"], &said["hint"]),
            (&true.into(), &Value::Null)
        );
    }
    let text = run(&mut zroot_with(["--check", "-C", place])).succeeds();
    let line = format!("  ok  inode identity            birth times and handles, in '{place}'\n");
    assert!(text.stdout.contains(&line), "{text:#?}");
    // Has no births, and no handles, or such as only have the number over again.
    let said = identity("/proc");
    assert_eq!(said["works"], false, "{said:#}");
    assert_eq!(
        said["detail"],
        "neither birth times nor handles, in '/proc'"
    );
    let hint = said["hint"].as_str().expect("a hint");
    assert!(hint.contains("another file system"), "{said:#}");
    let text = run(&mut zroot_with(["--check", "-C", "/proc"])).succeeds();
    assert!(text.stdout.contains("\n  NO  inode identity "), "{text:#?}");
}

#[test]
fn nothing_is_run_or_left() {
    let (what, _) = run(&mut zroot_with(["--check", "true"])).refused(125);
    assert_eq!(what, "--check runs no command");
    let dir = dir();
    run(zroot_with(["--check"]).current_dir(dir.path())).succeeds();
    assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 0);
}
