//! Random histories of files and identities: the same steps by the same program at level full and
//! as real root, who must see the same after each. `fixtures/history.c` carries them out.
//!
//! Part of `it` and of `trust`.
#![allow(unsafe_code)] // setgroups(2) in a child
#![allow(dead_code)] // each test program uses its part

pub mod generate;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::common::{give, plain, run, user};
use generate::History;

/// For how long a history that shows a fault is made shorter.
const SHORTENING: Duration = Duration::from_secs(20);

/// Who carries them out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Who<'a> {
    Root,
    /// The unprivileged user under zroot at this level.
    Zroot(&'a str),
}

/// The program, a place for it to work in, and the zroot under test.
pub struct Stage {
    dir: TempDir,
    /// What zroot is started with: itself, or what starts it.
    zroot: Vec<OsString>,
    capabilities: String,
}

impl Stage {
    /// In a new directory in `place`. `capabilities` are root's. Says why there can be none.
    pub fn new(
        place: &Path,
        zroot: &Path,
        capabilities: &str,
        options: &[&str],
    ) -> Result<Stage, String> {
        let dir = tempfile::Builder::new()
            .prefix("zroot-test-")
            .tempdir_in(place)
            .map_err(|error| format!("{}: {error}", place.display()))?;
        fs::set_permissions(
            dir.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .expect("chmod");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/history.c");
        let built = run(Command::new("cc")
            .args(["-O1", "-w", "-D_FILE_OFFSET_BITS=64", "-o"])
            .arg(dir.path().join("history"))
            .args(options)
            .arg(source));
        if built.status != 0 {
            return Err(format!("cc {options:?} builds nothing: {}", built.stderr));
        }
        Ok(Stage {
            dir,
            zroot: vec![zroot.into()],
            capabilities: capabilities.to_owned(),
        })
    }

    /// The same, where `words` start zroot.
    pub fn under(mut self, words: Vec<String>) -> Stage {
        self.zroot
            .splice(..0, words.into_iter().map(OsString::from));
        self
    }

    /// What each of `scripts`, all at once, prints.
    pub fn perform(&self, who: Who, scripts: &[Vec<History>]) -> Result<Vec<String>, String> {
        let at = self.dir.path().join("run");
        fs::create_dir(&at).expect("a directory");
        let program = self.dir.path().join("history");
        let (mut command, mode) = match who {
            Who::Root => (plain(&program), "real"),
            Who::Zroot(level) => {
                give(&at);
                let mut command = user(&self.zroot[0]);
                let rest = &self.zroot[1..];
                command.args(rest).args(["-c", level, "--"]).arg(&program);
                (command, "zroot")
            }
        };
        if who == Who::Root {
            // SAFETY: the closure only makes a system call.
            unsafe {
                command.pre_exec(|| Ok(nix::unistd::setgroups(&[0.into()])?));
            }
        }
        command
            .args(["run", mode, &self.capabilities])
            .current_dir(&at);
        for (number, script) in scripts.iter().enumerate() {
            let mut text = script
                .iter()
                .flatten()
                .fold(String::new(), |text, line| text + line + "\n");
            text.push('\n');
            fs::write(at.join(format!("{number}.in")), text).expect("written");
            command.args([
                format!("{number}.in"),
                format!("{number}.out"),
                number.to_string(),
            ]);
        }
        let ran = run(&mut command);
        let said = (0..scripts.len())
            .map(|number| fs::read(at.join(format!("{number}.out"))).unwrap_or_default())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .collect();
        run(Command::new("rm").arg("-rf").arg(&at)).succeeds();
        if ran.status == 0 && ran.stderr.is_empty() {
            Ok(said)
        } else {
            Err(format!("{ran:#?}"))
        }
    }

    /// Has level full and root carry out `scripts`, each a row of histories, at once. Returns how
    /// many steps were taken, or what was different.
    pub fn compare(&self, scripts: &[Vec<History>]) -> Result<usize, String> {
        let real = self.perform(Who::Root, scripts)?;
        let zroot = self.perform(Who::Zroot("full"), scripts)?;
        let is_step = |line: &&str| line.contains(" = ") && !line.ends_with(" = skipped");
        let steps = |text: &String| text.lines().filter(is_step).count();
        for ((real, zroot), script) in real.iter().zip(&zroot).zip(scripts) {
            if real == zroot {
                continue;
            }
            let (real, zroot) = (split(real), split(zroot));
            let at = (0..script.len()).find(|at| real.get(*at) != zroot.get(*at));
            let Some(at) = at else {
                return Err("one says more than the other".to_owned());
            };
            return Err(self.explain(&script[at], real.get(at), zroot.get(at)));
        }
        Ok(real.iter().map(steps).sum())
    }

    /// Whether `history`, alone, comes to something else than as real root.
    fn differs(&self, history: &History) -> Option<(String, String)> {
        let scripts = [vec![history.clone()]];
        let real = self.perform(Who::Root, &scripts).ok()?.pop()?;
        let zroot = match self.perform(Who::Zroot("full"), &scripts) {
            Ok(mut said) => said.pop()?,
            Err(error) => error,
        };
        (real != zroot).then_some((real, zroot))
    }

    /// What is wrong with a history, and a short one in which it is wrong, too.
    fn explain(&self, history: &History, real: Option<&String>, zroot: Option<&String>) -> String {
        let mut said = (
            real.cloned().unwrap_or_default(),
            zroot.cloned().unwrap_or_default(),
        );
        let mut history = history.clone();
        let mut note = "only in its place among others: ";
        if let Some(alone) = self.differs(&history) {
            said = alone;
            note = "";
            let deadline = Instant::now() + SHORTENING;
            let mut is_shorter = true;
            while is_shorter {
                is_shorter = false;
                let mut at = history.len();
                while at > 1 && Instant::now() < deadline {
                    at = (at - 1).min(history.len() - 1);
                    let Some(without) = without(&history, at) else {
                        continue;
                    };
                    if let Some(differ) = self.differs(&without) {
                        (history, said, is_shorter) = (without, differ, true);
                    }
                }
            }
        }
        let mut text = format!("{note}{}\n", history.join("\n"));
        let steps: Vec<[Vec<&str>; 2]> = [&said.0, &said.1]
            .map(|said| by_step(said))
            .into_iter()
            .reduce(|real, zroot| real.into_iter().chain(zroot).collect())
            .map(|all| {
                let half = all.len() / 2;
                let pair = |at: usize| [all[at].clone(), all[half + at].clone()];
                (0..half).map(pair).collect()
            })
            .unwrap_or_default();
        for [real, zroot] in steps {
            if real == zroot {
                continue;
            }
            let _ = writeln!(text, "after {}", real.first().unwrap_or(&""));
            let (all, other) = (real.iter(), BTreeSet::from_iter(&zroot));
            for line in all.filter(|line| !other.contains(line)) {
                let _ = writeln!(text, "  real root: {line}");
            }
            let (all, other) = (zroot.iter(), BTreeSet::from_iter(&real));
            for line in all.filter(|line| !other.contains(line)) {
                let _ = writeln!(text, "  with zroot: {line}");
            }
            break;
        }
        text
    }
}

/// The parts of what was said, one for each history.
fn split(said: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for line in said.lines() {
        if line.starts_with("new ") {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    parts
}

/// The same by steps: what was done, and what was there then.
fn by_step(said: &str) -> Vec<Vec<&str>> {
    let mut steps: Vec<Vec<&str>> = Vec::new();
    for line in said.lines() {
        if !line.starts_with(' ') || steps.is_empty() {
            steps.push(Vec::new());
        }
        steps.last_mut().expect("a step").push(line);
    }
    steps
}

/// `history` without the step at `at`: a child's with all that it does.
fn without(history: &History, at: usize) -> Option<History> {
    let begins = |line: &String| line == "fork" || line.starts_with("new ");
    if history[at] == "end" || begins(&history[at]) && history[at] != "fork" {
        return None;
    }
    let mut end = at + 1;
    let mut depth = usize::from(begins(&history[at]));
    while depth > 0 {
        depth += usize::from(begins(&history[end]));
        depth -= usize::from(history[end] == "end");
        end += 1;
    }
    Some([&history[..at], &history[end..]].concat())
}
