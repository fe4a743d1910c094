//! Program -> text, one line per instruction, with the names of what it compares.

use std::fmt::Write;

use crate::arch::{Abi, Sysno};
use crate::filter::asm::{op, sock_filter};
use crate::filter::codegen::{self, ARCH, ARGS, NR};
use crate::filter::policy::Action;

/// Writes `program` as text, one numbered line per instruction, with jump targets as line numbers.
/// `family` are the ABIs it was built for: they say which byte of an argument word is which, and
/// name the architectures and calls.
#[must_use]
pub fn text(program: &[sock_filter], family: &[Abi]) -> String {
    let mut out = String::new();
    for (at, line) in lines(program, family).iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{at:4}  {line}");
    }
    out
}

/// The lines of [`text`], without their numbers.
#[must_use]
pub fn lines(program: &[sock_filter], family: &[Abi]) -> Vec<String> {
    let known = known(program);
    let line = |(at, insn): (usize, &sock_filter)| {
        let target = |offset: u32| at + 1 + offset as usize;
        let k = insn.k;
        let (line, note) = match insn.code {
            op::LOAD => (format!("load {}", field(k)), String::new()),
            op::AND => (format!("and  {k:#x}"), String::new()),
            op::GOTO => (format!("goto {}", target(k)), String::new()),
            op::RET => ret(k, known[at].and_then(|known| known.abi(family))),
            op::JEQ | op::JGE | op::JSET => {
                let cond = match insn.code {
                    op::JEQ => "==",
                    op::JGE => ">=",
                    _ => "&",
                };
                let (yes, no) = (target(insn.jt.into()), target(insn.jf.into()));
                let note =
                    known[at].map_or(String::new(), |known| compared(program, family, at, known));
                (format!("if {cond} {k:#x} goto {yes} else {no}"), note)
            }
            code => (
                format!("??   code {code:#x} jt {} jf {} k {k:#x}", insn.jt, insn.jf),
                String::new(),
            ),
        };
        if note.is_empty() {
            line
        } else {
            format!("{line}  # {note}")
        }
    };
    program.iter().enumerate().map(line).collect()
}

/// What an instruction can rely on when it is executed.
#[derive(Clone, Copy)]
struct Known {
    /// The word that was loaded last, by its offset.
    loaded: u32,
    /// The audit architecture, once it was compared.
    arch: Option<u32>,
    /// The least and the greatest number that gets here.
    nr: (u32, u32),
}

impl Known {
    fn abi(self, family: &[Abi]) -> Option<Abi> {
        family
            .iter()
            .copied()
            .find(|abi| self.arch == Some(abi.audit_arch()))
    }

    /// What holds on the two ways from the conditional jump `insn`; an impossible way has none.
    fn branches(self, insn: &sock_filter) -> [Option<Known>; 2] {
        let ((lo, hi), k) = (self.nr, insn.k);
        match (self.loaded, insn.code) {
            (ARCH, op::JEQ) => [
                Some(Known {
                    arch: Some(k),
                    ..self
                }),
                Some(self),
            ],
            (NR, op::JEQ) => [Some(Known { nr: (k, k), ..self }), Some(self)],
            (NR, op::JGE) => {
                let above = (k <= hi).then_some(Known {
                    nr: (lo.max(k), hi),
                    ..self
                });
                let below = (k > lo).then(|| Known {
                    nr: (lo, hi.min(k - 1)),
                    ..self
                });
                [above, below]
            }
            _ => [Some(self), Some(self)],
        }
    }
}

/// For each instruction what it can rely on. Jumps go forward only, so that one pass is enough;
/// where ways meet, the first one counts, but for the numbers, of which the widest range does.
fn known(program: &[sock_filter]) -> Vec<Option<Known>> {
    let mut all: Vec<Option<Known>> = vec![None; program.len()];
    if let Some(first) = all.first_mut() {
        *first = Some(Known {
            loaded: ARCH,
            arch: None,
            nr: (0, u32::MAX),
        });
    }
    for (at, insn) in program.iter().enumerate() {
        let Some(now) = all[at] else { continue };
        let mut reach = |offset: u32, known: Option<Known>| {
            if let (Some(there), Some(new)) = (all.get_mut(at + 1 + offset as usize), known) {
                let known = there.get_or_insert(new);
                known.nr = (known.nr.0.min(new.nr.0), known.nr.1.max(new.nr.1));
            }
        };
        match insn.code {
            // The number read again is x32's, too, where the tree was without its bit.
            op::LOAD if insn.k == NR => reach(
                0,
                Some(Known {
                    loaded: NR,
                    nr: (0, u32::MAX),
                    ..now
                }),
            ),
            op::LOAD => reach(
                0,
                Some(Known {
                    loaded: insn.k,
                    ..now
                }),
            ),
            op::AND => reach(0, Some(now)),
            op::GOTO => reach(insn.k, Some(now)),
            op::JEQ | op::JGE | op::JSET => {
                let [yes, no] = now.branches(insn);
                reach(insn.jt.into(), yes);
                reach(insn.jf.into(), no);
            }
            _ => {}
        }
    }
    all
}

/// Names for the comparison at `at`: the architecture, the argument's constant, or the calls that
/// are decided by it.
fn compared(program: &[sock_filter], family: &[Abi], at: usize, known: Known) -> String {
    let insn = &program[at];
    let abi = known.abi(family);
    match known.loaded {
        ARCH => family
            .iter()
            .filter(|abi| abi.audit_arch() == insn.k)
            .map(|abi| abi.name())
            .collect::<Vec<_>>()
            .join(" "),
        NR => {
            // A way out of the search tree to anything but "allow" decides about the calls whose
            // numbers take it.
            let decided = |offset: u8, way: Option<Known>, but: Option<u32>| {
                let target = program.get(at + 1 + usize::from(offset))?;
                let allows = target.code == op::RET
                    && codegen::action_of(abi?, target.k) == Some(Action::Allow);
                let leaves = matches!(target.code, op::RET | op::LOAD | op::GOTO);
                (leaves && !allows)
                    .then(|| names(known.arch?, way?.nr, but))
                    .flatten()
            };
            let [yes, no] = known.branches(insn);
            match (
                decided(insn.jt, yes, None),
                decided(insn.jf, no, (insn.code == op::JEQ).then_some(insn.k)),
            ) {
                (Some(yes), Some(no)) => format!("{yes}; else {no}"),
                (Some(yes), None) => yes,
                (None, Some(no)) => format!("else {no}"),
                (None, None) => {
                    let upper = family
                        .iter()
                        .find(|abi| abi.nr_bit() == insn.k && insn.k != 0)
                        .map(|abi| abi.name().into());
                    upper
                        .or_else(|| names(known.arch?, (insn.k, insn.k), None))
                        .unwrap_or_default()
                }
            }
        }
        ARGS.. => {
            let (first, last) = known.nr;
            let call = abi.filter(|_| first == last);
            let call = call.and_then(|abi| Sysno::of(abi, first));
            abi.and_then(|abi| codegen::constant_name(abi, call, insn.k))
                .unwrap_or_default()
                .into()
        }
        _ => String::new(),
    }
}

/// The calls from the first to the last of `nr`, without the number `but`, if it is a run of calls
/// without gaps. A number that has a call with x32's bit only means that.
fn names(arch: u32, nr: (u32, u32), but: Option<u32>) -> Option<String> {
    if nr.1 - nr.0 > 64 {
        return None;
    }
    let call = |nr: u32| Sysno::of(Abi::of(arch, nr)?, nr);
    let name = |nr: u32| Some(call(nr).or_else(|| call(nr | Abi::X32.nr_bit()))?.name());
    let calls: Option<Vec<&str>> = (nr.0..=nr.1)
        .filter(|nr| but != Some(*nr))
        .map(name)
        .collect();
    calls.map(|calls| calls.join(" "))
}

/// The name of the word at `offset` of `struct seccomp_data`.
fn field(offset: u32) -> String {
    match offset {
        NR => "nr".into(),
        ARCH => "arch".into(),
        8 => "ip[0]".into(),
        12 => "ip[1]".into(),
        _ => format!(
            "args[{}].word[{}]",
            offset.saturating_sub(ARGS) / 8,
            offset % 8 / 4
        ),
    }
}

/// The meaning of a return value in a program for `abi`.
fn ret(value: u32, abi: Option<Abi>) -> (String, String) {
    let action = codegen::action_of(abi.unwrap_or(Abi::NATIVE), value);
    let line = match (action, codegen::errno_of(value)) {
        (Some(Action::Allow), _) => "ret  allow".into(),
        (Some(Action::Notify), _) => "ret  notify".into(),
        (_, Some(errno)) => format!("ret  errno {errno}"),
        _ => format!("ret  {value:#x}"),
    };
    let note = match action {
        Some(Action::FakeSuccess) => "success",
        Some(Action::Absent) => "ENOSYS",
        _ => "",
    };
    (line, note.into())
}
