//! What the filter answers to one call, and why: the answer from running the program, the reason
//! from the policy. Pure.

use std::fmt::Write;

use crate::arch::{Abi, Sysno, others};
use crate::error::{Failure, shown};
use crate::filter::codegen::{action_of, witnesses};
use crate::filter::policy::{Action, Class, Level, Policy, Rule};
use crate::filter::{asm::Program, build, sim};

/// The most arguments that a call has.
pub const MOST_ARGUMENTS: usize = 6;

/// What each of `abis` is answered for the call named `name` with these arguments under `policy`;
/// an argument is `None` where it is unknown. Each ABI is looked at on a kernel whose first one it
/// is, or on that of `kernel` if there is one.
///
/// # Errors
/// [`Failure`] if there is no such call.
#[inline(never)] // it would lie in the way of every run
pub fn explain(
    name: &str,
    args: [Option<u64>; MOST_ARGUMENTS],
    kernel: Option<Abi>,
    policy: Policy,
) -> Result<String, Failure> {
    let Some(call) = Sysno::ALL.iter().copied().find(|call| call.name() == name) else {
        return if others::names().any(|other| other == name) {
            Ok(format!("{name}: in no class: executed by the kernel\n"))
        } else {
            Err(unknown(name))
        };
    };
    let (class, reason) = standing(call, policy);
    let mut out = format!("{name}: class {class}, {reason}\n");
    let abis = kernel.map_or(&Abi::ALL[..], Abi::family);
    let mut program: Option<(Abi, Program)> = None;
    for abi in abis {
        let kernel = kernel.unwrap_or(*abi);
        if program.as_ref().is_none_or(|(of, _)| *of != kernel) {
            program = Some((
                kernel,
                build(kernel.family(), policy).map_err(|error| Failure::new(error.to_string()))?,
            ));
        }
        let Some((_, program)) = &program else {
            continue;
        };
        // Writing to a String cannot fail.
        let _ = match call.nr(*abi) {
            None => writeln!(out, "{:11}  {:>10}  no such call", abi.name(), "-"),
            Some(nr) => {
                let number = if abi.nr_bit() == 0 {
                    nr.to_string()
                } else {
                    format!("{nr:#x}")
                };
                writeln!(
                    out,
                    "{:11}  {number:>10}  {}",
                    abi.name(),
                    answer(program, *abi, call, nr, args, policy)?
                )
            }
        };
    }
    Ok(out)
}

/// The rule for `call` under `policy`.
fn rule(call: Sysno, policy: Policy) -> Option<Rule> {
    policy.rules().find(|rule| rule.call == call)
}

/// The class of `call`, and what the policy has to say to it.
fn standing(call: Sysno, policy: Policy) -> (&'static str, String) {
    let has = |class: Class, level: Level| class.rules(level).any(|rule| rule.call == call);
    let level = policy.level;
    let class = Class::ALL
        .into_iter()
        .find(|class| Level::ALL.into_iter().any(|level| has(*class, level)));
    let Some(class) = class else {
        let says = match rule(call, policy) {
            Some(rule) => format!(
                "on at level {level} where owners outlive the run: {}",
                said(Some(rule.action))
            ),
            None => "executed by the kernel; has an answer with --save or --load".into(),
        };
        return ("none", says);
    };
    let says = match rule(call, policy) {
        Some(rule) => {
            let answer = said(Some(rule.action));
            let when = rule.when.condition().map_or(String::new(), |condition| {
                format!(" if {condition}, else real")
            });
            format!("on at level {level}: {answer}{when}")
        }
        None if has(class, level) => format!("off at level {level}: executed by the kernel"),
        None => {
            let other = Level::ALL
                .into_iter()
                .find(|level| has(class, *level))
                .unwrap_or(level);
            format!("executed by the kernel at level {level}; level {other} has an answer for it")
        }
    };
    (class.name(), says)
}

/// What the program answers, and what that depends on.
fn answer(
    program: &Program,
    abi: Abi,
    call: Sysno,
    nr: u32,
    args: [Option<u64>; MOST_ARGUMENTS],
    policy: Policy,
) -> Result<String, Failure> {
    let rule = rule(call, policy);
    let width = if abi.has_64bit_registers() {
        u64::MAX
    } else {
        u32::MAX.into()
    };
    let ask = |args: &[u64; MOST_ARGUMENTS]| -> Result<Option<Action>, Failure> {
        let call = sim::Call {
            arch: abi.audit_arch(),
            nr,
            args: args.map(|arg| arg & width),
        };
        let outcome = sim::run(program, abi.endian(), &call)
            .map_err(|fault| Failure::new(fault.to_string()))?;
        Ok(action_of(abi, outcome.value))
    };
    // Every combination of values for what is unknown and looked at.
    let unknown: Vec<(u8, Vec<u64>)> = rule
        .map(|rule| witnesses(abi, rule.when))
        .unwrap_or_default()
        .into_iter()
        .filter(|(arg, _)| args[usize::from(*arg)].is_none())
        .collect();
    let mut tried = vec![args.map(Option::unwrap_or_default)];
    for (arg, values) in &unknown {
        let with = |known: &[u64; MOST_ARGUMENTS], value: u64| {
            let mut with = *known;
            with[usize::from(*arg)] = value;
            with
        };
        tried = tried
            .iter()
            .flat_map(|known| values.iter().map(move |value| with(known, *value)))
            .collect();
    }
    let mut answers: Vec<Option<Action>> = Vec::new();
    for args in &tried {
        let answer = ask(args)?;
        if !answers.contains(&answer) {
            answers.push(answer);
        }
    }
    let conditional = rule.filter(|rule| rule.when.condition().is_some());
    let mut answers = answers.into_iter();
    Ok(match (answers.next(), answers.next(), conditional) {
        (_, Some(_), _) => {
            let params = call.signature().params;
            let name = |arg: &u8| params.get(usize::from(*arg)).map_or("", |param| param.name);
            let names: Vec<String> = unknown
                .iter()
                .map(|(arg, _)| format!("argument {} ({})", arg + 1, name(arg)))
                .collect();
            format!("depends on {}", names.join(" and "))
        }
        (action, None, Some(rule)) if action == Some(Some(rule.action)) => {
            format!("{}: condition met", said(Some(rule.action)))
        }
        (action, None, Some(_)) => format!("{}: condition not met", said(action.flatten())),
        (action, None, None) => said(action.flatten()).into(),
    })
}

/// An answer in words.
const fn said(action: Option<Action>) -> &'static str {
    match action {
        Some(Action::Allow) => "real",
        Some(Action::FakeSuccess) => "success without doing anything",
        Some(Action::Notify) => "the supervisor answers",
        Some(Action::Absent) => "not there (ENOSYS)",
        None => "an answer that is none of zroot's",
    }
}

/// The error for a call that there is not, with the names nearest to it.
fn unknown(name: &str) -> Failure {
    let failure = Failure::new(format!(
        "--explain: there is no system call {}",
        shown(name)
    ));
    // A name that is that much longer or shorter is as far away at least: what is long is not
    // compared at all.
    let most = 1 + name.len() / 4;
    let mut near: Vec<(usize, &str)> = Sysno::ALL
        .iter()
        .map(|call| call.name())
        .chain(others::names())
        .filter(|other| other.len().abs_diff(name.len()) <= most)
        .map(|other| (distance(name, other), other))
        .filter(|(distance, _)| *distance <= most)
        .collect();
    near.sort_by_key(|(distance, _)| *distance);
    near.truncate(3);
    let near: Vec<&str> = near.into_iter().map(|(_, other)| other).collect();
    if near.is_empty() {
        failure.hint("calls are named as in asm/unistd.h; one that is newer than this zroot is executed by the kernel")
    } else {
        failure.hint(format!("similar names: {}", near.join(", ")))
    }
}

/// How many letters have to be changed, added, taken away or swapped with the next to make `other`
/// of `name`.
fn distance(name: &str, other: &str) -> usize {
    let (name, other) = (name.as_bytes(), other.as_bytes());
    let mut rows = vec![(0..=other.len()).collect::<Vec<usize>>()];
    for (i, letter) in name.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, wanted) in other.iter().enumerate() {
            let mut least = (rows[i][j] + usize::from(letter != wanted))
                .min(rows[i][j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && letter == &other[j - 1] && &name[i - 1] == wanted {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[name.len()][other.len()]
}
