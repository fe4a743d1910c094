//! Extended attributes: real where the kernel permits (user.*, file capabilities, ACLs whose ids
//! are mapped), pretended where it refuses for lack of privilege. Of an ACL that names ids which
//! are not mapped the rest is set, and so its mask, which a file's mode shows.

#![allow(unsafe_code)] // the setxattr(2) family: no crate has a safe call for it here

use std::ffi::{CStr, CString};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};

use crate::arch::Sysno;
use crate::supervisor::target::{File, Target};
use crate::supervisor::{IdMaps, known_flags, with_flags};

/// `XATTR_NAME_MAX` and its end, and `XATTR_SIZE_MAX`, include/uapi/linux/limits.h.
const NAME_MAX: usize = 256;
const SIZE_MAX: u64 = 65536;

/// What becomes of which attribute.
struct Change {
    name: CString,
    /// The value and XATTR_CREATE or XATTR_REPLACE; `None` to remove.
    set: Option<(Vec<u8>, i32)>,
}

/// Answers a call of class `xattr`.
///
/// # Errors
/// The kernel's, but for a refusal.
pub fn answer(target: &Target, maps: &IdMaps) -> Result<i64, Errno> {
    let call = target.call;
    let here = AT_FDCWD.as_raw_fd();
    let set = |name| {
        read_change(
            target,
            name,
            Some((call.pointer(2), call.long(3), call.int(4))),
        )
    };
    let remove = |name| read_change(target, name, None);
    let at = |change: &Change, flags| {
        make(
            target,
            File::At(here, &target.path(call.pointer(0))?),
            flags,
            change,
            maps,
        )
    };
    let not_through = AtFlags::AT_SYMLINK_NOFOLLOW;
    match call.sysno {
        Sysno::setxattr => at(&set(call.pointer(1))?, AtFlags::empty()),
        Sysno::lsetxattr => at(&set(call.pointer(1))?, not_through),
        Sysno::fsetxattr => make(
            target,
            File::Open(call.int(0)),
            AtFlags::empty(),
            &set(call.pointer(1))?,
            maps,
        ),
        Sysno::removexattr => at(&remove(call.pointer(1))?, AtFlags::empty()),
        Sysno::lremovexattr => at(&remove(call.pointer(1))?, not_through),
        Sysno::fremovexattr => make(
            target,
            File::Open(call.int(0)),
            AtFlags::empty(),
            &remove(call.pointer(1))?,
            maps,
        ),
        // setxattrat(dir, path, flags, name, &args, sizeof args), removexattrat(dir, path, flags,
        // name).
        _ => {
            let value = if call.sysno == Sysno::setxattrat {
                Some(read_args(target)?)
            } else {
                None
            };
            let (dir, path, flags) = (call.int(0), call.pointer(1), known_flags(call.int(2))?);
            let change = read_change(target, call.pointer(3), value)?;
            // fs/xattr.c, path_setxattrat and path_removexattrat: O_PATH will not do, and only to
            // set AT_FDCWD will.
            let open = if dir == here && change.set.is_some() {
                File::Named(dir)
            } else {
                File::Open(dir)
            };
            // A null path is as good as an empty one (fs/namei.c, getname_maybe_null).
            if path == 0 && flags.contains(AtFlags::AT_EMPTY_PATH) {
                return make(target, open, AtFlags::empty(), &change, maps);
            }
            with_flags(target, dir, path, flags.bits(), |file, flags| {
                make(
                    target,
                    if let File::Named(_) = file {
                        open
                    } else {
                        file
                    },
                    flags,
                    &change,
                    maps,
                )
            })
        }
    }
}

/// `struct xattr_args`, include/uapi/linux/xattr.h: where the value is, its size, and the flags.
fn read_args(target: &Target) -> Result<(u64, u64, i32), Errno> {
    let (address, size) = (target.call.pointer(4), target.call.long(5));
    let mut bytes = [0; 4096];
    match size {
        0..16 => return Err(Errno::EINVAL),
        4097.. => return Err(Errno::E2BIG),
        _ => {}
    }
    let bytes = &mut bytes[..usize::try_from(size).unwrap_or_default()];
    target.read(address, bytes)?;
    if bytes[16..].iter().any(|byte| *byte != 0) {
        return Err(Errno::E2BIG); // a later kernel's
    }
    let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap_or_default());
    let value = u64::from_ne_bytes(bytes[..8].try_into().unwrap_or_default());
    Ok((
        value,
        word(8).into(),
        i32::from_ne_bytes(word(12).to_ne_bytes()),
    ))
}

fn read_change(
    target: &Target,
    name: u64,
    value: Option<(u64, u64, i32)>,
) -> Result<Change, Errno> {
    if value.is_some_and(|(_, _, flags)| flags & !(libc::XATTR_CREATE | libc::XATTR_REPLACE) != 0) {
        return Err(Errno::EINVAL);
    }
    let name = target
        .string(name, NAME_MAX)?
        .filter(|name| !name.is_empty())
        .ok_or(Errno::ERANGE)?;
    let set = match value {
        None => None,
        Some((_, size, _)) if size > SIZE_MAX => return Err(Errno::E2BIG),
        Some((address, size, flags)) => {
            let mut value = vec![0; usize::try_from(size).unwrap_or_default()];
            target.read(address, &mut value)?;
            Some((value, flags))
        }
    };
    Ok(Change { name, set })
}

fn make(
    target: &Target,
    file: File,
    flags: AtFlags,
    change: &Change,
    maps: &IdMaps,
) -> Result<i64, Errno> {
    let through = !flags.contains(AtFlags::AT_SYMLINK_NOFOLLOW);
    let done = target.reach(file, |path| match real(path, through, change) {
        Err(Errno::EINVAL) => {
            let rest = change.without_unmapped(maps).ok_or(Errno::EINVAL)?;
            real(path, through, &rest).map(|()| target.is_pretended.set(true))
        }
        done => done,
    });
    match done {
        Err(errno) if is_refusal(errno, &change.name) => Ok(target.pretend()),
        done => done.map(|()| 0),
    }
}

fn real(path: &CStr, through: bool, change: &Change) -> Result<(), Errno> {
    let (path, name) = (path.as_ptr(), change.name.as_ptr());
    let result = if let Some((value, flags)) = &change.set {
        let set = if through {
            libc::setxattr
        } else {
            libc::lsetxattr
        };
        // SAFETY: two strings that end in a null byte, and as many bytes as are said.
        unsafe { set(path, name, value.as_ptr().cast(), value.len(), *flags) }
    } else {
        let remove = if through {
            libc::removexattr
        } else {
            libc::lremovexattr
        };
        // SAFETY: two strings that end in a null byte.
        unsafe { remove(path, name) }
    };
    Errno::result(result).map(drop)
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
    /// An ACL (include/uapi/linux/posix_acl_xattr.h: version 2, then tag, permissions and id of
    /// each entry, little-endian) without the entries for those whom the kernel does not know here.
    /// `None` if it has no such, or is wrong apart from them.
    fn without_unmapped(&self, maps: &IdMaps) -> Option<Change> {
        const USER: u16 = 2;
        const GROUP: u16 = 8;
        const MASK: u16 = 16;
        const HEADER: usize = 4;
        let (acl, flags) = self
            .set
            .as_ref()
            .filter(|_| self.name.to_bytes().starts_with(b"system.posix_acl_"))?;
        let tag = |entry: &&[u8]| u16::from_le_bytes([entry[0], entry[1]]);
        let is_known = |entry: &&[u8]| {
            let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
            match tag(entry) {
                USER => maps.has_uid(id),
                GROUP => maps.has_gid(id),
                _ => true,
            }
        };
        let entries = acl.get(HEADER..)?.chunks_exact(8);
        // What the kernel would not miss in the rest (fs/posix_acl.c, posix_acl_valid): named
        // entries need a mask.
        let is_valid = entries.remainder().is_empty()
            && entries.clone().all(|entry| entry[2] <= 7 && entry[3] == 0)
            && entries.clone().is_sorted_by_key(|entry| tag(&entry))
            && entries.clone().any(|entry| tag(&entry) == MASK);
        let rest = [
            &acl[..HEADER],
            &entries.filter(is_known).collect::<Vec<_>>().concat(),
        ]
        .concat();
        (is_valid && rest.len() < acl.len()).then(|| Change {
            name: self.name.clone(),
            set: Some((rest, *flags)),
        })
    }
}
