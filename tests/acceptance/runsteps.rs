//! RUN steps as Dockerfiles on Debian bases have them, each run by the shell that a builder would
//! start.

mod steps;

use std::cell::{LazyCell, RefCell};
use std::collections::BTreeSet;

use crate::common::is_root;
use crate::owners;
use crate::suite::{Column, Expect, Suite, skip};
use crate::tree::{Tree, ended, prepared};
use steps::{DIFFERENCES, PRELUDE, SETUP, STEPS};

const PART: &str = "runsteps";

/// A step, and how a later one would find out what came of it: one of the same run, where owners
/// are remembered.
struct Step {
    name: &'static str,
    /// What is said where nothing is pretended.
    refusal: &'static str,
    script: &'static str,
    check: &'static str,
    zero: Expect,
    selective: Expect,
    full: Expect,
    /// For zroot.
    options: &'static [&'static str],
    /// Whether it is left out of the sample.
    slow: bool,
}

const fn step(
    name: &'static str,
    refusal: &'static str,
    script: &'static str,
    check: &'static str,
) -> Step {
    Step {
        name,
        refusal,
        script,
        check,
        zero: Expect::Pass,
        selective: Expect::Pass,
        full: Expect::Pass,
        options: &[],
        slow: false,
    }
}

impl Step {
    const fn zero_fails(mut self, saying: &'static str, cause: &'static str) -> Step {
        self.zero = Expect::Fail { saying, cause };
        self
    }

    const fn selective_fails(mut self, saying: &'static str, cause: &'static str) -> Step {
        self.selective = Expect::Fail { saying, cause };
        self
    }

    const fn full_fails(mut self, saying: &'static str, cause: &'static str) -> Step {
        self.full = Expect::Fail { saying, cause };
        self
    }

    const fn both_fail(self, saying: &'static str, cause: &'static str) -> Step {
        self.zero_fails(saying, cause)
            .selective_fails(saying, cause)
    }

    const fn with(mut self, options: &'static [&'static str]) -> Step {
        self.options = options;
        self
    }

    const fn slow(mut self) -> Step {
        self.slow = true;
        self
    }

    fn expect(&self, column: Column) -> Expect {
        match column {
            Column::RealRoot => Expect::Pass,
            Column::Without => Expect::Fail {
                saying: self.refusal,
                cause: "no other id is mapped",
            },
            Column::Zero => self.zero,
            Column::Selective => self.selective,
            Column::Full => self.full,
        }
    }
}

/// One tree a column: no step minds what others have done.
pub fn cases(suite: &Suite) {
    let base = LazyCell::new(|| prepared(PART, SETUP));
    let of_real_root = RefCell::new(None);
    let real_owners: Vec<_> = STEPS.iter().map(|_| RefCell::new(None)).collect();
    for column in Column::ALL {
        let tree = LazyCell::new(|| {
            (*base)
                .as_ref()
                .map(|base| Tree::copy(base, column))
                .map_err(Clone::clone)
        });
        for (step, real) in STEPS.iter().zip(&real_owners) {
            if step.slow && !suite.full {
                continue;
            }
            let expect = step.expect(column);
            suite.case(PART, step.name, column, expect, || {
                let tree = (*tree).as_ref().map_err(Clone::clone)?;
                let check = format!("{PRELUDE}{}", step.check);
                let owners = tree.pass(step.options, &[step.script, &check])?;
                owners::same(real, column, owners, expect)
            });
        }
        if is_root() && column != Column::Without {
            suite.case(PART, "files-and-modes-of-all", column, Expect::Pass, || {
                let now = listing((*tree).as_ref().map_err(Clone::clone)?)?;
                if column == Column::RealRoot {
                    of_real_root.replace(Some(now));
                    return Ok(());
                }
                let before = of_real_root.borrow();
                let before = before
                    .as_ref()
                    .ok_or_else(|| skip("real root was not asked for"))?;
                let differ = before
                    .symmetric_difference(&now)
                    .filter(|line| !is_expected(line, column));
                let differ: Vec<&str> = differ.map(String::as_str).collect();
                if differ.is_empty() {
                    Ok(())
                } else {
                    Err(format!("not as for real root: {}", differ.join(", ")))
                }
            });
        }
    }
}

/// Type, mode and path of everything in the tree.
fn listing(tree: &Tree) -> Result<BTreeSet<String>, String> {
    let ran = tree.run(
        &[],
        r"find / \( -path /proc -o -path /sys -o -path /dev \) -prune -o -printf '%y %m %p %l\n'",
    );
    ended(&ran).map(|()| ran.stdout.lines().map(str::to_owned).collect())
}

/// Whether a difference to what real root makes is one that a step of this column has been told to
/// fail for.
fn is_expected(line: &str, column: Column) -> bool {
    let path = line.splitn(3, ' ').nth(2).unwrap_or_default();
    DIFFERENCES
        .iter()
        .any(|(start, at)| path.starts_with(start) && at.contains(&column))
}
