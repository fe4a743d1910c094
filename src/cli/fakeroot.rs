//! zroot by the name of `fakeroot`: argv as fakeroot(1) reads it -> [`Plan`].
//!
//! fakeroot's script has getopt(1) read `+l:f:i:s:ub:vh` and long options, and acts on one after
//! the other.

use std::borrow::Cow;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::VERSION;
use crate::error::shown;
use crate::launch::plan::{Consistency, Plan, Userns};
use crate::supervisor::session::Fakeroot;

/// What the command line asks for.
#[derive(Debug)]
pub(super) enum Asked<'a> {
    /// To run a command.
    Run(Box<Plan<'a>>),
    /// To print this.
    Version(String),
    /// To say this, which ends it.
    Usage(String),
}

/// The fakeroot whose command line and file this is like. `makepkg` puts the whole line that `-v`
/// prints into packages, so that it names zroot as well; who compares numbers finds one behind
/// "version".
const LIKE: &str = "1.31";

const USAGE: &str = "\
zroot as fakeroot: run a command in an environment faking root privileges.
   usage: fakeroot [-i FILE] [-s FILE] [-u|--unknown-is-real]
                   [-h|--help] [-v|--version] [--] [COMMAND]
   without effect: [-l|--lib LIBRARY] [-f|--faked BINARY] [-b|--fd-base FD]
   see AS FAKEROOT in zroot(1)";

/// The letters of the options with their values, and what follows them.
type Read<'s, 'a> = (Vec<(u8, &'a CStr)>, &'s [&'a CStr]);

/// The options: their letter, their long name, and whether a value follows.
const OPTIONS: &[(u8, &str, bool)] = &[
    (b'l', "lib", true),
    (b'f', "faked", true),
    (b'i', "", true),
    (b's', "", true),
    (b'u', "unknown-is-real", false),
    (b'b', "fd-base", true),
    (b'v', "version", false),
    (b'h', "help", false),
];

/// Whether who calls zroot by `name` means fakeroot. Debian's alternatives are `fakeroot-sysv` and
/// `fakeroot-tcp`.
pub(super) fn is_name(name: &CStr) -> bool {
    let last = name.to_bytes().rsplit(|byte| *byte == b'/').next();
    last.and_then(|last| last.strip_prefix(b"fakeroot"))
        .is_some_and(|rest| matches!(rest, [] | [b'-', ..]))
}

/// What `args` ask for, of which the first is the name.
#[inline(never)] // for a small stack where it is not called
pub(super) fn parse<'a>(
    args: &[&'a CStr],
    variable: impl Fn(&str) -> Option<&'a CStr>,
) -> Asked<'a> {
    let (options, command) = match options(args) {
        Ok(read) => read,
        Err(complaint) => return Asked::Usage(format!("fakeroot: {complaint}\n{USAGE}")),
    };
    let path = |value: &CStr| PathBuf::from(OsStr::from_bytes(value.to_bytes()));
    let mut plan = Plan {
        consistency: Some(Consistency::Full),
        // It knows of no sandbox, and sets no such variable.
        apt_config: false,
        ..Plan::default()
    };
    let mut unknown_is_real = false;
    for (option, value) in options {
        match option {
            b'v' => {
                return Asked::Version(format!("fakeroot version {LIKE} (zroot {VERSION})\n"));
            }
            b'h' => return Asked::Usage(USAGE.to_owned()),
            // In a user namespace the kernel's ids are not to be had.
            b'u' => (unknown_is_real, plan.userns) = (true, Userns::Never),
            b's' => plan.save = Some(path(value)),
            b'i' if is_file(&path(value)) => plan.load = Some(path(value)),
            b'i' => plan.notes.push(format!(
                "fakeroot: database file {} does not exist.",
                shown(path(value))
            )),
            _ => {}
        }
    }
    plan.fakeroot = Some(Fakeroot { unknown_is_real });
    plan.command = command.iter().map(|arg| Cow::Borrowed(*arg)).collect();
    // Its script asks whether the arguments make an empty string.
    if command.iter().all(|arg| arg.is_empty()) && command.len() < 2 {
        let shell = variable("SHELL").filter(|shell| !shell.is_empty());
        plan.command = vec![Cow::Borrowed(shell.unwrap_or(c"/bin/sh"))];
    }
    Asked::Run(Box::new(plan))
}

/// As test(1) has `-f`.
fn is_file(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.is_file())
}

/// The options in `args`, or what is wrong with them. By getopt_long(3)'s rules, where options end
/// at the first argument that is none.
fn options<'s, 'a>(args: &'s [&'a CStr]) -> Result<Read<'s, 'a>, String> {
    let mut found = Vec::new();
    let mut rest = args.get(1..).unwrap_or_default();
    while let [first, after @ ..] = rest {
        let bytes = first.to_bytes();
        if bytes == b"--" {
            return Ok((found, after));
        }
        if bytes == b"-" || !bytes.starts_with(b"-") {
            break;
        }
        rest = after;
        let mut next = || {
            let (next, after) = rest.split_first()?;
            rest = after;
            Some(*next)
        };
        if let Some(long) = bytes.strip_prefix(b"--") {
            found.push(long_option(first, long, next)?);
            continue;
        }
        for at in 1..bytes.len() {
            let letter = bytes[at];
            let Some((_, _, has_value)) = OPTIONS.iter().find(|known| known.0 == letter) else {
                return Err(format!(
                    "invalid option -- {}",
                    shown(OsStr::from_bytes(&[letter]))
                ));
            };
            if !has_value {
                found.push((letter, c""));
                continue;
            }
            let value = match &first[at + 1..] {
                attached if !attached.is_empty() => Some(attached),
                _ => next(),
            };
            let name = char::from(letter);
            let value = value.ok_or(format!("option requires an argument -- '{name}'"))?;
            found.push((letter, value));
            break;
        }
    }
    Ok((found, rest))
}

/// The option that `typed` is, which without its dashes is `long`. `next` takes the next argument.
fn long_option<'a>(
    typed: &'a CStr,
    long: &[u8],
    next: impl FnOnce() -> Option<&'a CStr>,
) -> Result<(u8, &'a CStr), String> {
    let len = long.iter().position(|byte| *byte == b'=');
    let name = &long[..len.unwrap_or(long.len())];
    let shown = shown(OsStr::from_bytes(&[b"--", name].concat()));
    let mut alike = OPTIONS
        .iter()
        .filter(|known| !known.1.is_empty() && known.1.as_bytes().starts_with(name));
    let known = match (alike.next(), alike.next()) {
        (Some(known), None) => known,
        (None, _) => return Err(format!("unrecognized option {shown}")),
        // None is another one's beginning.
        (Some(_), Some(_)) => return Err(format!("option {shown} is ambiguous")),
    };
    let (letter, _, has_value) = *known;
    let attached = len.map(|len| &typed[2 + len + 1..]);
    match (has_value, attached) {
        (true, Some(value)) => Ok((letter, value)),
        (true, None) => Ok((
            letter,
            next().ok_or(format!("option {shown} requires an argument"))?,
        )),
        (false, None) => Ok((letter, c"")),
        (false, Some(_)) => Err(format!("option {shown} doesn't allow an argument")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the words after `fakeroot` come to: the letters with their values, and the command.
    fn read(words: &[&'static CStr]) -> Result<(String, Vec<&'static CStr>), String> {
        let args: Vec<&CStr> = [&[c"fakeroot"], words].concat();
        let (options, command) = options(&args)?;
        let text = options
            .iter()
            .flat_map(|(letter, value)| {
                let value = value.to_string_lossy().into_owned();
                [char::from(*letter).to_string(), value, " ".into()]
            })
            .collect();
        Ok((text, command.to_vec()))
    }

    #[test]
    fn names() {
        for (name, is_it) in [
            (c"fakeroot", true),
            (c"/usr/bin/fakeroot", true),
            (c"./fakeroot-zroot", true),
            (c"fakeroot-", true),
            (c"zroot", false),
            (c"fakeroots", false),
            (c"/fakeroot/zroot", false),
            (c"fakeroot/", false),
            (c"", false),
        ] {
            assert_eq!(is_name(name), is_it, "{name:?}");
        }
    }

    #[test]
    fn options_are_getopts() {
        for (words, says, command) in [
            (
                &[c"-us", c"a", c"b", c"-u"][..],
                "u sa ",
                &[c"b", c"-u"][..],
            ),
            (&[c"-sa", c"-ib", c"--", c"-u"], "sa ib ", &[c"-u"]),
            (&[c"-l", c"--", c"-", c"-u"], "l-- ", &[c"-", c"-u"]),
            (&[c"--lib=x", c"--li", c"y"], "lx ly ", &[]),
            (&[c"--fa=", c"--fd", c"7", c""], "f b7 ", &[c""]),
            (&[c"--u", c"--v", c"--h"], "u v h ", &[]),
            (&[c"-s", c"-u", c"-v"], "s-u v ", &[]),
        ] {
            assert_eq!(
                read(words),
                Ok((says.into(), command.to_vec())),
                "{words:?}"
            );
        }
        for (words, says) in [
            (&[c"-x"][..], "invalid option -- 'x'"),
            (&[c"-ux"], "invalid option -- 'x'"),
            (&[c"-s"], "option requires an argument -- 's'"),
            (&[c"--f", c"x"], "option '--f' is ambiguous"),
            (&[c"--lib"], "option '--lib' requires an argument"),
            (&[c"--help=x"], "option '--help' doesn't allow an argument"),
            (&[c"--save", c"x"], "unrecognized option '--save'"),
            (&[c"--=x"], "option '--' is ambiguous"),
        ] {
            assert_eq!(read(words), Err(says.into()), "{words:?}");
        }
    }

    #[test]
    fn without_a_command_it_is_the_shell() {
        let run =
            |words: &[&'static CStr], shell: Option<&'static CStr>| match parse(words, |name| {
                shell.filter(|_| name == "SHELL")
            }) {
                Asked::Run(plan) => plan.command,
                other => panic!("{other:?}"),
            };
        let sh = |text: &'static CStr| vec![Cow::Borrowed(text)];
        assert_eq!(run(&[c"fakeroot"], Some(c"/bin/ksh")), sh(c"/bin/ksh"));
        assert_eq!(run(&[c"fakeroot", c""], None), sh(c"/bin/sh"));
        assert_eq!(run(&[c"fakeroot", c"--"], Some(c"")), sh(c"/bin/sh"));
        let two: Vec<Cow<CStr>> = run(&[c"fakeroot", c"", c""], None);
        assert_eq!(two.len(), 2);
    }
}
