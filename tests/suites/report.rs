//! What is right, what is wrong, and the table. Knows nothing of how tests are run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::known;
use crate::list::Suite;
use crate::unit::{Column, Results, Verdict};

/// What the written table begins with.
pub const HEAD: &str = "\
# Other people's test suites

Made by `cargo test --release --test suites -- --full --write docs/suites.md`, run by root, who is the oracle. All other columns are an unprivileged
user. `tests` is without what a suite itself leaves out, or says that it does not pass on Linux; a number in the other columns is how many pass of those that
real root passes. In pjdfstest a test is one check, in acl and attr one command, else what the suite calls a test. LTP's warning that a program cannot lower
its `oom_score_adj`, which takes CAP_SYS_RESOURCE (fs/proc/base.c, `__set_oom_adj`), is no failure.

";

#[derive(Default)]
pub struct Report {
    pub right: usize,
    pub wrong: usize,
    pub skipped: usize,
    rows: Vec<Row>,
    left_out: Vec<String>,
    /// Names of tests, by the cause for which they do not pass, suite and unit.
    short: BTreeMap<(&'static str, &'static str, String), Vec<String>>,
}

struct Row {
    name: &'static str,
    version: String,
    /// How many tests there are that the suite itself does not leave out here.
    all: usize,
    passed: BTreeMap<Column, usize>,
}

impl Report {
    pub fn left_out(&mut self, name: &str, reason: &str) {
        self.skipped += 1;
        self.left_out.push(format!("- {name}: {reason}"));
    }

    /// Compares what level full came to with real root's.
    pub fn add(&mut self, suite: &Suite, place: &Path, units: BTreeMap<String, Results>) {
        let mut row = Row {
            name: suite.name,
            version: suite.version(place),
            all: 0,
            passed: BTreeMap::new(),
        };
        for (unit, results) in &units {
            let Some(oracle) = results.0.get(&Column::RealRoot) else {
                self.without_oracle(&mut row, results);
                continue;
            };
            let is_run = |verdict: &&Verdict| **verdict != Verdict::Skip;
            row.all += oracle.values().filter(is_run).count();
            let (mut unexpected, mut why) = (Vec::new(), "");
            for test in oracle
                .iter()
                .filter(|(_, verdict)| **verdict == Verdict::Ok)
                .map(|(test, _)| test)
            {
                for &column in results.0.keys() {
                    let passed = results.verdict(column, test) == Some(&Verdict::Ok);
                    *row.passed.entry(column).or_default() += usize::from(passed);
                }
                let verdict = results.verdict(Column::Full, test);
                match (verdict, known::cause(suite.name, unit, test)) {
                    (Some(Verdict::Ok), None) => self.right += 1,
                    (Some(Verdict::Ok), Some(cause)) => {
                        self.wrong += 1;
                        println!(
                            "WRONG {}/{unit} {test} passes, although listed: {cause}",
                            suite.name
                        );
                    }
                    (_, Some(cause)) => {
                        self.right += 1;
                        let key = (cause, suite.name, unit.clone());
                        self.short.entry(key).or_default().push(test.clone());
                    }
                    (verdict, None) => {
                        self.wrong += 1;
                        unexpected.push(test.clone());
                        if let (Some(Verdict::NotOk(reason)), "") = (verdict, why) {
                            why = reason;
                        }
                    }
                }
            }
            if !unexpected.is_empty() {
                println!(
                    "WRONG {}/{unit} fails, although it passes for real root: {}: {why}",
                    suite.name,
                    ranges(&unexpected)
                );
            }
        }
        // Of which real root passes nothing, that does not run here.
        if row.passed.values().all(|passed| *passed == 0) {
            self.wrong += 1;
            println!("WRONG {}: nothing of it passes", suite.name);
        }
        self.rows.push(row);
    }

    fn without_oracle(&mut self, row: &mut Row, results: &Results) {
        for (&column, tests) in &results.0 {
            let passed = tests
                .values()
                .filter(|verdict| **verdict == Verdict::Ok)
                .count();
            *row.passed.entry(column).or_default() += passed;
            if column == Column::Full {
                row.all += tests.len();
                self.right += passed;
            }
        }
    }

    /// In Markdown: the table, and what level full is short of, by cause.
    pub fn table(&self, columns: &[Column]) -> String {
        let mut text = String::from("| suite | version | tests |");
        for column in columns {
            let _ = write!(text, " {} |", column.name());
        }
        let _ = writeln!(text, "\n|---|---|---|{}", "---|".repeat(columns.len()));
        for row in &self.rows {
            let _ = write!(text, "| {} | {} | {} |", row.name, row.version, row.all);
            for column in columns {
                let _ = write!(text, " {} |", row.passed.get(column).copied().unwrap_or(0));
            }
            text.push('\n');
        }
        if !self.short.is_empty() {
            text.push_str("\n## What level full does not pass\n");
        }
        let mut last = "";
        for ((cause, suite, unit), tests) in &self.short {
            if *cause != last {
                let count: usize = self
                    .short
                    .iter()
                    .filter(|((other, ..), _)| other == cause)
                    .map(|(_, tests)| tests.len())
                    .sum();
                let _ = writeln!(text, "\n{cause} ({count}):\n");
                last = cause;
            }
            let _ = writeln!(text, "- {suite}/{unit}{}", numbers(unit, tests));
        }
        if !self.left_out.is_empty() {
            let _ = writeln!(text, "\n## Not run\n\n{}", self.left_out.join("\n"));
        }
        text
    }
}

/// `: 1-3 5`, or nothing where a unit is one test.
fn numbers(unit: &str, tests: &[String]) -> String {
    if tests == [unit] {
        String::new()
    } else {
        format!(": {}", ranges(tests))
    }
}

/// `1-3 5` of numbers, and names as they are.
fn ranges(tests: &[String]) -> String {
    let mut numbers: Vec<u32> = tests.iter().filter_map(|test| test.parse().ok()).collect();
    if numbers.len() < tests.len() {
        return tests.join(" ");
    }
    numbers.sort_unstable();
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let texts = runs.iter().map(|(first, last)| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    });
    texts.collect::<Vec<_>>().join(" ")
}
