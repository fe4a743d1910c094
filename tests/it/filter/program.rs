//! The interpreter on the programs themselves: every family, every ABI in it, every number, and
//! arguments taken from the rules, against an answer worked out from the policy alone. What a
//! kernel of another byte order or ABI does with a program shows only here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use proptest::collection::btree_map;
use proptest::prelude::*;
use zroot::internals::arch::{Abi, Endian, Sysno};
use zroot::internals::filter::asm::{AsmError, Assembler, Cond, MAX_LEN, Program, op, sock_filter};
use zroot::internals::filter::policy::{Action, Rule, When};
use zroot::internals::filter::sim::{self, Call, Fault};
use zroot::internals::filter::{Class, ClassSet, Level, Policy, build, disasm};

use crate::fuzz::bodies::policy::{ALLOW, ERRNO, Rules, USER_NOTIF, expected, rules, verify};

/// The classes of a user who forbids himself the user namespace.
const NEVER: ClassSet = ClassSet::DEFAULT.with(Class::Getid);

/// The policies whose every answer is looked at.
fn policies() -> impl Iterator<Item = Policy> {
    Level::ALL.into_iter().flat_map(|level| {
        let single = Class::ALL
            .into_iter()
            .map(|class| ClassSet::EMPTY.with(class));
        let sets = [
            level.default_classes(),
            NEVER,
            ClassSet::ALL,
            ClassSet::EMPTY,
        ]
        .into_iter()
        .chain(single);
        sets.flat_map(move |classes| {
            [(false, false), (true, false), (false, true)].map(|(is_watched, is_saved)| Policy {
                level,
                classes,
                is_watched,
                is_saved,
            })
        })
    })
}

/// Policies of all kinds: of each level those with at most two classes, those without at most two,
/// and some between. `cargo test --release --test trust -- --full policy` has every one there is.
fn many_policies() -> impl Iterator<Item = Policy> {
    Level::ALL.into_iter().flat_map(|level| {
        let all = level.classes();
        // A class without rules makes no difference.
        let is_of_level = move |set: &ClassSet| set.minus(all) == ClassSet::EMPTY;
        let sets = (0..=ClassSet::ALL.bits())
            .map(ClassSet::from_bits)
            .filter(is_of_level);
        let count = |set: ClassSet| set.iter().count();
        let is_chosen = move |(number, set): &(usize, ClassSet)| {
            count(*set) <= 2 || count(all.minus(*set)) <= 2 || number % 1009 == 0
        };
        let chosen = sets.enumerate().filter(is_chosen);
        chosen.flat_map(move |(_, classes)| {
            [false, true].map(|is_watched| Policy {
                level,
                classes,
                is_watched,
                is_saved: !is_watched,
            })
        })
    })
}

const JUNK: u64 = 0xdead_beef_0000_0000;

const POINTERS: [u64; 8] = [
    0,
    1,
    0x1000,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    1 << 63,
    JUNK,
];

const LIMITS: [u64; 8] = [0, 2, 9, 10, 11, 0x8000_000a, JUNK + 10, JUNK];

/// Arguments that every number gets, and those that decide whether `rule` applies.
fn arguments(rule: Option<(Abi, Rule)>) -> Vec<[u64; 6]> {
    let mut all = vec![[0; 6], [u64::MAX; 6], [JUNK; 6]];
    let mut put = |places: &[(u8, u64)]| {
        let mut args = [0x5a5a_5a5a_5a5a_5a5a; 6];
        for (at, value) in places {
            args[usize::from(*at)] = *value;
        }
        all.push(args);
    };
    match rule.map(|(abi, rule)| (abi, rule.when)) {
        None | Some((_, When::Always)) => {}
        Some((_, When::DeviceNode { mode, dev })) => {
            for file_type in 0..16_u64 {
                for permissions in [0, 0o644, 0o7777, 0xffff_0000, JUNK] {
                    for number in [0, 1, 0x103, 0x8000_0000, 0xffff_ffff, JUNK, JUNK | 0x103] {
                        put(&[(mode, file_type << 12 | permissions), (dev, number)]);
                    }
                }
            }
        }
        Some((_, When::NonNull { arg })) => {
            for pointer in POINTERS {
                put(&[(arg, pointer)]);
            }
        }
        Some((_, When::IsLocksLimit { resource })) => {
            for limit in LIMITS {
                put(&[(resource, limit)]);
            }
        }
        Some((_, When::IsLocksLimitOrNonNull { resource, arg })) => {
            for limit in LIMITS {
                for pointer in POINTERS {
                    put(&[(resource, limit), (arg, pointer)]);
                }
            }
        }
        Some((abi, When::SetsInodeFlags { request })) => {
            // Off by one, reading instead of writing, and what ABIs with another `long` or ioctl
            // encoding call the same.
            let foreign = Abi::ALL
                .into_iter()
                .flat_map(|abi| [abi.fs_ioc_setflags(), abi.fs_ioc_fssetxattr()]);
            let near = [abi.fs_ioc_setflags(), abi.fs_ioc_fssetxattr()]
                .into_iter()
                .flat_map(|nr| [nr - 1, nr + 1, nr ^ 0xc000_0000]);
            for nr in foreign.chain(near).collect::<BTreeSet<_>>() {
                put(&[(request, nr.into())]);
                put(&[(request, JUNK | u64::from(nr))]);
            }
        }
        Some((_, When::MakesFile { flags })) => {
            for bit in 0..64 {
                put(&[(flags, 1 << bit)]);
                put(&[(flags, !(1 << bit))]);
                put(&[(flags, JUNK | 1 << bit)]);
            }
        }
        Some((_, When::AsksForPeer { option })) => {
            for number in (0..64).chain([0x8000_0011, JUNK + 17, JUNK + 59]) {
                put(&[(option, number)]);
            }
        }
        Some((_, When::IsSocketCall { call })) => {
            for number in (0..32).chain([0x8000_0002, JUNK + 15, JUNK + 16]) {
                put(&[(call, number)]);
            }
        }
        Some((
            _,
            When::CapabilityPrctl { option }
            | When::SetIdPrctl { option }
            | When::PrivilegePrctl { option },
        )) => {
            for number in (0..100).chain([0x8000_0007, 0xffff_fff8]) {
                put(&[(option, number)]);
                put(&[(option, JUNK | number)]);
            }
        }
    }
    all
}

/// The numbers to try through `abi`: all that could be calls, and some that could not.
fn numbers(abi: Abi) -> impl Iterator<Item = u32> {
    let base = match abi {
        Abi::X32 => 0x4000_0000,
        Abi::Mips64el => 5000,
        Abi::Mipsn32el => 6000,
        Abi::Mipsel => 4000,
        _ => 0,
    };
    let limits = [
        0xffff_ffff,
        0x4000_0000,
        0x7fff_ffff,
        0x8000_0000,
        0xc000_0000,
        0xbfff_ffff,
        0xffff,
    ];
    // A number that matches in its low bits only.
    let aliases = Sysno::ALL
        .iter()
        .filter_map(move |call| call.nr(abi))
        .flat_map(|nr| [nr | 0x8000_0000, nr ^ 0x4000_0000, nr + 0x1_0000]);
    (0..1024)
        .chain(base..base + 1024)
        .chain(limits)
        .chain(aliases)
}

/// Audit architectures that no ABI of `family` has.
fn foreign_archs(family: &[Abi]) -> BTreeSet<u32> {
    let own: BTreeSet<u32> = family.iter().map(|abi| abi.audit_arch()).collect();
    let near = own
        .iter()
        .flat_map(|arch| (0..32).map(move |bit| arch ^ 1 << bit));
    let others = Abi::ALL.into_iter().map(Abi::audit_arch);
    near.chain(others)
        .chain([0, u32::MAX])
        .filter(|arch| !own.contains(arch))
        .collect()
}

/// Runs `program`, built for `family` and `policy`, on everything; returns how many instructions
/// the worst call of the first ABI takes.
fn check_program(program: &Program, family: &[Abi], policy: Policy) -> usize {
    let rules = rules(family, policy);
    let endian = family[0].endian();
    let mut executed = vec![false; program.len()];
    let mut worst = 0;
    let mut check = |call: &Call, native: bool| {
        let outcome = sim::run(program, endian, call)
            .unwrap_or_else(|fault| panic!("{family:?} {policy}: {fault} on {call:x?}"));
        assert_eq!(
            outcome.value,
            expected(&rules, call),
            "{family:?} {policy}: {call:x?}"
        );
        let faked = rules.contains_key(&(call.arch, call.nr));
        assert!(
            outcome.const_allow || faked,
            "{family:?} {policy}: the kernel could not cache {call:x?}"
        );
        outcome.path.iter().for_each(|at| executed[*at] = true);
        if native {
            worst = worst.max(outcome.path.len());
        }
    };
    for abi in family {
        for nr in numbers(*abi) {
            let rule = rules.get(&(abi.audit_arch(), nr));
            for args in arguments(rule.copied()) {
                check(
                    &Call {
                        arch: abi.audit_arch(),
                        nr,
                        args,
                    },
                    *abi == family[0],
                );
            }
        }
    }
    for arch in foreign_archs(family) {
        for nr in family
            .iter()
            .flat_map(|abi| Sysno::ALL.iter().filter_map(|call| call.nr(*abi)))
        {
            check(
                &Call {
                    arch,
                    nr,
                    args: [0x2000; 6],
                },
                false,
            );
        }
    }
    let dead: Vec<usize> = (0..program.len()).filter(|at| !executed[*at]).collect();
    assert!(
        dead.is_empty(),
        "{family:?} {policy}: never executed: {dead:?}\n{}",
        disasm::text(program, family)
    );
    worst
}

fn program(abi: Abi, policy: Policy) -> Program {
    build(abi.family(), policy).unwrap_or_else(|error| panic!("{abi} {policy}: {error}"))
}

#[test]
fn programs_answer_as_the_policy_says() {
    for abi in Abi::ALL {
        // Some policies have the same rules. The same program is right for each if it is for one.
        let mut seen: Vec<(Program, Rules)> = Vec::new();
        for policy in policies() {
            let both = (program(abi, policy), rules(abi.family(), policy));
            if !seen.contains(&both) {
                check_program(&both.0, abi.family(), policy);
                seen.push(both);
            }
        }
    }
}

/// How many instructions a native call takes at most, by level. The device check, which is the
/// longest, needs 9 of them.
const BOUNDS: [(Level, usize); Level::ALL.len()] =
    [(Level::Zero, 15), (Level::Selective, 16), (Level::Full, 16)];

#[test]
fn no_native_call_takes_more_instructions_than_its_level_allows() {
    for (level, bound) in BOUNDS {
        let policy = Policy::of(level);
        let worst: BTreeMap<&str, usize> = Abi::ALL
            .into_iter()
            .map(|abi| {
                (
                    abi.name(),
                    check_program(&program(abi, policy), abi.family(), policy),
                )
            })
            .collect();
        println!("instructions for the worst call at {level}: {worst:?}");
        assert!(
            worst.values().all(|worst| *worst <= bound),
            "{level}: more than {bound}: {worst:?}"
        );
    }
}

#[test]
fn the_programs_made_by_the_build_script_are_the_generators() {
    for policy in policies() {
        assert_eq!(
            *zroot::internals::filter::program(policy).expect("a program"),
            *program(Abi::NATIVE, policy),
            "{policy}"
        );
    }
}

#[test]
fn policies_build_for_every_family() {
    for abi in Abi::ALL {
        for policy in many_policies() {
            verify(&program(abi, policy), &format!("{abi} {policy}"));
        }
    }
}

#[test]
fn a_level_with_a_supervisor_asks_it() {
    let actions = |level: Level, class: Class| {
        class
            .rules(level)
            .map(|rule| rule.action)
            .collect::<BTreeSet<_>>()
    };
    for class in Class::ALL {
        let supervised = Policy::SELECTIVE.classes.contains(class);
        assert!(
            !actions(Level::Zero, class).contains(&Action::Notify),
            "{class}: there is nobody to ask"
        );
        if supervised {
            assert_eq!(
                actions(Level::Selective, class),
                BTreeSet::from([Action::Notify]),
                "{class}"
            );
        } else {
            assert!(
                class.rules(Level::Zero).eq(class.rules(Level::Selective)),
                "{class} is the same at both levels"
            );
        }
    }
    for policy in policies().filter(|policy| policy.is_watched) {
        assert!(
            policy.rules().all(|rule| rule.action == Action::Notify),
            "{policy}: nothing escapes who watches"
        );
    }
    for abi in Abi::ALL {
        assert!(
            program(abi, Policy::DEFAULT)
                .iter()
                .all(|insn| insn.code != op::RET || insn.k != USER_NOTIF),
            "{abi}"
        );
        // The self-test is to prove the supervisor, too.
        let call = Call {
            arch: abi.audit_arch(),
            nr: Sysno::kexec_load.nr(abi).expect("every ABI has it"),
            args: [u64::MAX; 6],
        };
        let answer = sim::run(&program(abi, Policy::SELECTIVE), abi.endian(), &call)
            .expect("no fault")
            .value;
        assert_eq!(answer, USER_NOTIF, "{abi}");
    }
}

#[test]
fn programs_are_the_golden_ones() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let path = |abi: Abi, level: Level| -> PathBuf {
        let dir = if level == Level::Zero {
            golden.clone()
        } else {
            golden.join(level.name())
        };
        dir.join(abi.name()).with_extension("txt")
    };
    let bless = env::var_os("ZROOT_BLESS").is_some_and(|value| value == "1");
    let mut changed = String::new();
    for (abi, level) in Abi::ALL
        .into_iter()
        .flat_map(|abi| Level::ALL.map(|level| (abi, level)))
    {
        let text = disasm::text(&program(abi, Policy::of(level)), abi.family());
        if bless {
            fs::write(path(abi, level), &text).expect("a golden file");
        }
        let golden = fs::read_to_string(path(abi, level)).unwrap_or_default();
        if let Some((at, (new, old))) = text
            .lines()
            .zip(golden.lines().chain(std::iter::repeat("")))
            .enumerate()
            .find(|(_, (a, b))| a != b)
        {
            let _ = writeln!(
                changed,
                "{abi} at {level}, line {}: '{new}' was '{old}'",
                at + 1
            );
        } else if text != golden {
            let _ = writeln!(changed, "{abi} at {level}: shorter than it was");
        }
    }
    assert!(
        changed.is_empty(),
        "{changed}if that is as it should be: ZROOT_BLESS=1 cargo test --release --test it golden"
    );
}

#[test]
fn seccomp_data_has_the_kernels_byte_order() {
    let call = Call {
        arch: 0x0102_0304,
        nr: 0x1112_1314,
        args: [0x2122_2324_2526_2728, 0, 0, 0, 0, 0x3132_3334_3536_3738],
    };
    let little = call.bytes(Endian::Little);
    assert_eq!(little[..8], [0x14, 0x13, 0x12, 0x11, 4, 3, 2, 1]);
    assert_eq!(
        little[8..24],
        [
            0, 0, 0, 0, 0, 0, 0, 0, 0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21
        ]
    );
    assert_eq!(
        little[56..],
        [0x38, 0x37, 0x36, 0x35, 0x34, 0x33, 0x32, 0x31]
    );
    let big = call.bytes(Endian::Big);
    assert_eq!(big[..8], [0x11, 0x12, 0x13, 0x14, 1, 2, 3, 4]);
    assert_eq!(
        big[8..24],
        [
            0, 0, 0, 0, 0, 0, 0, 0, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28
        ]
    );
    assert_eq!(big[56..], [0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38]);
}

fn insn(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

#[test]
fn the_interpreter_faults_where_the_kernel_would_refuse() {
    let fault = |program: &[sock_filter]| {
        sim::run(program, Endian::Little, &Call::default()).expect_err("a fault")
    };
    let allow = || insn(op::RET, 0, 0, ALLOW);
    // BPF_LD|BPF_B|BPF_ABS, BPF_LDX, BPF_ST, BPF_ALU|BPF_ADD, BPF_JMP|BPF_JGT, BPF_RET|BPF_A: real
    // opcodes, but none that zroot emits.
    for code in [0x30, 0x01, 0x02, 0x04, 0x25, 0x16] {
        assert_eq!(
            fault(&[insn(op::LOAD, 0, 0, 0), insn(code, 0, 0, 0), allow()]),
            Fault::Opcode(1)
        );
    }
    for offset in [1, 2, 3, 17, 62, 64, 68, 1 << 31] {
        assert_eq!(
            fault(&[insn(op::LOAD, 0, 0, offset), allow()]),
            Fault::Offset(0),
            "offset {offset}"
        );
    }
    assert_eq!(fault(&[]), Fault::End);
    assert_eq!(fault(&[insn(op::LOAD, 0, 0, 0)]), Fault::End);
    assert_eq!(fault(&[insn(op::GOTO, 0, 0, 1), allow()]), Fault::End);
    assert_eq!(fault(&[insn(op::JEQ, 1, 0, 0), allow()]), Fault::End);
    assert_eq!(fault(&[insn(op::JEQ, 0, 1, 7), allow()]), Fault::End);
}

#[test]
fn the_interpreter_knows_what_the_kernel_can_cache() {
    let run = |program: &[sock_filter]| {
        sim::run(program, Endian::Little, &Call::default()).expect("no fault")
    };
    let (load_nr, allow) = (|| insn(op::LOAD, 0, 0, 0), || insn(op::RET, 0, 0, ALLOW));
    assert!(run(&[load_nr(), allow()]).const_allow);
    assert!(run(&[insn(op::LOAD, 0, 0, 4), allow()]).const_allow);
    for offset in [8, 12, 16, 60] {
        assert!(
            !run(&[insn(op::LOAD, 0, 0, offset), allow()]).const_allow,
            "it looked at offset {offset}"
        );
    }
    // Only the path taken counts, and only exactly ALLOW.
    assert!(
        run(&[
            load_nr(),
            insn(op::JEQ, 1, 0, 0),
            insn(op::LOAD, 0, 0, 16),
            allow()
        ])
        .const_allow
    );
    assert!(!run(&[insn(op::RET, 0, 0, ERRNO)]).const_allow);
    assert!(!run(&[insn(op::RET, 0, 0, ALLOW | 1)]).const_allow);
}

#[test]
fn the_assembler_refuses_what_the_kernel_would() {
    let asm = |write: &dyn Fn(&mut Assembler)| {
        let mut asm = Assembler::default();
        write(&mut asm);
        asm.finish().map(|program| program.len())
    };
    assert_eq!(
        asm(&|asm| {
            let nowhere = asm.label();
            asm.goto(nowhere);
        }),
        Err(AsmError::Unbound(0))
    );
    assert_eq!(
        asm(&|asm| {
            let here = asm.label();
            asm.bind(here);
            asm.goto(here);
        }),
        Err(AsmError::Backward(0))
    );
    let spanning = |distance: usize| {
        asm(&|asm| {
            let (near, far) = (asm.label(), asm.label());
            asm.branch(Cond::Eq, 0, far, near);
            asm.bind(near);
            (0..distance).for_each(|_| asm.and(0));
            asm.bind(far);
            asm.ret(ALLOW);
        })
    };
    assert_eq!(spanning(255), Ok(257));
    assert_eq!(spanning(256), Err(AsmError::TooFar(0)));
    let long = |len: usize| asm(&|asm| (0..len).for_each(|_| asm.ret(ALLOW)));
    assert_eq!(long(MAX_LEN), Ok(MAX_LEN));
    assert_eq!(long(MAX_LEN + 1), Err(AsmError::TooLong(MAX_LEN + 1)));
}

/// A program that answers `nr` as `answers` has it, by a plain list: what the assembler makes of
/// many labels.
fn list(answers: &BTreeMap<u32, u32>) -> Result<Program, AsmError> {
    let mut asm = Assembler::default();
    asm.load(0);
    let returns: Vec<_> = answers
        .iter()
        .map(|(nr, answer)| {
            let (hit, next) = (asm.label(), asm.label());
            asm.branch(Cond::Eq, *nr, hit, next);
            asm.bind(next);
            (hit, *answer)
        })
        .collect();
    asm.ret(ALLOW);
    for (hit, answer) in returns {
        asm.bind(hit);
        asm.ret(answer);
    }
    asm.finish()
}

fn any_abi() -> impl Strategy<Value = Abi> {
    (0..Abi::ALL.len()).prop_map(|i| Abi::ALL[i])
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let level = proptest::sample::select(Level::ALL.to_vec());
    (
        level,
        proptest::collection::vec(any::<bool>(), Class::ALL.len()),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(level, on, is_watched, is_saved)| {
            let members = Class::ALL.into_iter().zip(on).filter(|(_, on)| *on);
            Policy {
                level,
                classes: members.fold(ClassSet::EMPTY, |set, (class, _)| set.with(class)),
                is_watched,
                is_saved,
            }
        })
}

/// Numbers of calls more often than others.
fn any_nr(abi: Abi) -> impl Strategy<Value = u32> {
    let calls: Vec<u32> = Sysno::ALL.iter().filter_map(|call| call.nr(abi)).collect();
    prop_oneof![4 => proptest::sample::select(calls), 1 => 0..7000_u32, 1 => any::<u32>()]
}

fn any_arg() -> impl Strategy<Value = u64> {
    let requests = Abi::ALL
        .into_iter()
        .flat_map(|abi| [abi.fs_ioc_setflags(), abi.fs_ioc_fssetxattr()])
        .map(u64::from)
        .collect::<Vec<_>>();
    prop_oneof![2 => Just(0), 2 => proptest::sample::select(requests), 2 => 0..64_u64, 2 => 0..0x1_0000_u64, 1 => any::<u64>(), 1 => Just(1 << 32)]
}

/// A family, a policy, and a call as a kernel of that family might see it.
fn any_case() -> impl Strategy<Value = (Abi, Policy, Call)> {
    (any_abi(), any_policy(), any::<prop::sample::Index>()).prop_flat_map(
        |(native, policy, which)| {
            let abi = *which.get(native.family());
            (
                Just(native),
                Just(policy),
                any_nr(abi),
                proptest::array::uniform6(any_arg()),
            )
                .prop_map(move |(native, policy, nr, args)| {
                    (
                        native,
                        policy,
                        Call {
                            arch: abi.audit_arch(),
                            nr,
                            args,
                        },
                    )
                })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn any_call_under_any_policy_is_answered_as_the_policy_says((native, policy, call) in any_case()) {
        let outcome = sim::run(&program(native, policy), native.endian(), &call)?;
        prop_assert_eq!(outcome.value, expected(&rules(native.family(), policy), &call));
    }

    #[test]
    fn the_assembler_keeps_what_labels_say(answers in btree_map(0..600_u32, 1..1000_u32, 0..300)) {
        match list(&answers) {
            // Every branch jumps over as many instructions as the list is long.
            Err(error) => prop_assert!(answers.len() > 255 && error == AsmError::TooFar(1), "{}", error),
            Ok(program) => {
                prop_assert!(answers.len() <= 255);
                verify(&program, "a list");
                for nr in 0..600 {
                    let outcome = sim::run(&program, Endian::Big, &Call { nr, ..Call::default() })?;
                    prop_assert_eq!(outcome.value, answers.get(&nr).copied().unwrap_or(ALLOW));
                }
            }
        }
    }
}
