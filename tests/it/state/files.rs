//! `--save` and `--load`: what is remembered goes into a file, and from there into the next run, to
//! fakeroot and back. The control of each is the same without the option.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::common::random::Random;
use crate::common::{
    Ran, SmallTree, dir, for_root_only, give, plain, program, run, skip, user, wait_for, zroot,
    zroot_with,
};
use crate::supervisor::oracle::has_oracle;
use crate::supervisor::{Bench, Live, SUPERVISOR, send};

/// A file of each kind.
const MAKE: &str =
    "umask 022; mkdir d d/e; echo x >d/f; chown 5:7 d/f; chmod 4750 d/f; ln d/f d/g
    ln -s nowhere d/l; chown -h 8:9 d/l; mkfifo d/p; chown 10:11 d/p; chown 12:13 d/e; chmod 2775 d/e
    mknod -m 620 d/c c 5 1; chown 12:5 d/c; mknod d/b b 8 17; echo >d/own; echo >d/z; chown 0:6 d/z";
/// How it is listed, by whomever.
const LIST: &str = "cd d; stat -c '%n %F %u:%g %a %t:%T %h' *";
const LISTED: &str = "\
b block special file 0:0 644 8:11 1
c character special file 12:5 620 5:1 1
e directory 12:13 2775 0:0 2
f regular file 5:7 4750 0:0 2
g regular file 5:7 4750 0:0 2
l symbolic link 8:9 777 0:0 1
own regular file 0:0 644 0:0 1
p fifo 10:11 644 0:0 1
z regular file 0:6 644 0:0 1
";

/// zroot with `options`, whose `script` runs in `place`.
fn script<const N: usize>(place: &TempDir, options: [&str; N], script: &str) -> Command {
    let mut command = zroot_with(options);
    command.args(["--", "sh", "-ec", script]);
    command.current_dir(place.path());
    command
}

fn at<const N: usize>(place: &TempDir, options: [&str; N], text: &str) -> Ran {
    run(&mut script(place, options, text))
}

/// All that is in `place`.
fn names(place: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(place.path()).expect("a directory");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<_> = entries
        .map(|entry| name(entry).into_string().expect("a name"))
        .collect();
    names.sort();
    names
}

/// The lines that the file `name` has for fakeroot, without numbers of inodes.
fn owners(place: &TempDir, name: &str) -> Vec<String> {
    let text = fs::read_to_string(place.path().join(name)).expect("a state");
    let lines = text.lines().filter(|line| line.starts_with("dev="));
    let mut all: Vec<_> = lines
        .map(|line| line[line.find("mode=").expect("a mode")..].to_owned())
        .collect();
    all.sort();
    all
}

#[test]
fn the_next_run_goes_on() {
    let place = dir();
    at(&place, ["-s", "state"], MAKE).succeeds();
    assert_eq!(names(&place), ["d", "state"]);
    let again = at(&place, ["-i", "state"], LIST).succeeds();
    assert_eq!(again.stdout, LISTED);
    // What it was said to be is what it is.
    let change = "chown 20 d/f; chmod 700 d/f; chown 0:0 d/z; rm d/c";
    at(&place, ["--load=state", "--save=state"], change).succeeds();
    let changed = at(&place, ["-i", "state"], LIST).succeeds().stdout;
    let expected = LISTED
        .replace("5:7 4750", "20:7 700")
        .replace("z regular file 0:6", "z regular file 0:0")
        .replace("c character special file 12:5 620 5:1 1\n", "");
    assert_eq!(changed, expected);
    assert!(
        !owners(&place, "state")
            .iter()
            .any(|line| line.contains("mode=20620"))
    );
    let forgets = at(&place, ["-c", "full"], LIST).succeeds();
    assert!(!forgets.stdout.contains("20:7"), "{forgets:#?}");
    assert_eq!(names(&place), ["d", "state"]);
}

#[test]
fn attributes_go_with_it() {
    need!("attributes_go_with_it", "setfattr", "setcap", "setfacl");
    let place = dir();
    let make = "mkdir d; echo >d/f; echo >d/t; chown 5 d/f; setcap cap_net_raw+ep d/f
        setfattr -n trusted.a -v 'b, c=%' d/t; setfacl -m u:5:r,d:u:6:rw d";
    let look = "getcap d/f; getfattr --only-values -n trusted.a d/t; echo; getfacl -ncp d
        echo >d/new; getfacl -ncp d/new | grep user:6";
    at(&place, ["-s", "state"], make).succeeds();
    let there = at(&place, ["-i", "state"], look).succeeds().stdout;
    for part in ["d/f cap_net_raw=ep", "b, c=%", "user:5:r--", "user:6:rw-"] {
        assert!(there.contains(part), "no '{part}' in {there}");
    }
    let forgets = at(&place, ["-c", "full"], look);
    // The kernel keeps a capability of a user namespace's; but not the rest.
    assert!(
        forgets.stderr.contains("trusted.a: No such attribute"),
        "{forgets:#?}"
    );
}

/// Both ways, and there and back.
#[test]
fn fakeroot_reads_and_writes_the_same() {
    need!("fakeroot_reads_and_writes_the_same", "fakeroot");
    let fakeroot = |place: &TempDir, options: &[&str], script: &str| {
        let mut command = user("fakeroot");
        command.args(options).args(["--", "sh", "-ec", script]);
        run(command.current_dir(place.path())).succeeds()
    };
    // fakeroot keeps set-id bits over chown: here they come after it.
    let place = dir();
    at(&place, ["-s", "ours"], MAKE).succeeds();
    let theirs = fakeroot(&place, &["-i", "ours", "-s", "theirs"], LIST);
    assert_eq!(theirs.stdout, LISTED);
    assert_eq!(owners(&place, "theirs"), owners(&place, "ours"));
    assert_eq!(at(&place, ["-i", "theirs"], LIST).succeeds().stdout, LISTED);
    let place = dir();
    fakeroot(&place, &["-s", "theirs"], &format!("{MAKE}; chmod 0 d/z"));
    let expected = LISTED.replace("z regular file 0:6 644", "z regular file 0:6 0");
    let ours = at(&place, ["-i", "theirs", "-s", "ours"], LIST).succeeds();
    assert_eq!(ours.stdout, expected);
    // What fakeroot cannot take away is shown in the place of what there is, up to the next chmod.
    let mode = fs::metadata(place.path().join("d/z"))
        .expect("a file")
        .permissions()
        .mode();
    assert_ne!(mode & 0o777, 0);
    assert_eq!(at(&place, ["-i", "ours"], LIST).succeeds().stdout, expected);
    let changes = "chmod 640 d/z; stat -c %a d/z";
    let changed = at(&place, ["-i", "ours", "-s", "ours"], changes).succeeds();
    assert_eq!(changed.stdout, "640\n");
    let mode = fs::metadata(place.path().join("d/z"))
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o640);
    let back = fakeroot(&place, &["-i", "ours"], LIST);
    assert_eq!(back.stdout, LISTED.replace("0:6 644", "0:6 640"));
}

/// What is gone is not saved, however it went: the next file gets its number.
#[test]
fn what_is_gone_is_not_saved() {
    const FILES: &str =
        "mkdir d; for f in a b c e k; do echo >d/$f; done; chown 5 d/*; mkdir d/f d/g
        chown 6 d/f d/g; echo >n; ";
    const ALL: usize = 7;
    let saved = |changes: &str| {
        let place = dir();
        at(&place, ["-s", "state"], &format!("{FILES}{changes}")).succeeds();
        owners(&place, "state").len()
    };
    for (changes, gone) in [
        ("", 0),
        ("rm d/a", 1),
        ("rmdir d/f", 1),
        ("unlink d/a; rm -r d/g", 2),
        ("mv n d/a", 1),
        ("mv d/a d/b", 1),
        ("mkdir h; mv -T h d/f", 1),
        (
            "perl -e 'unlink \"d/a\", \"d/b\"; rename \"n\", \"d/c\"'",
            3,
        ),
        ("rm -r d", ALL),
        // It has another name.
        ("ln d/a h; rm d/a", 0),
        ("ln d/a h; rm d/a h", 1),
        ("mv d/a h; mv d/f h2", 0),
        ("mv -n n d/a || :", 0),
        // Or the kernel does not let go of it.
        (
            "rmdir d || unlink d/f || :; rmdir d/a || unlink d/f/. || :",
            0,
        ),
        ("echo >d/f/x; rmdir d/f || mv -T d/g d/f || :", 0),
        ("cd d/f; rm ../a; mv ../b ../c; rmdir ../g", 3),
        // It is open, which does not keep its number.
        (
            "exec 3<>d/a; rm d/a; chown 9 /dev/fd/3; stat -L -c %u /dev/fd/3 | grep -qx 9",
            0,
        ),
        (
            "exec 3<>d/a; rm d/a; stat -L -c %u /dev/fd/3 | grep -qx 5",
            1,
        ),
    ] {
        assert_eq!(saved(changes), ALL - gone, "{changes}");
    }
}

/// As well by who is elsewhere: in another root directory, or without root's rights.
#[test]
fn what_others_remove_is_not_saved() {
    let Some(tree) = SmallTree::new("what_others_remove_is_not_saved") else {
        return;
    };
    let saved = |options: &[&str], script: &str| {
        let mut command = zroot_with(["-s", "state"]);
        command.args(options).args(["--", "sh", "-ec", script]);
        run(command.current_dir(tree.place())).succeeds();
        let text = fs::read_to_string(tree.place().join("state")).expect("a state");
        let lines = text.lines().filter(|line| line.starts_with("dev="));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let left = saved(
        &["--root", "root"],
        "cd /tmp; touch a b c; chown 5:7 a b c; mkdir e; chown 5 e; chown 8 .
        chroot / rm /tmp/a; chroot /tmp/.. sh -c 'mv /tmp/b /tmp/c; rmdir /tmp/e; rm /tmp/c'",
    );
    assert!(
        matches!(&left[..], [line] if line.contains("uid=8,gid=0")),
        "{left:?}"
    );
    let left = saved(
        &[],
        "mkdir d; chmod 777 d; cd d; touch a b; chown 5:7 a b .; mkdir e; chown 5 e
        chroot --userspec=5:7 / sh -ec \"cd $PWD; rm a; rmdir e; : >c; mv c b; rm b; : >own\"",
    );
    let is_left = |line: &String| line.contains("uid=5,gid=7");
    assert!(left.len() == 2 && left.iter().all(is_left), "{left:?}");
}

/// A new file under an old number is not taken for what was there.
#[test]
fn the_next_file_of_a_number_is_another() {
    let place = dir();
    at(
        &place,
        ["-s", "state"],
        "echo >f; chown 5 f; mkdir d; chown 6 d",
    )
    .succeeds();
    let inodes = || {
        let inode = |name: &str| {
            use std::os::unix::fs::MetadataExt;
            fs::metadata(place.path().join(name)).expect("a file").ino()
        };
        (inode("f"), inode("d"))
    };
    let before = inodes();
    let mut is_other = false;
    // Some file systems give a number again, some do not.
    for _ in 0..20 {
        fs::remove_file(place.path().join("f")).expect("removed");
        fs::remove_dir(place.path().join("d")).expect("removed");
        run(user("sh")
            .args(["-c", "echo >f; mkdir d"])
            .current_dir(place.path()))
        .succeeds();
        is_other |= inodes() == before;
        let look = at(&place, ["-i", "state"], "stat -c %u f d").succeeds();
        assert_eq!(look.stdout, "0\n0\n");
    }
    if !is_other {
        println!("NOTE this file system gives no number again");
    }
}

#[test]
fn a_damaged_file_is_named_and_nothing_runs() {
    let place = dir();
    at(
        &place,
        ["-s", "state"],
        &format!("{MAKE}; touch -h -d @1 d/f"),
    )
    .succeeds();
    let path = place.path().join("state");
    let whole = fs::read(&path).expect("a state");
    let bad = |text: &[u8]| {
        let bad = place.path().join("bad");
        fs::write(&bad, text).expect("written");
        give(&bad);
        let ran = at(&place, ["-i", "bad", "-s", "bad"], "echo ran; chown 1 d/f");
        assert_eq!(fs::read(&bad).expect("a file"), text, "it is as it was");
        ran
    };
    let expect_line = |text: &[u8], line: usize| {
        let ran = bad(text);
        let said = format!("line {line}: ");
        assert!(
            ran.status == 125 && ran.stdout.is_empty() && ran.stderr.contains(&said),
            "{said}{ran:#?}"
        );
    };
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    // Cut anywhere, but for an empty file, which says nothing.
    let mut random = Random(1);
    for _ in 0..60 {
        let cut = usize::try_from(random.next() >> 33).expect("few") % (whole.len() - 1) + 1;
        let line = whole[..cut].split(|byte| *byte == b'\n').count();
        expect_line(&whole[..cut], line);
    }
    for line in 1..lines.len() {
        expect_line(&lines[..line].concat(), line + 1); // at a line's end
        let mut less = lines.clone();
        less.remove(line - 1);
        assert_eq!(bad(&less.concat()).status, 125, "without line {line}");
    }
    let with = |number: usize, text: &str| {
        let mut all: Vec<&[u8]> = lines.clone();
        all[number - 1] = text.as_bytes();
        all.concat()
    };
    for text in [
        "",
        "#\n",
        "dev=fd01,ino=1,mode=100644,uid=5,gid=7,nlink=1\n",
        "dev=fd01,ino=1,mode=100644,uid=5,gid=7,nlink=1,rdev=0,more=1\n",
        "dev=fd01,ino=1,mode=100644,uid=-5,gid=7,nlink=1,rdev=0\n",
        "dev=fd01,ino=1,mode=100644,uid=4294967296,gid=7,nlink=1,rdev=0\n",
        "dev=fd01,ino=1,mode=644,uid=5,gid=7,nlink=1,rdev=0\n",
        "dev=fd01,ino=1,mode=9,uid=5,gid=7,nlink=1,rdev=0\n",
        "zroot-seen dev=fd01,ino=1,born=0,shown=0\n",
        "zroot-other dev=fd01,ino=1\n",
    ] {
        if !text.is_empty() {
            expect_line(&with(3, text), 3);
        }
    }
    expect_line(b"\x7fELF\x02\x01\x01\n", 1);
    expect_line(&[&whole[..], lines[0]].concat(), lines.len() + 1);
    // A file of nothing but zeros, as long as a disk.
    let ran = {
        let file = fs::File::create(place.path().join("bad")).expect("a file");
        file.set_len(1 << 40).expect("a long file");
        at(&place, ["-i", "bad"], "echo ran")
    };
    assert!(
        ran.status == 125 && ran.stderr.contains("line 1: "),
        "{ran:#?}"
    );
    for (name, says) in [("none", "No such file"), ("d", "Is a directory")] {
        let ran = at(&place, ["-i", name], "echo ran");
        assert!(
            ran.status == 125 && ran.stderr.contains(says) && ran.stdout.is_empty(),
            "{ran:#?}"
        );
    }
    // What is whole can be loaded, an empty file, too.
    fs::write(place.path().join("empty"), "").expect("written");
    at(&place, ["-i", "empty"], "true").succeeds();
    assert_eq!(at(&place, ["-i", "state"], LIST).succeeds().stdout, LISTED);
}

#[test]
fn what_cannot_be_saved_to_is_said_before_anything_runs() {
    let place = dir();
    let refused = |options: [&str; 2], says: &str| {
        let ran = at(&place, options, "echo ran");
        assert!(
            ran.status == 125 && ran.stderr.contains(says) && ran.stdout.is_empty(),
            "{ran:#?}"
        );
    };
    refused(["-s", "none/state"], "No such file or directory");
    refused(["-s", "."], "directory");
    run(user("sh")
        .args(["-c", "mkdir closed; echo >closed/state; chmod 555 closed"])
        .current_dir(place.path()))
    .succeeds();
    refused(["-s", "closed/state"], "must be writable");
    refused(["-s", "closed/new"], "Permission denied");
    let other = at(&place, ["-c", "selective", "-s", "state"], "echo ran");
    other.fails_with("only level full remembers owners");
    // Nothing was begun, and nothing is left.
    let mut missing = zroot_with(["-s", "state", "--", "no-such-command"]);
    assert_eq!(run(missing.current_dir(place.path())).status, 127);
    assert_eq!(names(&place), ["closed"]);
    // A command that fails has done something all the same, and its status is its own.
    let failed = at(&place, ["-s", "state"], "echo >f; chown 5 f; exit 3");
    assert_eq!((failed.status, owners(&place, "state").len()), (3, 1));
    let killed = at(&place, ["-s", "state"], "echo >f; chown 5:6 f; kill -9 $$");
    assert_eq!(killed.status, 137, "{killed:#?}");
    assert!(owners(&place, "state")[0].contains("gid=6"));
}

#[test]
fn one_run_at_a_time_saves() {
    let place = dir();
    let mut first = script(&place, ["-s", "state"], "echo >f; chown 5 f; read line")
        .stdin(Stdio::piped())
        .spawn()
        .expect("started");
    wait_for("the first", || {
        place.path().join("f").exists().then_some(())
    });
    let second = at(&place, ["-s", "state"], "echo ran");
    assert!(second.stdout.is_empty(), "{second:#?}");
    second.fails_with("another zroot saves to");
    // Another file is another's, and what is there can be loaded.
    at(&place, ["-s", "other"], "true").succeeds();
    drop(first.stdin.take());
    first.wait().expect("its end");
    at(&place, ["-i", "state", "-s", "state"], "true").succeeds();
    assert_eq!(owners(&place, "state").len(), 1);
    assert_eq!(names(&place), ["f", "other", "state"]);
}

#[test]
fn a_pipe_is_written_as_it_is() {
    let place = dir();
    run(user("mkfifo").arg("pipe").current_dir(place.path())).succeeds();
    let mut first = script(&place, ["-s", "pipe"], "echo >f; chown 5:7 f");
    let mut first = first.spawn().expect("started");
    let text = fs::read_to_string(place.path().join("pipe")).expect("read");
    assert!(
        text.contains("uid=5,gid=7") && text.ends_with('\n'),
        "{text}"
    );
    assert!(first.wait().expect("its end").success());
    assert_eq!(names(&place), ["f", "pipe"]);
    // And loaded: what one run says goes to the next at once.
    let piped = "cat text > pipe & exec \"$0\" -i pipe -- stat -c %u:%g f";
    fs::write(place.path().join("text"), text).expect("written");
    let mut next = user("sh");
    next.args(["-c", piped]).arg(crate::common::zroot());
    assert_eq!(
        run(next.current_dir(place.path())).succeeds().stdout,
        "5:7\n"
    );
}

/// It is in memory that zroot has, too.
#[test]
fn a_killed_supervisor_loses_nothing() {
    let place = dir();
    // Nobody answers any more: what is asked fails.
    let kill = "echo >f; chown 5:7 f
        for p in /proc/[0-9]*; do
            case $(readlink $p/ns/user) in $(readlink /proc/self/ns/user))
                test $(stat -c %u $p) != 0 || case $(cat $p/comm) in zroot*) kill -9 ${p#/proc/}; esac
            esac
        done 2>/dev/null; kill -9 $$";
    let _ = at(&place, ["-s", "state"], kill);
    let saved = owners(&place, "state");
    assert!(
        matches!(&saved[..], [line] if line.contains("uid=5,gid=7")),
        "{saved:?}"
    );
}

/// Its supervisor is killed when it has removed a file and nobody knows: its successor says so, and
/// does not look for the file once more.
#[test]
fn what_a_killed_supervisor_has_removed_is_removed_once() {
    const TEST: &str = "what_a_killed_supervisor_has_removed_is_removed_once";
    need!(TEST, "strace");
    for (call, is_killed) in [
        ("unlink \"f\"", true),
        ("rmdir \"d\"", true),
        ("rename \"n\", \"f\"", true),
        // The control.
        ("unlink \"f\"", false),
    ] {
        let Some(bench) = Bench::new(TEST) else {
            return;
        };
        let script = format!(
            "mkdir d; echo >f; echo >n; chown 5 d f; echo ready; read line
            exec perl -e '$| = 1; print(({call}) ? \"once\" : $!, \"\\n\"); print(({call}) ? \"twice\" : $!)'"
        );
        let zroot = zroot().to_str().expect("UTF-8");
        let mut live =
            Live::start(&mut bench.command([zroot, "-s", "state", "sh", "-ec", &script]));
        live.says("ready");
        let supervisor = bench.one(SUPERVISOR);
        // strace(1) holds it where a removal is done, and longer than this takes.
        let mut strace = user("strace");
        strace.args(["-qq", "-o", "/dev/null", "-e"]);
        strace.arg("trace=unlinkat,?renameat,?renameat2").args([
            "-e",
            "inject=unlinkat,?renameat,?renameat2:delay_exit=600000000",
            "-p",
            &supervisor.to_string(),
        ]);
        let mut strace = is_killed.then(|| strace.spawn().expect("strace"));
        let is_so = |has: &str| {
            let status = fs::read_to_string(format!("/proc/{supervisor}/status")).ok()?;
            status.contains(has).then_some(())
        };
        if let Some(strace) = &mut strace {
            let tracer = format!("TracerPid:\t{}\n", strace.id());
            wait_for("strace", || is_so(&tracer));
        }
        live.enter();
        if let Some(mut strace) = strace {
            let path = bench.dir.path();
            wait_for("a removal", || {
                let is_there = ["d", "f", "n"].iter().all(|name| path.join(name).exists());
                (!is_there).then_some(())?;
                is_so("State:\tt")
            });
            send(supervisor, Signal::SIGKILL);
            // Which lets it go to its end.
            strace.kill().expect("killed");
            strace.wait().expect("strace's end");
        }
        live.says("once");
        live.ends("No such file or directory");
        bench.nothing_is_left();
        let text = fs::read_to_string(bench.dir.path().join("state")).expect("a state");
        let lines = text.lines().filter(|line| line.starts_with("dev=")).count();
        assert_eq!(lines, 1, "what is gone is not saved: {text}");
    }
}

/// A state of as many inodes that nobody has.
fn large(count: u64) -> String {
    (0..count).fold(String::new(), |mut text, i| {
        let (uid, gid) = (i % 60_000, i % 7);
        let line = "mode=100644";
        let _ = writeln!(
            text,
            "dev=fff{:x},ino={i},{line},uid={uid},gid={gid},nlink=1,rdev=0",
            i % 3
        );
        text
    })
}

/// Killed while it saves, it leaves the old file or the new one.
#[test]
fn killed_at_any_moment() {
    let place = dir();
    let path = place.path().join("state");
    let old = large(20_000);
    fs::write(&path, &old).expect("written");
    give(&path);
    let start = || -> Child {
        let mut command = script(
            &place,
            ["-i", "state", "-s", "state"],
            "echo >f; chown 77 f",
        );
        command.spawn().expect("started")
    };
    let began = Instant::now();
    assert!(start().wait().expect("its end").success());
    let took = began.elapsed();
    let new = fs::read(&path).expect("a state");
    let (mut olds, mut news, mut others) = (0, 0, 0);
    for i in 1..=100_u32 {
        fs::write(&path, &old).expect("written");
        let began = Instant::now();
        let mut child = start();
        let until = took * i / 90;
        while began.elapsed() < until {
            std::hint::spin_loop();
        }
        child.kill().expect("killed");
        child.wait().expect("its end");
        let now = fs::read(&path).expect("a state");
        let is_new = now.len() > old.len() && now.starts_with(b"dev=0");
        match () {
            () if now == old.as_bytes() => olds += 1,
            () if is_new && now.ends_with(b"\n") && now.len().abs_diff(new.len()) < 200 => {
                news += 1;
            }
            () => others += 1,
        }
        let left: Vec<_> = names(&place);
        let is_known = |name: &String| ["f", "state", ".state.zroot"].contains(&&**name);
        assert!(left.iter().all(is_known), "{left:?}");
    }
    assert_eq!(others, 0, "{olds} old, {news} new");
    assert!(olds > 0, "killed too late");
    // What was left is of use to the next, once the command is killed, too.
    wait_for("the last one's end", || {
        let next = at(&place, ["-i", "state", "-s", "state"], "true");
        (next.status == 0).then_some(())
    });
    assert_eq!(names(&place), ["f", "state"]);
}

fn number(process: &Child) -> i32 {
    process.id().try_into().expect("a number")
}

/// A file system in a process of its own, below `place`, which can be stopped.
struct Fuse {
    process: Child,
    at: PathBuf,
}

impl Fuse {
    /// With an empty directory `merged` of the user's.
    fn mount(place: &Path) -> Fuse {
        let make = "mkdir lower up work merged";
        run(user("sh").args(["-ec", make]).current_dir(place)).succeeds();
        let mut command = plain("fuse-overlayfs");
        let options = "allow_other,lowerdir=lower,upperdir=up,workdir=work";
        command.args(["-f", "-o", options, "merged"]);
        let command = command.current_dir(place).stderr(Stdio::null());
        let fuse = Fuse {
            process: command.spawn().expect("started"),
            at: place.join("merged"),
        };
        let at = format!(" {} ", fuse.at.display());
        wait_for("a mount", || {
            let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
            mounts.contains(&at).then_some(())
        });
        fuse
    }

    fn send(&self, signal: Signal) {
        send(number(&self.process), signal);
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        self.send(Signal::SIGCONT);
        let _ = plain("umount").arg("-l").arg(&self.at).status();
        let _ = (self.process.kill(), self.process.wait());
    }
}

/// Whoever waits for a disk that hangs can be ended: by the second signal, as the first may have
/// been meant for the command.
#[test]
fn a_disk_that_hangs_can_be_given_up() {
    let test = "a_disk_that_hangs_can_be_given_up";
    need!(test, "fuse-overlayfs");
    if for_root_only(test) {
        return;
    }
    if !Path::new("/dev/fuse").exists() {
        return skip(test, "there is no /dev/fuse");
    }
    let place = dir();
    let fuse = Fuse::mount(place.path());
    let state = place.path().join("merged/state");
    // The control comes second, and uses what the first has left.
    for is_given_up in [true, false] {
        let old = "echo old >merged/state; rm -f f";
        run(user("sh").args(["-ec", old]).current_dir(place.path())).succeeds();
        let text = "echo >f; chown 5:7 f; echo made; read line";
        let mut zroot = script(&place, ["-s", "merged/state"], text);
        let mut live = Live::start(zroot.stderr(Stdio::piped()));
        live.says("made");
        fuse.send(Signal::SIGSTOP);
        live.enter();
        let zroot = number(&live.child);
        wait_for("a process that saves", || {
            let children = fs::read_to_string(format!("/proc/{zroot}/task/{zroot}/children"));
            let child = children.ok()?.trim().to_owned();
            let name = fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
            (name == "zroot\n").then_some(())
        });
        let mut stderr = BufReader::new(live.child.stderr.take().expect("a pipe"));
        let mut says = || {
            let mut line = String::new();
            stderr.read_line(&mut line).expect("a line");
            line
        };
        let end = || send(zroot, Signal::SIGTERM);
        end();
        let said = says();
        assert!(said.contains("another SIGTERM gives that up"), "{said}");
        if is_given_up {
            end();
            assert_eq!(live.child.wait().expect("its end").code(), Some(125));
            let said = says();
            assert!(
                said.starts_with("zroot: SIGTERM while saving to "),
                "{said}"
            );
            fuse.send(Signal::SIGCONT);
            assert_eq!(fs::read_to_string(&state).expect("a state"), "old\n");
        } else {
            fuse.send(Signal::SIGCONT);
            live.ends("");
            assert!(
                fs::read_to_string(&state)
                    .expect("a state")
                    .contains("uid=5,gid=7")
            );
        }
    }
}

/// Set-id bits that are only shown fall as the kernel's own do, when the owner changes; by the name
/// of fakeroot they stay, as for that.
#[test]
fn set_id_bits_that_are_shown_fall() {
    const MODES: [u32; 7] = [0o4755, 0o2755, 0o2745, 0o2644, 0o6711, 0o4600, 0o1755];
    let test = "set_id_bits_that_are_shown_fall";
    let changes = [
        "chown 5:6 $f",
        "chown :6 $f",
        "chown -h 0:0 $f",
        "chown 0 $f",
        "chmod u+x $f; chown 5 $f",
    ];
    // The mode that a file or directory has, which is shown as `mode`, before `change` and after.
    let tried = |launch: &dyn Fn() -> Command, is_shown: bool, mode: u32, change: &str| -> String {
        let place = dir();
        let make = "umask 022; mkdir d; : >f; stat -c %d,%i,%f d f";
        let made = run(user("sh").args(["-ec", make]).current_dir(place.path())).succeeds();
        let mut text = String::new();
        for line in made.stdout.lines() {
            let parts: Vec<_> = line.split(',').collect();
            let dev: u64 = parts[0].parse().expect("a number");
            let kind = u32::from_str_radix(parts[2], 16).expect("a mode") & libc::S_IFMT;
            let (ino, mode) = (parts[1], kind | mode);
            let rest = "uid=0,gid=0,nlink=1,rdev=0";
            let _ = writeln!(text, "dev={dev:x},ino={ino},mode={mode:o},{rest}");
        }
        fs::write(place.path().join("state"), text).expect("written");
        let set = if is_shown {
            String::new()
        } else {
            format!("mkdir r; cd r; mkdir d; : >f; chmod {mode:o} d f;")
        };
        let script = format!(
            "umask 022; {set} stat -c %a d f; for f in d f; do {change}; done; stat -c %a d f"
        );
        let mut command = launch();
        command
            .args(["sh", "-ec", &script])
            .current_dir(place.path());
        if !is_shown {
            command.uid(0).gid(0);
        }
        run(&mut command).succeeds().stdout
    };
    let ours = || zroot_with(["-i", "state", "--"]);
    for mode in MODES {
        for change in changes {
            let shown = tried(&ours, true, mode, change);
            if has_oracle(test) {
                let real = tried(&|| plain("env"), false, mode, change);
                assert_eq!(shown, real, "{mode:o} {change}");
            }
            // What is shown was seen, and is not what the kernel has.
            assert!(
                shown.starts_with(&format!("{mode:o}\n{mode:o}\n")),
                "{shown}"
            );
            if program("fakeroot").is_some() {
                let by = |name: PathBuf| {
                    tried(
                        &|| {
                            let mut command = user(&name);
                            command.args(["-i", "state", "--"]);
                            command
                        },
                        true,
                        mode,
                        change,
                    )
                };
                let ours = by(crate::common::names().join("fakeroot"));
                assert_eq!(ours, by("/usr/bin/fakeroot".into()), "{mode:o} {change}");
            }
        }
    }
}

#[test]
fn many_inodes_are_saved_and_loaded() {
    let place = dir();
    let text = large(200_000);
    fs::write(place.path().join("state"), &text).expect("written");
    at(&place, ["-i", "state", "-s", "again"], "true").succeeds();
    let lines = |name: &str| {
        let text = fs::read_to_string(place.path().join(name)).expect("a state");
        let mut lines: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("dev="))
            .map(|line| line.trim_start_matches('0').to_owned())
            .collect();
        lines.sort();
        lines
    };
    assert!(lines("state") == lines("again"), "they are the same");
}

#[test]
fn nothing_is_saved_of_what_is_root_s() {
    let place = dir();
    at(
        &place,
        ["-s", "state"],
        "echo >f; chown 5 f; chown 0 f; mkdir d; chmod 700 d",
    )
    .succeeds();
    assert_eq!(owners(&place, "state"), [""; 0]);
}

/// The one around answers, and has the state.
#[test]
fn inside_another_it_is_refused() {
    let place = dir();
    let inside = format!("{} -s state true", crate::common::zroot().display());
    let ran = at(&place, ["-c", "full"], &inside);
    ran.fails_with("has a supervisor already");
    assert_eq!(names(&place), [""; 0]);
}

/// What is saved does not depend on where the command goes.
#[test]
fn names_are_meant_where_zroot_starts() {
    let place = dir();
    run(user("mkdir").arg("sub").current_dir(place.path())).succeeds();
    at(
        &place,
        ["-C", "sub", "-s", "state"],
        "echo >f; chown 5 f; cd /",
    )
    .succeeds();
    assert_eq!(names(&place), ["state", "sub"]);
    let look = at(&place, ["-C", "sub", "-i", "state"], "stat -c %u f").succeeds();
    assert_eq!(look.stdout, "5\n");
}
