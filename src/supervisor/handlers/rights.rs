//! What a caller may not do any more: it has set an identity other than root's, or given up
//! capabilities. The kernel would still let it, which knows nothing of the former, and whose
//! refusals are taken for success otherwise.

use std::rc::Rc;

use caps::Capability;
use nix::errno::Errno;

use crate::filter::policy::Class;
use crate::supervisor::memory::credentials::Credentials;
use crate::supervisor::memory::given::Given;
use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Failed, How};
use crate::supervisor::target::files::File;
use crate::supervisor::target::glance::Glance;
use crate::supervisor::target::object::{Object, SAME};
use crate::supervisor::target::proc::Target;
use crate::sys::file::Look;
use crate::sys::process::capabilities;

/// Whether the caller has `capability`, as root has it, by what it has set and given up.
///
/// # Errors
/// capget(2)'s: `ESRCH`.
pub fn has(session: &Session, target: Target, capability: Capability) -> Result<bool, Errno> {
    let own = session.sight.base.capabilities.effective;
    let lost = own & !capabilities(target.request.tid)?.effective;
    let set = session.processes.changed(target);
    Ok(lost & 1 << capability as u8 == 0 && set.is_none_or(|set| set.has(capability)))
}

/// Birth times are as coarse as the kernel's tick, at most this many nanoseconds.
const TICK: i128 = 10_000_000;

/// A look at `file`, if the kernel answers the caller as it answers root, as far as ids are mapped:
/// it is our own file, and the caller has set nothing and given nothing up. Then the kernel may as
/// well do what is asked for. (fs/attr.c, `setattr_prepare`: who owns a file, and has all
/// capabilities over it, is refused nothing that root is not.)
///
/// # Errors
/// [`Failed::Helper`]; [`Failed::Kernel`] if it is the kernel's to answer in any case.
pub fn look_at_own<'a>(
    session: &Session,
    target: Target<'a>,
    file: &File,
    follow: bool,
) -> Result<Option<Glance<'a>>, Failed> {
    if target.is_helper || session.processes.changed(target).is_some() {
        return Ok(None);
    }
    let file = match file {
        // What it is open for is the kernel's to know.
        File::Open(fd) => &File::Empty(*fd),
        file => file,
    };
    let glance = match target.glance(file, follow, libc::AT_STATX_DONT_SYNC) {
        Ok(glance) => glance.ok_or(Failed::Kernel)?,
        // It may be the supervisor's own.
        Err(Failed::Error(_) | Failed::Unreadable) => return Ok(None),
        Err(failed) => return Err(failed),
    };
    let own = session.sight.base.capabilities.effective;
    let found = Look::from(&glance.status);
    let is_own = (found.uid, found.gid) == session.maps.own
        && !target.base.is_own_proc(found.place)
        // In whichever user namespace: the kernel counts in the caller's.
        && (target.is_plain() || own & !capabilities(target.request.tid)?.effective == 0);
    Ok(is_own.then_some(glance))
}

/// What a caller has given up.
pub struct Rights {
    /// What it has set, and when, in nanoseconds since 1970.
    set: Option<(Rc<Credentials>, i128)>,
    /// Capabilities that it has lost in the kernel.
    lost: u64,
    given: Given,
    /// Whose the object is, at a level that knows.
    owner: Option<(u32, u32)>,
}

impl Rights {
    /// The caller's, for whom `object` was found.
    pub fn of(session: &Session, target: Target, object: &Object) -> Rights {
        let own = session.sight.base.capabilities.effective;
        let set = session.processes.set_since(target);
        let lost = own & !object.caller.effective;
        // Root may all, whoever's it is.
        let owner = if set.is_none() && lost == 0 {
            None
        } else {
            owner(session, target, object, set.as_ref())
        };
        Rights {
            set,
            lost,
            given: session.given,
            owner,
        }
    }

    /// Whether it still has `capability`.
    pub fn have(&self, capability: Capability) -> bool {
        let is_set = |(set, _): &(Rc<Credentials>, i128)| set.has(capability);
        self.set.as_ref().is_none_or(is_set) && self.lost & 1 << capability as u8 == 0
    }

    /// Whose files are its own. Who has set nothing is root.
    fn own(&self) -> u32 {
        self.set.as_ref().map_or(0, |(set, _)| set.uid.filesystem)
    }

    /// Takes a refusal for success, if it is for want of `capability` and the caller has not given
    /// that up.
    pub fn pretend(
        &self,
        capability: Capability,
        result: Result<How, Errno>,
    ) -> Result<How, Failed> {
        match result {
            Err(Errno::EPERM) if self.have(capability) => Ok(How::Pretended),
            result => Ok(result?),
        }
    }

    /// Whether it may give `object` to `uid` and `gid`: fs/attr.c, `chown_ok`, `chgrp_ok`. Where
    /// nobody knows whose the file is, it is taken for its own.
    pub fn may_give(&self, object: &Object, uid: u32, gid: u32) -> bool {
        // Set-id bits that fall, whatever the ids are, are a change of mode as well (fs/open.c,
        // chown_common; fs/attr.c, notify_change).
        if self.owner.is_some() && self.bits_fall(object) && !self.may_own(object) {
            return false;
        }
        if self.have(Capability::CAP_CHOWN) || (uid, gid) == (SAME, SAME) {
            return true;
        }
        // Without this capability it is no more than an owner.
        let own = self.own();
        let is_in = |gid: u32| match &self.set {
            Some((set, _)) => set.is_in_group(gid),
            None => gid == 0,
        };
        let (owner, group) = self.owner.unwrap_or((own, SAME));
        own == owner && (uid == SAME || uid == owner) && (gid == SAME || gid == group || is_in(gid))
    }

    /// Whether it may change the mode and times of `object` as its owner does. Where nobody knows
    /// whose the file is, what is older than its identity is not its own, unless it was given away.
    pub fn may_own(&self, object: &Object) -> bool {
        if let Some((owner, _)) = self.owner {
            return owner == self.own() || self.have(Capability::CAP_FOWNER);
        }
        let Some((set, since)) = &self.set else {
            return true;
        };
        let Ok(file) = object.found() else {
            return true;
        };
        set.has(Capability::CAP_FOWNER)
            || set.uid.filesystem == file.uid
            || is_since(&file, *since)
            || self.given.may_have(file.place)
    }

    /// Whether `object` loses its set-gid bit whenever its mode or owner changes, since the caller
    /// is none of its group, which the kernel does not know (fs/attr.c, `setattr_should_drop_sgid`;
    /// fs/posix_acl.c, `posix_acl_update_mode`).
    pub fn set_gid_bit_falls(&self, object: &Object) -> bool {
        self.owner.is_some()
            && object
                .found()
                .is_ok_and(|found| found.mode & libc::S_ISGID != 0)
            && !self.may_set_gid_bit()
    }

    /// Whether `object` loses set-id bits when it gets another owner, or when that is asked for:
    /// fs/attr.c, `setattr_should_drop_suidgid`.
    fn bits_fall(&self, object: &Object) -> bool {
        let Ok(mode) = object.found().map(|found| found.mode) else {
            return false;
        };
        let is_set = |bits| mode & bits == bits;
        mode & libc::S_IFMT != libc::S_IFDIR
            && (is_set(libc::S_ISUID)
                || is_set(libc::S_ISGID | libc::S_IXGRP)
                || self.set_gid_bit_falls(object))
    }

    /// Whether a mode that it sets may have the set-gid bit: fs/attr.c, `setattr_prepare`.
    pub fn may_set_gid_bit(&self) -> bool {
        let group = self.owner.map(|(_, group)| group);
        let is_in = |(set, _): &(Rc<Credentials>, i128)| {
            group.is_none_or(|group| set.is_in_group(group)) || set.has(Capability::CAP_FSETID)
        };
        self.set.as_ref().is_none_or(is_in)
    }
}

/// Whose `object` is for a caller that has set what `set` says; `None` at a level that does not
/// know.
fn owner(
    session: &Session,
    target: Target,
    object: &Object,
    set: Option<&(Rc<Credentials>, i128)>,
) -> Option<(u32, u32)> {
    let remembered = session.owners.as_ref()?.find(object).ok()?;
    let file = object.found().ok()?;
    Some(match (remembered, set) {
        (Some(record), _) => record.owner,
        (None, Some((set, since)))
            if is_since(&file, *since) && is_unheard_of(session, target, &file) =>
        {
            (set.uid.filesystem, set.gid.filesystem)
        }
        (None, _) => session.maps.shows(file.uid, file.gid),
    })
}

/// Whether `file` may have been made by no call that the supervisor hears of: a terminal, a pipe,
/// what has no name, all that who is under Landlock makes. Then it may be the caller's own, if it
/// is not older than its identity.
pub fn is_unheard_of(session: &Session, target: Target, file: &Look) -> bool {
    let hears = session.policy.classes.contains(Class::Maker);
    !hears || file.born.is_none() || file.links == 0 || target.is_restricted()
}

/// Whether `file` may have been made after `since`.
pub(super) fn is_since(file: &Look, since: i128) -> bool {
    file.born.is_none_or(|born| born + TICK >= since)
}
