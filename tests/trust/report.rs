//! What came of the checks: a line for each that failed, and counts.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crate::common;

/// Everything, or the sample that fits into CI; and what has been counted.
pub struct Report {
    pub full: bool,
    chosen: Vec<String>,
    part: &'static str,
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

impl Report {
    pub fn new(full: bool, chosen: Vec<String>) -> Report {
        Report {
            full,
            chosen,
            part: "",
            passed: 0,
            failed: 0,
            skipped: 0,
        }
    }

    /// Whether that part of the part was asked for by name.
    pub fn is_chosen(&self, name: &str) -> bool {
        let both = format!("{}/{name}", self.part);
        self.chosen.contains(&both)
    }

    /// Whether parts of the part were.
    pub fn chooses(&self) -> bool {
        let above = format!("{}/", self.part);
        self.chosen.iter().any(|name| name.starts_with(&above))
    }

    /// Whether that, or a part of it, or what it is a part of was asked for by name.
    pub fn is_within(&self, name: &str) -> bool {
        let both = format!("{}/{name}/", self.part);
        let mut chosen = self.chosen.iter().map(|chosen| format!("{chosen}/"));
        chosen.any(|chosen| both.starts_with(&chosen) || chosen.starts_with(&both))
    }

    pub fn pass(&mut self) {
        self.passed += 1;
    }

    pub fn fail(&mut self, what: &str) {
        self.failed += 1;
        println!("{}: FAILED {what}", self.part);
    }

    /// Notes that `what` is as it should be, if it is.
    pub fn check(&mut self, is_right: bool, what: &str) {
        if is_right {
            self.pass();
            println!("{}: {what}", self.part);
        } else {
            self.fail(what);
        }
    }

    /// Leaves `what` out, which is `count` checks; fails with `ZROOT_MUST_RUN=1`.
    pub fn skip(&mut self, what: &str, count: usize, reason: &str) {
        if std::env::var_os("ZROOT_MUST_RUN").is_some_and(|value| value == "1") {
            return self.fail(&format!("{what} must run, but {reason}"));
        }
        self.skipped += count;
        common::skip(&format!("trust, {} {what}", self.part), reason);
    }

    pub fn say(&self, what: &str) {
        println!("{}: {what}", self.part);
    }

    /// Runs one part. A panic is a failure, so that the assertions of tests/common serve here.
    pub fn part(&mut self, name: &'static str, run: fn(&mut Report)) {
        let (start, passed, failed) = (Instant::now(), self.passed, self.failed);
        self.part = name;
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(self))) {
            self.fail(&message(panic.as_ref()));
        }
        println!(
            "{name}: {} passed, {} failed, {:.1} s",
            self.passed - passed,
            self.failed - failed,
            start.elapsed().as_secs_f64()
        );
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a panic".into())
}
