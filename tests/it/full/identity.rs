//! A file that gets the number of one that was removed is another, on every file system.

use nix::sys::signal::Signal;

use crate::common::{
    self, Ran, TEST_ID, dir, for_root_only, give, plain, program, run, wait_for, zroot,
};
use crate::supervisor::{Bench, GUARD, Live, SUPERVISOR, compile, send};

/// How many files are replaced of each kind.
const ROUNDS: &str = "1000";

/// Mounts a file system of the kind `$0` in a mount namespace of its own, which ends with what it
/// runs: `zroot -c full WORDS...`, as the unprivileged user, in that file system. An image of it
/// is the file `$1`.
const MOUNT: &str = r#"
kind=$0 image=$1 id=$2 zroot=$3; shift 3; shift
lower() {
    mkdir "$1" "$1/d"
    for name in a b c d/f; do echo "$name" >"$1/$name"; done
    ln -s a "$1/link"; ln -s d "$1/linked"; ln "$1/a" "$1/hard"
    chown -hR "$id:$id" "$1"
}
image() { truncate -s 400M "$image"; "mkfs.$1" -q "$image" >&2; mount -t "$1" -o loop "$image" "$2"; }
place=/mnt
case $kind in
ext4|xfs|btrfs) image "$kind" /mnt ;;
tmpfs) mount -t tmpfs none /mnt ;;
overlayfs) # layers on one file system
    mount -t tmpfs none /mnt
    mkdir /mnt/upper /mnt/work /mnt/seen; lower /mnt/lower; chown "$id:$id" /mnt/*
    mount -t overlay -o lowerdir=/mnt/lower,upperdir=/mnt/upper,workdir=/mnt/work none /mnt/seen
    place=/mnt/seen ;;
overlayfs-of-two)
    mount -t tmpfs none /mnt
    mkdir /mnt/disk /mnt/seen; lower /mnt/lower; image ext4 /mnt/disk
    mkdir /mnt/disk/upper /mnt/disk/work; chown "$id:$id" /mnt/disk /mnt/disk/* /mnt/seen
    mount -t overlay -o lowerdir=/mnt/lower,upperdir=/mnt/disk/upper,workdir=/mnt/disk/work none /mnt/seen
    place=/mnt/seen ;;
esac
chown "$id:$id" "$place"; cd "$place"
exec setpriv --reuid "$id" --regid "$id" --clear-groups --inh-caps=-all "$zroot" -c full -- "$@""#;

/// `words` at level full on a file system of `kind`; `None` after a SKIP or NOTE.
fn mounted(test: &str, kind: &str, words: &[&str]) -> Option<Ran> {
    if for_root_only(test) {
        return None;
    }
    let needed: &[&str] = match kind {
        "ext4" | "overlayfs-of-two" => &["mkfs.ext4"],
        "xfs" => &["mkfs.xfs"],
        "btrfs" => &["mkfs.btrfs"],
        _ => &[],
    };
    for name in needed.iter().chain(&["unshare", "setpriv"]) {
        if program(name).is_none() {
            common::skip(test, &format!("there is no {name}"));
            return None;
        }
    }
    let place = tempfile::tempdir().expect("a temporary directory");
    let mut command = plain("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-ec", MOUNT, kind]);
    command.arg(place.path().join("image"));
    command.arg(TEST_ID.to_string()).arg(zroot()).arg("--");
    let ran = run(command.args(words));
    if ran.stderr.contains("mount: ") {
        common::skip(test, &format!("no {kind} can be mounted: {}", ran.stderr));
        return None;
    }
    Some(ran)
}

/// The program of `fixtures/replaced.c`, where the user can reach it; `None` after a SKIP.
fn replaced(test: &str) -> Option<(tempfile::TempDir, String)> {
    if program("cc").is_none() {
        common::skip(test, "there is no cc");
        return None;
    }
    let place = dir();
    let path = place.path().join("replaced");
    compile("replaced.c", &[], &path).succeeds();
    let path = path.to_str().expect("UTF-8").to_owned();
    Some((place, path))
}

/// How many rounds of `kind` had numbers, and births, that were the same.
#[track_caller]
fn same(ran: &Ran, kind: &str) -> (u32, u32) {
    let line = ran.stdout.lines().find(|line| line.starts_with(kind));
    let line = line.unwrap_or_else(|| panic!("no {kind} in {ran:#?}"));
    let numbers: Vec<u32> = line
        .split([' ', ','])
        .filter_map(|word| word.parse().ok())
        .collect();
    (numbers[1], numbers[2])
}

/// Files of every kind that are replaced at once on a file system of `kind`.
#[track_caller]
fn new_files_are_nobodys(test: &str, kind: &str) -> Option<Ran> {
    let (_place, program) = replaced(test)?;
    let ran = mounted(test, kind, &[&program, ROUNDS])?.succeeds();
    assert_eq!(
        ran.stderr.lines().find(|line| line.contains("in place of")),
        None
    );
    assert_eq!(ran.stdout.lines().last(), Some("all passed"), "{ran:#?}");
    Some(ran)
}

#[test]
fn new_files_are_nobodys_on_ext4() {
    let Some(ran) = new_files_are_nobodys("new_files_are_nobodys_on_ext4", "ext4") else {
        return;
    };
    // The control: it gives a number again at once. On kernels with coarse times, and where nobody
    // asks for them, most births are the same as well (within one tick of the clock).
    let (numbers, _) = same(&ran, "unseen");
    assert!(numbers > 500, "{ran:#?}");
    for kind in [
        "files",
        "directories",
        "links",
        "fifos",
        "devices",
        "renamed",
        "nameless",
    ] {
        assert!(same(&ran, kind).0 > 500, "{ran:#?}");
    }
}

#[test]
fn new_files_are_nobodys_on_xfs() {
    new_files_are_nobodys("new_files_are_nobodys_on_xfs", "xfs");
}

#[test]
fn new_files_are_nobodys_on_btrfs() {
    new_files_are_nobodys("new_files_are_nobodys_on_btrfs", "btrfs");
}

#[test]
fn new_files_are_nobodys_on_tmpfs() {
    new_files_are_nobodys("new_files_are_nobodys_on_tmpfs", "tmpfs");
}

#[test]
fn new_files_are_nobodys_on_overlayfs() {
    const TEST: &str = "new_files_are_nobodys_on_overlayfs";
    new_files_are_nobodys(TEST, "overlayfs");
    if let Some(ran) = new_files_are_nobodys(TEST, "overlayfs-of-two") {
        // The numbers are ext4's.
        assert!(same(&ran, "files").0 > 500, "{ran:#?}");
    }
}

/// On whatever file system the tests' directories are. The control: at level selective the same
/// program finds that nothing is remembered.
#[test]
fn new_files_are_nobodys_where_the_tests_are() {
    const TEST: &str = "new_files_are_nobodys_where_the_tests_are";
    let Some((place, program)) = replaced(TEST) else {
        return;
    };
    let at = |level: &str, name: &str, rounds: &str| {
        let work = place.path().join(name);
        std::fs::create_dir(&work).expect("a directory");
        give(&work);
        let mut command = common::zroot_with(["-c", level, "--", &program, rounds]);
        run(command.current_dir(work))
    };
    let ran = at("full", "full", ROUNDS).succeeds();
    assert_eq!(ran.stdout.lines().last(), Some("all passed"), "{ran:#?}");
    at("selective", "selective", "2").fails_with("kept0: 0:0 (statx 0:0) in place of 100:200");
}

/// Lower files of an overlay get another inode when they are given away. The record is of the one
/// that they have then, and stays, whatever is done to the file.
#[test]
fn lower_files_of_an_overlay_keep_their_owner_when_they_are_copied_up() {
    const TEST: &str = "lower_files_of_an_overlay_keep_their_owner_when_they_are_copied_up";
    let script = "
        look() { stat -c '%n %u:%g' a b c hard link linked d d/f; }
        chown -h 5:7 link linked; chown 8:9 b; chown 3:4 hard; chown 1:2 d; chown 3:5 d/f
        look
        echo more >>b; echo more >>a; mv b x; ln x b; rm x; mv d/f d/g; mv d/g d/f; touch d/new
        exec 3<c; chown 10:11 c; stat -L -c %u:%g /proc/self/fd/3; ls c d >/dev/null
        look";
    let before = "a 0:0\nb 8:9\nc 0:0\nhard 3:4\nlink 5:7\nlinked 5:7\nd 1:2\nd/f 3:5\n";
    let after = before.replace("c 0:0", "c 10:11");
    for kind in ["overlayfs", "overlayfs-of-two"] {
        let Some(ran) = mounted(TEST, kind, &["sh", "-ec", script]) else {
            return;
        };
        let ran = ran.succeeds();
        // A descriptor of the lower file shows that one (Documentation/filesystems/overlayfs.rst,
        // "Non-standard behavior"), or the one that there is now.
        let lines: Vec<&str> = ran
            .stdout
            .lines()
            .filter(|line| line.contains(' '))
            .collect();
        assert_eq!(lines.join("\n"), format!("{before}{after}").trim_end());
    }
}

/// The same of attributes.
#[test]
fn lower_files_of_an_overlay_keep_their_attributes_when_they_are_copied_up() {
    const TEST: &str = "lower_files_of_an_overlay_keep_their_attributes_when_they_are_copied_up";
    let script = "
        setfacl -m u:5:rw a; getfacl -cn a
        setfattr -n trusted.b -v 1 b; echo more >>b; mv b x; mv x b; getfattr -n trusted.b b
        setfacl -d -m u:7:r d; touch d/new; getfacl -cn d/new
        setfattr -n security.f -v 2 d/f; chmod 600 d/f; getfattr -n security.f d/f";
    for program_of_acls in ["setfacl", "setfattr"] {
        if program(program_of_acls).is_none() {
            return common::skip(TEST, &format!("there is no {program_of_acls}"));
        }
    }
    for kind in ["overlayfs", "overlayfs-of-two"] {
        let Some(ran) = mounted(TEST, kind, &["sh", "-ec", script]) else {
            return;
        };
        let ran = ran.succeeds();
        for told in ["user:5:rw-", "trusted.b=", "user:7:r--", "security.f="] {
            assert!(ran.stdout.contains(told), "{kind}: {told}: {ran:#?}");
        }
    }
}

/// What is remembered, and of which inode, is what a successor goes on with.
#[test]
fn new_files_are_nobodys_after_the_supervisor_was_killed() {
    const TEST: &str = "new_files_are_nobodys_after_the_supervisor_was_killed";
    let (Some((_place, program)), Some(bench)) = (replaced(TEST), Bench::new(TEST)) else {
        return;
    };
    let zroot = zroot().to_str().expect("UTF-8");
    let words = [zroot, "-c", "full", "--", &program, "300", "stop"];
    let mut live = Live::start(&mut bench.command(words));
    // One is killed between two kinds, and one in the midst of each.
    loop {
        let line = live.line();
        if line.is_empty() || line == "all passed\n" {
            assert_eq!(line, "all passed\n");
            break;
        }
        assert!(line.contains("300, "), "{line}");
        bench.one(GUARD);
        let supervisor = bench.one(SUPERVISOR);
        send(supervisor, Signal::SIGKILL);
        live.enter();
        let is_last = line.starts_with("linked");
        let next = if is_last {
            None
        } else {
            successor(&bench, supervisor)
        };
        if let Some(next) = next {
            send(next, Signal::SIGKILL);
        }
    }
    live.ends("");
}

/// The supervisor after `old` that has a guard, so that it may be killed as well.
fn successor(bench: &Bench, old: i32) -> Option<i32> {
    let next = bench.successor(SUPERVISOR, old);
    wait_for("a guard", || match bench.named(GUARD)[..] {
        [_] => Some(Some(next)),
        _ => None,
    })
}
