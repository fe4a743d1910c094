//! What forbids zroot its work, made for real on this kernel by an unprivileged user. Each must end
//! in exit status 125 and its own advice, with nothing run; and what the advice promises must hold.
#![allow(unsafe_code)] // pre_exec

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::Command;

use zroot::internals::filter::asm::{Assembler, Cond, Program};

use crate::common::{Ran, dir, run, user, zroot};

/// Runs COMMAND with the arguments after it in a user namespace of its own, with all rights there,
/// as uid and gid 1000.
const AS_1000: [&str; 4] = [
    "--user",
    "--map-user=1000",
    "--map-group=1000",
    "--keep-caps",
];

/// `unshare OPTIONS sh -c SCRIPT ZROOT ARGS...`.
fn unshared<'a>(options: impl IntoIterator<Item = &'a str>, script: &str, args: &[&OsStr]) -> Ran {
    run(user("unshare")
        .args(options)
        .args(["--", "sh", "-c", script])
        .arg(zroot())
        .args(args))
}

/// `script` runs zroot as `"$0"`; what it is to run is never to be seen.
#[track_caller]
fn refused<'a>(options: impl IntoIterator<Item = &'a str>, script: &str, what: &str, advice: &str) {
    let (said, hint) = unshared(options, script, &[]).refused(125);
    assert_eq!(said, what);
    assert!(hint.contains(advice), "no '{advice}' in: {hint}");
    assert!(hint.contains("--userns=never"), "{hint}");
}

/// The shell command that shows that apparent root is there, with a file to try it on.
const IS_ROOT: &str = "test $(id -u) = 0 && chown 1:1 /tmp/. && echo emulated";

const NO_NAMESPACE: &str = "cannot make a user namespace: Operation not permitted";
const NO_SPACE: &str = "cannot make a user namespace: No space left on device";

// The number and depth of namespaces.

#[test]
fn a_limit_of_no_namespaces() {
    let set = "echo 0 > /proc/sys/user/max_user_namespaces || exit 1";
    refused(
        AS_1000,
        &format!("{set}; exec \"$0\" echo ran"),
        NO_SPACE,
        "user.max_user_namespaces is 0",
    );
    let ran = unshared(
        AS_1000,
        &format!("{set}; exec \"$0\" --userns=never sh -c '{IS_ROOT}'"),
        &[],
    );
    assert_eq!(ran.succeeds().stdout, "emulated\n");
    // uid 0 goes on with the filter alone.
    let ran = unshared(
        ["-r"],
        &format!("{set}; exec \"$0\" -v sh -c '{IS_ROOT}'"),
        &[],
    )
    .succeeds();
    assert_eq!(ran.stdout, "emulated\n");
    assert!(
        ran.stderr
            .contains("no user namespace is to be had (No space left on device): filter alone"),
        "{ran:#?}"
    );
}

/// The limit that strikes is not the present namespace's own, which is higher.
#[test]
fn an_outer_namespaces_limit() {
    let script = r#"echo 1 > /proc/sys/user/max_user_namespaces && exec unshare --user --map-user=1000 --map-group=1000 "$0" echo ran"#;
    refused(AS_1000, script, NO_SPACE, "or an outer namespace's allows");
}

/// A script that puts as many `unshare OPTIONS` before its arguments as the kernel takes: 33 from
/// the initial namespace, fewer where the tests run in one already, which shows when `unshare`
/// itself is what fails.
fn at_the_deepest(options: &str, zroot: &str) -> String {
    format!(
        r#"deepest() {{
            unshares=$1; shift
            said=$(i=0; while [ $i -lt $unshares ]; do set -- unshare {options} "$@"; i=$((i + 1)); done; "$@" 2>&1)
            status=$?
            case $said in unshare:*) deepest $((unshares - 1)) "$@";; *) echo "$said" >&2; exit $status;; esac
        }}
        deepest 40 {zroot}"#
    )
}

#[test]
fn nesting_deeper_than_the_kernel_goes() {
    refused(
        AS_1000,
        &at_the_deepest("--user --map-user=1000 --map-group=1000", "\"$0\" echo ran"),
        NO_SPACE,
        "nested deeper than 32",
    );
}

#[test]
fn apparent_root_of_the_deepest_namespace_goes_on_without_another() {
    let ran = unshared(
        ["-r"],
        &at_the_deepest("-r", &format!("\"$0\" -v sh -c '{IS_ROOT}'")),
        &[],
    )
    .succeeds();
    assert!(
        ran.stderr
            .contains("(No space left on device): filter alone")
            && ran.stderr.ends_with("emulated\n"),
        "{ran:#?}"
    );
}

// Ids.

#[test]
fn ids_that_are_not_mapped() {
    for options in [
        &["--user"][..],
        &["--user", "--map-user=1000"],
        &["--user", "--map-group=1000"],
    ] {
        refused(
            options.iter().copied(),
            r#"exec "$0" echo ran"#,
            NO_NAMESPACE,
            "uid or gid is not mapped",
        );
        let ran = unshared(
            options.iter().copied(),
            r#"exec "$0" --userns=never id -u"#,
            &[],
        )
        .succeeds();
        assert_eq!(ran.stdout, "0\n");
    }
}

// chroot and /proc.

/// Makes the root directory `$1` out of the machine's own directories (`/proc` only if `$2` is
/// `proc`) and enters it with zroot and what follows. `$1` itself is no mount, as in most chroots;
/// a bind mount on it when `$2` is `mount`.
const CHROOT: &str = r#"root=$1 kind=$2; shift 2
    test "$kind" != mount || mount --bind "$root" "$root"
    for dir in bin dev etc lib lib32 lib64 libx32 proc sbin tmp usr; do
        test -e /$dir || continue
        if [ -L /$dir ]; then cp -P /$dir "$root"; continue; fi
        mkdir "$root/$dir"
        test $dir = proc && [ "$kind" = bare ] || mount --rbind /$dir "$root/$dir" || exit 1
    done
    cd "$root" && exec chroot "$root" "$0" "$@""#;

fn in_chroot(options: &[&str], kind: &str, args: &[&str]) -> Ran {
    let root = dir();
    let mut all: Vec<&OsStr> = vec![root.path().as_os_str(), kind.as_ref()];
    all.extend(args.iter().map(OsStr::new));
    unshared(options.iter().copied().chain(["--mount"]), CHROOT, &all)
}

#[test]
fn a_chroot_is_named_with_the_way_around_it() {
    for (kind, advice) in [
        ("proc", "in a chroot, where the kernel makes no"),
        ("bare", "/proc is not mounted"),
        ("mount", "in a chroot, or a security module"),
    ] {
        let (what, hint) = in_chroot(&AS_1000, kind, &["echo", "ran"]).refused(125);
        assert_eq!(what, NO_NAMESPACE);
        assert!(hint.contains(advice), "{kind}: {hint}");
        assert!(
            hint.contains("can neither chroot nor mount")
                && hint.contains("stat shows true owners"),
            "{kind}: {hint}"
        );
        // Two ways are named: without a namespace, and as root of one from outside.
        let ran = in_chroot(&AS_1000, kind, &["--userns=never", "sh", "-c", IS_ROOT]);
        assert_eq!(ran.succeeds().stdout, "emulated\n", "{kind}");
        let ran = in_chroot(&["-r"], kind, &["-v", "sh", "-c", IS_ROOT]).succeeds();
        assert!(
            ran.stdout == "emulated\n"
                && ran
                    .stderr
                    .contains("(Operation not permitted): filter alone"),
            "{kind}: {ran:#?}"
        );
        // The control: root of the chroot without the filter.
        in_chroot(&["-r"], kind, &["--no-fake=all", "chown", "1:1", "/tmp/."])
            .fails_with("Invalid argument");
    }
}

/// Without `/proc` and without a namespace there is no place for apt's configuration.
#[test]
fn apt_without_its_configuration_is_warned_of() {
    // Who has no rights there either, as after `chroot --userspec`.
    let drop = "setpriv --bounding-set=-all --inh-caps=-all --ambient-caps=-all";
    let script = CHROOT.replace("\"$root\" \"$0\"", &format!("\"$root\" {drop} \"$0\""));
    assert_ne!(script, CHROOT);
    let never = |options: &[&str]| {
        let root = dir();
        let command = ["--userns=never", "sh", "-c", "echo ${APT_CONFIG-none}"];
        let mut all: Vec<&OsStr> = vec![root.path().as_os_str(), "bare".as_ref()];
        all.extend(options.iter().chain(&command).map(OsStr::new));
        let ran = unshared(AS_1000.into_iter().chain(["--mount"]), &script, &all).succeeds();
        assert_eq!(ran.stdout, "none\n");
        ran.stderr
    };
    let warning = never(&[]);
    if !std::path::Path::new("/etc/apt").exists() {
        return assert_eq!(warning, "", "who has no apt needs none");
    }
    assert!(
        warning.lines().count() == 1
            && warning.starts_with("zroot: warning: no APT_CONFIG")
            && warning.contains("APT::Sandbox::User=root"),
        "{warning}"
    );
    for option in ["-q", "--no-apt-config"] {
        assert_eq!(never(&[option]), "", "{option}");
    }
    // The control: with /proc there is one.
    let ran = in_chroot(
        &AS_1000,
        "proc",
        &["--userns=never", "sh", "-c", "cat $APT_CONFIG"],
    );
    let ran = ran.succeeds();
    assert!(
        ran.stdout.contains("APT::Sandbox::User") && ran.stderr.is_empty(),
        "{ran:#?}"
    );
}

#[test]
fn a_missing_or_read_only_proc() {
    for options in [&["-rm"][..], &[&AS_1000[..], &["--mount"]].concat()] {
        refused(
            options.iter().copied(),
            r#"mount -t tmpfs none /proc && exec "$0" echo ran"#,
            "cannot deny setgroups in the user namespace: No such file or directory",
            "/proc is not mounted here: mount it",
        );
        refused(
            options.iter().copied(),
            r#"mount --rbind /proc /proc && mount -o remount,bind,ro /proc && exec "$0" echo ran"#,
            "cannot deny setgroups in the user namespace: Read-only file system",
            "/proc is mounted read-only",
        );
    }
}

// Outer seccomp filters.

const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
const EINVAL: u32 = libc::SECCOMP_RET_ERRNO | libc::EINVAL as u32;
const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

/// A filter that answers the native call numbered `nr` with `value` and allows all others.
fn answering(nr: libc::c_long, value: u32) -> Program {
    let mut asm = Assembler::default();
    let (hit, miss) = (asm.label(), asm.label());
    asm.load(0); // seccomp_data.nr
    asm.branch(
        Cond::Eq,
        u32::try_from(nr).expect("a call number"),
        hit,
        miss,
    );
    asm.bind(hit);
    asm.ret(value);
    asm.bind(miss);
    asm.ret(libc::SECCOMP_RET_ALLOW);
    asm.finish().expect("a program")
}

/// Runs zroot with `args` under an outer filter; as root of a user namespace, made before the
/// filter, if `as_root`.
fn filtered<A: AsRef<OsStr>>(
    filter: Program,
    as_root: bool,
    args: impl IntoIterator<Item = A>,
) -> Ran {
    let mut command: Command = user(zroot());
    command.args(args);
    // SAFETY: the closure makes system calls only; std's fork took malloc's locks, so that it may
    // allocate.
    unsafe {
        command.pre_exec(move || {
            if as_root {
                zroot::internals::namespace::become_root().map_err(|refused| refused.errno)?;
            }
            nix::sys::prctl::set_no_new_privs()?;
            zroot::internals::filter::install(&filter).map_err(std::io::Error::other)
        });
    }
    run(&mut command)
}

const EMULATED: [&str; 3] = ["sh", "-c", IS_ROOT];

#[test]
fn an_outer_filter_that_refuses_unshare() {
    for (value, error) in [
        (EPERM, "Operation not permitted"),
        (ENOSYS, "Function not implemented"),
    ] {
        let filter = || answering(libc::SYS_unshare, value);
        let (what, hint) = filtered(filter(), false, ["echo", "ran"]).refused(125);
        assert_eq!(what, format!("cannot make a user namespace: {error}"));
        assert!(
            hint.contains("outer seccomp filter")
                && hint.contains("unshare(2)")
                && hint.contains("--userns=never"),
            "{hint}"
        );
        assert_eq!(
            filtered(filter(), false, ["--userns=never"].iter().chain(&EMULATED))
                .succeeds()
                .stdout,
            "emulated\n"
        );
        // uid 0, as in a container's RUN step: the filter alone.
        let ran = filtered(filter(), true, ["-v"].iter().chain(&EMULATED)).succeeds();
        assert!(
            ran.stdout == "emulated\n" && ran.stderr.contains(&format!("({error}): filter alone")),
            "{ran:#?}"
        );
        filtered(filter(), true, ["--no-fake=owner"].iter().chain(&EMULATED))
            .fails_with("Invalid argument");
    }
}

#[test]
fn an_outer_filter_that_refuses_seccomp() {
    for as_root in [false, true] {
        for value in [EPERM, ENOSYS] {
            let (what, hint) = filtered(
                answering(libc::SYS_seccomp, value),
                as_root,
                ["echo", "ran"],
            )
            .refused(125);
            assert!(what.starts_with("cannot install the filter: "), "{what}");
            assert!(
                hint.contains("outer seccomp filter") && hint.contains("seccomp(2)"),
                "{hint}"
            );
        }
    }
}

/// What a kernel before 4.17 says of `SECCOMP_FILTER_FLAG_SPEC_ALLOW`: EINVAL. zroot goes on
/// without the flag, for that error only.
#[test]
fn a_kernel_that_does_not_know_spec_allow() {
    // Answers seccomp(2) with `value` if its flags are `flags`.
    let answering_flags = |flags: libc::c_ulong, value| {
        let mut asm = Assembler::default();
        let (seccomp, hit, miss) = (asm.label(), asm.label(), asm.label());
        asm.load(0); // seccomp_data.nr
        asm.branch(
            Cond::Eq,
            u32::try_from(libc::SYS_seccomp).expect("a call number"),
            seccomp,
            miss,
        );
        asm.bind(seccomp);
        asm.load(if cfg!(target_endian = "big") { 28 } else { 24 }); // the low word of seccomp_data.args[1]
        asm.branch(Cond::Eq, u32::try_from(flags).expect("flags"), hit, miss);
        asm.bind(hit);
        asm.ret(value);
        asm.bind(miss);
        asm.ret(libc::SECCOMP_RET_ALLOW);
        asm.finish().expect("a program")
    };
    let refused = |filter| filtered(filter, false, ["echo", "ran"]).refused(125).0;
    let unknown = || answering_flags(libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW, EINVAL);
    assert_eq!(
        filtered(unknown(), false, EMULATED).succeeds().stdout,
        "emulated\n"
    );
    filtered(
        unknown(),
        false,
        ["--no-fake=owner"].iter().chain(&EMULATED),
    )
    .fails_with("Invalid argument");
    // The controls: the flag is asked for first, any other error of that ends it, and without it is
    // only tried after EINVAL.
    let forbidden = answering_flags(libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW, EPERM);
    assert_eq!(
        refused(forbidden),
        "cannot install the filter: Operation not permitted"
    );
    assert_eq!(
        filtered(answering_flags(0, EPERM), false, EMULATED)
            .succeeds()
            .stdout,
        "emulated\n"
    );
    // EINVAL with and without the flag is an error, not a third attempt.
    assert_eq!(
        refused(answering(libc::SYS_seccomp, EINVAL)),
        "cannot install the filter: Invalid argument"
    );
}

/// An outer emulation that pretends seccomp(2) itself: only the probe can tell that nothing was
/// installed.
#[test]
fn an_outer_filter_that_pretends_seccomp_is_found_out() {
    for (as_root, options) in [(false, &[][..]), (true, &[]), (false, &["--userns=never"])] {
        let args = options.iter().copied().chain(["echo", "ran"]);
        let (what, hint) = filtered(
            answering(libc::SYS_seccomp, libc::SECCOMP_RET_ERRNO),
            as_root,
            args,
        )
        .refused(125);
        assert!(what.starts_with("the filter does not answer: "), "{what}");
        assert!(
            hint.contains("another seccomp filter or a tracer answers"),
            "{hint}"
        );
    }
}

/// zroot's is the most recent filter, and of equal actions the most recent wins; a tracer's is the
/// weaker one (kernel/seccomp.c, `seccomp_run_filters`).
#[test]
fn an_outer_answer_to_the_probe_does_not_matter() {
    for value in [
        EPERM,
        ENOSYS,
        libc::SECCOMP_RET_TRACE,
        libc::SECCOMP_RET_LOG,
    ] {
        assert_eq!(
            filtered(answering(libc::SYS_kexec_load, value), false, EMULATED)
                .succeeds()
                .stdout,
            "emulated\n"
        );
    }
}

/// Of different actions an error beats a notification, and the usual profiles of container runtimes
/// have one for kexec_load.
#[test]
fn an_outer_refusal_of_the_probe_does_not_keep_a_supervisor_away() {
    let inner = zroot().to_str().expect("UTF-8");
    for value in [EPERM, ENOSYS] {
        let ran = |args: &[&str]| filtered(answering(libc::SYS_kexec_load, value), false, args);
        let emulated = |args: &[&str]| {
            assert_eq!(
                ran(&[args, &EMULATED].concat()).succeeds().stdout,
                "emulated\n",
                "{args:?}"
            );
        };
        emulated(&["-c", "selective"]);
        emulated(&["-c", "selective", inner]);
        let ran_inside =
            ran(&["-c", "selective", inner, "-v", "-c", "selective", "true"]).succeeds();
        assert!(
            ran_inside
                .stderr
                .contains("the supervisor of the zroot around this one answers"),
            "{ran_inside:#?}"
        );
        let (what, _) = ran(&[inner, "-c", "selective", "true"]).refused(125);
        assert!(
            what.contains("a filter around this process pretends already"),
            "{what}"
        );
        let summary = ran(&["--summary", "true"]).succeeds().stderr;
        assert_eq!(summary, "zroot: nothing was pretended (level zero)\n");
        let (what, hint) = ran(&["-c", "selective", "--no-fake=identity", "true"]).refused(125);
        assert!(
            what.starts_with("the filter does not answer: ")
                && hint.contains("another seccomp filter"),
            "{what} / {hint}"
        );
    }
}

/// The same for what is to be emulated: the outer EPERM for chown loses.
#[test]
fn an_outer_refusal_of_an_emulated_call_does_not_matter() {
    assert_eq!(
        filtered(answering(libc::SYS_fchownat, EPERM), false, EMULATED)
            .succeeds()
            .stdout,
        "emulated\n"
    );
    filtered(
        answering(libc::SYS_fchownat, EPERM),
        false,
        ["--no-fake=owner"].iter().chain(&EMULATED),
    )
    .fails_with("not permitted");
}

/// A trap or a kill beats any answer. Nothing is left to say so but the signal, which is loud; and
/// nothing is run.
#[test]
fn an_outer_filter_that_kills_the_probe_is_seen_by_the_signal() {
    for value in [
        libc::SECCOMP_RET_TRAP,
        libc::SECCOMP_RET_KILL_THREAD,
        libc::SECCOMP_RET_KILL_PROCESS,
    ] {
        let ran = filtered(
            answering(libc::SYS_kexec_load, value),
            false,
            ["echo", "ran"],
        );
        assert_eq!(
            (ran.status, ran.stdout.as_str()),
            (128 + libc::SIGSYS, ""),
            "{ran:#?}"
        );
    }
}

#[test]
fn an_outer_filter_that_refuses_no_new_privs_or_memfd() {
    let (what, _) =
        filtered(answering(libc::SYS_prctl, EPERM), false, ["echo", "ran"]).refused(125);
    assert_eq!(what, "cannot set no_new_privs: Operation not permitted");
    for value in [EPERM, ENOSYS] {
        let filter = || answering(libc::SYS_memfd_create, value);
        let (what, hint) = filtered(filter(), false, ["echo", "ran"]).refused(125);
        assert!(
            what.starts_with("cannot hold apt's configuration in memory: ")
                && hint.contains("--no-apt-config"),
            "{what} / {hint}"
        );
        assert_eq!(
            filtered(filter(), false, ["--no-apt-config"].iter().chain(&EMULATED))
                .succeeds()
                .stdout,
            "emulated\n"
        );
    }
}
