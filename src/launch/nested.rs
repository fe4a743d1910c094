//! How the command is emulated, given what encloses this zroot: a filter that pretends, a tracer,
//! or another zroot's supervisor. Pure.
//!
//! The command never runs with less than was asked for. Of two filters the inner one is not asked
//! about what the outer one pretends, and a process can have one supervisor only. So an enclosing
//! zroot gives the answers, and this one must refuse where they are not what was asked for.

use super::error::Error;
use super::plan::{Consistency, Plan};
use crate::error::Failure;
use crate::filter::policy::{ClassSet, Level, Policy};
use crate::supervisor::Unavailable;
use crate::supervisor::handshake::Enclosing;

/// How the command is emulated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Emulation {
    /// By a filter alone.
    Filter {
        /// What it answers.
        policy: Policy,
        /// Why it is not the supervisor that was preferred, if one was.
        instead_of: Option<Unavailable>,
    },
    /// By a filter and a supervisor.
    Supervisor {
        /// What they answer.
        policy: Policy,
        /// Which levels will do as well, the next best first, if that is not to be had.
        otherwise: &'static [Level],
    },
    /// By the enclosing zroot's supervisor, which answers on.
    Enclosing {
        /// What a filter of our own answers beside it, if there is anything left.
        beside: Option<Policy>,
    },
}

/// The classes that are the same at every level: a filter alone does for them.
const FILTER_ONLY: ClassSet = ClassSet::ALL.minus(Level::Full.default_classes());

/// Whether it matters for `plan` what encloses this zroot. `is_nested` says whether the
/// environment tells of an enclosing one.
#[must_use]
#[inline]
pub fn asks(plan: &Plan, is_nested: bool) -> bool {
    match plan.consistency {
        _ if plan.is_watched() => true,
        Some(consistency) => consistency != Consistency::Zero,
        None => is_nested,
    }
}

/// How to emulate what `plan` asks for inside of `enclosing`.
///
/// # Errors
/// [`Error`] if what encloses this zroot makes that impossible.
#[inline]
pub fn decide(plan: &Plan, enclosing: Option<Enclosing>) -> Result<Emulation, Error> {
    let wants_supervisor = plan.level() != Level::Zero || plan.is_watched();
    let is_auto = plan.consistency == Some(Consistency::Auto);
    let may_do_without = is_auto && !plan.is_watched();
    let filter = |instead_of| Emulation::Filter {
        policy: plan.policy(Level::Zero),
        instead_of,
    };
    match enclosing {
        Some(Enclosing::Supervisor(policy)) => under_supervisor(plan, policy),
        _ if !wants_supervisor => Ok(filter(None)),
        // What that filter pretends, ours is never asked about.
        Some(enclosing) if may_do_without => Ok(filter(Some(enclosing.into()))),
        Some(enclosing) => Err(Unavailable::from(enclosing).into()),
        None => Ok(Emulation::Supervisor {
            policy: plan.policy(plan.level()),
            otherwise: match (is_auto, may_do_without) {
                (false, _) => &[],
                (true, false) => &[Level::Selective],
                (true, true) => &[Level::Selective, Level::Zero],
            },
        }),
    }
}

/// The same inside of a zroot whose supervisor answers as `enclosing` says.
#[inline(never)] // for a small stack where it is not called
fn under_supervisor(plan: &Plan, enclosing: Policy) -> Result<Emulation, Error> {
    let options = if plan.owners.is_some() {
        "--owners"
    } else if plan.has_state() {
        "--load and --save"
    } else {
        "--summary and --trace"
    };
    if plan.is_watched() || plan.keeps_owners() {
        return Err(Failure::new(format!(
            "{options}: a zroot around this one has a supervisor already"
        ))
        .hint("ask that one")
        .into());
    }
    if plan
        .fakeroot
        .is_some_and(|fakeroot| fakeroot.unknown_is_real)
    {
        return Err(Failure::new(
            "fakeroot -u: to the zroot around this one, files of unknown owners are root's",
        )
        .hint("leave out -u, or run it outside of that one")
        .into());
    }
    // A level that was named must be had.
    let named = plan.consistency.and_then(Consistency::level);
    if let Some(level) = named.filter(|level| *level != Level::Zero) {
        if enclosing.level < level {
            let failure = Failure::new(format!(
                "level {level} is not to be had: the zroot around this one answers at level {}",
                enclosing.level
            ));
            let hint = format!("give the outer one -c {level}");
            // Packages that are made as fakeroot are to have the owners that they were given.
            let hint = if plan.fakeroot.is_some() {
                hint
            } else {
                format!("{hint}, or this one -c auto")
            };
            return Err(failure.hint(hint).into());
        }
        let unanswered = plan
            .policy(level)
            .classes
            .minus(enclosing.classes)
            .minus(FILTER_ONLY);
        if unanswered != ClassSet::EMPTY {
            let failure = Failure::new(format!(
                "the supervisor of the zroot around this one does not answer {unanswered}"
            ));
            return Err(failure
                .hint("give the outer zroot no --no-fake for them, or this one")
                .into());
        }
    }
    let more = plan.policy(Level::Zero).classes.minus(enclosing.classes);
    Ok(Emulation::Enclosing {
        beside: (more != ClassSet::EMPTY).then_some(Policy {
            classes: more,
            ..Policy::DEFAULT
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::policy::Class;
    use Consistency::{Auto, Full, Selective, Zero};

    const ENCLOSING_ZERO: Option<Enclosing> = Some(Enclosing::Supervisor(Policy::DEFAULT));
    const ENCLOSING_SELECTIVE: Option<Enclosing> = Some(Enclosing::Supervisor(Policy::SELECTIVE));
    const ENCLOSING_FULL: Option<Enclosing> = Some(Enclosing::Supervisor(Policy::of(Level::Full)));

    fn plan(consistency: Option<Consistency>) -> Plan<'static> {
        Plan {
            consistency,
            ..Plan::default()
        }
    }

    fn watched(consistency: Option<Consistency>) -> Plan<'static> {
        Plan {
            fail_on: ClassSet::EMPTY.with(Class::Owner),
            ..plan(consistency)
        }
    }

    /// What is decided, or what is said in its place.
    fn decided(plan: &Plan, enclosing: Option<Enclosing>) -> Result<Emulation, String> {
        decide(plan, enclosing).map_err(|error| error.to_string())
    }

    fn filter(plan: &Plan, instead_of: Option<Unavailable>) -> Emulation {
        Emulation::Filter {
            policy: plan.policy(Level::Zero),
            instead_of,
        }
    }

    fn refused(unavailable: Unavailable) -> Result<Emulation, String> {
        Err(unavailable.to_string())
    }

    #[test]
    fn only_what_may_need_a_supervisor_asks_for_an_enclosing_one() {
        for (consistency, alone, nested) in [
            (None, false, true),
            (Some(Zero), false, false),
            (Some(Selective), true, true),
            (Some(Full), true, true),
            (Some(Auto), true, true),
        ] {
            let plan = plan(consistency);
            assert_eq!(
                (asks(&plan, false), asks(&plan, true)),
                (alone, nested),
                "{consistency:?}"
            );
            assert!(asks(&watched(consistency), false), "{consistency:?}");
        }
    }

    #[test]
    fn alone_a_level_gets_what_it_needs() {
        for consistency in [None, Some(Zero)] {
            let plan = plan(consistency);
            let filter = Ok(filter(&plan, None));
            assert_eq!(decided(&plan, None), filter, "{consistency:?}");
        }
        let supervisor = |plan: &Plan, otherwise: &'static [Level]| {
            Ok(Emulation::Supervisor {
                policy: plan.policy(plan.level()),
                otherwise,
            })
        };
        for consistency in [Selective, Full] {
            let plan = plan(Some(consistency));
            assert_eq!(decided(&plan, None), supervisor(&plan, &[]));
        }
        let auto = plan(Some(Auto));
        assert_eq!(auto.level(), Level::Full);
        let others = supervisor(&auto, &[Level::Selective, Level::Zero]);
        assert_eq!(decided(&auto, None), others);
        // Who watches wants to see each call, at every level.
        for consistency in [None, Some(Zero), Some(Selective), Some(Full), Some(Auto)] {
            let watched = watched(consistency);
            assert!(watched.policy(watched.level()).is_watched);
            let otherwise: &[Level] = match consistency {
                Some(Auto) => &[Level::Selective],
                _ => &[],
            };
            let wanted = supervisor(&watched, otherwise);
            assert_eq!(decided(&watched, None), wanted, "{consistency:?}");
        }
    }

    #[test]
    fn under_a_filter_that_pretends_there_is_no_supervisor() {
        let enclosing = Some(Enclosing::Filter);
        for enclosing in [enclosing, Some(Enclosing::Tracer)] {
            for consistency in [None, Some(Zero)] {
                let plan = plan(consistency);
                let filter = Ok(filter(&plan, None));
                assert_eq!(decided(&plan, enclosing), filter, "{consistency:?}");
            }
        }
        let traced = decided(&plan(Some(Selective)), Some(Enclosing::Tracer));
        assert_eq!(traced, refused(Unavailable::Traced));
        let auto = plan(Some(Auto));
        let instead = filter(&auto, Some(Unavailable::Enclosed));
        assert_eq!(decided(&auto, enclosing), Ok(instead));
        for plan in [
            plan(Some(Selective)),
            plan(Some(Full)),
            watched(None),
            watched(Some(Zero)),
            watched(Some(Selective)),
            watched(Some(Full)),
            watched(Some(Auto)),
        ] {
            let refused = refused(Unavailable::Enclosed);
            assert_eq!(decided(&plan, enclosing), refused, "{plan:?}");
        }
    }

    #[test]
    fn an_enclosing_supervisor_answers_on() {
        let nothing = Ok(Emulation::Enclosing { beside: None });
        for (consistency, enclosing) in [
            (None, ENCLOSING_ZERO),
            (None, ENCLOSING_SELECTIVE),
            (Some(Auto), ENCLOSING_ZERO),
            (Some(Auto), ENCLOSING_SELECTIVE),
            (Some(Selective), ENCLOSING_SELECTIVE),
            (Some(Selective), ENCLOSING_FULL),
            (Some(Full), ENCLOSING_FULL),
            (Some(Auto), ENCLOSING_FULL),
        ] {
            let plan = plan(consistency);
            assert_eq!(decided(&plan, enclosing), nothing, "{plan:?}");
        }
        // What it does not answer, and a filter can, is left to a filter.
        for consistency in [None, Some(Auto), Some(Selective)] {
            let plan = Plan {
                fake: ClassSet::EMPTY.with(Class::Sync).with(Class::Owner),
                ..plan(consistency)
            };
            let beside = Some(Policy {
                classes: ClassSet::EMPTY.with(Class::Sync),
                ..Policy::DEFAULT
            });
            let wanted = Ok(Emulation::Enclosing { beside });
            assert_eq!(decided(&plan, ENCLOSING_SELECTIVE), wanted, "{plan:?}");
        }
    }

    #[test]
    fn less_than_was_asked_for_is_refused() {
        let selective = plan(Some(Selective));
        for (consistency, enclosing, says) in [
            (Selective, ENCLOSING_ZERO, ["selective", "zero"]),
            (Full, ENCLOSING_ZERO, ["full", "zero"]),
            (Full, ENCLOSING_SELECTIVE, ["full", "selective"]),
        ] {
            let [wanted, answers] = says;
            let says = format!(
                "level {wanted} is not to be had: the zroot around this one answers at level {answers}"
            );
            assert_eq!(decided(&plan(Some(consistency)), enclosing), Err(says));
        }
        // Classes that differ from level to level, and that the enclosing one leaves out.
        let lacks = Some(Enclosing::Supervisor(Policy {
            classes: Level::Selective
                .default_classes()
                .without(Class::Owner)
                .without(Class::Xattr),
            ..Policy::SELECTIVE
        }));
        let says = "the supervisor of the zroot around this one does not answer owner,xattr";
        assert_eq!(decided(&selective, lacks), Err(says.to_owned()));
        // Auto takes what there is; the filter does for the rest as at level zero.
        let Ok(Emulation::Enclosing {
            beside: Some(policy),
        }) = decided(&plan(Some(Auto)), lacks)
        else {
            panic!("auto is refused");
        };
        assert_eq!(policy.classes, ClassSet::EMPTY.with(Class::Owner));
        // Who watches would see nothing.
        for consistency in [None, Some(Zero), Some(Selective), Some(Auto)] {
            let watched = watched(consistency);
            for enclosing in [ENCLOSING_ZERO, ENCLOSING_SELECTIVE] {
                let says = decided(&watched, enclosing).expect_err("a supervisor of its own");
                assert!(says.starts_with("--summary and --trace: "), "{says}");
            }
        }
    }
}
