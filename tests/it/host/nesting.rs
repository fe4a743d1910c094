//! zroot in other things that make a namespace, a root or a filter, and they in zroot.

use std::ffi::OsStr;
use std::process::Command;

use crate::common::{self, INVALID, Ran, control, dir, run, user, zroot};

/// Shows that the process is apparent root, and that what only the filter can grant is granted,
/// whoever owns /usr.
const CHECK: &str =
    "test $(id -u) = 0 && test $(id -g) = 0 && chown 1:1 /usr && chgrp 2 /usr && echo emulated";

/// `OUTER... zroot OPTIONS... INNER... sh -c CHECK`, as the unprivileged user.
fn nest(outer: &[&str], options: &[&str], inner: &[&str]) -> Ran {
    let words = outer.iter().map(OsStr::new).chain([zroot().as_os_str()]);
    let words = words
        .chain(options.iter().chain(inner).map(OsStr::new))
        .chain(["sh", "-c", CHECK].map(OsStr::new));
    let mut words = words.collect::<Vec<_>>().into_iter();
    run(user(words.next().expect("a word")).args(words))
}

#[track_caller]
fn emulated(ran: Ran) -> Ran {
    assert!(ran.status == 0 && ran.stdout == "emulated\n", "{ran:#?}");
    ran
}

/// The user namespace in which `outer` runs its command must not be enough: without the owner class
/// the check fails there.
#[track_caller]
fn works_in(outer: &[&str]) -> Ran {
    nest(outer, &["--no-fake=owner"], &[]).fails_with("changing ownership of '/usr'");
    emulated(nest(outer, &["-v"], &[]))
}

#[track_caller]
fn works_around(inner: &[&str]) {
    nest(&[], &["--no-fake=owner"], inner).fails_with("changing ownership of '/usr'");
    assert_eq!(emulated(nest(&[], &[], inner)).stderr, "");
}

/// What `-v` says when there was no further namespace to be had.
const ALONE: &str = "filter alone";

#[test]
fn the_control_without_a_filter_fails() {
    zroot(); // other tests find its copy busy if this one forks while it is written
    run(&mut control(["sh", "-c", CHECK])).fails_with(INVALID);
}

// zroot in zroot.

/// `depth` times zroot, and then the check.
fn zroots(mut start: Command, depth: usize, last: &[&str]) -> Ran {
    start.args(vec![zroot(); depth - 1]);
    run(start.args(last).args(["sh", "-c", CHECK]))
}

#[test]
fn zroot_in_zroot() {
    for depth in [2, 3, 10] {
        let ran = emulated(zroots(user(zroot()), depth, &["-v"]));
        assert!(
            ran.stderr.contains("user namespace: uid 0 and gid 0 are 0"),
            "{ran:#?}"
        );
        // The outer filters have the class still; only all of them without it is a control.
        emulated(zroots(user(zroot()), depth, &["--no-fake=owner"]));
    }
}

/// Below the depth that the kernel allows, 33, no namespace is to be had any more, and none is
/// needed.
#[test]
fn zroot_nested_deeper_than_namespaces_go() {
    let ran = emulated(zroots(user(zroot()), 40, &["-v"]));
    assert!(ran.stderr.contains(ALONE), "{ran:#?}");
}

/// The kernel takes 32768 instructions, of its own kind, in all of a process's filters together
/// (kernel/seccomp.c, `seccomp_attach_filter`).
#[test]
fn zroot_nested_deeper_than_filters_go() {
    let (what, hint) = zroots(user(zroot()), 1000, &[]).refused(125);
    assert_eq!(what, "cannot install the filter: Out of memory");
    assert!(
        hint.contains("too many seccomp filters are stacked ("),
        "{hint}"
    );
}

#[test]
fn zroot_without_a_namespace_in_and_around_zroot() {
    emulated(zroots(user(zroot()), 2, &["--userns=never"]));
    emulated(nest(&[], &["--userns=never"], &["--"]));
    // geteuid says 0 to the inner zroot, and the uid that counts is the user's.
    let inner = zroot().to_str().expect("UTF-8");
    emulated(nest(&[], &["--userns=never"], &[inner, "--userns=never"]));
}

/// An outer zroot's filter also answers the inner one, whose identity therefore never changes on
/// the way.
#[test]
fn zroot_behind_a_pretended_drop_of_privileges() {
    let inner = zroot().to_str().expect("UTF-8");
    emulated(nest(
        &[],
        &[],
        &[
            "setpriv",
            "--reuid",
            "5",
            "--regid",
            "5",
            "--clear-groups",
            inner,
        ],
    ));
    nest(
        &[],
        &["--no-fake=identity"],
        &["setpriv", "--reuid", "5", inner],
    )
    .fails_with("setresuid failed");
}

// unshare and chroot.

#[test]
fn zroot_in_unshare() {
    for options in [&["-r"][..], &["-rm"], &["-rmn"], &["-rmpf", "--mount-proc"]] {
        let ran = works_in(&[&["unshare"], options, &["--"]].concat());
        assert!(
            ran.stderr.contains("user namespace: uid 0 and gid 0 are 0"),
            "{ran:#?}"
        );
    }
    works_in(&[
        "unshare",
        "-r",
        "unshare",
        "--user",
        "--map-user=1000",
        "--map-group=1000",
        "--",
    ]);
}

#[test]
fn unshare_in_zroot() {
    for options in [&["-r"][..], &["-rm"], &["-rmpf", "--mount-proc"]] {
        works_around(&[&["unshare"], options, &["--"]].concat());
    }
    works_around(&[
        "unshare",
        "-rm",
        "sh",
        "-ec",
        "mount -t tmpfs none /mnt; touch /mnt/real; exec \"$@\"",
        "sh",
    ]);
    // Unmapped ids are nobody's, and zroot says so.
    let ran = run(user(zroot())
        .args(["unshare", "--user"])
        .arg(zroot())
        .args(["echo", "ran"]));
    assert!(ran.refused(125).1.contains("uid or gid is not mapped"));
}

/// Makes the root directory `$1` out of the machine's own directories and runs what follows in it.
const CHROOT: &str = r#"root=$1; shift
    for dir in bin dev etc lib lib32 lib64 libx32 proc sbin tmp usr; do
        if [ -L /$dir ]; then cp -P /$dir "$root"; elif [ -e /$dir ]; then mkdir -p "$root/$dir"; mount --rbind /$dir "$root/$dir"; fi
    done
    exec chroot "$root" "$@""#;

#[test]
fn chroot_in_and_around_zroot() {
    // chroot(8) to / is no chroot to the kernel, since the root stays the mount namespace's.
    works_around(&["chroot", "/"]);
    works_in(&["unshare", "-r", "chroot", "/"]);

    let root = dir();
    let root = root.path().to_str().expect("UTF-8");
    let ran = works_in(&["unshare", "-rm", "sh", "-ec", CHROOT, "sh", root]);
    assert!(ran.stderr.contains(ALONE), "{ran:#?}");
    // From zroot into the chroot, and there zroot again.
    works_around(&["unshare", "-m", "sh", "-ec", CHROOT, "sh", root]);
    let ran = works_around_and_again(&["unshare", "-m", "sh", "-ec", CHROOT, "sh", root]);
    assert!(ran.stderr.contains(ALONE), "{ran:#?}");
}

/// `zroot INNER... zroot -v`: the inner zroot has nothing but what the outer left it.
#[track_caller]
fn works_around_and_again(inner: &[&str]) -> Ran {
    let again = zroot().to_str().expect("UTF-8");
    emulated(nest(&[], &[], &[inner, &[again, "-v"]].concat()))
}

// bubblewrap.

const BWRAP: [&str; 4] = ["bwrap", "--dev-bind", "/", "/"];

#[test]
fn zroot_in_bwrap() {
    need!("zroot_in_bwrap", "bwrap");
    works_in(&BWRAP);
    works_in(&[&BWRAP[..], &["--unshare-all", "--proc", "/proc"]].concat());
    works_in(
        &[
            &BWRAP[..],
            &[
                "--unshare-all",
                "--uid",
                "0",
                "--gid",
                "0",
                "--cap-add",
                "ALL",
            ],
        ]
        .concat(),
    );
}

/// uid 0 without capabilities once ended in "cannot map user ids": the kernel makes it a namespace,
/// but lets it map nothing there.
#[test]
fn zroot_for_uid_0_without_capabilities() {
    need!("zroot_for_uid_0_without_capabilities", "bwrap");
    for options in [
        &["--unshare-all", "--uid", "0", "--gid", "0"][..],
        &["--unshare-user", "--uid", "0", "--gid", "0"],
    ] {
        let ran = works_in(&[&BWRAP[..], options].concat());
        assert!(ran.stderr.contains(ALONE), "{ran:#?}");
    }
    let ran = works_in(&[
        "unshare",
        "-r",
        "setpriv",
        "--bounding-set=-setfcap",
        "--inh-caps=-setfcap",
    ]);
    assert!(ran.stderr.contains(ALONE), "{ran:#?}");
    let ran = works_around_and_again(&["setpriv", "--bounding-set=-all", "--inh-caps=-all"]);
    assert!(ran.stderr.contains(ALONE), "{ran:#?}");
}

#[test]
fn zroot_in_bwrap_that_forbids_user_namespaces() {
    need!("zroot_in_bwrap_that_forbids_user_namespaces", "bwrap");
    let forbidding = [&BWRAP[..], &["--unshare-user", "--disable-userns"]].concat();
    let (what, hint) = nest(&forbidding, &[], &[]).refused(125);
    assert_eq!(
        what,
        "cannot make a user namespace: No space left on device"
    );
    assert!(
        hint.contains("user.max_user_namespaces") && hint.contains("--userns=never"),
        "{hint}"
    );
    emulated(nest(&forbidding, &["--userns=never"], &[]));
    let ran = works_in(&[&forbidding[..], &["--uid", "0", "--gid", "0"]].concat());
    assert!(ran.stderr.contains(ALONE), "{ran:#?}");
}

#[test]
fn bwrap_in_zroot() {
    need!("bwrap_in_zroot", "bwrap");
    works_around(&BWRAP);
    works_around(&[&BWRAP[..], &["--unshare-all", "--uid", "0", "--gid", "0"]].concat());
    works_around(&[&BWRAP[..], &["--unshare-user", "--disable-userns"]].concat());
    works_around_and_again(&BWRAP);
    works_around_and_again(&[&BWRAP[..], &["--unshare-all", "--uid", "0", "--gid", "0"]].concat());
}

// fakeroot.

/// fakeroot's library cannot reach the static zroot, but what zroot starts.
#[test]
fn zroot_in_fakeroot_and_fakeroot_in_zroot() {
    need!("zroot_in_fakeroot_and_fakeroot_in_zroot", "fakeroot");
    emulated(nest(&["fakeroot", "--"], &[], &[]));
    emulated(nest(&[], &[], &["fakeroot", "--"]));
    works_around_and_again(&["fakeroot", "--"]);
    // fakeroot still remembers an owner.
    let file = tempfile::Builder::new()
        .tempfile_in("/tmp")
        .expect("a file");
    common::give(file.path());
    let script = r#"chown 1:2 "$1" && stat -c %u:%g "$1""#;
    for words in [
        &["fakeroot", "--", zroot().to_str().expect("UTF-8")][..],
        &[zroot().to_str().expect("UTF-8"), "fakeroot", "--"],
    ] {
        let ran = run(user(words[0])
            .args(&words[1..])
            .args(["sh", "-c", script, "sh"])
            .arg(file.path()))
        .succeeds();
        assert_eq!(ran.stdout, "1:2\n", "{words:?}");
    }
}

/// At each level what it needs: the owner that fakeroot remembers.
#[test]
fn fakeroot_at_every_level() {
    need!("fakeroot_at_every_level", "fakeroot");
    let inside = zroot().to_str().expect("UTF-8");
    let script = "f=$(mktemp) && chown 1:2 $f && stat -c %u:%g $f; rm $f";
    for level in ["zero", "selective", "full", "auto"] {
        for words in [
            &["fakeroot", "--", inside, "-c", level][..],
            &[inside, "-c", level, "fakeroot", "--"],
            &[inside, "-c", level, inside, "fakeroot", "--", inside],
        ] {
            let ran = run(user(words[0]).args(&words[1..]).args(["sh", "-c", script]));
            assert_eq!(ran.succeeds().stdout, "1:2\n", "{words:?}");
        }
    }
}

// PRoot.

/// A tracer, which rewrites paths before the kernel sees them: what a supervisor is told of are
/// other files than the command's.
#[test]
fn zroot_in_proot() {
    need!("zroot_in_proot", "proot");
    for outer in [
        &["proot"][..],
        &["proot", "-0"],
        &["proot", "-b", "/usr:/mnt"],
    ] {
        for level in ["selective", "full"] {
            let (what, hint) = nest(outer, &["-c", level], &[]).refused(125);
            assert_eq!(
                what,
                "cannot start the supervisor: a tracer around this process rewrites paths, as PRoot does"
            );
            assert!(hint.contains("PRoot inside of zroot"), "{hint}");
        }
        nest(outer, &["--summary"], &[]).refused(125);
        emulated(nest(outer, &[], &[]));
        let ran = emulated(nest(outer, &["-v", "-c", "auto"], &[]));
        assert!(ran.stderr.contains("level zero: cannot start"), "{ran:#?}");
    }
}

#[test]
fn proot_in_zroot() {
    need!("proot_in_zroot", "proot", "busybox");
    let root = dir();
    let script = r#"cp "$(command -v busybox)" "$1/busybox"; mkdir "$1/tmp"; : >"$1/f""#;
    run(Command::new("sh")
        .args(["-ec", script, "sh"])
        .arg(root.path()))
    .succeeds();
    run(Command::new("chmod").args(["-R", "a+rwX"]).arg(root.path())).succeeds();
    common::give(root.path());
    common::give(&root.path().join("f"));
    let root = root.path().to_str().expect("UTF-8");
    let inside = zroot().to_str().expect("UTF-8");
    let script = "cd /tmp && chown 3:4 ../f && chmod 640 /f && chmod 604 ../f && /busybox stat -c '%a %u:%g' /f";
    for (level, says) in [
        ("zero", "604 0:0\n"),
        ("selective", "604 0:0\n"),
        ("full", "604 3:4\n"),
    ] {
        for outer in [&[inside, "-c", level][..], &[inside, "-c", level, inside]] {
            let mut command = user(outer[0]);
            command
                .args(&outer[1..])
                .args(["env", "PROOT_NO_SECCOMP=1"]);
            command.args([
                "proot", "-w", "/", "-r", root, "/busybox", "sh", "-ec", script,
            ]);
            assert_eq!(run(&mut command).succeeds().stdout, says, "{outer:?}");
        }
        // The supervisor around is none that PRoot knows of.
        let proots = ["proot", inside];
        emulated(nest(&[], &["-c", level], &proots));
        emulated(nest(
            &[],
            &["-c", level],
            &[&proots[..], &["-c", level]].concat(),
        ));
    }
}

// Real root.

#[test]
fn real_root_is_emulated_and_keeps_its_hands_off() {
    let name = "real_root_is_emulated_and_keeps_its_hands_off";
    if common::for_root_only(name) {
        return;
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    let script = r#"chown 1:1 "$1" && stat -c %u:%g "$1""#;
    for depth in [1, 2, 10, 40] {
        let mut command = Command::new(zroot());
        let ran = run(command
            .args(vec![zroot(); depth - 1])
            .args(["sh", "-c", script, "sh"])
            .arg(file.path()))
        .succeeds();
        assert_eq!(ran.stdout, "0:0\n");
    }
    let ran = run(Command::new(zroot())
        .args(["--userns=never", "sh", "-c", script, "sh"])
        .arg(file.path()))
    .succeeds();
    assert_eq!(ran.stdout, "0:0\n");
    // In a chroot of real root's the kernel makes no namespace, and the filter alone is between the
    // command and the real thing.
    let root = dir();
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-ec", CHROOT, "sh"])
        .arg(root.path())
        .arg(zroot())
        .args(["-v", "sh", "-c", script, "sh"]);
    let ran = run(command.arg(file.path())).succeeds();
    assert!(
        ran.stdout == "0:0\n" && ran.stderr.contains(ALONE),
        "{ran:#?}"
    );
    // The control: it is real.
    let ran = run(Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(file.path()))
    .succeeds();
    assert_eq!(ran.stdout, "1:1\n");
}
