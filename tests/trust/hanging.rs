//! Files that do not answer, readers that do not read, a supervisor that is stopped: who has
//! nothing to do with it goes on.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::common::{self, LONG, SmallTree, dir, is_root, run, uid, user, wait_for};
use crate::report::Report;
use crate::session::{GUARD, Lines, SUPERVISOR, Session, compile, zroot};

/// How long whoever goes on may take to do so.
const SOON: Duration = Duration::from_secs(10);

/// A directory with the program `work`, and `/dev/fuse` as a plain user can open it.
struct Bench {
    dir: TempDir,
    device: Option<PathBuf>,
}

impl Bench {
    fn new() -> Bench {
        let bench = Bench {
            dir: dir(),
            device: None,
        };
        compile("work.c", &bench.path().join("work"));
        let mut device = PathBuf::from("/dev/fuse");
        if is_root() {
            // Where users may not open the machine's own, root makes another.
            device = bench.path().join("fuse");
            run(Command::new("mknod")
                .args(["-m", "666"])
                .arg(&device)
                .args(["c", "10", "229"]));
        }
        let opens = run(user("sh").args(["-c", "exec 3<>$0"]).arg(&device)).status == 0;
        Bench {
            device: opens.then_some(device),
            ..bench
        }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn fresh(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir(&path).expect("a directory");
        common::give(&path);
        path
    }

    fn work(&self) -> String {
        self.path().join("work").display().to_string()
    }
}

fn zroot_at(level: &'static str) -> [&'static str; 3] {
    [zroot().to_str().expect("UTF-8"), "-c", level]
}

const WITHOUT: [&str; 3] = ["unshare", "-r", "--"];

/// The levels with a supervisor.
const LEVELS: [&str; 2] = ["selective", "full"];

pub fn run_all(report: &mut Report) {
    let bench = Bench::new();
    if let Some(device) = &bench.device {
        let count = 64;
        crowd(report, &bench, device, count, "chown", &LEVELS);
        crowd(report, &bench, device, count, "stat", &["full"]);
        crowd(report, &bench, device, count, "execve", &["full"]);
        for server in SERVERS {
            served(report, &bench, device, server);
        }
    } else if is_root() {
        report.skip("FUSE", 1, "/dev/fuse cannot be opened");
    } else {
        // A plain user may have to go without, where root makes a device for the test.
        common::for_root_only("trust, hanging on FUSE,");
    }
    nobody_reads(report, &bench);
    for level in LEVELS {
        stopped(report, &bench, level);
    }
    lists_of_users(report);
}

/// Asks for `get` until it has something, but not longer than that.
fn until<T>(within: Duration, mut get: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + within;
    loop {
        match get() {
            None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
            done => return done,
        }
    }
}

/// What `times` of `fixtures/work.c` says, in microseconds.
#[derive(Clone, Copy)]
struct Times {
    median: f64,
    late: f64,
    longest: f64,
}

impl Times {
    fn parse(line: &str) -> Option<Times> {
        let mut words = line.strip_prefix("times ")?.split(' ').map(str::parse);
        let mut next = || words.next()?.ok();
        Some(Times {
            median: next()?,
            late: next()?,
            longest: next()?,
        })
    }
}

/// Callers of `call` that wait for a file system which answers nothing, and one that does not.
fn crowd(
    report: &mut Report,
    bench: &Bench,
    device: &Path,
    count: usize,
    call: &str,
    levels: &[&'static str],
) {
    let mut control = None;
    let supervised = levels.iter().map(|&level| (level, zroot_at(level)));
    let all = [("without zroot", WITHOUT)].into_iter().chain(supervised);
    for (what, launcher) in all {
        let session = Session::new();
        let place = bench.fresh(&format!("crowd {call} {what}"));
        fs::create_dir(place.join("m")).expect("a directory");
        common::give(&place.join("m"));
        let mut command = session.command(&place, launcher);
        command
            .arg(bench.work())
            .arg("crowd")
            .arg(device)
            .args(["m", &count.to_string(), call]);
        let mut lines = Lines::start(&mut command);
        let Some(hanging) = lines.next(LONG) else {
            return report.fail(&format!(
                "{count} callers of {call} hang, {what}: nothing is said"
            ));
        };
        let Some(times) = lines.next(SOON).as_deref().and_then(Times::parse) else {
            return report.fail(&format!(
                "{hanging}, {what}: who does not hang gets no answers"
            ));
        };
        let zroots = || {
            let all = session.processes().into_iter();
            all.filter(|(_, name)| name.starts_with("zroot")).count()
        };
        let during = zroots();
        let said = format!(
            "{hanging} of {count}, {call}, {what}: another's calls took {:.0} us, the 99.9th {:.0}, the longest {:.0}; {during} processes of zroot's",
            times.median, times.late, times.longest
        );
        // As long as without zroot, whatever else the machine does meanwhile.
        let limit = control.map_or(f64::MAX, |of: Times| of.longest.max(of.late) + 50_000.0);
        report.check(
            times.longest < limit && hanging == format!("hanging {count}"),
            &said,
        );
        lines.write(b"\n");
        let ended = lines.next(LONG).unwrap_or_default();
        report.check(
            ended == format!("ended {count} 0"),
            &format!("when the file system is gone, {what}: {ended}"),
        );
        if control.is_some() {
            wait_for("a supervisor and a guard, and no helpers", || {
                (zroots() == 2).then_some(())
            });
            report.pass();
        }
        lines.write(b"\n");
        report.check(lines.end() == Some(0), &format!("the end, {what}"));
        control = control.or(Some(times));
        session.nothing_is_left();
    }
}

/// A file system that is served inside the session: its name, and a script that mounts it at `m`.
const SERVERS: &[(&str, &str)] = &[
    (
        "fuse-overlayfs",
        "fuse-overlayfs -o lowerdir=l,upperdir=u,workdir=w m",
    ),
    ("bindfs", "bindfs l m"),
];

fn served(report: &mut Report, bench: &Bench, device: &Path, (server, mount): &(&str, &str)) {
    if common::program(server).is_none() {
        return report.skip(server, 1, &format!("there is no {server}"));
    }
    let measure = |what: &str, launcher: [&str; 3]| -> Result<Times, String> {
        let session = Session::new();
        let place = bench.fresh(&format!("{server} {what}"));
        run(user("sh")
            .args(["-ec", "mkdir l u w m; : >l/f"])
            .current_dir(&place))
        .succeeds();
        let script = format!(r#"{mount}; "$0" times m/f 100; umount -l m"#);
        let work = bench.work();
        let words = [
            &launcher[..],
            &["unshare", "-m", "sh", "-ec", &script, &work],
        ]
        .concat();
        // The device has to be where the servers look for it.
        let mut command = if is_root() {
            let id = uid().to_string();
            let script = r#"mount --bind "$0" /dev/fuse; id=$1; shift
                exec setpriv --reuid $id --regid $id --clear-groups --inh-caps=-all "$@""#;
            let mut command = session.as_root(&place, ["unshare", "-m", "sh", "-ec", script]);
            command.arg(device).arg(id).args(words);
            command
        } else {
            session.command(&place, words)
        };
        let mut lines = Lines::start(&mut command);
        let line = lines.next(LONG).ok_or("nothing is said")?;
        let times = Times::parse(&line).ok_or(line)?;
        lines.end();
        session.nothing_is_left();
        Ok(times)
    };
    let without = match measure("without zroot", WITHOUT) {
        Ok(times) => times,
        Err(why) => return report.skip(server, 1, &format!("it serves nothing: {why}")),
    };
    for level in LEVELS {
        match measure(level, zroot_at(level)) {
            Ok(times) => report.check(
                // A helper is a fork, of 0.3 to 1.5 ms by the machine. A call that makes a server
                // hang takes 4 ms at least.
                times.median < 4.0 * without.median + 2_000.0,
                &format!(
                    "chown and chmod on {server}, {level}: {:.0} us, without zroot {:.0}",
                    times.median, without.median
                ),
            ),
            Err(why) => report.fail(&format!("chown and chmod on {server}, {level}: {why}")),
        }
    }
}

/// Nobody reads what --trace writes into a pipe.
fn nobody_reads(report: &mut Report, bench: &Bench) {
    let session = Session::new();
    let place = bench.fresh("trace");
    run(user("sh")
        .args(["-ec", "mkfifo trace; : >f"])
        .current_dir(&place))
    .succeeds();
    let reader = OpenOptions::new()
        .read(true)
        .write(true)
        .open(place.join("trace"))
        .expect("a pipe");
    let start = Instant::now();
    // At level zero, where each chown is pretended: more than a pipe holds.
    let exe = zroot().to_str().expect("UTF-8");
    let mut command = session.command(&place, [exe, "-c", "zero"]);
    command
        .arg("--trace=trace")
        .arg(bench.work())
        .args(["times", "f", "2000"]);
    let mut lines = Lines::start(&mut command);
    let said = lines.next(SOON).unwrap_or_else(|| "nothing".into());
    report.check(
        Times::parse(&said).is_some(),
        &format!(
            "nobody reads the trace of 4000 calls: '{said}' after {:?}",
            start.elapsed()
        ),
    );
    if said == "nothing" {
        return; // what is left of it is ended with the session
    }
    // zroot, and nobody else, waits for what the reader still has to get.
    report.check(
        lines.ends_within(Duration::from_millis(200)).is_none(),
        "zroot waits for the trace's reader",
    );
    drop(reader);
    session.nothing_is_left();
}

/// One that is stopped is not dead, but its callers go on.
fn stopped(report: &mut Report, bench: &Bench, level: &'static str) {
    let session = Session::new();
    let place = bench.fresh(&format!("stopped {level}"));
    let made = match level {
        "full" => "made, remembered",
        _ => "made",
    };
    let mut command = session.command(&place, zroot_at(level));
    command.arg(bench.work()).arg("asked");
    let mut lines = Lines::start(&mut command);
    let ready = lines.next(LONG);
    let (guard, supervisor) = session.pair();
    for (name, pid) in [(SUPERVISOR, supervisor), (GUARD, guard)] {
        let _ = kill(Pid::from_raw(pid), Signal::SIGSTOP);
        let start = Instant::now();
        lines.write(b"\n");
        let said = lines.next(SOON);
        report.check(
            ready.is_some() && said.as_deref() == Some(made),
            &format!(
                "a call at level {level} while {name} is stopped: {said:?} after {:?}",
                start.elapsed()
            ),
        );
        let _ = kill(Pid::from_raw(pid), Signal::SIGCONT);
        if said.is_none() {
            lines.next(LONG); // now it may be answered
        }
    }
    report.check(lines.end() == Some(0), "the end after both went on");
    session.nothing_is_left();
}

/// The list of users in a root directory that somebody else made: a pipe, or without an end.
fn lists_of_users(report: &mut Report) {
    let Some(tree) = SmallTree::new("trust, lists of users") else {
        return report.skip("lists of users", 1, "there is no small tree");
    };
    // chown(1) reads the list itself.
    compile("work.c", &tree.root().join("bin/work"));
    for (what, make) in [
        ("a pipe", "mkfifo root/etc/passwd root/etc/group"),
        (
            "/dev/zero",
            "ln -sf /dev/zero root/etc/passwd; ln -sf /dev/zero root/etc/group",
        ),
        ("a directory", "mkdir root/etc/passwd root/etc/group"),
        (
            "a loop",
            "ln -s passwd root/etc/passwd; ln -s group root/etc/group",
        ),
    ] {
        tree.prepare(&format!("rm -rf root/etc/passwd root/etc/group; {make}"));
        for level in ["zero", "selective", "full"] {
            let session = Session::new();
            // Memory without bounds would end in a failure.
            let mut command = session.command(tree.place(), ["prlimit", "--as=268435456"]);
            command
                .arg(zroot())
                .args(["--root", "root", "-c", level, "--summary"]);
            command.args(["sh", "-c", "> /tmp/f; work give /tmp/f"]);
            command.stderr(File::create(tree.place().join("said")).expect("a file"));
            let start = Instant::now();
            let mut lines = Lines::start(&mut command);
            let line = lines.next(SOON);
            let rest = if line.is_some() { SOON } else { Duration::ZERO };
            let status = lines.ends_within(rest);
            // The supervisor writes it when the command has ended.
            let said = until(rest, || {
                let said = fs::read_to_string(tree.place().join("said")).unwrap_or_default();
                said.contains("chown").then_some(said)
            });
            report.check(
                line.as_deref() == Some("done") && status == Some(0) && said.is_some(),
                &format!(
                    "--summary at level {level} where /etc/passwd is {what}: {status:?} after {:?}",
                    start.elapsed()
                ),
            );
        }
    }
}
