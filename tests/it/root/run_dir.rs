//! A `/run` in memory, for trees whose `/etc/resolv.conf` is a link to a file there that is
//! missing.

use std::fs;
use std::os::unix::net::UnixListener;

use crate::common::{self, SmallTree, run, user, zroot};

/// A tree with such a link, in which `make` has been run in `/run`.
fn tree(test: &str, make: &str) -> Option<SmallTree> {
    let tree = SmallTree::new(test)?;
    tree.prepare(&format!(
        "cd root; mkdir proc sys dev run
        ln -s ../run/systemd/resolve/stub-resolv.conf etc/resolv.conf
        cd run; {make}"
    ));
    Some(tree)
}

const RESOLVES: &str = "grep -q nameserver /etc/resolv.conf";

/// What a tree that was booted, or packages, may have there.
const USUAL: &str = "
    mkdir lock sub sub/deep sub/private; chmod 1777 lock; chmod 2775 sub; chmod 700 sub/private
    echo small > file; chmod 640 file; : > sub/deep/empty; chmod 600 sub/deep/empty
    ln -s file link; ln -s /etc out; ln -s nowhere sub/none; mkfifo -m 622 fifo; mkdir systemd";

#[test]
fn the_copy_is_like_the_trees() {
    let Some(tree) = tree("the_copy_is_like_the_trees", USUAL) else {
        return;
    };
    let before = tree.listing();
    let list = "
        find . | grep -v ./systemd/ | sort | while read f; do stat -c '%n %a %F' $f; done
        cat file; for f in link out sub/none; do readlink $f; done";
    let outside = run(user(tree.root().join("bin/busybox"))
        .args(["sh", "-ec", list])
        .current_dir(tree.root().join("run")))
    .succeeds();
    for umask in ["022", "077"] {
        let mut command = user("sh");
        let script = format!(r#"umask {umask}; exec "$0" --root root -C /run -- sh -ec "$1""#);
        command.args(["-c", &script]).arg(zroot()).arg(list);
        let inside = run(command.current_dir(tree.place())).succeeds();
        assert_eq!(inside.stdout, outside.stdout, "{umask}");
        tree.as_before(&before);
    }
    let resolv_conf = run(&mut tree.inside(&[], "cat /etc/resolv.conf")).succeeds();
    let own = fs::read_to_string("/etc/resolv.conf").expect("/etc/resolv.conf");
    assert_eq!(resolv_conf.stdout, own);
    tree.as_before(&before);
}

/// What the command does there is gone at its end.
#[test]
fn nothing_is_written_into_the_tree() {
    let Some(tree) = tree("nothing_is_written_into_the_tree", USUAL) else {
        return;
    };
    let before = tree.listing();
    for script in [
        "rm -rf /run/*; test -z \"$(ls -A /run)\"; echo a > /run/b; test -s /run/b",
        "echo more >> /run/file; rm /run/link; chmod 700 /run/sub; mv /run/lock /run/key",
        ": > /etc/resolv.conf; test ! -s /etc/resolv.conf",
        "chmod 700 /run; umount /run; test ! -e /etc/resolv.conf; test -e /run/file",
        "mount -t tmpfs none /run; test -z \"$(ls -A /run)\"",
        "touch /run/mine; chown 5:6 /run/mine",
    ] {
        run(&mut tree.inside(&[], &format!("set -e; {RESOLVES}; {script}"))).succeeds();
        tree.as_before(&before);
    }
    // The control: without the link it is the tree's own directory.
    tree.prepare("rm root/etc/resolv.conf; echo a > root/etc/resolv.conf");
    run(&mut tree.inside(&[], "echo more >> /run/file")).succeeds();
    tree.prepare("grep -q more root/run/file");
}

/// None of these takes long, or leaves anything.
#[test]
fn hostile_contents() {
    let cases = [
        ("a link to /", "ln -s / all; ln -s / systemd2"),
        ("links in a circle", "ln -s a b; ln -s b a; ln -s . here"),
        ("5 000 entries", "for i in $(seq 5000); do : > file$i; done"),
        ("5 000 directories", "mkdir $(seq 5000)"),
        (
            "deep nesting",
            "d=.; for i in $(seq 200); do d=$d/d; mkdir $d; : > $d/f; done",
        ),
        ("a huge file", "truncate -s 1T huge; : > other"),
        (
            "what cannot be read",
            "mkdir -m 000 closed; : > file; chmod 000 file
            mkdir -m 111 blind; mkdir blind2; : > blind2/a; chmod 311 blind2",
        ),
        (
            "what cannot be written",
            "mkdir -m 555 fixed; mkdir odd; : > odd/a; chmod 444 odd/a; chmod 555 odd",
        ),
        (
            "long names",
            "for i in $(seq 9); do : > $(head -c 255 /dev/zero | tr '\\0' $i); done
            ln -s $(head -c 4000 /dev/zero | tr '\\0' x) long",
        ),
        (
            "odd names",
            ": > 'a\nb'; : > \"$(printf 'a\\377')\"; mkdir -- -rf",
        ),
        (
            "special modes",
            ": > a; chmod 7777 a; mkdir -m 7000 b; mkdir -m 1000 c",
        ),
        ("many FIFOs", "for i in $(seq 50); do mkfifo f$i; done"),
        (
            "the canary",
            "ln ../../canary/secret secret; ln -s ../../canary out",
        ),
        (
            "systemd is a directory that takes nothing",
            "mkdir -m 555 systemd",
        ),
    ];
    for (name, make) in cases {
        let Some(tree) = tree("hostile_contents", make) else {
            return;
        };
        let path = tree.root().join("run/socket");
        let _socket = UnixListener::bind(&path).expect("a socket");
        common::give(&path);
        let before = tree.listing();
        for options in [&[][..], &["--bind=src:/tmp"]] {
            let mut command = user("timeout");
            command.arg("30").arg(zroot()).args(["--root", "root"]);
            let script = format!("{RESOLVES} && test ! -e /run/out/secret");
            command.args(options).args(["--", "sh", "-c", &script]);
            let ran = run(command.current_dir(tree.place()));
            assert_eq!(ran.status, 0, "{name}: {ran:#?}");
            tree.as_before(&before);
        }
        let path = path.parent().expect("a directory");
        run(user("chmod").args(["-R", "u+rwx"]).arg(path));
    }
}

/// A bind's target there is made in the tree, and found in the copy.
#[test]
fn binds_below_run() {
    for make in [
        USUAL,
        "for i in $(seq 5000); do : > file$i; done",
        "mkdir $(seq 5000)",
    ] {
        let Some(tree) = tree("binds_below_run", make) else {
            return;
        };
        let before = tree.listing();
        let check = format!("grep -q source /run/job/file && test -x /run/tool && {RESOLVES}");
        let options = ["--bind=src:/run/job", "--bind=src/tool:/run/tool:ro"];
        run(&mut tree.inside(&options, &check)).succeeds();
        tree.as_before_but_for(&before, &["run/job/", "run/tool"]);
        let before = tree.listing();
        run(&mut tree.inside(&options, &check)).succeeds();
        tree.as_before(&before);
        // Over all of it.
        let check = "grep -q source /run/file && test ! -e /etc/resolv.conf";
        run(&mut tree.inside(&["--bind=src:/run"], check)).succeeds();
        tree.as_before(&before);
    }
}
