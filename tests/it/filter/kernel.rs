//! The kernel's own answers: this program runs itself under zroot, where forked children make every
//! call of the matrix with arguments that the kernel refuses whoever asks, so that it is known who
//! answered: 0 is the filter, anything else the kernel, and the kernel answers exactly as it does
//! without the filter.
#![allow(unsafe_code)] // calls by number, through every ABI
#![allow(
    clippy::cast_lossless,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss
)] // registers hold either

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fmt::Write as _;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::Command;
use std::{env, fs, io};

use zroot::internals::arch::{Abi, Sysno};
use zroot::internals::filter::policy::Action;
use zroot::internals::filter::{Class, ClassSet, Level, Policy};

use crate::common;
use crate::this_test::ThisTest;

/// An address where nothing is: EFAULT.
const BAD: u64 = 1;
/// A descriptor, priority, process or other small number that is none: EBADF, EINVAL.
const NONE: u64 = u64::MAX;
/// An id that is mapped in no namespace of one id, and that fits into 16 bits: EINVAL, or EPERM
/// without the namespace.
const STRANGER: u64 = 54321;
/// What may stand above an argument of 32 bits in a register of 64.
const JUNK: u64 = 0xdead_beef_0000_0000;

/// A call to make.
struct Case {
    abi: Abi,
    /// The call, or `None` for a number that is not in the matrix.
    call: Option<Sysno>,
    nr: u32,
    args: Vec<u64>,
    /// Whether the arguments are such that the call's rule applies.
    applies: bool,
}

/// Arguments for `call` that the kernel refuses, and whether the call's rule applies to them.
///
/// `sync` has none: it always succeeds, so nobody can tell who answered; and the whole machine
/// would wait for it. Nor has `landlock_restrict_self`: its error depends on `no_new_privs`, which
/// zroot sets.
#[allow(clippy::match_same_arms)] // a call's relatives, not those who share its arguments
#[allow(clippy::too_many_lines)] // a table
fn arguments(abi: Abi, call: Sysno) -> Vec<(Vec<u64>, bool)> {
    use Sysno as S;
    let wide = abi.has_64bit_registers();
    let always = |args: &[u64]| vec![(args.to_vec(), true)];
    let nodes = |before: &[u64]| {
        let with = |mode: libc::mode_t, high: u64, dev: u64, applies| {
            (
                [before, &[BAD, high | u64::from(mode | 0o644), dev]].concat(),
                applies,
            )
        };
        let mut cases = vec![
            with(libc::S_IFCHR, 0, 0x103, true),
            with(libc::S_IFBLK, 0, 0x103, true),
            with(libc::S_IFBLK, 0, 0, true),
            with(libc::S_IFCHR, 0, 0, false), // an overlay's whiteout
            with(libc::S_IFIFO, 0, 0, false),
            with(libc::S_IFIFO, 0, 0x103, false),
            with(libc::S_IFSOCK, 0, 0, false),
            with(libc::S_IFREG, 0, 0, false),
            with(libc::S_IFDIR, 0, 0x103, false),
            with(0, 0, 0x103, false),
        ];
        if wide {
            cases.extend([
                with(libc::S_IFCHR, JUNK, 0x103, true),
                with(libc::S_IFCHR, 0, JUNK, false),
                with(libc::S_IFIFO, JUNK, 0x103, false),
            ]);
        }
        cases
    };
    let opens = |before: &[u64]| {
        let with = |flags: u64, applies| ([before, &[BAD, flags, 0]].concat(), applies);
        let [creat, temporary] = [libc::O_CREAT, 0o20_000_000].map(|flag| flag as u64);
        let mut cases = vec![
            with(0, false),
            with(creat, true),
            with(temporary, true),
            with(creat | temporary | 1, true),
            with(!(creat | temporary) & 0x7fff_ffff, false),
        ];
        if wide {
            cases.extend([with(JUNK, false), with(JUNK | creat, true)]);
        }
        cases
    };
    match call {
        S::sync => vec![],
        S::chown | S::lchown | S::chown32 | S::lchown32 => always(&[BAD, 0, 0]),
        S::fchown | S::fchown32 => always(&[NONE, 0, 0]),
        S::fchownat => always(&[NONE, BAD, 0, 0, 0]),
        S::semctl => always(&[NONE, 0, 1, BAD]),
        S::msgctl | S::shmctl => always(&[NONE, 1, BAD]),
        S::setuid | S::setgid | S::setuid32 | S::setgid32 => always(&[STRANGER]),
        S::setfsuid | S::setfsgid | S::setfsuid32 | S::setfsgid32 => always(&[STRANGER]), // the kernel answers with the present id
        S::setreuid | S::setregid | S::setreuid32 | S::setregid32 => always(&[STRANGER, STRANGER]),
        S::setresuid | S::setresgid | S::setresuid32 | S::setresgid32 => {
            always(&[STRANGER, STRANGER, STRANGER])
        }
        S::setgroups | S::setgroups32 => always(&[1 << 20, BAD]),
        S::capget | S::capset => always(&[BAD, BAD]),
        S::prctl => prctls(wide),
        S::execve => always(&[BAD, BAD, BAD]),
        S::execveat => always(&[NONE, BAD, BAD, BAD, 0]),
        S::mknod => nodes(&[]),
        S::mknodat => nodes(&[NONE]),
        S::landlock_restrict_self => vec![],
        S::chroot => always(&[BAD]),
        S::io_uring_setup => always(&[0, BAD]),
        S::pivot_root => always(&[BAD, BAD]),
        S::setns => always(&[NONE, 0]),
        S::unshare => always(&[NONE]), // unknown flags
        S::kexec_load => always(&[NONE, NONE, 0, NONE]),
        S::getuid
        | S::geteuid
        | S::getgid
        | S::getegid
        | S::getuid32
        | S::geteuid32
        | S::getgid32
        | S::getegid32 => always(&[]),
        S::getresuid | S::getresgid | S::getresuid32 | S::getresgid32 => always(&[BAD, BAD, BAD]),
        S::getgroups | S::getgroups32 => always(&[NONE, BAD]),
        S::syncfs | S::fsync | S::fdatasync => always(&[NONE]),
        S::msync => always(&[BAD, 0, 0]), // not at a page's start
        S::sync_file_range | S::sync_file_range2 => always(&[NONE, 0, 0, 0]),
        S::setxattr | S::lsetxattr => always(&[BAD, BAD, BAD, 0, 0]),
        S::fsetxattr => always(&[NONE, BAD, BAD, 0, 0]),
        S::setxattrat => always(&[NONE, BAD, 0, BAD, BAD, 0]),
        S::removexattr | S::lremovexattr => always(&[BAD, BAD]),
        S::getxattr | S::lgetxattr => always(&[BAD, BAD, BAD, 0]),
        S::fgetxattr => always(&[NONE, BAD, BAD, 0]),
        S::getxattrat => always(&[NONE, BAD, 0, BAD, BAD, 0]),
        S::listxattr | S::llistxattr => always(&[BAD, BAD, 0]),
        S::flistxattr => always(&[NONE, BAD, 0]),
        S::listxattrat => always(&[NONE, BAD, 0, BAD, 0]),
        S::fremovexattr => always(&[NONE, BAD]),
        S::removexattrat => always(&[NONE, BAD, 0, BAD]),
        S::chmod => always(&[BAD, 0]),
        S::fchmod => always(&[NONE, 0]),
        S::fchmodat | S::fchmodat2 | S::utimensat | S::utimensat_time64 | S::futimesat => {
            always(&[NONE, BAD, 0, 0])
        }
        S::utime | S::utimes => always(&[BAD, BAD]),
        S::ioctl => {
            let (flags, xattr) = (
                u64::from(abi.fs_ioc_setflags()),
                u64::from(abi.fs_ioc_fssetxattr()),
            );
            let mut requests = vec![
                (flags, true),
                (xattr, true),
                (flags - 1, false),
                (xattr + 1, false),
                (flags ^ 0xc000_0000, false),
            ];
            if wide {
                requests.extend([(JUNK | flags, true), (JUNK | xattr, true)]);
            }
            requests
                .into_iter()
                .map(|(request, applies)| (vec![NONE, request, BAD], applies))
                .collect()
        }
        S::file_setattr => always(&[NONE, BAD, BAD, 0, 0]),
        S::sethostname | S::setdomainname => always(&[BAD, NONE]),
        S::settimeofday => always(&[BAD, BAD]),
        S::clock_settime | S::clock_settime64 | S::clock_adjtime | S::clock_adjtime64 => {
            always(&[9999, BAD])
        }
        S::adjtimex | S::stime => always(&[BAD]),
        S::nice => always(&[-40_i64 as u64]), // the one that the user would need RLIMIT_NICE 40 for
        S::setpriority => always(&[NONE, 0, 0]),
        S::sched_setscheduler => always(&[NONE, NONE, BAD]),
        S::sched_setparam => always(&[NONE, BAD]),
        S::sched_setattr => always(&[NONE, BAD, 0]),
        S::ioprio_set => always(&[9999, 0, 0]),
        S::setrlimit | S::getrlimit | S::ugetrlimit => always(&[9999, BAD]),
        S::prlimit64 => {
            let mut cases = vec![
                (vec![0, 9999, BAD, 0], true),
                (vec![0, 9999, 0, BAD], false),
            ];
            if wide {
                cases.push((vec![0, 9999, JUNK, 0], true));
            }
            cases
        }
        S::mlock => always(&[BAD, 4096]),
        S::mlock2 => always(&[BAD, 4096, NONE]),
        S::mlockall => always(&[NONE]),
        S::mount => always(&[BAD, BAD, BAD, 0, BAD]),
        S::umount | S::umount2 => always(&[BAD, 0]),
        S::fsopen => always(&[BAD, 0]),
        S::fsconfig => always(&[NONE, NONE, BAD, BAD, 0]),
        S::fsmount => always(&[NONE, 0, 0]),
        S::fspick | S::open_tree => always(&[NONE, BAD, 0]),
        S::move_mount => always(&[NONE, BAD, NONE, BAD, 0]),
        S::open_tree_attr | S::mount_setattr => always(&[NONE, BAD, 0, BAD, 0]),
        S::oldstat | S::oldlstat | S::stat | S::lstat | S::stat64 | S::lstat64 => {
            always(&[BAD, BAD])
        }
        S::oldfstat | S::fstat | S::fstat64 => always(&[NONE, BAD]),
        S::newfstatat | S::fstatat64 => always(&[NONE, BAD, BAD, 0]),
        S::open => opens(&[]),
        S::openat => opens(&[NONE]),
        S::creat | S::mkdir => always(&[BAD, 0]),
        S::openat2 => always(&[NONE, BAD, BAD, 24]),
        S::mkdirat => always(&[NONE, BAD, 0]),
        S::symlink => always(&[BAD, BAD]),
        S::symlinkat => always(&[BAD, NONE, BAD]),
        S::unlink | S::rmdir => always(&[BAD]),
        S::unlinkat => always(&[NONE, BAD, 0]),
        S::rename => always(&[BAD, BAD]),
        S::renameat => always(&[NONE, BAD, NONE, BAD]),
        S::renameat2 => always(&[NONE, BAD, NONE, BAD, 0]),
        S::statx => always(&[NONE, BAD, 0, 0, BAD]),
        S::getsockopt => {
            let (level, cred) = (abi.sol_socket().into(), abi.so_peercred().into());
            let groups = Abi::SO_PEERGROUPS.into();
            let mut cases = vec![
                (level, cred, true),
                (level, groups, true),
                (level, cred + 1, false),
                // The kernel knows that it is another level's.
                (level + 1, cred, true),
            ];
            if wide {
                cases.extend([
                    (level | JUNK, cred | JUNK, true),
                    (level, groups | JUNK, true),
                ]);
            }
            let case = |(level, option, applies)| (vec![NONE, level, option, BAD, BAD], applies);
            cases.into_iter().map(case).collect()
        }
        S::bind | S::connect => always(&[NONE, BAD, 0]),
        S::listen => always(&[NONE, 0]),
        S::socketpair => always(&[NONE, 0, 0, BAD]),
        // None of their arguments can be read.
        S::socketcall => [2, 3, 4, 8, 15]
            .map(|call| (vec![call, BAD], true))
            .into_iter()
            .chain([1, 5, 16].map(|call| (vec![call, BAD], false)))
            .collect(),
    }
}

/// [`arguments`] for prctl: arguments that the options do not take.
fn prctls(wide: bool) -> Vec<(Vec<u64>, bool)> {
    let [keep, bits, ambient] = [
        libc::PR_SET_KEEPCAPS,
        libc::PR_SET_SECUREBITS,
        libc::PR_CAP_AMBIENT,
    ]
    .map(|option| option as u64);
    let mut options = vec![
        (keep, true),
        (bits, true),
        (ambient, true),
        (9999, false),
        (ambient + 0x1_0000, false),
    ];
    if wide {
        options.extend([(JUNK | keep, true), (JUNK | ambient, true)]);
    }
    options
        .into_iter()
        .map(|(option, applies)| (vec![option, 9999, 9999, 9999, 9999], applies))
        .collect()
}

/// The ABIs that this program can make calls through.
fn abis() -> &'static [Abi] {
    if Abi::NATIVE == Abi::X86_64 {
        Abi::X86_64.family()
    } else {
        &[Abi::NATIVE]
    }
}

/// Every call through every ABI, and some numbers that are next to the matrix: x32's with an x86-64
/// number, the reverse, and no call at all.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for abi in abis().iter().copied() {
        for call in Sysno::ALL {
            let Some(nr) = call.nr(abi) else { continue };
            let variants = arguments(abi, *call).into_iter();
            cases.extend(variants.map(|(args, applies)| Case {
                abi,
                call: Some(*call),
                nr,
                args,
                applies,
            }));
        }
        let strays: &[u32] = match abi {
            Abi::X86_64 => &[514, 528, 1023, u32::MAX],
            Abi::X32 => &[0x4000_0000 + 16, 0x4000_0000 + 246, 0x4000_03ff],
            Abi::I386 => &[1023, u32::MAX],
            _ => &[u32::MAX],
        };
        cases.extend(strays.iter().map(|nr| Case {
            abi,
            call: None,
            nr: *nr,
            args: vec![NONE, NONE, BAD],
            applies: false,
        }));
    }
    cases
}

/// Makes the call; the kernel's return value, errors negative.
fn make(abi: Abi, nr: u32, args: [u64; 6]) -> i64 {
    #[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
    if abi == Abi::I386 {
        return int80(nr, args.map(|arg| arg as u32));
    }
    assert!(abi == Abi::NATIVE || abi == Abi::X32);
    let args = args.map(|arg| arg as libc::c_long);
    // SAFETY: no argument of a case is the address of memory in use; what a call could change of
    // this process ends with it.
    let ret = unsafe {
        libc::syscall(
            nr as libc::c_long,
            args[0],
            args[1],
            args[2],
            args[3],
            args[4],
            args[5],
        )
    };
    if ret == -1 {
        -i64::from(io::Error::last_os_error().raw_os_error().unwrap_or(0))
    } else {
        ret as i64
    }
}

/// A call of a 32-bit program, which a 64-bit one can make as well
/// (arch/x86/entry/entry_64_compat.S, `int80_emulation`).
#[cfg(all(target_arch = "x86_64", target_pointer_width = "64"))]
fn int80(nr: u32, args: [u32; 6]) -> i64 {
    let args = args.map(u64::from);
    let ret: u64;
    // SAFETY: as in `make`. rbx, which the compiler keeps for itself, and rbp are put back; old
    // kernels clear r8 to r11.
    unsafe {
        std::arch::asm!(
            "push rbx", "push rbp", "mov ebx, r8d", "mov ebp, r9d", "int 0x80", "pop rbp", "pop rbx",
            inlateout("rax") u64::from(nr) => ret,
            inlateout("r8") args[0] => _, in("rcx") args[1], in("rdx") args[2], in("rsi") args[3],
            in("rdi") args[4], inlateout("r9") args[5] => _, lateout("r10") _, lateout("r11") _,
        );
    }
    i64::from(ret as i32)
}

/// [`make`] in a child of its own. `None` if that was killed.
fn make_in_child(case: &Case) -> Option<i64> {
    let mut args = [0; 6];
    args[..case.args.len()].copy_from_slice(&case.args);
    let mut pipe = [0; 2];
    // SAFETY: `pipe` and `answer` are as large as the calls take them for; the child of what may be
    // one of several threads only makes system calls.
    unsafe {
        assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
        let child = libc::fork();
        assert!(child >= 0, "fork: {}", io::Error::last_os_error());
        if child == 0 {
            let answer = make(case.abi, case.nr, args);
            libc::write(pipe[1], (&raw const answer).cast(), size_of_val(&answer));
            libc::_exit(0);
        }
        libc::close(pipe[1]);
        let mut answer = 0_i64;
        let got = libc::read(pipe[0], (&raw mut answer).cast(), size_of_val(&answer));
        libc::close(pipe[0]);
        assert_eq!(libc::waitpid(child, std::ptr::null_mut(), 0), child);
        (got == 8).then_some(answer)
    }
}

/// Set for the runs of this program under zroot, or without it for control.
const CHILD: &str = "ZROOT_KERNEL_TEST";

/// In a run under zroot: does the work, prints and ends. Otherwise comes back.
fn be_the_child(work: fn() -> String) {
    if env::var_os(CHILD).is_some() {
        // Behind the harness's own line.
        println!("\n{}", work());
        std::process::exit(0);
    }
}

/// Makes every call, and writes the answers one a line.
fn all_answers() -> String {
    cases().iter().fold(String::new(), |mut text, case| {
        let answer = make_in_child(case).map_or("killed".into(), |answer| answer.to_string());
        let _ = writeln!(text, "answer {answer}");
        text
    })
}

/// What a run of [`all_answers`] printed; `None` for killed children.
fn answers(ran: common::Ran) -> Vec<Option<i64>> {
    let ran = ran.succeeds();
    let answers: Vec<_> = ran
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("answer "))
        .map(|answer| answer.parse().ok())
        .collect();
    assert_eq!(answers.len(), cases().len(), "{ran:#?}");
    answers
}

/// Whether the run is in a user namespace of its own.
#[derive(Clone, Copy)]
enum Userns {
    Auto,
    Never,
}

/// The kernel's answers, without a filter.
fn control(userns: Userns, test: &ThisTest) -> Vec<Option<i64>> {
    let command = test.command();
    answers(match userns {
        Userns::Auto => common::run(common::control(command).env(CHILD, "1")),
        Userns::Never => common::run(
            common::user(&command[0])
                .args(&command[1..])
                .env(CHILD, "1"),
        ),
    })
}

/// Whether a success of the kernel looks like the filter's: these calls answer with an id, and
/// root's is 0.
fn answers_with_an_id(call: Sysno) -> bool {
    call.name().starts_with("setfs")
        || Class::Getid
            .rules(Level::Zero)
            .any(|rule| rule.call == call)
}

/// Runs `test` under `zroot OPTIONS...` and compares every answer with the policy of `classes` and
/// with the kernel's own, `control`.
fn check(test: &ThisTest, control: &[Option<i64>], options: &[&str], classes: ClassSet) {
    let policy = Policy {
        classes,
        ..Policy::DEFAULT
    };
    let ran = common::run(
        common::zroot_with(options)
            .arg("--")
            .args(test.command())
            .env(CHILD, "1"),
    );
    let with_filter = answers(ran);
    let actions: BTreeMap<Sysno, Action> = policy
        .rules()
        .map(|rule| (rule.call, rule.action))
        .collect();
    let mut wrong = String::new();
    for (case, (answer, control)) in cases().iter().zip(with_filter.iter().zip(control)) {
        let Case {
            abi,
            call,
            nr,
            args,
            applies,
        } = case;
        let what = || format!("{abi} {call:?} ({nr:#x}) {args:x?}");
        let Some(control) = control else {
            assert_eq!(*abi, Abi::I386, "{}", what());
            continue; // this_kernel_runs_i386_programs says so
        };
        assert!(
            *control != 0 || call.is_some_and(answers_with_an_id),
            "the kernel, too, grants {}",
            what()
        );
        let action = call
            .and_then(|call| actions.get(&call).copied())
            .filter(|_| *applies)
            .unwrap_or(Action::Allow);
        let expected = match action {
            Action::Allow => *control,
            Action::FakeSuccess => 0,
            Action::Absent => -i64::from(libc::ENOSYS),
            Action::Notify => unreachable!("level zero has nobody to ask"),
        };
        if *answer != Some(expected) {
            let _ = writeln!(
                wrong,
                "{}: {answer:?} instead of {expected}; {control} without the filter",
                what()
            );
        }
    }
    assert!(wrong.is_empty(), "zroot {options:?}:\n{wrong}");
}

/// [`check`]s the options, all in the test `name`. Each comes with its set of classes in a user
/// namespace and with that in none.
fn check_all(name: &'static str, ways: &[(&[&str], ClassSet, ClassSet)]) {
    be_the_child(all_answers);
    need!(name, "unshare");
    let test = ThisTest::new(module_path!(), name);
    let kernels = control(Userns::Never, &test);
    for (options, _, without) in ways {
        check(
            &test,
            &kernels,
            &[&["--userns=never"], *options].concat(),
            *without,
        );
    }
    if !may_unshare() {
        return common::skip(name, "this user may not make user namespaces");
    }
    let kernels = control(Userns::Auto, &test);
    for (options, within, _) in ways {
        check(&test, &kernels, options, *within);
    }
}

fn may_unshare() -> bool {
    common::run(&mut common::control(["true"])).status == 0
}

const PROBE: ClassSet = ClassSet::EMPTY.with(Class::Probe);

#[test]
fn default_classes() {
    check_all(
        "default_classes",
        &[(&[], ClassSet::DEFAULT, ClassSet::DEFAULT.with(Class::Getid))],
    );
}

#[test]
fn all_classes_and_none() {
    check_all(
        "all_classes_and_none",
        &[
            (&["--fake=all"], ClassSet::ALL, ClassSet::ALL),
            (&["--no-fake=all"], PROBE, PROBE),
        ],
    );
}

#[test]
fn each_class_alone() {
    let classes: Vec<Class> = Level::Zero.classes().iter().collect();
    let each = classes.into_iter().map(|class| {
        let only = PROBE.with(class);
        (
            only,
            [
                format!("--no-fake={}", ClassSet::ALL.minus(only)),
                format!("--fake={class}"),
            ],
        )
    });
    let each: Vec<(ClassSet, [String; 2])> = each.collect();
    let options: Vec<[&str; 2]> = each
        .iter()
        .map(|(_, options)| options.each_ref().map(String::as_str))
        .collect();
    let ways: Vec<(&[&str], ClassSet, ClassSet)> = options
        .iter()
        .zip(&each)
        .map(|(options, (only, _))| (&options[..], *only, *only))
        .collect();
    check_all("each_class_alone", &ways);
}

#[test]
fn without_a_user_namespace_the_kernel_tells_who_one_is() {
    be_the_child(all_answers);
    let control = control(
        Userns::Never,
        &ThisTest::new(
            module_path!(),
            "without_a_user_namespace_the_kernel_tells_who_one_is",
        ),
    );
    let getuid = |case: &Case| {
        case.abi == Abi::NATIVE
            && case
                .call
                .is_some_and(|call| call.name().starts_with("getuid"))
    };
    let (_, answer) = cases()
        .into_iter()
        .zip(control)
        .rfind(|(case, _)| getuid(case))
        .expect("the native ABI has getuid");
    // Else nobody could tell whether the filter or the kernel answered getuid in the other tests.
    assert_eq!(answer, Some(common::uid().into()));
    assert_ne!(answer, Some(0));
}

#[test]
fn this_kernel_runs_i386_programs() {
    be_the_child(all_answers);
    let answers = control(
        Userns::Never,
        &ThisTest::new(module_path!(), "this_kernel_runs_i386_programs"),
    );
    if cases()
        .iter()
        .zip(answers)
        .any(|(case, answer)| case.abi == Abi::I386 && answer.is_none())
    {
        common::skip(
            "every test of this file, for i386,",
            "the kernel has no IA32 emulation",
        );
    }
}

/// The nodes to make: a name, a type, a device number.
const NODES: [(&str, libc::mode_t, libc::dev_t); 7] = [
    ("character", libc::S_IFCHR, 0x103),
    ("block", libc::S_IFBLK, 0x103),
    ("zero-block", libc::S_IFBLK, 0),
    ("whiteout", libc::S_IFCHR, 0),
    ("fifo", libc::S_IFIFO, 0),
    ("socket", libc::S_IFSOCK, 0),
    ("regular", libc::S_IFREG, 0),
];

/// Makes each of [`NODES`] in the working directory.
fn make_nodes() -> String {
    NODES
        .iter()
        .fold(String::new(), |mut text, (name, mode, dev)| {
            let path = CString::new(*name).expect("a name without NUL");
            // SAFETY: `path` is a C string.
            let ret = unsafe { libc::mknodat(libc::AT_FDCWD, path.as_ptr(), mode | 0o644, *dev) };
            let _ = writeln!(text, "{name} {ret}");
            text
        })
}

/// The answers of [`make_nodes`], and what is in the directory afterwards.
fn nodes_made(
    mut command: Command,
    dir: &Path,
) -> BTreeMap<&'static str, (bool, Option<fs::FileType>)> {
    let ran = common::run(command.current_dir(dir).env(CHILD, "1")).succeeds();
    let node = |name| {
        let succeeded = ran.stdout.lines().any(|line| line == format!("{name} 0"));
        (
            name,
            (
                succeeded,
                dir.join(name)
                    .symlink_metadata()
                    .ok()
                    .map(|node| node.file_type()),
            ),
        )
    };
    NODES.iter().map(|(name, ..)| node(*name)).collect()
}

#[test]
fn devices_are_pretended_and_other_nodes_are_real() {
    const NAME: &str = "devices_are_pretended_and_other_nodes_are_real";
    be_the_child(make_nodes);
    need!(NAME, "unshare");
    if !may_unshare() {
        return common::skip(NAME, "this user may not make user namespaces");
    }
    let test = ThisTest::new(module_path!(), NAME);
    let (dir, other) = (common::dir(), common::dir());
    let made = nodes_made(common::zroot_with(test.command()), dir.path());
    let control = nodes_made(common::control(test.command()), other.path());
    for device in ["character", "block", "zero-block"] {
        assert_eq!(made[device], (true, None), "{device}");
        assert_eq!(
            control[device],
            (false, None),
            "{device} without the filter"
        );
    }
    assert!(made["fifo"].1.is_some_and(|node| node.is_fifo()) && made["fifo"].0);
    assert!(made["socket"].1.is_some_and(|node| node.is_socket()) && made["socket"].0);
    assert!(made["regular"].1.is_some_and(|node| node.is_file()) && made["regular"].0);
    // Since Linux 5.8 anyone may make one.
    assert_eq!(made["whiteout"], control["whiteout"]);
    assert!(made["whiteout"].1.is_none_or(|node| node.is_char_device()));
}

/// A filter under which every call that is younger than Linux 4.18 (whose last was rseq, 334 on
/// x86-64) is missing: since 5.1 the numbers of new calls are the same on every ABI but mips, whose
/// own have an offset, and begin at 403.
fn kernel_4_18() -> zroot::internals::filter::asm::Program {
    let mut asm = zroot::internals::filter::asm::Assembler::default();
    let (young, old) = (asm.label(), asm.label());
    asm.load(0); // seccomp_data.nr
    asm.branch(zroot::internals::filter::asm::Cond::Ge, 403, young, old);
    asm.bind(young);
    asm.ret(libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32);
    asm.bind(old);
    asm.ret(libc::SECCOMP_RET_ALLOW);
    asm.finish().expect("a program")
}

#[test]
#[cfg(not(target_arch = "mips64"))]
fn level_zero_needs_no_call_that_linux_4_18_lacks() {
    const NAME: &str = "level_zero_needs_no_call_that_linux_4_18_lacks";
    let python = ["python3", "-c", "import os; os.pidfd_open(os.getpid())"];
    need!(NAME, "python3");
    common::run(common::under_filter(
        &mut common::control(python),
        kernel_4_18(),
    ))
    .fails_with("Function not implemented");
    let Some(tree) = common::SmallTree::new(NAME) else {
        return;
    };
    let check = "chown 5:7 /tmp && mkfifo /tmp/fifo && ls -l /tmp/fifo && rm /tmp/fifo";
    common::run(common::under_filter(
        &mut tree.inside(
            &["--bind=src:/tmp:ro", "--bind=canary:/mnt"],
            "ls /tmp/tool",
        ),
        kernel_4_18(),
    ))
    .succeeds();
    for options in [
        &[][..],
        &["--no-sync", "--fake=mount,limits,host"],
        &["--no-apt-config"],
    ] {
        common::run(common::under_filter(
            &mut tree.inside(options, check),
            kernel_4_18(),
        ))
        .succeeds();
    }
}
