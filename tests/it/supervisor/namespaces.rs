//! Targets in namespaces and root directories of their own.

use super::{Bench, NO, PRETENDED, REAL, program, refused};
use crate::common::{self, control, dir, run, user, zroot, zroot_with};

/// Works in the directory `$1`, by relative and absolute paths.
const WORK: &str = r#"cd "$1"; touch own ./d/own; chown 1:1 own "$1/d/own"; mknod -m 640 node c 1 3; mknod -m 600 "$1/d/node" c 1 3
    chmod 600 own; chmod 640 "$1/d/own"; touch -d @1000 own "$1/d/own"; chown 1:1 /proc/self/fd/0 /dev/stdin
    "$2" mark own relative; "$2" mark "$1/d/own" absolute; no "$2" mark missing value
    no chown 1:1 missing; no chown 1:1 "$1/missing"; no mknod own c 1 3; no chmod 600 missing
    test "$(setpriv --reuid 5 --clear-groups id -u)" = 0; test "$(perl -e '$< = $> = 5; print "$<$>"')" = 55"#;

/// The same on a file system that only the inner namespace has, at /mnt.
const WORK_ON_MOUNT: &str = r"mount -t tmpfs none /mnt; mkdir /mnt/d; touch /mnt/f; cd /mnt; chown 1:1 f /mnt/f; mknod /mnt/d/n c 1 3; cd d; mknod m c 1 3
    chmod 751 /mnt/f; no chown 1:1 /mnt/missing; stat -c %a /mnt/f /mnt/d/n /mnt/d/m | tr '\n' ' '; cd /; umount /mnt; ";

/// Enters the namespaces that another process has just made: `entered OPTIONS-OF-UNSHARE
/// COMMAND...`.
const ENTERED: &str = r#"entered() { options=$1; shift; unshare $options sh -c 'echo; exec sleep 60' >&8 & pid=$!; read line <&8
    nsenter $(case $options in *r*) echo --preserve-credentials -U;; esac) -m -t $pid "$@"; status=$?; kill $pid; return $status; }
    mkfifo fifo; exec 8<>fifo; rm fifo; "#;

#[test]
fn files_in_other_namespaces_are_reached() {
    let Some(bench) = Bench::new("files_in_other_namespaces_are_reached") else {
        return;
    };
    // The control.
    let place = dir();
    run(user("mkdir").arg(place.path().join("d"))).succeeds();
    run(control(["sh", "-ec", &[NO, WORK].concat(), "sh"])
        .arg(place.path())
        .arg(program()))
    .fails_with("Invalid argument");
    let has_bwrap = common::program("bwrap").is_some();
    let mut ways = vec![
        ("as it is", "", false),
        ("user", "unshare -r", false),
        ("mount", "unshare -m", true),
        ("user and mount", "unshare -rm", true),
        ("pid", "unshare -rmpf --mount-proc", true),
        ("chroot", "chroot /", false),
        ("entered", "entered -m", true),
        ("entered user", "entered -rm", true),
        ("user in mount", "unshare -m unshare -r unshare -m", true),
    ];
    if has_bwrap {
        ways.push((
            "bwrap",
            "bwrap --dev-bind / / --unshare-pid --proc /proc",
            false,
        ));
    }
    for (what, way, mounts) in ways {
        let place = bench.dir.path().join(what.replace(' ', "-"));
        run(user("mkdir").arg("-p").arg(place.join("d"))).succeeds();
        let inner = [NO, if mounts { WORK_ON_MOUNT } else { "" }, WORK].concat();
        let script = format!(r#"{ENTERED} {way} sh -ec "$0" sh "$1" "$2""#);
        let mut command = bench.selective(&["sh", "-ec", &script, &inner]);
        let ran = run(command.arg(&place).arg(program())).succeeds();
        assert_eq!(
            ran.stdout,
            if mounts { "751 644 644 " } else { "" },
            "{what}: {ran:#?}"
        );
        // From outside.
        let look = r"stat -c '%n %F %a %Y' own d/own | sed 's/ empty//'; stat -c '%n %F %a' node d/node; ls -A . d | tr '\n' ' '";
        let ran = run(user("sh").args(["-c", look]).current_dir(&place)).succeeds();
        let there = "own regular file 600 1000\nd/own regular file 640 1000\nnode regular empty file 640\nd/node regular empty file 600\n.: d node own  d: node own ";
        assert_eq!(ran.stdout, there, "{what}: {ran:#?}");
        let marked = |name: &str| {
            run(user(program()).arg("marked").arg(place.join(name)))
                .succeeds()
                .stdout
        };
        let marks = (marked("own"), marked("d/own"));
        let unsupported = marks == ("EOPNOTSUPP\n".into(), "EOPNOTSUPP\n".into());
        assert!(
            unsupported || marks == ("relative\n".into(), "absolute\n".into()),
            "{what}: {marks:?}"
        );
        // The working directory is not where things went that should not have.
        assert!(!bench.dir.path().join("own").exists() && !bench.dir.path().join("node").exists());
        bench.nothing_is_left();
    }
}

/// A chroot that has no /proc.
#[test]
fn files_in_a_chroot_without_proc_are_reached() {
    let name = "files_in_a_chroot_without_proc_are_reached";
    let (Some(bench), Some(tree)) = (Bench::new(name), common::SmallTree::new(name)) else {
        return;
    };
    let script = r#"chroot "$0" /bin/sh -ec 'cd /tmp; touch f; chown 1:1 f /tmp/f; mknod -m 640 n c 1 3; mknod /tmp/m c 1 3; chmod 600 /tmp/f; chmod 640 /proc/self/x 2>/dev/null || echo none'; pwd; touch f; chown 1 f"#;
    let mut command = bench.selective(&["sh", "-ec", script]);
    let ran = run(command.arg(tree.root())).succeeds();
    assert_eq!(
        ran.stdout,
        format!("none\n{}\n", bench.dir.path().display())
    );
    let ran = run(user("stat")
        .args(["-c", "%n %F %a", "f", "n", "m"])
        .current_dir(tree.root().join("tmp")))
    .succeeds();
    assert_eq!(
        ran.stdout,
        "f regular empty file 600\nn regular empty file 640\nm regular empty file 644\n"
    );
    bench.nothing_is_left();
}

#[test]
fn without_proc_there_is_no_supervisor() {
    let name = "without_proc_there_is_no_supervisor";
    let (Some(bench), Some(tree)) = (Bench::new(name), common::SmallTree::new(name)) else {
        return;
    };
    run(user("cp").arg(zroot()).arg(tree.root().join("bin"))).succeeds();
    let inside = |options: &[&str]| {
        let mut command = bench.command(["unshare", "-r", "chroot"]);
        run(command
            .arg(tree.root())
            .arg("/bin/zroot")
            .args(options)
            .args(["sh", "-c", "chown 1 /bin/sh && echo ran"]))
    };
    refused(
        inside(&["-c", "selective"]),
        "cannot start the supervisor: /proc: No such file or directory",
        "mount /proc",
    );
    let ran = inside(&["-v", "-c", "auto"]).succeeds();
    assert!(
        ran.stdout == "ran\n"
            && ran
                .stderr
                .contains("level zero: cannot start the supervisor: /proc"),
        "{ran:#?}"
    );
    // That of another PID namespace.
    let other = |level: &str| {
        run(bench
            .command(["unshare", "-rpf", "--"])
            .arg(zroot())
            .args(["-v", "-c", level, "true"]))
    };
    assert!(
        other("selective")
            .stderr
            .contains("cannot start the supervisor: /proc is that of another PID namespace")
    );
    other("auto").succeeds();
    // A process whose children come into another PID namespace than it is in.
    let other = |level: &str| {
        run(bench
            .command(["unshare", "-rp", "--"])
            .arg(zroot())
            .args(["-c", level])
            .arg(program())
            .arg("calls"))
    };
    refused(
        other("selective"),
        "cannot start the supervisor: children of this process belong to another PID namespace",
        "--fork",
    );
    assert_eq!(other("auto").succeeds().stdout, PRETENDED);
    bench.nothing_is_left();
}

/// Without a namespace the supervisor has no rights of its own, but those of the user.
#[test]
fn without_a_namespace() {
    let Some(bench) = Bench::new("without_a_namespace") else {
        return;
    };
    let says = |what: &str| {
        run(bench
            .selective(&["--userns=never"])
            .arg(program())
            .arg(what))
        .succeeds()
        .stdout
    };
    assert_eq!(says("calls"), REAL);
    // In a process that others cannot look into, it is as with the filter alone.
    assert_eq!(says("hidden-calls"), PRETENDED);
    assert_eq!(
        run(&mut bench.supervised(&["hidden-calls"]))
            .succeeds()
            .stdout,
        REAL
    );
    bench.nothing_is_left();
}

/// Ids that are not mapped, which mount(2) and fsconfig(2) refuse with EINVAL.
#[test]
fn what_is_mounted_for_others() {
    let test = "what_is_mounted_for_others";
    need!(test, "unshare", "mount", "python3");
    let by_mount = r"mount -t tmpfs -o size=1m,uid=33,gid=44,mode=700 t /mnt
        cd /mnt; touch x; mkdir d; stat -c %u:%g:%a .
        mount -i -t tmpfs -o uid=33 t ./d; mount -i -t devpts -o newinstance,gid=5 d d
        if mount -i -t tmpfs -o uid=33,nosuchoption=1 t d 2>/dev/null; then echo mounted; fi
        exec 3<d; mount -i -t tmpfs -o uid=33 t /proc/self/fd/3
        if mount -i -o remount,uid=33 d 2>/dev/null; then echo remounted; fi
        grep -c /mnt /proc/self/mounts";
    let by_descriptor = r#"python3 -c '
import ctypes, sys
call = ctypes.CDLL(None, use_errno=True).syscall
fd = call(430, b"tmpfs", 0)
for what in (b"uid", b"33"), (b"gid", b"5"), (b"mode", b"700"), (b"uid", b"x"), (b"nosuchoption", b"33"):
    print(call(431, fd, 1, *what, 0), end=" ")
print(call(431, fd, 6, None, None, 0), call(432, fd, 0, 0) >= 0, call(431, -1, 1, b"uid", b"33", 0))'"#;
    for (script, fails, selective, full) in [
        (by_mount, "wrong fs type", "0:0:700\n5\n", "33:44:700\n5\n"),
        (
            by_descriptor,
            "-1 -1 0",
            "0 0 0 -1 -1 0 True -1\n",
            "0 0 0 -1 -1 0 True -1\n",
        ),
    ] {
        let words = ["unshare", "-m", "sh", "-ec", script];
        let at = |options: &[&str]| run(zroot_with(options).arg("--").args(words));
        for options in [&["-c", "zero"][..], &["-c", "full", "--no-fake=owner"]] {
            let ran = at(options);
            let said = format!("{}{}", ran.stdout, ran.stderr);
            assert!(said.contains(fails), "{ran:#?}");
        }
        for (level, says) in [("selective", selective), ("full", full)] {
            let ran = at(&["-c", level]);
            assert_eq!(
                (&*ran.stdout, &*ran.stderr),
                (says, ""),
                "{level}: {ran:#?}"
            );
        }
    }
    // Where one may not mount, it stays so.
    for level in ["selective", "full"] {
        let script = "mount -i -t tmpfs -o uid=33 t /mnt";
        let ran = run(zroot_with(["-c", level, "--", "sh", "-c"]).arg(script));
        ran.fails_with("permission denied");
        let dropped = r#"unshare -m perl -e '$> = 33;
            my @words = ("t", "/mnt", "tmpfs", 0, "uid=34"); exit(syscall(165, @words) == 0)'"#;
        if cfg!(target_arch = "x86_64") {
            run(zroot_with(["-c", level, "--", "sh", "-c"]).arg(dropped)).succeeds();
        }
    }
}

/// IPC_SET, which the kernel refuses with EINVAL for such ids.
#[test]
fn system_v_objects_that_are_given_to_others() {
    let test = "system_v_objects_that_are_given_to_others";
    need!(test, "unshare", "python3");
    let script = r#"
import ctypes, struct
c = ctypes.CDLL(None, use_errno=True)
made = (c.semget(0, 1, 0o1600), lambda i, how, at: c.semctl(i, 0, how, at)), \
    (c.msgget(0, 0o1600), c.msgctl), (c.shmget(0, 4096, 0o1600), c.shmctl)
for i, control in made:
    at = ctypes.create_string_buffer(256)
    control(i, 2, at)
    for ids in (33, 44), (0, 44), (33, 0), (0, 0), (-1, 0):
        struct.pack_into("ii", at, 4, *ids)
        print(control(i, 1, at), end=" ")
    control(i, 2, at)
    print(struct.unpack_from("ii", at, 4), control(-5, 1, at), control(i, 1, 16), control(i, 0, 0))"#;
    let words = ["python3", "-c", script];
    let at = |options: &[&str], inside: &[&str]| {
        let ran = run(zroot_with(options).arg("--").args(inside).args(words));
        ran.succeeds().stdout
    };
    let says = |result: i32| format!("{result} {result} {result} 0 -1 (0, 0) -1 -1 0\n").repeat(3);
    for options in [&["-c", "zero"][..], &["-c", "full", "--no-fake=owner"]] {
        assert_eq!(at(options, &[]), says(-1), "{options:?}");
    }
    for level in ["selective", "full"] {
        for inside in [&[][..], &["unshare", "-i"], &["unshare", "-im"]] {
            assert_eq!(at(&["-c", level], inside), says(0), "{level} {inside:?}");
        }
    }
}
