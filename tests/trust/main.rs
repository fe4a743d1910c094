//! That the supervisor does for a caller only what that caller could do itself, waits for nobody,
//! and survives; and that zroot starts the command right, or not at all:
//!
//!     cargo test --release --test trust [-- [--full] [PART[/PLACE]...]]
//!
//! Without --full a sample that fits into CI. Everything runs as an unprivileged user. Exits 1 if
//! anything was not as expected.

#[path = "../it/fuzz/bodies/mod.rs"]
mod bodies;
#[path = "../common/mod.rs"]
mod common;
mod faults;
mod forms;
mod hanging;
mod histories;
mod kills;
mod load;
mod place;
mod policy;
mod report;
mod restrictions;
mod session;
mod table;

use std::process::ExitCode;

use clap::Parser;

use report::Report;

/// A part of the suite: its name, and what runs it.
type Part = (&'static str, fn(&mut Report));

const PARTS: &[Part] = &[
    ("table", table::run),
    ("hanging", hanging::run_all),
    ("kills", kills::run_all),
    ("histories", histories::run_all),
    ("faults", faults::run_all),
    ("load", load::run_all),
    ("policy", policy::run_all),
];

#[derive(Parser)]
#[command(
    about = "The supervisor does only what its callers could, waits for nobody, and survives"
)]
struct Options {
    /// PART, table/PLACE or faults/MODE[/PROCESS[/CALL[/FAULT]]]; all without one
    chosen: Vec<String>,
    /// Everything, not only the sample for CI
    #[arg(long)]
    full: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let part_of = |name: &str| name.split('/').next().unwrap_or_default().to_owned();
    let is_part = |name: &String| PARTS.iter().any(|(part, _)| *part == part_of(name));
    if let Some(unknown) = options.chosen.iter().find(|name| !is_part(name)) {
        let names: Vec<&str> = PARTS.iter().map(|(part, _)| *part).collect();
        eprintln!("no part {unknown}; the parts are {}", names.join(" "));
        return ExitCode::from(2);
    }
    let is_wanted = |part: &str| {
        options.chosen.is_empty() || options.chosen.iter().any(|name| part_of(name) == part)
    };
    let parts: Vec<&Part> = PARTS.iter().filter(|(part, _)| is_wanted(part)).collect();
    let mut report = Report::new(options.full, options.chosen);
    let tried = common::run(common::user(session::zroot()).args(["-c", "selective", "true"]));
    if tried.status == 0 {
        for (part, run) in parts {
            report.part(part, *run);
        }
    } else {
        let reason = format!("there is no supervisor: {}", tried.stderr.trim());
        report.skip("all parts", 1, &reason);
    }
    session::remove_copy();
    println!(
        "trust: {} passed, {} failed, {} skipped",
        report.passed, report.failed, report.skipped
    );
    // Nothing at all is no success, unless nothing can be.
    ExitCode::from(u8::from(
        report.failed > 0 || report.passed + report.skipped == 0,
    ))
}
