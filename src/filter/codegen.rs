//! Policy x table -> program. The only place that knows the layout of `struct seccomp_data` and the return values.
//!
//! Pure: no system call, no environment, no `cfg`; a program for any family can be built on any machine.
//!
//! ```text
//! load arch
//! first audit architecture? -> its block, else go on
//!   load nr; [x32 bit? -> x32's tree;] search tree; argument checks; returns
//! second audit architecture? ...
//! allow
//! ```
//!
//! Each block has returns of its own, so that conditional jumps (255 instructions at most) stay inside it. Arguments are loaded
//! only after the number has matched: `seccomp_is_const_allow()` (kernel/seccomp.c, since 5.11) then marks every other number as always
//! allowed, and the kernel does not run the program for it at all.

use crate::arch::{Abi, Endian};
use crate::filter::asm::{AsmError, Assembler, Cond, Label, Program};
use crate::filter::policy::{Action, Policy, Rule, When};

/// Offsets in `struct seccomp_data`, include/uapi/linux/seccomp.h: `int nr; u32 arch; u64 instruction_pointer; u64 args[6];`.
pub const NR: u32 = 0;
/// The audit architecture's.
pub const ARCH: u32 = 4;
/// The first argument's.
pub const ARGS: u32 = 16;

/// `SECCOMP_RET_ALLOW`, `SECCOMP_RET_USER_NOTIF` and `SECCOMP_RET_ERRNO`, include/uapi/linux/seccomp.h. The errno is in the low 16 bits.
const RET_ALLOW: u32 = 0x7fff_0000;
const RET_USER_NOTIF: u32 = 0x7fc0_0000;
const RET_ERRNO: u32 = 0x0005_0000;
const RET_DATA: u32 = 0xffff;
/// ENOSYS of the ABIs whose error numbers follow asm-generic, and that of mips.
const ENOSYS: u32 = 38;
const ENOSYS_MIPS: u32 = 89;

/// `S_IFBLK` is 0x6000, `S_IFCHR` 0x2000 (include/uapi/linux/stat.h): of the type's four bits, they differ in `S_BLOCK` only.
const S_IFCHR: u32 = 0x2000;
const S_IFMT_BUT_BLOCK: u32 = 0xb000;
const S_BLOCK: u32 = 0x4000;
const S_IFMT: u32 = S_IFMT_BUT_BLOCK | S_BLOCK;
const S_IFBLK: u32 = S_IFCHR | S_BLOCK;
const S_IFREG: u32 = 0x8000;

/// `PR_GET_KEEPCAPS`, `PR_SET_KEEPCAPS`, `PR_GET_SECUREBITS`, `PR_SET_SECUREBITS` and `PR_CAP_AMBIENT`, include/uapi/linux/prctl.h.
const CAPABILITY_PRCTLS: [u32; 5] = [7, 8, 27, 28, 47];
const CAPABILITY_PRCTL_NAMES: [&str; 5] =
    ["PR_GET_KEEPCAPS", "PR_SET_KEEPCAPS", "PR_GET_SECUREBITS", "PR_SET_SECUREBITS", "PR_CAP_AMBIENT"];
const INODE_FLAG_NAMES: [&str; 2] = ["FS_IOC_SETFLAGS", "FS_IOC_FSSETXATTR"];

/// Builds the filter that answers for every ABI of `family` (see [`Abi::family`]) as `policy` says. Calls through other ABIs are allowed.
///
/// # Errors
/// [`AsmError`], which is a mistake in this module: `tests/filter.rs` builds every policy for every family.
pub fn build(family: &[Abi], policy: Policy) -> Result<Program, AsmError> {
    let rules: Vec<Rule> = policy.rules().collect();
    let mut asm = Assembler::default();
    asm.load(ARCH);
    for (i, abi) in family.iter().enumerate() {
        let audit_arch = abi.audit_arch();
        if family[..i].iter().any(|earlier| earlier.audit_arch() == audit_arch) {
            continue; // its block is already there
        }
        let sharers: Vec<Abi> = family.iter().copied().filter(|other| other.audit_arch() == audit_arch).collect();
        let (block, skip, next) = (asm.label(), asm.label(), asm.label());
        asm.branch(Cond::Eq, audit_arch, block, skip);
        asm.bind(skip);
        asm.goto(next); // a conditional jump might not reach over the block
        asm.bind(block);
        emit_block(&mut asm, &sharers, &rules);
        asm.bind(next);
    }
    asm.ret(RET_ALLOW);
    asm.finish()
}

/// The value that a program for `abi` returns for `action`.
#[must_use]
pub const fn ret_value(abi: Abi, action: Action) -> u32 {
    match action {
        Action::Allow => RET_ALLOW,
        Action::FakeSuccess => RET_ERRNO,
        Action::Notify => RET_USER_NOTIF,
        Action::Absent => match abi {
            Abi::Mips64el | Abi::Mipsn32el | Abi::Mipsel => RET_ERRNO | ENOSYS_MIPS,
            _ => RET_ERRNO | ENOSYS,
        },
    }
}

/// The action that a program for `abi` means by returning `value`.
#[must_use]
pub fn action_of(abi: Abi, value: u32) -> Option<Action> {
    [Action::Allow, Action::FakeSuccess, Action::Notify, Action::Absent].into_iter().find(|action| ret_value(abi, *action) == value)
}

/// The error number that `value` returns to the caller, if it is one that does.
#[must_use]
pub const fn errno_of(value: u32) -> Option<u32> {
    if value & !RET_DATA == RET_ERRNO { Some(value & RET_DATA) } else { None }
}

/// The name of what a program for `abi` compares an argument's word with.
#[must_use]
pub fn constant_name(abi: Abi, k: u32) -> Option<&'static str> {
    let ioctls = abi.inode_flag_requests().iter().zip(INODE_FLAG_NAMES);
    let prctls = CAPABILITY_PRCTLS.iter().zip(CAPABILITY_PRCTL_NAMES);
    let modes = [(&S_IFCHR, "S_IFCHR"), (&S_BLOCK, "S_IFBLK but not S_IFCHR")];
    ioctls.chain(prctls).chain(modes).find(|(value, _)| **value == k).map(|(_, name)| name)
}

/// Arguments that `when` looks at, and values for each that between them lead to every answer.
#[must_use]
pub fn witnesses(abi: Abi, when: When) -> Vec<(u8, Vec<u64>)> {
    let wide = |values: &[u32]| values.iter().copied().map(u64::from).chain([0]).collect();
    match when {
        When::Always => Vec::new(),
        When::DeviceNode { mode, dev } => vec![(mode, wide(&[S_IFREG, S_IFCHR, S_IFBLK])), (dev, vec![0, 1])],
        When::NonNull { arg } => vec![(arg, vec![0, 1])],
        When::SetsInodeFlags { request } => vec![(request, wide(abi.inode_flag_requests()))],
        When::CapabilityPrctl { option } => vec![(option, wide(&CAPABILITY_PRCTLS))],
    }
}

/// A condition on an argument's whole register, in the words of libseccomp's comparisons.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compare {
    /// The argument is not `value`.
    NotEqual {
        /// Which argument, counted from 0.
        arg: u8,
        /// What it is not.
        value: u64,
    },
    /// The argument's bits of `mask` are `value`.
    MaskedEqual {
        /// Which argument, counted from 0.
        arg: u8,
        /// The bits that count.
        mask: u64,
        /// What they are.
        value: u64,
    },
}

/// `when` on any ABI of `family` as alternatives, each of which is conditions that hold together. Without one, it always holds.
///
/// In two places this is wider than the program. A register whose upper half is not zero is not null, whatever the lower half is; and what
/// another ABI of the family calls `FS_IOC_SETFLAGS` counts on all of them.
#[must_use]
pub fn comparisons(family: &[Abi], when: When) -> Vec<Vec<Compare>> {
    let one_of = |arg: u8, values: &[u32]| {
        values.iter().map(|value| vec![Compare::MaskedEqual { arg, mask: u32::MAX.into(), value: (*value).into() }]).collect()
    };
    match when {
        When::Always => Vec::new(),
        When::DeviceNode { mode, dev } => {
            let type_is = |value: u32| Compare::MaskedEqual { arg: mode, mask: S_IFMT.into(), value: value.into() };
            vec![vec![type_is(S_IFBLK)], vec![type_is(S_IFCHR), Compare::NotEqual { arg: dev, value: 0 }]]
        }
        When::NonNull { arg } => vec![vec![Compare::NotEqual { arg, value: 0 }]],
        When::SetsInodeFlags { request } => {
            let mut requests = Vec::new();
            for request in family.iter().flat_map(|abi| abi.inode_flag_requests()) {
                if !requests.contains(request) {
                    requests.push(*request);
                }
            }
            one_of(request, &requests)
        }
        When::CapabilityPrctl { option } => one_of(option, &CAPABILITY_PRCTLS),
    }
}

/// [`When`] as one ABI means it. ABIs that share a block share the code for what they mean alike.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Test {
    Always,
    DeviceNode { mode: u8, dev: u8 },
    NonNull { arg: u8, both_words: bool },
    OneOf { arg: u8, values: &'static [u32] },
}

impl Test {
    fn new(abi: Abi, when: When) -> Test {
        match when {
            When::Always => Test::Always,
            When::DeviceNode { mode, dev } => Test::DeviceNode { mode, dev },
            When::NonNull { arg } => Test::NonNull { arg, both_words: abi.has_64bit_registers() },
            When::SetsInodeFlags { request } => Test::OneOf { arg: request, values: abi.inode_flag_requests() },
            When::CapabilityPrctl { option } => Test::OneOf { arg: option, values: &CAPABILITY_PRCTLS },
        }
    }
}

/// What is known once the number is: an answer, or arguments to look at first.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Leaf {
    test: Test,
    action: Action,
}

impl Leaf {
    const ALLOW: Leaf = Leaf { test: Test::Always, action: Action::Allow };

    /// 2 to the number of instructions from here to the end: what balances the search tree.
    fn weight(self) -> u64 {
        1 << match self.test {
            Test::Always => 1,
            Test::OneOf { values, .. } => 2 + values.len(),
            Test::NonNull { .. } => 5,
            Test::DeviceNode { .. } => 8,
        }
    }
}

/// The numbers from `start` to the next segment's start, which all have the same leaf.
#[derive(Clone, Copy)]
struct Segment {
    start: u32,
    leaf: Leaf,
}

/// All numbers of `abi` under `rules`, as segments in ascending order without gaps.
fn segments(abi: Abi, rules: &[Rule]) -> Vec<Segment> {
    let mut special: Vec<Segment> = rules
        .iter()
        .filter_map(|rule| {
            let leaf = Leaf { test: Test::new(abi, rule.when), action: rule.action };
            rule.call.nr(abi).map(|start| Segment { start, leaf })
        })
        .collect();
    special.sort_unstable_by_key(|segment| segment.start);

    let mut all = vec![Segment { start: 0, leaf: Leaf::ALLOW }];
    for Segment { start, leaf } in special {
        let last = all[all.len() - 1];
        if last.start == start {
            all.pop(); // the gap before this number is empty
        }
        if all.last().is_none_or(|last| last.leaf != leaf) {
            all.push(Segment { start, leaf });
        }
        all.push(Segment { start: start + 1, leaf: Leaf::ALLOW });
    }
    all
}

/// One audit architecture's block, entered with the program's first branch. `sharers` are the ABIs that share it: one, or x86-64 and x32.
fn emit_block(asm: &mut Assembler, sharers: &[Abi], rules: &[Rule]) {
    let mut leaves: Vec<(Leaf, Label)> = Vec::new();
    asm.load(NR);
    let (with_bit, without_bit) = (|abi: &&Abi| abi.nr_bit() != 0, |abi: &&Abi| abi.nr_bit() == 0);
    let upper = sharers.iter().find(with_bit).map(|abi| segments(*abi, rules));
    let lower = sharers.iter().find(without_bit).map(|abi| segments(*abi, rules));
    let mut entry = |asm: &mut Assembler, segments: &[Segment]| match segments {
        [only] => (leaf_label(asm, &mut leaves, only.leaf), false),
        _ => (asm.label(), true),
    };
    let mut trees = Vec::new();
    if let (Some(upper), Some(lower)) = (upper.as_ref(), lower.as_ref()) {
        let bit = sharers.iter().map(|abi| abi.nr_bit()).max().unwrap_or(0);
        let (yes, no) = (entry(asm, upper), entry(asm, lower));
        asm.branch(Cond::Ge, bit, yes.0, no.0);
        trees.push((no, lower));
        trees.push((yes, upper));
    } else if let Some(segments) = lower.as_ref().or(upper.as_ref()) {
        let only = entry(asm, segments);
        if !only.1 {
            asm.goto(only.0);
        }
        trees.push((only, segments));
    }
    for ((label, is_tree), segments) in trees {
        if is_tree {
            asm.bind(label);
            emit_tree(asm, segments, &mut leaves);
        }
    }
    emit_leaves(asm, sharers[0], leaves);
}

/// The label of `leaf`'s code, which [`emit_leaves`] emits behind the trees.
fn leaf_label(asm: &mut Assembler, leaves: &mut Vec<(Leaf, Label)>, leaf: Leaf) -> Label {
    if let Some((_, label)) = leaves.iter().find(|(known, _)| *known == leaf) {
        return *label;
    }
    let label = asm.label();
    leaves.push((leaf, label));
    label
}

/// Decides among two or more `segments` by comparisons with the accumulator, which holds the number.
fn emit_tree(asm: &mut Assembler, segments: &[Segment], leaves: &mut Vec<(Leaf, Label)>) {
    if let [below, one, above] = segments {
        if below.leaf == above.leaf && above.start - one.start == 1 {
            let (yes, no) = (leaf_label(asm, leaves, one.leaf), leaf_label(asm, leaves, below.leaf));
            asm.branch(Cond::Eq, one.start, yes, no);
            return;
        }
    }
    let (left, right) = segments.split_at(balanced_split(segments));
    let mut entry = |asm: &mut Assembler, half: &[Segment]| match half {
        [only] => leaf_label(asm, leaves, only.leaf),
        _ => asm.label(),
    };
    let (no, yes) = (entry(asm, left), entry(asm, right));
    asm.branch(Cond::Ge, right[0].start, yes, no);
    for (label, half) in [(no, left), (yes, right)] {
        if half.len() > 1 {
            asm.bind(label);
            emit_tree(asm, half, leaves);
        }
    }
}

/// Where to split `segments` so that the heavier half is as light as can be.
fn balanced_split(segments: &[Segment]) -> usize {
    let total: u64 = segments.iter().map(|segment| segment.leaf.weight()).sum();
    let mut left = 0;
    (1..segments.len())
        .min_by_key(|at| {
            left += segments[at - 1].leaf.weight();
            left.max(total - left)
        })
        .unwrap_or(1)
}

/// The argument checks, then the returns they lead to.
fn emit_leaves(asm: &mut Assembler, abi: Abi, mut leaves: Vec<(Leaf, Label)>) {
    let checks: Vec<(Leaf, Label)> = leaves.iter().copied().filter(|(leaf, _)| leaf.test != Test::Always).collect();
    leaves.retain(|(leaf, _)| leaf.test == Test::Always);
    for (leaf, label) in checks {
        let allow = leaf_label(asm, &mut leaves, Leaf::ALLOW);
        let hit = leaf_label(asm, &mut leaves, Leaf { test: Test::Always, action: leaf.action });
        asm.bind(label);
        emit_check(asm, abi, leaf.test, hit, allow);
    }
    for (leaf, label) in leaves {
        asm.bind(label);
        asm.ret(ret_value(abi, leaf.action));
    }
}

/// Goes to `hit` if the arguments meet `test`, else to `miss`.
fn emit_check(asm: &mut Assembler, abi: Abi, test: Test, hit: Label, miss: Label) {
    match test {
        Test::Always => asm.goto(hit),
        Test::DeviceNode { mode, dev } => {
            // umode_t and unsigned: the kernel looks at the low words only (fs/namei.c, mknodat).
            let (device, zero) = (asm.label(), asm.label());
            asm.load(low_word(abi, mode));
            asm.and(S_IFMT_BUT_BLOCK);
            asm.branch(Cond::Eq, S_IFCHR, device, miss);
            asm.bind(device);
            asm.load(low_word(abi, dev));
            asm.branch(Cond::Eq, 0, zero, hit);
            asm.bind(zero);
            asm.load(low_word(abi, mode));
            asm.branch(Cond::AnyBit, S_BLOCK, hit, miss);
        }
        Test::NonNull { arg, both_words } => {
            asm.load(low_word(abi, arg));
            if both_words {
                let low_is_null = asm.label();
                asm.branch(Cond::Eq, 0, low_is_null, hit);
                asm.bind(low_is_null);
                asm.load(high_word(abi, arg));
            }
            asm.branch(Cond::Eq, 0, miss, hit);
        }
        Test::OneOf { arg, values } => {
            // Of an int, as ioctl's request and prctl's option are, the kernel looks at the low word only (fs/ioctl.c, kernel/sys.c).
            asm.load(low_word(abi, arg));
            for (i, value) in values.iter().enumerate() {
                let other = if i + 1 == values.len() { miss } else { asm.label() };
                asm.branch(Cond::Eq, *value, hit, other);
                if other != miss {
                    asm.bind(other);
                }
            }
        }
    }
}

/// Offset of the low 32 bits of argument `arg`.
fn low_word(abi: Abi, arg: u8) -> u32 {
    word(arg, abi.endian() == Endian::Big)
}

/// Offset of the high 32 bits of argument `arg`.
fn high_word(abi: Abi, arg: u8) -> u32 {
    word(arg, abi.endian() == Endian::Little)
}

fn word(arg: u8, second: bool) -> u32 {
    ARGS + 8 * u32::from(arg) + if second { 4 } else { 0 }
}
