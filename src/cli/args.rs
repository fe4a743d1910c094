//! What was typed: clap's definition of the options, and where they end.

use std::borrow::Cow;
use std::ffi::{CStr, OsStr, OsString};
use std::ops::Deref;
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, value_parser};

use crate::arch::Abi;
use crate::check::Form;
use crate::error::{Failure, shown};
use crate::filter::dump::Format;
use crate::filter::policy::{Class, ClassSet, Level, UnknownClass};
use crate::launch::plan::{Consistency, Owners, Userns};
use crate::namespace::root::{Bind, Dev};

const AFTER_HELP: &str = "\
Options end at the first argument that is not one. Without COMMAND, on a terminal, $SHELL is started.

Classes on by default: owner identity capability device probe; with --consistency=selective also getid xattr foreign limits, with full also stat maker peer set-id.
Others: sync inode-flags host mount.

Exit status: 124 --fail-on; 125 zroot failed; 126 COMMAND cannot be run; 127 COMMAND not found; else COMMAND's own. See zroot(1).";

/// The standard descriptors are the command's.
const LEAST_ERROR_FD: i64 = 3;

/// What was typed, in three parts, each of which clap is told of by itself: what it is told of at
/// once is on the stack.
#[derive(Parser, Default, Debug)]
#[command(
    name = "zroot",
    version,
    about = "Run COMMAND as apparent root, without privileges",
    override_usage = "zroot [OPTIONS] [--] COMMAND [ARG...]",
    after_help = AFTER_HELP,
    args_override_self = true
)]
#[group(skip)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) around: Apart<Around>,
    #[command(flatten)]
    pub(super) pretence: Apart<Pretence>,
    #[command(flatten)]
    pub(super) results: Apart<Results>,
}

/// What the command finds around it.
#[derive(clap::Args, Default, Debug)]
#[group(skip)]
pub(super) struct Around {
    /// Change to DIR first
    #[arg(short = 'C', long, value_name = "DIR")]
    pub(super) chdir: Option<PathBuf>,

    /// Make DIR the root directory, with the host's /proc, /sys and /dev
    #[arg(long, value_name = "DIR")]
    pub(super) root: Option<PathBuf>,

    /// Mount the host's SRC at DST inside the root directory
    #[arg(long, value_name = "SRC[:DST[:ro]]", value_parser = OsStringValueParser::new().try_map(parse_bind))]
    pub(super) bind: Vec<Bind>,

    /// Mount an empty file system in memory at DIR inside the root directory
    #[arg(long, value_name = "DIR", value_parser = OsStringValueParser::new().try_map(parse_absolute))]
    pub(super) tmpfs: Vec<PathBuf>,

    /// Whose /dev the root directory gets
    #[arg(long, value_name = "WHOSE", value_enum, default_value_t)]
    pub(super) dev: Dev,

    /// Run COMMAND in a PID namespace, with a /proc of its own; what it leaves running ends with it
    #[arg(long)]
    pub(super) pid: bool,

    /// Set the environment variable VAR to VALUE
    #[arg(long, value_names = ["VAR", "VALUE"], num_args = 2, allow_hyphen_values = true)]
    pub(super) setenv: Vec<OsString>,

    /// Remove the environment variable VAR
    #[arg(long, value_name = "VAR")]
    pub(super) unsetenv: Vec<OsString>,
}

/// What is pretended, and how.
#[derive(clap::Args, Default, Debug)]
#[group(skip)]
pub(super) struct Pretence {
    /// Whether to enter a user namespace
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub(super) userns: Userns,

    /// How far the pretence goes
    #[arg(short = 'c', long, value_name = "LEVEL", value_enum)]
    pub(super) consistency: Option<Consistency>,

    /// At level full, also keep owners and devices of --root's files in attributes of the files
    #[arg(long, value_name = "HOW", value_enum)]
    pub(super) owners: Option<Owners>,

    /// Run COMMAND plainly if already root over more than one id
    #[arg(long)]
    pub(super) if_needed: bool,

    /// Leave no_new_privs off
    #[arg(long)]
    pub(super) allow_new_privs: bool,

    /// Also pretend the calls of these classes, or 'all'
    #[arg(long, value_name = "CLASS,...", value_delimiter = ',', value_parser = parse_classes)]
    pub(super) fake: Vec<ClassSet>,

    /// Do not pretend the calls of these classes, or 'all' but the probe; beats --fake
    #[arg(long, value_name = "CLASS,...", value_delimiter = ',', value_parser = parse_classes)]
    pub(super) no_fake: Vec<ClassSet>,

    /// Pretend to write to disk: the same as --fake=sync
    #[arg(long)]
    pub(super) no_sync: bool,

    /// Do not set APT_CONFIG
    #[arg(long)]
    pub(super) no_apt_config: bool,
}

/// What is to be shown or kept, and all else.
#[derive(clap::Args, Default, Debug)]
#[group(skip)]
pub(super) struct Results {
    /// Print the filter, as asm, raw, c or oci, and run nothing
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "asm", value_parser = parse_format)]
    pub(super) dump_filter: Option<Format>,

    /// Say what the call CALL is answered with the arguments that follow, and run nothing
    #[arg(long, value_name = "CALL")]
    pub(super) explain: Option<OsString>,

    /// For --dump-filter and --explain: on a kernel of ABI, or 'all'
    #[arg(long, value_name = "ABI", value_parser = parse_arch)]
    pub(super) arch: Option<Arch>,

    /// Split STRING into arguments, as env(1) does; only as the first argument, for #! lines
    #[arg(short = 'S', long, value_name = "STRING")]
    pub(super) split_string: Option<OsString>,

    /// At the end, say on standard error (or write to FILE) what was pretended; as JSON if FILE
    /// ends in .json
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(super) summary: Option<OsString>,

    /// A line for each pretended call, on standard error or in FILE; as JSON if FILE ends in .json
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(super) trace: Option<OsString>,

    /// End with status 124 if a call of these classes was pretended, or of 'all'; zroot waits for
    /// COMMAND then
    #[arg(long, value_name = "CLASS,...", value_delimiter = ',', value_parser = parse_classes)]
    pub(super) fail_on: Vec<ClassSet>,

    /// Remember from the start what FILE says of owners and devices, as zroot or fakeroot saved it;
    /// at level full, which need not be asked for
    #[arg(short = 'i', long, value_name = "FILE")]
    pub(super) load: Option<PathBuf>,

    /// At the end, save what is remembered to FILE, in fakeroot's format; at level full, which need
    /// not be asked for
    #[arg(short = 's', long, value_name = "FILE")]
    pub(super) save: Option<PathBuf>,

    /// Say what this host lets zroot do, and what to change; run no COMMAND
    #[arg(long, value_name = "FORM", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    pub(super) check: Option<Form>,

    /// Say what keeps COMMAND from beginning on descriptor FD in place of standard error, and close
    /// FD when COMMAND begins
    #[arg(long, value_name = "FD", value_parser = value_parser!(RawFd).range(LEAST_ERROR_FD..))]
    pub(super) error_fd: Option<RawFd>,

    /// Say no warnings
    #[arg(short, long)]
    pub(super) quiet: bool,

    /// Say each step on standard error
    #[arg(short, long)]
    pub(super) verbose: bool,
}

/// Options in a frame of the stack of their own.
#[derive(Default, Debug)]
pub(super) struct Apart<T>(pub(super) T);

impl<T> Deref for Apart<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: clap::Args> clap::Args for Apart<T> {
    #[inline(never)]
    fn augment_args(definition: clap::Command) -> clap::Command {
        T::augment_args(definition)
    }

    fn augment_args_for_update(definition: clap::Command) -> clap::Command {
        T::augment_args_for_update(definition)
    }
}

impl<T: FromArgMatches> FromArgMatches for Apart<T> {
    #[inline(never)]
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        T::from_arg_matches(matches).map(Apart)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

/// Which kernels' filters to show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arch {
    /// One for each ABI, which comes first there.
    All,
    /// That of which this ABI comes first.
    Of(Abi),
}

impl Arch {
    /// The word for [`All`](Arch::All).
    pub const ALL_NAME: &str = "all";
}

/// A command line that makes no sense.
pub(super) fn usage(message: impl Into<String>) -> Failure {
    Failure::new(message).hint("try 'zroot --help'")
}

/// clap's definition of the command line, for documents and their tests.
#[must_use]
pub fn definition() -> clap::Command {
    Args::command()
}

/// The options of `args`, or the text that they ask for, and where COMMAND begins. `error_fd`
/// becomes what they say of it, also where they make no sense.
#[inline(never)] // for a small stack where it is not called
pub(super) fn options(
    args: &[Cow<'_, CStr>],
    error_fd: &mut Option<RawFd>,
) -> Result<(Result<Args, String>, usize), Failure> {
    let definition = definition();
    let (options, command) = end_of_options(&definition, args);
    let typed = if options == 1 {
        Ok(Args::default())
    } else {
        let options = &args[..options];
        parse_options(definition, options).inspect_err(|_| *error_fd = last_error_fd(options))?
    };
    if let Ok(typed) = &typed {
        *error_fd = typed.results.error_fd;
    }
    Ok((typed, command))
}

/// What `--error-fd` says among options that clap refuses.
fn last_error_fd(options: &[Cow<'_, CStr>]) -> Option<RawFd> {
    let mut values = options.iter().enumerate().filter_map(|(at, option)| {
        match option.to_bytes().strip_prefix(b"--error-fd")? {
            b"" => Some(options.get(at + 1)?.to_bytes()),
            rest => rest.strip_prefix(b"="),
        }
    });
    let fd = std::str::from_utf8(values.next_back()?)
        .ok()?
        .parse()
        .ok()?;
    (i64::from(fd) >= LEAST_ERROR_FD).then_some(fd)
}

/// Where the options end and where COMMAND begins: at the first argument that is neither an option
/// nor an option's value, or after `--`.
fn end_of_options(definition: &clap::Command, args: &[Cow<'_, CStr>]) -> (usize, usize) {
    // How many arguments behind it are an option's values.
    let values = |matches: &dyn Fn(&clap::Arg) -> bool| {
        let takes = |arg: &&clap::Arg| {
            arg.get_action().takes_values() && !arg.is_require_equals_set() && matches(arg)
        };
        let arg = definition.get_arguments().find(takes);
        arg.map_or(0, |arg| {
            arg.get_num_args().map_or(1, |range| range.max_values())
        })
    };
    let mut at = 1;
    while let Some(arg) = args.get(at) {
        let arg = arg.to_bytes();
        let values_follow = match arg {
            b"--" => return (at, at + 1),
            b"-" => return (at, at),
            [b'-', b'-', long @ ..] => {
                values(&|arg| arg.get_long().is_some_and(|name| name.as_bytes() == long))
            }
            [b'-', shorts @ ..] => {
                // Of a cluster, the first option that takes a value takes what is left of it, or
                // the next argument.
                let is = |short: u8| values(&|arg| arg.get_short() == Some(short.into())) > 0;
                let with_value = shorts.iter().position(|short| is(*short));
                usize::from(with_value.is_some_and(|at| at + 1 == shorts.len()))
            }
            _ => return (at, at),
        };
        at += 1 + values_follow;
    }
    (args.len(), args.len())
}

/// clap on the options alone. The inner `Err` is the text that `--help` or `--version` asks for.
fn parse_options(
    mut definition: clap::Command,
    args: &[Cow<'_, CStr>],
) -> Result<Result<Args, String>, Failure> {
    let mut clap = |args: &mut dyn Iterator<Item = OsString>| -> Result<Args, clap::Error> {
        definition
            .try_get_matches_from_mut(args)
            .and_then(|matches| Args::from_arg_matches(&matches))
    };
    // clap compares what it does not know with every name that there is.
    if let Some(name) = args.iter().find_map(|arg| long_name(arg.to_bytes())) {
        let name = shown(OsStr::from_bytes(name));
        return Err(usage(format!("unexpected argument {name} found")));
    }
    let args: Vec<&OsStr> = args
        .iter()
        .map(|arg| OsStr::from_bytes(arg.to_bytes()))
        .collect();
    if let Ok(typed) = clap(&mut args.iter().map(|arg| (*arg).to_owned())) {
        return Ok(Ok(typed));
    }
    // Once more for the message, which quotes arguments: line breaks in one must not break it.
    let Err(error) = clap(
        &mut args
            .iter()
            .map(|arg| printable(&arg.to_string_lossy()).into()),
    ) else {
        return Err(usage("invalid UTF-8 was detected in one or more arguments"));
    };
    let text = error.render().to_string();
    if matches!(
        error.kind(),
        clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion
    ) {
        return Ok(Err(text));
    }
    // "error: WHAT" and perhaps "  tip: ADVICE" or "  [possible values: ...]", among usage that
    // does not fit one line.
    let mut lines = text.lines();
    let message = lines
        .next()
        .unwrap_or_default()
        .trim_start_matches("error: ")
        .to_owned();
    let advice = lines
        .map(str::trim)
        .find(|line| line.starts_with("tip: ") || line.starts_with("[possible values"));
    let usage = usage(message);
    let is_unknown = error.kind() == clap::error::ErrorKind::UnknownArgument;
    let better = is_unknown.then(|| meant(&definition, &args)).flatten();
    Err(match (better, advice) {
        (Some(hint), _) => usage.hint(hint),
        (None, Some(advice)) => {
            usage.hint(advice.trim_start_matches("tip: ").trim_matches(['[', ']']))
        }
        (None, None) => usage,
    })
}

/// What was meant by the one of `args` that is no option.
fn meant(definition: &clap::Command, args: &[&OsStr]) -> Option<String> {
    let is_long = |name: &str| {
        let name = name.split('=').next().unwrap_or_default();
        name.len() > 1
            && definition
                .get_arguments()
                .any(|arg| arg.get_long() == Some(name))
    };
    let explains = args
        .iter()
        .any(|arg| arg.as_bytes().starts_with(b"--explain"));
    args.iter().skip(1).filter_map(|arg| arg.to_str()).find_map(|arg| {
        Some(match arg.strip_prefix('-')? {
            number if explains && number.starts_with(|c: char| c.is_ascii_digit()) => {
                format!("a number below zero comes after '--': --explain CALL -- {arg}")
            }
            name if !name.starts_with('-') && is_long(name) => {
                format!("the long names of options begin with two dashes: -{arg}")
            }
            "r" | "U" | "-map-root-user" => {
                "zroot makes its caller root by itself: leave it out".into()
            }
            "u" | "-user" => {
                "it is root that zroot stands for; a program that changes to another user does that inside: zroot -c full su USER -c COMMAND".into()
            }
            _ => return None,
        })
    })
}

/// The name of the option `arg`, if that is longer than any option's.
fn long_name(arg: &[u8]) -> Option<&[u8]> {
    const LONGEST: usize = 64;
    let name = arg.split(|byte| *byte == b'=').next()?;
    (name.starts_with(b"--") && name.len() > LONGEST).then_some(name)
}

/// `text` with its control characters escaped.
fn printable(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        if c.is_control() {
            out.extend(c.escape_debug());
        } else {
            out.push(c);
        }
        out
    })
}

fn parse_format(name: &str) -> Result<Format, String> {
    let names = || Format::ALL.map(Format::name).join(" ");
    Format::ALL
        .into_iter()
        .find(|format| format.name() == name)
        .ok_or_else(|| format!("the formats are {}", names()))
}

fn parse_arch(name: &str) -> Result<Arch, String> {
    let names = || Abi::ALL.map(Abi::name).join(" ");
    match Abi::ALL.into_iter().find(|abi| abi.name() == name) {
        Some(abi) => Ok(Arch::Of(abi)),
        None if name == Arch::ALL_NAME => Ok(Arch::All),
        None => Err(format!("the ABIs are {}, and {}", names(), Arch::ALL_NAME)),
    }
}

/// Reads `SRC[:DST[:ro]]`. Without DST, SRC's own absolute path.
fn parse_bind(text: OsString) -> Result<Bind, String> {
    let text = text.into_vec();
    let mut parts = text.split(|byte| *byte == b':');
    let mut path = || {
        parts
            .next()
            .map(|part| PathBuf::from(OsStr::from_bytes(part)))
    };
    let (source, target) = (path().unwrap_or_default(), path());
    let read_only = match (parts.next(), parts.next()) {
        (None, _) => false,
        (Some(b"ro"), None) => true,
        _ => {
            return Err(
                "after SRC:DST only ':ro' may follow, and neither may contain a colon".into(),
            );
        }
    };
    if source.as_os_str().is_empty() {
        return Err("SRC is empty".into());
    }
    let target = match target {
        None => std::path::absolute(&source).map_err(|error| error.to_string())?,
        Some(target) => target,
    };
    if !target.is_absolute() {
        return Err("DST must be absolute".into());
    }
    Ok(Bind {
        source,
        target,
        read_only,
    })
}

fn parse_absolute(text: OsString) -> Result<PathBuf, &'static str> {
    let path = PathBuf::from(text);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err("DIR must be absolute")
    }
}

fn parse_classes(name: &str) -> Result<ClassSet, String> {
    if name == "all" {
        return Ok(ClassSet::ALL);
    }
    let has_call = |class: &Class| {
        let mut rules = Level::ALL.into_iter().flat_map(|level| class.rules(level));
        rules.any(|rule| rule.call.name() == name)
    };
    match name.parse() {
        Ok(class) => Ok(ClassSet::EMPTY.with(class)),
        Err(UnknownClass) => Err(match Class::ALL.into_iter().find(has_call) {
            Some(class) => format!("it is a call of class {class}, which is switched as a whole"),
            None => UnknownClass.to_string(),
        }),
    }
}
