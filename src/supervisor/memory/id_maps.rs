//! Which ids the kernel knows in a user namespace.

use std::fs;

use crate::host;

/// Which ids the kernel knows here, and who we are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdMaps {
    /// The effective uid and gid, to which everything that we make belongs.
    pub own: (u32, u32),
    uids: Vec<(u64, u64)>,
    gids: Vec<(u64, u64)>,
}

impl IdMaps {
    /// Those of this process's user namespace.
    #[must_use]
    pub fn read() -> IdMaps {
        let own = (
            nix::unistd::geteuid().as_raw(),
            nix::unistd::getegid().as_raw(),
        );
        let ranges = |path| {
            let map = fs::read_to_string(path).unwrap_or_default();
            host::id_ranges(&map).collect()
        };
        IdMaps {
            own,
            uids: ranges("/proc/self/uid_map"),
            gids: ranges("/proc/self/gid_map"),
        }
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
