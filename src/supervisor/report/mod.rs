//! What was pretended: a line for each call as it happens (`--trace`), and what it all came to at
//! the end (`--summary`).

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::File as Output;
use std::io::Write as _;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use nix::fcntl::AT_FDCWD;

use crate::arch::Sysno;
use crate::filter::policy::{Class, Level};
use crate::supervisor::recovery::in_flight::Seen;
use crate::supervisor::target::call::{Answer, Call};
use crate::supervisor::target::{File, Target};

/// The version of both JSON forms, in each object's `schema`. It grows when a member changes its
/// meaning or goes.
pub const SCHEMA: u32 = 1;

/// How many different programs, owners, paths of one owner, and placeholders are kept by name. The
/// rest is only counted.
const MOST: usize = 1000;

/// Where a report goes.
#[derive(Debug)]
pub struct Sink {
    /// The file.
    pub output: Output,
    /// Whether for machines.
    pub is_json: bool,
}

/// Who wants to know.
#[derive(Debug, Default)]
pub struct Watchers {
    /// Where each call goes.
    pub trace: Option<Sink>,
    /// Where the summary goes.
    pub summary: Option<Sink>,
    /// Which classes had a call pretended.
    pub seen: Option<Seen>,
}

impl Watchers {
    /// The descriptors that must stay open.
    pub fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        [&self.trace, &self.summary]
            .into_iter()
            .flatten()
            .map(|sink| sink.output.as_raw_fd())
    }

    /// Whether there is one.
    #[must_use]
    pub fn are_there(&self) -> bool {
        self.trace.is_some() || self.summary.is_some() || self.seen.is_some()
    }
}

/// What has been seen, and for whom.
#[derive(Debug)]
pub struct Report {
    watchers: Watchers,
    level: Level,
    /// Whether a supervisor before this one took its numbers with it.
    pub is_partial: bool,
    counts: BTreeMap<(Class, &'static str, String), u64>,
    owners: BTreeMap<(u32, u32), Paths>,
    devices: BTreeMap<String, String>,
    more_devices: u64,
    changed: BTreeMap<i32, String>,
    checked: BTreeSet<String>,
}

/// Files, of which the first ones are named.
#[derive(Debug, Default)]
struct Paths {
    named: BTreeSet<String>,
    more: u64,
}

impl Report {
    /// Of a run at `level`, with nothing in it yet.
    #[must_use]
    pub fn new(level: Level, watchers: Watchers) -> Report {
        Report {
            watchers,
            level,
            is_partial: false,
            counts: BTreeMap::new(),
            owners: BTreeMap::new(),
            devices: BTreeMap::new(),
            more_devices: 0,
            changed: BTreeMap::new(),
            checked: BTreeSet::new(),
        }
    }

    /// Whether anybody wants to know.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.watchers.are_there()
    }

    /// Takes note of a call of `class` that is about to be answered. `is_pretended` says whether
    /// the answer is not the kernel's.
    pub fn note(&mut self, target: &Target, class: Class, answer: Answer, is_pretended: bool) {
        let call = target.call;
        if class == Class::Probe || !is_pretended && class != Class::Getid {
            return;
        }
        if class == Class::Getid {
            // Most who ask have changed nothing, and are not looked at.
            if let Some(changed) = self.changed.get(&call.tid) {
                if *changed == program(target) && self.checked.len() < MOST {
                    self.checked.insert(changed.clone());
                }
            }
            return;
        }
        let program = program(target);
        if class == Class::Identity {
            if self.changed.len() >= MOST {
                self.changed.clear();
            }
            self.changed.insert(call.tid, program.clone());
        }
        if let Some(seen) = &self.watchers.seen {
            seen.add(class);
        }
        let path = path(target);
        if let Some(trace) = &mut self.watchers.trace {
            let line = if trace.is_json {
                json_line(
                    call,
                    class,
                    &program,
                    path.as_deref(),
                    &arguments(target),
                    answer,
                )
            } else {
                text_line(call, &program, path.as_deref(), &arguments(target), answer)
            };
            // There is nobody to be told that it cannot be written.
            let _ = trace.output.write_all(line.as_bytes());
        }
        if self.watchers.summary.is_some() {
            self.count(call, class, program, path);
        }
    }

    fn count(&mut self, call: &Call, class: Class, program: String, path: Option<String>) {
        let program = if self.counts.len() < MOST {
            program
        } else {
            "(others)".into()
        };
        *self
            .counts
            .entry((class, call.sysno.name(), program))
            .or_default() += 1;
        let path = path.unwrap_or_else(|| "?".into());
        if let Some(owner) = owner(call).filter(|owner| *owner != (0, 0)) {
            let owner = if self.owners.len() < MOST {
                owner
            } else {
                (u32::MAX, u32::MAX)
            };
            let paths = self.owners.entry(owner).or_default();
            let path = final_name(path);
            if paths.named.len() < MOST || paths.named.contains(&path) {
                paths.named.insert(path);
            } else {
                paths.more += 1;
            }
        } else if let Some(device) = device(call) {
            if self.devices.len() < MOST {
                self.devices.insert(path, device);
            } else {
                self.more_devices += 1;
            }
        }
    }

    /// Writes the summary, if one is wanted.
    pub fn finish(&mut self) {
        let Some(mut summary) = self.watchers.summary.take() else {
            return;
        };
        let text = if summary.is_json {
            self.json()
        } else {
            self.text()
        };
        let _ = summary.output.write_all(text.as_bytes());
    }

    /// The number of pretended calls of `class`, and who made how many.
    fn of_class(&self, class: Class) -> (u64, BTreeMap<&str, u64>, BTreeMap<&str, u64>) {
        let (mut total, mut calls, mut programs) = (0, BTreeMap::new(), BTreeMap::new());
        for ((_, call, program), count) in self.counts.iter().filter(|((one, ..), _)| *one == class)
        {
            total += count;
            *calls.entry(*call).or_default() += count;
            *programs.entry(program.as_str()).or_default() += count;
        }
        (total, calls, programs)
    }

    fn text(&self) -> String {
        let mut out = String::new();
        let missing = if self.is_partial {
            ", as far as the last supervisor knows: one before it was killed"
        } else {
            ""
        };
        if self.counts.is_empty() {
            return format!(
                "zroot: nothing was pretended (level {}){missing}\n",
                self.level
            );
        }
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "zroot: pretended calls (level {}){missing}:",
            self.level
        );
        let list = |counts: &BTreeMap<&str, u64>| {
            let mut counts: Vec<_> = counts.iter().collect();
            counts.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), **name));
            counts
                .iter()
                .map(|(name, count)| format!("{} {count}", printable(name)))
                .collect::<Vec<_>>()
                .join(", ")
        };
        for class in Class::ALL {
            let (total, calls, programs) = self.of_class(class);
            if total > 0 {
                let _ = writeln!(
                    out,
                    "  {:<12}{total:>8}  by {} ({})",
                    class.name(),
                    list(&programs),
                    list(&calls)
                );
            }
        }
        if !self.owners.is_empty() {
            let (users, groups) = (Names::read("/etc/passwd"), Names::read("/etc/group"));
            let _ = writeln!(
                out,
                "zroot: owners that the files do not have, and an archive of them will lack:"
            );
            for ((uid, gid), paths) in &self.owners {
                let count = paths.named.len() as u64 + paths.more;
                let some: Vec<String> = paths
                    .named
                    .iter()
                    .take(10)
                    .map(|path| printable(path))
                    .collect();
                let rest = count - some.len() as u64;
                let rest = if rest > 0 {
                    format!(" and {rest} more")
                } else {
                    String::new()
                };
                let owner = format!("{}:{}", users.name(*uid), groups.name(*gid));
                let _ = writeln!(out, "  {owner:<20} {}{rest}", some.join(" "));
            }
        }
        if !self.devices.is_empty() {
            let what = if self.level == Level::Zero {
                "are not there"
            } else {
                "are only placeholders"
            };
            let _ = writeln!(out, "zroot: devices that {what}:");
            for (path, device) in &self.devices {
                let _ = writeln!(out, "  {} ({device})", printable(path));
            }
            if self.more_devices > 0 {
                let _ = writeln!(out, "  and {} more", self.more_devices);
            }
        }
        if !self.checked.is_empty() {
            let programs: Vec<String> = self.checked.iter().map(|name| printable(name)).collect();
            let _ = writeln!(
                out,
                "zroot: programs that asked for their ids after they had changed them: {}",
                programs.join(", ")
            );
        }
        out
    }

    fn json(&self) -> String {
        let mut out = format!(
            "{{\"schema\":{SCHEMA},\"level\":\"{}\",\"partial\":{},\"classes\":{{",
            self.level, self.is_partial
        );
        let object = |counts: &BTreeMap<&str, u64>| {
            let members: Vec<String> = counts
                .iter()
                .map(|(name, count)| format!("{}:{count}", quoted(name)))
                .collect();
            format!("{{{}}}", members.join(","))
        };
        let classes: Vec<String> = Class::ALL
            .into_iter()
            .filter_map(|class| {
                let (total, calls, programs) = self.of_class(class);
                let (calls, programs) = (object(&calls), object(&programs));
                (total > 0).then(|| {
                    format!(
                        "{}:{{\"total\":{total},\"calls\":{calls},\"programs\":{programs}}}",
                        quoted(class.name())
                    )
                })
            })
            .collect();
        let (users, groups) = (Names::read("/etc/passwd"), Names::read("/etc/group"));
        let owners: Vec<String> = self
            .owners
            .iter()
            .map(|((uid, gid), paths)| {
                let (user, group) = (quoted(&users.name(*uid)), quoted(&groups.name(*gid)));
                let (files, named) = (paths.named.len() as u64 + paths.more, list_of(paths.named.iter()));
                let id = |id: u32| if id == u32::MAX { "null".into() } else { id.to_string() };
                let (uid, gid) = (id(*uid), id(*gid));
                format!("{{\"uid\":{uid},\"gid\":{gid},\"user\":{user},\"group\":{group},\"files\":{files},\"paths\":{named}}}")
            })
            .collect();
        let devices: Vec<String> = self
            .devices
            .iter()
            .map(|(path, device)| {
                format!(
                    "{{\"path\":{},\"device\":{}}}",
                    quoted(path),
                    quoted(device)
                )
            })
            .collect();
        let checked = list_of(self.checked.iter());
        let _ = writeln!(
            out,
            "{}}},\"owners\":[{}],\"devices\":[{}],\"checked_ids\":{checked}}}",
            classes.join(","),
            owners.join(","),
            devices.join(",")
        );
        out
    }
}

/// Names by id, from a file in the form of passwd(5) or group(5).
struct Names(BTreeMap<u32, String>);

impl Names {
    fn read(path: &str) -> Names {
        let text = std::fs::read(path).unwrap_or_default();
        let entry = |line: &[u8]| {
            let line = String::from_utf8_lossy(line);
            let mut fields = line.split(':');
            let name = printable(fields.next()?);
            Some((fields.nth(1)?.parse().ok()?, name))
        };
        Names(
            text.split(|byte| *byte == b'\n')
                .take(100_000)
                .filter_map(entry)
                .collect(),
        )
    }

    fn name(&self, id: u32) -> String {
        match id {
            u32::MAX => "-".into(),
            id => self.0.get(&id).cloned().unwrap_or_else(|| id.to_string()),
        }
    }
}

/// Under which name a file will be found: dpkg and rpm unpack it under another, and rename it.
fn final_name(path: String) -> String {
    if let Some(name) = path
        .strip_suffix(".dpkg-new")
        .or_else(|| path.strip_suffix(".dpkg-tmp"))
    {
        return name.into();
    }
    match path.rsplit_once(';') {
        Some((name, number))
            if number.len() == 8 && number.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
        {
            name.into()
        }
        _ => path,
    }
}

/// The caller's program, as ps(1) names it.
fn program(target: &Target) -> String {
    let mut name = [0; 64];
    let len = target.start_of("comm", &mut name).unwrap_or(0);
    String::from_utf8_lossy(name[..len].trim_ascii_end()).into_owned()
}

/// Which file a call is about: a descriptor, or directory, path and whether a link at its end is
/// followed.
enum Named {
    Open(i32),
    At(i32, u64, bool),
}

fn named(call: &Call) -> Option<Named> {
    use Sysno as S;
    const NOFOLLOW: i32 = libc::AT_SYMLINK_NOFOLLOW;
    let here = AT_FDCWD.as_raw_fd();
    let follows = |flags: i32| flags & NOFOLLOW == 0;
    Some(match call.sysno {
        S::fchown
        | S::fchown32
        | S::fchmod
        | S::fsetxattr
        | S::fremovexattr
        | S::fsync
        | S::fdatasync
        | S::syncfs
        | S::ioctl => Named::Open(call.int(0)),
        S::chown
        | S::chown32
        | S::chmod
        | S::utime
        | S::utimes
        | S::setxattr
        | S::removexattr
        | S::umount => Named::At(here, call.pointer(0), true),
        S::lchown | S::lchown32 | S::lsetxattr | S::lremovexattr | S::mknod => {
            Named::At(here, call.pointer(0), false)
        }
        S::mknodat => Named::At(call.int(0), call.pointer(1), false),
        S::fchownat => Named::At(call.int(0), call.pointer(1), follows(call.int(4))),
        S::fchmodat | S::futimesat => Named::At(call.int(0), call.pointer(1), true),
        S::fchmodat2 | S::utimensat | S::utimensat_time64 => {
            Named::At(call.int(0), call.pointer(1), follows(call.int(3)))
        }
        S::setxattrat | S::removexattrat => {
            Named::At(call.int(0), call.pointer(1), follows(call.int(2)))
        }
        S::mount => Named::At(here, call.pointer(1), true),
        _ => return None,
    })
}

/// The path of the file that a call is about, as the caller sees it, or as it named it where there
/// is none.
fn path(target: &Target) -> Option<String> {
    let resolved = |file, follow| target.reach(file, |path| target.home.name_of(path, follow));
    let shown = |path: &[u8]| OsStr::from_bytes(path).to_string_lossy().into_owned();
    match named(target.call)? {
        Named::Open(fd) => resolved(File::Named(fd), true)
            .ok()
            .map(|path| shown(&path)),
        Named::At(dir, address, follow) => {
            let given = if address == 0 {
                c"".into()
            } else {
                target.path(address).ok()?
            };
            if given.is_empty() {
                return resolved(File::Named(dir), true)
                    .ok()
                    .map(|path| shown(&path));
            }
            if let Ok(path) = resolved(File::At(dir, &given), follow) {
                return Some(shown(&path));
            }
            // What is not there has at least a directory.
            let bytes = given.to_bytes();
            let split = bytes.iter().rposition(|byte| *byte == b'/');
            let (parent, name) =
                split.map_or((&b"."[..], bytes), |at| (&bytes[..=at], &bytes[at + 1..]));
            let parent = std::ffi::CString::new(parent).ok()?;
            let parent =
                resolved(File::At(dir, &parent), true).unwrap_or_else(|_| parent.into_bytes());
            Some(shown(
                &[parent.strip_suffix(b"/").unwrap_or(&parent), b"/", name].concat(),
            ))
        }
    }
}

/// The owner that a chown asks for.
fn owner(call: &Call) -> Option<(u32, u32)> {
    use Sysno as S;
    let at = match call.sysno {
        S::chown | S::chown32 | S::lchown | S::lchown32 | S::fchown | S::fchown32 => 1,
        S::fchownat => 2,
        _ => return None,
    };
    Some((call.owner(at), call.owner(at + 1)))
}

/// The device that a mknod asks for.
fn device(call: &Call) -> Option<String> {
    let at = match call.sysno {
        Sysno::mknod => 1,
        Sysno::mknodat => 2,
        _ => return None,
    };
    let kind = if call.word(at) & 0o170_000 == 0o060_000 {
        'b'
    } else {
        'c'
    };
    let dev = call.word(at + 1);
    // include/linux/kdev_t.h, new_decode_dev.
    Some(format!(
        "{kind} {}:{}",
        dev >> 8 & 0xfff,
        dev & 0xff | dev >> 12 & 0xf_ff00
    ))
}

/// A call's other arguments, by name.
fn arguments(target: &Target) -> Vec<(&'static str, String)> {
    use Sysno as S;
    let call = target.call;
    if let Some((uid, gid)) = owner(call) {
        return vec![("uid", signed(uid)), ("gid", signed(gid))];
    }
    if let Some(device) = device(call) {
        let mode = call.word(if call.sysno == S::mknod { 1 } else { 2 }) & 0o7777;
        return vec![("mode", format!("{mode:04o}")), ("device", device)];
    }
    let ids = |names: &[&'static str]| {
        names
            .iter()
            .enumerate()
            .map(|(i, name)| (*name, signed(call.owner(i))))
            .collect()
    };
    match call.sysno {
        S::chmod | S::fchmod => vec![("mode", format!("{:04o}", call.word(1) & 0o7777))],
        S::fchmodat | S::fchmodat2 => vec![("mode", format!("{:04o}", call.word(2) & 0o7777))],
        S::setuid | S::setuid32 | S::setfsuid | S::setfsuid32 => ids(&["uid"]),
        S::setgid | S::setgid32 | S::setfsgid | S::setfsgid32 => ids(&["gid"]),
        S::setreuid | S::setreuid32 => ids(&["ruid", "euid"]),
        S::setregid | S::setregid32 => ids(&["rgid", "egid"]),
        S::setresuid | S::setresuid32 => ids(&["ruid", "euid", "suid"]),
        S::setresgid | S::setresgid32 => ids(&["rgid", "egid", "sgid"]),
        S::setgroups | S::setgroups32 => vec![("count", call.int(0).to_string())],
        S::setxattr
        | S::lsetxattr
        | S::fsetxattr
        | S::removexattr
        | S::lremovexattr
        | S::fremovexattr => name(target, 1),
        S::setxattrat | S::removexattrat => name(target, 3),
        _ => Vec::new(),
    }
}

fn name(target: &Target, argument: usize) -> Vec<(&'static str, String)> {
    let name = target
        .string(target.call.pointer(argument), 256)
        .ok()
        .flatten();
    name.map(|name| vec![("name", name.to_string_lossy().into_owned())])
        .unwrap_or_default()
}

/// An id, -1 as such.
fn signed(id: u32) -> String {
    if id == u32::MAX {
        "-1".into()
    } else {
        id.to_string()
    }
}

fn result(answer: Answer) -> String {
    match answer {
        Answer::Value(value) => value.to_string(),
        Answer::Error(errno) => format!("-1 {errno:?}"),
        Answer::Real => "?".into(),
    }
}

/// `PID PROGRAM CALL(ARGUMENTS) = RESULT`.
fn text_line(
    call: &Call,
    program: &str,
    path: Option<&str>,
    arguments: &[(&str, String)],
    answer: Answer,
) -> String {
    let path = path.map(|path| format!("\"{}\"", printable(path)));
    let arguments = arguments
        .iter()
        .map(|(name, value)| format!("{name}={}", printable(value)));
    let all: Vec<String> = path.into_iter().chain(arguments).collect();
    format!(
        "{} {} {}({}) = {}\n",
        call.tid,
        printable(program),
        call.sysno.name(),
        all.join(", "),
        result(answer)
    )
}

fn json_line(
    call: &Call,
    class: Class,
    program: &str,
    path: Option<&str>,
    arguments: &[(&str, String)],
    answer: Answer,
) -> String {
    let path = path.map_or_else(|| "null".into(), quoted);
    let all: Vec<String> = arguments
        .iter()
        .map(|(name, value)| format!("{}:{}", quoted(name), quoted(value)))
        .collect();
    format!(
        "{{\"schema\":{SCHEMA},\"pid\":{},\"program\":{},\"class\":\"{class}\",\"call\":\"{}\",\"abi\":\"{}\",\"path\":{path},\"arguments\":{{{}}},\"result\":{}}}\n",
        call.tid,
        quoted(program),
        call.sysno.name(),
        call.abi,
        all.join(","),
        quoted(&result(answer)),
    )
}

/// `text` on one line, at most 1024 characters of it.
fn printable(text: &str) -> String {
    const LONGEST: usize = 1024;
    let mut out: String = text
        .chars()
        .take(LONGEST)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        out.push_str("...");
    }
    out
}

/// A JSON string.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out + "\""
}

fn list_of<'a>(strings: impl Iterator<Item = &'a String>) -> String {
    format!(
        "[{}]",
        strings
            .map(|text| quoted(text))
            .collect::<Vec<_>>()
            .join(",")
    )
}
