//! The text of a state file. What fakeroot(1) writes comes first, a line for each inode:
//!
//! ```text
//! dev=fd01,ino=1234,mode=100644,uid=5,gid=7,nlink=1,rdev=0
//! ```
//!
//! `dev` is hexadecimal, `mode`, with the type, octal, all else decimal; `dev` and `rdev` are
//! numbers as stat(2) tells them. fakeroot reads such lines until one is different. What only zroot
//! knows stands behind them:
//!
//! ```text
//! zroot-seen dev=fd01,ino=1234,born=17d5a0,shown=0
//! zroot-xattr dev=fd01,ino=1234,name=trusted.a,value=00ff
//! zroot-gone dev=fd01,ino=1234,name=security.capability
//! zroot-end lines=3
//! ```
//!
//! - `born` tells the inode from a later one with its number. With `shown=1` the mode's permissions
//!   are shown in place of the kernel's, as all those are that fakeroot saved.
//! - `name` has `%` and two digits for each byte that is not plain, `value` is hexadecimal.
//!   An attribute that is gone is there for the kernel alone.
//! - `lines` counts the lines before.
//!
//! In zroot's own lines for fakeroot `dev` begins with a 0, which fakeroot takes, and never writes:
//! a file that begins so has an end, and lacks it if it was cut.

use std::fmt::Write as _;
use std::io::{self, BufRead, Read, Write};

use nix::errno::Errno;
use nix::sys::stat::{major, makedev, minor};

use crate::supervisor::memory::attributes::Known;
use crate::supervisor::memory::owners::{Device, Inode, Record, Remembrance};
use crate::supervisor::memory::remembered::Remembered;

/// The longest line: an attribute's value has 64 KiB at most, its name 255 bytes.
const LONGEST: u64 = 1 << 18;

/// What is wrong with a text.
#[derive(Debug)]
pub enum Wrong {
    /// It cannot be read.
    Unreadable(io::Error),
    /// The line with this number, counted from 1, is not what it should be.
    Line(u64, &'static str),
    /// What it says cannot be kept.
    Kept(Errno),
}

/// Writes what is remembered in `all`. What is root's and nothing else is left out, as that is what
/// files are of which nothing is known, unless `with_roots`.
///
/// # Errors
/// The writer's.
pub fn write(all: &Remembered, with_roots: bool, out: &mut impl Write) -> io::Result<()> {
    let mut files = Vec::new();
    all.each(|file| {
        let Record {
            owner,
            device,
            permissions,
        } = file.record;
        let is_plain = owner == (0, 0) && device.is_none() && permissions.is_none();
        if with_roots || !is_plain || !file.attributes.is_empty() {
            files.push(file);
        }
    });
    files.sort_unstable_by_key(|file| file.inode);
    let mut lines = 0_u64;
    let mut line = |text: &str| {
        lines += 1;
        out.write_all(text.as_bytes())
    };
    for file in &files {
        line(&for_fakeroot(file))?;
    }
    for file in &files {
        let inode = shown(file.inode);
        if let Some(birth) = Remembered::birth_of(file.looks) {
            let is_shown = u8::from(file.record.permissions.is_some());
            line(&format!(
                "zroot-seen {inode},born={birth:x},shown={is_shown}\n"
            ))?;
        }
        for (name, known) in file.attributes.iter() {
            let name = escaped(name);
            line(&match known {
                Known::Value(value) => {
                    format!("zroot-xattr {inode},name={name},value={}\n", hex(value))
                }
                Known::Removed => format!("zroot-gone {inode},name={name}\n"),
            })?;
        }
    }
    let _ = line;
    writeln!(out, "zroot-end lines={lines}")
}

fn for_fakeroot(file: &Remembrance) -> String {
    let Record {
        owner: (uid, gid),
        device,
        permissions,
    } = file.record;
    let kind = device.map_or(file.looks.mode & libc::S_IFMT, |device| device.kind);
    let mode = kind | permissions.unwrap_or(file.looks.mode) & !libc::S_IFMT;
    let rdev = device.map_or(0, |device| number(device.number));
    format!(
        "dev=0{:x},ino={},mode={mode:o},uid={uid},gid={gid},nlink=1,rdev={rdev}\n",
        number(file.inode.dev),
        file.inode.ino,
    )
}

fn shown(inode: Inode) -> String {
    format!("dev={:x},ino={}", number(inode.dev), inode.ino)
}

fn number((major, minor): (u32, u32)) -> u64 {
    makedev(major.into(), minor.into())
}

fn escaped(name: &[u8]) -> String {
    name.iter().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_graphic() && !matches!(byte, b'%' | b',' | b'=') {
            text.push(char::from(*byte));
        } else {
            let _ = write!(text, "%{byte:02x}");
        }
        text
    })
}

fn hex(value: &[u8]) -> String {
    value.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads a text: from now on `all` remembers what it says, as far as it is right.
///
/// # Errors
/// [`Wrong`].
pub fn read(mut text: impl BufRead, all: &Remembered) -> Result<(), Wrong> {
    let mut reader = Reader {
        all,
        lines: 0,
        has_end: false,
        needs_end: false,
    };
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = text.by_ref().take(LONGEST).read_until(b'\n', &mut line);
        if read.map_err(Wrong::Unreadable)? == 0 {
            break;
        }
        let number = reader.lines + 1;
        let wrong = |what| Wrong::Line(number, what);
        let Some(line) = line.strip_suffix(b"\n") else {
            return Err(wrong(if line.len() as u64 == LONGEST {
                "too long for a line that fakeroot or zroot saves"
            } else {
                "cut off: it has no end"
            }));
        };
        match std::str::from_utf8(line)
            .ok()
            .and_then(|line| reader.line(line))
        {
            None => return Err(wrong("not a line that fakeroot or zroot saves")),
            Some(Err(Said::Wrong(what))) => return Err(wrong(what)),
            Some(Err(Said::Kept(errno))) => return Err(Wrong::Kept(errno)),
            Some(Ok(())) => reader.lines = number,
        }
    }
    if reader.needs_end && !reader.has_end {
        return Err(Wrong::Line(
            reader.lines + 1,
            "missing: the file has been cut",
        ));
    }
    Ok(())
}

/// Why a line that can be read is none.
enum Said {
    Wrong(&'static str),
    Kept(Errno),
}

impl From<Errno> for Said {
    fn from(errno: Errno) -> Said {
        Said::Kept(errno)
    }
}

struct Reader<'a> {
    all: &'a Remembered,
    lines: u64,
    has_end: bool,
    /// Whether zroot has written it.
    needs_end: bool,
}

impl Reader<'_> {
    /// Takes in one line; `None` if that is in neither format.
    fn line(&mut self, line: &str) -> Option<Result<(), Said>> {
        if self.has_end {
            return Some(Err(Said::Wrong("it follows the end")));
        }
        let Some((kind, rest)) = line.split_once(' ') else {
            return self.for_fakeroot(line);
        };
        self.needs_end = true;
        let mut fields = Fields(rest);
        if kind == "zroot-end" {
            let lines: u64 = fields.decimal("lines")?;
            fields.end()?;
            self.has_end = true;
            let is_all = lines == self.lines;
            return Some(is_all.then_some(()).ok_or(Said::Wrong(
                "it counts other lines than there are before it",
            )));
        }
        let inode = fields.inode()?;
        let done = match kind {
            "zroot-seen" => {
                let birth = u64::from_str_radix(fields.next("born")?, 16).ok()?;
                let is_shown = fields.decimal::<u8>("shown")? != 0;
                fields.end()?;
                self.all.load_birth(inode, birth, !is_shown)
            }
            "zroot-xattr" => {
                let name = unescaped(fields.next("name")?)?;
                let value = unhex(fields.next("value")?)?;
                fields.end()?;
                let known = Known::Value(value);
                self.all.load_attribute(inode, &name, &known)
            }
            "zroot-gone" => {
                let name = unescaped(fields.next("name")?)?;
                fields.end()?;
                self.all.load_attribute(inode, &name, &Known::Removed)
            }
            _ => return None,
        };
        Some(match done {
            Ok(true) => Ok(()),
            Ok(false) => Err(Said::Wrong("no line before it has this inode")),
            Err(Errno::ENOSPC) => Err(Said::Wrong("the inode has too many attributes")),
            Err(errno) => Err(errno.into()),
        })
    }

    /// The same for a line that fakeroot understands.
    fn for_fakeroot(&mut self, line: &str) -> Option<Result<(), Said>> {
        let mut fields = Fields(line);
        let is_ours = line.starts_with("dev=0") && !line.starts_with("dev=0,");
        let inode = fields.inode()?;
        let mode = u32::from_str_radix(fields.next("mode")?, 8).ok()?;
        let owner = (fields.decimal("uid")?, fields.decimal("gid")?);
        fields.decimal::<u64>("nlink")?;
        let rdev: u64 = fields.decimal("rdev")?;
        fields.end()?;
        let kind = mode & libc::S_IFMT;
        let is_known = matches!(
            kind,
            libc::S_IFREG
                | libc::S_IFDIR
                | libc::S_IFLNK
                | libc::S_IFIFO
                | libc::S_IFSOCK
                | libc::S_IFCHR
                | libc::S_IFBLK
        );
        if !is_known || mode > 0o177_777 {
            return Some(Err(Said::Wrong("the mode has no type of file")));
        }
        let device = matches!(kind, libc::S_IFCHR | libc::S_IFBLK).then(|| Device {
            kind,
            number: parts(rdev),
        });
        let record = Record {
            owner,
            device,
            permissions: Some(mode & !libc::S_IFMT),
        };
        // zroot makes a regular file that stands for a device.
        let mode = if device.is_some() {
            libc::S_IFREG | mode & !libc::S_IFMT
        } else {
            mode
        };
        self.needs_end |= is_ours;
        Some(self.all.load(inode, mode, record).map_err(Said::from))
    }
}

/// Major and minor number.
fn parts(number: u64) -> (u32, u32) {
    // Neither has more bits.
    let part = |part: u64| u32::try_from(part).unwrap_or(u32::MAX);
    (part(major(number)), part(minor(number)))
}

/// What is left of `NAME=VALUE,NAME=VALUE`.
struct Fields<'a>(&'a str);

impl<'a> Fields<'a> {
    /// The next value, which must have this name.
    fn next(&mut self, name: &str) -> Option<&'a str> {
        let (field, rest) = self.0.split_once(',').unwrap_or((self.0, ""));
        self.0 = rest;
        field.strip_prefix(name)?.strip_prefix('=')
    }

    fn decimal<T: std::str::FromStr>(&mut self, name: &str) -> Option<T> {
        let text = self.next(name)?;
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
        is_plain.then(|| text.parse().ok())?
    }

    fn inode(&mut self) -> Option<Inode> {
        let dev = u64::from_str_radix(self.next("dev")?, 16).ok()?;
        Some(Inode {
            dev: parts(dev),
            ino: self.decimal("ino")?,
        })
    }

    /// `None` if there is more.
    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut name = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        if *first == b'%' {
            name.extend(unhex(std::str::from_utf8(more.get(..2)?).ok()?)?);
            rest = &more[2..];
        } else {
            name.push(*first);
            rest = more;
        }
    }
    let is_name = !name.is_empty() && name.len() <= 255 && !name.contains(&0);
    is_name.then_some(name)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let is_hex = text.len() % 2 == 0 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    is_hex.then(|| text.as_bytes().chunks(2).map(byte).collect())?
}
