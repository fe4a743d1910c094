//! Ids as a caller's user namespace numbers them, where that is not ours.

use crate::supervisor::memory::id_maps::{IdMaps, inside, mapped, outside};
use crate::supervisor::session::Session;
use crate::supervisor::target::answer::Failed;
use crate::supervisor::target::proc::Target;

/// How a caller's user namespace numbers users and groups.
pub struct View {
    uids: String,
    gids: String,
}

impl View {
    /// The caller's.
    pub fn of(target: Target) -> Result<View, Failed> {
        let map = |name| Ok::<_, Failed>(String::from_utf8_lossy(&target.file(name)?).into_owned());
        Ok(View {
            uids: map("uid_map")?,
            gids: map("gid_map")?,
        })
    }

    /// The caller's, if its user namespace is not ours.
    pub fn elsewhere(session: &Session, target: Target) -> Result<Option<View>, Failed> {
        if session.processes.is_at_home(target) {
            return Ok(None);
        }
        View::of(target).map(Some)
    }

    /// Which ids the kernel knows there, by those it knows here.
    pub fn maps(&self, own: &IdMaps) -> IdMaps {
        own.below(&self.uids, &self.gids)
    }

    /// What `uid` and `gid` of somebody there are here. One that is not there stays.
    pub fn means(&self, (uid, gid): (u32, u32)) -> (u32, u32) {
        (
            outside(&self.uids, uid).unwrap_or(uid),
            outside(&self.gids, gid).unwrap_or(gid),
        )
    }

    /// What `uid` and `gid` of a file are there. One that is not there stays: who gave a file to it
    /// there finds it again.
    pub fn shows(&self, (uid, gid): (u32, u32)) -> (u32, u32) {
        (
            mapped(&self.uids, uid).unwrap_or(uid),
            mapped(&self.gids, gid).unwrap_or(gid),
        )
    }
}

/// What the ids of a process in the user namespace `namespace` are to the caller; `None` if the
/// kernel is to say that.
pub fn of_ids(
    session: &Session,
    target: Target,
    namespace: u64,
    (uid, gid): (u32, u32),
) -> Result<Option<(u32, u32)>, Failed> {
    if target.user_namespace()? == namespace {
        return Ok(Some((uid, gid)));
    }
    if session.sight.base.user_namespace != namespace {
        return Ok(None);
    }
    let view = View::of(target)?;
    Ok(Some((inside(&view.uids, uid), inside(&view.gids, gid))))
}

/// The same for `groups`.
pub fn of_groups(
    session: &Session,
    target: Target,
    namespace: u64,
    groups: &[u32],
) -> Result<Option<Vec<u32>>, Failed> {
    if target.user_namespace()? == namespace {
        return Ok(Some(groups.to_vec()));
    }
    if session.sight.base.user_namespace != namespace {
        return Ok(None);
    }
    let view = View::of(target)?;
    let groups = groups.iter().map(|gid| inside(&view.gids, *gid));
    Ok(Some(groups.collect()))
}
