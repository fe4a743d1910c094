//! The advice for each cause of refusal, also for settings that the kernel at hand lacks: a table
//! over what `/proc` may say.

use nix::errno::Errno;
use zroot::internals::filter::install::InstallError;
use zroot::internals::hint::{for_filter, for_namespace, for_supervisor};
use zroot::internals::host::Facts;
use zroot::internals::namespace::{Refused, Stage};
use zroot::internals::supervisor::Unavailable;

/// A host on which nothing forbids user namespaces.
fn willing() -> Facts {
    Facts {
        proc_mounted: true,
        max_user_namespaces: Some(10000),
        unprivileged_userns_clone: Some(1),
        apparmor_restrict: Some(0),
        has_user_namespaces: Some(true),
        seccomp_filters: Some(0),
        root_is_mount: Some(true),
        security_context: None,
        ids_are_mapped: Some(true),
        ptrace_scope: None,
        denies_ptrace: None,
        security_modules: None,
    }
}

/// What `for_namespace` says on a host that is [`willing`] but for what `change` does.
fn advice(stage: Stage, errno: Errno, change: impl FnOnce(&mut Facts)) -> String {
    let mut facts = willing();
    change(&mut facts);
    for_namespace(Refused { stage, errno }, &facts)
}

#[test]
#[allow(clippy::too_many_lines)] // a table
fn each_cause_names_its_knob() {
    use Errno::{EACCES, EINVAL, EIO, ENOENT, ENOSPC, ENOSYS, EPERM, EROFS, EUSERS};
    use Stage::{GidMap, Setgroups, UidMap, Unshare};
    type Change = fn(&mut Facts);
    let nothing: Change = |_| {};
    let rows: &[(Stage, Errno, Change, &str)] = &[
        (
            Unshare,
            EINVAL,
            |facts| facts.has_user_namespaces = Some(false),
            "CONFIG_USER_NS",
        ),
        (
            Unshare,
            EPERM,
            |facts| facts.has_user_namespaces = Some(false),
            "CONFIG_USER_NS",
        ),
        (Unshare, EINVAL, nothing, "qemu-user"),
        (Unshare, ENOSYS, nothing, "qemu-user"),
        (
            Unshare,
            ENOSYS,
            |facts| facts.seccomp_filters = Some(1),
            "outer seccomp filter",
        ),
        (
            Unshare,
            ENOSPC,
            |facts| facts.max_user_namespaces = Some(0),
            "sysctl user.max_user_namespaces=",
        ),
        (
            Unshare,
            EUSERS,
            |facts| facts.max_user_namespaces = Some(0),
            "sysctl user.max_user_namespaces=",
        ),
        (Unshare, ENOSPC, nothing, "nested deeper than 32"),
        (Unshare, ENOSPC, nothing, "(here 10000)"),
        (
            Unshare,
            EUSERS,
            |facts| facts.max_user_namespaces = None,
            "user.max_user_namespaces or",
        ),
        (
            Unshare,
            EPERM,
            |facts| facts.unprivileged_userns_clone = Some(0),
            "sysctl kernel.unprivileged_userns_clone=1",
        ),
        (
            Unshare,
            EPERM,
            |facts| facts.apparmor_restrict = Some(1),
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        // Ubuntu's restriction lets the namespace be made, without rights: it strikes at the first
        // write.
        (
            Setgroups,
            EACCES,
            |facts| facts.apparmor_restrict = Some(1),
            "kernel.apparmor_restrict_unprivileged_userns",
        ),
        (
            UidMap,
            EPERM,
            |facts| facts.apparmor_restrict = Some(1),
            "kernel.apparmor_restrict_unprivileged_userns",
        ),
        (
            UidMap,
            EACCES,
            |facts| facts.apparmor_restrict = Some(1),
            "AppArmor profile",
        ),
        (
            GidMap,
            EPERM,
            |facts| facts.apparmor_restrict = Some(2),
            "kernel.apparmor_restrict_unprivileged_userns",
        ),
        (
            Unshare,
            EPERM,
            |facts| facts.ids_are_mapped = Some(false),
            "uid or gid is not mapped",
        ),
        (
            Unshare,
            EPERM,
            |facts| facts.root_is_mount = Some(false),
            "chroot DIR zroot",
        ),
        (
            Unshare,
            EPERM,
            |facts| *facts = Facts::default(),
            "/proc is not mounted",
        ),
        (
            Unshare,
            EPERM,
            |facts| facts.seccomp_filters = Some(1),
            "outer seccomp filter",
        ),
        (
            Unshare,
            EACCES,
            |facts| facts.seccomp_filters = Some(3),
            "outer seccomp filter",
        ),
        (
            Unshare,
            EPERM,
            |facts| facts.security_context = Some("snap.x (enforce)".into()),
            "'snap.x (enforce)'",
        ),
        (
            UidMap,
            EPERM,
            |facts| facts.security_context = Some("user_u:user_r:user_t:s0".into()),
            "'user_u:user_r:user_t:s0'",
        ),
        (Unshare, EPERM, nothing, "a chroot, or a security module"),
        (Unshare, EIO, nothing, "a chroot, or a security module"),
        (Setgroups, ENOENT, nothing, "/proc is not mounted"),
        (UidMap, EROFS, nothing, "/proc is mounted read-only"),
        (UidMap, EPERM, nothing, "without its rights"),
        (GidMap, EINVAL, nothing, "one-id map"),
    ];
    for (stage, errno, change, knob) in rows {
        let said = advice(*stage, *errno, change);
        assert!(
            said.contains(knob),
            "{stage:?} {errno:?}: no '{knob}' in: {said}"
        );
    }
}

/// Where several causes are there at once, the one that the errno belongs to is named, and the
/// narrower before the wider.
#[test]
fn the_errno_decides_between_causes() {
    let all = |facts: &mut Facts| {
        facts.max_user_namespaces = Some(0);
        facts.unprivileged_userns_clone = Some(0);
        facts.apparmor_restrict = Some(1);
        facts.seccomp_filters = Some(1);
        facts.root_is_mount = Some(false);
    };
    assert!(
        advice(Stage::Unshare, Errno::ENOSPC, all).starts_with("user.max_user_namespaces is 0")
    );
    assert!(
        advice(Stage::Unshare, Errno::EPERM, all)
            .starts_with("kernel.unprivileged_userns_clone is 0")
    );
    assert!(
        advice(Stage::UidMap, Errno::EPERM, all)
            .starts_with("kernel.apparmor_restrict_unprivileged_userns")
    );
    let in_a_chroot =
        |facts: &mut Facts| (facts.root_is_mount, facts.seccomp_filters) = (Some(false), Some(1));
    assert!(advice(Stage::Unshare, Errno::EPERM, in_a_chroot).contains("in a chroot"));
}

/// All that the two functions can say, over every combination of circumstances.
#[test]
fn advice_is_one_short_line_whatever_the_host() {
    let errnos = (1..=133).map(Errno::from_raw);
    let check = |said: &str| {
        assert!(
            !said.is_empty() && said.len() < 400 && !said.contains(char::is_control),
            "{said:?}"
        );
    };
    for errno in errnos {
        for bits in 0..1_u32 << 9 {
            let bit = |n: u32| bits & 1 << n != 0;
            let some = |n: u32, value: u64| bit(n).then_some(value);
            let facts = Facts {
                proc_mounted: bit(0),
                max_user_namespaces: some(1, u64::MAX * u64::from(bit(2))),
                unprivileged_userns_clone: some(3, 0),
                apparmor_restrict: some(4, 1),
                has_user_namespaces: bit(5).then_some(bit(0)),
                seccomp_filters: some(6, u64::MAX),
                root_is_mount: bit(7).then_some(bit(2)),
                security_context: bit(8).then(|| "system_u:system_r:container_t:s0:c1,c2".into()),
                ids_are_mapped: bit(2).then_some(bit(8)),
                ..Facts::default()
            };
            for stage in [
                Stage::Unshare,
                Stage::Setgroups,
                Stage::UidMap,
                Stage::GidMap,
            ] {
                let said = for_namespace(Refused { stage, errno }, &facts);
                check(&said);
                assert!(
                    said.ends_with("or run zroot --userns=never: the command can neither chroot nor mount then (so no --root), and stat shows true owners"),
                    "{said}"
                );
            }
            for error in [InstallError::Refused(errno), InstallError::NoAnswer(errno)] {
                check(&for_filter(error, &facts));
            }
        }
    }
}

#[test]
fn each_refused_filter_names_its_knob() {
    let filtered = Facts {
        seccomp_filters: Some(2),
        ..willing()
    };
    for (error, facts, knob) in [
        (
            InstallError::Refused(Errno::EACCES),
            willing(),
            "--allow-new-privs",
        ),
        (
            InstallError::Refused(Errno::EINVAL),
            willing(),
            "CONFIG_SECCOMP_FILTER",
        ),
        (
            InstallError::Refused(Errno::ENOSYS),
            willing(),
            "CONFIG_SECCOMP_FILTER",
        ),
        (
            InstallError::Refused(Errno::ENOSYS),
            filtered.clone(),
            "outer seccomp filter",
        ),
        (
            InstallError::Refused(Errno::ENOMEM),
            filtered.clone(),
            "(2 here)",
        ),
        (
            InstallError::Refused(Errno::ENOMEM),
            Facts::default(),
            "nest zroot less deeply",
        ),
        (
            InstallError::Refused(Errno::EPERM),
            filtered.clone(),
            "outer seccomp filter",
        ),
        (
            InstallError::NoAnswer(Errno::EPERM),
            filtered,
            "another seccomp filter",
        ),
    ] {
        let said = for_filter(error, &facts);
        assert!(said.contains(knob), "{error:?}: no '{knob}' in: {said}");
    }
}

/// A supervisor that may not look into the command.
#[test]
fn who_keeps_a_supervisor_out_is_named() {
    type Change = fn(&mut Facts);
    let rows: &[(Change, &str)] = &[
        (
            |facts| facts.ptrace_scope = Some(1),
            "kernel.yama.ptrace_scope is 1: ",
        ),
        (
            |facts| facts.ptrace_scope = Some(3),
            "kernel.yama.ptrace_scope is 3: ",
        ),
        (
            |facts| facts.denies_ptrace = Some(true),
            "SELinux's deny_ptrace",
        ),
        (
            |facts| facts.security_context = Some("docker-default (enforce)".into()),
            "'docker-default (enforce)'",
        ),
        (
            |facts| facts.seccomp_filters = Some(1),
            "an outer seccomp filter",
        ),
        (
            |facts| (facts.ptrace_scope, facts.denies_ptrace) = (Some(0), Some(false)),
            "a security module forbids it",
        ),
    ];
    for (change, knob) in rows {
        let mut facts = willing();
        change(&mut facts);
        let said = for_supervisor(Unavailable::KeptOut(Errno::EPERM), || facts);
        assert!(
            said.starts_with(knob) || said.contains(knob),
            "no '{knob}' in: {said}"
        );
        for way in ["no --userns=never", "CAP_SYS_PTRACE", "--consistency=zero"] {
            assert!(said.contains(way), "{said}");
        }
    }
    // Others do not ask.
    let said = for_supervisor(Unavailable::Limit, || panic!("asked"));
    assert!(said.starts_with("set it back"), "{said}");
}

#[test]
fn messages_name_the_step_and_the_error() {
    for (stage, says) in [
        (
            Stage::Unshare,
            "cannot make a user namespace: Operation not permitted",
        ),
        (
            Stage::Setgroups,
            "cannot deny setgroups in the user namespace: Operation not permitted",
        ),
        (
            Stage::UidMap,
            "cannot map user ids: Operation not permitted",
        ),
        (
            Stage::GidMap,
            "cannot map group ids: Operation not permitted",
        ),
    ] {
        assert_eq!(
            Refused {
                stage,
                errno: Errno::EPERM
            }
            .to_string(),
            says
        );
    }
    assert_eq!(
        InstallError::Refused(Errno::ENOSYS).to_string(),
        "cannot install the filter: Function not implemented"
    );
    assert_eq!(
        InstallError::NoAnswer(Errno::EPERM).to_string(),
        "the filter does not answer: Operation not permitted"
    );
}

#[test]
fn this_machines_facts_are_read() {
    let facts = Facts::read();
    assert!(
        facts.proc_mounted
            && facts.has_user_namespaces.is_some()
            && facts.seccomp_filters.is_some()
            && facts.root_is_mount.is_some()
    );
    assert_eq!(facts.ids_are_mapped, Some(true));
}
