//! The program of every policy, for every kernel, is one that the kernel takes, and answers by the
//! policy's own rules: the body of the fuzz target, on bytes of a generator that begins alike each
//! time.

use zroot::internals::arch::Abi;
use zroot::internals::filter::{ClassSet, Level, Policy};

use crate::bodies::policy::Checked;
use crate::common::random::Random;
use crate::report::Report;

pub fn run_all(report: &mut Report) {
    let wanted = if report.full { 100_000_000 } else { 1_000_000 };
    let sets = || (0..=ClassSet::ALL.bits()).map(ClassSet::from_bits);
    let policies = || {
        Level::ALL.into_iter().flat_map(move |level| {
            // A class without rules makes no difference.
            let sets = sets().filter(move |set| set.minus(level.classes()) == ClassSet::EMPTY);
            sets.flat_map(move |classes| {
                [false, true].map(|is_watched| Policy {
                    level,
                    classes,
                    is_watched,
                    is_saved: !is_watched,
                })
            })
        })
    };
    let all = || {
        let native = Abi::ALL.into_iter();
        native.flat_map(|native| policies().map(move |policy| (native, policy)))
    };
    // Of so many programs each is one step of the sample.
    let step = if report.full { 1 } else { 101 };
    let programs = all().step_by(step).count() as u64;
    let mut random = Random(0);
    let (mut calls, mut bytes) = (0, [0; 4096]);
    for (native, policy) in all().step_by(step) {
        // A wrong answer is a panic, which says the call.
        let checked = Checked::new(native, policy);
        let mut own = 0;
        while own <= wanted / programs {
            random.fill(&mut bytes);
            own += checked.check(&bytes);
        }
        calls += own;
    }
    report.check(
        calls >= wanted,
        &format!("{calls} calls to {programs} programs are answered as their policies say"),
    );
}
