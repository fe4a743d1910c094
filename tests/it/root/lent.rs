//! The host's resolv.conf and hosts, lent to a tree that lacks them, and taken back.

use std::fs;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use zroot::internals::filter::asm::{Assembler, Cond};

use super::{SYSTEM, children, in_namespaces, start};
use crate::common::{
    self, SmallTree, filter_answering, plain, run, uid, under_filter, user, wait_for, zroot,
};

const MISSING: &str = ":";
const EMPTY: &str = ": > root/etc/resolv.conf; touch -d 2001-02-03 root/etc/resolv.conf root/etc";
const IN_RUN: &str =
    "mkdir root/run; ln -s ../run/resolv.conf root/etc/resolv.conf; touch -d 2001-02-03 root/etc";

/// A tree with that, and with what is to be mounted on.
fn tree(test: &str, make: &str) -> Option<SmallTree> {
    let tree = SmallTree::new(test)?;
    tree.prepare(&format!("mkdir root/proc root/sys root/dev; {make}"));
    Some(tree)
}

/// Whoever packs the tree at once has what it was.
#[test]
fn right_after_the_end_all_is_as_before() {
    const PACK: &str = r#"
        pack() { tar -cf - --format=posix --sort=name root | tar -tvf - --full-time; }
        pack > before
        for i in $(seq 30); do "$0" --root root true; pack | cmp - before; done"#;
    for make in [
        MISSING,
        EMPTY,
        IN_RUN,
        ": > root/etc/hosts",
        "echo 127.0.0.1 localhost > root/etc/resolv.conf",
    ] {
        let Some(tree) = tree("right_after_the_end_all_is_as_before", make) else {
            return;
        };
        run(user("sh")
            .args(["-ec", PACK])
            .arg(zroot())
            .current_dir(tree.place()))
        .succeeds();
    }
}

/// What the command finds, and what is said of it outside.
#[test]
fn what_is_lent_says_so() {
    let Some(tree) = tree("what_is_lent_says_so", "touch root/etc/hosts") else {
        return;
    };
    for (name, fate) in [("resolv.conf", "removed"), ("hosts", "emptied")] {
        let script = format!("test $(stat -c %a /etc/{name}) = 644; cat /etc/{name}");
        let said = run(&mut tree.inside(&[], &script)).succeeds().stdout;
        let (mark, body) = said.split_once('\n').expect("lines");
        let begins =
            format!("# Lent by zroot while it runs a command here, and {fate} after that (");
        assert!(mark.starts_with(&begins), "{mark}");
        let own = fs::read_to_string(Path::new("/etc").join(name)).expect(name);
        assert_eq!(body, own);
    }
}

/// A zroot beside a command that has lent it something, and what runs there.
struct Beside {
    zroot: Child,
    /// The command ends with it.
    stdin: Option<ChildStdin>,
    command: u32,
    stand_in: u32,
}

impl Beside {
    fn start(tree: &SmallTree) -> Beside {
        let (mut zroot, said) = start(&mut tree.inside(&[], "echo $$; read line; exit 42"));
        let stand_in = wait_for("a stand-in", || {
            let is_it = |(pid, name): (u32, String)| (name == "zroot-stand-in").then_some(pid);
            children(zroot.id()).into_iter().find_map(is_it)
        });
        Beside {
            stdin: zroot.stdin.take(),
            zroot,
            command: said.parse().expect("a number"),
            stand_in,
        }
    }
}

fn send(signal: Signal, to: u32) {
    kill(Pid::from_raw(to.try_into().expect("a pid")), signal).expect("kill");
}

/// Waits until a process that is nobody's child here has ended.
#[track_caller]
fn ended(what: &str, process: u32) {
    wait_for(&format!("the end of {what}"), || {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let state = stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes()[0]);
        matches!(state, None | Some(b'Z' | b'X')).then_some(())
    });
}

#[test]
fn a_zroot_that_is_killed() {
    for make in [MISSING, EMPTY, "touch root/etc/hosts"] {
        let Some(tree) = tree("a_zroot_that_is_killed", make) else {
            return;
        };
        let before = tree.listing();
        // More than once: what the kernel does first at the end of a process is a matter of luck.
        for _ in 0..20 {
            let mut beside = Beside::start(&tree);
            send(Signal::SIGKILL, beside.zroot.id());
            let end = beside.zroot.wait().expect("zroot's end");
            assert_eq!(end.signal(), Some(libc::SIGKILL));
            ended("the command", beside.command);
            ended("the stand-in", beside.stand_in);
            tree.as_before(&before);
            drop(beside.stdin);
        }
    }
}

#[test]
fn a_stand_in_that_is_killed() {
    for make in [MISSING, EMPTY, "touch root/etc/hosts"] {
        let Some(tree) = tree("a_stand_in_that_is_killed", make) else {
            return;
        };
        let before = tree.listing();
        let mut beside = Beside::start(&tree);
        send(Signal::SIGKILL, beside.stand_in);
        ended("the stand-in", beside.stand_in);
        drop(beside.stdin);
        let end = beside.zroot.wait().expect("zroot's end");
        assert_eq!(end.code(), Some(42));
        tree.as_before(&before);
    }
}

/// What nobody could take back is known to the next one.
#[test]
fn a_zroot_and_its_stand_in_that_are_killed() {
    for make in [MISSING, EMPTY] {
        let Some(tree) = tree("a_zroot_and_its_stand_in_that_are_killed", make) else {
            return;
        };
        let before = tree.listing();
        let mut beside = Beside::start(&tree);
        send(Signal::SIGKILL, beside.stand_in);
        ended("the stand-in", beside.stand_in);
        send(Signal::SIGKILL, beside.zroot.id());
        beside.zroot.wait().expect("zroot's end");
        ended("the command", beside.command);
        let file = tree.root().join("etc/resolv.conf");
        let lent = fs::read_to_string(&file).expect("a file");
        assert!(lent.starts_with("# Lent by zroot "), "{lent}");
        let found = run(&mut tree.inside(&[], "cat /etc/resolv.conf")).succeeds();
        assert_eq!(found.stdout, lent);
        tree.as_before(&before);
    }
}

#[test]
fn signals_are_passed_on() {
    for make in [MISSING, EMPTY] {
        let Some(tree) = tree("signals_are_passed_on", make) else {
            return;
        };
        let before = tree.listing();
        for signal in [
            Signal::SIGINT,
            Signal::SIGTERM,
            Signal::SIGHUP,
            Signal::SIGUSR1,
        ] {
            // Whoever runs the tests may ignore some.
            let inside = |script: &str| {
                let mut command = user("env");
                command.arg("--default-signal").arg(zroot());
                command.args(["--root", "root", "--", "sh", "-c", script]);
                command.current_dir(tree.place());
                start(&mut command).0
            };
            let mut child = inside("echo; read line; exit 1");
            let stdin = child.stdin.take();
            send(signal, child.id());
            let end = child.wait().expect("zroot's end");
            assert_eq!(end.signal(), Some(signal as i32), "{signal}");
            tree.as_before(&before);
            drop(stdin);
            // The command may make something else of it.
            let script = format!("trap 'exit 7' {}; echo; read line; exit 1", signal as i32);
            let mut child = inside(&script);
            let stdin = child.stdin.take();
            send(signal, child.id());
            let end = child.wait().expect("zroot's end");
            assert_eq!(end.code(), Some(7), "{signal}");
            tree.as_before(&before);
            drop(stdin);
        }
    }
}

/// A command's last act may be a signal to its whole process group, which zroot is of: it may be at
/// hand when zroot first looks whether the command has ended.
#[test]
fn what_the_command_sends_at_its_end_is_not_zroots() {
    const TEST: &str = "what_the_command_sends_at_its_end_is_not_zroots";
    need!(TEST, "strace");
    let Some(tree) = tree(TEST, MISSING) else {
        return;
    };
    // As if it had been held up once the command was started.
    let mut command = user("strace");
    command.args(["-qq", "-o", "/dev/null", "-e", "trace=close_range"]);
    command.args(["-e", "inject=close_range:delay_enter=100000"]);
    command
        .arg(zroot())
        .args(["--root", "root", "--", "sh", "-c"]);
    command.arg("trap '' TERM; kill -TERM 0; exit 3");
    let ran = run(command.current_dir(tree.place()).process_group(0));
    assert_eq!(ran.status, 3, "{ran:#?}");
}

/// What the command has changed is the command's: it stays, and the next zroot leaves it alone.
#[test]
fn what_the_command_changes_stays() {
    let cases = [
        (
            ": > /etc/resolv.conf",
            "test -f etc/resolv.conf; test ! -s etc/resolv.conf",
        ),
        (
            "chmod 600 /etc/resolv.conf",
            "test $(stat -c %a etc/resolv.conf) = 600; grep -q nameserver etc/resolv.conf",
        ),
        (
            "echo more >> /etc/resolv.conf",
            "tail -n 1 etc/resolv.conf | grep -q more; grep -q nameserver etc/resolv.conf",
        ),
        (
            "sed -i 1d /etc/resolv.conf",
            "grep -q nameserver etc/resolv.conf; ! grep -q zroot etc/resolv.conf",
        ),
        (
            "echo mine > /etc/resolv.conf",
            "test \"$(cat etc/resolv.conf)\" = mine",
        ),
        (
            "echo mine > /new; mv /new /etc/resolv.conf",
            "test \"$(cat etc/resolv.conf)\" = mine",
        ),
        (
            "mv /etc/resolv.conf /old; echo mine > /etc/resolv.conf",
            "test \"$(cat etc/resolv.conf)\" = mine; test -s old",
        ),
        ("rm /etc/resolv.conf", "test ! -e etc/resolv.conf"),
        (
            "rm /etc/resolv.conf; : > /etc/resolv.conf",
            "test -f etc/resolv.conf; test ! -s etc/resolv.conf",
        ),
        (
            "rm /etc/resolv.conf; ln -s ../run/x /etc/resolv.conf",
            "test \"$(readlink etc/resolv.conf)\" = ../run/x",
        ),
        (
            "rm /etc/resolv.conf; mkdir /etc/resolv.conf",
            "test -d etc/resolv.conf",
        ),
        (
            "ln /etc/resolv.conf /etc/other",
            "test etc/resolv.conf -ef etc/other; grep -q nameserver etc/other",
        ),
        (
            "mv /etc/resolv.conf /etc/moved",
            "test ! -e etc/resolv.conf; grep -q nameserver etc/moved",
        ),
        ("rm -r /etc", "test ! -e etc"),
        (
            "mv /etc /old; mkdir /etc; echo mine > /etc/resolv.conf",
            "test \"$(cat etc/resolv.conf)\" = mine; test ! -s old/resolv.conf",
        ),
    ];
    for make in [MISSING, EMPTY] {
        for (script, check) in cases {
            let Some(tree) = tree("what_the_command_changes_stays", make) else {
                return;
            };
            run(&mut tree.inside(&[], script)).succeeds();
            let check = format!("cd root; {check}");
            tree.prepare(&check);
            let changed = tree.listing();
            for _ in 0..2 {
                run(&mut tree.inside(&[], ":")).succeeds();
                tree.as_before(&changed);
            }
        }
    }
}

/// What else the command makes in the directory stays, with the directory's new time.
#[test]
fn what_is_lent_does_not_hide_what_else_changes() {
    for make in [MISSING, EMPTY] {
        let Some(tree) = tree("what_is_lent_does_not_hide_what_else_changes", make) else {
            return;
        };
        let time = || fs::metadata(tree.root().join("etc")).and_then(|etc| etc.modified());
        let before = time().expect("a time");
        run(&mut tree.inside(&[], "sleep 0.02; : > /etc/a")).succeeds();
        assert!(tree.root().join("etc/a").exists());
        assert!(time().expect("a time") > before);
        // Also where the one that made it was not the last to leave.
        let before = time().expect("a time");
        let beside = Beside::start(&tree);
        run(&mut tree.inside(&[], "sleep 0.02; : > /etc/b")).succeeds();
        end(beside);
        assert!(time().expect("a time") > before);
    }
}

#[track_caller]
fn end(mut beside: Beside) {
    drop(beside.stdin.take());
    let end = beside.zroot.wait().expect("zroot's end");
    assert_eq!(end.code(), Some(42));
}

/// The first to come is the first to leave, or the last: what is restored is the tree's own.
#[test]
fn the_last_one_takes_it_back() {
    for make in [MISSING, EMPTY, "touch -d 2001-02-03 root/etc/hosts"] {
        let Some(tree) = tree("the_last_one_takes_it_back", make) else {
            return;
        };
        let before = tree.listing();
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
            let mut all = [(); 3].map(|()| Some(Beside::start(&tree)));
            for (at, next) in order.into_iter().enumerate() {
                let now = tree.listing();
                assert_ne!(now, before);
                end(all[next].take().expect("one that runs"));
                if at < 2 {
                    tree.as_before(&now);
                }
            }
            tree.as_before(&before);
        }
        // One that is killed is no different.
        let (mut first, second) = (Beside::start(&tree), Beside::start(&tree));
        let now = tree.listing();
        send(Signal::SIGKILL, first.zroot.id());
        first.zroot.wait().expect("zroot's end");
        ended("the stand-in", first.stand_in);
        tree.as_before(&now);
        end(second);
        tree.as_before(&before);
    }
}

/// Each has name resolution from its beginning to its end, whoever else comes and goes.
#[test]
fn many_at_once() {
    let check =
        "test -s /etc/resolv.conf || exit 1; usleep ${0}000; test -s /etc/resolv.conf || exit 2";
    for make in [MISSING, EMPTY] {
        let Some(tree) = tree("many_at_once", make) else {
            return;
        };
        let before = tree.listing();
        let start = |pause: usize| {
            let args = ["--root", "root", "sh", "-c", check, &pause.to_string()];
            tree.zroot(args).spawn().expect("zroot")
        };
        let all: Vec<Child> = (0..40).map(|at| start(at * 7 % 30)).collect();
        for mut child in all {
            let end = child.wait().expect("zroot's end");
            assert_eq!(end.code(), Some(0), "{make}");
        }
        tree.as_before(&before);
        // Again and again there is nobody left for a moment.
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        let end = start(0).wait().expect("zroot's end");
                        assert_eq!(end.code(), Some(0), "{make}");
                    }
                });
            }
        });
        tree.as_before(&before);
    }
}

/// A pipe ends for its reader when the command has closed it, or has ended.
#[test]
fn nothing_of_the_callers_is_held() {
    for (make, is_lent) in [(MISSING, true), (EMPTY, true), (IN_RUN, false)] {
        let Some(tree) = tree("nothing_of_the_callers_is_held", make) else {
            return;
        };
        let before = tree.listing();
        for (closing, caller) in [
            ("exec >&-", r#"exec "$0" "$@""#),
            ("exec 5>&-", r#"exec "$0" "$@" 5>&1 > /dev/null"#),
        ] {
            let script = format!("{closing}; read line; exit 42");
            let mut child = user("sh")
                .args(["-c", caller])
                .arg(zroot())
                .args(["--root", "root", "--", "sh", "-c", &script])
                .current_dir(tree.place())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("zroot");
            let mut said = String::new();
            let mut stdout = child.stdout.take().expect("a pipe");
            stdout.read_to_string(&mut said).expect("its end");
            let still = child.try_wait().expect("zroot");
            assert!(still.is_none(), "{closing}");
            if is_lent {
                held_beside(&tree, child.id());
            }
            drop(child.stdin.take());
            let end = child.wait().expect("zroot's end");
            assert_eq!(end.code(), Some(42), "{closing}");
            tree.as_before(&before);
        }
    }
}

/// zroot has standard error, and its stand-in has not even that; neither is where the caller is.
fn held_beside(tree: &SmallTree, zroot: u32) {
    let stand_in = wait_for("a stand-in", || {
        let is_it = |(pid, name): (u32, String)| (name == "zroot-stand-in").then_some(pid);
        children(zroot).into_iter().find_map(is_it)
    });
    let held = |process: u32| -> io::Result<Vec<(String, String)>> {
        let dir = Path::new("/proc").join(process.to_string()).join("fd");
        let held = fs::read_dir(dir)?.map(|fd| {
            let fd = fd?;
            let to = fs::read_link(fd.path())?.display().to_string();
            Ok((fd.file_name().to_string_lossy().into_owned(), to))
        });
        held.collect()
    };
    let place = tree.place().to_str().expect("UTF-8");
    let is_own = |(fd, to): &(String, String), stderr: bool| {
        to == "/dev/null"
            || to.starts_with("pipe:") && !["0", "1", "2"].contains(&&**fd)
            || to.starts_with(place)
            || stderr && fd == "2"
    };
    for (process, stderr) in [(zroot, true), (stand_in, false)] {
        // It closes them while the command runs already.
        let held = wait_for("nothing of others'", || {
            let held = held(process).ok()?;
            held.iter().all(|fd| is_own(fd, stderr)).then_some(held)
        });
        let pipes = held.iter().filter(|(_, to)| to.starts_with("pipe:"));
        assert!(pipes.count() <= 1 + usize::from(stderr), "{held:?}");
    }
    let stand_in = Path::new("/proc").join(stand_in.to_string());
    let cwd = fs::read_link(stand_in.join("cwd")).expect("a directory");
    assert_eq!(cwd, Path::new("/"));
    let stat = fs::read_to_string(stand_in.join("stat")).expect("stat");
    let (_, fields) = stat.rsplit_once(") ").expect("fields");
    let fields: Vec<&str> = fields.split(' ').collect();
    // Session and process group of its own, and no terminal.
    let id = stand_in.file_name().and_then(|id| id.to_str());
    assert_eq!(
        (Some(fields[2]), Some(fields[3]), fields[4]),
        (id, id, "0"),
        "{stat}"
    );
}

/// Mounts `src/sub` on `root` and unmounts it right after zroot's end, 50 times.
const UMOUNT: &str = r"
    mount -t tmpfs -o mode=755 none src/sub; cp -a root/. src/sub
    for i in $(seq 50); do
        mount --bind src/sub root
        zroot --root root true
        umount root
    done
    umount src/sub";

/// In a mount namespace: each way to be there, at both levels.
fn umounted(test: &str, umount: impl Fn(&SmallTree, &str)) {
    for make in [MISSING, EMPTY, IN_RUN, "echo own > root/etc/resolv.conf"] {
        for level in ["zero", "selective"] {
            let Some(tree) = tree(test, make) else {
                return;
            };
            let before = tree.listing();
            umount(&tree, level);
            tree.as_before(&before);
        }
    }
}

#[test]
fn the_file_system_is_not_busy_after_the_end() {
    umounted(
        "the_file_system_is_not_busy_after_the_end",
        |tree, level| {
            let script =
                format!(r#"zroot="$0"; zroot() {{ "$zroot" -c {level} "$@"; }}; {UMOUNT}"#);
            in_namespaces(tree, &["-rm"], &script);
        },
    );
}

/// The same file system, mounted by real root, with a plain user's zroot in it.
#[test]
fn roots_file_system_is_not_busy_after_the_end() {
    let name = "roots_file_system_is_not_busy_after_the_end";
    if common::for_root_only(name) {
        return;
    }
    umounted(name, |tree, level| {
        let id = uid();
        let script = format!(
            r#"zroot="$0"
            zroot() {{
                setpriv --reuid {id} --regid {id} --clear-groups --inh-caps=-all \
                    "$zroot" -c {level} "$@"
            }}
            {UMOUNT}"#
        );
        run(plain("unshare")
            .args(["-m", "sh", "-ec", &script])
            .arg(zroot())
            .current_dir(tree.place()))
        .succeeds();
    });
}

/// An openat(2) that knows no files without a name.
fn no_tmpfile() -> zroot::internals::filter::asm::Program {
    /// include/uapi/asm-generic/fcntl.h
    const O_TMPFILE: u32 = 0o20_000_000;
    let low = if cfg!(target_endian = "big") { 4 } else { 0 };
    let mut asm = Assembler::default();
    let (is_openat, other, none, fine) = (asm.label(), asm.label(), asm.label(), asm.label());
    asm.load(0); // seccomp_data.nr
    let openat = u32::try_from(libc::SYS_openat).expect("a call number");
    asm.branch(Cond::Eq, openat, is_openat, other);
    asm.bind(is_openat);
    asm.load(16 + 2 * 8 + low); // seccomp_data.args[2]
    asm.branch(Cond::AnyBit, O_TMPFILE, none, fine);
    asm.bind(none);
    asm.ret(libc::SECCOMP_RET_ERRNO | libc::EOPNOTSUPP.unsigned_abs());
    asm.bind(other);
    asm.bind(fine);
    asm.ret(libc::SECCOMP_RET_ALLOW);
    asm.finish().expect("a program")
}

#[test]
fn file_systems_that_lack_something() {
    let no_locks = |errno: i32| {
        let answer = libc::SECCOMP_RET_ERRNO | errno.unsigned_abs();
        filter_answering(libc::SYS_flock, answer)
    };
    for make in [MISSING, EMPTY] {
        let Some(tree) = tree("file_systems_that_lack_something", make) else {
            return;
        };
        let before = tree.listing();
        for filter in [
            no_tmpfile(),
            no_locks(libc::ENOSYS),
            no_locks(libc::EOPNOTSUPP),
            no_locks(libc::ENOLCK),
        ] {
            let mut command = tree.inside(&[], "grep -q nameserver /etc/resolv.conf");
            run(under_filter(&mut command, filter)).succeeds();
            tree.as_before(&before);
        }
    }
}

/// File systems in user space, as a plain user finds them.
#[test]
fn file_systems_in_user_space() {
    let name = "file_systems_in_user_space";
    if common::for_root_only(name) {
        return;
    }
    need!(name, "bindfs", "fuse-overlayfs");
    let id = uid();
    for mount in [
        "bindfs -o nonempty src/sub root",
        "mkdir src/up src/work
        dirs=lowerdir=src/sub,upperdir=src/up,workdir=src/work
        fuse-overlayfs -o allow_other,$dirs root",
    ] {
        for make in [MISSING, EMPTY] {
            let Some(tree) = tree(name, make) else {
                return;
            };
            // Directories have other numbers of links there.
            let script = format!(
                r#"list() {{
                    find root/ -not -type d -printf '%p %y %m %T@ %s %l\n' \
                        -o -printf '%p %y %m %T@\n' | sort
                }}
                cp -a root/. src/sub; {mount}; trap 'umount -l root' EXIT
                list > before
                for i in 1 2 3 4 5 6 7 8 9; do
                    setpriv --reuid {id} --regid {id} --clear-groups --inh-caps=-all \
                        "$0" --root root grep -q nameserver /etc/resolv.conf
                    # What is removed while it is open has another name there until it is closed.
                    test -z "$(find src -name '.fuse_hidden*')"
                    list | diff before -
                done"#
            );
            run(plain("unshare")
                .args(["-m", "sh", "-ec", &script])
                .arg(zroot())
                .current_dir(tree.place()))
            .succeeds();
        }
    }
}

/// The command runs without, and `-v` says why.
#[test]
fn what_cannot_be_lent() {
    let says = |said: &str, why: &str| {
        let line = format!("/etc/resolv.conf stays as it is inside ({why})");
        assert!(said.contains(&line), "no '{line}' in: {said}");
    };
    for (make, why) in [
        ("chmod 555 root/etc", "Permission denied"),
        ("rmdir root/etc", "No such file or directory"),
        ("rmdir root/etc; : > root/etc", "Not a directory"),
        (
            ": > root/etc/resolv.conf; chmod 444 root/etc/resolv.conf",
            "Permission denied",
        ),
        (
            ": > root/etc/resolv.conf; ln root/etc/resolv.conf root/etc/other",
            "Too many links",
        ),
        (
            "ln -s resolv.conf root/etc/resolv.conf",
            "Too many symbolic links encountered",
        ),
        (
            "ln -s ../run/resolv.conf root/etc/resolv.conf",
            "No such file or directory",
        ),
    ] {
        let Some(tree) = tree("what_cannot_be_lent", make) else {
            return;
        };
        let before = tree.listing();
        let ran = run(&mut tree.inside(&["-v"], "test ! -s /etc/resolv.conf")).succeeds();
        says(&ran.stderr, why);
        tree.as_before(&before);
        // Nothing is said of it without.
        let ran = run(&mut tree.inside(&[], ":")).succeeds();
        assert_eq!(ran.stderr, "");
    }
    for make in [MISSING, EMPTY] {
        let Some(tree) = tree("what_cannot_be_lent", make) else {
            return;
        };
        let script = r#"
            mount --bind root/etc root/etc; mount -o remount,bind,ro root/etc; before
            "$0" -v --root root sh -c 'test ! -s /etc/resolv.conf' 2>&1; same"#;
        let ran = in_namespaces(&tree, &["-rm"], script);
        says(&ran.stdout, "Read-only file system");
    }
}

/// What is bound there is not touched, nor what it covers.
#[test]
fn binds_in_its_place() {
    for (make, bind) in [
        (EMPTY, "--bind=src/file:/etc/resolv.conf"),
        (MISSING, "--bind=etc:/etc"),
        (EMPTY, "--bind=etc:/etc:ro"),
    ] {
        let make =
            format!("{make}; mkdir etc; cp src/file etc/resolv.conf; cp src/file root/etc/hosts");
        let Some(tree) = tree("binds_in_its_place", &make) else {
            return;
        };
        let before = tree.listing();
        let script = "echo $$; cat /etc/resolv.conf; read line; exit 42";
        let (mut child, said) = start(&mut tree.inside(&[bind], script));
        assert_eq!(said, child.id().to_string(), "{bind}");
        tree.as_before(&before);
        drop(child.stdin.take());
        let output = child.wait_with_output().expect("zroot's end");
        assert_eq!(output.status.code(), Some(42));
        assert_eq!(output.stdout, b"source\n");
    }
    // The place to mount on stays.
    let Some(tree) = tree("binds_in_its_place", MISSING) else {
        return;
    };
    let before = tree.listing();
    let mut command: Command = tree.inside(
        &["--bind=src/file:/etc/resolv.conf"],
        "grep -q source /etc/resolv.conf",
    );
    run(&mut command).succeeds();
    tree.as_before_but_for(&before, &["etc/resolv.conf"]);
    assert_eq!(
        SYSTEM.map(|name| tree.root().join(name).exists()),
        [true; 3]
    );
}
