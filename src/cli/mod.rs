//! The command line: Args (what was typed, clap's definition) -> [`Plan`] (what will be done), or
//! another [`Request`].

use std::borrow::Cow;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io::{IsTerminal, stdin, stdout};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum};

use crate::arch::Abi;
use crate::check::Form;
use crate::error::{Failure, shown};
use crate::filter::dump::Format;
use crate::filter::explain::MOST_ARGUMENTS;
use crate::filter::policy::{Class, ClassSet, Level, Policy, UnknownClass};
use crate::namespace::root::Bind;

/// Whether to enter a user namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Userns {
    /// Enter one; as uid 0 where the kernel refuses, go on without
    #[default]
    Auto,
    /// Enter none; the filter answers getuid and its like with 0
    Never,
}

/// How far the pretence is to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Consistency {
    /// The filter alone: pretended calls do nothing, and nothing is remembered
    Zero,
    /// A supervisor answers calls whose blind success breaks programs: really where the kernel
    /// permits, else pretended
    Selective,
    /// Selective where this host can have it, else zero
    Auto,
}

const AFTER_HELP: &str = "\
Options end at the first argument that is not one. Without COMMAND, on a terminal, $SHELL is started.

Classes on by default: owner identity capability device probe; with --consistency=selective also getid xattr foreign.
Others: sync inode-flags host limits mount.

Exit status: 124 --fail-on; 125 zroot failed; 126 COMMAND cannot be run; 127 COMMAND not found; else COMMAND's own. See zroot(1).";

/// What was typed.
#[derive(Parser, Default, Debug)]
#[command(
    name = "zroot",
    version,
    about = "Run COMMAND as apparent root, without privileges",
    override_usage = "zroot [OPTIONS] [--] COMMAND [ARG...]",
    after_help = AFTER_HELP,
    args_override_self = true
)]
pub struct Args {
    /// Change to DIR first
    #[arg(short = 'C', long, value_name = "DIR")]
    chdir: Option<PathBuf>,

    /// Make DIR the root directory, with the host's /proc, /sys and /dev
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,

    /// Mount the host's SRC at DST inside the root directory
    #[arg(long, value_name = "SRC[:DST[:ro]]", value_parser = OsStringValueParser::new().try_map(parse_bind))]
    bind: Vec<Bind>,

    /// Whether to enter a user namespace
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    userns: Userns,

    /// How far the pretence goes
    #[arg(short = 'c', long, value_name = "LEVEL", value_enum)]
    consistency: Option<Consistency>,

    /// Run COMMAND plainly if already root over more than one id
    #[arg(long)]
    if_needed: bool,

    /// Leave no_new_privs off
    #[arg(long)]
    allow_new_privs: bool,

    /// Also pretend the calls of these classes, or 'all'
    #[arg(long, value_name = "CLASS,...", value_delimiter = ',', value_parser = parse_classes)]
    fake: Vec<ClassSet>,

    /// Do not pretend the calls of these classes, or 'all' but the probe; beats --fake
    #[arg(long, value_name = "CLASS,...", value_delimiter = ',', value_parser = parse_classes)]
    no_fake: Vec<ClassSet>,

    /// Pretend to write to disk: the same as --fake=sync
    #[arg(long)]
    no_sync: bool,

    /// Do not set APT_CONFIG
    #[arg(long)]
    no_apt_config: bool,

    /// Print the filter, as asm, raw, c or oci, and run nothing
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "asm", value_parser = parse_format)]
    dump_filter: Option<Format>,

    /// Say what the call CALL is answered with the arguments that follow, and run nothing
    #[arg(long, value_name = "CALL")]
    explain: Option<OsString>,

    /// For --dump-filter and --explain: on a kernel of ABI, or 'all'
    #[arg(long, value_name = "ABI", value_parser = parse_arch)]
    arch: Option<Arch>,

    /// Split STRING into arguments, as env(1) does; only as the first argument, for #! lines
    #[arg(short = 'S', long, value_name = "STRING")]
    split_string: Option<OsString>,

    /// At the end, say on standard error (or write to FILE) what was pretended; as JSON if FILE
    /// ends in .json
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    summary: Option<OsString>,

    /// A line for each pretended call, on standard error or in FILE; as JSON if FILE ends in .json
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    trace: Option<OsString>,

    /// End with status 124 if a call of these classes was pretended, or of 'all'; zroot waits for
    /// COMMAND then
    #[arg(long, value_name = "CLASS,...", value_delimiter = ',', value_parser = parse_classes)]
    fail_on: Vec<ClassSet>,

    /// Say what this host lets zroot do, and what to change; run no COMMAND
    #[arg(long, value_name = "FORM", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    check: Option<Form>,

    /// Say each step on standard error
    #[arg(short, long)]
    verbose: bool,
}

/// Where a report goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Standard error.
    Stderr,
    /// A file of this name.
    File(PathBuf),
}

impl Output {
    fn new(name: OsString) -> Output {
        if name.is_empty() {
            Output::Stderr
        } else {
            Output::File(name.into())
        }
    }

    /// The same wherever the working directory is.
    #[must_use]
    pub fn absolute(&self) -> Output {
        match self {
            Output::File(path) => {
                Output::File(std::path::absolute(path).unwrap_or_else(|_| path.clone()))
            }
            Output::Stderr => Output::Stderr,
        }
    }
}

/// What will be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan<'a> {
    /// The command and its arguments; empty only with `--check`.
    pub command: Vec<Cow<'a, CStr>>,
    /// Where to change to first, inside the root directory.
    pub chdir: Option<PathBuf>,
    /// The root directory.
    pub root: Option<PathBuf>,
    /// What to mount inside it.
    pub binds: Vec<Bind>,
    /// Whether to enter a user namespace.
    pub userns: Userns,
    /// Whether to run the command plainly for real root.
    pub if_needed: bool,
    /// Whether to leave `no_new_privs` off.
    pub allow_new_privs: bool,
    /// How far the pretence goes, if that was said.
    pub consistency: Option<Consistency>,
    /// The classes to add to a level's default.
    pub fake: ClassSet,
    /// The classes to remove from that. Never has the probe.
    pub no_fake: ClassSet,
    /// Where to say what was pretended.
    pub summary: Option<Output>,
    /// Where to say each pretended call.
    pub trace: Option<Output>,
    /// The classes of which no call may have been pretended.
    pub fail_on: ClassSet,
    /// Whether to export `APT_CONFIG`.
    pub apt_config: bool,
    /// Whether to say each step.
    pub verbose: bool,
}

impl Plan<'_> {
    /// Where the command starts: what `-C` says, else `/` in a root directory and the present
    /// directory outside.
    #[must_use]
    pub fn chdir(&self) -> &Path {
        self.chdir
            .as_deref()
            .unwrap_or(Path::new(if self.root.is_some() { "/" } else { "." }))
    }

    /// Whether somebody wants to see each call.
    #[must_use]
    pub const fn is_watched(&self) -> bool {
        self.summary.is_some() || self.trace.is_some() || self.fail_on.bits() != 0
    }

    /// The level that is wanted; with [`Consistency::Auto`] zero will do as well.
    #[must_use]
    pub const fn level(&self) -> Level {
        match self.consistency {
            None | Some(Consistency::Zero) => Level::Zero,
            Some(Consistency::Selective | Consistency::Auto) => Level::Selective,
        }
    }

    /// What the filter answers at `level`.
    #[must_use]
    #[inline]
    pub const fn policy(&self, level: Level) -> Policy {
        Policy {
            is_watched: self.is_watched(),
            ..policy(level, self.fake, self.no_fake)
        }
    }
}

/// `level` with the classes `fake` added and then `no_fake` removed. Classes that the level has no
/// rules for are left out.
const fn policy(level: Level, fake: ClassSet, no_fake: ClassSet) -> Policy {
    let absent = ClassSet::ALL.minus(level.classes());
    Policy {
        level,
        classes: level
            .default_classes()
            .union(fake)
            .minus(no_fake)
            .minus(absent),
        is_watched: false,
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

/// What the command line asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request<'a> {
    /// To run a command.
    Run(Plan<'a>),
    /// To say what this host lets zroot do. The plan has no command.
    Check(Form, Plan<'a>),
    /// To print this, for `--help` and `--version`.
    Print(String),
    /// To print the filter.
    Dump {
        /// In which form.
        format: Format,
        /// For which kernels.
        arch: Arch,
        /// What it answers.
        policy: Policy,
    },
    /// To say what the filter answers to a call.
    Explain {
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

/// A command line that makes no sense.
fn usage(message: impl Into<String>) -> Failure {
    Failure::new(message).hint("try 'zroot --help'")
}

/// clap's definition of the command line, for documents and their tests.
#[must_use]
pub fn definition() -> clap::Command {
    Args::command()
}

/// Reads the command line `args`, whose first element is zroot's own name. `variable` looks up an
/// environment variable.
///
/// # Errors
/// [`Failure`].
pub fn parse<'a>(
    args: &[&'a CStr],
    variable: impl Fn(&str) -> Option<&'a CStr>,
) -> Result<Request<'a>, Failure> {
    let args: Vec<Cow<'a, CStr>> = match split_string_argument(args)? {
        Some((verbose, string, rest)) => {
            let words = split_string(string, &variable)?.into_iter().map(Cow::Owned);
            let verbose = verbose.then_some(Cow::Borrowed(c"-v"));
            args[..1]
                .iter()
                .map(|arg| Cow::Borrowed(*arg))
                .chain(verbose)
                .chain(words)
                .chain(rest.iter().map(|arg| Cow::Borrowed(*arg)))
                .collect()
        }
        None => args.iter().map(|arg| Cow::Borrowed(*arg)).collect(),
    };
    // The plain case does without clap: its definition alone costs more time than the whole filter.
    let first = args.get(1).map_or(&b""[..], |arg| arg.to_bytes());
    let (typed, command) = if args.len() > 1 && !first.starts_with(b"-") {
        (Args::default(), 1)
    } else {
        match options(&args)? {
            (Ok(typed), command) => (typed, command),
            (Err(text), _) => return Ok(Request::Print(text)),
        }
    };
    let command = args.get(command..).unwrap_or_default();
    if typed.dump_filter.is_some() || typed.explain.is_some() {
        return show(&typed, command);
    }
    let check = typed.check;
    let plan = plan(typed, command.to_vec(), variable)?;
    Ok(match check {
        Some(form) => Request::Check(form, plan),
        None => Request::Run(plan),
    })
}

/// The options of `args`, or the text that they ask for, and where COMMAND begins.
#[inline(never)] // for a small stack where it is not called
fn options(args: &[Cow<'_, CStr>]) -> Result<(Result<Args, String>, usize), Failure> {
    let definition = definition();
    let (options, command) = end_of_options(&definition, args);
    let typed = if options == 1 {
        Ok(Args::default())
    } else {
        parse_options(definition, &args[..options])?
    };
    Ok((typed, command))
}

/// Where the options end and where COMMAND begins: at the first argument that is neither an option
/// nor an option's value, or after `--`.
fn end_of_options(definition: &clap::Command, args: &[Cow<'_, CStr>]) -> (usize, usize) {
    let takes_value = |matches: &dyn Fn(&clap::Arg) -> bool| {
        definition.get_arguments().any(|arg| {
            arg.get_action().takes_values() && !arg.is_require_equals_set() && matches(arg)
        })
    };
    let mut at = 1;
    while let Some(arg) = args.get(at) {
        let arg = arg.to_bytes();
        let value_follows = match arg {
            b"--" => return (at, at + 1),
            b"-" => return (at, at),
            [b'-', b'-', long @ ..] => {
                takes_value(&|arg| arg.get_long().is_some_and(|name| name.as_bytes() == long))
            }
            [b'-', shorts @ ..] => {
                // Of a cluster, the first option that takes a value takes what is left of it, or
                // the next argument.
                let is = |short: u8| takes_value(&|arg| arg.get_short() == Some(short.into()));
                shorts
                    .iter()
                    .position(|short| is(*short))
                    .is_some_and(|with_value| with_value + 1 == shorts.len())
            }
            _ => return (at, at),
        };
        at += if value_follows { 2 } else { 1 };
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
    let mut args = args.iter().map(|arg| OsStr::from_bytes(arg.to_bytes()));
    if let Ok(typed) = clap(&mut args.clone().map(OsStr::to_owned)) {
        return Ok(Ok(typed));
    }
    // Once more for the message, which quotes arguments: line breaks in one must not break it.
    let Err(error) = clap(
        &mut args
            .by_ref()
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
    Err(match advice {
        Some(advice) => usage.hint(advice.trim_start_matches("tip: ").trim_matches(['[', ']'])),
        None => usage,
    })
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

fn plan<'a>(
    typed: Args,
    mut command: Vec<Cow<'a, CStr>>,
    variable: impl Fn(&str) -> Option<&'a CStr>,
) -> Result<Plan<'a>, Failure> {
    if typed.split_string.is_some() {
        return Err(usage("-S must be the first argument"));
    }
    if typed.root.is_none() && !typed.bind.is_empty() {
        return Err(usage("--bind needs --root"));
    }
    if typed.arch.is_some() {
        return Err(usage("--arch needs --dump-filter or --explain"));
    }
    let (fake, no_fake) = classes(&typed)?;
    if typed.check.is_some() {
        if !command.is_empty() {
            return Err(usage("--check runs no command"));
        }
    } else if command.is_empty() {
        if !stdin().is_terminal() {
            let failure = Failure::new("no command given, and standard input is not a terminal");
            return Err(
                failure.hint("usage: zroot [OPTIONS] [--] COMMAND [ARG...]; try 'zroot --help'")
            );
        }
        let shell = variable("SHELL")
            .filter(|shell| !shell.is_empty())
            .unwrap_or(c"/bin/sh");
        command.push(Cow::Borrowed(shell));
    }
    Ok(Plan {
        command,
        chdir: typed.chdir,
        root: typed.root,
        binds: typed.bind,
        userns: typed.userns,
        if_needed: typed.if_needed,
        allow_new_privs: typed.allow_new_privs,
        consistency: typed.consistency,
        fake,
        no_fake,
        summary: typed.summary.map(Output::new),
        trace: typed.trace.map(Output::new),
        fail_on: typed
            .fail_on
            .iter()
            .copied()
            .fold(ClassSet::EMPTY, ClassSet::union),
        apt_config: !typed.no_apt_config,
        verbose: typed.verbose,
    })
}

/// The classes to add and to remove.
#[inline]
fn classes(typed: &Args) -> Result<(ClassSet, ClassSet), Failure> {
    // By its name: 'all' means what there is at the level.
    let at_zero = matches!(typed.consistency, None | Some(Consistency::Zero));
    if at_zero && typed.fake.contains(&ClassSet::EMPTY.with(Class::Foreign)) {
        let failure = Failure::new("--fake=foreign: the filter alone cannot tell whose a file is");
        return Err(failure.hint("it needs --consistency=selective, where it is on by default"));
    }
    let mut fake = typed
        .fake
        .iter()
        .copied()
        .fold(ClassSet::EMPTY, ClassSet::union);
    if typed.no_sync {
        fake = fake.with(Class::Sync);
    }
    if typed.userns == Userns::Never {
        fake = fake.with(Class::Getid);
    }
    let mut no_fake = ClassSet::EMPTY;
    for removed in &typed.no_fake {
        if removed.contains(Class::Probe) && *removed != ClassSet::ALL {
            let failure = Failure::new("--no-fake=probe: the self-test cannot be left out");
            return Err(failure.hint("without it zroot could not tell whether the emulation is on"));
        }
        no_fake = no_fake.union(*removed).without(Class::Probe);
    }
    Ok((fake, no_fake))
}

/// What `--dump-filter` and `--explain` ask for: nothing is run, so that most other options make no
/// difference. `rest` is what follows the options.
fn show<'a>(typed: &Args, rest: &[Cow<'a, CStr>]) -> Result<Request<'a>, Failure> {
    let (fake, no_fake) = classes(typed)?;
    let level = match typed.consistency {
        None | Some(Consistency::Zero) => Level::Zero,
        Some(Consistency::Selective) => Level::Selective,
        Some(Consistency::Auto) => {
            let failure =
                Failure::new("--consistency=auto: only a run shows which level the host can have");
            return Err(failure.hint("name one: -c zero or -c selective"));
        }
    };
    let policy = policy(level, fake, no_fake);
    let arch = typed.arch.unwrap_or(Arch::Of(Abi::NATIVE));
    let Some(format) = typed.dump_filter else {
        let call = typed
            .explain
            .as_deref()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        return Ok(Request::Explain {
            call,
            args: arguments(rest)?,
            arch,
            policy,
        });
    };
    if typed.explain.is_some() {
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
    Ok(Request::Dump {
        format,
        arch,
        policy,
    })
}

/// The arguments of a call: numbers, and words for what is not known.
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

fn parse_classes(name: &str) -> Result<ClassSet, UnknownClass> {
    if name == "all" {
        Ok(ClassSet::ALL)
    } else {
        name.parse().map(|class| ClassSet::EMPTY.with(class))
    }
}

/// Whether `-v` stands before `-S`, the string to split, and the arguments after it.
type Split<'s, 'a> = (bool, &'a CStr, &'s [&'a CStr]);

/// Finds `-S STRING`, `-SSTRING`, `-vS STRING`, `--split-string=STRING` or `--split-string STRING`
/// where a `#!` line puts it: first.
fn split_string_argument<'s, 'a>(args: &'s [&'a CStr]) -> Result<Option<Split<'s, 'a>>, Failure> {
    let Some(first) = args.get(1) else {
        return Ok(None);
    };
    let (verbose, attached) = match first.to_bytes() {
        [b'-', b'S', ..] => (false, 2),
        [b'-', b'v', b'S', ..] => (true, 3),
        bytes if bytes.starts_with(b"--split-string=") => (false, b"--split-string=".len()),
        b"--split-string" => (false, b"--split-string".len()),
        _ => return Ok(None),
    };
    // What follows a prefix of a C string is a C string.
    let attached =
        CStr::from_bytes_with_nul(&first.to_bytes_with_nul()[attached..]).unwrap_or_default();
    if !attached.is_empty() || first.to_bytes().ends_with(b"=") {
        return Ok(Some((verbose, attached, &args[2..])));
    }
    match args.get(2) {
        Some(string) => Ok(Some((verbose, string, &args[3..]))),
        None => Err(usage("-S needs a string to split")),
    }
}

/// Splits `string` into arguments by env(1)'s rules for `-S`: blanks separate; single and double
/// quotes; `#` starts a comment at the start of an argument; `${NAME}` is replaced outside single
/// quotes; backslash escapes.
fn split_string<'a>(
    string: &CStr,
    variable: impl Fn(&str) -> Option<&'a CStr>,
) -> Result<Vec<CString>, Failure> {
    let shown = shown(OsStr::from_bytes(string.to_bytes()));
    let error = |what: &str| {
        Failure::new(format!("-S: {what} in {shown}")).hint("the rules are env(1)'s for -S")
    };
    let mut words: Vec<Vec<u8>> = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = string.to_bytes().iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, quote) {
            (b'\'' | b'"', None) => {
                quote = Some(byte);
                word.get_or_insert_default();
            }
            (_, Some(open)) if byte == open => quote = None,
            (b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r', None) => words.extend(word.take()),
            (b'#', None) if word.is_none() => break,
            (b'\\', Some(b'\'')) => {
                // Between single quotes only \\ and \' are escapes.
                let escaped = bytes.next_if(|next| matches!(next, b'\\' | b'\''));
                word.get_or_insert_default().push(escaped.unwrap_or(b'\\'));
            }
            (b'\\', _) => {
                let escaped = match bytes
                    .next()
                    .ok_or_else(|| error("a backslash at the end"))?
                {
                    b'c' if quote.is_some() => return Err(error("\\c inside double quotes")),
                    b'c' => break,
                    b'_' if quote.is_none() => {
                        words.extend(word.take());
                        continue;
                    }
                    b'_' => b' ',
                    b'f' => 0x0c,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'v' => 0x0b,
                    escaped @ (b'#' | b'$' | b'"' | b'\'' | b'\\') => escaped,
                    _ => return Err(error("an unknown escape")),
                };
                word.get_or_insert_default().push(escaped);
            }
            (b'$', None | Some(b'"')) => {
                let mut name = Vec::new();
                let closed = bytes.next() == Some(b'{') && {
                    name.extend(std::iter::from_fn(|| {
                        bytes.next_if(|next| next.is_ascii_alphanumeric() || *next == b'_')
                    }));
                    bytes.next() == Some(b'}')
                };
                if !closed || name.is_empty() || name[0].is_ascii_digit() {
                    return Err(error("a $ that does not begin ${NAME}"));
                }
                let value = std::str::from_utf8(&name).ok().and_then(&variable);
                if let Some(value) = value {
                    word.get_or_insert_default()
                        .extend_from_slice(value.to_bytes());
                }
            }
            _ => word.get_or_insert_default().push(byte),
        }
    }
    if quote.is_some() {
        return Err(error("a quote without its end"));
    }
    words.extend(word);
    words
        .into_iter()
        .map(|word| CString::new(word).map_err(|_| error("a NUL")))
        .collect()
}
