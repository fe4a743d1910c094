//! What works in a root directory, package managers among it.

use super::{SYSTEM, in_namespaces};
use crate::common::{self, SmallTree, control, filter_answering, run, under_filter, user, zroot};

/// Scripts that exit 0 where all is as it should be.
const WORKS: &[(&str, &[&str], &str)] = &[
    (
        "root",
        &[],
        "test $(id -u) = 0 && test $(id -g) = 0 && test -O /etc && test \"$(pwd)\" = /",
    ),
    (
        "owners",
        &[],
        "touch /tmp/a; chown 1:2 /tmp/a; mknod /tmp/b c 1 3; rm /tmp/a",
    ),
    (
        "processes",
        &[],
        "test -r /proc/self/status && test \"$(readlink /proc/self/root)\" = /",
    ),
    ("sysfs", &[], "test -d /sys/kernel && test -d /sys/class"),
    (
        "devices",
        &[],
        "echo > /dev/null; head -c 9 /dev/urandom | wc -c | grep -q 9; test -d /dev/pts; test -c /dev/tty; test -e /dev/fd/0",
    ),
    (
        "shared memory",
        &[],
        "test ! -d /dev/shm || { echo > /dev/shm/zroot.$$; rm /dev/shm/zroot.$$; }",
    ),
    (
        "only this tree",
        &[],
        "test ! -e /usr && test ! -e /job && test ! -e /home",
    ),
    (
        "mounts",
        &[],
        "test $(grep -c ' / / ' /proc/self/mountinfo) -le 1 && ! grep oldroot /proc/self/mountinfo && mount -t tmpfs none /tmp && umount /tmp",
    ),
    (
        "pivot",
        &[],
        "test $(awk '$5 == \"/\"' /proc/self/mountinfo | wc -l) = 1",
    ),
    ("chroot", &[], "chroot / /bin/true && unshare -r true"),
    ("resolver", &[], "grep -q . /etc/resolv.conf"),
    (
        "resolver replaced",
        &[],
        "echo a > /etc/new; mv /etc/new /etc/resolv.conf; grep -q a /etc/resolv.conf",
    ),
    (
        "resolver removed",
        &[],
        "rm /etc/resolv.conf; test ! -e /etc/resolv.conf",
    ),
    (
        "directory bound",
        &["--bind=src:/job"],
        "grep -q source /job/file; touch /job/a; rm /job/a",
    ),
    (
        "file bound",
        &["--bind=src/file:/job"],
        "grep -q source /job",
    ),
    (
        "file in a new directory",
        &["--bind=src/file:/job/deep/file"],
        "grep -q source /job/deep/file",
    ),
    ("same place", &["--bind=/usr"], "test -d /usr/bin"),
    (
        "read-only",
        &["--bind=src:/job:ro"],
        "grep -q source /job/file; ! touch /job/a; ! echo > /job/file; ! mount -o remount,rw /job",
    ),
    (
        "read-only file",
        &["--bind=src/file:/job:ro"],
        "grep -q source /job; ! echo > /job",
    ),
    (
        "both",
        &["--bind=src:/job:ro", "--bind=src/sub:/job/sub"],
        "touch /job/sub/a; rm /job/sub/a; ! touch /job/a",
    ),
    (
        "device bound",
        &["--bind=/dev/null:/job/null"],
        "echo > /job/null",
    ),
    (
        "on an existing directory",
        &["--bind=src:/tmp"],
        "grep -q source /tmp/file",
    ),
    (
        "through a link inside",
        &["--bind=src:/linked"],
        "grep -q source /tmp/file",
    ),
    ("directory", &["-C", "/tmp"], "test \"$(pwd)\" = /tmp"),
    (
        "relative directory",
        &["-C", "etc/.."],
        "test \"$(pwd)\" = /",
    ),
    (
        "directory in a mount",
        &["-C", "/proc/self/task"],
        "test \"$(pwd)\" != /",
    ),
    (
        "directory in a bind",
        &["--bind=src:/job", "-C", "/job/sub"],
        "test \"$(pwd)\" = /job/sub",
    ),
    (
        "directory is a bind",
        &["--bind=src:/job", "-C", "/job"],
        "test \"$(pwd)\" = /job",
    ),
    (
        "directory in a bind by a link",
        &["--bind=src:/linked", "-C", "/linked/sub"],
        "test \"$(pwd)\" = /tmp/sub",
    ),
];

#[test]
fn it_works() {
    let Some(tree) = SmallTree::new("it_works") else {
        return;
    };
    tree.prepare("ln -s tmp root/linked");
    for (name, options, script) in WORKS {
        let ran = run(&mut tree.inside(options, &format!("set -e; {script}")));
        assert_eq!(ran.status, 0, "{name}: {ran:#?}");
        // The next case may want a file where this one made a directory.
        tree.prepare(
            "cd root; find job usr proc sys dev -depth -empty -delete 2> /dev/null || :
            for name in job usr proc sys dev; do test ! -e $name; done; rm -f etc/resolv.conf",
        );
    }
    // The control: the same directory without the filter.
    run(user("unshare")
        .args(["-r", "chroot"])
        .arg(tree.root())
        .args(["sh", "-c", "touch /tmp/a; chown 1:2 /tmp/a"]))
    .fails_with("Invalid argument");
    run(&mut tree.inside(&["--no-fake=owner"], "touch /tmp/a; chown 1:2 /tmp/a"))
        .fails_with("Invalid argument");
}

/// The command is the caller's child itself, with what the caller gave it.
#[test]
fn the_command_is_found_inside() {
    let Some(tree) = SmallTree::new("the_command_is_found_inside") else {
        return;
    };
    tree.prepare("mkdir root/opt; cp src/tool root/opt/only-inside; mkdir bin; cp src/tool bin/only-outside; : > root/placeholder; cp src/tool root/opt/bare; sed -i 1d root/opt/bare");
    let path = format!("{}/bin:/opt:/bin", tree.place().display());
    let ran = |args: &[&str]| {
        run(tree
            .zroot(
                [
                    &[
                        "--root",
                        "root",
                        "--bind=src:/job",
                        "--bind=src/tool:/placeholder:ro",
                    ],
                    args,
                ]
                .concat(),
            )
            .env("PATH", &path))
    };
    let tool = |args: &[&str]| assert_eq!(ran(args).succeeds().stdout, "tool\n", "{args:?}");
    tool(&["only-inside"]);
    tool(&["/opt/only-inside"]);
    tool(&["opt/only-inside"]);
    tool(&["/opt/bare"]);
    tool(&["-C", "/opt", "./only-inside"]);
    tool(&["/job/tool"]);
    tool(&["-C", "/job", "./tool"]);
    // What is mounted on it counts, not the placeholder, which cannot be run.
    tool(&["/placeholder"]);
    assert!(
        ran(&["only-outside"])
            .refused(127)
            .0
            .contains("'only-outside'")
    );
    assert!(
        ran(&["-C", "/opt", "only-outside"])
            .refused(127)
            .0
            .contains("'only-outside'")
    );
    let outside = tree.place().join("bin/only-outside");
    ran(&[outside.to_str().expect("UTF-8")]).refused(127);
}

#[test]
fn a_tree_of_another_machine() {
    let Some(tree) = SmallTree::new("a_tree_of_another_machine") else {
        return;
    };
    // An ELF header for a machine that is not this one.
    let (number, name) = if cfg!(target_arch = "s390x") {
        (183u8, "aarch64")
    } else {
        (22, "s390x")
    };
    let mut header = vec![0; 64 + 56];
    header[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 2, 1]);
    (header[17], header[19]) = (2, number);
    // One program header behind this one, as a whole file has.
    (header[39], header[55], header[57]) = (64, 56, 1);
    common::executable(&tree.root().join("bin/foreign"), header);
    let (what, hint) = run(&mut tree.zroot(["--root", "root", "foreign"])).refused(126);
    assert_eq!(what, "cannot run '/bin/foreign': Exec format error");
    assert!(
        hint.contains(&format!("an executable for {name}")) && hint.contains("binfmt_misc"),
        "{hint}"
    );
}

/// A source with something else mounted below.
#[test]
fn read_only_reaches_what_is_mounted_below() {
    let Some(tree) = SmallTree::new("read_only_reaches_what_is_mounted_below") else {
        return;
    };
    for name in ["work", "wo rk", "wo\\rk"] {
        let bind = format!(
            r#""$0" --root root --bind "src:/{name}:ro" sh -c 'cd "/{name}"; ! touch a 2> /dev/null; ! touch sub/a 2> /dev/null; cat sub/below'"#
        );
        let script = format!(
            "mount -t tmpfs none src/sub; echo below > src/sub/below; before; {bind}
            same proc sys dev '{name}'; touch src/sub/a"
        );
        assert_eq!(
            in_namespaces(&tree, &["-rm"], &script).succeeds().stdout,
            "below\n"
        );
    }
}

/// Before Linux 5.12 there was no mount_setattr(2).
#[test]
fn read_only_without_mount_setattr() {
    let Some(tree) = SmallTree::new("read_only_without_mount_setattr") else {
        return;
    };
    let filter = || {
        filter_answering(
            libc::SYS_mount_setattr,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs(),
        )
    };
    tree.prepare("touch -r root time");
    let before = tree.listing();
    for (source, check, made) in [
        (
            "src",
            "grep -q source /job/file; ! touch /job/a",
            &["job/"][..],
        ),
        ("src/file", "grep -q source /job; ! echo > /job", &["job"]),
    ] {
        run(under_filter(
            &mut tree.inside(&[&format!("--bind={source}:/job:ro")], check),
            filter(),
        ))
        .succeeds();
        tree.as_before_but_for(&before, &[&SYSTEM[..], made].concat());
        tree.prepare("cd root; find job proc sys dev -depth -empty -delete; touch -r ../time .");
    }
    // What is mounted below would stay writable.
    for name in ["work", "wo rk", "wo\\rk"] {
        let script =
            r#"mount -t tmpfs none src/sub; exec "$0" --root root --bind "src:/$1:ro" echo ran"#;
        let mut command = user("unshare");
        command
            .args(["-rm", "sh", "-ec", script])
            .arg(zroot())
            .arg(name)
            .current_dir(tree.place());
        let (what, _) = run(under_filter(&mut command, filter())).refused(125);
        assert!(
            what.starts_with("cannot make ")
                && what.ends_with("read-only: Function not implemented"),
            "{what}"
        );
        let made = format!("{name}/");
        tree.as_before_but_for(&before, &[&SYSTEM[..], &[&made]].concat());
        tree.prepare("cd root; find wo* proc sys dev -depth -empty -delete; touch -r ../time .");
    }
}

const INSTALL: &str = "apt-get update && apt-get install -y --no-install-recommends --reinstall openssh-client man-db";

#[test]
fn packages_install_in_a_debian_tree() {
    let Some(tree) = crate::debian::Root::copy("packages_install_in_a_debian_tree") else {
        return;
    };
    run(&mut tree.chroot_with_mounts(["sh", "-c", INSTALL])).fails_with("setgroups");
    let zroot = |script: &str| {
        run(user(zroot())
            .arg("--root")
            .arg(tree.path())
            .args(["--", "sh", "-ec", script]))
    };
    zroot(INSTALL).succeeds();
    assert_eq!(
        zroot("dpkg --audit; ldconfig; test -x /usr/bin/ssh && man -V | grep -c man")
            .succeeds()
            .stdout,
        "1\n"
    );
    assert_eq!(tree.leftovers(), [""; 0]);
    let _ = control(["true"]);
}
