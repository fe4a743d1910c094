//! [`Filter`]: level and classes -> a program for whoever installs it.

use super::error::Error;
use crate::arch::Abi;
use crate::error::Failure;
use crate::filter::asm::sock_filter;
use crate::filter::build;
use crate::filter::policy::{Class, ClassSet, Level};
use crate::launch::plan;

/// zroot's seccomp filter, for a program that installs it itself.
///
/// With it privileged calls succeed, and nothing else: a user namespace is not part of it. Who has
/// none wants [`Class::Getid`] as well, by which a process sees itself as root.
///
/// The filter of [`Level::Selective`] and [`Level::Full`] asks a supervisor, by
/// `SECCOMP_RET_USER_NOTIF`. Its installer has to be that supervisor: without a listener these
/// calls fail with `ENOSYS`. zroot's own supervisor comes with [`Command`](super::Command) alone.
///
/// # Examples
///
/// ```
/// use zroot::{Abi, Class, Filter, Level};
///
/// # fn main() -> Result<(), zroot::Error> {
/// let program = Filter::new(Level::Zero)
///     .without(Class::Device)
///     .build(Abi::NATIVE)?;
/// assert!(program.len() <= 4096); // BPF_MAXINSNS
/// // Here, or in the child that becomes the command:
/// // seccompiler::apply_filter(&program)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use = "it is built by `build`"]
pub struct Filter {
    level: Level,
    with: ClassSet,
    without: ClassSet,
}

impl Filter {
    /// The filter of `level`, with the classes that are on there by default.
    pub fn new(level: Level) -> Filter {
        Filter {
            level,
            with: ClassSet::EMPTY,
            without: ClassSet::EMPTY,
        }
    }

    /// Also answers the calls of `class`.
    pub fn with(self, class: Class) -> Filter {
        Filter {
            with: self.with.with(class),
            ..self
        }
    }

    /// Does not answer the calls of `class`. Beats [`with`](Filter::with).
    pub fn without(self, class: Class) -> Filter {
        Filter {
            without: self.without.with(class),
            ..self
        }
    }

    /// The program for a kernel that executes programs of `kernel`: it answers for all ABIs of that
    /// kernel. Its numbers are in this machine's byte order.
    ///
    /// # Errors
    /// [`Error`] if the level has no calls of a class that was added, if [`Class::Probe`] was left
    /// out, or if the program would be too long for the kernel.
    pub fn build(&self, kernel: Abi) -> Result<Vec<sock_filter>, Error> {
        check(self.level, self.with, self.without)?;
        let policy = plan::policy(self.level, self.with, self.without);
        build(kernel.family(), policy)
            .map_err(|error| Failure::new(format!("cannot build the filter: {error}")).into())
    }
}

/// Whether `level` can be had with the classes `with` and without those of `without`.
pub(super) fn check(level: Level, with: ClassSet, without: ClassSet) -> Result<(), Failure> {
    let absent = with.minus(level.classes());
    if absent != ClassSet::EMPTY {
        let failure = Failure::new(format!("level {level} has no calls of class {absent}"));
        return Err(failure.hint(format!("level {} has", Level::that_has(absent))));
    }
    if without.contains(Class::Probe) {
        let failure = Failure::new("class probe cannot be left out");
        return Err(failure.hint("by it one can tell whether the filter answers"));
    }
    Ok(())
}
