//! The executable itself: unreadable, or with more rights than its caller has.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use crate::common::{
    self, Ran, control, dir, executable, for_root_only, is_root, run, skip, uid, user, zroot,
    zroot_with,
};

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
