//! Real packages, package managers, builders and languages, at each level, beside real root and
//! beside a namespace without zroot:
//!
//!     cargo test --release --test acceptance [-- [--full] [--write FILE] [--level LEVEL]... [PART[/CASE]...]]
//!
//! Without --full a sample that fits into CI. Everything but the column "real root" runs as an
//! unprivileged user. Exits 1 if anything was not as expected. --write puts the table into a file:
//! docs/acceptance.md is that of a full run.

mod bootstrap;
mod builders;
#[path = "../common/mod.rs"]
mod common;
mod compared;
#[path = "../common/debian.rs"]
mod debian;
mod debian_packages;
mod examples;
mod installers;
mod others;
mod owners;
mod pacman;
mod rpm;
mod runsteps;
mod runtimes;
mod scripts;
mod suite;
mod tree;
mod trees;
mod unminimize;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use suite::{Column, Suite};

/// A part of the suite: its name, and what runs its cases.
type Part = (&'static str, fn(&Suite));

const PARTS: &[Part] = &[
    ("runsteps", runsteps::cases),
    ("runtimes", runtimes::cases),
    ("unminimize", unminimize::cases),
    ("rpm", rpm::run),
    ("pacman", pacman::run),
    ("others", others::run),
    ("trees", trees::run),
    ("examples", examples::run_all),
    ("builders", builders::run_all),
    ("installers", installers::run_all),
    ("bootstrap", bootstrap::cases),
    ("debian", debian_packages::cases),
];

/// What the written table begins with.
const HEAD: &str = "\
# Real packages, package managers, builders and languages

Made by `cargo test --release --test acceptance -- --full --write docs/acceptance.md`, run by root, who is the first column; all others are an
unprivileged user. `without zroot` is the control: the same as apparent root in a namespace of one id, which has to fail where zroot is needed.
`zero`, `selective` and `full` are the levels. A case fails if the exit status, what was said, what dpkg finds, or a file with its mode differs from
what real root gets; at `full` also if, before the last of its programs has ended, anything has another owner, group, type or device number.
`in part` is a case that ends with exit status 0 all the same. Each shortfall has its cause below.

";

#[derive(Parser)]
#[command(about = "Real packages, package managers, builders and languages")]
struct Options {
    /// PART or PART/CASE; all without one
    chosen: Vec<String>,
    /// Everything, not only the sample for CI
    #[arg(long)]
    full: bool,
    /// Only these of "real root", "without zroot", "zero", "selective", "full"
    #[arg(long)]
    level: Vec<String>,
    /// Where to write the table
    #[arg(long)]
    write: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let is_part = |name: &String| {
        PARTS
            .iter()
            .any(|(part, _)| name.split('/').next() == Some(part))
    };
    let is_level = |name: &String| Column::ALL.iter().any(|column| column.name() == name);
    if let Some(unknown) = options
        .chosen
        .iter()
        .find(|name| !is_part(name))
        .or(options.level.iter().find(|name| !is_level(name)))
    {
        eprintln!(
            "no part or level {unknown}; the parts are {}",
            PARTS
                .iter()
                .map(|(part, _)| *part)
                .collect::<Vec<_>>()
                .join(" ")
        );
        return ExitCode::from(2);
    }
    let mut columns = Column::ALL.to_vec();
    columns.retain(|column| {
        options.level.is_empty() || options.level.iter().any(|name| name == column.name())
    });
    if !common::is_root() {
        columns.retain(|column| *column != Column::RealRoot);
        eprintln!("NOTE real root is left out: it is compared when root runs the suite");
    }
    let suite = Suite::new(options.full, options.chosen, columns);
    for (part, run) in PARTS {
        if suite.wants_part(part) {
            run(&suite);
        }
    }
    let report = suite.report();
    println!("\n{report}");
    if let Some(path) = options.write {
        std::fs::write(&path, [HEAD, &report].concat())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let (right, wrong, skipped) = suite.counts();
    println!("acceptance: {right} passed, {wrong} failed, {skipped} skipped");
    // Nothing at all is no success.
    ExitCode::from(u8::from(wrong > 0 || right == 0))
}
