//! `zroot --root` in and around other things.

use std::process::Command;

use super::SYSTEM;
use crate::common::{self, SmallTree, run, user, zroot};

#[test]
fn roots_in_roots() {
    let Some(tree) = SmallTree::new("roots_in_roots") else {
        return;
    };
    tree.prepare("mkdir root/inner root/inner/etc; cp -a root/bin root/inner");
    let zroot_path = zroot().to_str().expect("UTF-8");
    let bind = format!("--bind={zroot_path}:/zroot:ro");
    let mut before = tree.listing();
    let mut made = [
        &SYSTEM[..],
        &["zroot", "inner/proc/", "inner/sys/", "inner/dev/"],
    ]
    .concat();
    let check = "test $(id -u) = 0 && chown 1:2 /bin && test -e /proc/self && test ! -e /inner && test -s /etc/resolv.conf && echo nested";
    let inner = ["/zroot", "--root", "/inner", "--", "sh", "-c", check];
    let outers: [&[&str]; 6] = [
        &[],
        &[zroot_path],
        &[zroot_path, zroot_path],
        &["unshare", "-r"],
        // The end of a PID namespace's first process is the end of all others in it.
        &["unshare", "-rmpf", "--mount-proc"],
        &[
            "unshare",
            "-rmpf",
            "--mount-proc",
            "sh",
            "-c",
            "\"$@\" || exit 1; true",
            "sh",
        ],
    ];
    for outer in outers {
        let words = outer
            .iter()
            .copied()
            .chain([zroot_path, "--root", "root", &bind])
            .chain(inner)
            .collect::<Vec<_>>();
        let ran = run(user(words[0]).args(&words[1..]).current_dir(tree.place())).succeeds();
        assert_eq!(ran.stdout, "nested\n", "{outer:?}");
        tree.as_before_but_for(&before, &made);
        made.clear();
        before = tree.listing();
    }
    // The directory that is / already.
    let script = "test -e /proc/self && test -f /job/file && test -e /bin && echo same";
    let ran = run(&mut tree.inside(
        &[&bind, "--bind=src:/src"],
        &format!("/zroot --root / --bind /src:/job -- sh -c '{script}'"),
    ))
    .succeeds();
    assert_eq!(ran.stdout, "same\n");
    tree.as_before_but_for(&before, &["src/", "job/"]);
}

/// A chroot's root is no mount, which pivot_root(2) wants.
#[test]
fn a_root_in_a_chroot() {
    let Some(tree) = SmallTree::new("a_root_in_a_chroot") else {
        return;
    };
    tree.prepare("mkdir root/inner root/inner/etc; cp -a root/bin root/inner; : > root/zroot; : > root/etc/resolv.conf; mkdir root/proc root/dev root/inner/dev");
    let check = "test $(id -u) = 0 && chown 1:2 /bin && test ! -e /inner && echo nested";
    let script = |before: &str| {
        format!(
            r#"{before}; mount --bind "$0" root/zroot; chroot root /zroot --root /inner -- sh -c '{check}'"#
        )
    };
    let before = tree.listing();
    let ran = |script: &str| {
        run(user("unshare")
            .args(["-rm", "sh", "-ec", script])
            .arg(zroot())
            .current_dir(tree.place()))
    };
    let with_proc = "mount --rbind /proc root/proc; mount --rbind /dev root/dev";
    assert_eq!(ran(&script(with_proc)).succeeds().stdout, "nested\n");
    tree.as_before_but_for(&before, &["inner/proc/"]);
    let before = tree.listing();
    // Without /proc there is no way to mount by descriptor; and that is what it says.
    let (what, hint) = ran(&script(":")).refused(125);
    assert!(
        format!("{what} {hint}").contains("/proc"),
        "{what} / {hint}"
    );
    tree.as_before(&before);
}

#[test]
fn a_root_in_bwrap() {
    need!("a_root_in_bwrap", "bwrap");
    let Some(tree) = SmallTree::new("a_root_in_bwrap") else {
        return;
    };
    let mut before = tree.listing();
    let mut made = [&SYSTEM[..], &["job/"]].concat();
    let check = "test $(id -u) = 0 && chown 1:2 /bin && test -f /job/file && echo nested";
    let bwraps: [&[&str]; 3] = [
        &[],
        &["--unshare-all", "--proc", "/proc"],
        &[
            "--unshare-user",
            "--uid",
            "0",
            "--gid",
            "0",
            "--cap-add",
            "ALL",
        ],
    ];
    for options in bwraps {
        let mut command = user("bwrap");
        command
            .args(["--dev-bind", "/", "/"])
            .args(options)
            .arg(zroot())
            .args(["--root", "root", "--bind=src:/job", "sh", "-c", check]);
        let ran = run(command.current_dir(tree.place())).succeeds();
        assert_eq!(ran.stdout, "nested\n", "{options:?}");
        tree.as_before_but_for(&before, &made);
        made.clear();
        before = tree.listing();
    }
}

/// For real root nothing is different: the tree's owner is another, and the mounts are in a
/// namespace of the command's own.
#[test]
fn real_root_gets_a_root_directory() {
    let name = "real_root_gets_a_root_directory";
    if common::for_root_only(name) {
        return;
    }
    let Some(tree) = SmallTree::new(name) else {
        return;
    };
    let mut before = tree.listing();
    let mut made = [&SYSTEM[..], &["job/"]].concat();
    for options in [&[][..], &["--if-needed"], &["--userns=never"]] {
        let script = "test $(id -u) = 0 && test -e /proc/self && test -s /etc/resolv.conf && test -f /job/file && echo fine";
        let mut command = Command::new(zroot());
        command
            .args(options)
            .args(["--root", "root", "--bind=src:/job", "sh", "-c", script])
            .current_dir(tree.place());
        assert_eq!(run(&mut command).succeeds().stdout, "fine\n", "{options:?}");
        tree.as_before_but_for(&before, &made);
        made.clear();
        before = tree.listing();
    }
}
