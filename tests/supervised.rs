//! Every call that a supervisor answers, through every ABI that this machine executes, with the
//! kernel as the oracle: a C program makes the calls by number at level selective, and again as
//! real root in a directory of root's own. Line by line, results and effects must be the same, but
//! for the differences that are meant to be ([`DIFFERENCES`]).
#![allow(unsafe_code)] // setgroups(2) in a child

mod common;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{dir, for_root_only, give, is_root, run, user, zroot_with};
use tempfile::TempDir;
use zroot::internals::host;

/// What one call came to, as the program prints it: `LABEL = VALUE [ERRNO][ | FILE: EFFECT
/// ...]...`.
#[derive(PartialEq, Eq, Debug)]
struct Line<'a> {
    label: &'a str,
    result: &'a str,
    effects: String,
}

/// An intended difference: why, and whether `zroot`'s line may differ from `real`'s because of it.
struct Difference {
    reason: &'static str,
    allows: fn(real: &Line, zroot: &Line) -> bool,
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        reason: "nobody but the initial user namespace's root has trusted.* and security.* attributes; they are not there afterwards",
        allows: |real, zroot| {
            let spaces = [" trusted.", " security.y", " security."];
            let is_one = spaces.iter().any(|space| real.label.contains(space))
                && !real.label.contains("capability");
            is_one && zroot.result == "0" && zroot.effects.is_empty()
        },
    },
    Difference {
        reason: "of an ACL, the entries are not set that name an id which is not mapped",
        allows: |real, zroot| {
            let but_acl = |line: &Line| {
                line.effects
                    .rsplit_once(" system.posix_acl_")
                    .map(|(others, _)| others.to_owned())
            };
            let is_one = real.label.contains(" acl unmapped")
                || real.label.contains(" acl default unmapped");
            let is_set =
                zroot.result == "0" && but_acl(real).is_some() && but_acl(zroot) == but_acl(real);
            // Wrong in another way too, and for a link.
            is_one && (is_set || (real.result, zroot.result) == ("-1 EOPNOTSUPP", "-1 EINVAL"))
        },
    },
    Difference {
        reason: "EPERM to everybody, as of /proc for chmod, looks like a refusal",
        allows: |real, zroot| {
            let is_one = real.label.starts_with("chmod ") || real.label.starts_with("fchmodat");
            is_one
                && real.label.contains(" /proc/self/fd")
                && (real.result, zroot.result) == ("-1 EPERM", "0")
        },
    },
    Difference {
        reason: "one's own directory in /proc on a way round is the supervisor's",
        allows: |real, _| {
            let ways = [
                "/proc/self/root/proc/self/",
                "/proc/self/../self/",
                "/dev/../proc/self/",
            ];
            ways.iter().any(|way| real.label.contains(way))
        },
    },
    Difference {
        reason: "since Linux 6.13 fsetxattr(AT_FDCWD) is the working directory's, by mistake",
        allows: |real, zroot| {
            real.label.starts_with("fsetxattr ")
                && real.label.contains("AT_FDCWD")
                && zroot.result == "-1 EBADF"
        },
    },
    Difference {
        reason: "this kernel lacks the call, which the supervisor makes with others",
        allows: |real, _| real.result == "-1 ENOSYS",
    },
    Difference {
        reason: "of two things that are wrong, earlier kernels noticed another one first",
        allows: |real, zroot| {
            !host::kernel_is_at_least(6, 17)
                && real.result.starts_with("-1 ")
                && zroot.result.starts_with("-1 ")
                && real.effects == zroot.effects
        },
    },
];

/// Those that every kernel shows.
const SEEN: std::ops::Range<usize> = 0..4;

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Line<'a> {
        let (label, rest) = line.split_once(" = ").unwrap_or((line, ""));
        let (result, effects) = rest.split_once(" | ").unwrap_or((rest, ""));
        Line {
            label,
            result: result.trim(),
            effects: effects.trim().to_owned(),
        }
    }

    /// What real root's effects are where owners are always 0 and devices are empty regular files.
    fn pretended(self) -> Line<'a> {
        let mut effects = Vec::new();
        for effect in self.effects.split(" | ") {
            let mut words = Vec::new();
            let mut given = effect.split_whitespace();
            while let Some(word) = given.next() {
                match word {
                    "owner" | "device" => drop(given.next()),
                    "mode" => {
                        let mode = given.next().expect("a mode");
                        let is_device =
                            mode.len() == 5 && (mode.starts_with('2') || mode.starts_with('6'));
                        words.extend([
                            "mode".to_owned(),
                            if is_device {
                                format!("10{}", &mode[1..])
                            } else {
                                mode.to_owned()
                            },
                        ]);
                    }
                    word => words.push(word.to_owned()),
                }
            }
            if words.len() > 1 {
                effects.push(words.join(" "));
            }
        }
        Line {
            effects: effects.join(" | "),
            ..self
        }
    }
}

/// A program of `tests/fixtures`, and where it runs.
struct Bench {
    dir: TempDir,
    runs: Cell<u32>,
}

impl Bench {
    /// Builds `source` with `options`; `None` after a SKIP where that or level selective does not
    /// work.
    fn new(test: &str, source: &str, options: &[&str]) -> Option<Bench> {
        let bench = Bench {
            dir: dir(),
            runs: Cell::new(0),
        };
        if common::program("gcc").is_none() {
            common::skip(test, "there is no gcc");
            return None;
        }
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(source);
        let built = run(Command::new("gcc")
            .args(["-O1", "-w", "-pthread", "-o"])
            .arg(bench.program())
            .args(options)
            .arg(source));
        if built.status != 0 {
            common::skip(
                test,
                &format!("gcc {options:?} builds nothing: {}", built.stderr),
            );
            return None;
        }
        let tried = run(&mut zroot_with(["-c", "selective", "true"]));
        if tried.status != 0 {
            common::skip(test, &format!("there is no supervisor: {}", tried.stderr));
            return None;
        }
        Some(bench)
    }

    fn program(&self) -> PathBuf {
        self.dir.path().join("program")
    }

    fn fresh_dir(&self) -> PathBuf {
        self.runs.set(self.runs.get() + 1);
        let path = self.dir.path().join(self.runs.get().to_string());
        fs::create_dir(&path).expect("a directory");
        path
    }

    /// What the program prints at a level.
    #[track_caller]
    fn at_level(&self, level: &str, args: &[&str]) -> String {
        let dir = self.fresh_dir();
        give(&dir);
        let ran = run(zroot_with(["-c", level, "--"])
            .arg(self.program())
            .args(args)
            .current_dir(dir))
        .succeeds();
        assert_eq!(ran.stderr, "", "{}", ran.command);
        ran.stdout
    }

    /// What it prints as real root, whose only supplementary group is 0.
    #[track_caller]
    fn as_root(&self, args: &[&str]) -> String {
        let mut command = Command::new(self.program());
        command
            .args(args)
            .env_clear()
            .stdin(Stdio::null())
            .current_dir(self.fresh_dir());
        // SAFETY: the closure only makes a system call.
        unsafe {
            command.pre_exec(|| Ok(nix::unistd::setgroups(&[0.into()])?));
        }
        let ran = run(&mut command).succeeds();
        assert_eq!(ran.stderr, "", "{}", ran.command);
        ran.stdout
    }
}

/// The capabilities that root has here, in hexadecimal: all but those that its own bounding set
/// lacks.
fn capabilities() -> String {
    let status = fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let own = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .expect("CapEff")
        .trim()
        .to_owned();
    if is_root() {
        own
    } else {
        "1ffffffffff".to_owned()
    }
}

/// Whether there is a real root to compare with: in a container root may have fewer ids and
/// capabilities.
fn has_oracle(test: &str) -> bool {
    // CAP_CHOWN to CAP_SETPCAP but CAP_KILL; CAP_SYS_CHROOT, CAP_SYS_ADMIN, CAP_MKNOD, CAP_SETFCAP.
    const NEEDED: u64 = 0x1df | 1 << 18 | 1 << 21 | 1 << 27 | 1 << 31;
    if for_root_only(&format!("{test}, as far as it compares with real root,")) {
        return false;
    }
    let own = u64::from_str_radix(&capabilities(), 16).expect("a number");
    let is_real = own & NEEDED == NEEDED && host::is_real_root();
    if !is_real {
        common::skip(test, "root is not real here");
    }
    is_real
}

/// What level selective is for: some lines at it, and at level zero. Without the calls' names, for
/// which each ABI has its own.
const LEVELS: &[(&str, &str, &str, &str)] = &[
    (
        "paths",
        "mknodat new",
        "0 | new: mode 100644 atime now mtime now",
        "0",
    ),
    ("paths", "mknodat n255", "-1 EEXIST", "0"),
    ("paths", "fchownat nope flags 0", "-1 ENOENT", "0"),
    ("paths", "fchownat f flags 0", "0 | f: mode 100755", "0"),
    (
        "paths",
        "setxattr f",
        "0 | f: xattrs user.x=1:31 user.y=2:640",
        "0 | f: xattrs user.x=1:31 user.y=2:640",
    ),
    (
        "addresses",
        "setxattr f, create again",
        "-1 EEXIST",
        "-1 EEXIST",
    ),
    ("addresses", "setxattr f, trusted.y", "0", "-1 EPERM"),
    (
        "addresses",
        "setxattr f, acl unmapped",
        "0 | f: mode 106660 xattrs user.x=1:31 system.posix_acl_access=36:17d6aed9",
        "-1 EINVAL",
    ),
];

fn result_of(text: &str, label: &str) -> String {
    text.lines()
        .find_map(|line| line.strip_prefix(label)?.strip_prefix(" = "))
        .unwrap_or_default()
        .replace("  ", " ")
        .trim()
        .to_owned()
}

/// All parts of the program built with `options`.
fn check(test: &str, options: &[&str]) {
    let Some(bench) = Bench::new(test, "supervised.c", options) else {
        return;
    };
    let tried = run(user(bench.program())
        .arg("try")
        .current_dir(bench.dir.path()));
    if tried.status != 0 {
        return common::skip(test, &format!("this kernel does not run it: {tried:?}"));
    }
    let has = capabilities();
    let has_oracle = has_oracle(test);
    let mut wrong = String::new();
    let mut used = BTreeSet::new();
    for part in [
        "paths",
        "descriptors",
        "addresses",
        "arguments",
        "surroundings",
        "ids",
    ] {
        let args = [part, &has];
        let zroot = bench.at_level("selective", &args);
        let is_pretended = |text: &str| !text.contains(" owner ") && !text.contains(" device ");
        assert!(
            zroot.lines().count() > 1000 && is_pretended(&zroot),
            "{part}: {zroot}"
        );
        if part == "paths" && result_of(&zroot, "setxattr f") == "-1 EOPNOTSUPP" {
            return common::skip(test, "the file system of /tmp has no attributes");
        }
        let at_zero = if LEVELS.iter().any(|(of, ..)| *of == part) {
            bench.at_level("zero", &args)
        } else {
            String::new()
        };
        for (_, label, selective, zero) in LEVELS.iter().filter(|(of, ..)| *of == part) {
            assert_eq!(
                result_of(&zroot, label),
                *selective,
                "{label} at level selective"
            );
            assert_eq!(result_of(&at_zero, label), *zero, "{label} at level zero");
        }
        if !has_oracle {
            continue;
        }
        let real = bench.as_root(&args);
        assert_eq!(real.lines().count(), zroot.lines().count(), "{part}");
        for (real, zroot) in real.lines().zip(zroot.lines()) {
            let (real_line, zroot_line) = (Line::parse(real).pretended(), Line::parse(zroot));
            if real == zroot || part != "ids" && real_line == zroot_line {
                continue;
            }
            assert_eq!(real_line.label, zroot_line.label, "{part}");
            match DIFFERENCES.iter().position(|difference| {
                part != "ids" && (difference.allows)(&real_line, &zroot_line)
            }) {
                Some(index) => drop(used.insert(index)),
                None => drop(writeln!(
                    wrong,
                    "{part}: real root: {real}\n{part}: with zroot: {zroot}"
                )),
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} lines differ:\n{}",
        wrong.lines().count() / 2,
        &wrong[..wrong.len().min(8000)]
    );
    if has_oracle {
        for (index, difference) in DIFFERENCES
            .iter()
            .enumerate()
            .filter(|(index, _)| SEEN.contains(index))
        {
            assert!(
                used.contains(&index),
                "nothing differs any more because {}",
                difference.reason
            );
        }
    }
}

#[test]
fn native_calls_are_answered_as_by_the_kernel() {
    check("native_calls_are_answered_as_by_the_kernel", &[]);
}

#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
#[test]
fn i386_calls_of_64_bit_programs_are_answered_as_by_the_kernel() {
    // At fixed addresses, below 4 GiB.
    check(
        "i386_calls_of_64_bit_programs_are_answered_as_by_the_kernel",
        &["-DINT80", "-static", "-no-pie", "-fno-pie"],
    );
}

#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
#[test]
fn i386_programs_are_answered_as_by_the_kernel() {
    check("i386_programs_are_answered_as_by_the_kernel", &["-m32"]);
}

#[test]
fn others_files_stay_as_they_are() {
    let test = "others_files_stay_as_they_are";
    if !has_oracle(test) {
        return;
    }
    let Some(bench) = Bench::new(test, "supervised.c", &[]) else {
        return;
    };
    let dir = bench.fresh_dir();
    let as_root = |part: &str| {
        run(Command::new(bench.program()).arg(part).current_dir(&dir))
            .succeeds()
            .stdout
    };
    as_root("files");
    let at_level = |level: &str| {
        run(zroot_with(["-c", level, "--"])
            .arg(bench.program())
            .arg("foreign")
            .current_dir(&dir))
        .succeeds()
        .stdout
    };
    let (zero, zroot) = (at_level("zero"), at_level("selective"));
    let real = as_root("foreign");
    assert_eq!(real.lines().count(), zroot.lines().count());
    assert_eq!(result_of(&zero, "fchmodat f"), "-1 EPERM");
    assert_eq!(result_of(&zroot, "fchmodat f"), "0");
    for (real, zroot) in real
        .lines()
        .map(Line::parse)
        .zip(zroot.lines().map(Line::parse))
    {
        assert_eq!(real.label, zroot.label);
        // A symbolic link may be touched by anybody, and is by whoever follows it.
        let is_link = |effect: &str| {
            effect.starts_with("l: atime now") || effect.starts_with("dl: atime now")
        };
        assert!(
            zroot.effects.is_empty() || zroot.effects.split(" | ").all(is_link),
            "{zroot:?}"
        );
        // What one may not write stays without attributes, and what one may not enter without
        // files: that is no matter of privilege alone.
        let is_write = real.label.contains("xattr") || real.label.starts_with("mknod");
        assert!(
            real.result == zroot.result || is_write && zroot.result == "-1 EACCES",
            "{real:?} {zroot:?}"
        );
    }
}

/// What `identities.c` prints for `what`.
fn identities(test: &str, what: &str) -> Option<(String, Option<String>)> {
    let bench = Bench::new(test, "identities.c", &[])?;
    let zroot = bench.at_level("selective", &[what]);
    Some((zroot, has_oracle(test).then(|| bench.as_root(&[what]))))
}

/// Each line's value after a colon.
fn values(text: &str) -> Vec<(&str, &str)> {
    text.lines()
        .map(|line| line.rsplit_once(": ").unwrap_or((line, "")))
        .collect()
}

#[test]
fn each_thread_has_its_own_ids() {
    let Some((zroot, real)) = identities("each_thread_has_its_own_ids", "threads") else {
        return;
    };
    // The one intended difference: a thread that changed alone hands its ids on to nobody, because
    // nothing says who started whom.
    let alike = |text: &str| {
        text.lines()
            .filter(|line| !line.contains(" of the one: "))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let expected = [
        "first thread: 0, its new thread: 0, its child: 0",
        "thread 0: 1000, alone 0",
        "thread 1: 1000, alone 0",
        "thread 2: 1000, alone 1002",
        "thread 3: 1000, alone 0",
    ];
    assert_eq!(alike(&zroot), expected);
    let of_the_one = |text: &str| {
        values(text)
            .into_iter()
            .filter(|(who, _)| who.ends_with(" of the one"))
            .map(|(_, id)| id.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(of_the_one(&zroot), ["0", "0"]);
    if let Some(real) = real {
        assert_eq!(alike(&real), expected);
        assert_eq!(of_the_one(&real), ["1002", "1002"]);
    }
}

#[test]
fn the_first_thread_changes_alone() {
    let Some((zroot, real)) = identities("the_first_thread_changes_alone", "first") else {
        return;
    };
    assert_eq!(
        zroot,
        "first thread alone: 1003, the other: 0, new thread: 1003, child: 1003\n"
    );
    assert_eq!(real.unwrap_or_else(|| zroot.clone()), zroot);
}

#[test]
fn children_have_the_ids_and_new_programs_are_root() {
    let test = "children_have_the_ids_and_new_programs_are_root";
    let Some((zroot, real)) = identities(test, "children") else {
        return;
    };
    let programs = ["vfork", "posix_spawn", "exec", "without ASLR", "and again"];
    for (who, id) in values(&zroot) {
        assert_eq!(
            id,
            if programs.contains(&who) { "0" } else { "1000" },
            "{who} in {zroot}"
        );
    }
    for program in programs {
        assert!(zroot.contains(program), "{program} in {zroot}");
    }
    if let Some(real) = real {
        assert!(
            values(&real).into_iter().all(|(_, id)| id == "1000"),
            "{real}"
        );
    }
    let Some((zroot, real)) = identities(test, "vforked") else {
        return;
    };
    assert_eq!(zroot, "parent of a vforked child: 0\n");
    assert_eq!(real.unwrap_or_else(|| zroot.clone()), zroot);
}

#[test]
fn signals_disturb_nothing() {
    let Some((zroot, real)) = identities("signals_disturb_nothing", "storm") else {
        return;
    };
    assert_eq!(
        zroot,
        "storm, no flags: all well\nstorm, SA_RESTART: all well\n"
    );
    assert_eq!(real.unwrap_or_else(|| zroot.clone()), zroot);
}

#[test]
fn the_killed_disturb_nobody() {
    let Some((zroot, real)) = identities("the_killed_disturb_nobody", "killed") else {
        return;
    };
    assert_eq!(zroot, "killed: all well\n");
    assert_eq!(real.unwrap_or_else(|| zroot.clone()), zroot);
}
