//! `--dump-filter`: each form against the program itself, and at work in the programs that take it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use zroot::internals::arch::{Abi, Endian, Sysno};
use zroot::internals::filter::asm::op;
use zroot::internals::filter::codegen::{self, Compare};
use zroot::internals::filter::dump::{Format, dump};
use zroot::internals::filter::policy::{Action, Rule, When};
use zroot::internals::filter::sim::{self, Call};
use zroot::internals::filter::{Class, ClassSet, Level, Policy, build};

use crate::common::{self, Ran, SmallTree, control, dir, run, skip, user, zroot, zroot_with};

const ALL_AT_ZERO: Policy = Policy {
    classes: Level::Zero.classes(),
    ..Policy::DEFAULT
};

fn policies() -> [Policy; 4] {
    [
        Policy::DEFAULT,
        Policy::SELECTIVE,
        ALL_AT_ZERO,
        Policy {
            classes: ClassSet::ALL,
            ..Policy::SELECTIVE
        },
    ]
}

fn text(format: Format, abi: Abi, policy: Policy) -> String {
    let dumped =
        dump(format, &[abi], policy).unwrap_or_else(|failure| panic!("{abi} {policy}: {failure}"));
    String::from_utf8(dumped.contents).expect("UTF-8")
}

fn bytes(abi: Abi, policy: Policy) -> Vec<u8> {
    dump(Format::Raw, &[abi], policy).expect("raw").contents
}

/// `zroot ARGS...`, which succeeds, and its standard output, bytes and all.
#[track_caller]
fn output(args: &[&str]) -> Vec<u8> {
    let output = zroot_with(args).output().expect("started");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{args:?}: {output:?}"
    );
    output.stdout
}

/// Writes what `zroot ARGS...` prints to `name` in `dir`, the unprivileged user's.
fn dumped_to(dir: &Path, name: &str, args: &[&str]) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, output(args)).expect("written");
    common::give(&path);
    path
}

#[test]
fn the_listing_has_a_line_for_each_instruction_and_names_every_call() {
    for (abi, policy) in Abi::ALL
        .into_iter()
        .flat_map(|abi| policies().map(|policy| (abi, policy)))
    {
        let listing = text(Format::Asm, abi, policy);
        let program = build(abi.family(), policy).expect("a program");
        assert_eq!(listing.lines().count(), program.len(), "{abi} {policy}");
        let notes = listing
            .lines()
            .filter_map(|line| line.split_once("  # "))
            .map(|(_, note)| note);
        let named: BTreeSet<&str> = notes.flat_map(|note| note.split([' ', ';'])).collect();
        for call in policy
            .rules()
            .map(|rule| rule.call)
            .filter(|call| abi.family().iter().any(|abi| call.nr(*abi).is_some()))
        {
            assert!(
                named.contains(call.name()),
                "{abi} {policy}: {call:?} is not in\n{listing}"
            );
        }
        for abi in abi.family() {
            assert!(named.contains(abi.name()), "{abi} {policy}");
        }
    }
    let listing = text(
        Format::Asm,
        Abi::X86_64,
        Policy {
            classes: ClassSet::ALL,
            ..Policy::SELECTIVE
        },
    );
    for name in [
        "FS_IOC_SETFLAGS",
        "FS_IOC_FSSETXATTR",
        "PR_SET_KEEPCAPS",
        "PR_CAP_AMBIENT",
        "S_IFCHR",
        "success",
        "ENOSYS",
    ] {
        assert!(
            listing.contains(&format!("# {name}")),
            "{name} is not in\n{listing}"
        );
    }
}

/// The comparison that decides about a call names it, on the side that the call takes.
#[test]
fn names_stand_where_the_calls_are_decided() {
    for (kernel, policy) in Abi::ALL
        .into_iter()
        .flat_map(|abi| policies().map(|policy| (abi, policy)))
    {
        let program = build(kernel.family(), policy).expect("a program");
        let listing = text(Format::Asm, kernel, policy);
        let lines: Vec<&str> = listing.lines().collect();
        for (abi, call) in kernel
            .family()
            .iter()
            .flat_map(|abi| policy.rules().map(move |rule| (*abi, rule.call)))
        {
            let Some(nr) = call.nr(abi) else { continue };
            let outcome = sim::run(
                &program,
                kernel.endian(),
                &Call {
                    arch: abi.audit_arch(),
                    nr,
                    args: [0; 6],
                },
            )
            .expect("no fault");
            let is_jump = |at: &&usize| [op::JEQ, op::JGE].contains(&program[**at].code);
            // The tree, where x32's numbers are without their bit, ends where something is loaded
            // again.
            let is_load = |at: &&usize| program[**at].code == op::LOAD;
            let start = outcome
                .path
                .iter()
                .filter(is_load)
                .nth(1)
                .expect("a load of nr");
            let tree = outcome
                .path
                .iter()
                .skip_while(|at| *at != start)
                .skip(1)
                .take_while(|at| !is_load(at));
            let at = *tree.filter(is_jump).last().expect("a comparison");
            let nr = nr & !abi.nr_bit();
            let taken = if program[at].code == op::JEQ {
                nr == program[at].k
            } else {
                nr >= program[at].k
            };
            let note = lines[at].split_once("  # ").map_or("", |(_, note)| note);
            let (yes, no) = note.split_once("else ").unwrap_or((note, ""));
            let side = if taken {
                yes.trim_end_matches("; ")
            } else {
                no
            };
            assert!(
                side.split(' ').any(|name| name == call.name()),
                "{kernel} {policy}: {call:?} on {abi} is not in {}",
                lines[at]
            );
        }
    }
}

#[test]
fn the_bytes_are_the_program_in_the_kernels_byte_order() {
    for (abi, policy) in Abi::ALL
        .into_iter()
        .flat_map(|abi| policies().map(|policy| (abi, policy)))
    {
        let bytes = bytes(abi, policy);
        let program = build(abi.family(), policy).expect("a program");
        assert_eq!(bytes.len(), program.len() * 8);
        for (insn, bytes) in program.iter().zip(bytes.chunks(8)) {
            let (code, k) = (
                [bytes[0], bytes[1]],
                [bytes[4], bytes[5], bytes[6], bytes[7]],
            );
            let (code, k) = match abi.endian() {
                Endian::Little => (u16::from_le_bytes(code), u32::from_le_bytes(k)),
                Endian::Big => (u16::from_be_bytes(code), u32::from_be_bytes(k)),
            };
            assert_eq!(
                (code, bytes[2], bytes[3], k),
                (insn.code, insn.jt, insn.jf, insn.k),
                "{abi}"
            );
        }
    }
    assert_eq!(
        bytes(Abi::S390x, Policy::DEFAULT)[..8],
        [0, 0x20, 0, 0, 0, 0, 0, 4],
        "load arch"
    );
}

#[test]
fn the_options_say_which_program() {
    let selective = Policy {
        classes: Policy::SELECTIVE.classes.without(Class::Xattr),
        ..Policy::SELECTIVE
    };
    let never = Policy {
        classes: Policy::DEFAULT.classes.with(Class::Getid),
        ..Policy::DEFAULT
    };
    for (args, abi, policy) in [
        (&["--dump-filter=raw"][..], Abi::NATIVE, Policy::DEFAULT),
        (
            &["--dump-filter=raw", "--arch=s390x"],
            Abi::S390x,
            Policy::DEFAULT,
        ),
        (
            &[
                "--arch",
                "arm",
                "--dump-filter=raw",
                "-cselective",
                "--no-fake=xattr",
            ],
            Abi::Arm,
            selective,
        ),
        (
            &["--userns=never", "--dump-filter=raw", "--"],
            Abi::NATIVE,
            never,
        ),
        (
            &["--fake=all", "--dump-filter", "--dump-filter=raw"],
            Abi::NATIVE,
            ALL_AT_ZERO,
        ),
    ] {
        assert_eq!(output(args), bytes(abi, policy), "{args:?}");
    }
    assert_eq!(
        output(&["--dump-filter"]),
        text(Format::Asm, Abi::NATIVE, Policy::DEFAULT).into_bytes()
    );
    assert_eq!(output(&["--dump-filter=asm"]), output(&["--dump-filter"]));
}

#[test]
fn all_kernels_are_labelled() {
    for (format, label) in [
        ("--dump-filter=asm", "# zroot "),
        ("--dump-filter=c", "/* zroot "),
    ] {
        let text = String::from_utf8(output(&[format, "--arch=all"])).expect("UTF-8");
        let labels: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with(label))
            .collect();
        assert_eq!(labels.len(), Abi::ALL.len(), "{labels:?}");
        for (abi, label) in Abi::ALL.into_iter().zip(labels) {
            assert!(label.contains(&format!(", {abi} kernel (")), "{label}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (args, says, advises) in [
        (
            &["--dump-filter", "true"][..],
            "runs no command",
            "--dump-filter=raw",
        ),
        (
            &["--dump-filter=raw", "--", "true"],
            "'true'",
            "--dump-filter=raw",
        ),
        (&["--dump-filter", "raw"], "'raw'", "--dump-filter=raw"),
        (&["--dump-filter=elf"], "the formats are asm raw c oci", ""),
        (&["--dump-filter="], "--dump-filter", ""),
        (
            &["--dump-filter", "--arch=vax"],
            "the ABIs are x86_64 x32 i386",
            "",
        ),
        (
            &["--dump-filter=raw", "--arch=all"],
            "one kernel",
            "--arch=x86_64",
        ),
        (
            &["--dump-filter=oci", "--arch=all"],
            "one kernel",
            "--arch=x86_64",
        ),
        (
            &["--dump-filter=oci", "-c", "selective"],
            "level selective",
            "-c zero",
        ),
        (&["--dump-filter", "-c", "auto"], "auto", "-c selective"),
        (
            &["--dump-filter", "--fake=foreign"],
            "whose a file is",
            "selective",
        ),
        (&["--dump-filter", "--no-fake=probe"], "self-test", ""),
        (&["--dump-filter", "--explain", "chown"], "one of them", ""),
        (&["--arch=arm", "true"], "--arch needs", ""),
        (&["--arch=arm"], "--arch needs", ""),
    ] {
        let (what, hint) = run(&mut zroot_with(args)).refused(125);
        assert!(
            what.contains(says) && hint.contains(advises),
            "{args:?}: {what} / {hint}"
        );
    }
    let ran = run(user("script").args([
        "-qec",
        &format!("{} --dump-filter=raw", zroot().display()),
        "/dev/null",
    ]));
    assert_eq!(ran.status, 125, "{ran:#?}");
    assert!(
        ran.stdout.contains("is a terminal") && ran.stdout.contains("hint: bytes are for files"),
        "{ran:#?}"
    );
}

#[test]
fn nothing_is_run_and_nothing_changed() {
    need!("nothing_is_run_and_nothing_changed", "strace");
    for option in [
        "--dump-filter",
        "--dump-filter=raw",
        "--dump-filter=c",
        "--dump-filter=oci",
        "--explain=chown",
    ] {
        let mut command = user("strace");
        command.args([
            "-f",
            "-e",
            "trace=execve,unshare,clone,clone3,fork,vfork,seccomp,prctl,mount,memfd_create,openat",
        ]);
        let ran = run(command.arg(zroot()).arg(option)).succeeds();
        let calls: Vec<&str> = ran
            .stderr
            .lines()
            .filter(|line| !line.contains("+++ exited"))
            .collect();
        assert!(
            calls.len() == 1 && calls[0].contains("execve("),
            "{option}: {calls:?}"
        );
    }
}

/// A directory of the unprivileged user's with a file `f`, whose chown fails without a filter.
fn file_to_chown() -> tempfile::TempDir {
    let dir = dir();
    run(user("touch").arg("f").current_dir(dir.path())).succeeds();
    run(control(["chown", "5", "f"]).current_dir(dir.path())).fails_with("Invalid argument");
    dir
}

#[test]
fn bubblewrap_takes_the_bytes() {
    const NAME: &str = "bubblewrap_takes_the_bytes";
    need!(NAME, "bwrap");
    let dir = file_to_chown();
    let filter = dumped_to(dir.path(), "filter", &["--dump-filter=raw"]);
    let bwrap = |with: &str| -> Ran {
        let script = format!(
            "exec bwrap {with} --unshare-user --uid 0 --gid 0 --dev-bind / / chown 5 f 9<\"$0\""
        );
        run(user("sh")
            .args(["-c", &script])
            .arg(&filter)
            .current_dir(dir.path()))
    };
    bwrap("").fails_with("Invalid argument");
    bwrap("--seccomp 9").succeeds();
}

#[test]
fn setpriv_or_a_loader_takes_the_bytes() {
    const NAME: &str = "setpriv_or_a_loader_takes_the_bytes";
    let dir = file_to_chown();
    let filter = dumped_to(dir.path(), "filter", &["--dump-filter=raw"]);
    run(user("chown").args(["5", "f"]).current_dir(dir.path()))
        .fails_with("Operation not permitted");
    let under = |loader: &mut Command| {
        run(loader.args(["chown", "5", "f"]).current_dir(dir.path())).succeeds();
    };
    if run(user("setpriv").arg("--help"))
        .stdout
        .contains("--seccomp-filter")
    {
        under(
            user("setpriv")
                .arg("--no-new-privs")
                .arg("--seccomp-filter")
                .arg(&filter),
        );
    }
    need!(NAME, "cc");
    let (source, loader) = (dir.path().join("load.c"), dir.path().join("load"));
    fs::write(&source, include_str!("../../fixtures/load.c")).expect("written");
    run(user("cc").arg("-o").args([&loader, &source])).succeeds();
    under(user(&loader).arg(&filter));
}

#[test]
fn the_c_source_is_the_same_program() {
    const NAME: &str = "the_c_source_is_the_same_program";
    need!(NAME, "cc");
    let dir = dir();
    let source = dumped_to(
        dir.path(),
        "all.c",
        &["--dump-filter=c", "--arch=all", "--fake=all"],
    );
    run(user("cc")
        .args(["-fsyntax-only", "-Wall", "-Wextra", "-pedantic", "-Werror"])
        .arg(source))
    .succeeds();
    // The C compiler's machine has the native byte order.
    let natives = Abi::ALL
        .into_iter()
        .filter(|abi| abi.endian() == Abi::NATIVE.endian());
    for (abi, level) in natives.flat_map(|abi| [(abi, "zero"), (abi, "selective")]) {
        let arch = format!("--arch={abi}");
        dumped_to(
            dir.path(),
            "filter.c",
            &["--dump-filter=c", &arch, "-c", level],
        );
        let main = format!(
            "#include \"filter.c\"\n#include <stdio.h>\nint main(void) {{ return !fwrite(zroot_filter_{abi}, sizeof zroot_filter_{abi}, 1, stdout); }}\n"
        );
        fs::write(dir.path().join("main.c"), main).expect("written");
        run(user("cc")
            .args(["-o", "main", "main.c"])
            .current_dir(dir.path()))
        .succeeds();
        let written = user(dir.path().join("main"))
            .output()
            .expect("started")
            .stdout;
        assert_eq!(
            written,
            output(&["--dump-filter=raw", &arch, "-c", level]),
            "{abi} {level}"
        );
    }
}

#[test]
fn every_profile_is_json_and_names_every_call() {
    const NAME: &str = "every_profile_is_json_and_names_every_call";
    need!(NAME, "python3");
    let dir = dir();
    for abi in Abi::ALL {
        let profile = text(Format::Oci, abi, ALL_AT_ZERO);
        for call in ALL_AT_ZERO.rules().map(|rule| rule.call) {
            let has = abi.family().iter().any(|abi| call.nr(*abi).is_some());
            assert_eq!(
                profile.contains(&format!("\"{}\"", call.name())),
                has,
                "{abi}: {call:?}"
            );
        }
        let path = dir.path().join(abi.name());
        fs::write(&path, profile).expect("written");
        let script = "import json, sys; p = json.load(open(sys.argv[1])); print(p['defaultAction'], len(p['architectures']))";
        let ran = run(user("python3").args(["-c", script]).arg(&path)).succeeds();
        // riscv32 alone has no name there, which is said.
        let notes = dump(Format::Oci, &[abi], ALL_AT_ZERO)
            .expect("a profile")
            .notes;
        assert_eq!(
            notes.len(),
            usize::from(abi.family().contains(&Abi::Riscv32)),
            "{notes:?}"
        );
        assert_eq!(
            ran.stdout.trim(),
            format!("SCMP_ACT_ALLOW {}", abi.family().len() - notes.len()),
            "{abi}"
        );
    }
}

/// What the conditions of a profile come to.
fn meets(alternatives: &[Vec<Compare>], args: &[u64; 6]) -> bool {
    let holds = |compare: &Compare| match *compare {
        Compare::NotEqual { arg, value } => args[usize::from(arg)] != value,
        Compare::MaskedEqual { arg, mask, value } => args[usize::from(arg)] & mask == value,
    };
    alternatives.is_empty() || alternatives.iter().any(|all| all.iter().all(holds))
}

/// A rule with a condition, an ABI that has its call, and a kernel that executes that.
fn any_rule() -> impl Strategy<Value = (Abi, Abi, Rule)> {
    let rules: Vec<(Abi, Abi, Rule)> = Abi::ALL
        .into_iter()
        .flat_map(|kernel| kernel.family().iter().map(move |abi| (kernel, *abi)))
        .flat_map(|(kernel, abi)| ALL_AT_ZERO.rules().map(move |rule| (kernel, abi, rule)))
        .filter(|(_, abi, rule)| rule.call.nr(*abi).is_some() && rule.when != When::Always)
        .collect();
    proptest::sample::select(rules)
}

fn any_arg() -> impl Strategy<Value = u64> {
    let requests = Abi::ALL
        .into_iter()
        .flat_map(Abi::inode_flag_requests)
        .map(|nr| u64::from(*nr))
        .collect::<Vec<_>>();
    prop_oneof![
        Just(0),
        0..64_u64,
        0..0x1_0000_u64,
        (0..8_u64).prop_map(|kind| kind << 12 | 0o644),
        proptest::sample::select(requests)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    /// The one difference that the profile has is where it is said to be: another ABI's ioctl
    /// requests.
    #[test]
    fn a_profile_answers_as_the_program((kernel, abi, rule) in any_rule(), args in proptest::array::uniform6(any_arg())) {
        let call = Call { arch: abi.audit_arch(), nr: rule.call.nr(abi).expect("it has the call"), args };
        let program = build(kernel.family(), ALL_AT_ZERO).expect("a program");
        let answer = sim::run(&program, kernel.endian(), &call)?.value;
        let own = meets(&codegen::comparisons(&[abi], rule.when), &args);
        let expected = codegen::ret_value(abi, if own { rule.action } else { Action::Allow });
        prop_assert_eq!(answer, expected);
        let familys = meets(&codegen::comparisons(kernel.family(), rule.when), &args);
        prop_assert!(familys || !own);
        prop_assert!(familys == own || rule.call == Sysno::ioctl);
    }
}

#[test]
fn a_container_runtime_takes_the_profile() {
    const NAME: &str = "a_container_runtime_takes_the_profile";
    /// What runs inside: only the whiteout is made really.
    const INSIDE: &str = "chown 5 /tmp/f && echo chowned; mknod /tmp/n c 1 3 && echo made; mknod /tmp/w c 0 0; mkfifo /tmp/p; ls /tmp";
    /// crun refuses hosts with both kinds of control groups, so that it sees none; it makes no user
    /// namespace of its own, for which it would want an entry in /etc/subuid.
    const OUTSIDE: &str = "mount -t tmpfs none /sys/fs/cgroup && exec crun --root \"$0/run\" --cgroup-manager=disabled run -b \"$0\" zroot-test";
    need!(NAME, "crun");
    let run_with = |profile: &str| -> Option<Ran> {
        let tree = SmallTree::new(NAME)?;
        let config = format!(
            r#"{{"ociVersion": "1.0.2", "root": {{"path": "root"}}, "mounts": [],
            "process": {{"user": {{"uid": 0, "gid": 0}}, "cwd": "/", "env": ["PATH=/bin"], "noNewPrivileges": true, "args": ["/bin/sh", "-c", "{INSIDE}"]}},
            "linux": {{"namespaces": [{{"type": "mount"}}, {{"type": "pid"}}], "seccomp": {profile}}}}}"#
        );
        fs::write(tree.place().join("config.json"), config).expect("written");
        tree.prepare("mkdir run root/proc root/dev; : > root/tmp/f");
        Some(run(user("unshare")
            .args(["-rm", "sh", "-c", OUTSIDE])
            .arg(tree.place())))
    };
    let Some(plain) = run_with(r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#) else {
        return;
    };
    if plain.stdout != "f\np\nw\n" {
        return skip(NAME, &format!("crun does not run here: {}", plain.stderr));
    }
    for fake in ["--fake=capability", "--fake=all"] {
        let profile = String::from_utf8(output(&["--dump-filter=oci", fake])).expect("UTF-8");
        let ran = run_with(&profile).expect("a tree");
        assert_eq!(ran.stdout, "chowned\nmade\nf\np\nw\n", "{fake}: {ran:#?}");
    }
}
