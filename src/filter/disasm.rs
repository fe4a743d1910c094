//! Program -> text, one line per instruction.

use std::fmt::Write;

use crate::arch::Abi;
use crate::filter::asm::{op, sock_filter};

/// Writes `program` as text, one numbered line per instruction, with jump targets as line numbers. `family` are the ABIs it was built for:
/// they say which byte of an argument word is which, and name the architectures.
#[must_use]
pub fn text(program: &[sock_filter], family: &[Abi]) -> String {
    let mut out = String::new();
    for (at, insn) in program.iter().enumerate() {
        let target = |offset: u32| at + 1 + offset as usize;
        let k = insn.k;
        // Writing to a String cannot fail.
        let _ = write!(out, "{at:4}  ");
        let _ = match insn.code {
            op::LOAD => writeln!(out, "load {}", field(k)),
            op::AND => writeln!(out, "and  {k:#x}"),
            op::GOTO => writeln!(out, "goto {}", target(k)),
            op::RET => writeln!(out, "ret  {}", ret(k)),
            op::JEQ | op::JGE | op::JSET => {
                let cond = match insn.code {
                    op::JEQ => "==",
                    op::JGE => ">=",
                    _ => "&",
                };
                let (yes, no) = (target(insn.jt.into()), target(insn.jf.into()));
                let name = family.iter().find(|abi| abi.audit_arch() == k).map_or(String::new(), |abi| format!("  # {abi}"));
                writeln!(out, "if {cond} {k:#x} goto {yes} else {no}{name}")
            }
            code => writeln!(out, "??   code {code:#x} jt {} jf {} k {k:#x}", insn.jt, insn.jf),
        };
    }
    out
}

/// The name of the word at `offset` of `struct seccomp_data`.
fn field(offset: u32) -> String {
    match offset {
        0 => "nr".into(),
        4 => "arch".into(),
        8 => "ip[0]".into(),
        12 => "ip[1]".into(),
        _ => format!("args[{}].word[{}]", (offset - 16) / 8, offset % 8 / 4),
    }
}

/// The meaning of a return value.
fn ret(value: u32) -> String {
    match (value & 0xffff_0000, value & 0xffff) {
        (0x7fff_0000, 0) => "allow".into(),
        (0x7fc0_0000, 0) => "notify".into(),
        (0x0005_0000, errno) => format!("errno {errno}"),
        _ => format!("{value:#x}"),
    }
}
