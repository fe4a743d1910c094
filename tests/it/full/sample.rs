//! Some thousand steps of random histories; `cargo test --release --test trust -- --full histories`
//! has many more.

use std::path::Path;

use super::histories::generate::{Generator, History};
use super::histories::{Stage, Who};
use crate::common::{self, zroot};
use crate::supervisor::oracle::{capabilities, has_oracle};

/// So many histories, in rows under one zroot each.
const HISTORIES: usize = 60;
const ROW: usize = 15;

/// `None` after a SKIP.
pub fn stage(test: &str, place: &str, options: &[&str]) -> Option<Stage> {
    if !has_oracle(test) {
        return None;
    }
    need_cc(test)?;
    match Stage::new(Path::new(place), zroot(), &capabilities(), options) {
        Ok(stage) => Some(stage),
        Err(reason) => {
            common::skip(test, &reason);
            None
        }
    }
}

fn need_cc(test: &str) -> Option<()> {
    if common::program("cc").is_none() {
        common::skip(test, "there is no cc");
        return None;
    }
    Some(())
}

/// The seed, or that of `ZROOT_TEST_SEED`, to see a failure again.
fn seed(default: u64) -> u64 {
    std::env::var("ZROOT_TEST_SEED").map_or(default, |seed| seed.parse().expect("a number"))
}

fn row(generator: &mut Generator, count: usize) -> Vec<History> {
    (0..count)
        .map(|number| generator.history(&format!("h{number}")))
        .collect()
}

fn one_after_the_other(test: &str, place: &str, options: &[&str], first: u64) {
    let Some(stage) = stage(test, place, options) else {
        return;
    };
    let mut steps = 0;
    for seed in (seed(first)..).take(HISTORIES / ROW) {
        let script = row(&mut Generator::new(seed), ROW);
        match stage.compare(&[script]) {
            Ok(more) => steps += more,
            Err(wrong) => panic!("seed {seed}: {wrong}"),
        }
    }
    assert!(steps > HISTORIES * 10, "{steps} steps only");
}

#[test]
fn histories_are_as_real_roots() {
    one_after_the_other("histories_are_as_real_roots", "/tmp", &[], 1_000);
}

#[test]
fn histories_in_memory_are_as_real_roots() {
    one_after_the_other(
        "histories_in_memory_are_as_real_roots",
        "/dev/shm",
        &[],
        2_000,
    );
}

#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
#[test]
fn histories_of_i386_programs_are_as_real_roots() {
    let options = ["-m32", "-D_TIME_BITS=64"];
    one_after_the_other(
        "histories_of_i386_programs_are_as_real_roots",
        "/tmp",
        &options,
        3_000,
    );
}

#[test]
fn four_histories_at_once_are_as_real_roots() {
    let Some(stage) = stage("four_histories_at_once_are_as_real_roots", "/tmp", &[]) else {
        return;
    };
    for seed in (seed(4_000)..).take(3) {
        let mut generator = Generator::new(seed);
        let scripts: Vec<_> = (0..4).map(|_| row(&mut generator, ROW / 2)).collect();
        if let Err(wrong) = stage.compare(&scripts) {
            panic!("seed {seed}: {wrong}");
        }
    }
}

/// The control: what level selective says of the same is something else.
#[test]
fn histories_differ_where_nothing_is_remembered() {
    let Some(stage) = stage("histories_differ_where_nothing_is_remembered", "/tmp", &[]) else {
        return;
    };
    let scripts = [row(&mut Generator::new(5_000), 3)];
    let real = stage.perform(Who::Root, &scripts).expect("what root says");
    let selective = stage
        .perform(Who::Zroot("selective"), &scripts)
        .expect("what zroot says");
    let lines = |said: &[String]| said[0].lines().map(str::to_owned).collect::<Vec<_>>();
    let (real, selective) = (lines(&real), lines(&selective));
    let differ = real
        .iter()
        .zip(&selective)
        .filter(|(real, zroot)| real != zroot)
        .count();
    assert!(differ > real.len() / 10, "{differ} lines of {}", real.len());
}
