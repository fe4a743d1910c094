//! The filter's program, run by the interpreter, against the policy's rules, evaluated here without
//! the code generator.

use std::collections::BTreeMap;

use zroot::internals::arch::{Abi, Sysno};
use zroot::internals::filter::asm::{MAX_LEN, Program, op};
use zroot::internals::filter::policy::{Action, Rule, When};
use zroot::internals::filter::sim::{self, Call, Fault};
use zroot::internals::filter::{ClassSet, Level, Policy, build};

use super::input::Input;

/// `SECCOMP_RET_ALLOW`, `SECCOMP_RET_USER_NOTIF` and `SECCOMP_RET_ERRNO`,
/// include/uapi/linux/seccomp.h.
pub const ALLOW: u32 = 0x7fff_0000;
pub const USER_NOTIF: u32 = 0x7fc0_0000;
pub const ERRNO: u32 = 0x0005_0000;

const S_IFMT: u32 = 0o170_000;
const S_IFCHR: u32 = 0o020_000;
const S_IFBLK: u32 = 0o060_000;

const RLIMIT_LOCKS: u32 = 10;

/// The prctl options about what setuid and execve do to capabilities, and one that needs one.
const CAPABILITY_PRCTLS: [libc::c_int; 6] = [
    libc::PR_GET_KEEPCAPS,
    libc::PR_SET_KEEPCAPS,
    libc::PR_CAPBSET_DROP,
    libc::PR_GET_SECUREBITS,
    libc::PR_SET_SECUREBITS,
    libc::PR_CAP_AMBIENT,
];

const SET_ID_PRCTLS: [libc::c_int; 3] = [
    libc::PR_SET_MM,
    libc::PR_SET_NO_NEW_PRIVS,
    libc::PR_GET_NO_NEW_PRIVS,
];

/// The options that a condition is about.
fn options(when: When) -> Vec<u64> {
    let options = match when {
        When::CapabilityPrctl { .. } => CAPABILITY_PRCTLS.to_vec(),
        When::SetIdPrctl { .. } => SET_ID_PRCTLS.to_vec(),
        _ => [&CAPABILITY_PRCTLS[..], &SET_ID_PRCTLS].concat(),
    };
    let wide = |option: libc::c_int| u64::try_from(option).expect("a number");
    options.into_iter().map(wide).collect()
}

/// The rules of a policy by audit architecture and number, for all ABIs of a family.
pub type Rules = BTreeMap<(u32, u32), (Abi, Rule)>;

pub fn rules(family: &[Abi], policy: Policy) -> Rules {
    let rules = family
        .iter()
        .flat_map(|abi| policy.rules().map(|rule| (*abi, rule)));
    rules
        .filter_map(|(abi, rule)| Some(((abi.audit_arch(), rule.call.nr(abi)?), (abi, rule))))
        .collect()
}

/// What the kernel would take argument `i` for, on an ABI whose `int` is 32 bits wide everywhere.
fn int(call: &Call, i: u8) -> u32 {
    (call.args[usize::from(i)] & 0xffff_ffff) as u32
}

/// The answer that the policy wants, worked out without the program.
pub fn expected(rules: &Rules, call: &Call) -> u32 {
    let Some((abi, rule)) = rules.get(&(call.arch, call.nr)) else {
        return ALLOW;
    };
    let is_non_null = |arg: u8| {
        if abi.has_64bit_registers() {
            call.args[usize::from(arg)] != 0
        } else {
            int(call, arg) != 0
        }
    };
    let applies = match rule.when {
        When::Always => true,
        When::DeviceNode { mode, dev } => match int(call, mode) & S_IFMT {
            S_IFBLK => true,
            S_IFCHR => int(call, dev) != 0,
            _ => false,
        },
        When::NonNull { arg } => is_non_null(arg),
        When::IsLocksLimit { resource } => int(call, resource) == RLIMIT_LOCKS,
        When::IsLocksLimitOrNonNull { resource, arg } => {
            int(call, resource) == RLIMIT_LOCKS || is_non_null(arg)
        }
        When::SetsInodeFlags { request } => {
            [abi.fs_ioc_setflags(), abi.fs_ioc_fssetxattr()].contains(&int(call, request))
        }
        When::MakesFile { flags } => int(call, flags) & (o_creat(*abi) | O_TMPFILE) != 0,
        When::AsksForPeer { option } => peer_options(*abi).contains(&int(call, option)),
        When::IsSocketCall { call: number } => SOCKET_CALLS.contains(&int(call, number)),
        When::CapabilityPrctl { option }
        | When::SetIdPrctl { option }
        | When::PrivilegePrctl { option } => options(rule.when).contains(&int(call, option).into()),
    };
    match (applies, rule.action, abi) {
        (false, ..) | (true, Action::Allow, _) => ALLOW,
        (true, Action::FakeSuccess, _) => ERRNO,
        (true, Action::Notify, _) => USER_NOTIF,
        // ENOSYS: asm-generic/errno.h, arch/mips/include/uapi/asm/errno.h.
        (true, Action::Absent, Abi::Mips64el | Abi::Mipsn32el | Abi::Mipsel) => ERRNO + 89,
        (true, Action::Absent, _) => ERRNO + 38,
    }
}

/// include/uapi/asm-generic/fcntl.h, arch/mips/include/uapi/asm/fcntl.h.
fn o_creat(abi: Abi) -> u32 {
    match abi {
        Abi::Mips64el | Abi::Mipsn32el | Abi::Mipsel => 0x100,
        _ => 0x40,
    }
}

/// `__O_TMPFILE`, include/uapi/asm-generic/fcntl.h.
const O_TMPFILE: u32 = 0x40_0000;

/// `SYS_BIND`, `SYS_CONNECT`, `SYS_LISTEN`, `SYS_SOCKETPAIR`, `SYS_GETSOCKOPT`.
const SOCKET_CALLS: [u32; 5] = [2, 3, 4, 8, 15];

/// `SO_PEERCRED` and `SO_PEERGROUPS`.
fn peer_options(abi: Abi) -> [u32; 2] {
    match abi {
        Abi::Mips64el | Abi::Mipsn32el | Abi::Mipsel => [18, 59],
        Abi::Ppc64le => [21, 59],
        _ => [17, 59],
    }
}

/// What the arguments of `rule` are compared with, by argument.
fn constants(abi: Abi, rule: Rule) -> Vec<(u8, Vec<u64>)> {
    let file_types = || (0..16_u64).map(|kind| kind << 12).collect();
    let locks = || vec![u64::from(RLIMIT_LOCKS)];
    match rule.when {
        When::Always => Vec::new(),
        When::DeviceNode { mode, dev } => vec![(mode, file_types()), (dev, vec![0])],
        When::NonNull { arg } => vec![(arg, vec![0])],
        When::SetsInodeFlags { request } => {
            let requests = [abi.fs_ioc_setflags(), abi.fs_ioc_fssetxattr()];
            vec![(request, requests.map(u64::from).to_vec())]
        }
        When::MakesFile { flags } => {
            let bits = [o_creat(abi), O_TMPFILE].map(u64::from);
            vec![(flags, bits.to_vec())]
        }
        When::CapabilityPrctl { option }
        | When::SetIdPrctl { option }
        | When::PrivilegePrctl { option } => vec![(option, options(rule.when))],
        When::IsLocksLimit { resource } => vec![(resource, locks())],
        When::IsLocksLimitOrNonNull { resource, arg } => vec![(resource, locks()), (arg, vec![0])],
        When::AsksForPeer { option } => {
            vec![(option, peer_options(abi).map(u64::from).to_vec())]
        }
        When::IsSocketCall { call } => vec![(call, SOCKET_CALLS.map(u64::from).to_vec())],
    }
}

/// What the kernel demands of a program before it is run (net/core/filter.c, `bpf_check_classic`;
/// kernel/seccomp.c, `seccomp_check_filter`), and what zroot demands: it may look at anything but
/// the instruction pointer.
pub fn verify(program: &Program, what: &str) {
    assert!((1..=MAX_LEN).contains(&program.len()), "{what}");
    for (at, insn) in program.iter().enumerate() {
        let left = program.len() - at - 1;
        let sound = match insn.code {
            op::LOAD => insn.k % 4 == 0 && insn.k < 64 && !(8..16).contains(&insn.k),
            op::AND | op::RET => true,
            op::GOTO => (insn.k as usize) < left,
            op::JEQ | op::JGE | op::JSET => usize::from(insn.jt.max(insn.jf)) < left,
            _ => false,
        };
        assert!(sound, "{what}: instruction {at}: {insn:x?}");
    }
    assert_eq!(program[program.len() - 1].code, op::RET, "{what}");
}

/// A program beside what it is to answer.
pub struct Checked {
    policy: Policy,
    family: &'static [Abi],
    rules: Rules,
    pub program: Program,
    /// The numbers that have a row, whether they have a rule or not.
    numbers: Vec<(Abi, u32)>,
}

impl Checked {
    /// That of the kernel of `native` for `policy`.
    pub fn new(native: Abi, policy: Policy) -> Checked {
        let family = native.family();
        let numbers = family.iter().flat_map(|abi| {
            let numbers = Sysno::ALL.iter().filter_map(|call| call.nr(*abi));
            numbers.map(|nr| (*abi, nr))
        });
        let program = build(family, policy);
        let program = program.unwrap_or_else(|error| panic!("{native} {policy}: {error}"));
        verify(&program, &format!("{native} {policy}"));
        Checked {
            policy,
            family,
            rules: rules(family, policy),
            program,
            numbers: numbers.collect(),
        }
    }

    /// The call that `input` chooses.
    fn call(&self, input: &mut Input) -> Call {
        let (abi, nr) = input.pick(&self.numbers);
        let (mut arch, mut nr) = (abi.audit_arch(), nr);
        match input.byte() % 16 {
            0 => nr = nr.wrapping_add(1),
            1 => nr = nr.wrapping_sub(1),
            2 => nr ^= 1 << (input.byte() % 32),
            3 => arch ^= 1 << (input.byte() % 32),
            4 => arch = input.pick(&Abi::ALL).audit_arch(),
            5 => (arch, nr) = (input.word(), input.word()),
            6 => nr = input.word(),
            _ => {}
        }
        let mut args = [(); 6].map(|()| input.near(&[0, u64::MAX]));
        if let Some((abi, rule)) = self.rules.get(&(arch, nr)) {
            for (arg, constants) in constants(*abi, *rule) {
                args[usize::from(arg)] = input.near(&constants);
            }
        }
        Call { arch, nr, args }
    }

    /// Has a call answered: what is said, and what the policy wants.
    fn ask(&self, call: &Call) -> (Result<u32, Fault>, u32) {
        let outcome = sim::run(&self.program, self.family[0].endian(), call);
        (
            outcome.map(|outcome| outcome.value),
            expected(&self.rules, call),
        )
    }

    /// Has the calls that `bytes` choose answered, and returns how many these are.
    pub fn check(&self, bytes: &[u8]) -> u64 {
        let (mut input, mut count) = (Input::new(bytes), 0);
        while !input.is_empty() {
            let call = self.call(&mut input);
            let (said, wanted) = self.ask(&call);
            let Checked { family, policy, .. } = self;
            assert_eq!(said, Ok(wanted), "{family:?} {policy}: {call:x?}");
            count += 1;
        }
        count
    }

    /// Whether one of these calls is answered wrongly.
    pub fn finds_fault(&self, bytes: &[u8]) -> bool {
        let mut input = Input::new(bytes);
        while !input.is_empty() {
            let (said, wanted) = self.ask(&self.call(&mut input));
            if said != Ok(wanted) {
                return true;
            }
        }
        false
    }
}

/// A kernel, a policy, and the calls that follow.
pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let native = input.pick(&Abi::ALL);
    let policy = Policy {
        level: input.pick(&Level::ALL),
        classes: ClassSet::from_bits(input.word()),
        is_watched: input.byte() % 2 == 1,
        is_saved: input.byte() % 2 == 1,
    };
    Checked::new(native, policy).check(input.rest());
}
