//! zroot's way from argv to execve, and the only file of the executable that prints an error or
//! picks an exit status.
//!
//! There is no Rust `fn main`: the standard library's start-up sets SIGPIPE to ignored, which would
//! survive execve and change the command (library/std/src/sys/pal/unix/mod.rs, `reset_sigpipe`).

#![no_main]

mod arena;

use std::ffi::CStr;
use std::fmt;
use std::fs::File;
use std::io::{Write, stderr, stdout};
use std::os::fd::RawFd;
use std::slice;

use anyhow::Context;
use libc::{c_char, c_int};

use arena::Arena;
use zroot::internals::arch::Abi;
use zroot::internals::check::{self, Form};
use zroot::internals::cli::{self, Arch, Plan, Request, Show, Userns};
use zroot::internals::error::{FAILED, FAKEROOT_FAILED, Failure};
use zroot::internals::filter::{Level, dump, explain};
use zroot::internals::hint;
use zroot::internals::host::Facts;
use zroot::internals::launch::{self, Environment, Error};
use zroot::internals::script::Script;
use zroot::internals::sys::file::{close_on_exec, duplicate};

// A dynamic zroot does not run in a root directory that has another libc. `cargo install` from a
// registry or git reads no configuration of this checkout, and shows no warning of it.
#[cfg(not(any(target_feature = "crt-static", debug_assertions, clippy, zroot_dynamic)))]
compile_error!(
    "this zroot would be linked dynamically. For a static one: RUSTFLAGS='-C target-feature=+crt-static' cargo install zroot --target TRIPLE, with the 'host' of 'rustc -vV' as TRIPLE. For a dynamic one, RUSTFLAGS='--cfg zroot_dynamic'"
);

#[global_allocator]
static MEMORY: Arena = Arena::new();

/// What the kernel starts zroot with.
struct Start {
    args: Vec<&'static CStr>,
    environment: Environment<'static>,
    /// `AT_SECURE`: the executable is installed setuid, setgid or with capabilities.
    secure: bool,
    /// What may have started zroot by its `#!` line.
    script: Option<Script<'static>>,
}

/// The C library's entry point.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn main(
    _argc: c_int,
    argv: *const *const c_char,
    envp: *const *const c_char,
) -> c_int {
    let strings = |array: *const *const c_char| -> Vec<&'static CStr> {
        // SAFETY: the kernel lays out argv and envp as arrays of C strings that a null pointer ends
        // (fs/binfmt_elf.c, create_elf_tables), and they stay in place until execve; nothing here
        // writes to them.
        unsafe {
            let mut len = 0;
            while !(*array.add(len)).is_null() {
                len += 1;
            }
            slice::from_raw_parts(array, len)
                .iter()
                .map(|entry| CStr::from_ptr(*entry))
                .collect()
        }
    };
    // SAFETY: getauxval(3) only reads the auxiliary vector.
    let auxiliary = |kind| unsafe { libc::getauxval(kind) };
    let args = strings(argv);
    let start = Start {
        script: script(&args),
        args,
        environment: Environment::new(strings(envp), auxiliary(libc::AT_EUID) == 0),
        secure: auxiliary(libc::AT_SECURE) != 0,
    };
    let mut error_fd = None;
    match run(&start, &mut error_fd) {
        Ok(status) => status.into(),
        Err(error) => report(error, start.script.as_ref(), error_fd).into(),
    }
}

/// The script that may have started zroot: its name has a slash wherever a shell has looked for it.
#[inline]
fn script(args: &[&'static CStr]) -> Option<Script<'static>> {
    let mut names = args.iter().skip(1).take(2);
    names
        .any(|arg| arg.to_bytes().contains(&b'/'))
        .then(|| executed().and_then(|executed| Script::of(args, executed)))
        .flatten()
}

/// `AT_EXECFN`.
#[allow(unsafe_code)]
#[inline(never)]
fn executed() -> Option<&'static CStr> {
    // SAFETY: it is the address of a C string that the kernel has put on the stack
    // (fs/binfmt_elf.c, create_elf_tables), or 0; nothing here writes to it.
    unsafe {
        let executed = libc::getauxval(libc::AT_EXECFN) as *const c_char;
        (!executed.is_null()).then(|| CStr::from_ptr(executed))
    }
}

/// Reads the command line and does what it asks for. Returns if nothing was to be run, if zroot has
/// waited for the command, or with an error, which is to be said on `error_fd` if that is set.
fn run(start: &Start, error_fd: &mut Option<RawFd>) -> Result<u8, Error> {
    if start.secure {
        return Err(Failure::new(
            "refusing to run setuid, setgid or with file capabilities: zroot works without privileges and must not be given any",
        )
        .into());
    }
    let variable = |name: &str| start.environment.variable(name);
    let request = cli::parse(&start.args, variable, error_fd)?;
    if let Some(fd) = *error_fd {
        close_on_exec(fd)
            .map_err(|errno| Failure::errno(format_args!("--error-fd: descriptor {fd}"), errno))?;
    }
    match request {
        Request::Print(text) => print(text.as_bytes()),
        Request::Usage(text) => {
            complain(format_args!("{text}"));
            Ok(FAKEROOT_FAILED)
        }
        Request::Show(show) => print(&shown(&show)?),
        Request::Check(form, plan) => check(form, &plan),
        Request::Run(plan) => {
            if let (Some(script), Some(command)) = (&start.script, plan.command.first()) {
                script.check(command)?;
            }
            for note in &plan.notes {
                complain(format_args!("{note}"));
            }
            let say = |step: fmt::Arguments| {
                if plan.verbose {
                    complain(format_args!("zroot: {step}"));
                }
            };
            let warn = |warning: fmt::Arguments| {
                if !plan.quiet {
                    complain(format_args!("zroot: warning: {warning}"));
                }
            };
            let ended = launch::run(&plan, &start.environment, &say, &warn)?;
            // The command has begun, and so the descriptor is closed.
            let script = start.script.as_ref();
            Ok(ended.unwrap_or_else(|failure| report(failure.into(), script, None)))
        }
    }
}

/// What `--dump-filter` and `--explain` print.
#[inline(never)]
fn shown(show: &Show) -> Result<Vec<u8>, Failure> {
    match show {
        Show::Filter {
            format,
            arch,
            policy,
        } => {
            let dumped = match arch {
                Arch::All => dump::dump(*format, &Abi::ALL, *policy)?,
                Arch::Of(abi) => dump::dump(*format, &[*abi], *policy)?,
            };
            for note in dumped.notes {
                complain(format_args!("zroot: {note}"));
            }
            Ok(dumped.contents)
        }
        Show::Answer {
            call,
            args,
            arch,
            policy,
        } => {
            let kernel = match arch {
                Arch::All => None,
                Arch::Of(abi) => Some(*abi),
            };
            explain::explain(call, *args, kernel, *policy).map(String::into_bytes)
        }
    }
}

/// Says what this host lets zroot do. The exit status says whether the default level works.
#[inline(never)]
fn check(form: Form, plan: &Plan) -> Result<u8, Error> {
    let check = check::run(
        Level::ALL.map(|level| plan.policy(level)),
        plan.userns == Userns::Auto,
        plan.chdir(),
    );
    let text = match form {
        Form::Text => check.text(),
        Form::Json => check.json(),
    };
    print(text.as_bytes())?;
    Ok(if check.level_works(Level::Zero) {
        0
    } else {
        FAILED
    })
}

fn print(contents: &[u8]) -> Result<u8, Error> {
    let mut stdout = stdout();
    // Nothing but this would write what follows the last line break: there is no Rust `fn main`.
    stdout
        .write_all(contents)
        .and_then(|()| stdout.flush())
        .context("cannot write to standard output")?;
    Ok(0)
}

/// Prints what went wrong and returns the exit status. It goes to the descriptor `to`; to standard
/// error if there is none, or it cannot be written to.
#[inline(never)]
fn report(error: Error, script: Option<&Script>, to: Option<RawFd>) -> u8 {
    let of_script = match error {
        Error::Failure(_) => script.and_then(Script::hint),
        _ => None,
    };
    let mut failure = hint::advised(error, Facts::read);
    failure.hint = of_script.or(failure.hint);
    let lines = failure.lines();
    let to = to.and_then(|fd| duplicate(fd).ok()).map(File::from);
    if to.is_none_or(|mut to| to.write_all(lines.as_bytes()).is_err()) {
        let _ = stderr().write_all(lines.as_bytes());
    }
    failure.status
}

/// A line on standard error. `eprintln` would panic where nothing can be written, on a full disk
/// for one, and take the exit status with it.
fn complain(line: fmt::Arguments<'_>) {
    let _ = writeln!(stderr(), "{line}");
}
