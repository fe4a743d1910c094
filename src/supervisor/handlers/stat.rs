//! stat(2) and its kin: the kernel's answer, unless the file has an owner or a type that the kernel
//! does not know of.

use nix::errno::Errno;
use nix::fcntl::AtFlags;

use crate::arch::signature::Kind;
use crate::arch::stat::{Facts, Moment, encode};
use crate::supervisor::memory::owners::Record;
use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Answer, Failed, Outcome};
use crate::supervisor::target::files::File;
use crate::supervisor::target::object::Object;
use crate::supervisor::target::proc::Target;
use crate::supervisor::target::request::{Named, Request};
use crate::sys::file::{may_lack_path, statx_bytes};

/// Answers a call of class `stat`.
pub fn answer(session: &mut Session, request: &Request) -> Outcome {
    let target = session.sight.target(request);
    match stat(session, target) {
        Ok(answer) => Outcome::real(answer),
        // Its error may be the supervisor's own; the kernel finds the caller's.
        Err(Failed::Error(_) | Failed::Unreadable) => Outcome::CONTINUE,
        Err(failed) => failed.outcome(Outcome::CONTINUE),
    }
}

fn stat(session: &Session, target: Target) -> Result<Answer, Failed> {
    let Some(owners) = &session.owners else {
        return Ok(Answer::Continue);
    };
    let Some((file, follow)) = file_at(target)? else {
        return Ok(Answer::Continue);
    };
    let Some(glance) = target.glance(&file, follow)? else {
        return Ok(Answer::Continue);
    };
    let record = {
        let object = glance.object();
        let found = object.found()?;
        let record = owners.find(object)?;
        if record.is_none() && session.maps.shows(found.uid, found.gid) == (found.uid, found.gid) {
            return Ok(Answer::Continue);
        }
        record
    };
    tell(session, target, &glance.confirm(target)?, record)
}

/// The file that the call is about, and whether a link at its end is to be followed; `None` for
/// arguments that the kernel refuses, or knows better.
fn file_at(target: Target) -> Result<Option<(File, bool)>, Failed> {
    let known = libc::AT_SYMLINK_NOFOLLOW
        | libc::AT_EMPTY_PATH
        | libc::AT_NO_AUTOMOUNT
        | libc::AT_STATX_SYNC_TYPE;
    Ok(match target.request.named().ok_or(Errno::ENOSYS)? {
        Named::Open(fd) => (fd >= 0).then_some((File::Empty(fd), true)),
        Named::At { flags, .. } if flags.bits() & !known != 0 => None,
        Named::At { dir, path, flags } => {
            let may_be_empty = flags.contains(AtFlags::AT_EMPTY_PATH);
            if path == 0 && may_be_empty && may_lack_path() {
                return Ok(Some((File::Empty(dir), true)));
            }
            let path = target.path(path)?;
            if path.is_empty() && may_be_empty {
                Some((File::Empty(dir), true))
            } else {
                let follow = !flags.contains(AtFlags::AT_SYMLINK_NOFOLLOW);
                Some((File::At(dir, path), follow))
            }
        }
    })
}

/// Tells the caller what `object` is, with what is remembered of it in its place.
fn tell(
    session: &Session,
    target: Target,
    object: &Object,
    record: Option<Record>,
) -> Result<Answer, Failed> {
    let request = target.request;
    let owner = |uid, gid| record.map_or_else(|| session.maps.shows(uid, gid), |it| it.owner);
    let device = record.and_then(|record| record.device);
    if let Ok(out) = request.arg(Kind::Statx) {
        let flags = request.arg(Kind::AtFlags)?.int() & libc::AT_STATX_SYNC_TYPE;
        let mut status = object.statx(flags, request.arg(Kind::Number)?.word())?;
        (status.stx_uid, status.stx_gid) = owner(status.stx_uid, status.stx_gid);
        if let Some(device) = device {
            let kind = u16::try_from(device.kind).unwrap_or_default();
            status.stx_mode = status.stx_mode & !(libc::S_IFMT as u16) | kind;
            (status.stx_rdev_major, status.stx_rdev_minor) = device.number;
            (status.stx_size, status.stx_blocks) = (0, 0);
        }
        target.write(out.pointer(), &statx_bytes(&status))?;
        return Ok(Answer::Value(0));
    }
    let status = object.statx(0, libc::STATX_BASIC_STATS)?;
    let moment = |time: libc::statx_timestamp| Moment {
        seconds: time.tv_sec,
        nanoseconds: time.tv_nsec,
    };
    let (uid, gid) = owner(status.stx_uid, status.stx_gid);
    let mut facts = Facts {
        dev: (status.stx_dev_major, status.stx_dev_minor),
        ino: status.stx_ino,
        mode: status.stx_mode.into(),
        nlink: status.stx_nlink,
        uid,
        gid,
        rdev: (status.stx_rdev_major, status.stx_rdev_minor),
        size: status.stx_size,
        blksize: status.stx_blksize,
        blocks: status.stx_blocks,
        accessed: moment(status.stx_atime),
        modified: moment(status.stx_mtime),
        changed: moment(status.stx_ctime),
    };
    if let Some(device) = device {
        facts.mode = facts.mode & !libc::S_IFMT | device.kind;
        facts.rdev = device.number;
        (facts.size, facts.blocks) = (0, 0);
    }
    let out = request.arg(Kind::Stat)?.pointer();
    match encode(request.abi, request.sysno, &facts) {
        Some(bytes) => {
            target.write(out, &bytes)?;
            Ok(Answer::Value(0))
        }
        // The kernel knows of no device, whose number may fit where this one does not.
        None if device.is_some() => Ok(Answer::Error(Errno::EOVERFLOW)),
        // What does not fit is the kernel's to say, by the same rules.
        None => Ok(Answer::Continue),
    }
}
