//! `--if-needed`, `--userns`, `--allow-new-privs`.

use std::fs;
use std::path::Path;
use std::process::Command;

use zroot::internals::host::is_real_root;

use crate::common::{
    self, control, dir, for_root_only, is_root, run, skip, uid, user, zroot, zroot_with,
};

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

/// What real root makes of a file, and what apparent root sees of it.
const OWNED: &str = "touch q && chown 5 q && stat -c %u q";

/// Runs `zroot ARGS...` in a mount namespace whose `/proc` is an empty directory.
fn without_proc<'a>(
    unshare: &mut Command,
    args: impl IntoIterator<Item = &'a str>,
) -> &mut Command {
    unshare
        .args([
            "--mount",
            "--",
            "sh",
            "-c",
            "mount -t tmpfs none /proc && exec \"$@\"",
            "sh",
        ])
        .arg(zroot())
        .args(args)
}

#[test]
fn if_needed_knows_real_root_without_proc() {
    let name = "if_needed_knows_real_root_without_proc";
    if for_root_only(name) {
        return;
    }
    if is_real_root() != Some(true) {
        return skip(name, "root is not real here");
    }
    let place = tempfile::tempdir().expect("a directory");
    let ran = |options: &[&str]| {
        let args = options.iter().copied().chain(["sh", "-c", OWNED]);
        run(without_proc(
            common::plain("unshare").current_dir(place.path()),
            args,
        ))
        .succeeds()
    };
    let real = ran(&["--if-needed"]);
    assert_eq!((real.stdout.as_str(), real.stderr.as_str()), ("5\n", ""));
    // The control: emulated, as ever without the option, it is lost.
    fs::remove_file(place.path().join("q")).expect("removed");
    assert_eq!(
        ran(&["-q", "--userns=never", "--no-apt-config"]).stdout,
        "0\n"
    );
}

#[test]
fn if_needed_emulates_for_root_over_one_id_without_proc() {
    let place = dir();
    let args = [
        "--if-needed",
        "--userns=never",
        "--no-apt-config",
        "sh",
        "-c",
        OWNED,
    ];
    let ran = run(without_proc(
        user("unshare").arg("-r").current_dir(place.path()),
        args,
    ));
    assert_eq!(ran.succeeds().stdout, "0\n");
    // The control: without zroot it is refused.
    let ran = run(user("unshare")
        .args(["-r", "sh", "-c", OWNED])
        .current_dir(place.path()));
    ran.fails_with("Invalid argument");
}

#[test]
fn if_needed_fails_where_nobody_can_tell() {
    for call in [libc::SYS_setfsuid, libc::SYS_setfsgid] {
        let refuse =
            || common::filter_answering(call, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32);
        let ran = |args: &[&str]| {
            let mut command = user("unshare");
            let command = without_proc(command.arg("-r"), args.iter().copied());
            run(common::under_filter(command, refuse()))
        };
        let (what, hint) = ran(&["--if-needed", "echo", "ran"]).refused(125);
        assert!(
            what.starts_with("--if-needed: without /proc nobody can tell"),
            "{what}"
        );
        assert!(hint.contains("mount /proc"), "{hint}");
        // The control: without the option it does not matter.
        assert_eq!(
            ran(&["--userns=never", "--no-apt-config", "echo", "ran"])
                .succeeds()
                .stdout,
            "ran\n"
        );
    }
}

/// In a line of standard error, and once.
#[test]
fn real_root_is_told_that_ownership_is_lost() {
    let name = "real_root_is_told_that_ownership_is_lost";
    // Not a user, nor root over one id.
    for mut command in [
        zroot_with(["true"]),
        control([zroot().as_os_str(), "true".as_ref()]),
    ] {
        assert_eq!(run(&mut command).succeeds().stderr, "");
    }
    if for_root_only(name) {
        return;
    }
    if is_real_root() != Some(true) {
        return skip(name, "root is not real here");
    }
    let place = tempfile::tempdir().expect("a directory");
    let at = |name: &str| place.path().join(name).to_str().expect("UTF-8").to_owned();
    let inner = zroot().to_str().expect("UTF-8");
    let nested = format!("{inner} true");
    let said = |args: &[&str]| run(common::plain(zroot()).args(args)).succeeds().stderr;
    for args in [
        &["true"][..],
        &["-c", "full", "true"],
        &[inner, "sh", "-c", &nested],
        &["--userns=never", "true"],
    ] {
        let said = said(args);
        assert!(
            said.lines().count() == 1
                && said.starts_with("zroot: warning: ")
                && said.contains("--if-needed"),
            "{args:?}: {said}"
        );
    }
    // Nothing is said where nothing is lost, or who knows it.
    for args in [
        &["--if-needed", "true"][..],
        &["-q", "true"],
        &["--quiet", "true"],
        &["-s", &at("state"), "true"],
    ] {
        assert_eq!(said(args), "", "{args:?}");
    }
    let fakeroot = run(common::plain(common::names().join("fakeroot")).arg("true")).succeeds();
    assert_eq!(fakeroot.stderr, "");
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
