//! Supervisor and guard are killed, one or the other, at random moments while callers make calls
//! whose results are known: none may be lost, and at level full no owner and no attribute either.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use zroot::internals::filter::Level;

use crate::common::{self, LONG, dir, wait_for};
use crate::report::Report;
use crate::session::{Lines, Session, compile, zroot};

/// So many callers at once.
const CALLERS: usize = 3;

/// A sequence of numbers that looks random (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

pub fn run_all(report: &mut Report) {
    if common::program("cc").is_none() {
        return report.skip("all", 1, "there is no cc");
    }
    let place = dir();
    let work = place.path().join("work");
    compile("work.c", &work);
    for level in Level::ALL
        .into_iter()
        .filter(|level| level.has_supervisor())
    {
        kill_often(report, level, place.path(), &work);
        control(report, level, &work);
    }
}

fn kill_often(report: &mut Report, level: Level, place: &Path, work: &Path) {
    let kills = if report.full { 5_000 } else { 150 };
    let session = Session::new();
    // All under one supervisor; each has what it says in a file of its own.
    let script = format!(
        r#"mkfifo go; exec 9<>go; rm go; i=0
        while [ $i -lt {CALLERS} ]; do "$0" history $i {level} <&9 >$i.out & i=$((i + 1)); done
        echo ready; read line; i=0
        while [ $i -lt {CALLERS} ]; do echo; i=$((i + 1)); done >&9; wait"#
    );
    let exe = zroot().to_str().expect("UTF-8");
    let mut command = session.command(place, [exe, "-c", level.name(), "sh", "-ec", &script]);
    command.arg(work);
    let mut lines = Lines::start(&mut command);
    assert_eq!(lines.next(LONG).as_deref(), Some("ready"));

    let seed = u64::from(std::process::id()) << 20 | 1;
    let mut random = Random(seed);
    let mut slowest = Duration::ZERO;
    let mut killed = [0_usize; 2];
    for _ in 0..kills {
        let (guard, supervisor) = session.pair();
        // A moment, to find them in the middle of any call; nothing is waited for.
        let moment = Duration::from_micros(random.below(3_000));
        std::thread::sleep(moment);
        let which = usize::from(random.below(2) == 0);
        let pid = [supervisor, guard][which];
        if kill(Pid::from_raw(pid), Signal::SIGKILL).is_err() {
            report.fail(&format!("kill {pid}: it was gone already"));
            break;
        }
        killed[which] += 1;
        let start = Instant::now();
        wait_for("another in its place", || {
            let (guard, supervisor) = session.find_pair()?;
            (guard != pid && supervisor != pid).then_some(())
        });
        slowest = slowest.max(start.elapsed());
    }
    lines.write(b"\n");
    let status = lines.end();
    let mut histories = (0, 0);
    for i in 0..CALLERS {
        let said = fs::read_to_string(place.join(format!("{i}.out"))).unwrap_or_default();
        for lost in said.lines().filter(|line| line.starts_with("lost ")) {
            report.fail(lost);
        }
        let end = said
            .lines()
            .last()
            .and_then(|line| line.strip_prefix("made "));
        let numbers = end.and_then(|end| end.split_once(' '));
        match numbers.map(|(made, lost)| (made.parse(), lost.parse())) {
            Some((Ok::<u64, _>(made), Ok::<u64, _>(lost))) => {
                histories = (histories.0 + made, histories.1 + lost);
            }
            _ => report.fail(&format!("caller {i} did not end: {said}")),
        }
    }
    let [supervisors, guards] = killed;
    report.check(
        histories.1 == 0 && histories.0 > 0 && status == Some(0) && supervisors + guards == kills,
        &format!(
            "level {level}: {supervisors} supervisors and {guards} guards killed (seed {seed}), {} rounds of calls, {} lost; replaced within {slowest:.1?}",
            histories.0, histories.1
        ),
    );
    session.nothing_is_left();
}

/// That losses are noticed: if both are killed at the same instant, calls fail.
fn control(report: &mut Report, level: Level, work: &Path) {
    let session = Session::new();
    let place = work.parent().expect("a directory");
    let exe = zroot().to_str().expect("UTF-8");
    let mut command = session.command(place, [exe, "-c", level.name()]);
    command.arg(work).args(["history", "control", level.name()]);
    let mut lines = Lines::start(&mut command);
    assert_eq!(lines.next(LONG).as_deref(), Some("ready"));
    let (guard, supervisor) = session.pair();
    // Stopped, neither sees the other's end.
    for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
        for pid in [guard, supervisor] {
            kill(Pid::from_raw(pid), signal).expect("kill");
        }
    }
    let said = lines.next(LONG).unwrap_or_default();
    report.check(
        said.starts_with("lost ") && said.ends_with("Function not implemented"),
        &format!("the control, level {level}, both killed: {said}"),
    );
    lines.end();
    session.nothing_is_left();
}
