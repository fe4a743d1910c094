//! One line per case as it ends, the table and the totals at the end. Knows nothing of what the
//! cases do.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Instant;

/// How a case is run: one column of the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Column {
    /// By real root, for comparison; only if root runs the suite.
    RealRoot,
    /// As apparent root without zroot: the control.
    Without,
    Zero,
    Selective,
    Full,
}

impl Column {
    pub const ALL: [Column; 5] = [
        Column::RealRoot,
        Column::Without,
        Column::Zero,
        Column::Selective,
        Column::Full,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Column::RealRoot => "real root",
            Column::Without => "without zroot",
            Column::Zero => "zero",
            Column::Selective => "selective",
            Column::Full => "full",
        }
    }

    /// zroot's options for this level; `None` for the two columns without it.
    pub const fn options(self) -> Option<&'static [&'static str]> {
        match self {
            Column::RealRoot | Column::Without => None,
            Column::Zero => Some(&["-c", "zero"]),
            Column::Selective => Some(&["-c", "selective"]),
            Column::Full => Some(&["-c", "full"]),
        }
    }

    /// Whether files have the owners here that they were given, and devices are devices, as long as
    /// what made them runs: then these are compared, too.
    pub const fn keeps_owners(self) -> bool {
        matches!(self, Column::RealRoot | Column::Full)
    }
}

/// What should come of a case.
#[derive(Clone, Copy, Debug)]
pub enum Expect {
    Pass,
    /// It fails, and whatever it says contains `saying`: a control, or a shortfall whose cause is
    /// known. That it passes after all turns the run red, too: then the table has to change.
    Fail {
        saying: &'static str,
        cause: &'static str,
    },
    /// The same, but what was run ends well and something of it is missing: no failure to who looks
    /// at the exit status only.
    InPart {
        saying: &'static str,
        cause: &'static str,
    },
}

/// What came of it.
enum Outcome {
    Passed,
    /// Failed as expected, for this cause.
    Short(&'static str),
    /// Ended well, and came out in part as expected, for this cause.
    InPart(&'static str),
    /// Not as expected: the run is red.
    Wrong(String),
    Skipped(String),
}

struct Done {
    part: &'static str,
    case: String,
    column: Column,
    outcome: Outcome,
}

/// The error of a case that cannot run on this machine: `Err(skip("there is no podman"))`.
pub fn skip(reason: &str) -> String {
    format!("{SKIP}{reason}")
}

const SKIP: &str = "SKIP ";

/// What the error of a case begins with if what it ran did not end well, where a case may come out
/// in part.
pub const STATUS: &str = "exit status ";

pub struct Suite {
    /// Everything, not only the sample that fits into CI.
    pub full: bool,
    /// PART or PART/CASE, as typed; all parts if empty.
    chosen: Vec<String>,
    columns: Vec<Column>,
    must_run: bool,
    done: Mutex<Vec<Done>>,
}

impl Suite {
    pub fn new(full: bool, chosen: Vec<String>, columns: Vec<Column>) -> Suite {
        let must_run = std::env::var_os("ZROOT_MUST_RUN").is_some_and(|value| value == "1");
        Suite {
            full,
            chosen,
            columns,
            must_run,
            done: Mutex::default(),
        }
    }

    /// Whether any case of `part` was asked for: a part that prepares something looks here first.
    pub fn wants_part(&self, part: &str) -> bool {
        self.chosen.is_empty()
            || self
                .chosen
                .iter()
                .any(|name| name.split('/').next() == Some(part))
    }

    /// Whether this case was asked for, in any column.
    pub fn wants(&self, part: &str, case: &str) -> bool {
        let both = format!("{part}/{case}");
        self.chosen.is_empty() || self.chosen.iter().any(|name| name == part || *name == both)
    }

    /// Runs one case in one column, if it was asked for. `body` says why it failed; a panic is a
    /// failure, too, so that the assertions of tests/common serve here. Cases may run on several
    /// threads.
    pub fn case(
        &self,
        part: &'static str,
        case: &str,
        column: Column,
        expect: Expect,
        body: impl FnOnce() -> Result<(), String>,
    ) {
        if !self.wants(part, case) || !self.columns.contains(&column) {
            return;
        }
        let start = Instant::now();
        let ended = catch_unwind(AssertUnwindSafe(body))
            .unwrap_or_else(|panic| Err(message(panic.as_ref())));
        let outcome = match (ended, expect) {
            (Ok(()), Expect::Pass) => Outcome::Passed,
            (Ok(()), Expect::Fail { cause, .. } | Expect::InPart { cause, .. }) => {
                Outcome::Wrong(format!("passes, although it should not: {cause}"))
            }
            (Err(why), _) if why.starts_with(SKIP) && !self.must_run => {
                Outcome::Skipped(why[SKIP.len()..].into())
            }
            (Err(why), Expect::Fail { saying, cause }) if why.contains(saying) => {
                Outcome::Short(cause)
            }
            (Err(why), Expect::InPart { saying, cause })
                if why.contains(saying) && !why.starts_with(STATUS) =>
            {
                Outcome::InPart(cause)
            }
            (Err(why), Expect::Fail { saying, .. } | Expect::InPart { saying, .. }) => {
                Outcome::Wrong(format!("fails, but does not say '{saying}': {why}"))
            }
            (Err(why), Expect::Pass) => Outcome::Wrong(why),
        };
        let (verdict, detail) = match &outcome {
            Outcome::Passed => ("pass", String::new()),
            Outcome::Short(cause) => ("fails, as it should", format!(": {cause}")),
            Outcome::InPart(cause) => ("ends well, but", format!(" {cause}")),
            Outcome::Wrong(why) => ("WRONG", format!(": {why}")),
            Outcome::Skipped(reason) => ("SKIP", format!(": {reason}")),
        };
        println!(
            "{part}/{case}, {}: {verdict}{detail} ({:.1} s)",
            column.name(),
            start.elapsed().as_secs_f64()
        );
        self.done
            .lock()
            .expect("no case panics in here")
            .push(Done {
                part,
                case: case.to_owned(),
                column,
                outcome,
            });
    }

    /// The table, the causes of what fails, and the totals, in Markdown.
    pub fn report(&self) -> String {
        let done = self.done.lock().expect("no case panics in here");
        let mut rows: BTreeMap<(&str, &str), BTreeMap<Column, &Outcome>> = BTreeMap::new();
        for Done {
            part,
            case,
            column,
            outcome,
        } in done.iter()
        {
            rows.entry((part, case))
                .or_default()
                .insert(*column, outcome);
        }
        let names = Column::ALL.map(Column::name).join(" | ");
        let lines = "---|".repeat(Column::ALL.len());
        let mut text = format!("| part | case | {names} |\n|---|---|{lines}\n");
        let mut causes = Vec::new();
        for ((part, case), cells) in &rows {
            let _ = write!(text, "| {part} | {case} |");
            for column in Column::ALL {
                let cell = match cells.get(&column) {
                    None => "",
                    Some(Outcome::Passed) => "passes",
                    Some(Outcome::Skipped(_)) => "not run",
                    Some(Outcome::Wrong(_)) => "**not as expected**",
                    Some(Outcome::Short(cause) | Outcome::InPart(cause)) => {
                        if column >= Column::Zero {
                            causes.push(format!("- {part}/{case}, {}: {cause}", column.name()));
                        }
                        if let Some(Outcome::InPart(_)) = cells.get(&column) {
                            "in part"
                        } else {
                            "fails"
                        }
                    }
                };
                let _ = write!(text, " {cell} |");
            }
            text.push('\n');
        }
        let _ = write!(text, "\n| part | {names} |\n|---|{lines}\n");
        let mut parts: Vec<&str> = rows.keys().map(|(part, _)| *part).collect();
        parts.dedup();
        for part in parts.into_iter().map(Some).chain([None]) {
            let _ = write!(text, "| {} |", part.unwrap_or("all"));
            for column in Column::ALL {
                let ran =
                    |one: &&Done| part.is_none_or(|part| one.part == part) && one.column == column;
                let ran: Vec<&Done> = done
                    .iter()
                    .filter(ran)
                    .filter(|one| !matches!(one.outcome, Outcome::Skipped(_)))
                    .collect();
                let count =
                    |is: fn(&Outcome) -> bool| ran.iter().filter(|one| is(&one.outcome)).count();
                let (passed, in_part) = (
                    count(|one| matches!(one, Outcome::Passed)),
                    count(|one| matches!(one, Outcome::InPart(_))),
                );
                let _ = match (ran.len(), in_part) {
                    (0, _) => write!(text, " |"),
                    (all, 0) => write!(text, " {passed} of {all} |"),
                    (all, _) => write!(text, " {passed} of {all}, {in_part} in part |"),
                };
            }
            text.push('\n');
        }
        if !causes.is_empty() {
            let _ = write!(
                text,
                "\nWhat fails at a level of zroot's, and why:\n\n{}\n",
                causes.join("\n")
            );
        }
        text
    }

    /// How many cases were as expected, were not, and were left out.
    pub fn counts(&self) -> (usize, usize, usize) {
        let done = self.done.lock().expect("no case panics in here");
        let count = |is: fn(&Outcome) -> bool| done.iter().filter(|one| is(&one.outcome)).count();
        let (wrong, skipped) = (
            count(|one| matches!(one, Outcome::Wrong(_))),
            count(|one| matches!(one, Outcome::Skipped(_))),
        );
        (done.len() - wrong - skipped, wrong, skipped)
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a panic".into())
}
