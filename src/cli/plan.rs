//! Args (what was typed) -> [`Plan`] (what will be done), and what makes no sense together.

use std::borrow::Cow;
use std::ffi::CStr;
use std::io::{IsTerminal, stdin};

use super::args::{Args, usage};
use crate::error::Failure;
use crate::filter::policy::{Class, ClassSet, Level};
use crate::launch::plan::{Consistency, Output, Plan, Userns};

/// The plan for `command` under the options `typed`. Without a command, on a terminal, it is
/// `$SHELL`.
pub(super) fn plan<'a>(
    typed: Args,
    mut command: Vec<Cow<'a, CStr>>,
    variable: impl Fn(&str) -> Option<&'a CStr>,
) -> Result<Box<Plan<'a>>, Failure> {
    if typed.split_string.is_some() {
        return Err(usage("-S must be the first argument"));
    }
    if typed.root.is_none() && !typed.bind.is_empty() {
        return Err(usage("--bind needs --root"));
    }
    if typed.arch.is_some() {
        return Err(usage("--arch needs --dump-filter or --explain"));
    }
    if typed.owners.is_some() && typed.root.is_none() {
        return Err(usage("--owners needs --root"));
    }
    let consistency = consistency(&typed)?;
    let (fake, no_fake) = classes(&typed)?;
    if typed.check.is_some() {
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
    Ok(Box::new(Plan {
        command,
        chdir: typed.chdir,
        root: typed.root,
        binds: typed.bind,
        userns: typed.userns,
        if_needed: typed.if_needed,
        allow_new_privs: typed.allow_new_privs,
        consistency,
        load: typed.load,
        save: typed.save,
        owners: typed.owners,
        fake,
        no_fake,
        summary: typed.summary.map(Output::new),
        trace: typed.trace.map(Output::new),
        fail_on: union(&typed.fail_on),
        apt_config: !typed.no_apt_config,
        quiet: typed.quiet,
        verbose: typed.verbose,
        ..Plan::default()
    }))
}

/// How far the pretence goes. What is loaded or saved is known at level full alone.
fn consistency(typed: &Args) -> Result<Option<Consistency>, Failure> {
    let option = match (&typed.load, &typed.save, &typed.owners) {
        (Some(_), ..) => "--load",
        (None, Some(_), _) => "--save",
        (None, None, Some(_)) => "--owners",
        (None, None, None) => return Ok(typed.consistency),
    };
    match typed.consistency {
        None | Some(Consistency::Full | Consistency::Auto) => Ok(Some(Consistency::Full)),
        Some(Consistency::Zero | Consistency::Selective) => {
            let failure = usage(format!("{option}: only level full remembers owners"));
            Err(failure.hint("leave --consistency out, or say full"))
        }
    }
}

/// The classes to add to the level's own, and to remove from them.
#[inline]
pub(super) fn classes(typed: &Args) -> Result<(ClassSet, ClassSet), Failure> {
    let level = Consistency::first_level(consistency(typed)?);
    // 'all' means what there is at the level; a name that is not there is a mistake.
    let is_mistake = |named: &&ClassSet| {
        **named != ClassSet::ALL && named.minus(level.classes()) != ClassSet::EMPTY
    };
    if let Some(class) = typed.fake.iter().find(is_mistake) {
        let who = if level.has_supervisor() {
            "a supervisor that forgets"
        } else {
            "the filter alone"
        };
        let failure = Failure::new(format!("--fake={class}: {who} cannot tell whose a file is"));
        let has = |level: &Level| class.minus(level.classes()) == ClassSet::EMPTY;
        let needed = Level::ALL.into_iter().find(has).unwrap_or(Level::Full);
        let hint = format!("it needs --consistency={needed}, where it is on by default");
        return Err(failure.hint(hint));
    }
    let mut fake = union(&typed.fake);
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

fn union(sets: &[ClassSet]) -> ClassSet {
    sets.iter().copied().fold(ClassSet::EMPTY, ClassSet::union)
}
