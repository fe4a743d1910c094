//! `--dump-filter` and `--explain`: what they ask for. Neither runs anything.

use std::borrow::Cow;
use std::ffi::{CStr, OsStr};
use std::io::{IsTerminal, stdout};
use std::os::unix::ffi::OsStrExt;

use super::args::{Arch, Args, usage};
use super::plan::classes;
use crate::arch::Abi;
use crate::error::{Failure, shown};
use crate::filter::dump::Format;
use crate::filter::explain::MOST_ARGUMENTS;
use crate::filter::policy::Policy;
use crate::launch::plan::{Consistency, policy};

/// What to show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Show {
    /// The filter.
    Filter {
        /// In which form.
        format: Format,
        /// For which kernels.
        arch: Arch,
        /// What it answers.
        policy: Policy,
    },
    /// What the filter answers to a call.
    Answer {
        /// The call's name.
        call: String,
        /// Its arguments, as far as they are known.
        args: [Option<u64>; MOST_ARGUMENTS],
        /// For which kernels.
        arch: Arch,
        /// What the filter answers.
        policy: Policy,
    },
}

/// What the options `typed` ask to see. Most other options make no difference. `rest` is what
/// follows the options.
pub(super) fn show(typed: &Args, rest: &[Cow<'_, CStr>]) -> Result<Show, Failure> {
    let (fake, no_fake) = classes(typed)?;
    if typed.pretence.consistency == Some(Consistency::Auto) {
        let failure =
            Failure::new("--consistency=auto: only a run shows which level the host can have");
        return Err(failure.hint("name one: -c zero, -c selective or -c full"));
    }
    let level = Consistency::first_level(typed.pretence.consistency);
    let policy = policy(level, fake, no_fake);
    let arch = typed.results.arch.unwrap_or(Arch::Of(Abi::NATIVE));
    let Some(format) = typed.results.dump_filter else {
        let call = typed
            .results
            .explain
            .as_deref()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        return Ok(Show::Answer {
            call,
            args: arguments(rest)?,
            arch,
            policy,
        });
    };
    if typed.results.explain.is_some() {
        return Err(usage("--dump-filter and --explain: one of them at a time"));
    }
    if let Some(command) = rest.first() {
        let failure = Failure::new(format!(
            "--dump-filter runs no command, but {} follows",
            shown(OsStr::from_bytes(command.to_bytes()))
        ));
        return Err(failure.hint("a format is joined to it: --dump-filter=raw"));
    }
    if format == Format::Raw && stdout().is_terminal() {
        let failure = Failure::new("--dump-filter=raw: standard output is a terminal");
        return Err(failure.hint(
            "bytes are for files and pipes: --dump-filter=raw > FILE; --dump-filter is for reading",
        ));
    }
    Ok(Show::Filter {
        format,
        arch,
        policy,
    })
}

/// The arguments of a call. A word that is no number stands for a value that is not known.
fn arguments(words: &[Cow<'_, CStr>]) -> Result<[Option<u64>; MOST_ARGUMENTS], Failure> {
    let mut args = [None; MOST_ARGUMENTS];
    if words.len() > args.len() {
        return Err(usage(format!(
            "--explain: a call has {MOST_ARGUMENTS} arguments at most"
        )));
    }
    for (arg, word) in args.iter_mut().zip(words) {
        let text = word.to_string_lossy();
        if !text
            .trim_start_matches('-')
            .starts_with(|c: char| c.is_ascii_digit())
        {
            continue;
        }
        *arg = Some(number(&text).ok_or_else(|| {
            let failure = Failure::new(format!("--explain: {} is no number", shown(&*text)));
            failure.hint("numbers are 10, -1, 0x1f, 0o777 or 0777; any other word, as '-' or PATH, is a value that is not known")
        })?);
    }
    Ok(args)
}

/// A number as C and Rust write it; a negative one as a register has it.
fn number(text: &str) -> Option<u64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (digits, radix) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&digits[2..], 16),
        [b'0', b'o' | b'O', ..] => (&digits[2..], 8),
        [b'0', _, ..] => (&digits[1..], 8),
        _ => (digits, 10),
    };
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None; // from_str_radix takes a sign
    }
    let number = u64::from_str_radix(digits, radix).ok()?;
    Some(if text.starts_with('-') {
        number.wrapping_neg()
    } else {
        number
    })
}
