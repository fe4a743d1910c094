//! The cost of the start, counted: a change that makes it dearer by more than 5 % fails here and
//! has to say why, by writing down the new value (`ZROOT_BLESS=1 cargo test --release --test
//! startup`). `cargo bench --bench startup` has the times.

mod common;
#[path = "common/start.rs"]
mod start;

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use common::{dir, skip, zroot};
use start::{Cost, cost, floor};

/// The plain way, and one through the parser of options and the generator of filters.
const RUNS: [&[&str]; 2] = [&["true"], &["--no-sync", "true"]];

/// What zroot does beyond the C program `benches/floor.c`, which has the same libc's start-up
/// behind it: another libc, a longer environment or a processor for which libc chooses other code
/// changes both alike.
#[test]
fn the_start_is_as_cheap_as_recorded() {
    if cfg!(debug_assertions) {
        return skip(
            "the_start_is_as_cheap_as_recorded",
            "this is not the release profile",
        );
    }
    need!("the_start_is_as_cheap_as_recorded", "cc");
    let dir = dir();
    let floor = cost(&floor(dir.path(), true), &["/usr/bin/true"]);
    // Above what is recorded with this compiler and libc, 5 % are let pass; others generate other
    // code, but not much worse.
    let tools = tools();
    let mut text = format!("{tools}\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/startup")
        .join(std::env::consts::ARCH);
    let recorded = fs::read_to_string(&path).unwrap_or_default();
    let mut lines = recorded.lines();
    let slack = if lines.next() == Some(&tools) {
        105
    } else {
        125
    };
    let mut wrong = Vec::new();
    for args in RUNS {
        let all = cost(zroot(), args);
        let own = Cost {
            calls: all.calls - floor.calls,
            instructions: all.instructions - floor.instructions,
            ..all
        };
        let line = format!(
            "{} system calls, {} instructions: {}",
            own.calls,
            own.instructions,
            args.join(" ")
        );
        let most = lines.next().and_then(|line| {
            let mut numbers = line.split(' ').filter_map(|word| word.parse::<u64>().ok());
            Some((numbers.next()?, numbers.next()? * slack / 100))
        });
        if most.is_none_or(|(calls, instructions)| {
            own.calls > calls || own.instructions > instructions
        }) {
            wrong.push(format!("now {line}; at most {most:?}"));
        }
        writeln!(text, "{line}").expect("a String takes all");
    }
    if std::env::var_os("ZROOT_BLESS").is_some() {
        fs::write(&path, text).expect("written");
    } else {
        assert!(wrong.is_empty(), "beyond the floor ({floor:?}): {wrong:#?}");
    }
}

/// The compiler and the C library, as far as whoever runs the test can run them.
fn tools() -> String {
    let version = |program: &str, arg: &str| match Command::new(program).arg(arg).output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Err(_) => format!("unknown {program}"),
    };
    format!(
        "{}, {}",
        version("rustc", "--version"),
        version("getconf", "GNU_LIBC_VERSION")
    )
}
