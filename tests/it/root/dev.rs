//! `--dev=private`: a /dev in which nodes can be removed and made.

use std::fs;

use crate::common::{SmallTree, run, user, zroot, zroot_with};

/// As the RUN steps of Dockerfiles have it. What they make is looked at.
const STEPS: [&str; 3] = [
    "rm /dev/random && mknod -m 644 /dev/random c 1 9 && stat -c %a /dev/random",
    "mkdir -p /dev/net && mknod /dev/net/tun c 10 200 && chmod 600 /dev/net/tun && stat -c %a /dev/net/tun",
    "mknod -m 0660 /dev/loop99 b 7 99 && stat -c %a /dev/loop99",
];

#[test]
fn nodes_are_removed_and_made() {
    let Some(tree) = SmallTree::new("nodes_are_removed_and_made") else {
        return;
    };
    for level in ["selective", "full"] {
        for (step, mode) in STEPS.into_iter().zip(["644", "600", "660"]) {
            let script = format!("set -e; {step}");
            let options = ["-c", level, "--dev=private"];
            let ran = run(&mut tree.inside(&options, &script)).succeeds();
            assert_eq!(ran.stdout, format!("{mode}\n"), "{level}");
            // The control: the host's own takes nothing from a user.
            let ran = run(&mut tree.inside(&["-c", level, "--dev=host"], &script));
            assert_ne!(ran.status, 0, "{ran:#?}");
        }
    }
    let ran = run(&mut tree.inside(
        &["-c", "full", "--dev=private"],
        "mknod /dev/a c 10 200 && chown 5:6 /dev/a && stat -c '%F %t:%T %u:%g' /dev/a",
    ));
    assert_eq!(ran.succeeds().stdout, "character special file a:c8 5:6\n");
}

#[test]
fn devices_work_as_the_hosts() {
    let Some(tree) = SmallTree::new("devices_work_as_the_hosts") else {
        return;
    };
    let script = r#"set -e
        for of in null=1:3 zero=1:5 full=1:7 random=1:8 urandom=1:9 tty=5:0 ptmx=5:2; do
            test "$(stat -L -c %t:%T /dev/${of%=*})" = "${of#*=}"; test -c /dev/${of%=*}
        done
        echo x > /dev/null; test -z "$(cat /dev/null)"; head -c 3 /dev/zero | od -An -tx1
        ! echo x 2> /dev/null > /dev/full; head -c 9 /dev/urandom | wc -c
        { echo to fd > /dev/fd/1; echo in | cat /dev/stdin; echo out > /dev/stdout; } | cat; { echo err > /dev/stderr; } 2>&1 | cat
        test "$(stat -c %a /dev/shm)" = 1777; echo x > /dev/shm/zroot-test; test -d /dev/pts"#;
    for level in ["zero", "selective", "full"] {
        let ran = run(&mut tree.inside(&["-c", level, "--dev=private"], script)).succeeds();
        let said = " 00 00 00\n9\nto fd\nin\nout\nerr\n";
        assert_eq!((&ran.stdout[..], &ran.stderr[..]), (said, ""), "{level}");
    }
    assert!(!fs::exists("/dev/shm/zroot-test").expect("a look"));
}

/// Terminals: the caller's has its name, and there are new ones.
#[test]
fn terminals_have_names() {
    need!("terminals_have_names", "script");
    let Some(tree) = SmallTree::new("terminals_have_names") else {
        return;
    };
    let on_terminal = |dev: &str| {
        let inside = format!(
            "{} --dev={dev} --root root sh -c 'tty; tty < /dev/tty > /dev/null && echo opened'",
            zroot().display()
        );
        let mut command = user("script");
        command.args(["-qec", &inside, "/dev/null"]);
        run(command.current_dir(tree.place())).succeeds().stdout
    };
    for dev in ["host", "private"] {
        let said = on_terminal(dev);
        assert!(
            said.contains("/dev/pts/") && said.contains("opened"),
            "{dev}: {said}"
        );
    }
    let pair = "exec 3<> /dev/ptmx; ls -l /proc/self/fd/3";
    let ran = run(&mut tree.inside(&["--dev=private"], pair)).succeeds();
    assert!(ran.stdout.contains("ptmx"), "{ran:#?}");
}

/// Whatever is removed there, neither the host's nor the tree's goes.
#[test]
fn the_hosts_stays_whole() {
    let Some(tree) = SmallTree::new("the_hosts_stays_whole") else {
        return;
    };
    let shared = format!("/dev/shm/zroot-test-{}", std::process::id());
    fs::write(&shared, "").expect("written");
    crate::common::give(shared.as_ref());
    tree.prepare("mkdir root/dev; : > root/dev/own");
    let before = tree.listing();
    let names = || {
        let entries = fs::read_dir("/dev").expect("/dev").flatten();
        entries
            .map(|entry| entry.file_name())
            .collect::<std::collections::BTreeSet<_>>()
    };
    let host = names();
    for script in [
        "rm -rf /dev/*; ls -A /dev",
        "find /dev -mindepth 1 -delete; ls -A /dev",
        "rm -rf /dev/.host /dev/.host/shm/*; ls -A /dev/.host/shm",
    ] {
        let script = format!("{{ {script}; }} 2> /dev/null; :");
        run(&mut tree.inside(&["--dev=private"], &script)).succeeds();
        assert!(fs::exists(&shared).expect("a look"), "{script}");
        assert!(host.is_subset(&names()), "{script}");
        tree.as_before_but_for(&before, &["proc/", "sys/"]);
    }
    // The control.
    run(&mut tree.inside(&["--dev=host"], &format!("rm {shared}"))).succeeds();
    assert!(!fs::exists(&shared).expect("a look"));
}

#[test]
fn places_that_are_no_directory_are_refused() {
    for (make, says) in [
        ("ln -s $0/canary root/dev", "'root/dev' is not a directory"),
        ("ln -s /dev root/dev", "'root/dev' is not a directory"),
        (": > root/dev", "'root/dev' is not a directory"),
        ("chmod 555 root", "/dev"),
    ] {
        let Some(tree) = SmallTree::new("places_that_are_no_directory_are_refused") else {
            return;
        };
        tree.prepare(make);
        let before = tree.listing();
        let (what, _) = run(&mut tree.inside(&["--dev=private"], "echo ran")).refused(125);
        assert!(what.contains(says), "{what}");
        tree.as_before(&before);
    }
    let (what, _) = run(&mut zroot_with(["--dev=private", "true"])).refused(125);
    assert_eq!(what, "--dev=private needs --root");
}

/// What `--bind` mounts there is there.
#[test]
fn binds_of_devices() {
    let Some(tree) = SmallTree::new("binds_of_devices") else {
        return;
    };
    let options = [
        "--dev=private",
        "--bind=/dev/zero:/dev/mine/zero",
        "--bind=src:/dev/src",
    ];
    let ran = run(&mut tree.inside(
        &options,
        "head -c 1 /dev/mine/zero | od -An -tx1; cat /dev/src/file",
    ));
    assert_eq!(ran.succeeds().stdout, " 00\nsource\n");
    // And of the host's own root directory.
    let ran = run(&mut zroot_with([
        "--root",
        "/",
        "--dev=private",
        "sh",
        "-c",
        "rm /dev/zero; test ! -e /dev/zero",
    ]));
    ran.succeeds();
    assert!(fs::exists("/dev/zero").expect("a look"));
}
