//! Args (what was typed) -> [`Plan`] (what will be done), and what makes no sense together.

use std::borrow::Cow;
use std::ffi::{CStr, OsString};
use std::io::{IsTerminal, stdin};
use std::os::unix::ffi::OsStrExt;

use super::args::{Apart, Args, usage};
use crate::error::{Failure, shown};
use crate::filter::policy::{Class, ClassSet, Level};
use crate::launch::plan::{Consistency, Output, Plan, Userns};
use crate::namespace::root::{Dev, Inside};

/// The plan for `command` under the options `typed`. Without a command, on a terminal, it is
/// `$SHELL`.
pub(super) fn plan<'a>(
    typed: Args,
    mut command: Vec<Cow<'a, CStr>>,
    variable: impl Fn(&str) -> Option<&'a CStr>,
) -> Result<Box<Plan<'a>>, Failure> {
    let around = &typed.around;
    if typed.results.split_string.is_some() {
        return Err(usage("-S must be the first argument"));
    }
    if around.root.is_none() && !around.bind.is_empty() {
        return Err(usage("--bind needs --root"));
    }
    if around.root.is_none() && !around.tmpfs.is_empty() {
        return Err(usage("--tmpfs needs --root"));
    }
    if around.root.is_none() && around.dev != Dev::Host {
        return Err(usage("--dev=private needs --root"));
    }
    if typed.results.arch.is_some() {
        return Err(usage("--arch needs --dump-filter or --explain"));
    }
    if typed.pretence.owners.is_some() && around.root.is_none() {
        return Err(usage("--owners needs --root"));
    }
    let consistency = consistency(&typed)?;
    let (fake, no_fake) = classes(&typed)?;
    if typed.results.check.is_some() {
        if let Some(first) = command.first() {
            let failure = usage("--check runs no command");
            return Err(match first.to_bytes() {
                b"text" | b"json" => {
                    let form = first.to_string_lossy();
                    failure.hint(format!("a form is joined to it: --check={form}"))
                }
                _ => failure,
            });
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
    let Args {
        around: Apart(around),
        pretence: Apart(pretence),
        results: Apart(results),
    } = typed;
    Ok(Box::new(Plan {
        command,
        chdir: around.chdir,
        root: around.root,
        inside: Inside {
            dev: around.dev,
            tmpfs: around.tmpfs,
            binds: around.bind,
        },
        pid: around.pid,
        unsetenv: around.unsetenv,
        setenv: if around.setenv.is_empty() {
            Vec::new()
        } else {
            pairs(around.setenv)?
        },
        userns: pretence.userns,
        if_needed: pretence.if_needed,
        allow_new_privs: pretence.allow_new_privs,
        consistency,
        load: results.load,
        save: results.save,
        owners: pretence.owners,
        fake,
        no_fake,
        summary: results.summary.map(Output::new),
        trace: results.trace.map(Output::new),
        fail_on: union(&results.fail_on),
        apt_config: !pretence.no_apt_config,
        quiet: results.quiet,
        verbose: results.verbose,
        ..Plan::default()
    }))
}

/// The values of `--setenv`: of two each time.
#[inline(never)]
fn pairs(values: Vec<OsString>) -> Result<Vec<(OsString, OsString)>, Failure> {
    let mut values = values.into_iter();
    let mut pairs = Vec::new();
    while let (Some(name), Some(value)) = (values.next(), values.next()) {
        if name.is_empty() || name.as_bytes().contains(&b'=') {
            let failure = usage(format!(
                "--setenv: {} is no name of a variable",
                shown(&name)
            ));
            return Err(failure.hint("say --setenv VAR VALUE"));
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

/// How far the pretence goes. What is loaded or saved is known at level full alone.
fn consistency(typed: &Args) -> Result<Option<Consistency>, Failure> {
    let option = match (
        &typed.results.load,
        &typed.results.save,
        &typed.pretence.owners,
    ) {
        (Some(_), ..) => "--load",
        (None, Some(_), _) => "--save",
        (None, None, Some(_)) => "--owners",
        (None, None, None) => return Ok(typed.pretence.consistency),
    };
    let full = Consistency::that_remembers(typed.pretence.consistency).ok_or_else(|| {
        let failure = usage(format!("{option}: only level full remembers owners"));
        failure.hint("leave --consistency out, or say full")
    })?;
    Ok(Some(full))
}

/// The classes to add to the level's own, and to remove from them.
#[inline]
pub(super) fn classes(typed: &Args) -> Result<(ClassSet, ClassSet), Failure> {
    let level = Consistency::first_level(consistency(typed)?);
    // 'all' means what there is at the level; a name that is not there is a mistake.
    let is_mistake = |named: &&ClassSet| {
        **named != ClassSet::ALL && named.minus(level.classes()) != ClassSet::EMPTY
    };
    if let Some(class) = typed.pretence.fake.iter().find(is_mistake) {
        let who = if level.has_supervisor() {
            "a supervisor that forgets"
        } else {
            "the filter alone"
        };
        let failure = Failure::new(format!("--fake={class}: {who} cannot tell whose a file is"));
        let needed = Level::that_has(*class);
        let hint = format!("it needs --consistency={needed}, where it is on by default");
        return Err(failure.hint(hint));
    }
    let mut fake = union(&typed.pretence.fake);
    if typed.pretence.no_sync {
        fake = fake.with(Class::Sync);
    }
    if typed.pretence.userns == Userns::Never {
        fake = fake.with(Class::Getid);
    }
    let mut no_fake = ClassSet::EMPTY;
    for removed in &typed.pretence.no_fake {
        if removed.contains(Class::Probe) && *removed != ClassSet::ALL {
            let failure = Failure::new("--no-fake=probe: the self-test cannot be left out");
            return Err(failure.hint("without it zroot could not tell whether the emulation is on"));
        }
        no_fake = no_fake.union(*removed).without(Class::Probe);
    }
    Ok((fake, no_fake))
}

fn union(sets: &[ClassSet]) -> ClassSet {
    sets.iter().copied().fold(ClassSet::EMPTY, ClassSet::union)
}
