//! The supervisor survives whatever its targets do, and they survive what is done to it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{Bench, GUARD, Live, SUPERVISOR, descriptors, program, send, stat};
use crate::common::{self, is_root, run, user, wait_for};

/// Targets that say so if a call of theirs comes out wrong.
struct Canaries(Vec<Live>);

impl Canaries {
    fn start(bench: &Bench) -> Canaries {
        // One after the other would have supervisors of their own; the shell starts all.
        let mut command = bench.selective(&[
            "sh",
            "-ec",
            r#"exec 9<&0; ("$0" canary b <&9 >b.out; echo $? >b.status) & "$0" canary a; wait; cat b.out b.status"#,
        ]);
        let mut live = Live::start(command.arg(program()));
        live.says("ready");
        wait_for("the second", || {
            fs::read_to_string(bench.dir.path().join("b.out"))
                .ok()
                .filter(|said| said.contains("ready"))
        });
        Canaries(vec![live])
    }

    #[track_caller]
    fn all_was_right(self) {
        for live in self.0 {
            live.ends("right\nready\nright\n0");
        }
    }
}

/// How many descriptors it has open between two calls, as far as we may look.
fn least_descriptors(supervisor: i32) -> usize {
    let open = || fs::read_dir(format!("/proc/{supervisor}/fd")).ok();
    let counts = (0..1000).filter_map(|_| open().map(Iterator::count));
    counts.min().unwrap_or_default()
}

#[test]
fn a_killed_supervisor_is_replaced() {
    const TIMES: usize = 25;
    let Some(bench) = Bench::new("a_killed_supervisor_is_replaced") else {
        return;
    };
    let canaries = Canaries::start(&bench);
    let mut supervisor = bench.one(SUPERVISOR);
    let guard = bench.one(GUARD);
    let before = least_descriptors(supervisor);
    for signal in [Signal::SIGKILL; TIMES] {
        send(supervisor, signal);
        supervisor = bench.successor(SUPERVISOR, supervisor);
    }
    assert_eq!(bench.one(GUARD), guard);
    // It holds those who have called lately, each by one, and that may be others than at first.
    // What it does not close when it takes over is one at least each time.
    let now = least_descriptors(supervisor);
    assert!(now < before + TIMES, "{now}, and {before} before");
    canaries.all_was_right();
    bench.nothing_is_left();
}

#[test]
fn a_killed_guard_is_replaced() {
    let Some(bench) = Bench::new("a_killed_guard_is_replaced") else {
        return;
    };
    let canaries = Canaries::start(&bench);
    for _ in 0..10 {
        let (guard, supervisor) = (bench.one(GUARD), bench.one(SUPERVISOR));
        send(guard, Signal::SIGKILL);
        // The supervisor takes its place.
        assert_eq!(bench.successor(GUARD, guard), supervisor);
        let heir = bench.successor(SUPERVISOR, supervisor);
        // And the new one's child is replaced as the first one was.
        send(heir, Signal::SIGKILL);
        bench.successor(SUPERVISOR, heir);
    }
    canaries.all_was_right();
    bench.nothing_is_left();
}

/// strace(1) has every third ioctl of the supervisor fail with EINTR: those that take calls, that
/// look whether a caller still waits, and that answer.
#[test]
fn an_interrupted_supervisor_loses_no_call() {
    const TEST: &str = "an_interrupted_supervisor_loses_no_call";
    need!(TEST, "strace");
    let Some(bench) = Bench::new(TEST) else {
        return;
    };
    let canaries = Canaries::start(&bench);
    let supervisor = bench.one(SUPERVISOR);
    let log = bench.dir.path().join("ioctls");
    // The last ones are not interrupted, so that strace lets go of a call as it is.
    let inject = "inject=ioctl:error=EINTR:when=1..1500+3";
    let mut strace = user("strace")
        .args(["-qq", "-e", "trace=ioctl", "-e", inject, "-o"])
        .arg(&log)
        .args(["-p", &supervisor.to_string()])
        .spawn()
        .expect("strace");
    wait_for("500 interrupted ioctls, and more", || {
        let log = fs::read_to_string(&log).ok()?;
        (log.lines().count() > 1600).then(|| {
            assert_eq!(log.matches("(INJECTED)").count(), 500);
        })
    });
    send(i32::try_from(strace.id()).expect("a pid"), Signal::SIGTERM);
    strace.wait().expect("strace's end");
    assert_eq!(bench.one(SUPERVISOR), supervisor);
    canaries.all_was_right();
    bench.nothing_is_left();
}

/// If both are killed at the same instant, nobody is left to answer. Calls fail, and none hangs.
#[test]
fn without_supervisor_and_guard_calls_fail() {
    let Some(bench) = Bench::new("without_supervisor_and_guard_calls_fail") else {
        return;
    };
    let mut live = Live::start(&mut bench.supervised(&["until"]));
    live.says("ready");
    live.ends("right");
    for _ in 0..10 {
        let mut live = Live::start(&mut bench.supervised(&["until"]));
        live.says("ready");
        let (supervisor, guard) = (bench.one(SUPERVISOR), bench.one(GUARD));
        // Stopped, neither sees the other's end.
        send(guard, Signal::SIGSTOP);
        send(supervisor, Signal::SIGSTOP);
        send(guard, Signal::SIGKILL);
        send(supervisor, Signal::SIGKILL);
        live.says("ENOSYS");
        live.ends("");
        bench.nothing_is_left();
    }
}

#[test]
fn signals_do_not_disturb_it() {
    let Some(bench) = Bench::new("signals_do_not_disturb_it") else {
        return;
    };
    let canaries = Canaries::start(&bench);
    let (supervisor, guard) = (bench.one(SUPERVISOR), bench.one(GUARD));
    for signal in [
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGXFSZ,
        Signal::SIGPIPE,
        Signal::SIGALRM,
    ] {
        send(supervisor, signal);
        send(guard, signal);
    }
    for pid in [supervisor, guard, supervisor] {
        send(pid, Signal::SIGSTOP);
        // The guard lets nobody stop the one that serves, which needs no guard meanwhile.
        let expected = if pid == guard { "T" } else { "S" };
        wait_for("a state", || (stat(pid)?.0 == expected).then_some(()));
        send(pid, Signal::SIGCONT);
    }
    // Neither has taken a signal for the other's end.
    assert_eq!(
        (bench.one(SUPERVISOR), bench.one(GUARD)),
        (supervisor, guard)
    );
    canaries.all_was_right();
    bench.nothing_is_left();
}

/// Neither does anything while no call comes, and the next one is answered as the first was.
#[test]
fn nobody_wakes_up_while_nothing_happens() {
    let Some(bench) = Bench::new("nobody_wakes_up_while_nothing_happens") else {
        return;
    };
    let script = "chown 5 . && echo one; read line; chown 5 . && echo two";
    let mut live = Live::start(&mut bench.selective(&["sh", "-c", script]));
    live.says("one");
    let pids = [bench.one(SUPERVISOR), bench.one(GUARD)];
    let waits = || pids.map(|pid| field(pid, "voluntary_ctxt_switches:"));
    let mut quiet = (waits(), Instant::now());
    wait_for("a second without a switch of processes", || {
        let now = waits();
        if now != quiet.0 {
            quiet = (now, Instant::now());
        }
        (quiet.1.elapsed() >= Duration::from_secs(1)).then_some(())
    });
    live.ends("two");
    bench.nothing_is_left();
}

/// A path that leads into a file system which another target serves, and which does not answer.
#[test]
fn a_call_that_hangs_holds_up_nobody_else() {
    let name = "a_call_that_hangs_holds_up_nobody_else";
    let Some(bench) = Bench::new(name) else {
        return;
    };
    let mut device = PathBuf::from("/dev/fuse");
    if is_root() {
        // Where users may not open the machine's own, root makes another.
        device = bench.dir.path().join("fuse");
        let made = Command::new("mknod")
            .args(["-m", "666"])
            .arg(&device)
            .args(["c", "10", "229"])
            .status();
        assert!(made.expect("mknod").success());
    }
    run(user("mkdir").arg(bench.dir.path().join("place"))).succeeds();
    let (device, control) = (
        device.to_str().expect("UTF-8"),
        "exec 3<>$0 && unshare -rm true",
    );
    if run(user("sh").args(["-c", control, device])).status != 0 {
        // A plain user may have to go without, where root makes a device for the test.
        if is_root() {
            common::skip(name, "/dev/fuse cannot be opened");
        } else {
            common::for_root_only(name);
        }
        return;
    }
    // The one hangs until the others have ended, which the program sees; were they held up, nobody
    // would end. How long they take is for tests/trust.
    bench.right(&["hang", device, "place"], "right");
    bench.nothing_is_left();
}

/// Memory that only `pid` has, resident, in bytes.
fn rss(pid: i32) -> u64 {
    field(pid, "RssAnon:") * 1024
}

/// A number in `/proc/PID/status`.
fn field(pid: i32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let mut lines = status.lines();
    let value = lines.find_map(|line| line.strip_prefix(name));
    let value = value.expect("a field").trim().trim_end_matches(" kB");
    value.parse().expect("a number")
}

/// So many MiB, and 100 bytes per state that a process has.
fn assert_small(pid: i32, most: u64, states: u64) {
    let (is, most) = (rss(pid), most * 1024 * 1024 + 100 * states);
    assert!(is < most, "{is} bytes, more than {most}");
}

#[test]
fn memory_is_bounded() {
    let Some(bench) = Bench::new("memory_is_bounded") else {
        return;
    };
    for (what, count, most) in [
        ("one-process", "20000", 4),
        ("short-lived", "20000", 4),
        // What malloc keeps of half a MB that is read as a text of groups differs from run to run,
        // and does not grow: 2.4 to 5.5 MB after 30, 300 and 1500 times. All of it would be 75.
        ("huge", "300", 8),
        ("many", "500", 4),
    ] {
        let mut live = Live::start(&mut bench.supervised(&[what, count]));
        live.says("done");
        let supervisor = bench.one(SUPERVISOR);
        assert_small(supervisor, most, if what == "many" { 500 } else { 1 });
        // Nothing of it is in the journal either.
        if is_root() {
            let journal = fs::read_dir(format!("/proc/{supervisor}/fd"))
                .expect("fd")
                .flatten()
                .map(|entry| entry.path());
            let journal = journal.filter(|path| {
                fs::read_link(path).is_ok_and(|to| to.to_string_lossy().contains("zroot-journal"))
            });
            let size = std::os::unix::fs::MetadataExt::blocks(
                &fs::metadata(journal.last().expect("a journal")).expect("metadata"),
            ) * 512;
            assert!(
                size < 4 * 1024 * 1024,
                "{what}: the journal has {size} bytes"
            );
            assert!(descriptors(supervisor).expect("fd") < 12);
        }
        // A successor knows it all, too.
        send(supervisor, Signal::SIGKILL);
        bench.successor(SUPERVISOR, supervisor);
        live.ends("");
        bench.nothing_is_left();
    }
}

#[test]
fn many_threads_and_processes() {
    let Some(bench) = Bench::new("many_threads_and_processes") else {
        return;
    };
    bench.right(&["threads"], "right");
    let mut command = bench.selective(&["prlimit", "--nproc=300"]);
    let mut live = Live::start(command.arg(program()).arg("bomb"));
    assert!(live.child.wait().expect("waited for").success());
    bench.nothing_is_left();
}

#[test]
fn garbage_does_not_kill_it() {
    let Some(bench) = Bench::new("garbage_does_not_kill_it") else {
        return;
    };
    run(user("mkdir").args(["x", "y"]).current_dir(bench.dir.path())).succeeds();
    let seed = std::process::id();
    let script = format!(
        r#"exec 9<&0; for dir in x y; do (cd $dir; while [ -e ../go ]; do "$0" garbage 1 $(({seed} + $(date +%N | sed 's/^0*//'))); done >&2; echo $? >status) & done
        "$0" canary a <&9; rm go; wait"#
    );
    fs::write(bench.dir.path().join("go"), "").expect("written");
    common::give(&bench.dir.path().join("go"));
    let mut command = bench.selective(&["sh", "-c", &script]);
    let mut live = Live::start(command.arg(program()));
    live.says("ready");
    let (supervisor, guard) = (bench.one(SUPERVISOR), bench.one(GUARD));
    let deadline = Instant::now() + Duration::from_secs(4);
    while Instant::now() < deadline {
        assert_eq!(bench.named(SUPERVISOR), [supervisor]);
        assert_eq!(bench.named(GUARD), [guard]);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_small(supervisor, 4, 10);
    live.ends("right");
    bench.nothing_is_left();
}
