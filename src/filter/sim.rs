//! An interpreter for programs: answers what a kernel of any byte order would, and tells which
//! instructions it took.
//!
//! Knows exactly the instructions of [`op`]; anything else is a [`Fault`], as is whatever the
//! kernel's verifier would refuse (net/core/filter.c, `bpf_check_classic`; kernel/seccomp.c,
//! `seccomp_check_filter`).

use std::fmt;

use crate::arch::Endian;
use crate::filter::asm::{op, sock_filter};

/// `struct seccomp_data`, include/uapi/linux/seccomp.h, without the instruction pointer, which
/// zroot never looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Call {
    /// The audit architecture.
    pub arch: u32,
    /// The number, with x32's bit where it has one.
    pub nr: u32,
    /// The arguments as the registers have them.
    pub args: [u64; 6],
}

impl Call {
    /// The bytes that a kernel of byte order `endian` shows to the program.
    #[must_use]
    pub fn bytes(&self, endian: Endian) -> [u8; 64] {
        let mut bytes = [0; 64];
        let mut at = 0;
        let mut put = |word: &[u8]| {
            bytes[at..at + word.len()].copy_from_slice(word);
            at += word.len();
        };
        match endian {
            Endian::Little => {
                put(&self.nr.to_le_bytes());
                put(&self.arch.to_le_bytes());
                put(&[0; 8]);
                self.args.iter().for_each(|arg| put(&arg.to_le_bytes()));
            }
            Endian::Big => {
                put(&self.nr.to_be_bytes());
                put(&self.arch.to_be_bytes());
                put(&[0; 8]);
                self.args.iter().for_each(|arg| put(&arg.to_be_bytes()));
            }
        }
        bytes
    }
}

/// What a run of the program came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The value of the RET that ended it (`SECCOMP_RET_*`).
    pub value: u32,
    /// The indices of the instructions executed, in order.
    pub path: Vec<usize>,
    /// Whether `seccomp_is_const_allow()` would mark this number as always allowed: the path looks
    /// at nr and arch only and ends in ALLOW.
    pub const_allow: bool,
}

/// Why a program cannot be run: the kernel would refuse it, or zroot never emits such a thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The instruction at this index is none of [`op`]'s.
    Opcode(usize),
    /// The load at this index is unaligned or outside of `seccomp_data`.
    Offset(usize),
    /// Control left the program's end.
    End,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Opcode(at) => {
                write!(f, "instruction {at} has an opcode that zroot does not emit")
            }
            Fault::Offset(at) => write!(f, "instruction {at} loads from outside of seccomp_data"),
            Fault::End => write!(f, "control left the program's end"),
        }
    }
}

impl std::error::Error for Fault {}

/// Runs `program` on `call` as a kernel of byte order `endian` does.
///
/// # Errors
/// [`Fault`] if the program is not one that the kernel takes and zroot emits.
pub fn run(program: &[sock_filter], endian: Endian, call: &Call) -> Result<Outcome, Fault> {
    let data = call.bytes(endian);
    let (mut at, mut acc, mut path, mut looked_at_args) = (0, 0_u32, Vec::new(), false);
    loop {
        let insn = program.get(at).ok_or(Fault::End)?;
        path.push(at);
        let k = insn.k;
        let jump = |taken: bool| usize::from(if taken { insn.jt } else { insn.jf });
        at += 1 + match insn.code {
            op::LOAD => {
                let offset = k as usize;
                let word = data
                    .get(offset..offset + 4)
                    .filter(|_| offset % 4 == 0)
                    .ok_or(Fault::Offset(at))?;
                let word = word.try_into().map_err(|_| Fault::Offset(at))?;
                acc = match endian {
                    Endian::Little => u32::from_le_bytes(word),
                    Endian::Big => u32::from_be_bytes(word),
                };
                looked_at_args |= offset >= 8;
                0
            }
            op::AND => {
                acc &= k;
                0
            }
            op::GOTO => k as usize,
            op::JEQ => jump(acc == k),
            op::JGE => jump(acc >= k),
            op::JSET => jump(acc & k != 0),
            op::RET => {
                let const_allow = k == 0x7fff_0000 && !looked_at_args;
                return Ok(Outcome {
                    value: k,
                    path,
                    const_allow,
                });
            }
            _ => return Err(Fault::Opcode(at)),
        };
    }
}
