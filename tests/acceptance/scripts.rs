//! Cases that are shell scripts: each runs in a fresh directory in every column, and what it leaves
//! there below `root` is compared; where they are remembered, with owners, which the script's own
//! run says.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::common::{PATH, Ran, control, dir, program, run, user, zroot, zroot_with};
use crate::owners::{self, noted, split};
use crate::suite::{Column, Expect, Suite, skip};

#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    /// Programs without which it cannot run.
    pub needs: &'static [&'static str],
    /// Whether it is of the sample for CI.
    pub sample: bool,
    /// Whether the script itself stays the plain user, and calls `$AS`, which makes a command
    /// apparent root.
    pub plain: bool,
    /// `$IN` is what the part has prepared.
    pub script: &'static str,
    /// What is below `root` but is not compared: a condition of find(1)'s.
    pub ignored: &'static str,
    pub real: Option<Expect>,
    pub without: Expect,
    pub zero: Expect,
    pub selective: Expect,
    pub full: Expect,
}

/// What most cases have.
pub const CASE: Case = Case {
    name: "",
    needs: &[],
    sample: false,
    plain: false,
    script: "",
    ignored: "-false",
    real: Some(Expect::Pass),
    without: refused("Invalid argument"),
    zero: Expect::Pass,
    selective: Expect::Pass,
    full: Expect::Pass,
};

/// A control's end.
pub const fn refused(saying: &'static str) -> Expect {
    fails(saying, "the kernel refuses it to a user who has one id")
}

/// It comes to a good end, and something is missing or another's.
pub const fn in_part(saying: &'static str, cause: &'static str) -> Expect {
    Expect::InPart { saying, cause }
}

pub const fn fails(saying: &'static str, cause: &'static str) -> Expect {
    Expect::Fail { saying, cause }
}

/// What a part has prepared.
#[derive(Clone, Copy)]
pub enum Inputs<'a> {
    /// For cases that run in an empty directory: `$IN`.
    Dir(&'a Path),
    /// For cases that run inside a root directory, in `/x`: the plain user's, and real root's.
    Trees(&'a Path, &'a Path),
}

/// Runs the cases of a part, each behind `prologue`, with what has been prepared, or says why that
/// could not be done.
pub fn run_all(
    suite: &Suite,
    part: &'static str,
    cases: &[Case],
    prologue: &str,
    inputs: Result<Inputs, &str>,
) {
    for case in cases.iter().filter(|case| suite.full || case.sample) {
        let script = format!("{prologue}\n{}", case.script);
        let (reference, real_owners) = (RefCell::new(None), RefCell::new(None));
        // Selective before zero: a device that is missing at zero is noticed although no real root
        // runs the suite.
        for column in [
            Column::RealRoot,
            Column::Without,
            Column::Selective,
            Column::Zero,
            Column::Full,
        ] {
            let expect = match column {
                Column::RealRoot => case.real,
                Column::Without => Some(case.without),
                Column::Zero => Some(case.zero),
                Column::Selective => Some(case.selective),
                Column::Full => Some(case.full),
            };
            let Some(expect) = expect else { continue };
            suite.case(part, case.name, column, expect, || {
                if let Some(missing) = case.needs.iter().find(|name| program(name).is_none()) {
                    return Err(skip(&format!("there is no {missing}")));
                }
                let inputs = inputs.map_err(skip)?;
                let with_owners = column.keeps_owners() && !case.plain;
                let noted = |root| {
                    if with_owners {
                        noted(&script, root, case.ignored)
                    } else {
                        script.clone()
                    }
                };
                let (place, ran) = match inputs {
                    Inputs::Dir(dir) => {
                        let place = Place::new(column);
                        let ran = place.run(&noted("root"), dir, case.plain);
                        (place, ran)
                    }
                    Inputs::Trees(tree, real) => {
                        let tree = if column == Column::RealRoot {
                            real
                        } else {
                            tree
                        };
                        let place = Place::at(column, tree.join("x"), None);
                        let ran = place.run_inside(&noted("/x/root"));
                        (place, ran)
                    }
                };
                said(&ran)?;
                same(&reference, column, place.listing(case.ignored))?;
                if case.plain {
                    return Ok(());
                }
                owners::same(&real_owners, column, split(&ran.stdout).1, expect)
            });
        }
    }
}

/// Whether a command came to a good end, and otherwise all that it said.
pub fn said(ran: &Ran) -> Result<(), String> {
    if ran.status == 0 {
        Ok(())
    } else {
        Err(format!(
            "exit status {}: {}{}",
            ran.status, ran.stdout, ran.stderr
        ))
    }
}

/// What another column has left, and which.
type Reference = RefCell<Option<(Column, BTreeSet<String>)>>;

/// Compares a listing with that of the first column that came so far.
fn same(reference: &Reference, column: Column, listing: BTreeSet<String>) -> Result<(), String> {
    let mut reference = reference.borrow_mut();
    let Some((first, expected)) = &*reference else {
        *reference = Some((column, listing));
        return Ok(());
    };
    let difference = |mark: &str, one: &BTreeSet<String>, other| -> Vec<String> {
        one.difference(other)
            .map(|line| format!("{mark} {line}"))
            .collect()
    };
    let mut lines = difference("-", expected, &listing);
    lines.extend(difference("+", &listing, expected));
    if lines.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "not as for {}:\n{}",
            first.name(),
            lines.join("\n")
        ))
    }
}

/// Type, mode, path, links and contents of all that is below the current directory, from outside: a
/// device is the empty file that stands for it.
const LIST: &str = r"
    find . \( IGNORED \) -prune -o \( -type d -printf '%y %m %p\n' -o -type c,b -printf 'f %m 1 %p \n' -o -printf '%y %m %n %p %l\n' \)
    find . \( IGNORED \) -prune -o -type f -size +0 -exec cksum {} +
    getcap -r .";

/// A fresh directory, whose owner is who runs the column.
struct Place {
    path: PathBuf,
    column: Column,
    _dir: Option<TempDir>,
}

impl Place {
    fn new(column: Column) -> Place {
        let dir = if column == Column::RealRoot {
            real_dir()
        } else {
            dir()
        };
        Place::at(column, dir.path().to_owned(), Some(dir))
    }

    fn at(column: Column, path: PathBuf, dir: Option<TempDir>) -> Place {
        let place = Place {
            path,
            column,
            _dir: dir,
        };
        run(place.owner().args(["-ec", "mkdir root tmp home"])).succeeds();
        place
    }

    fn run(&self, script: &str, inputs: &Path, plain: bool) -> Ran {
        let real = self.column == Column::RealRoot;
        let zroot = zroot().to_str().expect("a path of ASCII");
        let prefix = match self.column.options() {
            Some(options) => [&[zroot][..], options, &["--"]].concat(),
            None if real => vec!["env"],
            None => vec!["unshare", "-r", "--"],
        };
        let mut command = if real {
            in_private(&self.path)
        } else {
            user("env")
        };
        command.env("IN", inputs).env("AS", prefix.join(" "));
        command.env("ASIDE", self.aside());
        command
            .env("HOME", self.path.join("home"))
            .env("TMPDIR", self.path.join("tmp"));
        if !plain {
            command.args(prefix);
        }
        run(command.args(["sh", "-ec", script]).current_dir(&self.path))
    }

    /// The script in the root directory in which `/x` is this place.
    fn run_inside(&self, script: &str) -> Ran {
        const CHROOT: &str = r#"
            for dir in proc sys dev; do mount --rbind /$dir $dir; done
            exec chroot . sh -ec "$0""#;
        let mut command = match self.column.options() {
            Some(options) => {
                let mut command = zroot_with(options);
                command
                    .arg("--root")
                    .arg(self.path.with_file_name(""))
                    .args(["--", "sh", "-ec"]);
                command
            }
            None if self.column == Column::RealRoot => real([
                "unshare",
                "-m",
                "--propagation",
                "private",
                "sh",
                "-ec",
                CHROOT,
            ]),
            None => control(["unshare", "-m", "sh", "-ec", CHROOT]),
        };
        run(command
            .arg(script)
            .env("IN", "/in")
            .env("ASIDE", self.aside())
            .env("HOME", "/x/home")
            .current_dir(self.path.join("..")))
    }

    /// For rpm's verification: whose owners are lost.
    fn aside(&self) -> &'static str {
        if self.column.keeps_owners() {
            ""
        } else {
            "--nouser --nogroup"
        }
    }

    /// A shell in the directory, of its owner's: root, or the plain user who is root over one id.
    fn owner(&self) -> Command {
        let mut sh = if self.column == Column::RealRoot {
            real(["sh"])
        } else {
            control(["sh"])
        };
        sh.current_dir(&self.path);
        sh
    }

    fn listing(&self, ignored: &str) -> BTreeSet<String> {
        let list = LIST.replace("IGNORED", &ignored.replace('\n', " "));
        let ran = run(self
            .owner()
            .args(["-ec", &list])
            .current_dir(self.path.join("root")))
        .succeeds();
        ran.stdout.lines().map(str::to_owned).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        run(self.owner().args(["-c", "rm -rf -- *"]));
    }
}

/// A temporary directory of real root's.
pub fn real_dir() -> TempDir {
    let dir = tempfile::Builder::new()
        .prefix("zroot-test-")
        .tempdir_in("/tmp")
        .expect("a temporary directory");
    // Not 0700: programs that drop root go there, too.
    run(Command::new("chmod").arg("755").arg(dir.path())).succeeds();
    dir
}

/// A command of real root's, with the small environment that [`user`]'s have.
pub fn real<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new("env");
    command.env_clear().envs([
        ("PATH", PATH),
        ("HOME", "/tmp"),
        ("LC_ALL", "C"),
        ("DEBIAN_FRONTEND", "noninteractive"),
    ]);
    command.stdin(std::process::Stdio::null()).args(args);
    command
}

/// What is to follow runs as real root, and can change nothing of the machine but `place`.
fn in_private(place: &Path) -> Command {
    let script = r#"
        mount --bind "$0" "$0"; mount -o remount,bind,ro /
        for dir in run var/cache var/log var/tmp; do mount -t tmpfs none /$dir; done
        cd "$0"; exec "$@""#;
    let mut command = real([
        "unshare",
        "-m",
        "--propagation",
        "private",
        "sh",
        "-ec",
        script,
    ]);
    command.arg(place);
    command
}

/// A directory of the plain user's in which `script` has made what a part needs; `$0` holds
/// `files`.
pub fn prepare(script: &str, files: &[(&str, &str)]) -> Result<TempDir, String> {
    let place = dir();
    for (name, text) in files {
        let path: PathBuf = place.path().join(name);
        std::fs::write(&path, text).expect("a file");
        crate::common::give(&path);
    }
    let ran = run(user("sh")
        .args(["-ec", script])
        .env("HOME", place.path())
        .current_dir(place.path()));
    said(&ran).map(|()| place)
}
