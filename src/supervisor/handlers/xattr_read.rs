//! getxattr(2), listxattr(2) and their kin: the kernel's answer, unless an attribute of the file is
//! remembered.

use std::ffi::CString;

use caps::Capability;
use nix::errno::Errno;

use super::acl;
use super::rights::Rights;
use super::view::View;
use super::xattr::{NAME_MAX, SIZE_MAX, file_at, is_trusted, read_args};
use crate::arch::signature::Kind;
use crate::supervisor::memory::attributes::{Attributes, Known};
use crate::supervisor::memory::remembered::Remembered;
use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Answer, Failed, Outcome};
use crate::supervisor::target::object::Object;
use crate::supervisor::target::proc::Target;
use crate::supervisor::target::request::Request;
use crate::sys::file::Look;

/// Answers a call of class `xattr` that asks.
pub fn answer(session: &mut Session, request: &Request) -> Outcome {
    let target = session.sight.target(request);
    match read(session, target) {
        Ok(answer) => Outcome::real(answer),
        // Its error may be the supervisor's own; the kernel finds the caller's.
        Err(failed) => failed.or_the_kernels(),
    }
}

fn read(session: &Session, target: Target) -> Result<Answer, Failed> {
    let Some(owners) = session.owners.filter(Remembered::has_attributes) else {
        return Ok(Answer::Continue);
    };
    let name = match target.request.arg(Kind::Name) {
        Ok(name) => match target.string(name.pointer(), NAME_MAX)? {
            Some(name) if !name.is_empty() => Some(name),
            _ => return Ok(Answer::Continue),
        },
        Err(_) => None,
    };
    // The kernel keeps those.
    let is_user = |name: &CString| name.to_bytes().starts_with(b"user.");
    if name.as_ref().is_some_and(is_user) {
        return Ok(Answer::Continue);
    }
    let (file, follow) = file_at(target, name.is_some())?;
    let Some(glance) = target.glance(&file, follow, 0)? else {
        return Ok(Answer::Continue);
    };
    let found = Look::from(&glance.status);
    if owners
        .attributes_of(&found, || glance.handle(target))
        .is_empty()
    {
        return Ok(Answer::Continue);
    }
    // Now with the caller's rights, and held.
    let object = target.find(&file, follow)?;
    let all = owners.attributes(&object)?;
    let view = View::elsewhere(session, target)?;
    // Of others nobody but root hears, and in no namespace below (fs/xattr.c, `xattr_permission`).
    let sees_trusted =
        view.is_none() && Rights::of(session, target, &object).have(Capability::CAP_SYS_ADMIN);
    let is_seen = |name: &[u8]| sees_trusted || !is_trusted(name);
    let told = match name {
        Some(name) => match all
            .get(name.to_bytes())
            .filter(|_| is_seen(name.to_bytes()))
        {
            None => return Ok(Answer::Continue),
            Some(Known::Removed) => return Ok(Answer::Error(Errno::ENODATA)),
            Some(Known::Value(value)) => {
                let found = object.found()?;
                // Whose ACL the kernel has as well, its mode follows.
                let has_kernels = view.is_some() || session.maps.has_uid(found.uid);
                let value = if name.as_c_str() == acl::ACCESS && has_kernels {
                    acl::with_mode(value, found.mode)
                } else {
                    value.clone()
                };
                match view {
                    Some(view) if acl::is_one(&name) => {
                        acl::renumbered(&value, |ids| view.shows(ids))
                    }
                    _ => value,
                }
            }
        },
        None => names(&object, &all, is_seen)?,
    };
    tell(target, &told)
}

/// The names of all attributes of `object`, each with its end: the kernel's, and those in `all`.
fn names(
    object: &Object,
    all: &Attributes,
    is_seen: impl Fn(&[u8]) -> bool,
) -> Result<Vec<u8>, Errno> {
    let kernels = object.xattr_names()?;
    let kernels = kernels.split(|byte| *byte == 0);
    let kernels = kernels.filter(|name| !name.is_empty() && all.get(name).is_none());
    let own = all.iter().filter_map(|(name, known)| match known {
        Known::Value(_) => Some(name),
        Known::Removed => None,
    });
    let names = kernels.chain(own).filter(|name| is_seen(name));
    Ok(names
        .flat_map(|name| [name, b"\0"])
        .flatten()
        .copied()
        .collect())
}

/// Tells the caller `bytes`, or how many there are.
fn tell(target: Target, bytes: &[u8]) -> Result<Answer, Failed> {
    let request = target.request;
    let (address, size) = match request.arg(Kind::XattrArgs) {
        Ok(args) => {
            let (value, size, flags) =
                read_args(target, args.pointer(), request.arg(Kind::Size)?.long())?;
            if flags != 0 {
                return Ok(Answer::Continue);
            }
            (value, size)
        }
        Err(_) => (
            request.arg(Kind::Value)?.pointer(),
            request.arg(Kind::Size)?.long(),
        ),
    };
    let len = i64::try_from(bytes.len()).map_err(|_| Errno::E2BIG)?;
    if size == 0 {
        return Ok(Answer::Value(len));
    }
    if size.min(SIZE_MAX) < len.unsigned_abs() {
        // More is not told at once (fs/xattr.c, `listxattr`).
        let is_too_long = size >= SIZE_MAX;
        let errno = if is_too_long {
            Errno::E2BIG
        } else {
            Errno::ERANGE
        };
        return Ok(Answer::Error(errno));
    }
    match target.write(address, bytes) {
        Err(Failed::Error(Errno::EFAULT)) => Ok(Answer::Error(Errno::EFAULT)),
        done => done.map(|()| Answer::Value(len)),
    }
}
