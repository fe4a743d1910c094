//! The cost of the start, counted: a change that makes it dearer by more than 5 % fails here and
//! has to say why, by writing down the new value (`ZROOT_BLESS=1 cargo test --release --test
//! startup`). `cargo bench --bench startup` has the times.

#![cfg_attr(target_env = "musl", allow(dead_code, unused_imports))]

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
#[cfg(not(target_env = "musl"))] // `cc` makes the C program with glibc
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

/// `start.ld` does what it is for. It is used on musl only.
#[cfg(all(target_env = "musl", target_arch = "x86_64"))]
mod code {
    use std::collections::{BTreeMap, BTreeSet};

    use nix::sys::ptrace;

    use super::{RUNS, fs, skip, start::trace, zroot};

    /// The kernel maps files in stretches of 64 kB, and each that a start touches costs it 5 us.
    #[test]
    fn the_code_of_a_start_lies_in_one_stretch() {
        if cfg!(debug_assertions) {
            return skip(
                "the_code_of_a_start_lies_in_one_stretch",
                "this is not the release profile",
            );
        }
        let map = fs::read_to_string(concat!(env!("OUT_DIR"), "/start.map")).expect("a link map");
        let sections = sections(&map);
        let mut executed = BTreeSet::new();
        let step = |pid| ptrace::step(pid, None);
        trace(zroot(), RUNS[0], step, |pid| {
            executed.insert(ptrace::getregs(pid).expect("registers").rip);
        });
        let stretch = |address: u64| address >> 16;
        let first = executed.first().copied().map(stretch);
        let outside: BTreeSet<&str> = executed
            .into_iter()
            .filter(|&at| Some(stretch(at)) != first)
            .map(|at| {
                sections
                    .range(..=at)
                    .next_back()
                    .map_or("?", |section| section.1)
            })
            .collect();
        let unused = unused(&map);
        assert!(
            outside.is_empty() && unused.is_empty(),
            "start.ld misses {outside:#?} and has these lines that match nothing: {unused:#?}"
        );
    }

    /// The sections of a link map of GNU ld: name, address, size and file, on one line or two.
    fn sections(map: &str) -> BTreeMap<u64, &str> {
        let words: Vec<&str> = map.split_whitespace().collect();
        words
            .windows(2)
            .filter(|pair| pair[0].starts_with('.'))
            .filter_map(|pair| {
                let address = u64::from_str_radix(pair[1].strip_prefix("0x")?, 16).ok()?;
                Some((address, pair[0]))
            })
            .collect()
    }

    /// The lines of `start.ld` that match nothing. In the map, what a line matches stands below it.
    fn unused(map: &str) -> Vec<&str> {
        let is_pattern = |line: &str| line.starts_with(" *") && line.ends_with(')');
        let mut unused = Vec::new();
        for name in [".text.start", ".rodata.start", ".bss.start"] {
            let mut open = None;
            let lines = map
                .lines()
                .skip_while(|line| !line.starts_with(name))
                .take_while(|line| !line.is_empty());
            for line in lines {
                if is_pattern(line) {
                    unused.extend(open.replace(line));
                } else if !line.starts_with(" *fill*") {
                    open = None;
                }
            }
            unused.extend(open);
        }
        unused
    }
}
