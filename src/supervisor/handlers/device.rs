//! mknod of a device: where the kernel refuses, an empty regular file stands in its place, with the
//! mode that was asked for.

use caps::Capability;
use nix::errno::Errno;
use nix::sys::stat::{Mode, SFlag, umask};

use super::rights::Rights;
use crate::arch::signature::Kind;
use crate::supervisor::memory::owners::{Device, Record};
use crate::supervisor::recovery::in_flight::Created;
use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Failed, How, Outcome};
use crate::supervisor::target::object::Object;
use crate::supervisor::target::proc::Target;
use crate::supervisor::target::request::Request;
use crate::sys::file::Place;

/// Answers a call of class `device`.
pub fn answer(session: &mut Session, request: &Request) -> Outcome {
    // What the supervisor makes, Landlock would not keep the caller from.
    if session.target(request).is_restricted() {
        return Outcome::CONTINUE;
    }
    Outcome::of(mknod(session, request), Outcome::PRETENDED)
}

fn mknod(session: &mut Session, request: &Request) -> Result<How, Failed> {
    let target = session.target(request);
    let (file, _) = target.named_file()?;
    let (mode, dev) = (
        request.arg(Kind::Mode)?.word(),
        request.arg(Kind::Dev)?.word(),
    );
    // The kernel applies the umask of whoever makes the file: that must be the caller's.
    let mask = u32::from_str_radix(&target.status("Umask")?, 8).map_err(|_| Errno::ESRCH)?;
    umask(Mode::from_bits_truncate(mask));
    let permissions = Mode::from_bits_truncate(mode);
    let kind = SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits());
    let in_flight = &session.in_flight;
    let (parent, name) = target.find_parent(&file)?;
    let is_refused = !Rights::of(session, target, &parent).have(Capability::CAP_MKNOD);
    if is_refused && target.base.may_make_devices() {
        // The kernel looks whether the file is there first (fs/namei.c, filename_create).
        let is_there = parent.look_at(&name).is_ok();
        let refusal = if is_there {
            Errno::EEXIST
        } else {
            parent.refusal()
        };
        return Err(refusal.into());
    }
    let tid = request.tid.unsigned_abs();
    let created = || {
        let Place { dev, ino, .. } = parent.look_at(&name).ok()?.place;
        Some(Created { tid, dev, ino })
    };
    let may_be_created = in_flight.may_be_created();
    let orphan = in_flight.orphan(tid);
    let how = match parent.mknod(&name, kind, permissions, dev.into()) {
        Ok(()) => How::Real,
        Err(Errno::EPERM) if !is_refused => {
            // No file was there, or the error would have been EEXIST (fs/namei.c, do_mknodat). A
            // successor that finds one knows by this that it is ours.
            in_flight.create();
            parent.mknod(&name, SFlag::S_IFREG, permissions, 0)?;
            How::Pretended
        }
        // A server that died over this call has made it. Or it was made when the caller asked
        // before, and a signal interrupted that call.
        Err(Errno::EEXIST) if may_be_created || orphan.is_some() && created() == orphan => {
            How::Pretended
        }
        Err(errno) => return Err(errno.into()),
    };
    let created = created();
    let how = match &session.owners {
        Some(owners) if how == How::Pretended => {
            let device = Device {
                kind: kind.bits(),
                number: numbers(dev),
            };
            owner_of_new(session, target, &parent)
                .and_then(|owner| {
                    let device = Some(device);
                    owners.set(&parent.child(&name)?, Record { owner, device })
                })
                .map(|()| How::Remembered)
        }
        _ => Ok(how),
    };
    // Also if it cannot be remembered: it is there.
    if let Some(created) = created {
        session.in_flight.has_created(created);
    }
    Ok(how?)
}

/// Whose a file is that the caller makes in `parent` (fs/inode.c, `inode_init_owner`).
pub(super) fn owner_of_new(
    session: &Session,
    target: Target,
    parent: &Object,
) -> Result<(u32, u32), Errno> {
    let set = session.processes.changed(target);
    let (uid, gid) = set.map_or((0, 0), |set| (set.uid.filesystem, set.gid.filesystem));
    let found = parent.found()?;
    if found.mode & libc::S_ISGID == 0 {
        return Ok((uid, gid));
    }
    let remembered = match &session.owners {
        Some(owners) => owners.find(parent)?,
        None => None,
    };
    let shown = || session.maps.shows(found.uid, found.gid);
    Ok((uid, remembered.map_or_else(shown, |record| record.owner).1))
}

/// Major and minor number of a device number as the kernel takes it (include/linux/kdev_t.h,
/// `new_decode_dev`).
fn numbers(dev: u32) -> (u32, u32) {
    (
        (dev & 0x000f_ff00) >> 8,
        dev & 0xff | (dev >> 12) & 0x000f_ff00,
    )
}
