//! Every call that a supervisor answers, through every ABI that this machine executes, with the
//! kernel as the oracle: a C program makes the calls by number at level selective, and again as
//! real root in a directory of root's own. Line by line, results and effects must be the same, but
//! for the differences that are meant to be ([`DIFFERENCES`]).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;

use zroot::internals::host;

use super::oracle::{Fixture, capabilities, has_oracle};
use crate::common::{self, run, user, zroot_with};

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
        reason: "of an ACL, one entry stands for those that name an id which is not mapped",
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
        "0 | f: mode 106660 xattrs user.x=1:31 system.posix_acl_access=44:d8f1d613",
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
    let Some(fixture) = Fixture::new(test, "supervised.c", options) else {
        return;
    };
    let tried = run(user(fixture.program())
        .arg("try")
        .current_dir(fixture.dir.path()));
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
        let zroot = fixture.at_level("selective", &args);
        let is_pretended = |text: &str| !text.contains(" owner ") && !text.contains(" device ");
        assert!(
            zroot.lines().count() > 1000 && is_pretended(&zroot),
            "{part}: {zroot}"
        );
        if part == "paths" && result_of(&zroot, "setxattr f") == "-1 EOPNOTSUPP" {
            return common::skip(test, "the file system of /tmp has no attributes");
        }
        let at_zero = if LEVELS.iter().any(|(of, ..)| *of == part) {
            fixture.at_level("zero", &args)
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
        let real = fixture.as_root(&args);
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
    let Some(fixture) = Fixture::new(test, "supervised.c", &[]) else {
        return;
    };
    let dir = fixture.fresh_dir();
    let as_root = |part: &str| {
        run(Command::new(fixture.program()).arg(part).current_dir(&dir))
            .succeeds()
            .stdout
    };
    as_root("files");
    let at_level = |level: &str| {
        run(zroot_with(["-c", level, "--"])
            .arg(fixture.program())
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
