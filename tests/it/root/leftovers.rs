//! Nothing is left behind, however the command ends.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::{tidied, tidying};
use crate::common::{SmallTree, filter_answering, run, under_filter, user, wait_for, zroot};

const MAKINGS: [&str; 5] = [
    "",
    "mkdir root/proc root/sys root/dev; echo nameserver 192.0.2.1 > root/etc/resolv.conf",
    "mkdir root/proc root/sys root/dev; : > root/etc/resolv.conf; : > root/etc/hosts; touch -d 2001-02-03 root/etc/*",
    "rmdir root/etc; chmod 311 root",
    "mkdir root/proc; ln -s ../run/resolv.conf root/etc/resolv.conf; chmod 2755 root",
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
    for make in MAKINGS {
        let Some(tree) = SmallTree::new("nothing_is_left_however_the_command_ends") else {
            return;
        };
        tree.prepare(make);
        let before = tree.listing();
        for (script, status) in ends {
            for options in [&[][..], &BIND_ALL] {
                let mut command = tree.inside(options, script);
                std::os::unix::process::CommandExt::process_group(&mut command, 0);
                let ran = run(&mut command);
                assert_eq!(ran.status, status, "{make}: {ran:#?}");
                tree.settles(&before);
            }
        }
        tidied(&tree);
    }
}

/// No process is needed where all exists.
#[test]
fn no_process_where_nothing_was_made() {
    let Some(tree) = SmallTree::new("no_process_where_nothing_was_made") else {
        return;
    };
    tree.prepare("mkdir root/proc root/sys root/dev root/job; echo nameserver 192.0.2.1 > root/etc/resolv.conf");
    let mut child = tree
        .inside(&["--bind=src:/job"], "echo; read line")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("zroot");
    std::io::Read::read_exact(child.stdout.as_mut().expect("a pipe"), &mut [0]).expect("a line");
    assert_eq!(tidying(&tree), [""; 0].map(PathBuf::from));
    drop(child.stdin.take());
    child.wait().expect("zroot's end");
}

/// The process that tidies up is nobody's child, has no descriptor, terminal or directory of the
/// caller's, and waits for the last process.
#[test]
fn the_process_that_tidies_up() {
    let Some(tree) = SmallTree::new("the_process_that_tidies_up") else {
        return;
    };
    let before = tree.listing();
    // The pipe ends with the command, although a process stays behind.
    let mut keep = tree.inside(
        &["--bind=src:/job"],
        "sleep 1000 > /dev/null 2>&1 < /dev/null & echo $! $$",
    );
    let ran = run(keep.stdin(Stdio::piped())).succeeds();
    let (behind, command) = ran.stdout.trim().split_once(' ').expect("two ids");
    // It takes its name when it has let go of all else.
    let tidy = wait_for("one process that tidies up", || match &tidying(&tree)[..] {
        [tidy] => Some(tidy.clone()),
        _ => None,
    });
    let tidy = tidy.as_path();
    assert!(
        tree.root().join("proc").is_dir()
            && tree.root().join("job").is_dir()
            && tree.root().join("etc/resolv.conf").is_file()
    );

    let stat = fs::read_to_string(tidy.join("stat")).expect("stat");
    let fields: Vec<&str> = stat
        .rsplit(") ")
        .next()
        .expect("fields")
        .split(' ')
        .collect();
    let pid = tidy.file_name().and_then(OsStr::to_str).expect("an id");
    let (parent, session, terminal) = (fields[1], fields[3], fields[4]);
    assert!(parent != command && terminal == "0", "{stat}");
    // Neither the command's session and process group nor one that it could get a terminal in.
    let own = nix::unistd::getsid(None).expect("getsid").to_string();
    assert!(
        session != own && session != command && session != pid && fields[2] == session,
        "{stat}"
    );
    assert_eq!(
        fs::read_link(tidy.join("cwd")).expect("cwd"),
        Path::new("/")
    );
    assert_eq!(
        fs::read_link(tidy.join("root")).expect("root"),
        Path::new("/")
    );
    for namespace in ["mnt", "user"] {
        let of = |process: &Path| {
            fs::read_link(process.join("ns").join(namespace)).expect("a namespace")
        };
        assert_eq!(of(tidy), of(Path::new("/proc/self")));
    }
    let fds = fs::read_dir(tidy.join("fd"))
        .expect("fd")
        .flatten()
        .map(|fd| fs::read_link(fd.path()).expect("a descriptor"));
    for fd in fds {
        let known = fd.starts_with(tree.root())
            || fd == Path::new("/dev/null")
            || fd == Path::new("anon_inode:inotify");
        assert!(known, "{fd:?}");
    }
    run(user("kill").arg(behind)).succeeds();
    tree.settles(&before);
    tidied(&tree);
}

/// Those who wait for all children would wait for it.
#[test]
fn the_command_has_no_children() {
    let Some(tree) = SmallTree::new("the_command_has_no_children") else {
        return;
    };
    let script = r#"for status in /proc/[0-9]*/status; do
            { grep -q "^Name:.zroot-tidy$" $status && grep "^PPid:.$$\$" $status; } 2> /dev/null
        done; cat /proc/$$/task/$$/children 2> /dev/null; echo end"#;
    let out = run(&mut tree.inside(&[], script)).succeeds().stdout;
    // The one that cat itself is in the second list.
    assert!(!out.contains("PPid"), "{out}");
    assert!(out.split_whitespace().count() <= 2, "{out}");
}

#[test]
fn nothing_is_left_when_namespaces_are_refused() {
    let Some(tree) = SmallTree::new("nothing_is_left_when_namespaces_are_refused") else {
        return;
    };
    let before = tree.listing();
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
        tree.settles(&before);
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
    tree.settles(&before);
    tidied(&tree);
}

#[test]
fn nothing_is_left_when_descriptors_run_out() {
    let Some(tree) = SmallTree::new("nothing_is_left_when_descriptors_run_out") else {
        return;
    };
    let before = tree.listing();
    let mut ran_once = false;
    for limit in 3..50 {
        let script =
            format!(r#"ulimit -n {limit}; exec "$0" --root root --bind src:/job/a/b true"#);
        let ran = run(user("sh")
            .args(["-c", &script])
            .arg(zroot())
            .current_dir(tree.place()));
        ran_once |= ran.status == 0;
        if ran.status != 0 {
            ran.refused(125);
        }
        tree.settles(&before);
    }
    assert!(ran_once);
    tidied(&tree);
}

/// Callers that differ from a shell: closed standard descriptors, ignored SIGCHLD, a strict umask.
#[test]
fn callers_of_other_kinds() {
    let Some(tree) = SmallTree::new("callers_of_other_kinds") else {
        return;
    };
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
        tree.settles(&before);
    }
    tidied(&tree);
}

/// What the first one made was taken away from under the second when the first one ended.
#[test]
fn two_zroots_in_one_directory() {
    let Some(tree) = SmallTree::new("two_zroots_in_one_directory") else {
        return;
    };
    let before = tree.listing();
    let start = || {
        let script = "echo; read line; test -e /proc/self && test -e /dev/null && test -s /etc/resolv.conf && test -f /job/file && exit 42";
        let mut child = tree
            .inside(&["--bind=src:/job"], script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("zroot");
        std::io::Read::read_exact(child.stdout.as_mut().expect("a pipe"), &mut [0])
            .expect("a line");
        child
    };
    let end = |mut child: std::process::Child| {
        drop(child.stdin.take());
        child.wait().expect("zroot's end").code()
    };
    let (first, second, third) = (start(), start(), start());
    assert_eq!(end(first), Some(42));
    assert_eq!(end(second), Some(42));
    assert_eq!(end(third), Some(42));
    tree.settles(&before);
    tidied(&tree);
}

/// One after the other: the second found what the first had made, and lost it at once. Side by
/// side: each makes what the others need.
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
    let times_aside = |path: &Path| path.ends_with("root");
    tree.settles_but_for(&before, times_aside);
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
    // Each of them had what it needs.
    tidied(&tree);
}

/// A process in a copy of the mount namespace lost /proc when the command ended.
#[test]
fn a_process_in_a_nested_mount_namespace() {
    let Some(tree) = SmallTree::new("a_process_in_a_nested_mount_namespace") else {
        return;
    };
    let before = tree.listing();
    // Ends when its standard input does, which is after the command.
    let nested =
        "unshare -m sh -c 'read line; test -e /proc/self && test -s /etc/resolv.conf && echo fine'";
    let script = format!(
        "exec 3<&0; {nested} <&3 & until [ \"$(readlink /proc/$!/ns/mnt)\" != \"$(readlink /proc/self/ns/mnt)\" ]; do :; done; exec 3<&-; echo $$"
    );
    let mut child = tree
        .inside(&[], &script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("zroot");
    let stdin = child.stdin.take();
    assert!(child.wait().expect("zroot's end").success());
    assert_eq!(tidying(&tree).len(), 1);
    drop(stdin);
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().expect("a pipe"), &mut said)
        .expect("its output");
    assert!(said.ends_with("\nfine\n"), "{said}");
    tree.settles(&before);
    tidied(&tree);
}

/// What the command has changed is the command's and stays.
#[test]
fn what_the_command_changes_stays() {
    let cases = [
        (
            "echo mine > /new; mv /new /etc/resolv.conf",
            "test \"$(cat root/etc/resolv.conf)\" = mine; test ! -e root/proc",
        ),
        (
            "echo more >> /etc/resolv.conf",
            "tail -1 root/etc/resolv.conf | grep -q more; test ! -e root/proc",
        ),
        (
            "rm /etc/resolv.conf",
            "test ! -e root/etc/resolv.conf; test ! -e root/proc",
        ),
        (
            "rm /etc/resolv.conf; ln -s ../run/x /etc/resolv.conf",
            "test -L root/etc/resolv.conf; test ! -e root/proc",
        ),
        (
            "mkdir /var /var/lib; echo a > /var/lib/a",
            "test -f root/var/lib/a; test ! -e root/proc",
        ),
        (
            "umount -l /job; echo a > /job/a",
            "test -f root/job/a; test ! -e root/proc",
        ),
        (
            "echo a > /job/a",
            "test -f src/a; test ! -e root/job; test ! -e root/proc",
        ),
        (
            "umount -l /sys && rmdir /sys && mkdir /sys",
            "test ! -e root/proc",
        ),
    ];
    for make in ["", ": > root/etc/resolv.conf"] {
        for (script, check) in cases {
            let Some(tree) = SmallTree::new("what_the_command_changes_stays") else {
                return;
            };
            tree.prepare(make);
            run(&mut tree.inside(&["--bind=src:/job"], script)).succeeds();
            tidied(&tree);
            tree.prepare(check);
        }
    }
}
