//! Access control lists as extended attributes (include/uapi/linux/posix_acl_xattr.h): version 2,
//! then tag, permissions and id of each entry, little-endian.

use std::ffi::CStr;

use crate::supervisor::memory::id_maps::IdMaps;

/// Who may do what with a file.
pub const ACCESS: &CStr = c"system.posix_acl_access";
/// The same for what will be made in a directory.
pub const DEFAULT: &CStr = c"system.posix_acl_default";

const USER_OBJ: u16 = 1;
const USER: u16 = 2;
const GROUP_OBJ: u16 = 4;
const GROUP: u16 = 8;
const MASK: u16 = 16;
const OTHER: u16 = 32;

const HEADER: usize = 4;
const ENTRY: usize = 8;

/// Whether an attribute of that name is one.
pub fn is_one(name: &CStr) -> bool {
    name == ACCESS || name == DEFAULT
}

fn tag(entry: &[u8]) -> u16 {
    u16::from_le_bytes([entry[0], entry[1]])
}

/// An ACL in which one entry stands for all those whom the kernel does not know here: who changes
/// the ACL later works its mask out from all entries. It names the user's own id, so that it
/// permits nobody anything: every file is the user's, and an owner has an entry of its own
/// (fs/posix_acl.c, `posix_acl_permission`).
///
/// `None` if there is nobody to stand for, or the ACL is wrong apart from them.
pub fn for_the_mapped(acl: &[u8], maps: &IdMaps) -> Option<Vec<u8>> {
    let is_known = |entry: &&[u8]| {
        let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        match tag(entry) {
            USER => maps.has_uid(id),
            GROUP => maps.has_gid(id),
            _ => true,
        }
    };
    let entries = acl.get(HEADER..)?.chunks_exact(ENTRY);
    // What the kernel would not miss in the rest (fs/posix_acl.c, posix_acl_valid): named entries
    // need a mask.
    let is_valid = entries.remainder().is_empty()
        && entries.clone().all(|entry| entry[2] <= 7 && entry[3] == 0)
        && entries.clone().is_sorted_by_key(tag)
        && entries.clone().any(|entry| tag(entry) == MASK);
    let own = |entry: &&[u8]| tag(entry) == USER && entry[4..] == maps.own.0.to_le_bytes();
    let stood_for: Vec<_> = entries.clone().filter(|entry| !is_known(entry)).collect();
    let mut all = stood_for.iter().copied().chain(entries.clone().filter(own));
    let permissions = all.try_fold(0, |all, entry| Some(all | entry.get(2)?))?;
    let [low, high] = USER.to_le_bytes();
    let stand_in = [&[low, high, permissions, 0], &maps.own.0.to_le_bytes()[..]].concat();
    let rest = entries.filter(|entry| is_known(entry) && !own(entry));
    let mut rest: Vec<&[u8]> = rest.collect();
    // Behind the owner's, where those of users are.
    let at = rest.iter().filter(|entry| tag(entry) <= USER_OBJ).count();
    rest.insert(at, &stand_in);
    (is_valid && !stood_for.is_empty()).then(|| [&acl[..HEADER], &rest.concat()].concat())
}

/// `acl` as it is read back: nobody is named by an entry that is not of a user or a group
/// (fs/posix_acl.c, `posix_acl_to_xattr`).
pub fn as_kept(acl: &[u8]) -> Vec<u8> {
    let mut acl = acl.to_vec();
    let entries = acl.get_mut(HEADER..).unwrap_or_default();
    for entry in entries.chunks_exact_mut(ENTRY) {
        if !matches!(tag(entry), USER | GROUP) {
            entry[4..].fill(0xff);
        }
    }
    acl
}

/// `acl` with each user and each group numbered anew.
pub fn renumbered(acl: &[u8], number: impl Fn((u32, u32)) -> (u32, u32)) -> Vec<u8> {
    let mut acl = acl.to_vec();
    let entries = acl.get_mut(HEADER..).unwrap_or_default();
    for entry in entries.chunks_exact_mut(ENTRY) {
        let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        let (uid, gid) = number((id, id));
        match tag(entry) {
            USER => entry[4..].copy_from_slice(&uid.to_le_bytes()),
            GROUP => entry[4..].copy_from_slice(&gid.to_le_bytes()),
            _ => {}
        }
    }
    acl
}

/// The access ACL `acl` of a file that has `mode` by now (fs/posix_acl.c,
/// `__posix_acl_chmod_masq`): the mode shows its owner, its mask and the others, and a chmod
/// changes all three.
pub fn with_mode(acl: &[u8], mode: u32) -> Vec<u8> {
    let mut acl = acl.to_vec();
    let bits = |shift: u32| u8::try_from(mode >> shift & 7).unwrap_or_default();
    let entries = acl.get_mut(HEADER..).unwrap_or_default();
    let has_mask = entries.chunks_exact(ENTRY).any(|entry| tag(entry) == MASK);
    for entry in entries.chunks_exact_mut(ENTRY) {
        match tag(entry) {
            USER_OBJ => entry[2] = bits(6),
            MASK => entry[2] = bits(3),
            GROUP_OBJ if !has_mask => entry[2] = bits(3),
            OTHER => entry[2] = bits(0),
            _ => {}
        }
    }
    acl
}
