//! zroot's way from argv to execve, and the only file that prints an error or picks an exit status.
//!
//! There is no Rust `fn main`: the standard library's start-up sets SIGPIPE to ignored, which would
//! survive execve and change the command (library/std/src/sys/pal/unix/mod.rs, `reset_sigpipe`).

#![no_main]

mod arena;

use std::borrow::Cow;
use std::ffi::{CStr, CString, OsStr};
use std::fmt;
use std::fs::File;
use std::io::{Write, stderr, stdout};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::slice;

use anyhow::{Context, bail};
use libc::{c_char, c_int};
use nix::errno::Errno;
use nix::sys::prctl::set_no_new_privs;
use nix::sys::stat::stat;
use nix::unistd::chdir;

use arena::Arena;
use zroot::VERSION;
use zroot::internals::arch::Abi;
use zroot::internals::check::Form;
use zroot::internals::cli::{Arch, Consistency, Output, Plan, Request, Userns};
use zroot::internals::error::{FAILED, Failure, PRETENDED, shown};
use zroot::internals::filter::dump;
use zroot::internals::filter::explain;
use zroot::internals::filter::install::{self, InstallError};
use zroot::internals::filter::{ClassSet, Level, Policy};
use zroot::internals::host::{self, Facts};
use zroot::internals::launch::wait::{self, End};
use zroot::internals::launch::{apt, exec};
use zroot::internals::namespace::Entered;
use zroot::internals::namespace::cleanup::Guard;
use zroot::internals::namespace::root::Root;
use zroot::internals::supervisor::handshake::{self, Enclosing};
use zroot::internals::supervisor::report::seen::Seen;
use zroot::internals::supervisor::report::{Sink, Watchers};
use zroot::internals::supervisor::{self, Unavailable};
use zroot::internals::{check, cli, filter, hint, namespace};

#[global_allocator]
static MEMORY: Arena = Arena::new();

/// What the kernel starts zroot with.
struct Start {
    args: Vec<&'static CStr>,
    /// `NAME=value` each.
    env: Vec<&'static CStr>,
    /// `AT_SECURE`: the executable is installed setuid, setgid or with capabilities.
    secure: bool,
}

impl Start {
    fn variable(&self, name: &str) -> Option<&'static CStr> {
        self.env.iter().find_map(|entry| {
            entry
                .to_bytes()
                .strip_prefix(name.as_bytes())?
                .strip_prefix(b"=")?;
            Some(&entry[name.len() + 1..])
        })
    }
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
    let start = Start {
        args: strings(argv),
        env: strings(envp),
        // SAFETY: getauxval(3) only reads the auxiliary vector.
        secure: unsafe { libc::getauxval(libc::AT_SECURE) } != 0,
    };
    match run(&start) {
        Ok(status) => status.into(),
        Err(error) => report(&error).into(),
    }
}

/// Reads the command line and does what it asks for; comes back from what prints something and runs
/// nothing, from `--fail-on`, or with an error.
fn run(start: &Start) -> anyhow::Result<u8> {
    if start.secure {
        bail!(
            "refusing to run setuid, setgid or with file capabilities: zroot works without privileges and must not be given any"
        );
    }
    match cli::parse(&start.args, |name| start.variable(name))? {
        Request::Print(text) => print(text.as_bytes()),
        Request::Dump {
            format,
            arch,
            policy,
        } => {
            let dumped = match arch {
                Arch::All => dump::dump(format, &Abi::ALL, policy)?,
                Arch::Of(abi) => dump::dump(format, &[abi], policy)?,
            };
            for note in dumped.notes {
                complain(format_args!("zroot: {note}"));
            }
            print(&dumped.contents)
        }
        Request::Explain {
            call,
            args,
            arch,
            policy,
        } => {
            let kernel = if let Arch::Of(abi) = arch {
                Some(abi)
            } else {
                None
            };
            print(explain::explain(&call, args, kernel, policy)?.as_bytes())
        }
        Request::Check(form, plan) => check(form, &plan),
        Request::Run(plan) => become_command(&plan, start),
    }
}

/// Says what this host lets zroot do. The exit status says whether the default level works.
#[inline(never)]
fn check(form: Form, plan: &Plan) -> anyhow::Result<u8> {
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

fn print(contents: &[u8]) -> anyhow::Result<u8> {
    let mut stdout = stdout();
    // Nothing but this would write what follows the last line break: there is no Rust `fn main`.
    stdout
        .write_all(contents)
        .and_then(|()| stdout.flush())
        .map(|()| 0)
        .context("cannot write to standard output")
}

/// The whole of it: what can fail because of bad input first, then the namespace, the filter, the
/// probe, and execve.
fn become_command(plan: &Plan, start: &Start) -> anyhow::Result<u8> {
    let say = |step: fmt::Arguments| {
        if plan.verbose {
            complain(format_args!("zroot: {step}"));
        }
    };
    let needed = !(plan.if_needed && host::is_real_root());
    // Before -C, which does not mean them; opened once it is certain that there is a command.
    let [trace, summary] =
        [&plan.trace, &plan.summary].map(|output| output.as_ref().map(Output::absolute));
    let mut root = plan
        .root
        .as_deref()
        .map(|dir| Root::open(dir, &plan.binds))
        .transpose()?;
    match &root {
        None if plan.chdir.is_none() => {}
        None => enter_dir(plan, chdir)?,
        Some(root) => enter_dir(plan, |dir| root.has_dir(dir))?,
    }
    let args: Vec<&CStr> = plan.command.iter().map(AsRef::as_ref).collect();
    let mut env: Vec<Cow<CStr>> = Vec::with_capacity(start.env.len() + 2); // ZROOT and APT_CONFIG
    env.extend(start.env.iter().map(|entry| Cow::Borrowed(*entry)));
    let candidates = exec::find(
        args[0],
        start.variable("PATH").map(CStr::to_bytes),
        |path| match &root {
            None => stat(path),
            Some(root) => root.stat(&plan.chdir().join(OsStr::from_bytes(path.to_bytes()))),
        },
    )
    .map_err(|failure| match &plan.root {
        Some(dir) if failure.hint.is_none() => failure.hint(format!(
            "it is looked for inside the root directory {}",
            shown(dir)
        )),
        _ => failure,
    })?;
    let [trace, summary] = [trace.map(sink).transpose()?, summary.map(sink).transpose()?];
    let seen = (plan.fail_on != ClassSet::EMPTY)
        .then(Seen::new)
        .transpose();
    let seen = seen.map_err(|errno| Failure::errno("no memory to share", errno))?;
    let inherited = start.variable(apt::VARIABLE);
    let wants_apt_config = plan.apt_config && needed;
    let mut apt_config = if wants_apt_config {
        apt::config_in_memory(inherited)?
    } else {
        None
    };
    let guard = match &mut root {
        Some(root) => Guard::start(root.furnish(say)?)
            .map_err(|errno| Failure::errno("cannot start the process that tidies up", errno))?,
        None => None,
    };

    match plan.userns {
        _ if !needed => say(format_args!(
            "not needed: already root over more than one id"
        )),
        Userns::Never => say(format_args!("no user namespace")),
        Userns::Auto => match namespace::become_root()? {
            Entered::Namespace(uid, gid) => say(format_args!(
                "user namespace: uid {uid} and gid {gid} are 0"
            )),
            Entered::AlreadyRoot(errno) => {
                say(format_args!(
                    "already uid 0, and no user namespace is to be had ({}): filter alone",
                    errno.desc()
                ));
            }
        },
    }
    if let Some(root) = root {
        root.enter(guard.as_ref())?;
        enter_dir(plan, chdir)?;
        say(format_args!(
            "root directory: {}",
            plan.root.as_deref().unwrap_or(Path::new("/")).display()
        ));
    }
    if !needed {
        return Err(exec::become_command(&candidates, &args, &env).into());
    }

    if wants_apt_config && apt_config.is_none() {
        apt_config = apt::config_in_scratch(inherited).unwrap_or_else(|error| {
            say(format_args!(
                "no {}: there is no /proc, and no private file in its place ({error})",
                apt::VARIABLE
            ));
            None
        });
    }
    set(&mut env, "ZROOT", VERSION.as_bytes())?;
    if let Some(path) = apt_config {
        say(format_args!(
            "{}={}",
            apt::VARIABLE,
            Path::new(OsStr::from_bytes(path.to_bytes())).display()
        ));
        set(&mut env, apt::VARIABLE, path.as_bytes())?;
    }
    if !plan.allow_new_privs {
        set_no_new_privs().map_err(|errno| Failure::errno("cannot set no_new_privs", errno))?;
    }
    // A zroot further out may have a supervisor, and sets this.
    let asks = match plan.consistency {
        _ if plan.is_watched() => true,
        Some(consistency) => consistency != Consistency::Zero,
        None => start.variable("ZROOT").is_some(),
    };
    let outer = if asks { handshake::ask() } else { None };
    if let Some(seen) = &seen {
        if let Some(end) = wait::wait_for_child()
            .map_err(|errno| Failure::errno("cannot start a process", errno))?
        {
            return Ok(verdict(end, plan.fail_on, seen.classes())?);
        }
    }
    emulate(
        plan,
        outer,
        Watchers {
            trace,
            summary,
            seen,
        },
        say,
    )?;
    Err(exec::become_command(&candidates, &args, &env).into())
}

/// Does `enter` with the directory where the command starts.
#[inline(never)]
fn enter_dir(plan: &Plan, enter: impl Fn(&Path) -> nix::Result<()>) -> Result<(), Failure> {
    let dir = plan.chdir();
    enter(dir)
        .map_err(|errno| Failure::errno(format_args!("cannot change to {}", shown(dir)), errno))
}

/// The classes that are the same at every level: a filter alone does for them.
const FILTER_ONLY: ClassSet = ClassSet::ALL.minus(Level::Selective.default_classes());

/// Turns the emulation on, at the level that was asked for, and proves that it answers. A
/// supervisor around us goes on to answer what it does, because there can be no second one.
#[inline(never)]
fn emulate(
    plan: &Plan,
    outer: Option<Enclosing>,
    watchers: Watchers,
    say: impl Fn(fmt::Arguments),
) -> anyhow::Result<()> {
    if let Some(Enclosing::Supervisor(outer)) = outer {
        if plan.is_watched() {
            return Err(Failure::new(
                "--summary and --trace: a zroot around this one has a supervisor already",
            )
            .hint("ask that one")
            .into());
        }
        say(format_args!(
            "the supervisor of the zroot around this one answers at level {outer}"
        ));
        let more = plan.policy(Level::Zero).classes.minus(outer.classes);
        let unanswered = plan
            .policy(Level::Selective)
            .classes
            .minus(outer.classes)
            .minus(FILTER_ONLY);
        let is_strict = plan.consistency == Some(Consistency::Selective);
        if is_strict && outer.level == Level::Zero {
            return Err(Unavailable::Enclosed.into());
        }
        if is_strict && unanswered != ClassSet::EMPTY {
            let failure = Failure::new(format!(
                "the supervisor of the zroot around this one does not answer {unanswered}"
            ));
            return Err(failure
                .hint("give the outer zroot no --no-fake for them, or this one")
                .into());
        }
        if more != ClassSet::EMPTY {
            filter::install(
                &filter::program(Policy {
                    classes: more,
                    ..Policy::DEFAULT
                })
                .context("cannot build the filter")?,
            )?;
            say(format_args!("filter: fakes {more}"));
        }
        return Ok(());
    }
    if plan.level() != Level::Zero || plan.is_watched() {
        let policy = plan.policy(plan.level());
        // What a filter around us pretends, ours is never asked about.
        let attached = if outer == Some(Enclosing::Filter) {
            Err(Unavailable::Enclosed.into())
        } else {
            supervisor::attach(policy, watchers)
        };
        match attached {
            Ok(()) => {
                say(format_args!("supervisor: level {policy}"));
                return Ok(());
            }
            Err(error)
                if plan.consistency == Some(Consistency::Auto)
                    && !plan.is_watched()
                    && can_go_on(&error) =>
            {
                say(format_args!("level zero: {error:#}"));
            }
            Err(error) => return Err(error),
        }
    }
    let policy = plan.policy(Level::Zero);
    let program = filter::program(policy).context("cannot build the filter")?;
    filter::install(&program)?;
    install::probe()?;
    say(format_args!(
        "filter: {} instructions, fakes {}, answers",
        program.len(),
        policy.classes
    ));
    Ok(())
}

/// What zroot ends with where it has stayed beside the command: as the command did, unless it has
/// `seen` what is `forbidden`.
fn verdict(end: End, forbidden: ClassSet, seen: ClassSet) -> Result<u8, Failure> {
    let found = forbidden.minus(ClassSet::ALL.minus(seen));
    if found == ClassSet::EMPTY {
        return Ok(end.repeat());
    }
    let failure = Failure {
        status: PRETENDED,
        ..Failure::new(format!(
            "calls were pretended that --fail-on forbids: {found}"
        ))
    };
    Err(failure.hint("--summary says which"))
}

/// Opens what reports go to.
#[inline(never)]
fn sink(output: Output) -> Result<Sink, Failure> {
    let failed = |name: &str, error: &std::io::Error| {
        Failure::new(format!("cannot write to {name}: {}", cause(error)))
    };
    match output {
        Output::Stderr => {
            let output = stderr()
                .as_fd()
                .try_clone_to_owned()
                .map_err(|error| failed("standard error", &error))?;
            Ok(Sink {
                output: output.into(),
                is_json: false,
            })
        }
        Output::File(path) => {
            let output = File::create(&path).map_err(|error| failed(&shown(&path), &error))?;
            Ok(Sink {
                output,
                is_json: path
                    .extension()
                    .is_some_and(|extension| extension == "json"),
            })
        }
    }
}

/// An error without Rust's number behind it.
fn cause(error: &std::io::Error) -> String {
    error.raw_os_error().map_or_else(
        || error.to_string(),
        |number| Errno::from_raw(number).desc().into(),
    )
}

/// Whether nothing has been changed by the failed attempt to have a supervisor.
fn can_go_on(error: &anyhow::Error) -> bool {
    error.is::<Unavailable>() || matches!(error.downcast_ref(), Some(InstallError::Refused(_)))
}

/// Sets the variable `name` in `env`, in place of any value it has.
fn set(env: &mut Vec<Cow<CStr>>, name: &str, value: &[u8]) -> anyhow::Result<()> {
    let prefix = [name.as_bytes(), b"="].concat();
    env.retain(|entry| !entry.to_bytes().starts_with(&prefix));
    env.push(CString::new([&prefix, value].concat())?.into());
    Ok(())
}

/// Prints what went wrong and returns the exit status.
#[inline(never)]
fn report(error: &anyhow::Error) -> u8 {
    let advice = hint::for_error(error, Facts::read);
    let status = error
        .downcast_ref::<Failure>()
        .map_or(FAILED, |failure| failure.status);
    complain(format_args!("zroot: {error:#}"));
    if let Some(advice) = advice {
        complain(format_args!("hint: {advice}"));
    }
    status
}

/// A line on standard error. `eprintln` would panic where nothing can be written, on a full disk
/// for one, and take the exit status with it.
fn complain(line: fmt::Arguments<'_>) {
    let _ = writeln!(stderr(), "{line}");
}
