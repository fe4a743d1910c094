//! Languages whose programs change owners and ids, and look at what came of it: runtimes/ has one
//! program for each.

use std::cell::LazyCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::common::{PATH, control, dir, give, program, run, user, zroot_with};
use crate::suite::{Column, Expect, Suite, skip};
use crate::tree::ended;

const PART: &str = "runtimes";

struct Runtime {
    name: &'static str,
    /// Programs, and files of packages, without which it is skipped.
    needs: &'static [&'static str],
    file: &'static str,
    source: &'static str,
    how: How,
    /// What it says where the kernel refuses to change an owner, and ids.
    refusals: [&'static str; 2],
    /// Whether it is part of the sample.
    quick: bool,
}

enum How {
    /// `COMMAND... FILE MODE`.
    Interpreted(&'static [&'static str]),
    /// `COMMAND... FILE` makes an executable named `program`, which is run with MODE.
    Compiled(&'static [&'static str]),
}

use How::{Compiled, Interpreted};

const INVALID: &str = "nvalid argument";
const NOT_PERMITTED: &str = "peration not permitted";

/// A row: the file's name gives the source.
macro_rules! runtime {
    ($name:literal, $file:literal, $needs:expr, $how:expr, $refusals:expr, $quick:expr) => {
        Runtime {
            name: $name,
            needs: $needs,
            file: $file,
            source: include_str!(concat!("runtimes/", $file)),
            how: $how,
            refusals: $refusals,
            quick: $quick,
        }
    };
}

const JNA: &str = "/usr/share/java/jna.jar";
const JAVA: &[&str] = &["java", "-XX:TieredStopAtLevel=1", "-cp", JNA];
const GO: &[&str] = &["go", "build", "-o", "program"];
const RUST: &[&str] = &[
    "rustc",
    "--edition=2024",
    "-Ctarget-feature=+crt-static",
    "-o",
    "program",
];

const RUNTIMES: &[Runtime] = &[
    runtime!(
        "perl",
        "perl.pl",
        &["perl"],
        Interpreted(&["perl"]),
        [INVALID, INVALID],
        true
    ),
    runtime!(
        "python",
        "python.py",
        &["python3"],
        Interpreted(&["python3"]),
        [INVALID, NOT_PERMITTED],
        true
    ),
    runtime!(
        "ruby",
        "ruby.rb",
        &["ruby"],
        Interpreted(&["ruby"]),
        [INVALID, NOT_PERMITTED],
        true
    ),
    runtime!(
        "node",
        "node.js",
        &["node"],
        Interpreted(&["node"]),
        [INVALID, NOT_PERMITTED],
        true
    ),
    runtime!(
        "php",
        "php.php",
        &["php"],
        Interpreted(&["php"]),
        [INVALID, "initgroups: refused"],
        true
    ),
    runtime!(
        "lua",
        "lua.lua",
        &["lua5.3", "/usr/share/lua/5.3/posix"],
        Interpreted(&["lua5.3"]),
        [INVALID, INVALID],
        true
    ),
    runtime!(
        "tcl",
        "tcl.tcl",
        &["tclsh", "/usr/lib/tclx8.4"],
        Interpreted(&["tclsh"]),
        [INVALID, INVALID],
        true
    ),
    runtime!(
        "zsh",
        "zsh.zsh",
        &["zsh"],
        Interpreted(&["zsh"]),
        [INVALID, "failed to change group ID"],
        true
    ),
    runtime!(
        "java",
        "Java.java",
        &["java", JNA],
        Interpreted(JAVA),
        [INVALID, "setgroups: errno 1"],
        false
    ),
    runtime!(
        "go",
        "go.go",
        &["go"],
        Compiled(GO),
        [INVALID, NOT_PERMITTED],
        false
    ),
    runtime!(
        "rust",
        "rust.rs",
        &[],
        Compiled(RUST),
        [INVALID, NOT_PERMITTED],
        false
    ),
    runtime!(
        "raw-calls",
        "raw.rs",
        &[],
        Compiled(RUST),
        [INVALID, NOT_PERMITTED],
        false
    ),
];

/// What the programs do, and say if all is well.
const MODES: [(&str, &str); 4] = [
    // Owners of a file, of an open one, and of a link.
    ("chown", "changed"),
    // And look.
    ("owner", "1:1"),
    // Groups and ids; look, also on another thread, and cannot become root again.
    ("drop", "dropped"),
    // The same, and ask a program what it is.
    ("child", "child is 1"),
];

pub fn cases(suite: &Suite) {
    for runtime in RUNTIMES
        .iter()
        .filter(|runtime| suite.full || runtime.quick)
    {
        let ready = LazyCell::new(|| runtime.prepare());
        for (mode, says) in MODES {
            for column in Column::ALL {
                suite.case(
                    PART,
                    &format!("{}-{mode}", runtime.name),
                    column,
                    runtime.expect(mode, column),
                    || {
                        let (place, words) = (*ready).as_ref().map_err(Clone::clone)?;
                        once(place.path(), column, words, mode, says)
                    },
                );
            }
        }
    }
}

impl Runtime {
    fn expect(&self, mode: &str, column: Column) -> Expect {
        let fails = |saying, cause| Expect::Fail { saying, cause };
        match (column, mode) {
            (Column::RealRoot | Column::Full, _)
            | (Column::Zero | Column::Selective, "chown")
            | (Column::Selective, "drop") => Expect::Pass,
            (Column::Without, "chown" | "owner") => {
                fails(self.refusals[0], "no other id is mapped")
            }
            (Column::Without, _) => fails(self.refusals[1], "no other id is mapped"),
            (_, "owner") => fails(
                "still 0:0",
                "owners are lost: every file is root's (needs level full)",
            ),
            (_, "drop") => fails("still 0", "level zero remembers no ids"),
            _ => fails(
                "child is 0",
                "a program that is executed is root again (needs level full)",
            ),
        }
    }

    /// A directory with the program, and the words that run it.
    fn prepare(&self) -> Result<(TempDir, Vec<PathBuf>), String> {
        let is_there = |need: &&&str| {
            if need.starts_with('/') {
                Path::new(need).exists()
            } else {
                program(need).is_some()
            }
        };
        if let Some(missing) = self.needs.iter().find(|need| !is_there(need)) {
            return Err(skip(&format!("there is no {missing}")));
        }
        let place = dir();
        let file = place.path().join(self.file);
        fs::write(&file, self.source).expect("a program");
        give(&file);
        let words = match self.how {
            Interpreted(words) => words.iter().map(PathBuf::from).chain([file]).collect(),
            Compiled(words) => {
                if self.file == "raw.rs" && std::env::consts::ARCH != "x86_64" {
                    return Err(skip("its numbers are x86-64's"));
                }
                // By whoever runs the suite: compilers want a home.
                let mut compiler = Command::new(words[0]);
                compiler
                    .args(&words[1..])
                    .arg(&file)
                    .current_dir(place.path())
                    .envs([("GO111MODULE", "off"), ("CGO_ENABLED", "0")]);
                ended(&run(compiler.env("GOCACHE", place.path().join("cache"))))?;
                vec![place.path().join("program")]
            }
        };
        Ok((place, words))
    }
}

/// Runs it in a directory with an empty file `f` and a link `l`.
fn once(
    place: &Path,
    column: Column,
    words: &[PathBuf],
    mode: &str,
    says: &str,
) -> Result<(), String> {
    let work = tempfile::tempdir_in(place).expect("a directory");
    give(work.path());
    run(user("sh")
        .args(["-ec", ": >f; ln -s f l"])
        .current_dir(work.path()))
    .succeeds();
    let mut command = match column {
        Column::RealRoot => {
            let mut command = Command::new("env");
            command
                .env_clear()
                .envs([("PATH", PATH), ("HOME", "/tmp"), ("LC_ALL", "C")])
                .stdin(Stdio::null());
            command
        }
        Column::Without => control([""; 0]),
        Column::Zero | Column::Selective | Column::Full => {
            zroot_with(column.options().expect("a level").iter().chain(&["--"]))
        }
    };
    let ran = run(command.args(words).arg(mode).current_dir(work.path()));
    ended(&ran)?;
    let said = ran.stdout.trim_end();
    if said == says {
        Ok(())
    } else {
        Err(format!("says {said}, not {says}"))
    }
}
