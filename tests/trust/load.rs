//! Many processes, many at once, many calls: the last are answered as fast as the first, and
//! nothing grows.

use std::fs;
use std::path::Path;

use crate::common::{self, LONG, dir, run, user, wait_for};
use crate::report::Report;
use crate::session::{Lines, Session, compile, zroot};

/// The last against the first: a rate below this is a failure, if it stays so.
const LEAST: f64 = 0.8;

/// How much memory may come on top, in kB: what a table of credentials may take.
const GROWTH: u64 = 4_096;

/// What the processes of zroot's have: memory in kB, descriptors of the supervisor.
#[derive(Clone, Copy, Debug)]
struct Has {
    memory: u64,
    descriptors: usize,
}

fn has(session: &Session) -> Has {
    let (_, supervisor) = session.pair();
    let zroots = session.processes().into_iter();
    let memory = zroots
        .filter(|(_, name)| name.starts_with("zroot"))
        .filter_map(|(pid, _)| {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        })
        .sum();
    let count = || Some(fs::read_dir(format!("/proc/{supervisor}/fd")).ok()?.count());
    // In the middle of a call there are more; the fewest of several looks is meant.
    let descriptors = (0..20).filter_map(|_| count()).min().unwrap_or_default();
    Has {
        memory,
        descriptors,
    }
}

pub fn run_all(report: &mut Report) {
    if common::program("cc").is_none() {
        return report.skip("all", 1, "there is no cc");
    }
    let place = dir();
    let work = place.path().join("work");
    compile("work.c", &work);
    let [processes, at_once, trees, calls] = if report.full {
        [10_000, 1_000, 64, 1_000_000]
    } else {
        [500, 100, 8, 20_000]
    };
    let session = Session::new();
    trees_at_once(report, place.path(), &session, trees);

    // A first round, so that what is made once is there; each further line of input is a round.
    let script = format!(
        r#""$0" load 50 10 1000; echo ready; while read round; do "$0" load {processes} {at_once} {calls}; echo done; done"#
    );
    let exe = zroot().to_str().expect("UTF-8");
    let mut command = session.command(place.path(), [exe, "-c", "selective", "sh", "-ec", &script]);
    command.arg(&work);
    let mut lines = Lines::start(&mut command);
    let within = LONG * if report.full { 60 } else { 4 };
    let until = |lines: &mut Lines, last: &str| -> Vec<String> {
        let mut said = Vec::new();
        while let Some(line) = lines.next(within) {
            let is_last = line == last;
            said.push(line);
            if is_last {
                break;
            }
        }
        said
    };
    until(&mut lines, "ready");
    let before = has(&session);
    // A busy machine may slow down what comes last, so that there are three attempts.
    let mut best = [0.0_f64; 2];
    let mut is_whole = true;
    for _ in 0..3 {
        lines.write(b"\n");
        let said = until(&mut lines, "done");
        for (best, name) in best.iter_mut().zip(["rate processes ", "rate calls "]) {
            let rate = said
                .iter()
                .find_map(|line| line.strip_prefix(name)?.parse().ok());
            if let Some(rate) = rate {
                *best = best.max(rate);
            } else {
                is_whole = false;
                report.fail(&format!("{name}: {said:?}"));
            }
        }
        if best.iter().all(|rate| *rate >= LEAST) || !is_whole {
            break;
        }
    }
    for (rate, what) in best.into_iter().zip([
        format!("{processes} processes"),
        format!("{calls} calls after {at_once} callers at once"),
    ]) {
        report.check(
            rate >= LEAST,
            &format!("{what}: the rate at the end is {rate:.2} of that at the start"),
        );
    }
    let after = has(&session);
    report.check(
        after.memory < before.memory + GROWTH,
        &format!(
            "memory: {} kB before, {} kB after",
            before.memory, after.memory
        ),
    );
    report.check(
        after.descriptors == before.descriptors,
        &format!(
            "descriptors: {} before, {} after",
            before.descriptors, after.descriptors
        ),
    );
    report.check(lines.end() == Some(0), "the end of the load");
    session.nothing_is_left();
    report.pass();
}

/// `chown -R` on trees of their own, all at once.
fn trees_at_once(report: &mut Report, place: &Path, session: &Session, count: usize) {
    const MAKE: &str = "mkdir trees; i=0; while [ $i -lt $0 ]; do mkdir trees/$i; (cd trees/$i; seq 200 | xargs touch); i=$((i + 1)); done";
    run(user("sh")
        .args(["-ec", MAKE, &count.to_string()])
        .current_dir(place))
    .succeeds();
    let script = r"for tree in trees/*; do (chown -R 5:7 $tree && chmod -R 640 $tree/* && echo right) & done; wait";
    let exe = zroot().to_str().expect("UTF-8");
    let mut lines =
        Lines::start(&mut session.command(place, [exe, "-c", "selective", "sh", "-ec", script]));
    let mut right = 0;
    while lines.next(LONG).is_some_and(|line| line == "right") {
        right += 1;
    }
    let status = lines.end();
    let looked = run(user("find")
        .args(["trees", "-type", "f", "-perm", "640"])
        .current_dir(place));
    report.check(
        status == Some(0) && right == count && looked.stdout.lines().count() == 200 * count,
        &format!("{right} of {count} chown -R at once"),
    );
    wait_for("nothing left over", || {
        session.processes().is_empty().then_some(())
    });
}
