//! Labels -> classic BPF. Knows instructions, not system calls; the only place with opcodes.
//!
//! Jumps go by label and only forward, as the kernel's verifier demands (net/core/filter.c,
//! `bpf_check_classic`). Only instructions that `seccomp_is_const_allow()` (kernel/seccomp.c) can
//! follow are emitted, so that the kernel can cache what is always allowed.

use std::fmt;

#[cfg(target_endian = "big")]
pub use libc::sock_filter;
#[cfg(target_endian = "little")]
pub use seccompiler::sock_filter;

/// A program as seccomp(2) takes it.
pub type Program = Vec<sock_filter>;

/// `BPF_MAXINSNS`, include/uapi/linux/bpf_common.h.
pub const MAX_LEN: usize = 4096;

/// Opcodes (include/uapi/linux/bpf_common.h) of all the instructions that zroot emits.
pub mod op {
    /// `BPF_LD | BPF_W | BPF_ABS`: load the 32-bit word at offset k of `seccomp_data`.
    pub const LOAD: u16 = 0x20;
    /// `BPF_ALU | BPF_AND | BPF_K`.
    pub const AND: u16 = 0x54;
    /// `BPF_JMP | BPF_JA`.
    pub const GOTO: u16 = 0x05;
    /// `BPF_JMP | BPF_JEQ | BPF_K`.
    pub const JEQ: u16 = 0x15;
    /// `BPF_JMP | BPF_JGE | BPF_K`.
    pub const JGE: u16 = 0x35;
    /// `BPF_JMP | BPF_JSET | BPF_K`.
    pub const JSET: u16 = 0x45;
    /// `BPF_RET | BPF_K`.
    pub const RET: u16 = 0x06;
}

/// A condition on the accumulator.
#[derive(Clone, Copy, Debug)]
pub enum Cond {
    /// Equal to k.
    Eq,
    /// Unsigned, at least k.
    Ge,
    /// Has any of k's bits.
    AnyBit,
}

/// A place in the program: made by [`Assembler::label`], given its place by [`Assembler::bind`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Label(usize);

enum Pending {
    Plain {
        code: u16,
        k: u32,
    },
    Branch {
        code: u16,
        k: u32,
        yes: Label,
        no: Label,
    },
    Goto(Label),
}

/// Why a program could not be assembled. Each of them is a mistake in the generator, not in its
/// input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AsmError {
    /// The instruction at this index jumps to a label that was never bound.
    Unbound(usize),
    /// The instruction at this index jumps backward.
    Backward(usize),
    /// The conditional jump at this index spans more than 255 instructions.
    TooFar(usize),
    /// The program has this many instructions, more than [`MAX_LEN`].
    TooLong(usize),
}

impl fmt::Display for AsmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AsmError::Unbound(at) => write!(f, "instruction {at} jumps to a label without a place"),
            AsmError::Backward(at) => write!(f, "instruction {at} jumps backward"),
            AsmError::TooFar(at) => {
                write!(f, "instruction {at} jumps over more than 255 instructions")
            }
            AsmError::TooLong(len) => write!(
                f,
                "{len} instructions are more than the kernel takes ({MAX_LEN})"
            ),
        }
    }
}

impl std::error::Error for AsmError {}

/// Collects instructions and resolves their labels.
#[derive(Default)]
pub struct Assembler {
    code: Vec<Pending>,
    places: Vec<Option<usize>>,
}

impl Assembler {
    /// A new label, not bound yet.
    pub fn label(&mut self) -> Label {
        self.places.push(None);
        Label(self.places.len() - 1)
    }

    /// Makes `label` mean the next instruction.
    pub fn bind(&mut self, label: Label) {
        self.places[label.0] = Some(self.code.len());
    }

    /// Loads the word at `offset` of `seccomp_data`.
    pub fn load(&mut self, offset: u32) {
        self.code.push(Pending::Plain {
            code: op::LOAD,
            k: offset,
        });
    }

    /// Masks the accumulator.
    pub fn and(&mut self, mask: u32) {
        self.code.push(Pending::Plain {
            code: op::AND,
            k: mask,
        });
    }

    /// Ends the program with `value` (`SECCOMP_RET_*`).
    pub fn ret(&mut self, value: u32) {
        self.code.push(Pending::Plain {
            code: op::RET,
            k: value,
        });
    }

    /// Goes to `yes` if the accumulator meets `cond` against `k`, else to `no`.
    pub fn branch(&mut self, cond: Cond, k: u32, yes: Label, no: Label) {
        let code = match cond {
            Cond::Eq => op::JEQ,
            Cond::Ge => op::JGE,
            Cond::AnyBit => op::JSET,
        };
        self.code.push(Pending::Branch { code, k, yes, no });
    }

    /// Goes to `label`, over any distance.
    pub fn goto(&mut self, label: Label) {
        self.code.push(Pending::Goto(label));
    }

    /// Resolves the labels.
    ///
    /// # Errors
    /// [`AsmError`] if a label has no place, lies behind, or is out of a conditional jump's reach,
    /// or if the program is too long.
    pub fn finish(self) -> Result<Program, AsmError> {
        if self.code.len() > MAX_LEN {
            return Err(AsmError::TooLong(self.code.len()));
        }
        let distance = |at: usize, label: Label| -> Result<u32, AsmError> {
            let target = self.places[label.0].ok_or(AsmError::Unbound(at))?;
            let next = at + 1;
            u32::try_from(target.checked_sub(next).ok_or(AsmError::Backward(at))?)
                .map_err(|_| AsmError::TooFar(at))
        };
        let short =
            |at, label| u8::try_from(distance(at, label)?).map_err(|_| AsmError::TooFar(at));
        self.code
            .iter()
            .enumerate()
            .map(|(at, insn)| {
                Ok(match *insn {
                    Pending::Plain { code, k } => sock_filter {
                        code,
                        jt: 0,
                        jf: 0,
                        k,
                    },
                    Pending::Goto(label) => sock_filter {
                        code: op::GOTO,
                        jt: 0,
                        jf: 0,
                        k: distance(at, label)?,
                    },
                    Pending::Branch { code, k, yes, no } => sock_filter {
                        code,
                        jt: short(at, yes)?,
                        jf: short(at, no)?,
                        k,
                    },
                })
            })
            .collect()
    }
}
