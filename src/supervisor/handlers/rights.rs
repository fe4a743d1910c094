//! What a caller may not do any more: it has set an identity other than root's, or given up
//! capabilities. The kernel would still let it, which knows nothing of the former, and whose
//! refusals are taken for success otherwise.

use std::rc::Rc;

use caps::Capability;
use nix::errno::Errno;

use crate::supervisor::memory::credentials::Credentials;
use crate::supervisor::memory::given::Given;
use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Failed, How};
use crate::supervisor::target::object::{Object, SAME};
use crate::supervisor::target::proc::Target;

/// Birth times are as coarse as the kernel's tick, at most this many nanoseconds.
const TICK: i128 = 10_000_000;

/// What a caller has given up.
pub struct Rights {
    /// What it has set, and when, in nanoseconds since 1970.
    set: Option<(Rc<Credentials>, i128)>,
    /// Capabilities that it has lost in the kernel.
    lost: u64,
    given: Given,
}

impl Rights {
    /// The caller's, for whom `object` was found.
    pub fn of(session: &Session, target: Target, object: &Object) -> Rights {
        let own = session.sight.base.capabilities.effective;
        Rights {
            set: session.processes.set_since(target),
            lost: own & !object.caller.effective,
            given: session.given,
        }
    }

    /// Whether it still has `capability`.
    pub fn have(&self, capability: Capability) -> bool {
        let is_set = |(set, _): &(Rc<Credentials>, i128)| set.has(capability);
        self.set.as_ref().is_none_or(is_set) && self.lost & 1 << capability as u8 == 0
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

    /// Whether it may give a file to `uid` and `gid`, if the file is its own: fs/attr.c,
    /// `chown_ok`, `chgrp_ok`. Whether it is, nobody knows at this level.
    pub fn may_give(&self, uid: u32, gid: u32) -> bool {
        if self.have(Capability::CAP_CHOWN) {
            return true;
        }
        // Who has set nothing is root, and without this capability no more than an owner.
        let is = |own: u32, id: u32| id == SAME || id == own;
        match &self.set {
            Some((set, _)) => is(set.uid.filesystem, uid) && (gid == SAME || set.is_in_group(gid)),
            None => is(0, uid) && is(0, gid),
        }
    }

    /// Whether it may change the mode and times of `object` as its owner does, as far as anybody
    /// knows at this level: what is older than its identity is not its own, unless it was given
    /// away.
    pub fn may_own(&self, object: &Object) -> bool {
        let Some((set, since)) = &self.set else {
            return true;
        };
        let Ok(file) = object.found() else {
            return true;
        };
        set.has(Capability::CAP_FOWNER)
            || set.uid.filesystem == file.uid
            || file.born.is_none_or(|born| born + TICK >= *since)
            || self.given.may_have(file.place)
    }
}
