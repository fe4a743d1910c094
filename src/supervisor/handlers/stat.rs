//! stat(2) and its kin: the kernel's answer, unless the file has an owner or a type that the kernel
//! does not know of.

use nix::errno::Errno;
use nix::fcntl::AtFlags;

use super::view::{self, View};
use crate::arch::signature::Kind;
use crate::arch::stat::{Facts, Moment, encode};
use crate::supervisor::memory::owners::Record;
use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Answer, Failed, Outcome};
use crate::supervisor::target::files::File;
use crate::supervisor::target::glance::Glance;
use crate::supervisor::target::proc::Target;
use crate::supervisor::target::request::{Named, Request};
use crate::sys::file::{Look, may_lack_path, statx_bytes};

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
    let Some((file, follow, sync)) = file_at(target)? else {
        return Ok(Answer::Continue);
    };
    let Some(glance) = target.glance(&file, follow, sync)? else {
        return Ok(Answer::Continue);
    };
    let found = Look::from(&glance.status);
    if target.base.is_own_proc(found.place) {
        let Some(owner) = process_owner(session, target, &glance)? else {
            return Ok(Answer::Continue);
        };
        glance.confirm(target)?;
        return tell(target, &glance, sync, Record::new(owner, None));
    }
    let record = owners.of(&found, || glance.handle(target));
    let shown = session.maps.shows(found.uid, found.gid);
    let is_foreign = shown != (found.uid, found.gid);
    if record.is_none() && !is_foreign {
        return Ok(Answer::Continue);
    }
    glance.confirm(target)?;
    let mut record = record.unwrap_or(Record::new(shown, None));
    // Whoever names a path has been looked at, and has a helper if it is elsewhere.
    let may_be_elsewhere = target.is_helper || !matches!(file, File::At(..));
    if may_be_elsewhere && !target.is_plain() && !session.processes.is_at_home(target) {
        record.owner = View::of(target)?.shows(record.owner);
    }
    tell(target, &glance, sync, record)
}

/// Whose a file in `/proc` is of a process that has set something: fs/proc/base.c,
/// `task_dump_owner`. Of others the kernel knows better.
fn process_owner(
    session: &Session,
    target: Target,
    glance: &Glance,
) -> Result<Option<(u32, u32)>, Failed> {
    if !session.processes.are_any() {
        return Ok(None);
    }
    let Some(thread) = glance.thread(target) else {
        return Ok(None);
    };
    let process = target.request.by(thread);
    let standing = session.processes.standing(session.target(&process));
    let Some(identity) = session.processes.identity(standing) else {
        return Ok(None);
    };
    let (uid, gid) = (identity.credentials.uid, identity.credentials.gid);
    // Who changes its ids cannot be dumped until it executes something (kernel/cred.c,
    // `commit_creds`; fs/exec.c, `begin_new_exec`).
    let is_dumpable =
        identity.has_executed && uid.real == uid.effective && gid.real == gid.effective;
    let is_open_to_all = u32::from(glance.status.stx_mode) == libc::S_IFDIR | 0o555;
    let owner = if is_open_to_all || is_dumpable {
        (uid.effective, gid.effective)
    } else {
        (0, 0)
    };
    view::of_ids(session, target, identity.namespace, owner)
}

/// The file that the call is about, whether a link at its end is to be followed, and its
/// `AT_STATX_*_SYNC`; `None` for arguments that the kernel refuses, or knows better.
fn file_at(target: Target) -> Result<Option<(File, bool, i32)>, Failed> {
    let known = libc::AT_SYMLINK_NOFOLLOW
        | libc::AT_EMPTY_PATH
        | libc::AT_NO_AUTOMOUNT
        | libc::AT_STATX_SYNC_TYPE;
    Ok(match target.request.named().ok_or(Errno::ENOSYS)? {
        Named::Open(fd) => (fd >= 0).then_some((File::Empty(fd), true, 0)),
        Named::At { flags, .. } if flags.bits() & !known != 0 => None,
        Named::At { dir, path, flags } => {
            // Only statx(2) heeds it, and refuses both at once.
            let sync = if target.request.arg(Kind::Statx).is_ok() {
                flags.bits() & libc::AT_STATX_SYNC_TYPE
            } else {
                0
            };
            let may_be_empty = flags.contains(AtFlags::AT_EMPTY_PATH);
            if path == 0 && may_be_empty && may_lack_path() {
                return Ok(Some((File::Empty(dir), true, sync)));
            }
            let path = target.path(path)?;
            if path.is_empty() && may_be_empty {
                Some((File::Empty(dir), true, sync))
            } else {
                let follow = !flags.contains(AtFlags::AT_SYMLINK_NOFOLLOW);
                Some((File::At(dir, path), follow, sync))
            }
        }
    })
}

/// Tells the caller what was looked at, with what `record` has in its place.
fn tell(target: Target, glance: &Glance, sync: i32, record: Record) -> Result<Answer, Failed> {
    let request = target.request;
    if let Ok(out) = request.arg(Kind::Statx) {
        // What is told without having been asked for depends on what is asked for.
        let mut status = glance.statx(target, sync, request.arg(Kind::Number)?.word())?;
        (status.stx_uid, status.stx_gid) = record.owner;
        let mode = mode(status.stx_mode.into(), record);
        status.stx_mode = u16::try_from(mode).unwrap_or_default();
        if let Some(device) = record.device {
            (status.stx_rdev_major, status.stx_rdev_minor) = device.number;
            (status.stx_size, status.stx_blocks) = (0, 0);
        }
        target.write(out.pointer(), &statx_bytes(&status))?;
        return Ok(Answer::Value(0));
    }
    let status = glance.status;
    let (uid, gid) = record.owner;
    let moment = |time: libc::statx_timestamp| Moment {
        seconds: time.tv_sec,
        nanoseconds: time.tv_nsec,
    };
    let mut facts = Facts {
        dev: (status.stx_dev_major, status.stx_dev_minor),
        ino: status.stx_ino,
        mode: mode(status.stx_mode.into(), record),
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
    if let Some(device) = record.device {
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
        None if record.device.is_some() => Ok(Answer::Error(Errno::EOVERFLOW)),
        // What does not fit is the kernel's to say, by the same rules.
        None => Ok(Answer::Continue),
    }
}

/// The mode of a file that has `kernels` for the kernel.
fn mode(kernels: u32, record: Record) -> u32 {
    let kind = record
        .device
        .map_or(kernels & libc::S_IFMT, |device| device.kind);
    kind | record.permissions.unwrap_or(kernels) & !libc::S_IFMT
}
