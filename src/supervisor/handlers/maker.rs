//! Files that a process makes: they belong to it, which the kernel does not know of one that has
//! set another identity, nor of a directory that hands on a group or an ACL that is remembered.
//!
//! Such a file is made by the supervisor, so that nobody else's is taken for it. What belongs to
//! root anyway is left to the kernel. mkdir and symlink are here; the others use it.

use std::ffi::CStr;
use std::rc::Rc;

use caps::Capability;
use nix::errno::Errno;
use nix::sys::stat::{Mode, umask};

use super::acl;
use crate::arch::signature::Kind;
use crate::supervisor::memory::attributes::Known;
use crate::supervisor::memory::credentials::Credentials;
use crate::supervisor::memory::owners::{Device, Record};
use crate::supervisor::memory::remembered::Remembered;
use crate::supervisor::recovery::in_flight::{Created, InFlight};
use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Answer, Failed, How, Outcome};
use crate::supervisor::target::object::Object;
use crate::supervisor::target::proc::Target;
use crate::supervisor::target::request::Request;
use crate::sys::file::{Look, Place};

/// Who makes a file, as far as whose it is depends on that.
pub struct Maker {
    owners: Remembered,
    /// What it has set; `None` for root.
    set: Option<Rc<Credentials>>,
    /// What it leaves out of permissions, if that has been looked at.
    mask: Option<u32>,
}

impl Maker {
    /// The caller; `None` if what it makes is root's, in whichever directory, or if the kernel
    /// alone knows what Landlock permits it.
    pub fn of(session: &Session, target: Target) -> Result<Option<Maker>, Failed> {
        let Some(owners) = session.owners else {
            return Ok(None);
        };
        let set = session.processes.changed(target);
        let is_root = |set: &Rc<Credentials>| (set.uid.filesystem, set.gid.filesystem) == (0, 0);
        let is_told = session.maps.shows_roots() && set.as_ref().is_none_or(is_root);
        if is_told && !owners.has_heirs() || target.is_restricted() {
            return Ok(None);
        }
        // A helper cannot look once it has the caller's rights. For others it is early: most
        // directories hand nothing on.
        let mask = target.is_helper.then(|| target.umask()).transpose()?;
        Ok(Some(Maker { owners, set, mask }))
    }

    /// Whose a file is that it makes in `parent`: fs/inode.c, `inode_init_owner`. `None` for what
    /// the kernel would say as well.
    pub fn owner_in(
        &self,
        session: &Session,
        parent: &Object,
    ) -> Result<Option<(u32, u32)>, Errno> {
        let (uid, gid) = self.ids();
        let found = parent.found()?;
        let maps = &session.maps;
        let (gid, kernels) = if found.mode & libc::S_ISGID == 0 {
            (gid, maps.shows(maps.own.0, maps.own.1))
        } else {
            let kernels = maps.shows(maps.own.0, found.gid);
            let remembered = self.owners.find(parent)?;
            (
                remembered.map_or(kernels.1, |record| record.owner.1),
                kernels,
            )
        };
        let is_other = (uid, gid) != kernels || self.inherited_acl(parent)?.is_some();
        Ok(is_other.then_some((uid, gid)))
    }

    /// The ACL for what is made in `parent`, if one is remembered.
    fn inherited_acl(&self, parent: &Object) -> Result<Option<Known>, Errno> {
        let attributes = self.owners.attributes(parent)?;
        Ok(attributes.get(acl::DEFAULT.to_bytes()).cloned())
    }

    /// What it leaves out of permissions.
    pub fn mask(&self, target: Target) -> Result<Mode, Failed> {
        let mask = if let Some(mask) = self.mask {
            mask
        } else {
            let mask = target.umask()?;
            target.still_waits()?;
            mask
        };
        Ok(Mode::from_bits_truncate(mask))
    }

    /// Its own user and group for files.
    fn ids(&self) -> (u32, u32) {
        let set = self.set.as_ref();
        set.map_or((0, 0), |set| (set.uid.filesystem, set.gid.filesystem))
    }

    /// The permissions of a file of `gid` for which it asks for `mode` in `parent`: fs/inode.c,
    /// `mode_strip_sgid`. The umask is the kernel's to apply, which is the caller's from now on.
    pub fn permissions(
        &self,
        target: Target,
        mode: u32,
        parent: &Object,
        gid: u32,
    ) -> Result<Mode, Failed> {
        const BOTH: u32 = libc::S_ISGID | libc::S_IXGRP;
        umask(self.mask(target)?);
        let may = |set: &Rc<Credentials>| set.is_in_group(gid) || set.has(Capability::CAP_FSETID);
        let falls = mode & BOTH == BOTH
            && parent.found()?.mode & libc::S_ISGID != 0
            && !self.set.as_ref().is_none_or(may);
        let mode = if falls { mode & !libc::S_ISGID } else { mode };
        Ok(Mode::from_bits_truncate(mode))
    }

    /// Remembers that `file`, which has just been made in `parent`, is `owner`'s.
    pub fn remember(
        &self,
        parent: &Object,
        file: &Object,
        owner: (u32, u32),
        device: Option<Device>,
    ) -> Result<(), Errno> {
        self.owners.set(file, Record::new(owner, device))?;
        let Some(known) = self.inherited_acl(parent)? else {
            return Ok(());
        };
        // Its mode says the rest: fs/posix_acl.c, `posix_acl_create`.
        let kind = file.found()?.mode & libc::S_IFMT;
        let acls: &[&CStr] = match kind {
            libc::S_IFLNK => return Ok(()),
            libc::S_IFDIR => &[acl::ACCESS, acl::DEFAULT],
            _ => &[acl::ACCESS],
        };
        self.owners.change_attributes(file, owner, |all| {
            for name in acls {
                all.set(name.to_bytes(), Some(known.clone()));
            }
            Ok(())
        })
    }
}

/// What `found` is, as a file made for thread `tid`.
#[must_use]
pub fn created(tid: i32, found: &Look) -> Created {
    let Place { dev, ino, .. } = found.place;
    Created {
        tid: tid.unsigned_abs(),
        dev,
        ino,
    }
}

/// Makes `name` in `parent` by `attempt`, unless it has been made for this call of thread `tid`'s
/// already.
pub fn make(
    in_flight: &InFlight,
    tid: i32,
    (parent, name): (&Object, &CStr),
    attempt: impl FnOnce() -> Result<(), Errno>,
) -> Result<(), Errno> {
    match parent.look_at(name) {
        Ok(there) if in_flight.has_made(created(tid, &there)) => return Ok(()),
        // Somebody may be removing it.
        Ok(_) => {}
        Err(_) => in_flight.create(),
    }
    attempt()
}

/// Answers mkdir, symlink and their kin.
pub fn answer(session: &mut Session, request: &Request) -> Outcome {
    match mkdir_or_symlink(session, request) {
        Ok(None) => Outcome::CONTINUE,
        Ok(Some(how)) => Outcome {
            answer: Answer::Value(0),
            how,
        },
        Err(failed) => failed.outcome(Outcome::CONTINUE),
    }
}

fn mkdir_or_symlink(session: &mut Session, request: &Request) -> Result<Option<How>, Failed> {
    let target = session.sight.target(request);
    let Some(maker) = Maker::of(session, target)? else {
        return Ok(None);
    };
    let (file, _) = target.named_file()?;
    let text = match request.arg(Kind::Pointer) {
        Ok(text) => Some(target.path(text.pointer())?),
        Err(_) => None,
    };
    let (parent, name) = target.find_parent(&file)?;
    let Some(owner) = maker.owner_in(session, &parent)? else {
        return Ok(None);
    };
    let at = (&parent, &*name);
    if let Some(text) = text {
        make(&session.in_flight, request.tid, at, || {
            parent.symlink(&text, &name)
        })?;
    } else {
        let mode = request.arg(Kind::Mode)?.word();
        let permissions = maker.permissions(target, mode, &parent, owner.1)?;
        make(&session.in_flight, request.tid, at, || {
            parent.mkdir(&name, permissions)
        })?;
    }
    let made = parent.child(&name)?;
    let found = made.found()?;
    session.in_flight.has_created(created(request.tid, &found));
    maker.remember(&parent, &made, owner, None)?;
    Ok(Some(How::Remembered))
}
