//! What all calls came to, and whose names the ids are.

use std::collections::{BTreeMap, BTreeSet};

use super::event::Counted;
use crate::filter::policy::{Class, Level};
use crate::text::printable;

/// How many different programs, owners, paths of one owner, and placeholders are kept by name. The
/// rest is only counted.
pub const MOST: usize = 1000;

/// The numbers of a run.
#[derive(Debug)]
pub struct Tally {
    /// The level of the run.
    pub level: Level,
    /// Whether a process that served before took its numbers with it.
    pub is_partial: bool,
    counts: BTreeMap<(Class, &'static str, String), u64>,
    owners: BTreeMap<(u32, u32), Paths>,
    /// Devices that were asked for, by path.
    pub devices: BTreeMap<String, String>,
    /// How many beside those.
    pub more_devices: u64,
    /// Programs that asked for their ids after they had changed them.
    pub checked: BTreeSet<String>,
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
    /// Of a run at `level`, with nothing in it yet.
    pub fn new(level: Level) -> Tally {
        Tally {
            level,
            is_partial: false,
            counts: BTreeMap::new(),
            owners: BTreeMap::new(),
            devices: BTreeMap::new(),
            more_devices: 0,
            checked: BTreeSet::new(),
        }
    }

    /// Counts a call.
    pub fn add(&mut self, call: Counted) {
        let is_room = self.counts.len() < MOST;
        let program = if is_room {
            call.program
        } else {
            "(others)".into()
        };
        *self
            .counts
            .entry((call.class, call.sysno.name(), program))
            .or_default() += 1;
        let path = call.path.unwrap_or_else(|| "?".into());
        if let Some(owner) = call.owner.filter(|owner| *owner != (0, 0)) {
            let is_room = self.owners.len() < MOST;
            let owner = if is_room { owner } else { (u32::MAX, u32::MAX) };
            let paths = self.owners.entry(owner).or_default();
            let path = final_name(path);
            if paths.named.len() < MOST || paths.named.contains(&path) {
                paths.named.insert(path);
            } else {
                paths.more += 1;
            }
        } else if let Some(device) = call.device {
            if self.devices.len() < MOST {
                self.devices.insert(path, device);
            } else {
                self.more_devices += 1;
            }
        }
    }

    /// Takes note that `program` has asked for its ids after it had changed them.
    pub fn has_checked(&mut self, program: &str) {
        if self.checked.len() < MOST {
            self.checked.insert(program.into());
        }
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
                *tally.calls.entry(*call).or_default() += count;
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
