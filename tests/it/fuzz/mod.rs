//! The bodies of the fuzz targets on bytes of a generator that begins alike each time.
//! CONTRIBUTING.md says how they are run under a fuzzer, and for longer.

pub mod bodies;

use std::time::{Duration, Instant};

use zroot::internals::arch::Abi;
use zroot::internals::filter::{Level, Policy};

use crate::common::random::Random;

/// Runs `body` on as many inputs, of up to `longest` bytes. Where it panics, the input is said.
fn many(count: u64, longest: usize, body: fn(&[u8])) {
    let mut bytes = vec![0; longest];
    for seed in 0..count {
        let mut random = Random(seed);
        let len = usize::try_from(random.next()).unwrap_or(0) % (longest + 1);
        random.fill(&mut bytes[..len]);
        let start = Instant::now();
        let input = &bytes[..len];
        let result = std::panic::catch_unwind(|| body(input));
        assert!(result.is_ok(), "input {seed}: {input:?}");
        let took = start.elapsed();
        assert!(took < Duration::from_secs(10), "input {seed}: {took:?}");
    }
}

#[test]
fn the_program_answers_as_the_policy_says() {
    many(4000, 4000, bodies::policy::check);
}

/// A branch that goes the other way is found, wherever it is.
#[test]
fn a_program_that_answers_otherwise_is_found_out() {
    let mut bytes = [0; 4096];
    for (native, level) in [Abi::X86_64, Abi::S390x, Abi::Mipsel]
        .into_iter()
        .flat_map(|native| Level::ALL.map(|level| (native, level)))
    {
        let policy = Policy {
            classes: level.classes(),
            ..Policy::of(level)
        };
        let mut checked = bodies::policy::Checked::new(native, policy);
        for at in 0..checked.program.len() {
            let turn = |checked: &mut bodies::policy::Checked| {
                let insn = &mut checked.program[at];
                std::mem::swap(&mut insn.jt, &mut insn.jf);
                insn.jt != insn.jf
            };
            if !turn(&mut checked) {
                continue; // no branch
            }
            let mut random = Random(0);
            // Most bytes are of calls that do not come by.
            let is_found = (0..5000).any(|_| {
                random.fill(&mut bytes);
                checked.finds_fault(&bytes)
            });
            assert!(is_found, "{native} {policy}: instruction {at}");
            turn(&mut checked);
        }
    }
}

#[test]
fn any_string_is_split_or_refused() {
    many(10_000, 200, bodies::split_string::check);
}

#[test]
fn any_command_line_is_read_or_refused() {
    many(3000, 300, bodies::options::check);
}

#[test]
fn any_call_is_explained_or_refused() {
    many(3000, 200, bodies::explain::check);
}

#[test]
fn any_configuration_of_apts_is_kept() {
    many(500, 5000, bodies::apt_config::check);
}

#[test]
fn any_journal_is_read_or_refused() {
    many(10_000, 3000, bodies::journal::check);
}

#[test]
fn any_record_of_a_report_is_read_or_refused() {
    many(3000, 3000, bodies::report::check);
}

#[test]
fn any_state_is_read_or_refused() {
    many(2000, 3000, bodies::state::check);
}

#[test]
fn any_notification_is_read_or_refused() {
    many(2000, 3000, bodies::notification::check);
}
