//! What all calls came to, and whose names the ids are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

use super::event::Event;
use super::kept::Kept;
use crate::arch::Sysno;
use crate::filter::policy::{Class, Level};
use crate::text::printable;

/// How many different programs, owners, paths of one owner, and placeholders are kept by name. The
/// rest is only counted.
pub const MOST: usize = 1000;

/// All programs beyond the first ones.
const OTHERS: &str = "(others)";

/// How long all paths may be together that are kept by name, in bytes.
const ROOM: usize = 256 << 10;

/// How much of a file with names is read, in bytes.
const LONGEST: u64 = 8 << 20;

/// The numbers of a run.
#[derive(Debug)]
pub struct Tally {
    /// The level of the run.
    pub level: Level,
    /// What becomes of what is remembered.
    pub kept: Kept,
    counts: BTreeMap<(Class, Sysno, String), u64>,
    owners: BTreeMap<(u32, u32), Paths>,
    /// Devices that were asked for, by path.
    pub devices: BTreeMap<String, String>,
    /// How many beside those.
    pub more_devices: u64,
    /// Programs that asked for their ids after they had changed them.
    pub checked: BTreeSet<String>,
    /// How much of [`ROOM`] is left.
    room: usize,
}

/// A change of the numbers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// As many calls by a program.
    Calls(Class, Sysno, String, u64),
    /// A file for which an owner was asked: uid, gid, path.
    Owner(u32, u32, String),
    /// As many more files of an owner.
    MoreOf(u32, u32, u64),
    /// A device that was asked for: path, device.
    Device(String, String),
    /// As many more devices.
    MoreDevices(u64),
    /// A program has asked for its ids after it had changed them.
    Checked(String),
}

impl Change {
    /// What a call changes at `level`. Where owners are remembered, the last one counts, and nobody
    /// misses root.
    pub fn by(event: Event, level: Level) -> impl Iterator<Item = Change> {
        let path = event.path.unwrap_or_else(|| "?".into());
        let owner = event
            .owner
            .filter(|owner| level.remembers() || *owner != (0, 0));
        let file = match (owner, event.device) {
            (None | Some((0, 0)), Some(device)) => Some(Change::Device(path, device)),
            (Some((uid, gid)), _) => Some(Change::Owner(uid, gid, final_name(path))),
            (None, None) => None,
        };
        let call = Change::Calls(event.class, event.call, event.program, 1);
        [call].into_iter().chain(file)
    }

    /// As a record: parts, each of which ends in a null byte.
    #[must_use]
    pub fn to_record(&self) -> String {
        let parts: Vec<String> = match self {
            Change::Calls(class, call, program, count) => vec![
                "calls".into(),
                class.name().into(),
                call.name().into(),
                program.clone(),
                count.to_string(),
            ],
            Change::Owner(uid, gid, path) => {
                vec![
                    "owner".into(),
                    uid.to_string(),
                    gid.to_string(),
                    path.clone(),
                ]
            }
            Change::MoreOf(uid, gid, count) => {
                let [uid, gid] = [uid, gid].map(ToString::to_string);
                vec!["more of".into(), uid, gid, count.to_string()]
            }
            Change::Device(path, device) => vec!["device".into(), path.clone(), device.clone()],
            Change::MoreDevices(count) => vec!["more devices".into(), count.to_string()],
            Change::Checked(program) => vec!["checked".into(), program.clone()],
        };
        parts
            .iter()
            .map(|part| part.replace('\0', "?") + "\0")
            .collect()
    }

    /// Reads a record.
    #[must_use]
    pub fn parse(record: &str) -> Option<Change> {
        let mut parts = record.split('\0');
        let kind = parts.next()?;
        let mut part = || parts.next();
        Some(match kind {
            "calls" => {
                let class = part()?.parse().ok()?;
                let call = part()?;
                let call = Sysno::ALL.iter().find(|known| known.name() == call)?;
                Change::Calls(class, *call, part()?.into(), part()?.parse().ok()?)
            }
            "owner" => Change::Owner(part()?.parse().ok()?, part()?.parse().ok()?, part()?.into()),
            "more of" => Change::MoreOf(
                part()?.parse().ok()?,
                part()?.parse().ok()?,
                part()?.parse().ok()?,
            ),
            "device" => Change::Device(part()?.into(), part()?.into()),
            "more devices" => Change::MoreDevices(part()?.parse().ok()?),
            "checked" => Change::Checked(part()?.into()),
            _ => return None,
        })
    }
}

/// Files, of which the first ones are named.
#[derive(Debug, Default)]
struct Paths {
    named: BTreeSet<String>,
    more: u64,
}

/// The calls of one class.
pub struct ClassTally<'a> {
    /// Which.
    pub class: Class,
    /// How many.
    pub total: u64,
    /// How many of each call.
    pub calls: BTreeMap<&'a str, u64>,
    /// How many by each program.
    pub programs: BTreeMap<&'a str, u64>,
}

/// The files that one owner was asked for.
pub struct OwnerTally<'a> {
    /// `u32::MAX` for "the same as before", or for all beyond the first owners.
    pub uid: u32,
    /// The same.
    pub gid: u32,
    /// The uid's name, or its number.
    pub user: String,
    /// The gid's name, or its number.
    pub group: String,
    /// How many.
    pub files: u64,
    /// The first ones.
    pub named: &'a BTreeSet<String>,
}

impl Tally {
    /// Of a run at `level` of which as much is `kept`, with nothing in it yet.
    pub fn new(level: Level, kept: Kept) -> Tally {
        Tally {
            level,
            kept,
            counts: BTreeMap::new(),
            owners: BTreeMap::new(),
            devices: BTreeMap::new(),
            more_devices: 0,
            checked: BTreeSet::new(),
            room: ROOM,
        }
    }

    /// What is left of a change where there is no room for another name.
    pub fn bounded(&self, change: Change) -> Change {
        match change {
            Change::Owner(uid, gid, path) => {
                let owner = self.owner(uid, gid);
                let paths = self.owners.get(&owner);
                let is_named = paths.is_some_and(|paths| paths.named.contains(&path));
                let is_room = paths.is_none_or(|paths| paths.named.len() < MOST);
                if is_named || (uid, gid) == (0, 0) || is_room && path.len() <= self.room {
                    Change::Owner(uid, gid, path)
                } else {
                    Change::MoreOf(uid, gid, 1)
                }
            }
            Change::Device(path, device) => {
                let is_room = self.devices.len() < MOST && path.len() <= self.room;
                if is_room || self.devices.contains_key(&path) {
                    Change::Device(path, device)
                } else {
                    Change::MoreDevices(1)
                }
            }
            change => change,
        }
    }

    /// Makes a change.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Calls(class, call, program, count) => {
                let mut key = (class, call, program);
                if self.counts.len() >= MOST && !self.counts.contains_key(&key) {
                    key.2 = OTHERS.into();
                }
                let calls = self.counts.entry(key).or_default();
                *calls = calls.saturating_add(count);
            }
            Change::Owner(uid, gid, path) => {
                if self.level.remembers() {
                    self.forget(&path);
                }
                if self.level.remembers() && (uid, gid) == (0, 0) {
                    return;
                }
                let len = path.len();
                if self.paths(uid, gid).named.insert(path) {
                    self.room = self.room.saturating_sub(len);
                }
            }
            Change::MoreOf(uid, gid, count) => {
                let paths = self.paths(uid, gid);
                paths.more = paths.more.saturating_add(count);
            }
            Change::Device(path, device) => {
                let len = path.len();
                if self.devices.insert(path, device).is_none() {
                    self.room = self.room.saturating_sub(len);
                }
            }
            Change::MoreDevices(count) => {
                self.more_devices = self.more_devices.saturating_add(count);
            }
            Change::Checked(program) => {
                if self.checked.len() < MOST {
                    self.checked.insert(program);
                }
            }
        }
    }

    /// As whose the files of an owner are counted: its own, or all beyond the first owners.
    fn owner(&self, uid: u32, gid: u32) -> (u32, u32) {
        if self.owners.len() < MOST || self.owners.contains_key(&(uid, gid)) {
            (uid, gid)
        } else {
            (u32::MAX, u32::MAX)
        }
    }

    /// Leaves a file out again.
    fn forget(&mut self, path: &str) {
        let room = &mut self.room;
        self.owners.retain(|_, paths| {
            if paths.named.remove(path) {
                *room += path.len();
            }
            !paths.named.is_empty() || paths.more > 0
        });
    }

    fn paths(&mut self, uid: u32, gid: u32) -> &mut Paths {
        self.owners.entry(self.owner(uid, gid)).or_default()
    }

    /// The changes that make these numbers out of none.
    pub fn changes(&self) -> impl Iterator<Item = Change> {
        // The others come last: they take nobody's place.
        let is_named = |&((_, _, program), _): &(&(Class, Sysno, String), &u64)| program != OTHERS;
        let (named, others): (Vec<_>, Vec<_>) = self.counts.iter().partition(is_named);
        let calls = named.into_iter().chain(others);
        let calls = calls.map(|((class, call, program), count)| {
            Change::Calls(*class, *call, program.clone(), *count)
        });
        let owners = self.owners.iter().flat_map(|(&(uid, gid), paths)| {
            let named = paths.named.iter();
            let named = named.map(move |path| Change::Owner(uid, gid, path.clone()));
            named.chain([Change::MoreOf(uid, gid, paths.more)])
        });
        let devices = self.devices.iter();
        let devices = devices.map(|(path, device)| Change::Device(path.clone(), device.clone()));
        let checked = self.checked.iter().cloned().map(Change::Checked);
        let more = Change::MoreDevices(self.more_devices);
        calls
            .chain(owners)
            .chain(devices)
            .chain(checked)
            .chain([more])
    }

    /// The classes that had a call, in the order of [`Class::ALL`].
    pub fn classes(&self) -> impl Iterator<Item = ClassTally<'_>> {
        Class::ALL.into_iter().filter_map(|class| {
            let (calls, programs) = (BTreeMap::new(), BTreeMap::new());
            let mut tally = ClassTally {
                class,
                total: 0,
                calls,
                programs,
            };
            let own = self.counts.iter().filter(|((one, ..), _)| *one == class);
            for ((_, call, program), count) in own {
                tally.total += count;
                *tally.calls.entry(call.name()).or_default() += count;
                *tally.programs.entry(program.as_str()).or_default() += count;
            }
            (tally.total > 0).then_some(tally)
        })
    }

    /// The owners that were asked for, but root.
    pub fn owners(&self) -> Vec<OwnerTally<'_>> {
        if self.owners.is_empty() {
            return Vec::new();
        }
        let (users, groups) = (Names::read("/etc/passwd"), Names::read("/etc/group"));
        let owner = |(&(uid, gid), paths): (&(u32, u32), &'_ Paths)| {
            let (user, group) = (users.name(uid), groups.name(gid));
            let files = paths.named.len() as u64 + paths.more;
            (uid, gid, user, group, files)
        };
        self.owners
            .iter()
            .map(|entry| {
                let (uid, gid, user, group, files) = owner(entry);
                OwnerTally {
                    uid,
                    gid,
                    user,
                    group,
                    files,
                    named: &entry.1.named,
                }
            })
            .collect()
    }
}

/// Names by id, from a file in the form of passwd(5) or group(5).
struct Names(BTreeMap<u32, String>);

impl Names {
    fn read(path: &str) -> Names {
        let text = read_regular(path).unwrap_or_default();
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

/// Reads the beginning of a file. In a tree that nobody vouches for it may be a FIFO, on which one
/// would wait, or a device without an end.
fn read_regular(path: &str) -> std::io::Result<Vec<u8>> {
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    let mut text = Vec::new();
    if file.metadata()?.is_file() {
        file.take(LONGEST).read_to_end(&mut text)?;
    }
    Ok(text)
}

/// Under which name a file will be found: dpkg and rpm unpack it under another, and rename it.
fn final_name(path: String) -> String {
    let unpacked = path
        .strip_suffix(".dpkg-new")
        .or_else(|| path.strip_suffix(".dpkg-tmp"));
    if let Some(name) = unpacked {
        return name.into();
    }
    let is_random = |end: &str| end.len() == 8 && end.bytes().all(|byte| byte.is_ascii_hexdigit());
    match path.rsplit_once(';') {
        Some((name, end)) if is_random(end) => name.into(),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_changes_come_to_the_same_numbers() {
        let mut tally = Tally::new(Level::Selective, Kept::No);
        let program = |number: u32| format!("program {number}");
        for number in 0..2500 {
            for change in [
                Change::Calls(Class::Owner, Sysno::chown, program(number), 3),
                Change::Owner(5, 7, format!("/a\nb{number}")),
                Change::Owner(number, 7, String::new()),
                Change::Device(format!("/dev/{number}"), "c 1:3".into()),
                Change::Checked(program(number)),
            ] {
                let change = tally.bounded(change);
                tally.apply(change);
            }
        }
        let mut again = Tally::new(Level::Selective, Kept::No);
        for change in tally.changes() {
            let read = Change::parse(&change.to_record());
            assert_eq!(read.as_ref(), Some(&change));
            again.apply(read.expect("a change"));
        }
        assert_eq!(format!("{again:?}"), format!("{tally:?}"));
        assert_eq!(Change::parse("no such change\0"), None);
    }
    #[test]
    fn long_paths_take_no_more_room_than_there_is() {
        let mut tally = Tally::new(Level::Zero, Kept::No);
        let long = "x".repeat(4000);
        for number in 0..10_000 {
            for change in [
                Change::Owner(number % 100 + 1, 7, format!("/{number}/{long}")),
                Change::Device(format!("/dev/{number}/{long}"), "c 1:3".into()),
            ] {
                let change = tally.bounded(change);
                tally.apply(change);
            }
        }
        let size: usize = tally.changes().map(|change| change.to_record().len()).sum();
        assert!(size < 2 * ROOM, "{size}");
        let files: u64 = tally.owners().iter().map(|owner| owner.files).sum();
        let devices = tally.devices.len() as u64 + tally.more_devices;
        assert_eq!((files, devices), (10_000, 10_000));
    }
}
