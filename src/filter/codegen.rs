//! Policy x table -> program. The only place that knows the layout of `struct seccomp_data` and the
//! return values.
//!
//! Pure: no system call, no environment, no `cfg`; a program for any family can be built on any
//! machine.
//!
//! ```text
//! load arch
//! first audit architecture? -> its block, else go on
//!   load nr; [without x32's bit;] search tree
//! second audit architecture? ...
//! allow
//! for the few numbers that x32 has to itself: load nr; x32's bit?; argument checks; returns
//! ```
//!
//! Where conditional jumps (255 instructions at most) do not reach so far, each block has checks
//! and returns of its own. Arguments are loaded only after the number has matched:
//! `seccomp_is_const_allow()` (kernel/seccomp.c, since 5.11) then marks every other number as
//! always allowed, and the kernel does not run the program for it at all. To find that out it
//! follows the program once for each number of each audit architecture, 2 ns an instruction, which
//! is half of what installing a filter costs: so the trees are shallow where most numbers are.

use std::collections::BTreeMap;

use crate::arch::{Abi, Endian, Sysno};
use crate::filter::asm::{AsmError, Assembler, Cond, Label, Program};
use crate::filter::policy::{Action, Policy, Rule, When};

/// Offsets in `struct seccomp_data`, include/uapi/linux/seccomp.h: `int nr; u32 arch; u64
/// instruction_pointer; u64 args[6];`.
pub const NR: u32 = 0;
/// The audit architecture's.
pub const ARCH: u32 = 4;
/// The first argument's.
pub const ARGS: u32 = 16;

/// `SECCOMP_RET_ALLOW`, `SECCOMP_RET_USER_NOTIF` and `SECCOMP_RET_ERRNO`,
/// include/uapi/linux/seccomp.h. The errno is in the low 16 bits.
const RET_ALLOW: u32 = 0x7fff_0000;
const RET_USER_NOTIF: u32 = 0x7fc0_0000;
const RET_ERRNO: u32 = 0x0005_0000;
const RET_DATA: u32 = 0xffff;
/// ENOSYS of the ABIs whose error numbers follow asm-generic, and that of mips.
const ENOSYS: u32 = 38;
const ENOSYS_MIPS: u32 = 89;

/// `S_IFBLK` is 0x6000, `S_IFCHR` 0x2000 (include/uapi/linux/stat.h): of the type's four bits, they
/// differ in `S_BLOCK` only.
const S_IFCHR: u32 = 0x2000;
const S_IFMT_BUT_BLOCK: u32 = 0xb000;
const S_BLOCK: u32 = 0x4000;
const S_IFMT: u32 = S_IFMT_BUT_BLOCK | S_BLOCK;
const S_IFBLK: u32 = S_IFCHR | S_BLOCK;
const S_IFREG: u32 = 0x8000;

/// Options of prctl, include/uapi/linux/prctl.h.
const PRCTL_NAMES: [(u32, &str); 9] = [
    (7, "PR_GET_KEEPCAPS"),
    (8, "PR_SET_KEEPCAPS"),
    (24, "PR_CAPBSET_DROP"),
    (27, "PR_GET_SECUREBITS"),
    (28, "PR_SET_SECUREBITS"),
    (35, "PR_SET_MM"),
    (38, "PR_SET_NO_NEW_PRIVS"),
    (39, "PR_GET_NO_NEW_PRIVS"),
    (47, "PR_CAP_AMBIENT"),
];
/// In ascending order, as [`emit_one_of`] needs them.
const CAPABILITY_PRCTLS: &[u32] = &[7, 8, 24, 27, 28, 47];
const SET_ID_PRCTLS: &[u32] = &[35, 38, 39];
const PRIVILEGE_PRCTLS: &[u32] = &[7, 8, 24, 27, 28, 35, 38, 39, 47];
/// `RLIMIT_LOCKS`, include/uapi/asm-generic/resource.h; no ABI of the matrix has another.
const RLIMIT_LOCKS: u32 = 10;
/// `SYS_BIND`, `SYS_CONNECT`, `SYS_LISTEN`, `SYS_SOCKETPAIR` and `SYS_GETSOCKOPT`,
/// include/uapi/linux/net.h.
const SOCKET_CALLS: [u32; 5] = [2, 3, 4, 8, 15];
const SOCKET_CALL_NAMES: [&str; 5] = [
    "SYS_BIND",
    "SYS_CONNECT",
    "SYS_LISTEN",
    "SYS_SOCKETPAIR",
    "SYS_GETSOCKOPT",
];
const PEER_OPTION_NAMES: [&str; 2] = ["SO_PEERCRED", "SO_PEERGROUPS"];
const INODE_FLAG_NAMES: [&str; 2] = ["FS_IOC_SETFLAGS", "FS_IOC_FSSETXATTR"];

/// Builds the filter that answers for every ABI of `family` (see [`Abi::family`]) as `policy` says.
/// Calls through other ABIs are allowed.
///
/// # Errors
/// [`AsmError`], which is a mistake in this module: `tests/it/filter/program.rs` builds every
/// policy for every family.
pub fn build(family: &[Abi], policy: Policy) -> Result<Program, AsmError> {
    let rules: Vec<Rule> = policy.rules().collect();
    match assemble(family, &rules, Layout::Shared) {
        Err(AsmError::TooFar(_)) => assemble(family, &rules, Layout::Separate),
        done => done,
    }
}

/// Where the code is that the search trees lead to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Behind all blocks, once.
    Shared,
    /// Behind each block, where conditional jumps reach it whatever the others' length.
    Separate,
}

fn assemble(family: &[Abi], rules: &[Rule], layout: Layout) -> Result<Program, AsmError> {
    let mut asm = Assembler::default();
    let mut leaves = Leaves::default();
    asm.load(ARCH);
    for (i, abi) in family.iter().enumerate() {
        let audit_arch = abi.audit_arch();
        if family[..i]
            .iter()
            .any(|earlier| earlier.audit_arch() == audit_arch)
        {
            continue; // its block is already there
        }
        let sharers: Vec<Abi> = family
            .iter()
            .copied()
            .filter(|other| other.audit_arch() == audit_arch)
            .collect();
        let (block, next) = (asm.label(), asm.label());
        if layout == Layout::Shared {
            asm.branch(Cond::Eq, audit_arch, block, next);
        } else {
            let skip = asm.label();
            asm.branch(Cond::Eq, audit_arch, block, skip);
            asm.bind(skip);
            asm.goto(next);
        }
        asm.bind(block);
        emit_block(&mut asm, &sharers, rules, &mut leaves);
        if layout == Layout::Separate {
            std::mem::take(&mut leaves).emit(&mut asm, *abi);
        }
        asm.bind(next);
    }
    asm.ret(RET_ALLOW);
    leaves.emit(&mut asm, family[0]);
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
    [
        Action::Allow,
        Action::FakeSuccess,
        Action::Notify,
        Action::Absent,
    ]
    .into_iter()
    .find(|action| ret_value(abi, *action) == value)
}

/// The error number that `value` returns to the caller, if it is one that does.
#[must_use]
pub const fn errno_of(value: u32) -> Option<u32> {
    if value & !RET_DATA == RET_ERRNO {
        Some(value & RET_DATA)
    } else {
        None
    }
}

/// The name of what a program for `abi` compares an argument's word with: of `call`, if that is
/// known.
#[must_use]
pub fn constant_name(abi: Abi, call: Option<Sysno>, k: u32) -> Option<&'static str> {
    if call == Some(Sysno::socketcall) {
        let at = SOCKET_CALLS.iter().position(|value| *value == k)?;
        return SOCKET_CALL_NAMES.get(at).copied();
    }
    let ioctls = abi.inode_flag_requests().iter().zip(INODE_FLAG_NAMES);
    let prctls = PRCTL_NAMES.iter().map(|(value, name)| (value, *name));
    let makes_file = abi.open_flags_that_make();
    let others = [
        (&makes_file, "O_CREAT or O_TMPFILE"),
        (&S_IFCHR, "S_IFCHR"),
        (&S_BLOCK, "S_IFBLK but not S_IFCHR"),
        (&RLIMIT_LOCKS, "RLIMIT_LOCKS"),
    ];
    let options = abi.peer_options().iter().zip(PEER_OPTION_NAMES);
    ioctls
        .chain(prctls)
        .chain(options)
        .chain(others)
        .find(|(value, _)| **value == k)
        .map(|(_, name)| name)
}

/// Arguments that `when` looks at, and values for each that between them lead to every answer.
#[must_use]
pub fn witnesses(abi: Abi, when: When) -> Vec<(u8, Vec<u64>)> {
    let wide = |values: &[u32]| values.iter().copied().map(u64::from).chain([0]).collect();
    match when {
        When::Always => Vec::new(),
        When::DeviceNode { mode, dev } => vec![
            (mode, wide(&[S_IFREG, S_IFCHR, S_IFBLK])),
            (dev, vec![0, 1]),
        ],
        When::NonNull { arg } => vec![(arg, vec![0, 1])],
        When::SetsInodeFlags { request } => vec![(request, wide(abi.inode_flag_requests()))],
        When::MakesFile { flags } => {
            let any = abi.open_flags_that_make();
            let each = (0..u32::BITS)
                .map(|bit| 1 << bit)
                .filter(|bit| any & bit != 0);
            vec![(flags, wide(&each.collect::<Vec<u32>>()))]
        }
        When::CapabilityPrctl { option } => vec![(option, wide(CAPABILITY_PRCTLS))],
        When::SetIdPrctl { option } => vec![(option, wide(SET_ID_PRCTLS))],
        When::PrivilegePrctl { option } => vec![(option, wide(PRIVILEGE_PRCTLS))],
        When::IsLocksLimit { resource } => vec![(resource, wide(&[RLIMIT_LOCKS]))],
        When::IsLocksLimitOrNonNull { resource, arg } => {
            vec![(resource, wide(&[RLIMIT_LOCKS])), (arg, vec![0, 1])]
        }
        When::AsksForPeer { option } => vec![(option, wide(abi.peer_options()))],
        When::IsSocketCall { call } => vec![(call, wide(&SOCKET_CALLS))],
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

/// `when` on any ABI of `family` as alternatives, each of which is conditions that hold together.
/// Without one, it always holds.
///
/// In two places this is wider than the program. A register whose upper half is not zero is not
/// null, whatever the lower half is; and what another ABI of the family calls `FS_IOC_SETFLAGS`
/// counts on all of them.
#[must_use]
pub fn comparisons(family: &[Abi], when: When) -> Vec<Vec<Compare>> {
    let one_of = |arg: u8, values: &[u32]| -> Vec<Vec<Compare>> {
        values
            .iter()
            .map(|value| {
                vec![Compare::MaskedEqual {
                    arg,
                    mask: u32::MAX.into(),
                    value: (*value).into(),
                }]
            })
            .collect()
    };
    match when {
        When::Always => Vec::new(),
        When::DeviceNode { mode, dev } => {
            let type_is = |value: u32| Compare::MaskedEqual {
                arg: mode,
                mask: S_IFMT.into(),
                value: value.into(),
            };
            vec![
                vec![type_is(S_IFBLK)],
                vec![type_is(S_IFCHR), Compare::NotEqual { arg: dev, value: 0 }],
            ]
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
        When::MakesFile { flags } => {
            let any = family.first().map_or(0, |abi| abi.open_flags_that_make());
            let each = (0..u32::BITS)
                .map(|bit| 1 << bit)
                .filter(|bit| any & bit != 0);
            let is_set = |bit: u32| Compare::MaskedEqual {
                arg: flags,
                mask: bit.into(),
                value: bit.into(),
            };
            each.map(|bit| vec![is_set(bit)]).collect()
        }
        When::CapabilityPrctl { option } => one_of(option, CAPABILITY_PRCTLS),
        When::SetIdPrctl { option } => one_of(option, SET_ID_PRCTLS),
        When::PrivilegePrctl { option } => one_of(option, PRIVILEGE_PRCTLS),
        When::IsLocksLimit { resource } => one_of(resource, &[RLIMIT_LOCKS]),
        When::IsLocksLimitOrNonNull { resource, arg } => {
            let mut all = one_of(resource, &[RLIMIT_LOCKS]);
            all.push(vec![Compare::NotEqual { arg, value: 0 }]);
            all
        }
        // The ABIs of a family have the same numbers.
        When::AsksForPeer { option } => {
            let options = family.first().map(|abi| abi.peer_options());
            one_of(option, options.unwrap_or_default())
        }
        When::IsSocketCall { call } => one_of(call, &SOCKET_CALLS),
    }
}

/// [`When`] as one ABI means it. ABIs that share a block share the code for what they mean alike.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Test {
    Always,
    DeviceNode {
        mode: u8,
        dev: u8,
    },
    NonNull(Pointer),
    OneOf {
        arg: u8,
        values: &'static [u32],
    },
    OneOfOrNonNull {
        arg: u8,
        values: &'static [u32],
        pointer: Pointer,
    },
    AnyBit {
        arg: u8,
        bits: u32,
    },
}

/// A pointer argument, and whether its upper half counts.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Pointer {
    arg: u8,
    both_words: bool,
}

impl Test {
    fn new(abi: Abi, when: When) -> Test {
        let pointer = |arg| Pointer {
            arg,
            both_words: abi.has_64bit_registers(),
        };
        match when {
            When::Always => Test::Always,
            When::DeviceNode { mode, dev } => Test::DeviceNode { mode, dev },
            When::NonNull { arg } => Test::NonNull(pointer(arg)),
            When::SetsInodeFlags { request } => Test::OneOf {
                arg: request,
                values: abi.inode_flag_requests(),
            },
            When::CapabilityPrctl { option } => Test::OneOf {
                arg: option,
                values: CAPABILITY_PRCTLS,
            },
            When::SetIdPrctl { option } => Test::OneOf {
                arg: option,
                values: SET_ID_PRCTLS,
            },
            When::PrivilegePrctl { option } => Test::OneOf {
                arg: option,
                values: PRIVILEGE_PRCTLS,
            },
            When::MakesFile { flags } => Test::AnyBit {
                arg: flags,
                bits: abi.open_flags_that_make(),
            },
            When::IsLocksLimit { resource } => Test::OneOf {
                arg: resource,
                values: &[RLIMIT_LOCKS],
            },
            When::IsLocksLimitOrNonNull { resource, arg } => Test::OneOfOrNonNull {
                arg: resource,
                values: &[RLIMIT_LOCKS],
                pointer: pointer(arg),
            },
            When::AsksForPeer { option } => Test::OneOf {
                arg: option,
                values: abi.peer_options(),
            },
            When::IsSocketCall { call } => Test::OneOf {
                arg: call,
                values: &SOCKET_CALLS,
            },
        }
    }
}

/// What an ABI's number comes to: an action, or arguments to look at first.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Answer {
    test: Test,
    action: Action,
}

impl Answer {
    const ALLOW: Answer = Answer {
        test: Test::Always,
        action: Action::Allow,
    };

    /// The number of instructions from here to the end.
    fn len(self) -> usize {
        match self.test {
            Test::Always => 1,
            Test::AnyBit { .. } => 3,
            Test::OneOf { values, .. } => 2 + one_of_len(values.len()),
            Test::NonNull(_) => 5,
            Test::OneOfOrNonNull { values, .. } => 6 + one_of_len(values.len()),
            Test::DeviceNode { .. } => 8,
        }
    }
}

/// What is known once the number is, but for x32's bit.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Leaf {
    without_bit: Answer,
    /// For x32, where it differs.
    with_bit: Option<(u32, Answer)>,
}

impl Leaf {
    const ALLOW: Leaf = Leaf::of(Answer::ALLOW);

    const fn of(answer: Answer) -> Leaf {
        Leaf {
            without_bit: answer,
            with_bit: None,
        }
    }

    /// The number of instructions from here to the end.
    fn len(self) -> usize {
        self.with_bit.map_or(self.without_bit.len(), |(_, answer)| {
            2 + self.without_bit.len().max(answer.len())
        })
    }
}

/// The leaves that trees lead to, with the labels of their code.
#[derive(Default)]
struct Leaves(Vec<(Leaf, Label)>);

impl Leaves {
    fn label(&mut self, asm: &mut Assembler, leaf: Leaf) -> Label {
        if let Some((_, label)) = self.0.iter().find(|(known, _)| *known == leaf) {
            return *label;
        }
        let label = asm.label();
        self.0.push((leaf, label));
        label
    }

    /// Emits the code of those that `is` is true of, which asks for the others that it leads to.
    fn emit_those(
        &mut self,
        asm: &mut Assembler,
        is: fn(Leaf) -> bool,
        emit: impl Fn(&mut Leaves, &mut Assembler, Leaf),
    ) {
        let those: Vec<(Leaf, Label)> = self
            .0
            .iter()
            .copied()
            .filter(|(leaf, _)| is(*leaf))
            .collect();
        self.0.retain(|(leaf, _)| !is(*leaf));
        for (leaf, label) in those {
            asm.bind(label);
            emit(self, asm, leaf);
        }
    }

    /// Emits the code: what leads to others first. `abi` stands for its family, where byte order
    /// and error numbers are the same.
    fn emit(mut self, asm: &mut Assembler, abi: Abi) {
        self.emit_those(
            asm,
            |leaf| leaf.with_bit.is_some(),
            |leaves, asm, leaf| {
                if let Some((bit, answer)) = leaf.with_bit {
                    let (yes, no) = (
                        leaves.label(asm, Leaf::of(answer)),
                        leaves.label(asm, Leaf::of(leaf.without_bit)),
                    );
                    asm.load(NR);
                    asm.branch(Cond::Ge, bit, yes, no);
                }
            },
        );
        self.emit_those(
            asm,
            |leaf| leaf.without_bit.test != Test::Always,
            |leaves, asm, leaf| {
                let Answer { test, action } = leaf.without_bit;
                let miss = leaves.label(asm, Leaf::ALLOW);
                let hit = leaves.label(
                    asm,
                    Leaf::of(Answer {
                        test: Test::Always,
                        action,
                    }),
                );
                emit_check(asm, abi, test, hit, miss);
            },
        );
        self.emit_those(
            asm,
            |_| true,
            |_, asm, leaf| asm.ret(ret_value(abi, leaf.without_bit.action)),
        );
    }
}

/// The numbers from `start` to the next segment's start, which all have the same leaf.
#[derive(Clone, Copy)]
struct Segment {
    start: u32,
    leaf: Leaf,
}

/// Numbers below this are counted as calls (`NR_syscalls`, of which kernels have no more yet).
const CALLS: u32 = 512;

/// What balances a search tree: 2 to the number of instructions that the segment before `end` leads
/// to, for the worst case; and the calls in it, for their average.
fn weight(segment: Segment, end: u32) -> u64 {
    let calls = end.min(CALLS).saturating_sub(segment.start);
    (1 << segment.leaf.len()) + u64::from(calls)
}

/// All numbers of `sharers` under `rules`, x32's without their bit, as segments in ascending order
/// without gaps.
fn segments(sharers: &[Abi], rules: &[Rule]) -> Vec<Segment> {
    let bit = sharers.iter().fold(0, |bit, abi| bit | abi.nr_bit());
    let has_other = |bit: u32| sharers.iter().any(|abi| abi.nr_bit() == bit);
    let mut special: BTreeMap<u32, [Answer; 2]> = BTreeMap::new();
    for abi in sharers {
        for rule in rules {
            if let Some(nr) = rule.call.nr(*abi) {
                let answer = Answer {
                    test: Test::new(*abi, rule.when),
                    action: rule.action,
                };
                special.entry(nr & !bit).or_insert([Answer::ALLOW; 2])
                    [usize::from(abi.nr_bit() != 0)] = answer;
            }
        }
    }
    let mut all = vec![Segment {
        start: 0,
        leaf: Leaf::ALLOW,
    }];
    for (start, [without_bit, with_bit]) in special {
        let leaf = match (has_other(0), has_other(bit) && bit != 0) {
            (true, true) if with_bit != without_bit => Leaf {
                without_bit,
                with_bit: Some((bit, with_bit)),
            },
            (true, _) => Leaf::of(without_bit),
            (false, _) => Leaf::of(with_bit),
        };
        let last = all[all.len() - 1];
        if last.start == start {
            all.pop(); // the gap before this number is empty
        }
        if all.last().is_none_or(|last| last.leaf != leaf) {
            all.push(Segment { start, leaf });
        }
        all.push(Segment {
            start: start + 1,
            leaf: Leaf::ALLOW,
        });
    }
    all
}

/// One audit architecture's block, entered with the program's first branch. `sharers` are the ABIs
/// that share it: one, or x86-64 and x32.
fn emit_block(asm: &mut Assembler, sharers: &[Abi], rules: &[Rule], leaves: &mut Leaves) {
    let bit = sharers.iter().fold(0, |bit, abi| bit | abi.nr_bit());
    let segments = segments(sharers, rules);
    asm.load(NR);
    if bit != 0 {
        asm.and(!bit);
    }
    match segments[..] {
        [only] => {
            let label = leaves.label(asm, only.leaf);
            asm.goto(label);
        }
        _ => emit_tree(asm, &segments, u32::MAX, leaves),
    }
}

/// Decides among two or more `segments` before `end` by comparisons with the accumulator, which
/// holds the number.
fn emit_tree(asm: &mut Assembler, segments: &[Segment], end: u32, leaves: &mut Leaves) {
    if let [below, one, above] = segments {
        if below.leaf == above.leaf && above.start - one.start == 1 {
            let (yes, no) = (leaves.label(asm, one.leaf), leaves.label(asm, below.leaf));
            asm.branch(Cond::Eq, one.start, yes, no);
            return;
        }
    }
    let (left, right) = segments.split_at(balanced_split(segments, end));
    let mut entry = |asm: &mut Assembler, half: &[Segment]| match half {
        [only] => leaves.label(asm, only.leaf),
        _ => asm.label(),
    };
    let (no, yes) = (entry(asm, left), entry(asm, right));
    asm.branch(Cond::Ge, right[0].start, yes, no);
    for (label, half, end) in [(no, left, right[0].start), (yes, right, end)] {
        if half.len() > 1 {
            asm.bind(label);
            emit_tree(asm, half, end, leaves);
        }
    }
}

/// Where to split `segments` before `end` so that the heavier half is as light as can be.
fn balanced_split(segments: &[Segment], end: u32) -> usize {
    let ends = segments[1..].iter().map(|next| next.start).chain([end]);
    let weights: Vec<u64> = segments
        .iter()
        .zip(ends)
        .map(|(segment, end)| weight(*segment, end))
        .collect();
    let total: u64 = weights.iter().sum();
    let mut left = 0;
    (1..segments.len())
        .min_by_key(|at| {
            left += weights[at - 1];
            left.max(total - left)
        })
        .unwrap_or(1)
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
        Test::NonNull(pointer) => emit_non_null(asm, abi, pointer, hit, miss),
        Test::AnyBit { arg, bits } => {
            // An int: the kernel looks at the low word only.
            asm.load(low_word(abi, arg));
            asm.branch(Cond::AnyBit, bits, hit, miss);
        }
        Test::OneOf { arg, values } => emit_one_of(asm, abi, arg, values, hit, miss),
        Test::OneOfOrNonNull {
            arg,
            values,
            pointer,
        } => {
            let other = asm.label();
            emit_one_of(asm, abi, arg, values, hit, other);
            asm.bind(other);
            emit_non_null(asm, abi, pointer, hit, miss);
        }
    }
}

fn emit_non_null(asm: &mut Assembler, abi: Abi, pointer: Pointer, hit: Label, miss: Label) {
    asm.load(low_word(abi, pointer.arg));
    if pointer.both_words {
        let low_is_null = asm.label();
        asm.branch(Cond::Eq, 0, low_is_null, hit);
        asm.bind(low_is_null);
        asm.load(high_word(abi, pointer.arg));
    }
    asm.branch(Cond::Eq, 0, miss, hit);
}

fn emit_one_of(asm: &mut Assembler, abi: Abi, arg: u8, values: &[u32], hit: Label, miss: Label) {
    // Of an int, as ioctl's request, prctl's option and a limit's number are, the kernel looks at
    // the low word only (fs/ioctl.c, kernel/sys.c, net/socket.c).
    asm.load(low_word(abi, arg));
    emit_values(asm, values, hit, miss);
}

/// As many values are compared one after the other. Of more, which are in ascending order, one half
/// is.
const FEW: usize = 6;

/// Goes to `hit` if the accumulator is one of `values`, else to `miss`.
fn emit_values(asm: &mut Assembler, values: &[u32], hit: Label, miss: Label) {
    if values.len() > FEW {
        let (below, above) = values.split_at(values.len() / 2);
        let (yes, no) = (asm.label(), asm.label());
        asm.branch(Cond::Ge, above[0], yes, no);
        for (label, half) in [(no, below), (yes, above)] {
            asm.bind(label);
            emit_values(asm, half, hit, miss);
        }
        return;
    }
    for (i, value) in values.iter().enumerate() {
        let other = if i + 1 == values.len() {
            miss
        } else {
            asm.label()
        };
        asm.branch(Cond::Eq, *value, hit, other);
        if other != miss {
            asm.bind(other);
        }
    }
}

/// The number of comparisons with one of `count` values, at most.
fn one_of_len(count: usize) -> usize {
    if count > FEW {
        1 + one_of_len(count - count / 2)
    } else {
        count
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
