//! (what failed, how, what `/proc` says) -> one sentence that names the knob to turn. Pure.

use nix::errno::Errno;

use crate::error::Failure;
use crate::filter::install::InstallError;
use crate::host::Facts;
use crate::launch::Error;
use crate::launch::apt::ConfigError;
use crate::namespace::{Refused, Stage};
use crate::supervisor::Unavailable;

/// What to do about `error`; none where its message says it all. `facts` is asked only if it
/// matters.
#[must_use]
pub fn for_error(error: &Error, facts: impl FnOnce() -> Facts) -> Option<String> {
    match error {
        Error::Failure(failure) => failure.hint.clone(),
        Error::Namespace(refused) => Some(for_namespace(*refused, &facts())),
        Error::Filter(error) => Some(for_filter(*error, &facts())),
        Error::Supervisor(unavailable) => Some(for_supervisor(*unavailable, facts)),
        Error::AptConfig(error) => Some(for_apt_config(error).into()),
        Error::Other(_) => None,
    }
}

/// `error` with what to do about it. `facts` is asked only if it matters.
#[must_use]
pub fn advised(error: Error, facts: impl FnOnce() -> Facts) -> Failure {
    match error {
        Error::Failure(failure) => failure,
        error => Failure {
            hint: for_error(&error, facts),
            ..Failure::new(error.to_string())
        },
    }
}

/// What to do about a refused user namespace. The way that needs no administrator is named last in
/// each.
#[must_use]
pub fn for_namespace(refused: Refused, facts: &Facts) -> String {
    format!(
        "{}; or run zroot --userns=never: the command can neither chroot nor mount then (so no --root), and stat shows true owners",
        cause(refused, facts)
    )
}

const OUTER_FILTER: &str = "an outer seccomp filter, such as a container runtime's, forbids user namespaces: have it allow unshare(2), or be uid 0 inside the container";

fn is_filtered(facts: &Facts) -> bool {
    facts.seccomp_filters.is_some_and(|count| count > 0)
}

fn cause(Refused { stage, errno }: Refused, facts: &Facts) -> String {
    if facts.has_user_namespaces == Some(false) {
        return "this kernel is built without user namespaces (CONFIG_USER_NS): use another".into();
    }
    let is_restricted = facts.apparmor_restrict.is_some_and(|value| value != 0);
    match (stage, errno) {
        (Stage::Unshare, Errno::ENOSYS) if is_filtered(facts) => OUTER_FILTER.into(),
        (Stage::Unshare, Errno::EINVAL | Errno::ENOSYS) => {
            "this kernel, or an emulator such as qemu-user, has no user namespaces: use another".into()
        }
        (Stage::Unshare, Errno::ENOSPC | Errno::EUSERS) if facts.max_user_namespaces == Some(0) => {
            "user.max_user_namespaces is 0: have an administrator run 'sysctl user.max_user_namespaces=10000'".into()
        }
        (Stage::Unshare, Errno::ENOSPC | Errno::EUSERS) => {
            let limit = facts.max_user_namespaces.map_or(String::new(), |limit| format!(" (here {limit})"));
            format!("user namespaces are nested deeper than 32, or as many exist as user.max_user_namespaces{limit} or an outer namespace's allows: start zroot further out, or have the limit raised")
        }
        (Stage::Unshare, _) if facts.unprivileged_userns_clone == Some(0) => {
            "kernel.unprivileged_userns_clone is 0: have an administrator run 'sysctl kernel.unprivileged_userns_clone=1'".into()
        }
        (_, Errno::EPERM | Errno::EACCES) if is_restricted => {
            "kernel.apparmor_restrict_unprivileged_userns is set: have an administrator install an AppArmor profile for zroot that allows 'userns', or run 'sysctl kernel.apparmor_restrict_unprivileged_userns=0'".into()
        }
        (Stage::Unshare, _) if facts.ids_are_mapped == Some(false) => {
            "the process's own uid or gid is not mapped in its present user namespace: start zroot with one that is".into()
        }
        (Stage::Unshare, Errno::EPERM) if facts.root_is_mount == Some(false) => {
            "the process is in a chroot, where the kernel makes no user namespaces: enter it with 'unshare -r chroot DIR zroot ...' instead".into()
        }
        (Stage::Unshare, Errno::EPERM) if !facts.proc_mounted => {
            "/proc is not mounted, and the process is most likely in a chroot, where the kernel makes no user namespaces: enter it with 'unshare -r chroot DIR zroot ...' instead".into()
        }
        (Stage::Unshare, _) if is_filtered(facts) => OUTER_FILTER.into(),
        (_, Errno::EPERM | Errno::EACCES) if facts.security_context.is_some() => {
            let context = facts.security_context.as_deref().unwrap_or_default();
            format!("the security module confines this process ('{context}'): have that profile allow user namespaces")
        }
        (Stage::Unshare, _) => {
            "the process is in a chroot, or a security module forbids user namespaces: start zroot outside of it".into()
        }
        (_, Errno::ENOENT) => "/proc is not mounted here: mount it".into(),
        (_, Errno::EROFS) => "/proc is mounted read-only: mount it for writing".into(),
        (_, Errno::EMFILE | Errno::ENFILE) => "too many files are open: raise the limit (ulimit -n)".into(),
        (_, Errno::EPERM | Errno::EACCES) => {
            "the user namespace came without its rights: a security module, or a uid or gid that is not mapped outside".into()
        }
        _ => "the kernel did not accept the one-id map".into(),
    }
}

/// What to do about a filter that is not on.
#[must_use]
pub fn for_filter(error: InstallError, facts: &Facts) -> String {
    match error {
        InstallError::Refused(Errno::EACCES) => {
            "--allow-new-privs needs CAP_SYS_ADMIN, which --userns=auto brings where namespaces are allowed: leave it out".into()
        }
        InstallError::Refused(Errno::ENOSYS) if is_filtered(facts) => {
            "an outer seccomp filter forbids seccomp(2), or an emulator such as qemu-user runs zroot: have it allowed, or use a real kernel".into()
        }
        InstallError::Refused(Errno::EINVAL | Errno::ENOSYS) => {
            "this kernel has no seccomp filters (CONFIG_SECCOMP_FILTER, since Linux 3.17), or an emulator such as qemu-user runs zroot: use a real kernel".into()
        }
        InstallError::Refused(Errno::ENOMEM) => {
            let count = facts.seccomp_filters.map_or(String::new(), |count| format!(" ({count} here)"));
            format!("too many seccomp filters are stacked{count}: nest zroot less deeply, and let no #! line end with zroot")
        }
        InstallError::Refused(Errno::EBUSY) => {
            "calls are notified to another program already (a container runtime's, say), and only one can be: run zroot outside of it, or use --consistency=zero".into()
        }
        InstallError::Refused(_) => "an outer seccomp filter or a security module forbids seccomp(2): have it allowed".into(),
        InstallError::NoAnswer(_) => "another seccomp filter or a tracer answers in its place: run zroot outside of it".into(),
    }
}

/// What to do where apt's configuration cannot be made.
const fn for_apt_config(error: &ConfigError) -> &'static str {
    match error {
        ConfigError::Io(_) => "--no-apt-config does without",
        ConfigError::FileSize => "raise it (ulimit -f); or use --no-apt-config, which does without",
        ConfigError::TooLarge(_) => {
            "unset it, or name a smaller file; --no-apt-config leaves it as it is"
        }
    }
}

/// What to do about a supervisor that cannot be had.
#[must_use]
pub fn for_supervisor(unavailable: Unavailable, facts: impl FnOnce() -> Facts) -> String {
    let way = match unavailable {
        Unavailable::Kernel => "use Linux 5.9 or later".into(),
        Unavailable::KernelForFull => "use Linux 5.14 or later, or -c selective".into(),
        Unavailable::Enclosed => {
            "run the outer zroot with --consistency=selective, full or auto, and this one shares its supervisor".into()
        }
        Unavailable::Traced => "run PRoot inside of zroot, or --root in its place".into(),
        Unavailable::Children => "let unshare fork (unshare --fork --mount-proc)".into(),
        Unavailable::Proc(_) => "mount /proc where zroot runs, or have --root do it".into(),
        Unavailable::Limit => "set it back to unlimited".into(),
        Unavailable::FileSize => "raise it".into(),
        Unavailable::Values => "use another kernel".into(),
        Unavailable::KeptOut(_) => kept_out(&facts()),
        Unavailable::Resources(_) => {
            "raise the limits on memory, open files or processes (ulimit -a)".into()
        }
    };
    format!("{way}; or use --consistency=zero, which needs no supervisor")
}

/// Who keeps a supervisor from the memory of others (kernel/ptrace.c, `__ptrace_may_access`).
fn kept_out(facts: &Facts) -> String {
    const WAYS: &str = "or let zroot enter a user namespace (no --userns=never; no -u, as fakeroot), or give a container CAP_SYS_PTRACE";
    match (
        facts.ptrace_scope,
        facts.denies_ptrace,
        &facts.security_context,
    ) {
        (Some(scope @ 1..), _, _) => format!(
            "kernel.yama.ptrace_scope is {scope}: have an administrator run 'sysctl kernel.yama.ptrace_scope=0', {WAYS}"
        ),
        (_, Some(true), _) => format!(
            "SELinux's deny_ptrace is on: have an administrator run 'setsebool deny_ptrace 0', {WAYS}"
        ),
        (_, _, Some(context)) => format!(
            "the security module confines this process ('{context}'): have that profile allow ptrace, {WAYS}"
        ),
        _ if is_filtered(facts) => format!(
            "an outer seccomp filter or a security module forbids process_vm_readv(2): have it allowed, {WAYS}"
        ),
        _ => format!("a security module forbids it: have that changed, {WAYS}"),
    }
}
