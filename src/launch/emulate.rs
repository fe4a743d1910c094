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
use crate::supervisor::{self, Unavailable, Waiting};

/// An emulation that is not on yet. What has to be there before is.
pub enum Underway {
    /// An enclosing zroot's supervisor answers already, but for what this says.
    Enclosing(Option<Policy>),
    /// A filter alone is to answer.
    Filter(Policy),
    /// A supervisor waits.
    Supervisor {
        /// What it is to answer.
        policy: Policy,
        /// It itself.
        waiting: Waiting,
        /// The levels that will do as well.
        otherwise: &'static [Level],
    },
}

/// Begins `emulation`, decided for `plan`: starts its supervisor, if it has one, that reports to
/// the watchers and goes on with what is remembered. `say` hears what else it is to be.
///
/// # Errors
/// [`Error`] if it cannot be had.
#[inline]
pub fn begin(
    emulation: Emulation,
    plan: &Plan,
    watchers: &mut Watchers,
    remembered: Option<Remembered>,
    say: &dyn Fn(fmt::Arguments),
) -> Result<Underway, Error> {
    match emulation {
        Emulation::Enclosing { beside } => Ok(Underway::Enclosing(beside)),
        Emulation::Filter { policy, instead_of } => {
            if let Some(reason) = instead_of {
                say(format_args!("level zero: {reason}"));
            }
            Ok(Underway::Filter(policy))
        }
        Emulation::Supervisor { policy, otherwise } => {
            start(policy, otherwise, plan, watchers, remembered, say)
        }
    }
}

impl Underway {
    /// Turns it on, and proves that it answers. `say` hears what it is.
    ///
    /// # Errors
    /// [`Error`] if it is not on, or does not answer.
    #[inline]
    pub fn turn_on(
        self,
        plan: &Plan,
        watchers: &mut Watchers,
        remembered: Option<Remembered>,
        say: &dyn Fn(fmt::Arguments),
    ) -> Result<(), Error> {
        let mut underway = self;
        loop {
            let (error, otherwise) = match underway {
                Underway::Enclosing(beside) => {
                    if let Some(policy) = beside {
                        beside_supervisor(policy)?;
                        say(format_args!("filter: fakes {}", policy.classes));
                    }
                    return Ok(());
                }
                Underway::Filter(policy) => {
                    let length = by_filter(policy)?;
                    say(format_args!(
                        "filter: {length} instructions, fakes {}, answers",
                        policy.classes
                    ));
                    return Ok(());
                }
                Underway::Supervisor {
                    policy,
                    waiting,
                    otherwise,
                } => match by_waiting(policy, waiting) {
                    Ok(()) => {
                        say(format_args!("supervisor: level {policy}"));
                        return Ok(());
                    }
                    Err(error) => (error, otherwise),
                },
            };
            underway = less(error, otherwise, plan, watchers, remembered, say)?;
        }
    }
}

/// Starts the supervisor that `policy` asks for, or begins with one of the levels `otherwise`.
#[inline(never)]
fn start(
    policy: Policy,
    otherwise: &'static [Level],
    plan: &Plan,
    watchers: &mut Watchers,
    remembered: Option<Remembered>,
    say: &dyn Fn(fmt::Arguments),
) -> Result<Underway, Error> {
    match supervisor::start(policy, plan.fakeroot, watchers, remembered) {
        Ok(waiting) => Ok(Underway::Supervisor {
            policy,
            waiting,
            otherwise,
        }),
        Err(error) => less(error.into(), otherwise, plan, watchers, remembered, say),
    }
}

/// Begins with the first of the levels `otherwise` in the place of what has failed with `error`.
#[inline(never)]
fn less(
    error: Error,
    otherwise: &'static [Level],
    plan: &Plan,
    watchers: &mut Watchers,
    remembered: Option<Remembered>,
    say: &dyn Fn(fmt::Arguments),
) -> Result<Underway, Error> {
    // Who watches has a supervisor at every level, and one that has been started has taken the
    // watchers with it.
    let are_lost = plan.is_watched() && !watchers.are_there();
    match otherwise.split_first() {
        Some((level, otherwise)) if can_go_on(&error) && !are_lost => {
            say(format_args!("level {level}: {error}"));
            let policy = plan.policy(*level);
            if level.has_supervisor() {
                start(policy, otherwise, plan, watchers, remembered, say)
            } else {
                Ok(Underway::Filter(policy))
            }
        }
        _ => Err(error),
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
    by_waiting(
        policy,
        supervisor::start(policy, fakeroot, watchers, remembered)?,
    )
}

/// The same with a supervisor that waits.
fn by_waiting(policy: Policy, supervisor: Waiting) -> Result<(), Error> {
    let program = filter::program(policy).context("cannot build the filter")?;
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
