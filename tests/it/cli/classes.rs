//! Classes, by their effect.

use std::fs;

use crate::common::{self, Ran, control, dir, run, skip, user, zroot, zroot_with};

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
