//! Turns the emulation on, and proves that it answers.

use std::fmt;

use anyhow::Context;

use super::error::Error;
use super::nested::Emulation;
use super::plan::Plan;
use crate::error::Failure;
use crate::filter::install::{self, InstallError};
use crate::filter::policy::Level;
use crate::filter::{self, Policy};
use crate::supervisor::handshake;
use crate::supervisor::memory::remembered::Remembered;
use crate::supervisor::report::Watchers;
use crate::supervisor::session::Fakeroot;
use crate::supervisor::{self, Unavailable};

/// Turns `emulation`, decided for `plan`, on, with a supervisor that reports to the watchers and
/// goes on with what is remembered. `say` hears what it is.
///
/// # Errors
/// [`Error`] if it is not on, or does not answer.
#[inline(never)]
pub fn turn_on(
    emulation: Emulation,
    plan: &Plan,
    wanted: (Watchers, Option<Remembered>),
    say: &dyn Fn(fmt::Arguments),
) -> Result<(), Error> {
    let policy = match emulation {
        Emulation::Enclosing { beside } => {
            if let Some(policy) = beside {
                beside_supervisor(policy)?;
                say(format_args!("filter: fakes {}", policy.classes));
            }
            return Ok(());
        }
        Emulation::Supervisor { policy, otherwise } => {
            match best_supervisor(policy, otherwise, plan, wanted, say)? {
                Some(policy) => policy,
                None => return Ok(()),
            }
        }
        Emulation::Filter { policy, instead_of } => {
            if let Some(reason) = instead_of {
                say(format_args!("level zero: {reason}"));
            }
            policy
        }
    };
    let length = by_filter(policy)?;
    say(format_args!(
        "filter: {length} instructions, fakes {}, answers",
        policy.classes
    ));
    Ok(())
}

/// Has the supervisor that `policy` asks for, or one of the levels `otherwise`. Returns what a
/// filter alone is to answer, if that is what there is left.
#[inline(never)]
fn best_supervisor(
    policy: Policy,
    otherwise: &[Level],
    plan: &Plan,
    (mut watchers, remembered): (Watchers, Option<Remembered>),
    say: &dyn Fn(fmt::Arguments),
) -> Result<Option<Policy>, Error> {
    let mut policy = policy;
    let mut next = otherwise.iter();
    // Who watches has a supervisor at every level.
    let is_watched = watchers.are_there();
    loop {
        let error = match by_supervisor(policy, plan.fakeroot, &mut watchers, remembered) {
            Ok(()) => {
                say(format_args!("supervisor: level {policy}"));
                return Ok(None);
            }
            Err(error) => error,
        };
        // A supervisor that has been started has taken them with it.
        let are_lost = is_watched && !watchers.are_there();
        let Some(level) = next.next().filter(|_| can_go_on(&error) && !are_lost) else {
            return Err(error);
        };
        say(format_args!("level {level}: {error}"));
        policy = plan.policy(*level);
        if !level.has_supervisor() {
            return Ok(Some(policy));
        }
    }
}

/// Whether a filter alone can still be had after the failed attempt to have a supervisor.
fn can_go_on(error: &Error) -> bool {
    matches!(
        error,
        Error::Supervisor(_) | Error::Filter(InstallError::Refused(_))
    )
}

/// Installs the filter for `policy`, and proves that it answers. Returns how long it is. Needs
/// `no_new_privs` or `CAP_SYS_ADMIN` in the user namespace.
///
/// # Errors
/// [`Error::Filter`].
#[inline]
pub fn by_filter(policy: Policy) -> Result<usize, Error> {
    let length = beside_supervisor(policy)?;
    install::probe()?;
    Ok(length)
}

/// The same where an enclosing zroot's supervisor has proved already that it answers, and answers
/// the probe, too.
///
/// # Errors
/// [`Error::Filter`].
#[inline]
pub fn beside_supervisor(policy: Policy) -> Result<usize, Error> {
    let program = filter::program(policy).context("cannot build the filter")?;
    filter::install(&program)?;
    Ok(program.len())
}

/// Starts a supervisor, perhaps in the place of `fakeroot`, that reports to `watchers`, installs
/// the filter that hands calls on to it, and proves that both answer. Needs `no_new_privs` or
/// `CAP_SYS_ADMIN` in the user namespace.
///
/// # Errors
/// [`Error::Supervisor`], or [`Error::Filter`] that says that it is refused: no filter is on,
/// unless it is [`Unavailable::Values`]; `watchers` are taken only where one was started. Another
/// [`Error`]: the filter is on, and may not be
/// answered.
pub fn by_supervisor(
    policy: Policy,
    fakeroot: Option<Fakeroot>,
    watchers: &mut Watchers,
    remembered: Option<Remembered>,
) -> Result<(), Error> {
    let program = filter::program(policy).context("cannot build the filter")?;
    let supervisor = supervisor::start(policy, fakeroot, watchers, remembered)?;
    let listener = install::install_with_listener(&program)?;
    supervisor
        .serve(listener)
        .map_err(|errno| Failure::errno("the supervisor is gone", errno))?;
    let values_arrive = handshake::prove(policy).map_err(InstallError::NoAnswer)?;
    // At level zero all answers are 0.
    if values_arrive || !policy.level.has_supervisor() {
        Ok(())
    } else {
        Err(Unavailable::Values.into())
    }
}
