//! What zroot's own start costs, beside a C program that does only what it must: `cargo bench
//! --bench startup [-- OTHER_ZROOT...]`. Run it as an ordinary user: for root, dropping to one in
//! the child would be timed as well.
//!
//! Counts come from ptrace(2) and are exact. Times are medians over interleaved runs. Ratios are
//! taken within a round.

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/common/start.rs"]
mod start;

use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use start::{command, cost, floor};

const ROUNDS: usize = 1000;

fn main() {
    let dir = common::dir();
    let (floor, bare) = (floor(dir.path(), true), floor(dir.path(), false));
    let others: Vec<PathBuf> = std::env::args_os()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .map(PathBuf::from)
        .collect();
    // Copies, so that all are in the page cache in the same way.
    let copy = |(i, from): (usize, &PathBuf)| {
        let to = dir.path().join(format!("other-{i}"));
        common::run(
            Command::new("install")
                .args(["-m", "755"])
                .arg(from)
                .arg(&to),
        )
        .succeeds();
        println!("{} is {}", to.display(), from.display());
        to
    };
    let others: Vec<PathBuf> = others.iter().enumerate().map(copy).collect();
    let mut rows: Vec<(&Path, &[&str])> =
        vec![(&floor, &["/usr/bin/true"]), (&bare, &["/usr/bin/true"])];
    for zroot in [common::zroot()]
        .into_iter()
        .chain(others.iter().map(PathBuf::as_path))
    {
        rows.extend([
            (zroot, &["true"][..]),
            (zroot, &["--no-apt-config", "true"]),
        ]);
    }

    let mut times = vec![Vec::new(); rows.len()];
    for round in 0..=ROUNDS {
        // In a random order: the kernel is still freeing the last one's namespace when the next
        // one starts.
        let random = RandomState::new();
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|at| random.hash_one(at));
        for at in order {
            let (program, args) = rows[at];
            let mut command = command(program, args);
            let start = Instant::now();
            let status = command.status().expect("started");
            let micros = start.elapsed().as_secs_f64() * 1e6;
            assert!(status.success(), "{command:?}: {status}");
            if round > 0 {
                times[at].push(micros); // the first round warms up
            }
        }
    }

    println!("| | system calls | page faults | instructions | us | x |\n|---|---|---|---|---|---|");
    for (times_here, (program, args)) in times.iter().zip(&rows) {
        let cost = cost(program, args);
        let ratio = median(
            times_here
                .iter()
                .zip(&times[0])
                .map(|(here, floor)| here / floor)
                .collect(),
        );
        let micros = median(times_here.clone());
        let line = [&[&*program.to_string_lossy()], *args].concat().join(" ");
        println!(
            "| {line} | {} | {} | {} | {micros:.0} | {ratio:.3} |",
            cost.calls, cost.faults, cost.instructions
        );
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
