//! The command line: argv -> [`Request`].

mod args;
mod fakeroot;
mod plan;
mod show;
mod split_string;

use std::borrow::Cow;
use std::ffi::CStr;
use std::os::fd::RawFd;

pub use args::{Arch, definition};
pub use show::Show;

use crate::check::Form;
use crate::error::Failure;
pub use crate::launch::plan::{Consistency, Output, Plan, Userns};
use args::Args;
use fakeroot::Asked;

/// What the command line asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request<'a> {
    /// To run a command.
    Run(Box<Plan<'a>>),
    /// To say what this host lets zroot do. The plan has no command.
    Check(Form, Box<Plan<'a>>),
    /// To print this, for `--help` and `--version`.
    Print(String),
    /// To say how it is used on standard error, as `fakeroot` does where it is not understood.
    Usage(String),
    /// To print something about the filter.
    Show(Show),
}

/// Reads the command line `args`, whose first element is zroot's own name. `variable` looks up an
/// environment variable. `error_fd` becomes the descriptor that is to be told of errors, of those
/// that this returns among them.
///
/// # Errors
/// [`Failure`].
pub fn parse<'a>(
    args: &[&'a CStr],
    variable: impl Fn(&str) -> Option<&'a CStr>,
    error_fd: &mut Option<RawFd>,
) -> Result<Request<'a>, Failure> {
    if args.first().is_some_and(|name| fakeroot::is_name(name)) {
        return Ok(match fakeroot::parse(args, variable) {
            Asked::Run(plan) => Request::Run(plan),
            Asked::Version(text) => Request::Print(text),
            Asked::Usage(text) => Request::Usage(text),
        });
    }
    let args: Vec<Cow<'a, CStr>> = match split_string::argument(args)? {
        Some((verbose, string, rest)) => {
            let words = split_string::split(string, &variable)?;
            let verbose = verbose.then_some(Cow::Borrowed(c"-v"));
            args[..1]
                .iter()
                .map(|arg| Cow::Borrowed(*arg))
                .chain(verbose)
                .chain(words.into_iter().map(Cow::Owned))
                .chain(rest.iter().map(|arg| Cow::Borrowed(*arg)))
                .collect()
        }
        None => args.iter().map(|arg| Cow::Borrowed(*arg)).collect(),
    };
    // Without options clap is not needed: its definition alone costs more time than the filter.
    let first = args.get(1).map_or(&b""[..], |arg| arg.to_bytes());
    let (typed, command) = if args.len() > 1 && !first.starts_with(b"-") {
        (Args::default(), 1)
    } else {
        match args::options(&args, error_fd)? {
            (Ok(typed), command) => (typed, command),
            (Err(text), _) => return Ok(Request::Print(text)),
        }
    };
    let command = args.get(command..).unwrap_or_default();
    if typed.results.dump_filter.is_some() || typed.results.explain.is_some() {
        return show::show(&typed, command).map(Request::Show);
    }
    let check = typed.results.check;
    let plan = plan::plan(typed, command.to_vec(), variable)?;
    Ok(match check {
        Some(form) => Request::Check(form, plan),
        None => Request::Run(plan),
    })
}
