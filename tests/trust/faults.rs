//! Every system call that a start makes fails with each of some errors, and gets each of some
//! signals, one a run, in every mode. Then zroot says so in one or two lines and ends with 125, or
//! the command runs right all the same. It never runs without the emulation, and nothing is left.

mod modes;
mod place;
mod tracer;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use syscalls::Sysno;

use crate::common::{self, dir};
use crate::report::Report;
use crate::session::{Session, compile};
use modes::MODES;
use place::{Place, Verdict};
use tracer::{Call, End, Fault, Injection, Moment, Ran, Watchdog};

const ERRNOS: [Errno; 5] = [
    Errno::ENOMEM,
    Errno::EPERM,
    Errno::EMFILE,
    Errno::EINTR,
    Errno::ENOSYS,
];

const SIGNALS: [Signal; 4] = [
    Signal::SIGKILL,
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
];

/// Calls that do not return: nobody can be told of an error.
const ENDLESS: [Sysno; 3] = [Sysno::exit, Sysno::exit_group, Sysno::rt_sigreturn];

/// In so many runs without a fault a call has to be made, to be one that every run makes: who waits
/// may look once more, or once less, whether something has happened.
const LISTINGS: usize = 3;

/// How often a run is made that comes without the call all the same.
const ATTEMPTS: usize = 30;

/// So many failures are shown in full.
const SHOWN: usize = 20;

/// One run to be made, and the call that was there.
#[derive(Clone, Copy)]
struct Item {
    mode: usize,
    injection: Injection,
    /// The call's number among all of the process; none while the command runs.
    number: Option<usize>,
    /// Whether the process is a supervisor that has answered the probe, and has not forked yet. One
    /// that is killed then has no successor: a guard that is forked before the answer would cost
    /// each start an eighth. Known, and in SECURITY.md.
    is_unguarded: bool,
}

impl Item {
    /// As it is named on the command line.
    fn name(&self) -> String {
        let Injection { process, fault, .. } = self.injection;
        let number = self.number.map(|number| number.to_string());
        let number = number.as_deref().unwrap_or("running");
        format!("{}/{process}/{number}/{fault}", MODES[self.mode].name)
    }

    fn call(&self) -> &'static str {
        match self.injection.moment {
            Moment::Call(sysno, _) => sysno.name(),
            Moment::Running => "the command",
        }
    }
}

/// What the runs of a mode came to.
#[derive(Clone, Copy, Default)]
struct Count {
    calls: usize,
    runs: usize,
    refused: usize,
    right: usize,
    ended: usize,
    fatal: usize,
    unguarded: usize,
    failed: usize,
}

impl Count {
    fn add(&mut self, verdict: &Verdict) {
        self.runs += 1;
        *match verdict {
            Verdict::Refused => &mut self.refused,
            Verdict::Right => &mut self.right,
            Verdict::Ended => &mut self.ended,
            Verdict::Fatal => &mut self.fatal,
            Verdict::Unguarded => &mut self.unguarded,
            Verdict::Failed(_) => &mut self.failed,
        } += 1;
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Count {
            calls,
            runs,
            refused,
            right,
            ended,
            fatal,
            unguarded,
            failed,
        } = self;
        write!(
            f,
            "{calls:6} {runs:6} {refused:8} {right:6} {ended:6} {fatal:6} {unguarded:9} {failed:7}"
        )
    }
}

/// All runs that a mode's calls make possible, which are those of `ran` that the others have, too.
fn items(mode: usize, ran: &Ran, others: &[Ran]) -> Vec<Vec<Item>> {
    let mut items = Vec::new();
    let is_beside = ran.command != Some(0);
    for (process, calls) in ran.calls.iter().enumerate() {
        let unguarded = unguarded(calls);
        let is_looked_at = |call: &Call| call.is_before || (process == 0 && is_beside);
        let is_in = |other: &Ran, sysno: Sysno, before: usize| {
            let calls = other.calls.get(process).into_iter().flatten();
            let same = calls.filter(|call| is_looked_at(call) && call.sysno == sysno);
            same.count() > before
        };
        for (number, call) in calls
            .iter()
            .enumerate()
            .filter(|(_, call)| is_looked_at(call))
        {
            let same = calls[..number].iter();
            let before = same.filter(|other| other.sysno == call.sysno).count();
            if !others.iter().all(|other| is_in(other, call.sysno, before)) {
                continue;
            }
            let is_endless = ENDLESS.contains(&call.sysno);
            let errnos: &[Errno] = match call.sysno {
                // It has no other error, and does not tell it.
                Sysno::brk => &[Errno::ENOMEM],
                _ if is_endless => &[],
                _ => &ERRNOS,
            };
            let errnos = errnos.iter().map(|errno| Fault::Fails(*errno));
            let signals = SIGNALS.map(Fault::Gets).into_iter();
            let item = |fault| Item {
                mode,
                injection: Injection {
                    process,
                    moment: Moment::Call(call.sysno, before),
                    fault,
                    holds_command: process == 0
                        && call.is_before
                        && fault == Fault::Gets(Signal::SIGKILL),
                },
                number: Some(number),
                is_unguarded: unguarded.contains(&number) && fault == Fault::Gets(Signal::SIGKILL),
            };
            items.push(errnos.chain(signals).map(item).collect());
        }
    }
    if is_beside {
        let item = |signal| Item {
            mode,
            injection: Injection {
                process: 0,
                moment: Moment::Running,
                fault: Fault::Gets(signal),
                holds_command: true,
            },
            number: None,
            is_unguarded: false,
        };
        items.push(SIGNALS.map(item).to_vec());
    }
    items
}

/// The calls of a supervisor from the one behind its first answers up to its first fork; none of
/// another process. It alone has a listener, whose calls are ioctls.
fn unguarded(calls: &[Call]) -> std::ops::Range<usize> {
    let first = |wanted: &[Sysno], from: usize| {
        let mut rest = calls.iter().enumerate().skip(from);
        rest.find(|(_, call)| wanted.contains(&call.sysno))
    };
    let Some((start, _)) = first(&[Sysno::ioctl], 0) else {
        return 0..0;
    };
    let fork = first(&[Sysno::clone, Sysno::clone3, Sysno::fork], start);
    fork.map_or(0..0, |(fork, _)| start..fork + 1)
}

/// Of the errors for each call one, in turn, and every fourth time a signal.
fn sample(items: &[Vec<Item>]) -> Vec<Item> {
    let mut chosen = Vec::new();
    for (i, runs) in items.iter().enumerate() {
        let (errnos, signals): (Vec<_>, Vec<_>) = runs
            .iter()
            .partition(|item| matches!(item.injection.fault, Fault::Fails(_)));
        let turn = i + runs.first().map_or(0, |item| item.mode);
        chosen.extend(errnos.get(turn % errnos.len().max(1)).copied());
        if turn % 4 == 0 || errnos.is_empty() {
            chosen.push(signals[turn / 4 % signals.len()]);
        }
    }
    chosen.into_iter().copied().collect()
}

pub fn run_all(report: &mut Report) {
    if !cfg!(target_arch = "x86_64") {
        return report.skip("all", 1, "it is not known how a system call looks here");
    }
    if common::program("cc").is_none() {
        return report.skip("all", 1, "there is no cc");
    }
    let place = dir();
    let probe = place.path().join("probe");
    compile("probe.c", &probe);
    let watchdogs: Vec<Watchdog> = (0..workers()).map(|_| Watchdog::default()).collect();
    std::thread::scope(|scope| {
        for watchdog in &watchdogs {
            scope.spawn(|| watchdog.watch());
        }
        let _dismissed = Dismiss(&watchdogs);
        if let Some(reason) = cannot_trace(&probe, &watchdogs[0]) {
            return report.skip("all", 1, &reason);
        }
        control(report, &probe, &watchdogs[0]);
        runs(report, &probe, &watchdogs);
    });
}

/// Why nobody can be traced here, if that is so: Yama may forbid it to all but root.
fn cannot_trace(probe: &Path, watchdog: &Watchdog) -> Option<String> {
    let session = Session::new();
    let ran = Place::new(&MODES[0], probe, &session).run(watchdog, None);
    (ran.end == Some(End::Exited(47))).then(|| format!("ptrace(2): {}", ran.stderr.trim()))
}

/// Two or three runs at a time: most of one is waiting.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, |count| count.get().clamp(2, 3))
}

/// Lets the watchdogs go, also if something panics.
struct Dismiss<'a>(&'a [Watchdog]);

impl Drop for Dismiss<'_> {
    fn drop(&mut self) {
        for watchdog in self.0 {
            watchdog.dismiss();
        }
    }
}

fn runs(report: &mut Report, probe: &Path, watchdogs: &[Watchdog]) {
    let session = Session::new();
    let mut wanted = Vec::new();
    let mut counts = [Count::default(); MODES.len()];
    for (mode, count) in counts.iter_mut().enumerate() {
        let name = MODES[mode].name;
        let is_wanted = if report.chooses() {
            report.is_within(name)
        } else {
            report.full || MODES[mode].is_quick
        };
        if !is_wanted {
            continue;
        }
        let mut place = Place::new(&MODES[mode], probe, &session);
        let mut listings = Vec::new();
        while listings.len() < LISTINGS {
            let ran = place.run(&watchdogs[0], None);
            match place.judge(None, &ran) {
                Verdict::Right => listings.push(ran),
                Verdict::Refused if name.ends_with("-never") => {
                    report.skip(name, 1, ran.stderr.trim());
                    break;
                }
                verdict => {
                    report.fail(&format!("{name}: {verdict:?} without a fault: {ran:#?}"));
                    break;
                }
            }
        }
        let [ran, others @ ..] = &listings[..] else {
            continue;
        };
        if listings.len() < LISTINGS {
            continue;
        }
        report.pass();
        let all = items(mode, ran, others);
        count.calls = all.len();
        if report.chooses() {
            let all = all.into_iter().flatten();
            wanted.extend(all.filter(|item| report.is_within(&item.name())));
        } else if report.full {
            wanted.extend(all.into_iter().flatten());
        } else {
            wanted.extend(sample(&all));
        }
    }

    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for watchdog in watchdogs {
            scope.spawn(|| {
                let session = Session::new();
                let mut place: Option<Place> = None;
                while let Some(item) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mode = &MODES[item.mode];
                    let mut here = place
                        .take()
                        .filter(|place| place.mode.name == mode.name)
                        .unwrap_or_else(|| Place::new(mode, probe, &session));
                    let (verdict, ran) = inject(&mut here, item.injection, watchdog);
                    let verdict = match verdict {
                        Verdict::Failed(_) if item.is_unguarded && ran.stdout == "plain\n" => {
                            Verdict::Unguarded
                        }
                        verdict => verdict,
                    };
                    // What was left would be found once more.
                    if !matches!(verdict, Verdict::Failed(_)) {
                        place = Some(here);
                    }
                    done.lock().expect("no panic").push((*item, verdict, ran));
                }
            });
        }
    });

    let mut done = done.into_inner().expect("no panic");
    done.sort_by_key(|(item, ..)| {
        let call = item.number.unwrap_or(usize::MAX);
        (item.mode, item.injection.process, call, item.name())
    });
    tell(report, &done, &mut counts);
}

/// Makes a run, anew if its injection did not meet the call: a process may look once more, or once
/// less, whether something has happened.
fn inject(place: &mut Place, injection: Injection, watchdog: &Watchdog) -> (Verdict, Ran) {
    let mut attempts = 0;
    loop {
        let ran = place.run(watchdog, Some(injection));
        let verdict = place.judge(Some(injection), &ran);
        attempts += 1;
        if ran.is_delivered {
            return (verdict, ran);
        }
        if attempts == ATTEMPTS {
            return (Verdict::Failed("not delivered".into()), ran);
        }
    }
}

fn tell(report: &mut Report, done: &[(Item, Verdict, Ran)], counts: &mut [Count]) {
    let mut kinds: BTreeMap<(String, &str, String), Vec<String>> = BTreeMap::new();
    let mut shown = 0;
    for (item, verdict, ran) in done {
        counts[item.mode].add(verdict);
        let Verdict::Failed(why) = verdict else {
            report.pass();
            if report.chooses() {
                let said = ran.stderr.trim().replace('\n', "; ");
                report.say(&format!(
                    "{}, {}: {verdict:?} {said}",
                    item.name(),
                    item.call()
                ));
            }
            continue;
        };
        shown += 1;
        if shown <= SHOWN {
            report.fail(&format!(
                "{}, {}: {why}; {:?}, standard output {:?}, standard error {:?}",
                item.name(),
                item.call(),
                ran.end,
                ran.stdout,
                ran.stderr
            ));
        } else {
            report.failed += 1;
        }
        let kind = match item.injection.fault {
            Fault::Fails(_) => "an error",
            Fault::Gets(Signal::SIGKILL) => "SIGKILL",
            Fault::Gets(_) => "a signal",
        };
        let digits = |c: char| if c.is_ascii_digit() { '#' } else { c };
        let why: String = why.chars().map(digits).collect();
        let key = (why, item.call(), kind.to_owned());
        kinds.entry(key).or_default().push(item.name());
    }
    for ((why, call, kind), names) in &kinds {
        let modes: BTreeSet<&str> = names
            .iter()
            .filter_map(|name| name.split('/').next())
            .collect();
        let modes: Vec<&str> = modes.into_iter().collect();
        report.say(&format!(
            "{} x {call}, {kind}: {why} (in {}; {})",
            names.len(),
            modes.join(" "),
            names[0]
        ));
    }
    report.say("mode             calls   runs  refused  right  ended   libc unguarded  failed");
    let mut all = Count::default();
    for (mode, count) in MODES
        .iter()
        .zip(counts.iter())
        .filter(|(_, count)| count.runs > 0)
    {
        report.say(&format!("{:15} {count}", mode.name));
        all.calls += count.calls;
        all.runs += count.runs;
        all.refused += count.refused;
        all.right += count.right;
        all.ended += count.ended;
        all.fatal += count.fatal;
        all.unguarded += count.unguarded;
        all.failed += count.failed;
    }
    report.say(&format!("{:15} {all}", "all"));
}

/// That what is wrong is seen, and that an injection has its effect.
fn control(report: &mut Report, probe: &Path, watchdog: &Watchdog) {
    let session = Session::new();
    let mut place = Place::new(&MODES[0], probe, &session);
    place.patience = Duration::from_secs(1);
    without_zroot(report, &mut place, watchdog);
    for (sysno, before, fault, expected) in [
        (Sysno::unshare, 0, Fault::Fails(Errno::ENOSPC), "Refused"),
        (Sysno::unshare, 0, Fault::Gets(Signal::SIGKILL), "Ended"),
        (
            Sysno::unshare,
            100,
            Fault::Gets(Signal::SIGKILL),
            "not delivered",
        ),
    ] {
        let injection = Injection {
            process: 0,
            moment: Moment::Call(sysno, before),
            fault,
            holds_command: false,
        };
        let (verdict, ran) = inject(&mut place, injection, watchdog);
        let is_told = verdict != Verdict::Refused || ran.stderr.contains("user namespace");
        report.check(
            format!("{verdict:?}").contains(expected) && is_told,
            &format!("the control, {} and {fault}: {verdict:?}", sysno.name()),
        );
    }

    let mode = MODES.iter().find(|mode| mode.tree.is_some());
    let mut place = Place::new(mode.expect("a root directory"), probe, &session);
    let ran = place.run(watchdog, None);
    fs::write(place.dir.path().join("root/etc/new"), "").expect("a file");
    let verdict = place.judge(None, &ran);
    report.check(
        verdict == Verdict::Failed("root/etc/new is left".into()),
        &format!("the control, a file that is left: {verdict:?}"),
    );
}

/// That the command is plain without zroot, whichever call fails, and a process that is left is
/// seen.
fn without_zroot(report: &mut Report, place: &mut Place, watchdog: &Watchdog) {
    let at = place.dir.path().to_str().expect("ASCII").to_owned();
    let traced = |command: &str| {
        let script = format!("exec {at}/probe traced {command}");
        ["sh", "-c", &script].map(OsString::from)
    };
    let probe = format!("{at}/probe {at}/own");
    let apparent = format!("/usr/bin/unshare -r {probe}");
    for (command, says) in [
        (format!("/usr/bin/env {probe}"), "plain"),
        (apparent.clone(), "plain"),
        (
            format!("/bin/sh -c 'sleep 1000 & exec {probe}'"),
            "left: [\"sleep\"]",
        ),
    ] {
        let ran = place.run_words(traced(&command), watchdog, None);
        let verdict = place.judge(None, &ran);
        let is_seen = matches!(&verdict, Verdict::Failed(why) if why.contains(says));
        report.check(is_seen, &format!("the control, {command}: {verdict:?}"));
    }

    let ran = place.run_words(traced(&apparent), watchdog, None);
    let (mut count, mut missed) = (0, Vec::new());
    for item in items(0, &ran, &[]).iter().flatten() {
        if matches!(item.injection.fault, Fault::Gets(_)) {
            continue;
        }
        let ran = place.run_words(traced(&apparent), watchdog, Some(item.injection));
        let verdict = place.judge(Some(item.injection), &ran);
        if !(matches!(verdict, Verdict::Failed(_)) && ran.is_delivered) {
            missed.push(item.call());
        }
        count += 1;
    }
    report.check(
        missed.is_empty() && count > 50,
        &format!("the control, {count} errors without zroot, {missed:?} not seen"),
    );
}
