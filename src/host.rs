//! What `/proc` says of this host, and whether the caller is real root.

use std::fs;

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{setfsgid, setfsuid};

use crate::sys::process;

/// Settings and circumstances that can forbid what zroot needs, read once something is refused.
/// `None` where `/proc` does not say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// Whether `/proc/self` is there at all.
    pub proc_mounted: bool,
    /// `user.max_user_namespaces`, of the present user namespace.
    pub max_user_namespaces: Option<u64>,
    /// `kernel.unprivileged_userns_clone` (a Debian patch).
    pub unprivileged_userns_clone: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns` (Ubuntu).
    pub apparmor_restrict: Option<u64>,
    /// Whether `/proc/self/ns/user` is there, which `CONFIG_USER_NS` brings.
    pub has_user_namespaces: Option<bool>,
    /// The number of seccomp filters on the process, or 1 if only their presence is known.
    pub seccomp_filters: Option<u64>,
    /// Whether the root directory is a mount point; if not, the process is in a chroot(2). The
    /// reverse does not follow.
    pub root_is_mount: Option<bool>,
    /// The AppArmor or SELinux context, if it confines.
    pub security_context: Option<String>,
    /// Whether the process's own uid and gid are mapped in its user namespace. An id that is not
    /// looks like the overflow id, 65534.
    pub ids_are_mapped: Option<bool>,
    /// `kernel.yama.ptrace_scope`: above 0, who may look into a process is limited.
    pub ptrace_scope: Option<u64>,
    /// Whether SELinux lets nobody look into processes (its boolean `deny_ptrace`).
    pub denies_ptrace: Option<bool>,
    /// The security modules that are on.
    pub security_modules: Option<String>,
}

impl Facts {
    /// Reads them. Never fails: what cannot be read is `None`.
    #[must_use]
    pub fn read() -> Facts {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| -> Option<u64> {
            status.lines().find_map(|line| {
                line.strip_prefix(name)?
                    .strip_prefix(':')?
                    .trim()
                    .parse()
                    .ok()
            })
        };
        let proc_mounted = !status.is_empty();
        Facts {
            proc_mounted,
            max_user_namespaces: number("/proc/sys/user/max_user_namespaces"),
            unprivileged_userns_clone: number("/proc/sys/kernel/unprivileged_userns_clone"),
            apparmor_restrict: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            has_user_namespaces: proc_mounted
                .then(|| fs::symlink_metadata("/proc/self/ns/user").is_ok()),
            seccomp_filters: field("Seccomp_filters")
                .or_else(|| field("Seccomp").map(|mode| u64::from(mode == 2))),
            root_is_mount: fs::read_to_string("/proc/self/mountinfo")
                .ok()
                .map(|mounts| {
                    mounts
                        .lines()
                        .any(|line| line.split(' ').nth(4) == Some("/"))
                }),
            security_context: fs::read_to_string("/proc/self/attr/current")
                .ok()
                .map(|context| context.trim_end_matches(['\n', '\0']).to_owned())
                .filter(|context| {
                    !context.is_empty()
                        && context != "unconfined"
                        && !context.contains("unconfined_t")
                        && context != "kernel"
                }),
            ids_are_mapped: Option::zip(
                maps("/proc/self/uid_map", nix::unistd::geteuid().as_raw()),
                maps("/proc/self/gid_map", nix::unistd::getegid().as_raw()),
            )
            .map(|(uid, gid)| uid && gid),
            ptrace_scope: number(PTRACE_SCOPE),
            denies_ptrace: fs::read_to_string("/sys/fs/selinux/booleans/deny_ptrace")
                .ok()
                .map(|values| values.starts_with('1')),
            security_modules: fs::read_to_string("/sys/kernel/security/lsm")
                .ok()
                .map(|modules| modules.trim().to_owned()),
        }
    }
}

const PTRACE_SCOPE: &str = "/proc/sys/kernel/yama/ptrace_scope";

fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Whether the `uid_map` or `gid_map` at `path` has the inner id `id`.
fn maps(path: &str, id: u32) -> Option<bool> {
    let map = fs::read_to_string(path).ok()?;
    Some(id_ranges(&map).any(|(first, count)| (first..first + count).contains(&u64::from(id))))
}

/// Whether Yama lets nobody look into processes, whatever capability they have
/// (security/yama/yama_lsm.c, `YAMA_SCOPE_NO_ATTACH`).
#[must_use]
pub fn forbids_ptrace() -> bool {
    number(PTRACE_SCOPE) == Some(3)
}

/// Whether this kernel is `major.minor` or newer.
#[must_use]
pub fn kernel_is_at_least(major: u32, minor: u32) -> bool {
    let Ok(names) = nix::sys::utsname::uname() else {
        return false;
    };
    let release = names.release().to_string_lossy();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (major, minor)
}

/// Whether a tracer has started this program, in the place of the kernel, which has started the
/// tracer's own loader: so does PRoot, which rewrites the paths of calls.
#[must_use]
pub fn is_started_by_tracer() -> bool {
    let Ok(stat) = fs::read_to_string("/proc/self/stat") else {
        return false;
    };
    let fields: Vec<&str> = match stat.rsplit_once(") ") {
        Some((_, fields)) => fields.split(' ').collect(),
        None => return false,
    };
    // `startcode` and `endcode`, proc_pid_stat(5), of what the kernel has started.
    let address = |field: usize| fields.get(field)?.parse::<usize>().ok();
    let own = is_started_by_tracer as fn() -> bool as usize;
    let is_own = Option::zip(address(23), address(24))
        .is_none_or(|(start, end)| start <= 1 || (start..end).contains(&own));
    !is_own
        && fs::read_to_string("/proc/self/status").is_ok_and(|status| {
            let tracer = status
                .lines()
                .find_map(|line| line.strip_prefix("TracerPid:"));
            tracer.is_some_and(|tracer| tracer.trim() != "0")
        })
}

/// The first inner id and the length of each line of a `uid_map` or `gid_map`.
pub fn id_ranges(map: &str) -> impl Iterator<Item = (u64, u64)> + '_ {
    map.lines().filter_map(|line| {
        let mut words = line.split_whitespace().map(str::parse);
        Some((words.next()?.ok()?, words.nth(1)?.ok()?))
    })
}

/// Whether the process is root for whom ownership is real: uid 0 over more than one mapped uid and
/// gid, with the capabilities to use them. `None` if nobody can tell.
#[must_use]
#[inline(never)]
pub fn is_real_root() -> Option<bool> {
    // Ids of 16 bits, and where the ranges of larger ones usually begin.
    is_root_over((1..=0xffff).chain((1..=0xffff).map(|n| n << 16)))
}

/// The same in little time: without `/proc`, root over many ids but not over the first ones counts
/// as root over one.
#[must_use]
#[inline(never)]
pub fn seems_real_root() -> bool {
    is_root_over(1..=1) == Some(true)
}

/// [`is_real_root`], where `ids` are tried if `/proc` does not say.
fn is_root_over(ids: impl Iterator<Item = u32> + Clone) -> Option<bool> {
    use caps::{CapSet, Capability};
    let needed = [
        Capability::CAP_CHOWN,
        Capability::CAP_SETUID,
        Capability::CAP_SETGID,
    ];
    let may = nix::unistd::geteuid().is_root()
        && needed
            .into_iter()
            .all(|capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false));
    if !may {
        return Some(false);
    }
    let many = |path| {
        let map = fs::read_to_string(path).ok()?;
        (!map.is_empty()).then(|| id_ranges(&map).map(|(_, count)| count).sum::<u64>() > 1)
    };
    match (many("/proc/self/uid_map"), many("/proc/self/gid_map")) {
        (Some(uids), Some(gids)) => Some(uids && gids),
        _ => is_any_mapped(ids),
    }
}

/// Whether one of `ids` is mapped as a uid, and one as a gid, found out in a child: setfsuid(2)
/// changes nothing if its argument is not, and returns what was (kernel/sys.c, `__sys_setfsuid`).
fn is_any_mapped(ids: impl Iterator<Item = u32> + Clone) -> Option<bool> {
    const NONE: i32 = 0;
    const BOTH: i32 = 1;
    const REFUSED: i32 = 2;
    let child = process::fork_without_signal(move || {
        let uid = |id: u32| setfsuid(id.into()).as_raw();
        let gid = |id: u32| setfsgid(id.into()).as_raw();
        // Whoever forbids the calls answers with an error in the place of the id.
        let _ = (uid(0), gid(0));
        if (uid(0), gid(0)) != (0, 0) {
            return REFUSED;
        }
        // Each says whether the one before has changed something. The gids come first: who is not
        // root on files any more has no rights to lose by that.
        let any = |set: &dyn Fn(u32) -> u32| ids.clone().chain([0]).any(|id| set(id) != 0);
        if any(&gid) && any(&uid) { BOTH } else { NONE }
    })
    .ok()?;
    match waitpid(child, Some(WaitPidFlag::__WALL)) {
        Ok(WaitStatus::Exited(_, NONE)) => Some(false),
        Ok(WaitStatus::Exited(_, BOTH)) => Some(true),
        _ => None,
    }
}
