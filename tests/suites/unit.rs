//! One file of a suite's tests, run in each column.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{give, names, plain, run, user, zroot};
use crate::list::Suite;

/// Who runs it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Column {
    /// The oracle; only if root runs the suites.
    RealRoot,
    Full,
    Selective,
    Fakeroot,
}

impl Column {
    pub const ALL: [Column; 4] = [
        Column::RealRoot,
        Column::Full,
        Column::Selective,
        Column::Fakeroot,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Column::RealRoot => "real root",
            Column::Full => "full",
            Column::Selective => "selective",
            Column::Fakeroot => "fakeroot",
        }
    }

    /// What makes a command apparent root.
    fn emulation(self) -> Vec<String> {
        let zroot = zroot().display().to_string();
        let words: &[&str] = match self {
            Column::RealRoot => &[],
            Column::Full => &[&zroot, "-c", "full", "--"],
            Column::Selective => &[&zroot, "-c", "selective", "--"],
            Column::Fakeroot => &["fakeroot", "--"],
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }
}

/// What came of one test.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    Ok,
    /// Left out by the suite itself, or known to its makers not to pass.
    Skip,
    NotOk(String),
}

pub struct Unit {
    pub suite: &'static Suite,
    /// Where the suite is.
    pub place: PathBuf,
    pub name: String,
}

/// What each test came to in each column.
#[derive(Default)]
pub struct Results(pub BTreeMap<Column, BTreeMap<String, Verdict>>);

impl Results {
    /// Tests that pass, of each column.
    pub fn line(&self) -> String {
        let counts = self.0.iter().map(|(column, tests)| {
            let right = tests
                .values()
                .filter(|verdict| **verdict == Verdict::Ok)
                .count();
            format!("{} {right} of {}", column.name(), tests.len())
        });
        counts.collect::<Vec<_>>().join(", ")
    }

    pub fn verdict(&self, column: Column, test: &str) -> Option<&Verdict> {
        self.0.get(&column)?.get(test)
    }
}

impl Unit {
    /// Runs it in all of `columns`.
    pub fn run(&self, columns: &[Column], said: bool) -> Results {
        let mut results = Results::default();
        for &column in columns {
            let text = self.text(column);
            let tests = verdicts(&text);
            let is_right = |verdict: &Verdict| !matches!(verdict, Verdict::NotOk(_));
            if said && column == Column::Full && !tests.values().all(is_right) {
                println!("{}/{} said:\n{text}", self.suite.name, self.name);
            }
            results.0.insert(column, tests);
        }
        results
    }

    /// All that it says in one column, in an empty directory of the caller's own.
    fn text(&self, column: Column) -> String {
        // Not in memory: file systems there keep fewer attributes.
        let dir = tempfile::Builder::new()
            .prefix("zroot-suites-")
            .tempdir_in("/var/tmp")
            .expect("a temporary directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        if column != Column::RealRoot {
            give(dir.path());
        }
        let mut emulation = column.emulation();
        // The suite itself starts what it judges: fakeroot, with its options.
        if self.suite.runs_by_itself && column == Column::Full {
            let fakeroot = names().join("fakeroot").display().to_string();
            emulation = [&fakeroot, "-f", "faked", "-l", "libfakeroot.so", "--"]
                .map(String::from)
                .into();
        }
        let mut command = if column == Column::RealRoot {
            plain("timeout")
        } else {
            user("timeout")
        };
        command.args(["-k", "9", "300"]).current_dir(dir.path());
        if self.suite.runs_by_itself {
            command.env("RUN", emulation.join(" "));
        } else {
            command.args(&emulation);
        }
        self.interpret(&mut command);
        let ran = run(&mut command);
        remove_contents(dir.path());
        format!("{}{}", ran.stdout, ran.stderr)
    }

    fn interpret(&self, command: &mut Command) {
        let (interpreter, script) = self.suite.script;
        command
            .args(interpreter)
            .arg(script)
            .arg(&self.name)
            .arg(&self.place)
            .arg(&self.name);
    }
}

/// Directories without permissions, which a plain user's own removal would not enter.
fn remove_contents(dir: &Path) {
    let script = r#"chmod -R u+rwx "$0"; rm -rf "$0"/* "$0"/.[!.]*"#;
    run(plain("sh").args(["-c", script]).arg(dir));
}

/// Reads `ok NAME`, `not ok NAME WHY` and `skip NAME`, one a line; all else is talk. Of several
/// lines for one test the worst counts. In TAP, what is marked TODO is known to the suite's makers
/// not to pass.
fn verdicts(text: &str) -> BTreeMap<String, Verdict> {
    let mut verdicts: BTreeMap<String, Verdict> = BTreeMap::new();
    for line in text.lines() {
        let (is_ok, rest) = if let Some(rest) = line.strip_prefix("ok ") {
            (Some(true), rest)
        } else if let Some(rest) = line.strip_prefix("not ok ") {
            (Some(false), rest)
        } else if let Some(rest) = line.strip_prefix("skip ") {
            (None, rest)
        } else if let Some(plan) = line.strip_prefix("1..") {
            // What is planned and says nothing has failed.
            for number in 1..=plan.trim().parse::<u32>().unwrap_or(0) {
                verdicts
                    .entry(number.to_string())
                    .or_insert(Verdict::NotOk(SILENT.into()));
            }
            continue;
        } else {
            continue;
        };
        let (name, why) = rest.split_once(' ').unwrap_or((rest, ""));
        let verdict = match is_ok {
            Some(true) => Verdict::Ok,
            Some(false) if !why.starts_with("# TODO") => {
                Verdict::NotOk(why.trim_start_matches("- ").into())
            }
            _ => Verdict::Skip,
        };
        let is_worse = match verdicts.get(name) {
            Some(Verdict::NotOk(why)) => why == SILENT,
            _ => true,
        };
        if is_worse {
            verdicts.insert(name.to_owned(), verdict);
        }
    }
    verdicts
}

/// Why a test failed that was planned and of which nothing was said.
const SILENT: &str = "nothing was said of it";
