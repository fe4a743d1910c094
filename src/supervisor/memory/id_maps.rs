//! Which ids the kernel knows in a user namespace.

use std::fs;

use nix::unistd::{getegid, geteuid};

use super::credentials::Credentials;
use crate::host;

/// What the kernel shows in the place of an id that is not mapped
/// (/proc/sys/kernel/overflowuid, which nobody changes).
const OVERFLOW: u32 = 65534;

/// Which ids the kernel knows here, and who we are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdMaps {
    /// The effective uid and gid, to which everything that we make belongs.
    pub own: (u32, u32),
    /// What the kernel says of us.
    pub credentials: Option<Credentials>,
    /// The user namespace, or nothing on a kernel that has none.
    pub namespace: u64,
    /// Whether what the kernel says of a file is shown, where nothing is remembered.
    unknown_is_real: bool,
    uids: Vec<(u64, u64)>,
    gids: Vec<(u64, u64)>,
}

impl IdMaps {
    /// Those of this process's user namespace, which has that number. `unknown_is_real` says
    /// whether to show what the kernel says of a file, where nothing is remembered.
    #[must_use]
    pub fn read(namespace: u64, unknown_is_real: bool) -> IdMaps {
        let status = fs::read_to_string("/proc/self/status").ok();
        let credentials = status.and_then(|status| Credentials::of_status(&status));
        // geteuid(2) cannot say that it has failed, where a filter around us has it fail.
        let own = credentials.as_ref().map_or_else(
            || (geteuid().as_raw(), getegid().as_raw()),
            |credentials| (credentials.uid.effective, credentials.gid.effective),
        );
        let ranges = |path| {
            let map = fs::read_to_string(path).unwrap_or_default();
            host::id_ranges(&map).collect()
        };
        IdMaps {
            own,
            credentials,
            namespace,
            unknown_is_real,
            uids: ranges("/proc/self/uid_map"),
            gids: ranges("/proc/self/gid_map"),
        }
    }

    /// Those of a user namespace below, whose `uid_map` and `gid_map` these are.
    #[must_use]
    pub fn below(&self, uids: &str, gids: &str) -> IdMaps {
        IdMaps {
            own: (inside(uids, self.own.0), inside(gids, self.own.1)),
            credentials: None,
            namespace: self.namespace,
            unknown_is_real: self.unknown_is_real,
            uids: host::id_ranges(uids).collect(),
            gids: host::id_ranges(gids).collect(),
        }
    }

    /// Whether the kernel's ids are root's here, so that nobody needs to pretend them: not with
    /// `--userns=never`.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.own == (0, 0)
    }

    /// Whose a file seems to be, of which nothing is remembered and the kernel says `uid` and
    /// `gid`: root's, where the kernel knows one id only: that is ours, and others are nobody's.
    #[must_use]
    pub fn shows(&self, uid: u32, gid: u32) -> (u32, u32) {
        if self.shows_root_only() {
            (0, 0)
        } else {
            (uid, gid)
        }
    }

    /// Whether every file of which nothing is remembered seems to be root's.
    #[must_use]
    pub fn shows_root_only(&self) -> bool {
        !(self.unknown_is_real || self.is_root() && self.knows_many())
    }

    /// Whether what we make seems to be root's.
    #[must_use]
    pub fn shows_roots(&self) -> bool {
        self.shows(self.own.0, self.own.1) == (0, 0)
    }

    /// Whether others than our own id are mapped.
    fn knows_many(&self) -> bool {
        [&self.uids, &self.gids]
            .iter()
            .any(|ranges| ranges.iter().map(|(_, count)| count).sum::<u64>() > 1)
    }

    /// Whether the kernel knows `uid`, or it is -1.
    #[must_use]
    pub fn has_uid(&self, uid: u32) -> bool {
        knows(&self.uids, uid)
    }

    /// Whether the kernel knows `gid`, or it is -1.
    #[must_use]
    pub fn has_gid(&self, gid: u32) -> bool {
        knows(&self.gids, gid)
    }
}

fn knows(ranges: &[(u64, u64)], id: u32) -> bool {
    id == u32::MAX
        || ranges
            .iter()
            .any(|(first, count)| (*first..first + count).contains(&id.into()))
}

/// `id` of the supervisor's namespace, as the namespace has it whose `uid_map` or `gid_map` `map`
/// is, read by the supervisor: the first id inside, the first of ours, and how many.
#[must_use]
pub fn inside(map: &str, id: u32) -> u32 {
    mapped(map, id).unwrap_or(OVERFLOW)
}

/// The same; `None` for an id that the namespace does not have.
#[must_use]
pub fn mapped(map: &str, id: u32) -> Option<u32> {
    renumbered(
        ranges(map).map(|(theirs, ours, count)| (ours, theirs, count)),
        id,
    )
}

/// The other way: `id` of that namespace, as the supervisor's has it.
#[must_use]
pub fn outside(map: &str, id: u32) -> Option<u32> {
    renumbered(ranges(map), id)
}

fn ranges(map: &str) -> impl Iterator<Item = (u64, u64, u64)> {
    map.lines().filter_map(|line| {
        let mut words = line.split_whitespace().map(str::parse::<u64>);
        Some((
            words.next()?.ok()?,
            words.next()?.ok()?,
            words.next()?.ok()?,
        ))
    })
}

/// What `id` becomes by `ranges`: from where each goes to where, and how many.
fn renumbered(mut ranges: impl Iterator<Item = (u64, u64, u64)>, id: u32) -> Option<u32> {
    let id = u64::from(id);
    let (from, to, _) = ranges.find(|(from, _, count)| (*from..*from + *count).contains(&id))?;
    u32::try_from(to + id - from).ok()
}

#[cfg(test)]
mod tests {
    use super::{inside, outside};

    #[test]
    fn ids_are_those_of_the_namespace_inside() {
        let map = "         0       1000          1\n      1000          0          2\n";
        assert_eq!(
            [1000, 0, 1, 2].map(|id| inside(map, id)),
            [0, 1000, 1001, 65534]
        );
        assert_eq!(
            [1000, 0, 1001, 2].map(|id| outside(map, id)),
            [Some(0), Some(1000), Some(1), None]
        );
        assert_eq!(inside("", 0), 65534);
        assert_eq!(inside("0 0 4294967295\n", 7), 7);
    }
}
