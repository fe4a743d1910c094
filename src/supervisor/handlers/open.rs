//! open(2) and its kin, where they make a file: it belongs to who makes it.
//!
//! The supervisor makes the file, or opens the one that is there, and gives the caller a
//! descriptor for it. To look first and leave the rest to the kernel would not do: what is there
//! may be gone by then.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, ResolveFlag};
use nix::sys::stat::Mode;

use super::maker::{Maker, created};
use crate::arch::signature::Kind;
use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Answer, Failed, How, Outcome};
use crate::supervisor::target::files::File;
use crate::supervisor::target::object::Object;
use crate::supervisor::target::proc::Target;
use crate::supervisor::target::request::{Argument, Named, Request};

/// How often a file may come and go, or be a symbolic link to the next, before the kernel is to
/// see to it (as many links as it follows: `MAXSYMLINKS`, include/linux/namei.h).
const TRIES: usize = 40;

/// `__O_TMPFILE`: `O_TMPFILE` without `O_DIRECTORY`.
const TMPFILE: OFlag = OFlag::O_TMPFILE.difference(OFlag::O_DIRECTORY);

/// The size of `struct open_how`, include/uapi/linux/openat2.h, and the most that the kernel takes.
const HOW: usize = 24;
const PAGE: usize = 4096;

/// Answers a call of the open family that may make a file.
pub fn answer(session: &mut Session, request: &Request) -> Outcome {
    match open(session, request) {
        Ok(Some((fd, how))) => Outcome {
            answer: Answer::Value(fd.into()),
            how,
        },
        Ok(None) => Outcome::CONTINUE,
        Err(failed) => failed.outcome(Outcome::CONTINUE),
    }
}

/// How a file is to be opened.
struct Wish {
    flags: OFlag,
    mode: u32,
    resolve: ResolveFlag,
}

impl Wish {
    /// What the call asks for; `None` for what makes no file, or what the kernel refuses.
    fn of(target: Target) -> Result<Option<Wish>, Failed> {
        let request = target.request;
        let mode = request.arg(Kind::Mode).map(Argument::word);
        let (flags, mode, resolve) = if let Ok(how) = request.arg(Kind::OpenHow) {
            // A later kernel's is longer; what this one does not know is 0.
            let size = usize::try_from(request.arg(Kind::Size)?.long()).unwrap_or(usize::MAX);
            if !(HOW..=PAGE).contains(&size) {
                return Ok(None);
            }
            let mut bytes = vec![0; size];
            target.read(how.pointer(), &mut bytes)?;
            let (known, unknown) = bytes.split_at(HOW);
            if unknown.iter().any(|byte| *byte != 0) {
                return Ok(None);
            }
            let field = |at: usize| {
                let bytes = known[8 * at..8 * at + 8].try_into();
                bytes.map_or(0, u64::from_ne_bytes)
            };
            let (flags, mode, resolve) = (field(0), field(1), field(2));
            let known = u64::from(OFlag::all().bits().unsigned_abs());
            let both = (i32::try_from(flags & known), u32::try_from(mode));
            let (Ok(few), Ok(mode)) = both else {
                return Ok(None);
            };
            if flags & !known != 0 || mode & !0o7777 != 0 {
                return Ok(None);
            }
            let Some(resolve) = ResolveFlag::from_bits(resolve) else {
                return Ok(None);
            };
            (few, mode, resolve)
        } else if let Ok(flags) = request.arg(Kind::OpenFlags) {
            (flags.int(), mode?, ResolveFlag::empty())
        } else {
            // creat(2)
            let flags = OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_TRUNC;
            (flags.bits(), mode?, ResolveFlag::empty())
        };
        let flags = OFlag::from_bits_retain(flags);
        let is_temporary = flags.contains(OFlag::O_TMPFILE);
        let makes = is_temporary != flags.contains(OFlag::O_CREAT);
        // Of O_CREAT with O_DIRECTORY each kernel thinks another way.
        let is_clear = is_temporary || !flags.intersects(TMPFILE | OFlag::O_DIRECTORY);
        let how = Wish {
            flags,
            mode: mode & 0o7777,
            resolve,
        };
        Ok((makes && is_clear && !flags.contains(OFlag::O_PATH)).then_some(how))
    }
}

fn open(session: &mut Session, request: &Request) -> Result<Option<(i32, How)>, Failed> {
    let target = session.sight.target(request);
    let Some(maker) = Maker::of(session, target)? else {
        return Ok(None);
    };
    let Some(how) = Wish::of(target)? else {
        return Ok(None);
    };
    let Some(Named::At { dir, path, .. }) = request.named() else {
        return Ok(None);
    };
    let path = target.path(path)?;
    if !target.is_helper && !target.hazards.may_give() {
        return Err(Failed::Helper);
    }
    if how.flags.contains(TMPFILE) {
        let follow = !how.flags.contains(OFlag::O_NOFOLLOW);
        let parent = target.find_within(&File::At(dir, path), follow, how.resolve)?;
        let Some(owner) = maker.owner_in(session, &parent)? else {
            return Ok(None);
        };
        let mode = maker.permissions(target, how.mode, &parent, owner.1)?;
        let file = parent.open_new(c".", how.flags, mode)?;
        maker.remember(&parent, &parent.beside(&file)?, owner, None)?;
        return give(target, &file, &how).map(|fd| Some((fd, How::Remembered)));
    }
    let may_be_created = session.in_flight.may_be_created();
    let orphan = session.in_flight.orphan(request.tid.unsigned_abs());
    let mut path = path;
    for _ in 0..TRIES {
        let file = File::At(dir, path.clone());
        let (parent, name) = target.find_parent_within(&file, how.resolve)?;
        // What is asked for is a directory, which open(2) does not make.
        if name.to_bytes().ends_with(b"/") {
            return Ok(None);
        }
        let Some(owner) = maker.owner_in(session, &parent)? else {
            return Ok(None);
        };
        match parent.child(&name) {
            Err(Errno::ENOENT) => {
                let mode = maker.permissions(target, how.mode, &parent, owner.1)?;
                let flags = how.flags | OFlag::O_EXCL;
                session.in_flight.create();
                let made = open_new(target, (&parent, &name), flags, mode, |file| {
                    maker.remember(&parent, file, owner, None)
                });
                let file = match made {
                    Err(Errno::EEXIST) if !how.flags.contains(OFlag::O_EXCL) => {
                        session.in_flight.does_not_create();
                        continue;
                    }
                    file => file?,
                };
                let made = parent.beside(&file)?;
                let found = made.found()?;
                session.in_flight.has_created(created(request.tid, &found));
                let fd = maker
                    .remember(&parent, &made, owner, None)
                    .map_err(Failed::from)
                    .and_then(|()| give(target, &file, &how));
                // The kernel looks for room first.
                if let Err(Failed::Error(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM)) = fd {
                    parent.remove(&name, found.place);
                }
                return Ok(Some((fd?, How::Remembered)));
            }
            Err(errno) => return Err(errno.into()),
            Ok(there) => {
                let found = there.found()?;
                // By a server that died over this call, or when a signal interrupted it.
                let is_file = found.mode & libc::S_IFMT == libc::S_IFREG;
                let is_made =
                    is_file && (may_be_created || orphan == Some(created(request.tid, &found)));
                if is_made {
                    maker.remember(&parent, &there, owner, None)?;
                } else if how.flags.contains(OFlag::O_EXCL) {
                    return Err(Errno::EEXIST.into());
                }
                match found.mode & libc::S_IFMT {
                    libc::S_IFREG if is_made || !there.is_protected_in(&parent)? => {
                        return Ok(Some((open_that(target, &there, &how)?, How::Real)));
                    }
                    // A helper cannot look at the caller once more.
                    libc::S_IFLNK
                        if !how.flags.contains(OFlag::O_NOFOLLOW)
                            && how.resolve.is_empty()
                            && !target.is_helper =>
                    {
                        let Some(next) = next(&path, &there, &parent)? else {
                            return Ok(None);
                        };
                        path = next;
                    }
                    _ => return Ok(None),
                }
            }
        }
    }
    Ok(None)
}

/// Makes a regular file and opens it. Where others are served meanwhile, by the process whose
/// helper this is, it gets its name only once it has been remembered whose it is; if the file
/// system can.
fn open_new(
    target: Target,
    (parent, name): (&Object, &CStr),
    flags: OFlag,
    mode: Mode,
    remember: impl FnOnce(&Object) -> Result<(), Errno>,
) -> Result<OwnedFd, Errno> {
    if target.is_helper {
        let without_name = OFlag::O_TMPFILE | OFlag::O_RDWR;
        if let Ok(file) = parent.open_new(c".", without_name, mode) {
            let file = parent.beside(&file)?;
            remember(&file)?;
            match parent.link_new(&file, name) {
                // What is wrong is said by the call that was made.
                Err(errno) if errno != Errno::EEXIST => {}
                linked => {
                    let as_made = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_TRUNC;
                    return linked.and_then(|()| file.open(flags.difference(as_made)));
                }
            }
        }
    }
    parent.open_new(name, flags, mode)
}

/// Opens `file`, which is there. It loses its contents only once the caller has a descriptor: it
/// may have room for none.
fn open_that(target: Target, file: &Object, how: &Wish) -> Result<i32, Failed> {
    let flags = how.flags.difference(OFlag::O_CREAT | OFlag::O_EXCL);
    let is_written = flags.intersects(OFlag::O_WRONLY | OFlag::O_RDWR);
    if !flags.contains(OFlag::O_TRUNC) || !is_written {
        return give(target, &file.open(flags)?, how);
    }
    let fd = give(target, &file.open(flags.difference(OFlag::O_TRUNC))?, how)?;
    let _ = target.hazards.may_ask(file.found()?.place.dev);
    file.open(flags)?;
    Ok(fd)
}

/// The path to which `link` leads, which is at the end of `path` and in `parent`.
fn next(path: &CString, link: &Object, parent: &Object) -> Result<Option<CString>, Errno> {
    let Some(text) = link.link_text(parent)? else {
        return Ok(None);
    };
    let bytes = path.to_bytes();
    let directory = match bytes.iter().rposition(|byte| *byte == b'/') {
        Some(slash) if !text.starts_with(b"/") => &bytes[..=slash],
        _ => b"",
    };
    Ok(CString::new([directory, &text].concat()).ok())
}

fn give(target: Target, file: &OwnedFd, how: &Wish) -> Result<i32, Failed> {
    let is_cloexec = how.flags.contains(OFlag::O_CLOEXEC);
    let id = target.request.id;
    target.hazards.gives();
    Ok(target.listener.give(id, file.as_fd(), is_cloexec)?)
}
