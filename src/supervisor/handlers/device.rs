//! mknod of a device: where the kernel refuses, an empty regular file stands in its place, with the
//! mode that was asked for. At a level that remembers, other types as well.

use std::ffi::CStr;

use caps::Capability;
use nix::errno::Errno;
use nix::sys::stat::{Mode, SFlag, umask};

use super::maker::{Maker, created, make};
use super::rights::Rights;
use crate::arch::signature::Kind;
use crate::supervisor::memory::owners::{Device, Record};
use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Failed, How, Outcome};
use crate::supervisor::target::object::Object;
use crate::supervisor::target::proc::Target;
use crate::supervisor::target::request::Request;

/// Answers a call of class `device`.
pub fn answer(session: &mut Session, request: &Request) -> Outcome {
    // What the supervisor makes, Landlock would not keep the caller from.
    if session.target(request).is_restricted() {
        return Outcome::CONTINUE;
    }
    match mknod(session, request) {
        Ok(None) => Outcome::CONTINUE,
        Ok(Some(how)) => Outcome::of(Ok(how), Outcome::PRETENDED),
        Err(failed) => failed.outcome(Outcome::PRETENDED),
    }
}

fn mknod(session: &mut Session, request: &Request) -> Result<Option<How>, Failed> {
    let target = session.sight.target(request);
    let (mode, dev) = (
        request.arg(Kind::Mode)?.word(),
        request.arg(Kind::Dev)?.word(),
    );
    let kind = SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits());
    // The overlay whiteout is anyone's to make.
    let is_device = kind == SFlag::S_IFBLK || kind == SFlag::S_IFCHR && dev != 0;
    let maker = Maker::of(session, target)?;
    if !is_device && maker.is_none() {
        return Ok(None);
    }
    let (file, _) = target.named_file()?;
    let mask = target.umask()?;
    let (parent, name) = target.find_parent(&file)?;
    let owner = match &maker {
        Some(maker) => maker.owner_in(session, &parent)?,
        None => None,
    };
    let (permissions, owner) = match (&maker, owner) {
        (Some(maker), Some(owner)) => (
            maker.permissions(target, mode, &parent, owner.1)?,
            Some(owner),
        ),
        _ if !is_device => return Ok(None),
        _ => (Mode::from_bits_truncate(mode), None),
    };
    // The kernel applies the umask of whoever makes the file: that must be the caller's.
    umask(Mode::from_bits_truncate(mask));
    let in_flight = &session.in_flight;
    let how = if is_device {
        make_device(session, target, (&parent, &name), kind, permissions, dev)?
    } else {
        make(in_flight, request.tid, (&parent, &name), || {
            parent.mknod(&name, kind, permissions, dev.into())
        })?;
        How::Real
    };
    let made = parent.child(&name)?;
    let found = made.found()?;
    session.in_flight.has_created(created(request.tid, &found));
    let device = (how == How::Pretended).then(|| Device {
        kind: kind.bits(),
        number: numbers(dev),
    });
    let Some(owners) = session
        .owners
        .filter(|_| device.is_some() || owner.is_some())
    else {
        return Ok(Some(how));
    };
    let owner = owner.unwrap_or_else(|| session.maps.shows(found.uid, found.gid));
    match maker {
        Some(maker) => maker.remember(&parent, &made, owner, device)?,
        None => owners.set(&made, Record::new(owner, device))?,
    }
    Ok(Some(How::Remembered))
}

/// Makes a device, or what stands for it.
fn make_device(
    session: &Session,
    target: Target,
    (parent, name): (&Object, &CStr),
    kind: SFlag,
    permissions: Mode,
    dev: u32,
) -> Result<How, Failed> {
    let in_flight = &session.in_flight;
    let is_refused = !Rights::of(session, target, parent).have(Capability::CAP_MKNOD);
    if is_refused && target.base.may_make_devices() {
        // The kernel looks whether the file is there first (fs/namei.c, filename_create).
        let is_there = parent.look_at(name).is_ok();
        let refusal = if is_there {
            Errno::EEXIST
        } else {
            parent.refusal()
        };
        return Err(refusal.into());
    }
    let may_be_created = in_flight.may_be_created();
    let tid = target.request.tid;
    let orphan = in_flight.orphan(tid.unsigned_abs());
    let there = || Some(created(tid, &parent.look_at(name).ok()?));
    match parent.mknod(name, kind, permissions, dev.into()) {
        Ok(()) => Ok(How::Real),
        Err(Errno::EPERM) if !is_refused => {
            // No file was there, or the error would have been EEXIST (fs/namei.c, do_mknodat). A
            // successor that finds one knows by this that it is ours.
            in_flight.create();
            parent.mknod(name, SFlag::S_IFREG, permissions, 0)?;
            Ok(How::Pretended)
        }
        // A server that died over this call has made it. Or it was made when the caller asked
        // before, and a signal interrupted that call.
        Err(Errno::EEXIST) if may_be_created || orphan.is_some() && there() == orphan => {
            Ok(How::Pretended)
        }
        Err(errno) => Err(errno.into()),
    }
}

/// Major and minor number of a device number as the kernel takes it (include/linux/kdev_t.h,
/// `new_decode_dev`).
fn numbers(dev: u32) -> (u32, u32) {
    (
        (dev & 0x000f_ff00) >> 8,
        dev & 0xff | (dev >> 12) & 0x000f_ff00,
    )
}
