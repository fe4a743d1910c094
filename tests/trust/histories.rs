//! Random histories of files and identities at level full are as real root's, one after the other
//! and four at once, on a disk and in memory, for programs of both word sizes, and while supervisor
//! and guard are killed.

#[path = "../it/full/histories/mod.rs"]
mod carried_out;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common;
use crate::common::random::Random;
use crate::report::Report;
use crate::session::{Session, zroot};
use carried_out::Stage;
use carried_out::generate::Generator;

/// Histories of a row, one after the other in one place.
const ROW: usize = 15;
/// Rows under one zroot, at once.
const AT_ONCE: usize = 4;
/// Those that this machine cannot be without: CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH,
/// CAP_FOWNER, CAP_FSETID, CAP_SETGID, CAP_SETUID, CAP_SETPCAP, CAP_MKNOD.
const NEEDED: u64 = 0x1df | 1 << 27;

/// Real root's capabilities, in hexadecimal.
fn capabilities() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let own = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))?
        .trim();
    let set = u64::from_str_radix(own, 16).ok()?;
    (common::is_root()
        && zroot::internals::host::is_real_root() == Some(true)
        && set & NEEDED == NEEDED)
        .then(|| own.to_owned())
}

pub fn run_all(report: &mut Report) {
    let Some(capabilities) = capabilities() else {
        return report.skip("all", 1, "there is no real root to compare with");
    };
    if common::program("cc").is_none() || common::program("prlimit").is_none() {
        return report.skip("all", 1, "there is no cc, or no prlimit");
    }
    let rounds = if report.full { 45 } else { 1 };
    let mut seed =
        std::env::var("ZROOT_TEST_SEED").map_or(1 << 32, |seed| seed.parse().expect("a number"));
    for (what, place, options, with_kills) in [
        ("on a disk", "/tmp", &[][..], false),
        ("in memory", "/dev/shm", &[], false),
        #[cfg(target_arch = "x86_64")]
        (
            "of i386 programs",
            "/tmp",
            &["-m32", "-D_TIME_BITS=64"],
            false,
        ),
        ("with kills", "/tmp", &[], true),
    ] {
        let session = Session::new();
        let stage = Stage::new(Path::new(place), zroot(), &capabilities, options);
        let stage = match stage {
            Ok(stage) => stage.under(session.words()),
            Err(reason) => {
                report.skip(what, 1, &reason);
                continue;
            }
        };
        let (mut steps, mut killed) = (0, 0);
        for _ in 0..rounds {
            seed += 1;
            let mut generator = Generator::new(seed);
            let mut row = || {
                (0..ROW)
                    .map(|number| generator.history(&format!("h{number}")))
                    .collect()
            };
            let rows: Vec<_> = (0..AT_ONCE).map(|_| row()).collect();
            let is_over = AtomicBool::new(!with_kills);
            let came_to = std::thread::scope(|scope| {
                let killer = scope.spawn(|| kills(&session, &is_over, seed));
                let came_to = stage.compare(&rows);
                is_over.store(true, Ordering::Relaxed);
                killed += killer.join().expect("the killer's count");
                came_to
            });
            match came_to {
                Ok(more) => steps += more,
                Err(wrong) => report.fail(&format!("{what}, seed {seed}: {wrong}")),
            }
        }
        let histories = rounds * ROW * AT_ONCE;
        report.check(
            steps > 0 && with_kills == (killed > 0),
            &format!(
                "{what}: {histories} histories, {steps} steps, {killed} kills, last seed {seed}"
            ),
        );
        session.nothing_is_left();
    }
}

/// Kills supervisor and guard, one or the other, until that is over.
fn kills(session: &Session, is_over: &AtomicBool, seed: u64) -> usize {
    let mut random = Random(seed);
    let (mut killed, mut last) = (0, None);
    while !is_over.load(Ordering::Relaxed) {
        // Both are there, and neither is the one that was killed.
        let Some((guard, supervisor)) = session.find_pair() else {
            continue;
        };
        if [guard, supervisor].map(Some).contains(&last) {
            continue;
        }
        // A moment, to find them in the middle of any call; nothing is waited for.
        std::thread::sleep(Duration::from_micros(random.next() % 5_000));
        let pid = [guard, supervisor][usize::from(random.next() % 2 == 0)];
        if kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok() {
            (killed, last) = (killed + 1, Some(pid));
        }
    }
    killed
}
