//! The supervisor of level selective survives whatever its targets do, and they survive what is
//! done to it.
//!
//! Each run is marked by a soft limit that limits nothing here, which every process of it has and
//! everybody may read, so that what is left over of it is found wherever it is.
#![allow(unsafe_code)] // setrlimit(2) between fork and execve

mod common;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::{Ran, control, dir, is_root, run, user, zroot};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

const SUPERVISOR: &str = "zroot-supervise";
const GUARD: &str = "zroot-guard";
/// What a condition may take to come true before a test gives up.
const LONG: Duration = Duration::from_secs(20);

/// Waits until `get` has something.
#[track_caller]
fn wait_for<T>(what: &str, most: Duration, mut get: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + most;
    loop {
        if let Some(value) = get() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {most:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What comes back to a process that adopts orphans is nobody's that it started.
#[test]
fn who_adopts_orphans_does_not_find_the_supervisor() {
    let test = "who_adopts_orphans_does_not_find_the_supervisor";
    need!(test, "perl");
    let first = ["-rpf", "--mount-proc", "--"];
    if run(user("unshare").args(first).arg("true")).status != 0 {
        common::skip(test, "there are no PID namespaces for users");
        return;
    }
    let wait = r#"my $children = 0; $children++ while wait() != -1; print "$children, as $$";"#;
    // As the first process of a PID namespace.
    let ran = run(user("unshare").args(first).arg(zroot()).args([
        "-c",
        "selective",
        "--",
        "perl",
        "-e",
        wait,
    ]))
    .succeeds();
    assert_eq!(ran.stdout, "0, as 1", "{ran:#?}");
    // As a subreaper, which execve leaves: PR_SET_CHILD_SUBREAPER is 36.
    let reaper = r"syscall($ARGV[0], 36, 1, 0, 0, 0) == 0 or die; shift; exec @ARGV";
    let number = libc::SYS_prctl.to_string();
    let command = [
        "-c",
        "selective",
        "--",
        "perl",
        "-e",
        r"my $children = 0; $children++ while wait() != -1; print $children",
    ];
    let ran = run(user("perl")
        .args(["-e", reaper, &number])
        .arg(zroot())
        .args(command))
    .succeeds();
    assert_eq!(ran.stdout, "0", "{ran:#?}");
}

/// The command is never run without the emulation that was asked for.
#[test]
fn a_supervisor_that_answers_less_is_not_enough() {
    let inside = |options: &[&str], script: &str| {
        let mut command = common::zroot_with(["-c", "selective", "--no-fake=owner", "--"]);
        run(command
            .arg(zroot())
            .args(options)
            .args(["--", "sh", "-c", script]))
    };
    let (what, hint) = inside(&["-c", "selective"], "true").refused(125);
    assert_eq!(
        what,
        "the supervisor of the zroot around this one does not answer owner"
    );
    assert!(hint.contains("--no-fake"), "{hint}");
    // At a level of its own choice it brings the filter for it.
    for options in [&[][..], &["-c", "auto"]] {
        inside(options, "f=$(mktemp) && chown 5:7 $f && rm $f").succeeds();
    }
    inside(&["-c", "selective", "--no-fake=owner"], "true").succeeds();
    // One that watches at level zero answers as blindly as a filter.
    let watched = |options: &[&str]| {
        let mut command = common::zroot_with(["--summary=/dev/null", "--"]);
        run(command.arg(zroot()).args(options).args([
            "--",
            "sh",
            "-c",
            "f=$(mktemp) && chown 5:7 $f && rm $f",
        ]))
    };
    refused(
        watched(&["-c", "selective"]),
        "pretends already",
        "--consistency=selective",
    );
    for options in [&[][..], &["-c", "auto"], &["-c", "zero"]] {
        watched(options).succeeds();
    }
    run(
        common::zroot_with(["-c", "selective", "--no-fake=owner", "--", "sh", "-c"])
            .arg("f=$(mktemp); chown 5:7 $f; s=$?; rm $f; exit $s"),
    )
    .fails_with("Invalid argument");
}

/// A directory to work in, the program `fixtures/supervisor.c`, and the mark of what is run.
struct Bench {
    dir: TempDir,
    mark: u64,
}

/// The program, compiled once, beside the copy of zroot.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let path = zroot().with_file_name(format!("supervisor-{}", std::process::id()));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/supervisor.c");
        run(Command::new("cc")
            .args(["-O1", "-w", "-pthread", "-o"])
            .arg(&path)
            .arg(source))
        .succeeds();
        let last = zroot().with_file_name("supervisor");
        fs::rename(path, &last).expect("rename");
        last
    })
}

impl Bench {
    /// `None` after a SKIP.
    fn new(test: &str) -> Option<Bench> {
        static MARKS: AtomicU64 = AtomicU64::new(0);
        for name in ["cc", "unshare", "setpriv", "perl"] {
            if common::program(name).is_none() {
                common::skip(test, &format!("there is no {name}"));
                return None;
            }
        }
        let mark = (u64::from(std::process::id()) % 6_000) * 100
            + MARKS.fetch_add(1, Ordering::Relaxed) % 100;
        program();
        Some(Bench { dir: dir(), mark })
    }

    /// `words...`, marked, as the unprivileged user in this directory.
    fn command<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Command {
        let mut words = words.into_iter();
        let mut command = user(words.next().expect("a word"));
        command.args(words).current_dir(self.dir.path());
        let mark = self.mark;
        // SAFETY: the closure makes two system calls.
        unsafe {
            command.pre_exec(move || {
                let mut limit = libc::rlimit {
                    rlim_cur: 0,
                    rlim_max: 0,
                };
                libc::getrlimit(libc::RLIMIT_MSGQUEUE, &raw mut limit);
                limit.rlim_cur = mark;
                if libc::setrlimit(libc::RLIMIT_MSGQUEUE, &raw const limit) == 0 {
                    Ok(())
                } else {
                    Err(std::io::Error::last_os_error())
                }
            });
        }
        command
    }

    /// `zroot -c selective WORDS...`.
    fn selective(&self, words: &[&str]) -> Command {
        self.command(
            [zroot().to_str().expect("UTF-8"), "-c", "selective"]
                .iter()
                .chain(words),
        )
    }

    /// `zroot -c selective supervised WORDS...`.
    fn supervised(&self, words: &[&str]) -> Command {
        let mut command = self.selective(&[]);
        command.arg(program()).args(words);
        command
    }

    /// Runs `words` under a supervisor, which must say `says` last, and succeed.
    #[track_caller]
    fn right(&self, words: &[&str], says: &str) -> Ran {
        let ran = run(&mut self.supervised(words)).succeeds();
        assert_eq!(ran.stdout.lines().last(), Some(says), "{ran:#?}");
        ran
    }

    /// The living processes of this run: number and name.
    fn processes(&self) -> BTreeSet<(i32, String)> {
        let all = fs::read_dir("/proc").expect("/proc").flatten();
        let all = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        all.filter_map(|pid| {
            let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
            let line = limits
                .lines()
                .find_map(|line| line.strip_prefix("Max msgqueue size"))?;
            let is_ours = line.split_whitespace().next()? == self.mark.to_string();
            (is_ours && stat(pid)?.0 != "Z").then(|| {
                Some((
                    pid,
                    fs::read_to_string(format!("/proc/{pid}/comm"))
                        .ok()?
                        .trim()
                        .to_owned(),
                ))
            })?
        })
        .collect()
    }

    fn named(&self, name: &str) -> Vec<i32> {
        self.processes()
            .into_iter()
            .filter(|(_, comm)| comm == name)
            .map(|(pid, _)| pid)
            .collect()
    }

    /// The one process of that name that there is or comes to be.
    #[track_caller]
    fn one(&self, name: &str) -> i32 {
        wait_for(
            &format!("one {name}"),
            LONG,
            || match self.named(name)[..] {
                [pid] => Some(pid),
                _ => None,
            },
        )
    }

    /// The one of that name that is not `old`.
    #[track_caller]
    fn successor(&self, name: &str, old: i32) -> i32 {
        wait_for(&format!("another {name}"), LONG, || {
            match self.named(name)[..] {
                [pid] if pid != old => Some(pid),
                _ => None,
            }
        })
    }

    /// Asserts that nothing is left over, as soon as that can be expected.
    #[track_caller]
    fn nothing_is_left(&self) {
        let start = Instant::now();
        wait_for("nothing left over", LONG, || {
            self.processes().is_empty().then_some(())
        });
        // "Within a second", and what other tests take of the machine.
        assert!(
            start.elapsed() < Duration::from_secs(3),
            "it took {:?}",
            start.elapsed()
        );
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for (pid, _) in self.processes() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// The state of process `pid`, its process group, session and terminal.
fn stat(pid: i32) -> Option<(String, i32, i32, i32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some((
        fields[0].to_owned(),
        fields[2].parse().ok()?,
        fields[3].parse().ok()?,
        fields[4].parse().ok()?,
    ))
}

fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap_or_else(|errno| panic!("kill {pid}: {errno}"));
}

/// A program that runs until its standard input ends, with what it says.
struct Live {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Live {
    fn start(command: &mut Command) -> Live {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("spawn");
        let (stdin, stdout) = (
            child.stdin.take(),
            BufReader::new(child.stdout.take().expect("a pipe")),
        );
        Live {
            child,
            stdin,
            stdout,
        }
    }

    #[track_caller]
    fn says(&mut self, what: &str) {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a line");
        assert_eq!(line.trim_end(), what);
    }

    /// Ends its standard input and it; asserts that it said `what`.
    #[track_caller]
    fn ends(mut self, what: &str) {
        drop(self.stdin.take());
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).expect("text");
        assert_eq!(said.trim_end(), what);
        assert!(self.child.wait().expect("waited for").success());
    }

    fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("waited for");
    }
}

/// Memory that only `pid` has, resident, in bytes.
fn rss(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("VmRSS");
    line.trim()
        .trim_end_matches(" kB")
        .parse::<u64>()
        .expect("a number")
        * 1024
}

/// How many descriptors `pid` has open between calls. Only root may look.
fn descriptors(pid: i32) -> Option<usize> {
    (0..50)
        .map(|_| Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count()))
        .min()?
}

// What the command finds, and what the supervisor holds.

#[test]
fn the_command_finds_itself_as_at_level_zero() {
    let Some(bench) = Bench::new("the_command_finds_itself_as_at_level_zero") else {
        return;
    };
    let file = bench.dir.path().join("said");
    for how in ["nothing", "ignored", "blocked"] {
        let says = |level: &str| {
            // In place: the numbers of the process, its group and session are the caller's.
            let script = r#"echo "$$"; umask 027; exec "$0" with "$1" "$2" -c "$3" "$0" state"#;
            let mut command = bench.command(["sh", "-c", script]);
            let ran = run(command.arg(program()).arg(how).arg(zroot()).arg(level)).succeeds();
            let pid = ran.stdout.lines().next().expect("a line").to_owned();
            assert!(ran.stdout.contains(&format!("\npid {pid}, ")), "{ran:#?}");
            ran.stdout
                .replace(&pid, "PID")
                .replace(&format!("parent {}", std::process::id()), "parent")
        };
        let (zero, selective) = (says("zero"), says("selective"));
        assert!(
            zero.contains("umask 27") && zero.contains("memfd:apt.conf"),
            "{zero}"
        );
        assert_eq!(zero, selective, "{how}");
        bench.nothing_is_left();
    }
    // Closed standard descriptors stay closed.
    let script = r#"exec "$0" with closed "$1" -c selective "$0" with nothing sh -c 'readlink /proc/$$/fd/[012] 1>"$0"; ls /proc/$$/fd >>"$0"' "$2""#;
    run(bench
        .command(["sh", "-c", script])
        .arg(program())
        .arg(zroot())
        .arg(&file))
    .succeeds();
    let said = fs::read_to_string(&file).expect("said");
    assert!(
        said.lines().all(|line| !matches!(line, "0" | "2"))
            && said.lines().any(|line| line == "50"),
        "{said}"
    );
    bench.nothing_is_left();
}

#[test]
fn the_supervisor_holds_nothing_of_the_caller() {
    let Some(bench) = Bench::new("the_supervisor_holds_nothing_of_the_caller") else {
        return;
    };
    // A daemon keeps the supervisor; the pipe, held open by nobody else, ends nevertheless.
    let script = r#"exec 9<&0
        { "$0" -c selective sh -c '"$0" leave <&9 >/dev/null 2>&1 8>&- 9<&-' "$1" 2>&1 8>&1; } | cat; echo ended"#;
    let (input, end) = std::io::pipe().expect("a pipe");
    let ran = run(bench
        .command(["sh", "-c", script])
        .arg(zroot())
        .arg(program())
        .stdin(input))
    .succeeds();
    assert_eq!(ran.stdout, "ended\n");
    let (supervisor, guard) = (bench.one(SUPERVISOR), bench.one(GUARD));
    let session = |pid| stat(pid).expect("stat");
    let own = session(i32::try_from(std::process::id()).expect("a pid"));
    assert!(
        [supervisor, guard]
            .into_iter()
            .all(|pid| session(pid).2 != own.2 && session(pid).1 != own.1 && session(pid).3 == 0)
    );
    if is_root() {
        for pid in [supervisor, guard] {
            let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}")).expect("a link");
            assert_eq!(link("cwd"), Path::new("/proc"));
            for entry in fs::read_dir(format!("/proc/{pid}/fd"))
                .expect("fd")
                .flatten()
            {
                let (fd, to) = (
                    entry.file_name(),
                    link(&format!(
                        "fd/{}",
                        entry.file_name().to_str().expect("a number")
                    )),
                );
                let to = to.to_str().expect("UTF-8");
                let known = [
                    "/dev/null",
                    "/proc",
                    "/",
                    "/memfd:zroot-journal (deleted)",
                    "anon_inode:seccomp notify",
                ]
                .contains(&to);
                // The guard's end of the pipe by which it learns of the supervisor's end.
                assert!(known || to.starts_with("pipe:"), "{fd:?} of {pid} is {to}");
            }
        }
    }
    drop(end);
    bench.nothing_is_left();
}

#[test]
fn no_file_system_is_kept_busy() {
    let Some(bench) = Bench::new("no_file_system_is_kept_busy") else {
        return;
    };
    let place = bench.dir.path().join("place");
    run(user("mkdir").arg(&place)).succeeds();
    bench.right(&["busy", place.to_str().expect("UTF-8"), "200"], "right");
    bench.nothing_is_left();
}

// The end.

#[test]
fn nothing_is_left_after_the_last_target() {
    let Some(bench) = Bench::new("nothing_is_left_after_the_last_target") else {
        return;
    };
    run(&mut bench.selective(&["true"])).succeeds();
    bench.nothing_is_left();
    // Killed.
    let mut live = Live::start(&mut bench.supervised(&["canary", "a"]));
    live.says("ready");
    bench.one(SUPERVISOR);
    live.kill();
    bench.nothing_is_left();
    // A daemon that the command left behind: until it ends, and no longer.
    let mut live = Live::start(bench.supervised(&["leave"]).stderr(Stdio::null()));
    assert!(live.child.wait().expect("waited for").success());
    let (supervisor, guard) = (bench.one(SUPERVISOR), bench.one(GUARD));
    assert_eq!(bench.processes().len(), 3);
    assert_eq!(
        (bench.one(SUPERVISOR), bench.one(GUARD)),
        (supervisor, guard)
    );
    drop(live);
    bench.nothing_is_left();
    // zroot cannot become the command after all.
    let script = bench.dir.path().join("script");
    common::executable(&script, "#!/no/such/interpreter\n");
    let ran = run(&mut bench.selective(&[script.to_str().expect("UTF-8")]));
    assert_eq!(
        ran.refused(126).1,
        "its interpreter '/no/such/interpreter' does not exist: install it, or correct the #! line"
    );
    bench.nothing_is_left();
}

// What is done to the supervisor.

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
        wait_for("the second", LONG, || {
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

#[test]
fn a_killed_supervisor_is_replaced() {
    let Some(bench) = Bench::new("a_killed_supervisor_is_replaced") else {
        return;
    };
    let canaries = Canaries::start(&bench);
    let mut supervisor = bench.one(SUPERVISOR);
    let guard = bench.one(GUARD);
    let count = descriptors(supervisor);
    for signal in [Signal::SIGKILL; 25] {
        send(supervisor, signal);
        supervisor = bench.successor(SUPERVISOR, supervisor);
    }
    assert_eq!(bench.one(GUARD), guard);
    assert_eq!(descriptors(supervisor), count);
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

/// Both killed at the same instant, there is nobody to go on. Calls fail, but nobody waits for
/// ever.
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
        wait_for("stopped", LONG, || (stat(pid)?.0 == "T").then_some(()));
        send(pid, Signal::SIGCONT);
    }
    assert!(bench.named(GUARD).contains(&guard));
    canaries.all_was_right();
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
    let ran = bench.right(&["hang", device, "place"], "right");
    // It did hang.
    let first: f32 = ran
        .stdout
        .strip_prefix("first after ")
        .and_then(|rest| rest.split(' ').next()?.parse().ok())
        .expect("a number");
    assert!(first > 0.5, "{ran:#?}");
    bench.nothing_is_left();
}

// Namespaces.

/// A shell function: its arguments, a command, must fail.
const NO: &str = r#"no() { if "$@" 2>/dev/null; then echo "no error: $*"; exit 1; fi; }; "#;

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

// Nesting.

/// What the program's `calls` say where a supervisor answers, and where the filter alone does.
const REAL: &str = "chown 0, missing -1, mknod 0, setresuid 0, uid 5\n";
const PRETENDED: &str = "chown 0, missing 0, mknod 0, setresuid 0, uid 0\n";

#[test]
fn zroots_share_a_supervisor() {
    let Some(bench) = Bench::new("zroots_share_a_supervisor") else {
        return;
    };
    let inner = zroot().to_str().expect("UTF-8");
    let selective = &["-c", "selective"][..];
    let cases: &[(&[&str], &[&str], &str, usize)] = &[
        (selective, selective, REAL, 1),
        (selective, &[], REAL, 1),
        (selective, &["-c", "auto"], REAL, 1),
        (&["-c", "auto"], &["--no-sync"], REAL, 1),
        (
            selective,
            &["-c", "zero"],
            "chown 0, missing 0, mknod 0, setresuid 0, uid 0\n",
            1,
        ),
        (&["-c", "zero"], &["-c", "auto"], PRETENDED, 0),
        (selective, &["--userns=never"], REAL, 1),
    ];
    for (outer, options, says, supervisors) in cases {
        let script = r#"echo; while ! read line; do :; done; "$@""#;
        let mut command = bench.command(
            [inner]
                .iter()
                .chain(*outer)
                .chain(&[inner])
                .chain(*options)
                .chain(&["sh", "-c", script, "sh"]),
        );
        let mut live = Live::start(command.arg(program()).arg("calls"));
        live.says("");
        assert_eq!(
            bench.named(SUPERVISOR).len(),
            *supervisors,
            "{outer:?} {options:?}"
        );
        std::io::Write::write_all(live.stdin.as_mut().expect("a pipe"), b"\n").expect("written");
        let mut said = String::new();
        live.stdout.read_to_string(&mut said).expect("text");
        assert_eq!(said, *says, "{outer:?} {options:?}");
        drop(live);
        bench.nothing_is_left();
    }
    // A program in between that clears the environment, as sudo and su do.
    let mut command = bench.selective(&["env", "-i", inner, "-c", "selective"]);
    assert_eq!(
        run(command.arg(program()).arg("calls")).succeeds().stdout,
        REAL
    );
    // Beneath a filter that pretends by itself, no other is asked.
    let mut command = bench.command([inner, inner, "-c", "selective"]);
    refused(
        run(command.arg("true")),
        "a filter around this process pretends already",
        "run the outer zroot with --consistency=selective",
    );
    // The inner one wants more than the outer one answers: its own filter does that.
    let mut command = bench.selective(&[inner, "-v", "--no-sync"]);
    let ran = run(command.arg("true")).succeeds();
    assert!(
        ran.stderr.contains(
            "the supervisor of the zroot around this one answers at level selective: owner"
        ) && ran.stderr.contains("filter: fakes sync"),
        "{ran:#?}"
    );
}

#[test]
fn a_root_directory_inside_and_around() {
    let name = "a_root_directory_inside_and_around";
    let (Some(bench), Some(tree)) = (Bench::new(name), common::SmallTree::new(name)) else {
        return;
    };
    let script = [NO, "cd /tmp; touch f; chown 1:1 /tmp/f; chmod 640 f; mknod n c 1 3; no chown 1:1 missing; stat -c %F n"].concat();
    for inner in [
        &[zroot().to_str().expect("UTF-8"), "--root"][..],
        &["--root"],
    ] {
        let mut command = bench.selective(inner);
        let ran = run(command.arg(tree.root()).args(["sh", "-ec", &script])).succeeds();
        assert_eq!(ran.stdout, "regular empty file\n", "{ran:#?}");
        bench.nothing_is_left();
        tree.prepare("rm root/tmp/n");
    }
}

#[track_caller]
fn refused(ran: Ran, what: &str, hint: &str) {
    let (said, hinted) = ran.refused(125);
    assert!(
        said.contains(what) && hinted.contains(hint),
        "{said}\n{hinted}"
    );
}

/// Another listener in the chain of filters, which the kernel permits one of.
#[test]
fn a_listener_of_somebody_else() {
    let Some(bench) = Bench::new("a_listener_of_somebody_else") else {
        return;
    };
    let under = |options: &[&str]| {
        let mut command = bench.command([
            program().as_os_str(),
            OsStr::new("listener"),
            zroot().as_os_str(),
        ]);
        run(command.args(options).arg(program()).arg("calls"))
    };
    refused(
        under(&["-c", "selective"]),
        "cannot install the filter: Device or resource busy",
        "--consistency=zero",
    );
    bench.nothing_is_left();
    let ran = under(&["-v", "-c", "auto"]).succeeds();
    assert!(
        ran.stdout == PRETENDED && ran.stderr.contains("level zero: cannot install the filter"),
        "{ran:#?}"
    );
    assert_eq!(under(&["-c", "auto"]).succeeds().stderr, "");
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

// Limits and signals of the caller's.

#[test]
fn limits_of_the_caller() {
    let Some(bench) = Bench::new("limits_of_the_caller") else {
        return;
    };
    need!("limits_of_the_caller", "prlimit");
    let limited = |limit: &str, options: &[&str]| {
        let mut command = bench.command(["timeout", "10", "prlimit", limit]);
        let ran = run(command
            .arg(zroot())
            .args(options)
            .arg(program())
            .arg("calls"));
        assert_ne!(ran.status, 124, "{limit}: it hangs");
        bench.nothing_is_left();
        ran
    };
    let selective = &["-c", "selective"][..];
    refused(
        limited("--locks=1000", selective),
        "the hard limit on locks",
        "unlimited",
    );
    assert_eq!(
        limited("--locks=1000", &["-c", "auto"]).succeeds().stdout,
        PRETENDED
    );
    assert_eq!(
        limited("--locks=1000:unlimited", selective)
            .succeeds()
            .stdout,
        REAL
    );
    for count in 5..40 {
        let ran = limited(&format!("--nofile={count}:"), selective);
        if ran.status == 125 {
            refused(ran, "Too many open files", "open files");
        } else {
            assert_eq!(ran.succeeds().stdout, REAL, "{count}");
        }
    }
    for count in [1, 2, 3] {
        refused(
            limited(&format!("--nproc={count}:"), selective),
            "cannot start the supervisor",
            "processes",
        );
    }
    // No file may grow: the descriptors of the tests' own output are not files.
    for size in [0, 100, 1000] {
        assert_eq!(
            limited(
                &format!("--fsize={size}"),
                &["--no-apt-config", "-c", "selective"]
            )
            .succeeds()
            .stdout,
            REAL,
            "{size}"
        );
    }
    for megabytes in [1, 2, 3, 4, 5, 6, 8, 16] {
        let ran = limited(&format!("--as={megabytes}000000"), selective);
        assert!(ran.status != 0 || ran.stdout == REAL, "{ran:#?}");
    }
    // The processor time of the supervisor is limited as its caller's is: another follows.
    assert_eq!(limited("--cpu=1", selective).succeeds().stdout, REAL);
}

#[test]
fn signals_of_the_caller() {
    let Some(bench) = Bench::new("signals_of_the_caller") else {
        return;
    };
    for how in ["ignored", "blocked"] {
        let mut command = bench.command([
            program().as_os_str(),
            OsStr::new("with"),
            OsStr::new(how),
            zroot().as_os_str(),
        ]);
        let mut live = Live::start(
            command
                .args(["-c", "selective"])
                .arg(program())
                .args(["canary", "a"]),
        );
        live.says("ready");
        for _ in 0..3 {
            let supervisor = bench.one(SUPERVISOR);
            send(supervisor, Signal::SIGKILL);
            bench.successor(SUPERVISOR, supervisor);
        }
        let guard = bench.one(GUARD);
        send(guard, Signal::SIGKILL);
        bench.successor(GUARD, guard);
        live.ends("right");
        bench.nothing_is_left();
    }
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

/// A program that its user may not read is a process that he cannot look into, namespace or not.
#[test]
fn a_program_that_cannot_be_read() {
    let Some(bench) = Bench::new("a_program_that_cannot_be_read") else {
        return;
    };
    if common::for_root_only("a_program_that_cannot_be_read") {
        return;
    }
    let copy = bench.dir.path().join("unreadable");
    run(Command::new("install")
        .args(["-m", "711"])
        .arg(program())
        .arg(&copy))
    .succeeds();
    let ran = run(bench.selective(&[]).arg(&copy).arg("calls")).succeeds();
    assert_eq!(ran.stdout, PRETENDED);
    bench.nothing_is_left();
}

// Much of it.

/// 4 MiB, and 100 bytes per state that a process has.
fn assert_small(pid: i32, states: u64) {
    let (is, most) = (rss(pid), 4 * 1024 * 1024 + 100 * states);
    assert!(is < most, "{is} bytes, more than {most}");
}

#[test]
fn memory_is_bounded() {
    let Some(bench) = Bench::new("memory_is_bounded") else {
        return;
    };
    for (what, count) in [
        ("one-process", "20000"),
        ("short-lived", "20000"),
        ("huge", "300"),
        ("many", "500"),
    ] {
        let mut live = Live::start(&mut bench.supervised(&[what, count]));
        live.says("done");
        let supervisor = bench.one(SUPERVISOR);
        assert_small(supervisor, if what == "many" { 500 } else { 1 });
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

// Garbage.

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
    assert_small(supervisor, 10);
    live.ends("right");
    bench.nothing_is_left();
}
