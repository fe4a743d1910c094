//! Nothing is left behind but empty places to mount on, however the command ends.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;

use super::{SYSTEM, children, start};
use crate::common::{SmallTree, filter_answering, run, under_filter, user, wait_for, zroot};

/// Trees, and what is made in them to mount on.
const MAKINGS: [(&str, &[&str]); 6] = [
    ("", &SYSTEM),
    (
        "mkdir root/proc root/sys root/dev; echo nameserver 192.0.2.1 > root/etc/resolv.conf",
        &[],
    ),
    (
        "mkdir root/proc root/sys root/dev; : > root/etc/resolv.conf; : > root/etc/hosts; touch -d 2001-02-03 root/etc/*",
        &[],
    ),
    ("rmdir root/etc; chmod 311 root", &SYSTEM),
    (
        "mkdir root/proc; ln -s ../run/resolv.conf root/etc/resolv.conf; chmod 2755 root",
        &["sys/", "dev/"],
    ),
    (
        "mkdir root/run; ln -s ../run/resolv.conf root/etc/resolv.conf",
        &SYSTEM,
    ),
];

const BIND_ALL: [&str; 3] = [
    "--bind=src:/job/deep/below",
    "--bind=src/file:/job/file:ro",
    "--bind=src",
];

#[test]
fn nothing_is_left_however_the_command_ends() {
    let ends = [
        ("exit 0", 0),
        ("exit 1", 1),
        ("kill -9 $$", 128 + libc::SIGKILL),
        ("kill -11 $$", 128 + libc::SIGSEGV),
        ("exec no-such-command", 127),
        ("umount -l /proc; umount -l /dev; umount -l /sys; exit 0", 0),
        ("mount -t tmpfs none /tmp; touch /tmp/a", 0),
        ("unshare -m sh -c 'exit 3'", 3),
        ("(sleep 0.01; ls /proc/self > /dev/null) & exit 4", 4),
        ("trap '' HUP TERM INT; kill -TERM 0; exit 0", 0),
    ];
    for (make, system) in MAKINGS {
        let Some(tree) = SmallTree::new("nothing_is_left_however_the_command_ends") else {
            return;
        };
        tree.prepare(make);
        let same_place = format!("{}/src/", tree.place().display());
        let binds = [
            "job/deep/below/",
            "job/file",
            same_place.trim_start_matches('/'),
        ];
        let mut before = tree.listing();
        for (options, mut made) in [(&[][..], system), (&BIND_ALL, &binds[..])] {
            for (script, status) in ends {
                let mut command = tree.inside(options, script);
                let ran = run(command.process_group(0));
                assert_eq!(ran.status, status, "{make}: {ran:#?}");
                tree.as_before_but_for(&before, made);
                (before, made) = (tree.listing(), &[]);
            }
        }
    }
}

/// Where nothing is lent, zroot becomes the command, and no process stays beside it.
#[test]
fn zroot_becomes_the_command_where_nothing_is_lent() {
    let name = "zroot_becomes_the_command_where_nothing_is_lent";
    let hosts = "echo 127.0.0.1 localhost > root/etc/hosts";
    let resolv_conf = "echo nameserver 192.0.2.1 > root/etc/resolv.conf";
    let own = format!("{hosts}; {resolv_conf}");
    // An /etc that has nothing is the host's then.
    let without = r#"mount -t tmpfs none /etc; exec "$0" "$@""#;
    for (make, is_lent_by_host, is_lent) in [
        (&own[..], true, false),
        (
            &format!("{hosts}; mkdir root/run; ln -s /run/resolv.conf root/etc/resolv.conf"),
            true,
            false,
        ),
        ("rmdir root/etc", true, false),
        ("", false, false),
        (": > root/etc/resolv.conf; : > root/etc/hosts", false, false),
        // The controls.
        ("", true, true),
        (": > root/etc/resolv.conf", true, true),
        (&format!("{resolv_conf}; : > root/etc/hosts"), true, true),
        (resolv_conf, true, true),
        (hosts, true, true),
    ] {
        let Some(tree) = SmallTree::new(name) else {
            return;
        };
        tree.prepare(make);
        let before = tree.listing();
        let mut command = if is_lent_by_host {
            user(zroot())
        } else {
            let mut command = user("unshare");
            command.args(["-rm", "sh", "-ec", without]).arg(zroot());
            command
        };
        command
            .args(["--root", "root", "--", "sh", "-c", "echo $$; read line; :"])
            .current_dir(tree.place());
        let (mut child, said) = start(&mut command);
        let is_command = said == child.id().to_string();
        assert_eq!(is_command, !is_lent, "{make}: {said}");
        if is_lent {
            // It takes its name when it has let go of all else.
            let names = || {
                children(child.id())
                    .into_iter()
                    .map(|(_, name)| name)
                    .collect()
            };
            wait_for("the command and a stand-in", || {
                let mut names: Vec<String> = names();
                names.sort();
                (names == ["sh", "zroot-stand-in"]).then_some(())
            });
        } else {
            assert_eq!(children(child.id()), [], "{make}");
        }
        drop(child.stdin.take());
        assert!(child.wait().expect("zroot's end").success(), "{make}");
        tree.as_before_but_for(&before, &SYSTEM);
    }
}

/// Those who wait for all children would wait for it.
#[test]
fn the_command_has_no_children() {
    let Some(tree) = SmallTree::new("the_command_has_no_children") else {
        return;
    };
    for make in [
        ":",
        ": > root/etc/resolv.conf",
        "echo a > root/etc/resolv.conf",
    ] {
        tree.prepare(make);
        let (mut child, said) = start(&mut tree.inside(&[], "echo $$; read line; :"));
        let own = children(said.parse().expect("a number"));
        assert!(own.is_empty(), "{make}: {own:?}");
        drop(child.stdin.take());
        assert!(child.wait().expect("zroot's end").success());
    }
}

#[test]
fn nothing_is_left_when_namespaces_are_refused() {
    let Some(tree) = SmallTree::new("nothing_is_left_when_namespaces_are_refused") else {
        return;
    };
    let mut before = tree.listing();
    let mut made = [&SYSTEM[..], &["job/"]].concat();
    let as_1000 = [
        "--user",
        "--map-user=1000",
        "--map-group=1000",
        "--keep-caps",
    ];
    for (limit, part) in [
        ("user", "cannot make a user namespace"),
        ("mnt", "cannot make a mount namespace"),
    ] {
        let script = format!(
            r#"echo 0 > /proc/sys/user/max_{limit}_namespaces && exec "$0" --root root --bind src:/job echo ran"#
        );
        let ran = run(user("unshare")
            .args(as_1000)
            .args(["--", "sh", "-c", &script])
            .arg(zroot())
            .current_dir(tree.place()));
        let (what, _) = ran.refused(125);
        assert!(what.starts_with(part), "{what}");
        tree.as_before_but_for(&before, &made);
        (before, made) = (tree.listing(), Vec::new());
    }
    // The filter comes last.
    let filter = filter_answering(
        libc::SYS_seccomp,
        libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs(),
    );
    let (what, _) = run(under_filter(
        &mut tree.inside(&BIND_ALL, "echo ran"),
        filter,
    ))
    .refused(125);
    assert!(what.starts_with("cannot install the filter"), "{what}");
    let place = format!("{}/src/", tree.place().display());
    let made = ["job/deep/below/", "job/file", place.trim_start_matches('/')];
    tree.as_before_but_for(&before, &made);
}

#[test]
fn nothing_is_left_when_descriptors_run_out() {
    let Some(tree) = SmallTree::new("nothing_is_left_when_descriptors_run_out") else {
        return;
    };
    tree.prepare("touch -r root time");
    let before = tree.listing();
    let mut ran_once = false;
    for limit in 3..50 {
        let script =
            format!(r#"ulimit -n {limit}; exec "$0" --root root --bind src:/job/a/b true"#);
        let ran = run(user("sh")
            .args(["-c", &script])
            .arg(zroot())
            .current_dir(tree.place()));
        let status = ran.status;
        ran_once |= status == 0;
        if status != 0 {
            ran.refused(125);
        }
        // Some of it had been made, or all.
        let mut made = [&SYSTEM[..], &["job/a/b/"]].concat();
        made.retain(|name| tree.root().join(name).exists());
        assert!(status != 0 || made.len() == 4, "{made:?}");
        if made.is_empty() {
            tree.as_before_but_for_time_of("", &before);
        } else {
            tree.as_before_but_for(&before, &made);
        }
        tree.prepare("cd root; rmdir -p $(ls -d proc sys dev job/a/b 2> /dev/null) 2> /dev/null || :; touch -r ../time .");
    }
    assert!(ran_once);
}

/// Callers that differ from a shell: closed standard descriptors, ignored SIGCHLD, a strict umask.
#[test]
fn callers_of_other_kinds() {
    let Some(tree) = SmallTree::new("callers_of_other_kinds") else {
        return;
    };
    tree.prepare("touch -r root time");
    let before = tree.listing();
    let kinds = [
        "exec <&-",
        "exec >&-",
        "exec <&- >&- 2>&-",
        "exec <&- >&-; exec 3>&- 4>&-",
        "trap '' CHLD",
        "umask 077",
        "umask 000",
        "trap '' HUP INT TERM PIPE",
        "exec 0<&- 1>&- 2>&- 3>&- 4>&- 5>&- 6>&-",
    ];
    for kind in kinds {
        let script = format!(
            r#"{kind}; exec "$0" --root root --bind src:/job sh -c 'test -f /job/file && test -s /etc/resolv.conf && test -e /proc/self'"#
        );
        run(user("sh")
            .args(["-c", &script])
            .arg(zroot())
            .current_dir(tree.place()))
        .succeeds();
        tree.as_before_but_for(&before, &[&SYSTEM[..], &["job/"]].concat());
        let mode = |name: &str| tree.root().join(name).metadata().expect(name).mode() & 0o777;
        let expected = if kind == "umask 077" { 0o700 } else { 0o755 };
        for name in ["proc", "sys", "dev", "job"] {
            assert_eq!(mode(name), expected, "{kind}: {name}");
        }
        tree.prepare("cd root; rmdir proc sys dev job; touch -r ../time .");
    }
}

/// The places to mount on were taken away from under the second when the first one ended.
#[test]
fn two_zroots_in_one_directory() {
    let Some(tree) = SmallTree::new("two_zroots_in_one_directory") else {
        return;
    };
    let before = tree.listing();
    let script = "echo; read line; test -e /proc/self && test -e /dev/null && test -s /etc/resolv.conf && test -f /job/file && exit 42";
    let begin = || start(&mut tree.inside(&["--bind=src:/job"], script)).0;
    let end = |mut child: std::process::Child| {
        drop(child.stdin.take());
        child.wait().expect("zroot's end").code()
    };
    let (first, second, third) = (begin(), begin(), begin());
    assert_eq!(end(first), Some(42));
    assert_eq!(end(third), Some(42));
    assert_eq!(end(second), Some(42));
    tree.as_before_but_for(&before, &[&SYSTEM[..], &["job/"]].concat());
}

/// One after the other, each finds what those before it have made. Side by side, each makes what
/// the others need.
#[test]
fn many_zroots_in_one_directory() {
    let Some(tree) = SmallTree::new("many_zroots_in_one_directory") else {
        return;
    };
    let before = tree.listing();
    let check = "test -e /proc/self && test -e /dev/null && test -d /sys/kernel && test -s /etc/resolv.conf && test -f $0/file";
    let once = |target: &str| {
        let options = [
            "--root",
            "root",
            &format!("--bind=src:{target}"),
            "sh",
            "-c",
            check,
            target,
        ];
        run(&mut tree.zroot(options)).succeeds();
    };
    for target in ["/job", "/job/deep", "/job/deep/er/still", "/job"]
        .iter()
        .cycle()
        .take(40)
    {
        once(target);
    }
    let made = [&SYSTEM[..], &["job/deep/er/still/"]].concat();
    tree.as_before_but_for(&before, &made);
    let before = tree.listing();
    std::thread::scope(|scope| {
        for targets in [
            ["/job/a", "/job"],
            ["/job/a/b", "/other"],
            ["/job/c", "/job/a/b/c"],
            ["/tmp/x", "/job/a"],
        ] {
            scope.spawn(move || {
                targets
                    .iter()
                    .cycle()
                    .take(20)
                    .for_each(|target| once(target));
            });
        }
    });
    let made = ["job/a/b/c/", "job/c/", "other/", "tmp/x/"];
    tree.as_before_but_for(&before, &made);
}

/// A process in a copy of the mount namespace goes on with /proc when the command has ended. What
/// was lent has been taken back: it was for the command.
#[test]
fn a_process_in_a_nested_mount_namespace() {
    let Some(tree) = SmallTree::new("a_process_in_a_nested_mount_namespace") else {
        return;
    };
    let before = tree.listing();
    // Ends when its standard input does, which is after the command.
    let nested = "unshare -m sh -c 'read line; test -e /proc/self && test ! -e /etc/resolv.conf && echo fine'";
    let script = format!(
        "exec 3<&0; {nested} <&3 & until [ \"$(readlink /proc/$!/ns/mnt)\" != \"$(readlink /proc/self/ns/mnt)\" ]; do :; done; exec 3<&-; echo $$"
    );
    let (mut child, _) = start(&mut tree.inside(&[], &script));
    let stdin = child.stdin.take();
    assert!(child.wait().expect("zroot's end").success());
    tree.as_before_but_for(&before, &SYSTEM);
    drop(stdin);
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().expect("a pipe"), &mut said)
        .expect("its output");
    assert_eq!(said, "fine\n");
}

/// What the command makes in a place to mount on, or of it, is the command's and stays.
#[test]
fn what_the_command_makes_stays() {
    let cases = [
        (
            "mkdir /var /var/lib; echo a > /var/lib/a",
            "grep -q a root/var/lib/a; rm -r root/var",
            &["job/"][..],
        ),
        (
            "umount -l /job; echo a > /job/a",
            "grep -q a root/job/a; rm root/job/a",
            &["job/"],
        ),
        (
            "echo a > /job/a",
            "grep -q a src/a; rm src/a; touch -r src.time src",
            &["job/"],
        ),
        (
            "umount -l /sys && rmdir /sys && mkdir -m 700 /sys",
            "test \"$(stat -c %a root/sys)\" = 700",
            &["job/"],
        ),
        ("umount -l /job && rmdir /job", "test ! -e root/job", &[]),
    ];
    for (script, check, made) in cases {
        let Some(tree) = SmallTree::new("what_the_command_makes_stays") else {
            return;
        };
        tree.prepare("touch -r src src.time");
        let before = tree.listing();
        run(&mut tree.inside(&["--bind=src:/job"], script)).succeeds();
        tree.prepare(check);
        tree.as_before_but_for(&before, &[&SYSTEM[..], made].concat());
    }
}
