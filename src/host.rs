//! What `/proc` says of this host, and whether the caller is real root.

use std::fs;

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
        }
    }
}

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
    number("/proc/sys/kernel/yama/ptrace_scope") == Some(3)
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
/// gid, with the capabilities to use them.
#[must_use]
#[inline(never)]
pub fn is_real_root() -> bool {
    use caps::{CapSet, Capability};
    let many = |path| {
        fs::read_to_string(path)
            .is_ok_and(|map| id_ranges(&map).map(|(_, count)| count).sum::<u64>() > 1)
    };
    let needed = [
        Capability::CAP_CHOWN,
        Capability::CAP_SETUID,
        Capability::CAP_SETGID,
    ];
    nix::unistd::geteuid().is_root()
        && many("/proc/self/uid_map")
        && many("/proc/self/gid_map")
        && needed
            .into_iter()
            .all(|capability| caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false))
}
