//! Extended attributes: real where the kernel permits (user.*, file capabilities, ACLs whose ids
//! are mapped), pretended where it refuses for lack of privilege. Of an ACL that names ids which
//! are not mapped the rest is set, and so its mask, which a file's mode shows. At a level that
//! remembers, what the kernel refused is read back ([`xattr_read`](super::xattr_read)).

use std::ffi::{CStr, CString};

use caps::Capability;
use nix::errno::Errno;
use nix::fcntl::AtFlags;

use super::acl;
use super::rights::Rights;
use super::view::View;
use crate::arch::signature::Kind;
use crate::supervisor::memory::attributes::Known;
use crate::supervisor::memory::credentials::FileCapabilities;
use crate::supervisor::memory::id_maps::IdMaps;
use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Failed, How, Outcome};
use crate::supervisor::target::files::{File, known_flags};
use crate::supervisor::target::object::Object;
use crate::supervisor::target::proc::Target;
use crate::supervisor::target::request::{Named, Request};

/// `XATTR_NAME_MAX` and its end, and `XATTR_SIZE_MAX`, include/uapi/linux/limits.h.
pub(super) const NAME_MAX: usize = 256;
pub(super) const SIZE_MAX: u64 = 65536;

/// The attribute that has a file's capabilities.
const CAPABILITIES: &CStr = c"security.capability";

/// What becomes of which attribute.
#[derive(Clone)]
struct Change {
    name: CString,
    /// The value and `XATTR_CREATE` or `XATTR_REPLACE`; `None` to remove.
    set: Option<(Vec<u8>, i32)>,
}

/// Where a value is in the caller's memory, its size, and the flags.
pub(super) type ValueAt = (u64, u64, i32);

/// Answers a call of class `xattr`.
pub fn answer(session: &mut Session, request: &Request) -> Outcome {
    Outcome::of(change(session, session.target(request)), Outcome::PRETENDED)
}

fn change(session: &Session, target: Target) -> Result<How, Failed> {
    let value = value_at(target)?;
    // The kernel looks at the flags before it looks at the attribute, and then at the file.
    if let Some(Named::At { flags, .. }) = target.request.named() {
        known_flags(flags)?;
    }
    let change = read_change(target, value)?;
    let (file, follow) = file_at(target, change.set.is_some())?;
    let object = target.find(&file, follow)?;
    // A device has no user attributes, whoever asks; the file in its place would.
    if change.name.to_bytes().starts_with(b"user.") && is_device(session, &object)? {
        return Err(Errno::EPERM.into());
    }
    let rights = Rights::of(session, target, &object);
    let view = View::elsewhere(session, target)?;
    if !may_change(&rights, &object, &change.name, view.as_ref()) {
        return Err(object.refusal().into());
    }
    let (how, object) = make(session, &rights, object, &change, view.as_ref())?;
    if change.set.is_some()
        && change.name.as_c_str() == acl::ACCESS
        && rights.set_gid_bit_falls(&object)
    {
        let mode = u32::from(object.statx(0, libc::STATX_MODE)?.stx_mode);
        object.chmod(mode & 0o5777)?;
    }
    Ok(how)
}

/// Whether `object` stands for a device.
fn is_device(session: &Session, object: &Object) -> Result<bool, Failed> {
    let Some(owners) = &session.owners else {
        return Ok(false);
    };
    Ok(owners
        .find(object)?
        .is_some_and(|record| record.device.is_some()))
}

/// The file that the call names. With `AT_EMPTY_PATH` a null path is as good as an empty one
/// (fs/namei.c, `getname_maybe_null`), a descriptor opened with `O_PATH` will not do, and
/// `AT_FDCWD` in its place only to set or get (fs/xattr.c, `path_setxattrat`, `path_getxattrat`,
/// `path_listxattrat`, `path_removexattrat`).
pub(super) fn file_at(target: Target, sets_or_gets: bool) -> Result<(File, bool), Failed> {
    let open = |dir| {
        if dir == libc::AT_FDCWD && sets_or_gets {
            File::Empty(dir)
        } else {
            File::Open(dir)
        }
    };
    match target.request.named() {
        Some(Named::At {
            dir,
            path: 0,
            flags,
        }) if flags.contains(AtFlags::AT_EMPTY_PATH) => Ok((open(dir), true)),
        _ => Ok(match target.named_file()? {
            (File::Empty(dir), follow) => (open(dir), follow),
            file => file,
        }),
    }
}

/// Where the value is that the call sets; `None` for a call that removes one.
fn value_at(target: Target) -> Result<Option<ValueAt>, Failed> {
    let request = target.request;
    if let Ok(args) = request.arg(Kind::XattrArgs) {
        return read_args(target, args.pointer(), request.arg(Kind::Size)?.long()).map(Some);
    }
    let Ok(value) = request.arg(Kind::Value) else {
        return Ok(None);
    };
    let (size, flags) = (
        request.arg(Kind::Size)?.long(),
        request.arg(Kind::XattrFlags)?.int(),
    );
    Ok(Some((value.pointer(), size, flags)))
}

/// `struct xattr_args`, include/uapi/linux/xattr.h.
pub(super) fn read_args(target: Target, address: u64, size: u64) -> Result<ValueAt, Failed> {
    let mut bytes = [0; 4096];
    match size {
        0..16 => return Err(Errno::EINVAL.into()),
        4097.. => return Err(Errno::E2BIG.into()),
        _ => {}
    }
    let bytes = &mut bytes[..usize::try_from(size).unwrap_or_default()];
    target.read(address, bytes)?;
    if bytes[16..].iter().any(|byte| *byte != 0) {
        return Err(Errno::E2BIG.into()); // a later kernel's
    }
    let word = |at: usize| bytes[at..at + 4].try_into().unwrap_or_default();
    let value = u64::from_ne_bytes(bytes[..8].try_into().unwrap_or_default());
    Ok((
        value,
        u32::from_ne_bytes(word(8)).into(),
        i32::from_ne_bytes(word(12)),
    ))
}

fn read_change(target: Target, value: Option<ValueAt>) -> Result<Change, Failed> {
    let known = libc::XATTR_CREATE | libc::XATTR_REPLACE;
    if value.is_some_and(|(_, _, flags)| flags & !known != 0) {
        return Err(Errno::EINVAL.into());
    }
    let name = target.string(target.request.arg(Kind::Name)?.pointer(), NAME_MAX)?;
    let name = name.filter(|name| !name.is_empty()).ok_or(Errno::ERANGE)?;
    let set = match value {
        None => None,
        Some((_, size, _)) if size > SIZE_MAX => return Err(Errno::E2BIG.into()),
        Some((address, size, flags)) => {
            let mut value = vec![0; usize::try_from(size).unwrap_or_default()];
            target.read(address, &mut value)?;
            Some((value, flags))
        }
    };
    Ok(Change { name, set })
}

/// Sets it or removes it: for real, or else in what is remembered, at a level that does. And the
/// object as it is now.
fn make<'a>(
    session: &Session,
    rights: &Rights,
    mut object: Object<'a>,
    change: &Change,
    view: Option<&View>,
) -> Result<(How, Object<'a>), Failed> {
    let try_for_real = |change| try_for_real(session, rights, &object, change, view);
    let Some(owners) = &session.owners else {
        let how = try_for_real(change)?;
        return Ok((how, object));
    };
    let name = change.name.to_bytes();
    // What is remembered stands in the kernel's place.
    let known = owners.attributes(&object)?.get(name).cloned();
    let mut attempt = change.clone();
    match (&known, &mut attempt.set) {
        (Some(Known::Removed), None) => return Err(Errno::ENODATA.into()),
        (Some(known), Some((_, flags))) => {
            change.is_refused(*flags, matches!(known, Known::Value(_)))?;
            *flags = 0;
        }
        _ => {}
    }
    let how = match try_for_real(&attempt) {
        // The kernel never had it.
        Err(Failed::Error(Errno::ENODATA)) if known.is_some() => How::Real,
        how => how?,
    };
    if how == How::Real && session.keeps_modes() && change.name.as_c_str() == acl::ACCESS {
        // Its mode says some of it.
        object = object.looked_at_anew();
        owners.has_mode(&object)?;
    }
    if how == How::Real && known.is_none() {
        return Ok((how, object));
    }
    let now = match (&change.set, how) {
        (_, How::Real) => None,
        (Some((value, flags)), _) => {
            // The kernel refuses before it looks whether there is one.
            if known.is_none() && *flags != 0 {
                change.is_refused(*flags, object.xattr(&change.name).is_ok())?;
            }
            Some(Known::Value(match (acl::is_one(&change.name), view) {
                (true, Some(view)) => acl::renumbered(&acl::as_kept(value), |ids| view.means(ids)),
                (true, None) => acl::as_kept(value),
                (false, _) => value.clone(),
            }))
        }
        (None, _) => match (object.xattr(&change.name), &known) {
            (Ok(_), _) => Some(Known::Removed),
            // There is none, which is no error of an ACL's.
            (Err(_), None) if is_system(&change.name) => return Ok((How::Real, object)),
            (Err(_), None) => return Err(Errno::ENODATA.into()),
            (Err(_), Some(_)) => None,
        },
    };
    // What is remembered is of the inode that a later change would make of it.
    object.copy_up();
    let object = object.looked_at_anew();
    let found = object.found()?;
    let otherwise = session.maps.shows(found.uid, found.gid);
    if now.is_some() && change.name.as_c_str() == acl::DEFAULT {
        owners.has_default_acl();
    }
    owners.change_attributes(&object, otherwise, |all| {
        all.set(name, now.clone());
        Ok(())
    })?;
    Ok((How::Remembered, object))
}

/// Has the kernel do it, as far as it lets us.
fn try_for_real(
    session: &Session,
    rights: &Rights,
    object: &Object,
    change: &Change,
    view: Option<&View>,
) -> Result<How, Failed> {
    let theirs = view.map(|view| view.maps(&session.maps));
    let maps = theirs.as_ref().unwrap_or(&session.maps);
    let done = match change.make(object) {
        Err(Errno::EINVAL) if change.has_others_root(maps) => Ok(How::Pretended),
        Err(Errno::EINVAL) => {
            let rest = change.for_the_mapped(maps).ok_or(Errno::EINVAL)?;
            rest.make(object).map(|()| How::Pretended)
        }
        done => done.map(|()| How::Real),
    };
    match done {
        // Who may is asked for before it is asked whether it has any.
        Err(errno) if is_refusal(errno, &change.name) && object.keeps_nothing() => {
            Err(Errno::EOPNOTSUPP.into())
        }
        // A name has something behind its prefix (fs/xattr.c, `xattr_resolve_name`).
        Err(Errno::EPERM) if is_prefix(&change.name) => Err(Errno::EINVAL.into()),
        // The others' capability it has, or it would not be here.
        Err(errno)
            if is_refusal(errno, &change.name)
                && (!is_system(&change.name) || rights.have(Capability::CAP_FOWNER))
                && (view.is_none() || !needs_admin(&change.name)) =>
        {
            Ok(How::Pretended)
        }
        done => Ok(done?),
    }
}

/// Whether the caller still may: fs/xattr.c, `xattr_permission`; security/commoncap.c,
/// `cap_inode_setxattr`, `cap_convert_nscap`; fs/posix_acl.c, `set_posix_acl`.
fn may_change(rights: &Rights, object: &Object, name: &CStr, view: Option<&View>) -> bool {
    if name == CAPABILITIES {
        rights.have(Capability::CAP_SETFCAP)
    } else if needs_admin(name) {
        // Of a namespace below root has no say in the one kind, and in the other where the file
        // system is its own, which the kernel knows.
        rights.have(Capability::CAP_SYS_ADMIN) && (view.is_none() || !is_trusted(name.to_bytes()))
    } else {
        // A link has no ACL, whoever asks (fs/posix_acl.c, `vfs_set_acl`).
        let is_link = |object: &Object| {
            object
                .found()
                .is_ok_and(|found| found.mode & libc::S_IFMT == libc::S_IFLNK)
        };
        !is_system(name) || is_link(object) || rights.may_own(object)
    }
}

/// Whether only who has `CAP_SYS_ADMIN` hears of it.
pub(super) fn is_trusted(name: &[u8]) -> bool {
    name.starts_with(b"trusted.")
}

/// Whether nobody but who has `CAP_SYS_ADMIN` sets it.
fn needs_admin(name: &CStr) -> bool {
    let name = name.to_bytes();
    is_trusted(name) || name.starts_with(b"security.") && name != CAPABILITIES.to_bytes()
}

/// Whether that is the beginning of names, and no name.
fn is_prefix(name: &CStr) -> bool {
    name == c"security." || name == c"trusted."
}

fn is_system(name: &CStr) -> bool {
    name.to_bytes().starts_with(b"system.")
}

/// Whether real root would not have seen this error.
fn is_refusal(errno: Errno, name: &CStr) -> bool {
    let is = |space: &[u8]| name.to_bytes().starts_with(space);
    match errno {
        // user.* attributes belong to regular files and directories, whoever asks (fs/xattr.c,
        // xattr_permission).
        Errno::EPERM => is(b"security.") || is(b"trusted.") || is(b"system."),
        Errno::EOPNOTSUPP => is(b"security.") || is(b"trusted."),
        _ => false,
    }
}

impl Change {
    /// Does it for real.
    fn make(&self, object: &Object) -> Result<(), Errno> {
        match &self.set {
            Some((value, flags)) => object.set_xattr(&self.name, value, *flags),
            None => object.remove_xattr(&self.name),
        }
    }

    /// Whether `flags` forbid it, where the attribute is there, or is not. An ACL has no flags
    /// (fs/xattr.c, `do_setxattr`).
    fn is_refused(&self, flags: i32, is_there: bool) -> Result<(), Errno> {
        let has = |flag| flags & flag != 0 && !acl::is_one(&self.name);
        match is_there {
            true if has(libc::XATTR_CREATE) => Err(Errno::EEXIST),
            false if has(libc::XATTR_REPLACE) => Err(Errno::ENODATA),
            _ => Ok(()),
        }
    }

    /// Whether it sets capabilities that count where an id is root that the kernel does not know
    /// here (security/commoncap.c, `cap_convert_nscap`).
    fn has_others_root(&self, maps: &IdMaps) -> bool {
        let is_theirs = |value: &[u8]| {
            let root = FileCapabilities::root(value);
            root.is_some_and(|id| id != u32::MAX && !maps.has_uid(id))
        };
        self.name.as_c_str() == CAPABILITIES
            && self.set.as_ref().is_some_and(|(value, _)| is_theirs(value))
    }

    /// The same for those whom the kernel knows here, if it is an ACL that names others.
    fn for_the_mapped(&self, maps: &IdMaps) -> Option<Change> {
        let (value, flags) = self.set.as_ref().filter(|_| acl::is_one(&self.name))?;
        Some(Change {
            name: self.name.clone(),
            set: Some((acl::for_the_mapped(value, maps)?, *flags)),
        })
    }
}
