//! Other people's test suites, at level full beside real root:
//!
//!     cargo test --release --test suites [-- [--full] [--write FILE] [SUITE[/UNIT]...]]
//!
//! None of them is here: each comes from Debian's source package, or from a directory that the
//! environment names (`list.rs`). Real root is the oracle: what passes for it has to pass for an
//! unprivileged user at level full, but for what is listed in `known.rs`, with its cause; what is
//! listed there and passes is wrong, too. Level selective and fakeroot are for comparison. Without
//! --full a sample that fits into CI. --write puts the table into a file: docs/suites.md is that of
//! a full run by root.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/debian.rs"]
mod debian;
mod known;
mod list;
mod report;
#[path = "../common/sources.rs"]
mod sources;
mod unit;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Parser;

use list::{SUITES, Suite};
use report::Report;
use unit::{Column, Results, Unit};

#[derive(Parser)]
#[command(about = "Other people's test suites, at level full beside real root")]
struct Options {
    /// SUITE or SUITE/UNIT; all without one
    chosen: Vec<String>,
    /// Everything, not only the sample for CI
    #[arg(long)]
    full: bool,
    /// Where to write the table
    #[arg(long)]
    write: Option<PathBuf>,
    /// Print all that the units of a failing test said
    #[arg(long)]
    said: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let is_suite = |name: &&String| {
        SUITES
            .iter()
            .any(|suite| name.split('/').next() == Some(suite.name))
    };
    if let Some(unknown) = options.chosen.iter().find(|name| !is_suite(name)) {
        let names: Vec<&str> = SUITES.iter().map(|suite| suite.name).collect();
        eprintln!("no suite {unknown}; there are {}", names.join(" "));
        return ExitCode::from(2);
    }
    let mut columns = Column::ALL.to_vec();
    if !common::is_root() {
        columns.retain(|column| *column != Column::RealRoot);
        eprintln!("NOTE without real root nothing says what should pass: run it as root");
    }
    if common::program("fakeroot").is_none() {
        columns.retain(|column| *column != Column::Fakeroot);
        eprintln!("NOTE there is no fakeroot to be compared with");
    }

    let mut report = Report::default();
    for suite in SUITES {
        let wanted = |unit: &str| {
            options.chosen.is_empty()
                || options.chosen.iter().any(|name| {
                    name == suite.name || name.strip_prefix(suite.name) == Some(&format!("/{unit}"))
                })
        };
        // A suite that was asked for by name is run whole.
        let whole = options.full || !options.chosen.is_empty();
        if !options.chosen.is_empty()
            && !options
                .chosen
                .iter()
                .any(|name| name.split('/').next() == Some(suite.name))
            || !whole && suite.sample.is_empty()
        {
            continue;
        }
        let place = match suite.place() {
            Ok(place) => place,
            Err(reason) => {
                left_out(suite, &reason, &mut report);
                continue;
            }
        };
        let mut units = suite.units(&place);
        units.retain(|unit| wanted(unit) && (whole || suite.sample.contains(&unit.as_str())));
        let units: Vec<Unit> = units
            .into_iter()
            .map(|name| Unit {
                suite,
                place: place.clone(),
                name,
            })
            .collect();
        report.add(suite, &place, run_all(&units, &columns, options.said));
    }

    let table = report.table(&columns);
    println!("\n{table}");
    if let Some(path) = options.write {
        std::fs::write(&path, [report::HEAD, &table].concat())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    println!(
        "suites: {} passed, {} failed, {} skipped",
        report.right, report.wrong, report.skipped
    );
    // Nothing at all is no success.
    ExitCode::from(u8::from(report.wrong > 0 || report.right == 0))
}

/// Says that a suite is not to be had here. With `ZROOT_MUST_RUN` that is a failure where it
/// belongs to the sample.
fn left_out(suite: &Suite, reason: &str, report: &mut Report) {
    if suite.sample.is_empty() {
        eprintln!("SKIP suites, {}: {reason}", suite.name);
    } else {
        common::skip(&format!("suites, {}", suite.name), reason);
    }
    report.left_out(suite.name, reason);
}

/// Runs all units, as many at a time as there are processors; a unit's columns one after another.
fn run_all(units: &[Unit], columns: &[Column], said: bool) -> BTreeMap<String, Results> {
    let next = AtomicUsize::new(0);
    let all: Mutex<BTreeMap<String, Results>> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(unit) = units.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let results = unit.run(columns, said);
                    println!("{}/{}: {}", unit.suite.name, unit.name, results.line());
                    all.lock()
                        .expect("nobody panics with it")
                        .insert(unit.name.clone(), results);
                }
            });
        }
    });
    all.into_inner().expect("nobody panics with it")
}
