//! The two attributes in which a file says whose it is to be, as others write and read them.
//!
//! - `user.containers.override_stat`: `UID:GID:MODE[:TYPE]`, the mode octal (containers/storage,
//!   pkg/idtools, `parseOverrideXattr`; fuse-overlayfs, `override_mode`). The type is one of
//!   `file`, `dir`, `symlink`, `pipe`, `socket`, `block-MAJOR-MINOR` and `char-MAJOR-MINOR`, and
//!   whatever may follow these words. fuse-overlayfs writes the bits of the type into the mode as
//!   well.
//! - `user.rootlesscontainers`: a protobuf message of two numbers, user (1) and group (2)
//!   (rootless-containers/proto). 2^32 - 1 says "as the file system has it". umoci writes that in
//!   the place of 0, which is what a number means that is left out.

use crate::supervisor::memory::owners::Device;

/// The name of the attribute that has owner, mode and type.
pub const OVERRIDE_STAT: &std::ffi::CStr = c"user.containers.override_stat";
/// The name of the attribute that has the owner alone.
pub const ROOTLESS: &std::ffi::CStr = c"user.rootlesscontainers";

/// The id that nobody has.
const NOBODY: u32 = u32::MAX;

/// What an attribute says of its file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Told {
    /// User and group.
    pub owner: (u32, u32),
    /// The mode's lower 12 bits.
    pub mode: u32,
    /// The type, if that is said.
    pub kind: Option<Kind>,
}

/// What a file is said to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `S_IFREG`, `S_IFDIR`, `S_IFLNK`, `S_IFIFO` or `S_IFSOCK`.
    Plain(u32),
    /// A device.
    Device(Device),
}

/// The types by their names, but for devices.
const KINDS: [(&str, u32); 5] = [
    ("file", libc::S_IFREG),
    ("dir", libc::S_IFDIR),
    ("symlink", libc::S_IFLNK),
    ("pipe", libc::S_IFIFO),
    ("socket", libc::S_IFSOCK),
];
const DEVICES: [(&str, u32); 2] = [("char", libc::S_IFCHR), ("block", libc::S_IFBLK)];

impl Kind {
    /// Its bits in a mode.
    #[must_use]
    pub fn bits(self) -> u32 {
        match self {
            Kind::Plain(bits) | Kind::Device(Device { kind: bits, .. }) => bits,
        }
    }

    fn parse(text: &str) -> Option<Kind> {
        let plain = KINDS.iter().find(|(name, _)| text.starts_with(name));
        if let Some((_, bits)) = plain {
            return Some(Kind::Plain(*bits));
        }
        // What may follow the numbers is for later versions.
        let mut parts = text.split('-');
        let name = parts.next()?;
        let (_, kind) = *DEVICES.iter().find(|(known, _)| *known == name)?;
        let number = (decimal(parts.next()?)?, decimal(parts.next()?)?);
        Some(Kind::Device(Device { kind, number }))
    }

    fn text(self) -> String {
        let name = |names: &[(&'static str, u32)]| {
            let known = names.iter().find(|(_, bits)| *bits == self.bits());
            known.map_or("file", |(name, _)| name)
        };
        match self {
            Kind::Plain(_) => name(&KINDS).into(),
            Kind::Device(Device {
                number: (major, minor),
                ..
            }) => format!("{}-{major}-{minor}", name(&DEVICES)),
        }
    }
}

impl Told {
    /// Reads the value of [`OVERRIDE_STAT`]; `None` for what is none.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Told> {
        let mut parts = std::str::from_utf8(value).ok()?.split(':');
        let owner = (id(parts.next()?)?, id(parts.next()?)?);
        let mode = parts.next()?;
        let is_octal = mode.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        let mode = is_octal.then(|| u32::from_str_radix(mode, 8).ok())??;
        let kind = match parts.next() {
            Some(kind) => Some(Kind::parse(kind)?),
            None => None,
        };
        Some(Told {
            owner,
            mode: mode & 0o7777,
            kind,
        })
    }

    /// The value that says so, as containers/storage writes it.
    #[must_use]
    pub fn text(self) -> String {
        let ((uid, gid), mode) = (self.owner, self.mode);
        let kind = self
            .kind
            .map_or_else(String::new, |kind| format!(":{}", kind.text()));
        format!("{uid}:{gid}:{mode:04o}{kind}")
    }
}

fn decimal(text: &str) -> Option<u32> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

fn id(text: &str) -> Option<u32> {
    decimal(text).filter(|id| *id != NOBODY)
}

/// Reads the value of [`ROOTLESS`]; `None` for what is none. Who has no owner here is root's.
#[must_use]
pub fn parse_rootless(mut value: &[u8]) -> Option<(u32, u32)> {
    let mut owner = [0; 2];
    while !value.is_empty() {
        let tag = varint(&mut value)?;
        let (field, wire) = (tag >> 3, tag & 7);
        match wire {
            // A number; of a longer one the lower half counts, and of several the last.
            0 => {
                let number = varint(&mut value)?;
                if let 1 | 2 = field {
                    owner[usize::from(field == 2)] = u32::try_from(number & 0xffff_ffff).ok()?;
                }
            }
            // What others may have added.
            1 => skip(&mut value, 8)?,
            2 => {
                let len = varint(&mut value)?;
                skip(&mut value, len)?;
            }
            5 => skip(&mut value, 4)?,
            _ => return None,
        }
        if field == 0 {
            return None;
        }
    }
    let [uid, gid] = owner.map(|id| if id == NOBODY { 0 } else { id });
    Some((uid, gid))
}

/// The value that says that a file is `owner`'s, as umoci writes it; `None` for root, of whom umoci
/// says nothing.
#[must_use]
pub fn rootless(owner: (u32, u32)) -> Option<Vec<u8>> {
    if owner == (0, 0) {
        return None;
    }
    let mut value = Vec::new();
    for (tag, id) in [(1 << 3, owner.0), (2 << 3, owner.1)] {
        value.push(tag);
        let mut left = if id == 0 { NOBODY } else { id };
        while left >= 0x80 {
            value.push(0x80 | left.to_le_bytes()[0]);
            left >>= 7;
        }
        value.push(left.to_le_bytes()[0]);
    }
    Some(value)
}

fn varint(value: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for at in 0..10 {
        let (byte, rest) = value.split_first()?;
        *value = rest;
        // Of the tenth byte one bit is left.
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn skip(value: &mut &[u8], len: u64) -> Option<()> {
    *value = value.get(usize::try_from(len).ok()?..)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn told(owner: (u32, u32), mode: u32, kind: Option<Kind>) -> Told {
        Told { owner, mode, kind }
    }

    fn device(kind: u32, number: (u32, u32)) -> Kind {
        Kind::Device(Device { kind, number })
    }

    #[test]
    fn what_others_write_is_read() {
        let (file, dir) = (Kind::Plain(libc::S_IFREG), Kind::Plain(libc::S_IFDIR));
        for (value, expected) in [
            // containers/storage
            ("0:0:0755:dir", told((0, 0), 0o755, Some(dir))),
            ("101:104:4755:file", told((101, 104), 0o4755, Some(file))),
            (
                "0:6:0660:block-8-1",
                told((0, 6), 0o660, Some(device(libc::S_IFBLK, (8, 1)))),
            ),
            (
                "0:0:0666:char-1-3",
                told((0, 0), 0o666, Some(device(libc::S_IFCHR, (1, 3)))),
            ),
            (
                "0:0:0666:char-1-3-more",
                told((0, 0), 0o666, Some(device(libc::S_IFCHR, (1, 3)))),
            ),
            (
                "0:0:0777:symlink",
                told((0, 0), 0o777, Some(Kind::Plain(libc::S_IFLNK))),
            ),
            // fuse-overlayfs
            ("5:7:100640", told((5, 7), 0o640, None)),
            ("5:7:40755:dir", told((5, 7), 0o755, Some(dir))),
        ] {
            assert_eq!(Told::parse(value.as_bytes()), Some(expected), "{value}");
        }
        for value in [
            "",
            "::",
            "1:2",
            "1:2:",
            "1:2:8",
            "1:2:+7",
            "-1:2:644",
            "+1:2:644",
            "1::644",
            "a:b:c",
            "1:2:644:",
            "1:2:644:fil",
            "1:2:644:char",
            "1:2:644:char-1",
            "1:2:644:char-1-",
            "1:2:644:charm-1-3",
            "4294967295:0:644",
            "0:4294967296:644",
            "1:2:777777777777:file",
            "1:2:644\n",
            "1:2:\u{661}",
        ] {
            assert_eq!(Told::parse(value.as_bytes()), None, "{value}");
        }
        assert_eq!(Told::parse(b"1:2:644:\xff"), None);
    }

    #[test]
    fn what_umoci_writes_is_read_and_written() {
        for (owner, value) in [
            ((0, 5), &b"\x08\xff\xff\xff\xff\x0f\x10\x05"[..]),
            ((300, 0), b"\x08\xac\x02\x10\xff\xff\xff\xff\x0f"),
            ((8001, 1337), b"\x08\xc1\x3e\x10\xb9\x0a"),
        ] {
            assert_eq!(rootless(owner).as_deref(), Some(value));
            assert_eq!(parse_rootless(value), Some(owner));
        }
        assert_eq!(rootless((0, 0)), None);
        // Left out, given twice, longer than need be, and with fields that others have added.
        assert_eq!(parse_rootless(b""), Some((0, 0)));
        assert_eq!(parse_rootless(b"\x10\x05"), Some((0, 5)));
        assert_eq!(parse_rootless(b"\x08\x05\x08\x06"), Some((6, 0)));
        assert_eq!(
            parse_rootless(b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
            Some((0, 0))
        );
        assert_eq!(
            parse_rootless(b"\x1a\x02ab\x08\x05\x25abcd\x21abcdefgh"),
            Some((5, 0))
        );
        for value in [
            &b"\x08"[..],
            b"\x08\xff",
            b"\x0a\x05",
            b"\x09\x05",
            b"\x00\x05",
            b"\x0b",
            b"hello",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        ] {
            assert_eq!(parse_rootless(value), None, "{value:x?}");
        }
    }

    fn kind() -> impl Strategy<Value = Kind> {
        let plain = (0..KINDS.len()).prop_map(|at| Kind::Plain(KINDS[at].1));
        let device = (0..DEVICES.len(), any::<(u32, u32)>()).prop_map(|(at, number)| {
            let kind = DEVICES[at].1;
            Kind::Device(Device { kind, number })
        });
        prop_oneof![plain, device]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            owner in (0..u32::MAX, 0..u32::MAX),
            mode in 0..0o10000_u32,
            kind in proptest::option::of(kind()),
        ) {
            let told = Told { owner, mode, kind };
            prop_assert_eq!(Told::parse(told.text().as_bytes()), Some(told));
            let value = rootless(owner).unwrap_or_default();
            prop_assert_eq!(parse_rootless(&value), Some(owner));
        }

        #[test]
        fn nothing_makes_it_fail(value in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Told::parse(&value);
            if let Some(owner) = parse_rootless(&value) {
                prop_assert!(owner.0 != NOBODY && owner.1 != NOBODY);
            }
        }
    }
}
