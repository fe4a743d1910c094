//! The independent table: every cell of the matrix against the `syscalls` crate and the kernel
//! headers of this machine, so that a wrong number, which neither the interpreter nor the kernel
//! can notice, does not stay. And the hunt for siblings that the policy forgot.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use zroot::internals::arch::{Abi, Endian, Sysno, others};
use zroot::internals::filter::{Class, Level, Policy};

use crate::common;

/// The numbers of one ABI by name, as `seccomp_data.nr` shows them.
type Numbers = BTreeMap<&'static str, u32>;

/// The `syscalls` crate's table of `abi`; it lacks x32, n32 and 31-bit s390.
fn crate_table(abi: Abi) -> Option<Numbers> {
    // By number: the crate's own iterator leaves out the last call.
    macro_rules! numbers {
        ($module:ident) => {
            (0..7000_u32)
                .filter_map(|nr| Some((syscalls::$module::Sysno::new(nr as usize)?.name(), nr)))
                .collect()
        };
    }
    Some(match abi {
        Abi::X86_64 => numbers!(x86_64),
        Abi::I386 => numbers!(x86),
        Abi::Aarch64 => numbers!(aarch64),
        Abi::Arm => numbers!(arm),
        Abi::Ppc64le => numbers!(powerpc64),
        Abi::S390x => numbers!(s390x),
        Abi::Riscv64 => numbers!(riscv64),
        Abi::Riscv32 => numbers!(riscv32),
        Abi::Loongarch64 => numbers!(loongarch64),
        Abi::Mips64el => numbers!(mips64),
        Abi::Mipsel => numbers!(mips),
        Abi::X32 | Abi::S390 | Abi::Mipsn32el => return None,
        _ => panic!("{abi} is new: does the crate have it?"),
    })
}

/// The crate's name of `call` on `abi`: arm's header calls sync_file_range2 by an older name
/// (arch/arm/include/asm/unistd.h). And the crate has the name of a macro for newfstatat, where
/// that is number 79 (`__NR3264_fstatat`, include/uapi/asm-generic/unistd.h).
fn name_on(abi: Abi, call: Sysno) -> &'static str {
    match (abi, call) {
        (Abi::Arm, Sysno::sync_file_range2) => "arm_sync_file_range",
        (Abi::Aarch64 | Abi::Loongarch64, Sysno::newfstatat) => "fstatat",
        _ => call.name(),
    }
}

/// What the crate has and the kernel has not: it disregards the conditions of
/// include/uapi/asm-generic/unistd.h, by which the time64 calls are those of 32-bit ABIs, and
/// setrlimit and getrlimit those of ABIs which define `__ARCH_WANT_SET_GET_RLIMIT`, as rv32 and
/// loongarch do not, and renameat that of those which define `__ARCH_WANT_RENAMEAT`.
const NOT_IN_THE_KERNEL: [(Abi, Sysno); 11] = [
    (Abi::Loongarch64, Sysno::renameat),
    (Abi::Aarch64, Sysno::clock_settime64),
    (Abi::Aarch64, Sysno::clock_adjtime64),
    (Abi::Loongarch64, Sysno::clock_settime64),
    (Abi::Loongarch64, Sysno::clock_adjtime64),
    (Abi::Aarch64, Sysno::utimensat_time64),
    (Abi::Loongarch64, Sysno::utimensat_time64),
    (Abi::Loongarch64, Sysno::setrlimit),
    (Abi::Riscv32, Sysno::setrlimit),
    (Abi::Loongarch64, Sysno::getrlimit),
    (Abi::Riscv32, Sysno::getrlimit),
];

/// Every cell of `abi` that is not what `expected` says.
fn differences(abi: Abi, expected: impl Fn(Sysno) -> Option<u32>) -> Vec<String> {
    Sysno::ALL
        .iter()
        .filter(|call| call.nr(abi) != expected(**call))
        .map(|call| {
            format!(
                "{call:?} on {abi}: {:?}, but should be {:?}",
                call.nr(abi),
                expected(*call)
            )
        })
        .collect()
}

#[test]
fn every_cell_agrees_with_the_syscalls_crate() {
    let mut wrong = Vec::new();
    for (abi, table) in Abi::ALL
        .into_iter()
        .filter_map(|abi| Some((abi, crate_table(abi)?)))
    {
        assert!(
            table.len() > 300,
            "{abi}: only {} calls in the crate",
            table.len()
        );
        wrong.extend(differences(abi, |call| {
            let in_crate = table.get(name_on(abi, call)).copied();
            if NOT_IN_THE_KERNEL.contains(&(abi, call)) {
                assert!(
                    in_crate.is_some(),
                    "the exception for {call:?} on {abi} is no longer one"
                );
                return None;
            }
            in_crate
        }));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_other_call_has_its_name() {
    let of_crate: BTreeSet<&str> = Abi::ALL
        .into_iter()
        .filter_map(crate_table)
        .flat_map(BTreeMap::into_keys)
        .map(|name| name.trim_start_matches("r#"))
        .collect();
    let of_matrix: BTreeSet<&str> = Sysno::ALL.iter().map(|call| call.name()).collect();
    let others: Vec<&str> = others::names().collect();
    assert!(
        others.is_sorted()
            && others
                .iter()
                .all(|name| !name.is_empty() && !of_matrix.contains(name))
    );
    // powerpc and mips have names for gaps in their tables.
    let is_call = |name: &&&str| !name.starts_with("reserved") && !name.starts_with("unused");
    let known = |name: &&&str| of_matrix.contains(**name) || others.contains(*name);
    let missing: Vec<&&str> = of_crate
        .iter()
        .filter(is_call)
        .filter(|name| !known(name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Where the three headers lie: for Debian 12 natively and in its cross packages, and where
/// Debian's linux-libc-dev has all architectures.
const HEADERS: [(Abi, &[&str]); 3] = [
    (
        Abi::X32,
        &[
            "/usr/include/x86_64-linux-gnu/asm/unistd_x32.h",
            "/usr/x86_64-linux-gnu/include/asm/unistd_x32.h",
            "/usr/lib/linux/uapi/x86/asm/unistd_x32.h",
        ],
    ),
    (
        Abi::Mipsn32el,
        &[
            "/usr/mips64el-linux-gnuabi64/include/asm/unistd_n32.h",
            "/usr/lib/linux/uapi/mips/asm/unistd_n32.h",
        ],
    ),
    (
        Abi::S390,
        &[
            "/usr/s390x-linux-gnu/include/asm/unistd_32.h",
            "/usr/lib/linux/uapi/s390/asm/unistd_32.h",
        ],
    ),
];

/// The numbers in a header's `#define __NR_name 1` or `#define __NR_name (BASE + 1)`, without the
/// base.
fn header_numbers(text: &str) -> BTreeMap<&str, u32> {
    let number = |line: &str| {
        line.trim_end_matches(')')
            .rsplit(' ')
            .next()
            .and_then(|word| word.parse().ok())
    };
    text.lines()
        .filter_map(|line| line.strip_prefix("#define __NR_")?.split_once(' '))
        .filter_map(|(name, value)| Some((name, number(value)?)))
        .collect()
}

/// What an ABI adds to the numbers of its header: `__X32_SYSCALL_BIT`
/// (arch/x86/include/uapi/asm/unistd.h) and `__NR_Linux` (arch/mips/include/uapi/asm/unistd.h).
fn base(abi: Abi) -> u32 {
    match abi {
        Abi::X32 => 0x4000_0000,
        Abi::Mips64el => 5000,
        Abi::Mipsn32el => 6000,
        Abi::Mipsel => 4000,
        _ => 0,
    }
}

/// From this number on a call has the same number everywhere, `base` aside (Linux 5.1, "add all new
/// system calls everywhere").
const FIRST_COMMON: u32 = 424;

#[test]
fn every_cell_that_the_crate_lacks_agrees_with_the_kernel_headers() {
    let x86_64 = crate_table(Abi::X86_64).expect("the crate has x86_64");
    for (abi, paths) in HEADERS {
        let Some(path) = paths.iter().find(|path| Path::new(path).exists()) else {
            common::skip(
                "every_cell_that_the_crate_lacks_agrees_with_the_kernel_headers",
                &format!("there is no header of {abi}"),
            );
            continue;
        };
        let text = fs::read_to_string(path).expect("the header");
        let numbers = header_numbers(&text);
        assert!(numbers.len() > 300, "{path}: only {} calls", numbers.len());
        // x32's own calls begin at 512.
        let newest = *numbers
            .values()
            .filter(|nr| **nr < 512)
            .max()
            .expect("a number");
        assert!(newest > FIRST_COMMON, "{path} is too old");
        let wrong = differences(abi, |call| {
            let in_header = numbers.get(call.name()).copied();
            let newer_than_header = x86_64.get(call.name()).copied().filter(|nr| *nr > newest);
            Some(in_header.or(newer_than_header)? + base(abi))
        });
        assert!(wrong.is_empty(), "{path}: {wrong:#?}");
    }
}

#[test]
fn new_calls_have_one_number_everywhere() {
    for call in Sysno::ALL {
        let Some(nr) = call.nr(Abi::X86_64).filter(|nr| *nr >= FIRST_COMMON) else {
            continue;
        };
        for abi in Abi::ALL {
            assert_eq!(call.nr(abi), Some(nr + base(abi)), "{call:?} on {abi}");
        }
    }
}

#[test]
fn no_two_calls_share_a_number() {
    for abi in Abi::ALL {
        let mut seen = BTreeMap::new();
        for call in Sysno::ALL {
            let Some(nr) = call.nr(abi) else { continue };
            let other = seen.insert(nr, call);
            assert!(
                other.is_none(),
                "{call:?} and {other:?} are both {nr} on {abi}"
            );
        }
    }
}

#[test]
fn every_call_is_in_exactly_one_class() {
    let mut named = BTreeSet::new();
    for level in Level::ALL {
        let mut classes: BTreeMap<Sysno, Vec<Class>> = BTreeMap::new();
        for class in Class::ALL {
            assert_eq!(
                class.rules(level).next().is_some(),
                level.classes().contains(class),
                "{class} at {level}"
            );
            class
                .rules(level)
                .for_each(|rule| classes.entry(rule.call).or_default().push(class));
        }
        named.extend(classes.keys().copied());
        classes.retain(|_, classes| classes.len() != 1);
        assert!(classes.is_empty(), "several times at {level}: {classes:?}");
    }
    // Some are looked at only where something is saved.
    let saved = Policy {
        is_saved: true,
        ..Policy::of(Level::Full)
    };
    named.extend(saved.rules().map(|rule| rule.call));
    let unused: Vec<_> = Sysno::ALL
        .iter()
        .filter(|call| !named.contains(*call))
        .collect();
    assert!(unused.is_empty(), "in no class: {unused:?}");
}

#[test]
fn numbers_lead_back_to_abi_and_call() {
    for abi in Abi::ALL {
        for call in Sysno::ALL {
            let Some(nr) = call.nr(abi) else { continue };
            assert_eq!(
                Abi::of(abi.audit_arch(), nr),
                Some(abi),
                "{call:?} on {abi}"
            );
            assert_eq!(Sysno::of(abi, nr), Some(*call), "{abi}");
            if abi.audit_arch() == Abi::X32.audit_arch() {
                let other = if abi == Abi::X32 {
                    Abi::X86_64
                } else {
                    Abi::X32
                };
                assert_eq!(
                    Abi::of(abi.audit_arch(), nr ^ 0x4000_0000),
                    Some(other),
                    "{call:?} on {abi}"
                );
                assert_eq!(Sysno::of(abi, nr ^ 0x4000_0000), None, "{call:?} on {abi}");
            } else {
                assert_eq!(
                    Abi::of(abi.audit_arch(), nr | 0x4000_0000),
                    Some(abi),
                    "{abi} has no bit"
                );
            }
            assert_eq!(Sysno::of(abi, nr | 0x8000_0000), None, "{call:?} on {abi}");
        }
        assert_eq!(
            Sysno::of(abi, u32::MAX),
            None,
            "a cell without a number is no call"
        );
        assert_eq!(
            Sysno::of(abi, u16::MAX.into()),
            None,
            "a cell without a number is no call"
        );
    }
    assert_eq!(Abi::of(0, 0), None);
    assert_eq!(Abi::of(u32::MAX, 0x4000_0000), None);
}

#[test]
fn ids_of_16_bits_are_where_there_are_twins_of_32() {
    for abi in Abi::ALL {
        let twins: Vec<_> = Sysno::ALL
            .iter()
            .filter(|call| call.name().ends_with("32") && call.nr(abi).is_some())
            .collect();
        assert_eq!(abi.has_16bit_ids(), !twins.is_empty(), "{abi}: {twins:?}");
    }
}

#[test]
fn pointers_have_the_width_of_the_abi() {
    for abi in Abi::ALL {
        let expected = match abi {
            Abi::S390 => 0x7fff_ffff,
            Abi::I386 | Abi::Arm | Abi::Riscv32 | Abi::Mipsel => 0xffff_ffff,
            _ => u64::MAX,
        };
        assert_eq!(abi.pointer_mask(), expected, "{abi}");
    }
}

#[test]
fn kernels_execute_these_abis() {
    use Abi::*;
    let families: [&[Abi]; 7] = [
        &[X86_64, X32, I386],
        &[Aarch64, Arm],
        &[Ppc64le],
        &[S390x, S390],
        &[Riscv64, Riscv32],
        &[Loongarch64],
        &[Mips64el, Mipsn32el, Mipsel],
    ];
    assert_eq!(families.concat(), Abi::ALL, "every ABI is in one family");
    for family in families {
        for abi in family {
            let members: BTreeSet<_> = abi.family().iter().collect();
            assert_eq!(members, family.iter().collect(), "{abi}'s family");
            assert_eq!(
                abi.family()[0],
                *abi,
                "an ABI comes first in its own family"
            );
            assert_eq!(
                abi.family().len(),
                members.len(),
                "{abi}'s family names an ABI twice"
            );
            assert_eq!(
                abi.endian(),
                family[0].endian(),
                "one kernel has one byte order"
            );
        }
    }
}

#[test]
fn the_native_abi_is_this_programs() {
    assert!(Abi::ALL.contains(&Abi::NATIVE));
    assert_eq!(
        Abi::NATIVE.endian() == Endian::Big,
        cfg!(target_endian = "big")
    );
    assert_eq!(
        Abi::NATIVE.long_is_64bit(),
        cfg!(target_pointer_width = "64")
    );
    let registers = Abi::ALL
        .into_iter()
        .filter(|abi| abi.has_64bit_registers() && !abi.long_is_64bit());
    assert_eq!(
        registers.collect::<Vec<_>>(),
        [Abi::X32, Abi::Mipsn32el],
        "32-bit pointers in 64-bit registers"
    );
    let order: Vec<usize> = Abi::ALL.iter().map(|abi| *abi as usize).collect();
    assert_eq!(
        order,
        (0..Abi::ALL.len()).collect::<Vec<_>>(),
        "ALL has the order of the matrix's columns"
    );
}

/// `linux/audit.h`'s name for `abi`, without `AUDIT_ARCH_`. ABIs that share it are told apart by
/// number.
fn audit_name(abi: Abi) -> &'static str {
    match abi {
        Abi::X86_64 | Abi::X32 => "X86_64",
        Abi::I386 => "I386",
        Abi::Aarch64 => "AARCH64",
        Abi::Arm => "ARM",
        Abi::Ppc64le => "PPC64LE",
        Abi::S390x => "S390X",
        Abi::S390 => "S390",
        Abi::Riscv64 => "RISCV64",
        Abi::Riscv32 => "RISCV32",
        Abi::Loongarch64 => "LOONGARCH64",
        Abi::Mips64el => "MIPSEL64",
        Abi::Mipsn32el => "MIPSEL64N32",
        Abi::Mipsel => "MIPSEL",
        _ => panic!("{abi} is new: what is its name?"),
    }
}

/// The value of a C expression of constants, `|` and parentheses, whose names `defines` explains.
fn value_of(expression: &str, defines: &BTreeMap<String, String>) -> Option<u32> {
    expression
        .trim_matches(['(', ')', ' '])
        .split('|')
        .map(str::trim)
        .try_fold(0, |value, word| {
            let number = match word.strip_prefix("0x") {
                Some(hex) => u32::from_str_radix(hex, 16).ok(),
                None => word.parse().ok(),
            };
            Some(value | number.or_else(|| value_of(defines.get(word)?, defines))?)
        })
}

#[test]
fn audit_architectures_agree_with_the_kernel_headers() {
    let read = |name: &str| fs::read_to_string(Path::new("/usr/include/linux").join(name));
    let (Ok(audit), Ok(elf)) = (read("audit.h"), read("elf-em.h")) else {
        return common::skip(
            "audit_architectures_agree_with_the_kernel_headers",
            "there are no kernel headers",
        );
    };
    let mut defines = BTreeMap::new();
    for line in audit.replace("\\\n", " ").lines().chain(elf.lines()) {
        let line = line
            .split("/*")
            .next()
            .unwrap_or_default()
            .replace('\t', " ");
        if let Some((name, value)) = line
            .strip_prefix("#define ")
            .and_then(|define| define.trim().split_once(' '))
        {
            defines.insert(name.to_owned(), value.trim().to_owned());
        }
    }
    for abi in Abi::ALL {
        let name = format!("AUDIT_ARCH_{}", audit_name(abi));
        let little = value_of("__AUDIT_ARCH_LE", &defines).expect("a bit");
        assert_eq!(
            abi.endian() == Endian::Little,
            abi.audit_arch() & little != 0,
            "{abi}'s byte order"
        );
        assert_eq!(value_of(&name, &defines), Some(abi.audit_arch()), "{name}");
    }
}

#[test]
fn inode_flag_requests_are_what_compilers_make_of_them() {
    const NAME: &str = "inode_flag_requests_are_what_compilers_make_of_them";
    // What `cc` of each architecture prints for FS_IOC_SETFLAGS and FS_IOC_FSSETXATTR.
    for abi in Abi::ALL {
        let expected = match abi {
            Abi::X86_64 | Abi::Aarch64 | Abi::S390x | Abi::Riscv64 | Abi::Loongarch64 => {
                (0x4008_6602, 0x401c_5820)
            }
            Abi::X32 | Abi::I386 | Abi::Arm | Abi::S390 | Abi::Riscv32 => {
                (0x4004_6602, 0x401c_5820)
            }
            Abi::Ppc64le | Abi::Mips64el => (0x8008_6602, 0x801c_5820),
            Abi::Mipsn32el | Abi::Mipsel => (0x8004_6602, 0x801c_5820),
            _ => panic!("{abi} is new: what are its requests?"),
        };
        assert_eq!(
            (abi.fs_ioc_setflags(), abi.fs_ioc_fssetxattr()),
            expected,
            "{abi}"
        );
        assert_eq!(abi.inode_flag_requests(), [expected.0, expected.1], "{abi}");
    }

    need!(NAME, "cc");
    let dir = common::dir();
    let (source, program) = (dir.path().join("requests.c"), dir.path().join("requests"));
    let text = "#include <stdio.h>\n#include <sys/ioctl.h>\n#include <linux/fs.h>\n\
                int main(void) { printf(\"%u %u\", (unsigned)FS_IOC_SETFLAGS, (unsigned)FS_IOC_FSSETXATTR); }\n";
    fs::write(&source, text).expect("a source file");
    let compiled = common::run(common::user("cc").arg("-o").args([&program, &source]));
    if compiled.stderr.contains("No such file or directory") {
        return common::skip(NAME, "there are no kernel headers");
    }
    compiled.succeeds();
    let printed = common::run(&mut common::user(&program)).succeeds().stdout;
    assert_eq!(
        printed,
        format!(
            "{} {}",
            Abi::NATIVE.fs_ioc_setflags(),
            Abi::NATIVE.fs_ioc_fssetxattr()
        )
    );
}

/// `SOL_SOCKET`, `SO_PEERCRED` and `SO_PEERGROUPS` are what the kernel's headers say, as far as
/// those of an architecture are installed.
#[test]
fn socket_options_are_those_of_the_headers() {
    const NAME: &str = "socket_options_are_those_of_the_headers";
    need!(NAME, "cc");
    let native = ("-I/usr/include", Abi::NATIVE);
    let others = [
        ("-I/usr/mips64el-linux-gnuabi64/include", Abi::Mips64el),
        ("-I/usr/powerpc64le-linux-gnu/include", Abi::Ppc64le),
        ("-I/usr/s390x-linux-gnu/include", Abi::S390x),
        ("-I/usr/arm-linux-gnueabihf/include", Abi::Arm),
    ];
    let text = "#include <asm/socket.h>\nSOL_SOCKET SO_PEERCRED SO_PEERGROUPS\n";
    for (headers, abi) in others.into_iter().chain([native]) {
        if !std::path::Path::new(&headers[2..]).exists() {
            common::skip(NAME, &format!("there is no {}", &headers[2..]));
            continue;
        }
        let dir = common::dir();
        let source = dir.path().join("options.c");
        fs::write(&source, text).expect("a source file");
        let mut command = common::user("cc");
        command.args(["-E", "-P", headers]);
        let said = common::run(command.arg(&source)).succeeds().stdout;
        let words = said.lines().last().unwrap_or_default().split_whitespace();
        let numbers: Vec<u32> = words
            .map(|word| value_of(word, &BTreeMap::new()).expect("a number"))
            .collect();
        let expected = [abi.sol_socket(), abi.so_peercred(), Abi::SO_PEERGROUPS];
        assert_eq!(numbers, expected, "{abi}: {said}");
    }
}

/// Parts of names that make a call a relative of what the policy fakes.
const KIN: &str = "\
    chown chmod utime prctl uid gid groups attr mknod sync cap mount fs tree root limit prio sched_set nice set adj stime kexec swap module acct \
    host domain reboot quota syslog iop";

/// Why calls that were looked at are not faked.
const CONSIDERED: &[(&str, &str)] = &[
    (
        "a question, or a question's answer: changes nothing",
        "\
        cachestat faccessat2 file_getattr fstatfs fstatfs64 \
        getpgid getpriority ioprio_get \
        listmount lsm_get_self_attr lsm_list_modules query_module \
        sched_get_priority_max sched_get_priority_min sched_getattr statfs statfs64 statmount sysfs",
    ),
    (
        "works for everybody",
        "\
        arch_prctl clone3 close_range epoll_pwait2 futex_requeue futex_wait futex_waitv futex_wake io_setup io_uring_register \
        landlock_add_rule landlock_create_ruleset lsm_set_self_attr map_shadow_stack memfd_secret mq_getsetattr \
        mseal pidfd_getfd pidfd_open pidfd_send_signal process_madvise process_mrelease sched_setaffinity set_mempolicy \
        set_mempolicy_home_node set_robust_list set_thread_area set_tid_address setitimer setpgid setsid setsockopt ssetmask swapcontext \
        sys_debug_setcontext timer_settime timer_settime64 timerfd_settime timerfd_settime64",
    ),
    (
        "what it asks for passes no filter, so fsync and setxattr through a ring are always real",
        "io_uring_enter",
    ),
    (
        "the other half of kexec_load, which is only the probe",
        "kexec_file_load",
    ),
    (
        "an administrator's, which no build asks for",
        "\
        acct create_module delete_module finit_module init_module ioperm iopl quotactl quotactl_fd reboot swapoff swapon syslog",
    ),
    ("no kernel has it any more", "afs_syscall nfsservctl ulimit"),
];

#[test]
fn no_sibling_is_forgotten() {
    let policy: BTreeSet<&str> = Abi::ALL
        .iter()
        .flat_map(|abi| Sysno::ALL.iter().map(|call| name_on(*abi, *call)))
        .collect();
    let considered: Vec<&str> = CONSIDERED
        .iter()
        .flat_map(|(_, calls)| calls.split(' '))
        .collect();
    let mut known: BTreeMap<&str, u32> = BTreeMap::new();
    for abi in Abi::ALL {
        for (name, nr) in crate_table(abi).into_iter().flatten() {
            let nr = nr - base(abi);
            known
                .entry(name)
                .and_modify(|least| *least = nr.min(*least))
                .or_insert(nr);
        }
    }
    // Whatever its name: a new call is to be looked at.
    let is_kin =
        |name: &str, nr: u32| nr >= FIRST_COMMON || KIN.split(' ').any(|part| name.contains(part));
    let forgotten: Vec<&str> = known
        .iter()
        .filter(|(name, nr)| {
            is_kin(name, **nr) && !policy.contains(**name) && !considered.contains(*name)
        })
        .map(|(name, _)| *name)
        .collect();
    assert!(
        forgotten.is_empty(),
        "neither in the policy nor in CONSIDERED: {forgotten:?}"
    );
    for name in &considered {
        assert!(
            known.contains_key(name),
            "CONSIDERED has {name}, which no kernel has"
        );
        assert!(
            !policy.contains(name),
            "CONSIDERED has {name}, but the policy fakes it"
        );
        assert_eq!(
            considered.iter().filter(|other| *other == name).count(),
            1,
            "CONSIDERED has {name} twice"
        );
    }
}
