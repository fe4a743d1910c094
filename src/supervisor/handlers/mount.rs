//! Mounts whose files are to belong to somebody whom the kernel does not know here: to us instead.
//! All else of mounting is the kernel's.

use std::ffi::{CStr, CString};

use caps::Capability;
use nix::errno::Errno;
use nix::mount::MsFlags;

use super::rights;
use crate::arch::Sysno;
use crate::arch::signature::Kind;
use crate::supervisor::memory::id_maps::IdMaps;
use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Answer, Failed, How, Outcome};
use crate::supervisor::target::files::File;
use crate::supervisor::target::proc::Target;
use crate::supervisor::target::request::{Argument, Request};
use crate::sys::mount::{SET_STRING, set_option};

/// The file systems that have such options and need no source, which would have to be found.
const KINDS: [&CStr; 2] = [TMPFS, c"devpts"];
const TMPFS: &CStr = c"tmpfs";

/// As much is read of options, in bytes: the kernel takes a page.
const OPTIONS: usize = 4096;

/// Answers mount(2) and fsconfig(2).
pub fn answer(session: &mut Session, request: &Request) -> Outcome {
    let target = session.target(request);
    // What Landlock keeps a caller from is not done for it.
    if target.is_restricted() {
        return Outcome::CONTINUE;
    }
    let done = match request.sysno {
        Sysno::mount => mount(session, target),
        _ => configure(session, target),
    };
    done.unwrap_or_else(Failed::or_the_kernels)
}

fn mount(session: &Session, target: Target) -> Result<Outcome, Failed> {
    let request = target.request;
    let mut pointers = request.all(Kind::Pointer).map(Argument::pointer);
    let mut pointer = || pointers.next().unwrap_or_default();
    let (source, kind, options) = (pointer(), pointer(), pointer());
    let flags = new_mount(request.arg(Kind::Number)?.long());
    let (Some(flags), true) = (flags, kind != 0 && options != 0) else {
        return Ok(Outcome::CONTINUE);
    };
    let kind = target.string(kind, OPTIONS)?.unwrap_or_default();
    if !KINDS.contains(&&*kind) {
        return Ok(Outcome::CONTINUE);
    }
    let options = target.string(options, OPTIONS)?.unwrap_or_default();
    let Some((options, ids)) = with_own_ids(&session.maps, &options) else {
        return Ok(Outcome::CONTINUE);
    };
    if !may_mount(session, target)? {
        return Ok(Outcome::CONTINUE);
    }
    if !target.is_helper {
        return Err(Failed::Helper);
    }
    let source = match source {
        0 => None,
        source => target.string(source, OPTIONS)?,
    };
    let mounts = target.namespace("mnt")?;
    let (file, follow) = target.named_file()?;
    let place = target.find(&file, follow)?;
    target.enter(mounts, c"self/ns/mnt")?;
    let done = place.mount(source.as_deref(), &kind, flags, &options);
    if done.is_ok() && *kind == *TMPFS {
        remember(session, target, &file, ids);
    }
    Ok(outcome(done))
}

/// `flags` without what old programs add, if they make a new mount: others have a source, or change
/// what is there.
fn new_mount(flags: u64) -> Option<MsFlags> {
    // fs/namespace.c, `path_mount`.
    const MARK: u64 = 0xc0ed_0000;
    const UPPER: u64 = 0xffff_0000;
    let flags = if flags & UPPER == MARK {
        flags & !UPPER
    } else {
        flags
    };
    let other = MsFlags::MS_BIND
        | MsFlags::MS_MOVE
        | MsFlags::MS_REMOUNT
        | MsFlags::MS_SHARED
        | MsFlags::MS_PRIVATE
        | MsFlags::MS_SLAVE
        | MsFlags::MS_UNBINDABLE;
    let flags = MsFlags::from_bits_retain(libc::c_ulong::try_from(flags).ok()?);
    (!flags.intersects(other)).then_some(flags)
}

/// Remembers whose the root directory is of what has been mounted at `file`.
fn remember(session: &Session, target: Target, file: &File, ids: Replaced) {
    let Some(owners) = &session.owners else {
        return;
    };
    let Ok(root) = target.find(file, true) else {
        return;
    };
    if let Ok(found) = root.found() {
        let otherwise = session.maps.shows(found.uid, found.gid);
        // It is mounted all the same.
        let _ = owners.give(&root, ids, otherwise);
    }
}

/// fsconfig(2) names one option at a time.
fn configure(session: &Session, target: Target) -> Result<Outcome, Failed> {
    let request = target.request;
    let command = request.arg(Kind::Number)?.word();
    let mut pointers = request.all(Kind::Pointer).map(Argument::pointer);
    let mut pointer = || pointers.next().unwrap_or_default();
    let (key, value) = (pointer(), pointer());
    if command != SET_STRING || key == 0 || value == 0 {
        return Ok(Outcome::CONTINUE);
    }
    let key = target.string(key, OPTIONS)?.unwrap_or_default();
    if !NAMES.contains(&key.to_bytes()) {
        return Ok(Outcome::CONTINUE);
    }
    let value = target.string(value, OPTIONS)?.unwrap_or_default();
    let Some((id, _)) = own_id(&session.maps, key.to_bytes(), value.to_bytes()) else {
        return Ok(Outcome::CONTINUE);
    };
    if !may_mount(session, target)? {
        return Ok(Outcome::CONTINUE);
    }
    // It may have to wait for another call of the caller's.
    if !target.is_helper {
        return Err(Failed::Helper);
    }
    let context = target.descriptor(request.arg(Kind::Fd)?.int(), true)?;
    target.take_rights()?;
    target.still_waits()?;
    let id = CString::new(id).map_err(|_| Errno::EINVAL)?;
    Ok(outcome(set_option(context, &key, &id)))
}

/// Whether the caller may mount as root may, and its ids are those that are known here.
fn may_mount(session: &Session, target: Target) -> Result<bool, Failed> {
    Ok(session.processes.is_at_home(target)
        && rights::has(session, target, Capability::CAP_SYS_ADMIN)?)
}

fn outcome(done: Result<(), Errno>) -> Outcome {
    match done {
        Ok(()) => Outcome::of(Ok(How::Pretended), Outcome::CONTINUE),
        Err(errno) => Outcome::real(Answer::Error(errno)),
    }
}

/// The options that are ids.
const NAMES: [&[u8]; 2] = [b"uid", b"gid"];

/// An owner and a group, where they are replaced.
type Replaced = (Option<u32>, Option<u32>);

/// `options` with our own ids in the place of those that are not mapped, and these; `None` if there
/// are none.
fn with_own_ids(maps: &IdMaps, options: &CStr) -> Option<(CString, Replaced)> {
    let mut replaced = (None, None);
    let mut one = |option: &[u8]| {
        let mut parts = option.splitn(2, |byte| *byte == b'=');
        let (key, value) = (parts.next()?, parts.next()?);
        let (own, id) = own_id(maps, key, value)?;
        if key == NAMES[0] {
            replaced.0 = Some(id);
        } else {
            replaced.1 = Some(id);
        }
        Some([key, b"=", own.as_bytes()].concat())
    };
    let options = options.to_bytes().split(|byte| *byte == b',');
    let options: Vec<Vec<u8>> = options
        .map(|option| one(option).unwrap_or_else(|| option.to_vec()))
        .collect();
    let options = CString::new(options.join(&b',')).ok()?;
    (replaced != (None, None)).then_some((options, replaced))
}

/// Our own id in the place of `value`, and that, if option `key` is an id, and it is not mapped.
fn own_id(maps: &IdMaps, key: &[u8], value: &[u8]) -> Option<(String, u32)> {
    let id: u32 = std::str::from_utf8(value).ok()?.parse().ok()?;
    let (is_mapped, own) = match key {
        b"uid" => (maps.has_uid(id), maps.own.0),
        b"gid" => (maps.has_gid(id), maps.own.1),
        _ => return None,
    };
    (!is_mapped).then(|| (own.to_string(), id))
}
