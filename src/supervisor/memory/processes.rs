//! Which credentials each process has set. It survives the process that serves, by the journal.
//!
//! A process carries the number of its credentials in its soft limit RLIMIT_LOCKS, which fork(2)
//! hands on, so that children, daemons and recycled PIDs need no tracking. The entry also knows the
//! program that set them, by the random bytes that execve(2) puts on its stack: what another
//! program has of them is the level's to say ([`AtExecve`]). And it knows the user namespace they
//! were set in: they mean nothing in the next one, where the kernel says who a process is.
//!
//! Nobody tells what came of an execve. So what a set-id file gives is noted before the kernel
//! executes it (`Announced`), and counts once the process runs another program, if that is this
//! very file. It is put down for good when the process asks who it is, or executes the next file.
//!
//! The number's lowest bit is a mark of its own, of a process that Landlock restricts. Such a
//! process can never get rid of that, so that the mark is in no entry, and stays when one goes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use caps::Capability;
use nix::errno::Errno;

use super::credentials::{Credentials, FileCapabilities, Ids, SetId};
use super::id_maps::{IdMaps, inside};
use super::peers::{Peers, Standing, Way};
use crate::supervisor::recovery::journal::{Journal, Table};
use crate::supervisor::target::answer::Failed;
use crate::supervisor::target::mark::{FIRST, RESTRICTED, UNSET, is_restricted, restricted};
use crate::supervisor::target::proc::Target;
use crate::sys::file::Look;
use crate::sys::process::locks_limit;

/// What becomes of the credentials that a process has set when it executes another program, whose
/// file gives something; `None` where it is root again.
pub type AtExecve = fn(&Credentials, SetId) -> Option<Credentials>;

/// How much there may be before what no process has is thrown away: entries, of which one with many
/// groups counts for as many as it takes the memory of.
const ENOUGH: usize = 1024;
/// As many entries are kept that only peers may ask for, the latest: others may be gone.
const PEERS: usize = 1024;
/// `AT_RANDOM`, include/uapi/linux/auxvec.h: the address of 16 random bytes.
const AT_RANDOM: u64 = 25;

/// A running program, as opposed to the process that runs it: where its AT_RANDOM bytes are, and
/// what they are. fork(2) keeps them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Program {
    address: u64,
    random: [u8; 16],
}

/// A file that is executed, through a mount that may keep it from giving anything.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Executable {
    dev: (u32, u32),
    ino: u64,
    mount: u64,
    born: Option<i128>,
}

impl From<&Look> for Executable {
    fn from(found: &Look) -> Executable {
        Executable {
            dev: found.place.dev,
            ino: found.place.ino,
            mount: found.place.mount,
            born: found.born,
        }
    }
}

/// An execve that the kernel was left to make, and of which it is not known what came.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Announced {
    /// What the thread has that makes it: of several it is the one that is left.
    credentials: Rc<Credentials>,
    /// The file, and what it gives, if it is one that does.
    file: Option<(Executable, SetId)>,
}

/// What a process has set, in which program, and in which user namespace.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Entry {
    credentials: Rc<Credentials>,
    program: Program,
    namespace: u64,
    announced: Option<Announced>,
}

impl Entry {
    fn weight(&self) -> usize {
        let weight = |credentials: &Credentials| 1 + credentials.groups.len() / 64;
        let announced = self.announced.as_ref();
        weight(&self.credentials) + announced.map_or(0, |it| weight(&it.credentials))
    }

    /// Whether the caller still runs the program that has set this.
    fn is_of_program(&self, target: Target) -> bool {
        let Program { address, random } = self.program;
        let mut now = [0; 16];
        address == 0 || target.read(address, &mut now).is_ok() && now == random
    }
}

/// A thread that has credentials of its own, as system calls made without libc give it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Thread {
    /// When it started, in clock ticks: another thread may get its number later.
    start: u64,
    /// Its entry.
    number: u64,
}

/// A thread that is about to set something.
pub struct Setter {
    /// What it has now.
    pub credentials: Rc<Credentials>,
    namespace: u64,
    /// Its number.
    number: u64,
    status: String,
}

/// Whom a process is taken for that has set something.
pub struct Identity {
    /// What it has.
    pub credentials: Rc<Credentials>,
    /// In which user namespace.
    pub namespace: u64,
    /// Whether that was set in another program.
    pub has_executed: bool,
}

/// Who has set what. In trees, which need no random numbers: a kernel that has none to give would
/// end the supervisor.
pub struct Processes {
    entries: BTreeMap<u64, Rc<Entry>>,
    numbers: BTreeMap<Rc<Entry>, u64>,
    threads: BTreeMap<i32, Thread>,
    /// When each entry was made, in nanoseconds since 1970.
    since: BTreeMap<u64, u64>,
    next: u64,
    /// How much `entries` is, in entries of the usual size.
    weight: usize,
    enough: usize,
    /// What the kernel says of the supervisor, and thus of who has set nothing in its namespace.
    /// `None` where that is not root.
    own: Option<Credentials>,
    namespace: u64,
    at_execve: AtExecve,
    journal: Rc<Journal>,
    /// Who each was when it last met a peer, at a level that remembers that.
    peers: Option<Peers>,
}

impl Processes {
    /// What `journal` says, and `peers`.
    #[must_use]
    pub fn new(
        journal: Rc<Journal>,
        at_execve: AtExecve,
        maps: &IdMaps,
        peers: Option<Peers>,
    ) -> Processes {
        let mut processes = Processes {
            entries: BTreeMap::new(),
            numbers: BTreeMap::new(),
            threads: BTreeMap::new(),
            since: BTreeMap::new(),
            next: FIRST + 2,
            weight: 0,
            enough: ENOUGH,
            own: maps.credentials.clone().filter(|_| maps.is_root()),
            namespace: maps.namespace,
            at_execve,
            journal,
            peers,
        };
        processes.reload();
        processes
    }

    /// Forgets what is in this process's memory and takes what the journal says.
    pub fn reload(&mut self) {
        (self.entries, self.numbers, self.threads) = Default::default();
        self.since.clear();
        (self.next, self.weight) = (FIRST + 2, 0);
        let journal = Rc::clone(&self.journal);
        for record in journal.records(Table::Processes) {
            self.replay(&record);
        }
        // A process that was given up may come back from its call and still take a number.
        self.next += 1 << 10;
    }

    /// Whether any process has set something.
    #[must_use]
    pub fn are_any(&self) -> bool {
        !self.entries.is_empty()
    }

    /// What the caller has set, as far as that still counts.
    #[must_use]
    pub fn changed(&self, target: Target) -> Option<Rc<Credentials>> {
        if self.entries.is_empty() {
            return None;
        }
        self.changed_by(target, self.number(target.request.tid))
    }

    /// The same, and when it was set first in this program, in nanoseconds since 1970.
    #[must_use]
    pub fn set_since(&self, target: Target) -> Option<(Rc<Credentials>, i128)> {
        if self.entries.is_empty() {
            return None;
        }
        let number = self.number(target.request.tid);
        let since = *self.since.get(&(number & !RESTRICTED))?;
        Some((self.changed_by(target, number)?, since.into()))
    }

    /// Whom the caller is taken for.
    #[must_use]
    pub fn standing(&self, target: Target) -> Standing {
        let number = self.number(target.request.tid) & !RESTRICTED;
        match self.entry(target, number) {
            Some((_, has_executed)) => Standing::Set {
                number,
                has_executed,
            },
            None if self.is_at_home(target) => Standing::Root,
            None => Standing::Kernels,
        }
    }

    /// Who has that `standing`; `None` who has set nothing, or is not known any more.
    #[must_use]
    pub fn identity(&self, standing: Standing) -> Option<Identity> {
        let Standing::Set {
            number,
            has_executed,
        } = standing
        else {
            return None;
        };
        let entry = self.entries.get(&number)?;
        Some(Identity {
            credentials: self.credentials(entry, has_executed)?,
            namespace: entry.namespace,
            has_executed,
        })
    }

    /// Takes note that the caller is about to meet a peer, or several.
    ///
    /// # Errors
    /// `ESRCH` if it is gone.
    pub fn meets_peer(&mut self, target: Target, way: Way) -> Result<(), Failed> {
        self.settled(target);
        if let Some(peers) = self.peers {
            peers.set(target.process()?, way, self.standing(target));
        }
        Ok(())
    }

    /// Who `process` was when it last met a peer that way.
    #[must_use]
    pub fn as_peer(&self, process: i32, way: Way) -> Option<Standing> {
        self.peers?.get(process, way)
    }

    fn changed_by(&self, target: Target, number: u64) -> Option<Rc<Credentials>> {
        let (entry, has_executed) = self.entry(target, number & !RESTRICTED)?;
        let Some(Announced { credentials, file }) =
            entry.announced.as_ref().filter(|_| has_executed)
        else {
            return self.credentials(entry, has_executed);
        };
        // Another file may have been put in its place.
        let is_it = |file: Executable| {
            let found = target.executable();
            found.is_ok_and(|found| Executable::from(&found) == file)
        };
        let gives = file
            .filter(|(file, _)| is_it(*file))
            .map(|(_, gives)| gives);
        (self.at_execve)(credentials, gives.unwrap_or_default()).map(Rc::new)
    }

    /// What a process has of `entry`, of which nothing is announced.
    fn credentials(&self, entry: &Entry, has_executed: bool) -> Option<Rc<Credentials>> {
        if has_executed {
            (self.at_execve)(&entry.credentials, SetId::default()).map(Rc::new)
        } else {
            Some(Rc::clone(&entry.credentials))
        }
    }

    /// The entry `number`, if it counts for the caller, and whether that runs another program now.
    fn entry(&self, target: Target, number: u64) -> Option<(&Entry, bool)> {
        let entry = self.entries.get(&number)?;
        match target.user_namespace() {
            Ok(namespace) if namespace == entry.namespace => {}
            // A helper that has its caller's rights may not look into others.
            Err(_) if target.is_helper => {}
            _ => return None,
        }
        Some((entry, !entry.is_of_program(target)))
    }

    /// What the caller has set, as [`changed`](Processes::changed) says it, and put down for good
    /// if an execve has come to it.
    pub fn settled(&mut self, target: Target) -> Option<Rc<Credentials>> {
        if self.entries.is_empty() {
            return None;
        }
        let number = self.number(target.request.tid);
        let now = self.changed_by(target, number)?;
        let key = number & !RESTRICTED;
        let entry = self.entries.get(&key)?;
        if entry.announced.is_some() && !entry.is_of_program(target) {
            // As long as it is not, each look comes to the same.
            let since = self.since.get(&key).copied();
            let _ = self.setter(target).and_then(|setter| {
                let now = Credentials::clone(&now);
                self.put(target, &setter, now, since)
            });
        }
        Some(now)
    }

    /// Remembers that the caller is about to execute a file: what that gives, if it does, to the
    /// caller that `setter` is. What was announced before has failed.
    ///
    /// # Errors
    /// `ESRCH` if it is gone; prlimit(2)'s; [`Failed::Unreadable`].
    pub fn announce(
        &mut self,
        target: Target,
        gives: Option<(Executable, SetId)>,
    ) -> Result<(), Failed> {
        if gives.is_none() && self.entries.is_empty() {
            return Ok(());
        }
        let tid = target.request.tid;
        let whole = locks_limit(tid, None)?;
        let has_own = !self.threads.is_empty() && self.number(tid) != whole;
        let key = whole & !RESTRICTED;
        let had_announced = self
            .entries
            .get(&key)
            .is_some_and(|entry| entry.announced.is_some());
        if gives.is_none() && !has_own && !had_announced {
            return Ok(());
        }
        let setter = self.setter(target)?;
        let announced = (gives.is_some() || has_own).then(|| Announced {
            credentials: Rc::clone(&setter.credentials),
            file: gives,
        });
        // What the other threads have, and this one if it fails.
        let credentials = match self.changed_by(target, whole) {
            Some(credentials) => credentials,
            None => Rc::new(self.unset(target, &setter.status, setter.namespace)?),
        };
        let since = self.since.get(&key).copied();
        let number = self.numbered(target, &setter, credentials, announced, since)?;
        let number = if is_restricted(whole) {
            restricted(number)
        } else {
            number
        };
        target.still_waits()?;
        locks_limit(tid, Some(number))?;
        self.tidy();
        Ok(())
    }

    /// Whether who traces the caller, if anybody does, may let it gain rights (kernel/ptrace.c,
    /// `ptracer_capable`; there it is what it was when it began to trace).
    ///
    /// # Errors
    /// `ESRCH`.
    pub fn is_tracer_capable(&self, target: Target) -> Result<bool, Failed> {
        let tracer = target.status("TracerPid")?.parse().unwrap_or(0);
        if tracer == 0 {
            return Ok(true);
        }
        let request = target.request.by(tracer);
        let tracer = Target {
            request: &request,
            ..target
        };
        let set = self.changed(tracer);
        Ok(set.is_none_or(|set| set.has(Capability::CAP_SYS_PTRACE)))
    }

    /// Whether a caller that has set nothing is what the kernel says. Only where there is no
    /// namespace, and the kernel's ids are not root's, one is root in spite of them.
    #[must_use]
    pub fn is_the_kernels(&self, target: Target) -> bool {
        self.own.is_some() || !self.is_at_home(target)
    }

    /// Whether the caller is in the supervisor's own user namespace. One that we cannot look into
    /// is taken for such.
    #[must_use]
    pub fn is_at_home(&self, target: Target) -> bool {
        target
            .user_namespace()
            .map_or(true, |namespace| self.namespace == namespace)
    }

    /// Looks at a caller that is about to set something.
    ///
    /// # Errors
    /// `ESRCH` if it is gone; [`Failed::Unreadable`].
    pub fn setter(&self, target: Target) -> Result<Setter, Failed> {
        let number = self.number(target.request.tid);
        let namespace = target.user_namespace()?;
        let status = status(target)?;
        let credentials = match self.changed_by(target, number) {
            Some(credentials) => credentials,
            None => Rc::new(self.unset(target, &status, namespace)?),
        };
        Ok(Setter {
            credentials,
            namespace,
            number,
            status,
        })
    }

    /// What the caller has that has set nothing, by its `status`: what the kernel says, as its
    /// `namespace` numbers ids.
    fn unset(&self, target: Target, status: &str, namespace: u64) -> Result<Credentials, Failed> {
        let kernels = || Credentials::of_status(status).ok_or(Errno::ESRCH);
        if self.namespace == namespace {
            return Ok(match &self.own {
                Some(own) => Credentials::root_since(own, &kernels()?),
                None => Credentials::root(),
            });
        }
        let kernels = kernels()?;
        let map = |name| Ok::<_, Failed>(String::from_utf8_lossy(&target.file(name)?).into_owned());
        let (uids, gids) = (map("uid_map")?, map("gid_map")?);
        let mut groups: Vec<u32> = kernels.groups.iter().map(|id| inside(&gids, *id)).collect();
        groups.sort_unstable();
        Ok(Credentials {
            uid: kernels.uid.map(|id| inside(&uids, id)),
            gid: kernels.gid.map(|id| inside(&gids, id)),
            groups,
            ..kernels
        })
    }

    /// The number of thread `tid`, [`UNSET`] or another that there is no entry of.
    fn number(&self, tid: i32) -> u64 {
        if !self.threads.is_empty() {
            if let Some(thread) = self
                .threads
                .get(&tid)
                .filter(|thread| start_time(tid) == Some(thread.start))
            {
                return thread.number;
            }
        }
        locks_limit(tid, None).unwrap_or(UNSET)
    }

    /// Remembers that the caller, which `setter` was, has `credentials` from now on.
    ///
    /// # Errors
    /// `ESRCH` if it is gone; prlimit(2)'s.
    pub fn set(
        &mut self,
        target: Target,
        setter: &Setter,
        credentials: Credentials,
    ) -> Result<(), Failed> {
        self.put(target, setter, credentials, None)
    }

    /// The same for what it has had `since`.
    fn put(
        &mut self,
        target: Target,
        setter: &Setter,
        credentials: Credentials,
        since: Option<u64>,
    ) -> Result<(), Failed> {
        let tid = target.request.tid;
        let status = &setter.status;
        let number = match self.numbered(target, setter, credentials.into(), None, since) {
            // We could not tell this program from the next one, so we cannot remember.
            Err(Failed::Unreadable) => return Ok(()),
            number => number?,
        };
        let number = if is_restricted(setter.number) {
            restricted(number)
        } else {
            number
        };
        let field = |name: &str| -> Option<i32> {
            let mut lines = status.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            value.trim().parse().ok()
        };
        let process = field("Tgid").ok_or(Errno::ESRCH)?;
        let is_threaded = field("Threads") != Some(1);
        target.still_waits()?;
        if tid == process || !is_threaded {
            // The kernel's credentials are each thread's own; libc has all threads make the call,
            // and they come to the same in the end.
            if is_threaded {
                self.keep_others(process, setter.number);
            }
            locks_limit(tid, Some(number))?;
            self.forget(tid);
        } else if locks_limit(tid, None)? == number {
            self.forget(tid);
        } else if let Some(start) = start_time(tid) {
            self.remember(tid, Thread { start, number });
        }
        self.tidy();
        Ok(())
    }

    /// The number of a process in the caller's program that has `credentials`, and has `announced`
    /// an execve; [`UNSET`] where that is what the kernel says.
    fn numbered(
        &mut self,
        target: Target,
        setter: &Setter,
        credentials: Rc<Credentials>,
        announced: Option<Announced>,
        since: Option<u64>,
    ) -> Result<u64, Failed> {
        let namespace = setter.namespace;
        if announced.is_none() && *credentials == self.unset(target, &setter.status, namespace)? {
            return Ok(UNSET);
        }
        let entry = Entry {
            credentials,
            program: program(target)?,
            namespace,
            announced,
        };
        Ok(self.number_of(entry, since))
    }

    /// Marks the caller's whole process, though Landlock may restrict one thread of it only.
    ///
    /// # Errors
    /// `ESRCH` if it is gone; prlimit(2)'s.
    pub fn restrict(&mut self, target: Target) -> Result<(), Failed> {
        let tid = target.request.tid;
        let number = locks_limit(tid, None)?;
        let own: Vec<(i32, Thread)> = if self.threads.is_empty() {
            Vec::new()
        } else {
            let process: i32 = target.status("Tgid")?.parse().map_err(|_| Errno::ESRCH)?;
            threads_of(process)
                .filter_map(|tid| Some((tid, *self.threads.get(&tid)?)))
                .collect()
        };
        target.still_waits()?;
        locks_limit(tid, Some(restricted(number)))?;
        for (tid, thread) in own {
            let number = restricted(thread.number);
            self.remember(tid, Thread { number, ..thread });
        }
        Ok(())
    }

    /// Has the other threads of `process` stay as they are when its first one changes.
    fn keep_others(&mut self, process: i32, before: u64) {
        for tid in threads_of(process).filter(|tid| *tid != process) {
            let Some(start) = start_time(tid) else {
                continue;
            };
            if self
                .threads
                .get(&tid)
                .is_none_or(|thread| thread.start != start)
            {
                self.remember(
                    tid,
                    Thread {
                        start,
                        number: before,
                    },
                );
            }
        }
    }

    fn number_of(&mut self, entry: Entry, since: Option<u64>) -> u64 {
        if let Some(number) = self.numbers.get(&entry) {
            return *number;
        }
        let (number, since) = (self.next, since.unwrap_or_else(now));
        self.journal.append(
            Table::Processes,
            &Record::Entry(number, since, &entry).to_bytes(),
        );
        self.insert(number, since, entry);
        number
    }

    fn insert(&mut self, number: u64, since: u64, entry: Entry) {
        let entry = Rc::new(entry);
        self.since.insert(number, since);
        self.next = self.next.max(number + 2);
        self.weight += entry.weight();
        self.numbers.insert(Rc::clone(&entry), number);
        self.entries.insert(number, entry);
    }

    fn remember(&mut self, tid: i32, thread: Thread) {
        self.journal
            .append(Table::Processes, &Record::Thread(tid, thread).to_bytes());
        self.threads.insert(tid, thread);
    }

    fn forget(&mut self, tid: i32) {
        if self.threads.remove(&tid).is_some() {
            self.journal
                .append(Table::Processes, &Record::Gone(tid).to_bytes());
        }
    }

    /// Throws away what no living process has, once there is enough of it.
    fn tidy(&mut self) {
        if self.weight + self.threads.len() > self.enough {
            self.throw_away();
        }
    }

    fn throw_away(&mut self) {
        self.threads
            .retain(|tid, thread| start_time(*tid) == Some(thread.start));
        let processes = fs::read_dir(".").into_iter().flatten().flatten();
        let processes =
            processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        // One that is started meanwhile by one that ends meanwhile may be missed. It would have set
        // nothing: numbers are not used twice.
        let used: BTreeSet<u64> = processes
            .filter_map(|pid| locks_limit(pid, None).ok())
            .chain(self.threads.values().map(|thread| thread.number))
            .map(|number| number & !RESTRICTED)
            .chain(self.of_peers())
            .collect();
        self.entries.retain(|number, _| used.contains(number));
        self.numbers.retain(|_, number| used.contains(number));
        self.since.retain(|number, _| used.contains(number));
        self.weight = self.entries.values().map(|entry| entry.weight()).sum();
        self.enough = ENOUGH.max(2 * (self.weight + self.threads.len()));
        let entries = self
            .entries
            .iter()
            .map(|(number, entry)| Record::Entry(*number, self.since[number], entry).to_bytes());
        let threads = self
            .threads
            .iter()
            .map(|(tid, thread)| Record::Thread(*tid, *thread).to_bytes());
        self.journal
            .replace(Table::Processes, entries.chain(threads));
    }

    /// The numbers of what those had who may be asked for as peers, and hardly any memory is for.
    fn of_peers(&self) -> impl Iterator<Item = u64> {
        let numbers: BTreeSet<u64> = self.peers.iter().flat_map(Peers::numbers).collect();
        let is_small = |number: &u64| {
            let entry = self.entries.get(number);
            entry.is_some_and(|entry| entry.weight() == 1)
        };
        numbers.into_iter().rev().filter(is_small).take(PEERS)
    }

    fn replay(&mut self, record: &[u8]) {
        match Record::parse(record) {
            Some(Parsed::Entry(number, since, entry)) => self.insert(number, since, entry),
            Some(Parsed::Thread(tid, thread)) => drop(self.threads.insert(tid, thread)),
            Some(Parsed::Gone(tid)) => drop(self.threads.remove(&tid)),
            None => {}
        }
    }
}

/// In nanoseconds since 1970.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}

/// The threads of `process`.
fn threads_of(process: i32) -> impl Iterator<Item = i32> {
    let tasks = fs::read_dir(format!("{process}/task")).into_iter();
    tasks
        .flatten()
        .flatten()
        .filter_map(|task| task.file_name().to_str()?.parse().ok())
}

/// When thread `tid` started, in clock ticks since boot: the 22nd field of `/proc/TID/stat`, the
/// second of which may have any bytes in its parentheses.
fn start_time(tid: i32) -> Option<u64> {
    let stat = fs::read(format!("{tid}/stat")).ok()?;
    let after_name = stat.iter().rposition(|byte| *byte == b')')?;
    std::str::from_utf8(&stat[after_name + 1..])
        .ok()?
        .split_whitespace()
        .nth(19)?
        .parse()
        .ok()
}

/// The caller's `/proc/TID/status`.
///
/// # Errors
/// `ESRCH`.
fn status(target: Target) -> Result<String, Failed> {
    Ok(String::from_utf8_lossy(&target.file("status")?).into_owned())
}

/// The program that the caller runs, or one at address 0 if that cannot be found out.
///
/// # Errors
/// [`Failed::Unreadable`].
fn program(target: Target) -> Result<Program, Failed> {
    let found = || -> Result<Program, Failed> {
        let address = at_random(&target.file("auxv")?).ok_or(Errno::ENOENT)?;
        let mut random = [0; 16];
        target.read(address, &mut random)?;
        Ok(Program { address, random })
    };
    match found() {
        Err(Failed::Error(_)) => Ok(Program {
            address: 0,
            random: [0; 16],
        }),
        found => found,
    }
}

/// AT_RANDOM's value in an auxiliary vector of either word size: types are small numbers, so that
/// with the wrong size one of them is not.
fn at_random(auxv: &[u8]) -> Option<u64> {
    let pairs = |width: usize| -> Vec<(u64, u64)> {
        let word = |bytes: &[u8]| match *bytes {
            [a, b, c, d] => u32::from_ne_bytes([a, b, c, d]).into(),
            _ => u64::from_ne_bytes(bytes.try_into().unwrap_or_default()),
        };
        auxv.chunks_exact(2 * width)
            .map(|pair| (word(&pair[..width]), word(&pair[width..])))
            .collect()
    };
    let vector = [pairs(8), pairs(4)]
        .into_iter()
        .find(|vector| vector.iter().all(|(kind, _)| *kind < 1000))?;
    vector
        .into_iter()
        .find_map(|(kind, value)| (kind == AT_RANDOM).then_some(value))
}

/// One change, as the journal has it.
enum Record<'a> {
    Entry(u64, u64, &'a Entry),
    Thread(i32, Thread),
    Gone(i32),
}

/// A change as it was read.
enum Parsed {
    Entry(u64, u64, Entry),
    Thread(i32, Thread),
    Gone(i32),
}

impl Record<'_> {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match *self {
            Record::Entry(number, since, entry) => {
                let Entry {
                    credentials,
                    program: Program { address, random },
                    namespace,
                    announced,
                } = entry;
                put(&mut bytes, [0, number, since, *namespace, *address]);
                bytes.extend(random);
                put_credentials(&mut bytes, credentials);
                put(&mut bytes, [announced.is_some().into()]);
                if let Some(Announced { credentials, file }) = announced {
                    put_credentials(&mut bytes, credentials);
                    put(&mut bytes, [file.is_some().into()]);
                    if let Some((
                        file,
                        SetId {
                            uid,
                            gid,
                            capabilities,
                            is_traced,
                        },
                    )) = file
                    {
                        let Executable {
                            dev,
                            ino,
                            mount,
                            born,
                        } = file;
                        put(&mut bytes, [dev.0.into(), dev.1.into(), *ino, *mount]);
                        put(&mut bytes, [born.is_some().into()]);
                        bytes.extend(born.unwrap_or_default().to_ne_bytes());
                        let id = |id: &Option<u32>| id.map_or(u64::MAX, u64::from);
                        put(&mut bytes, [id(uid), id(gid), (*is_traced).into()]);
                        put(&mut bytes, [capabilities.is_some().into()]);
                        if let Some(has) = capabilities {
                            let is_effective = has.are_effective.into();
                            put(&mut bytes, [has.permitted, has.inheritable, is_effective]);
                        }
                    }
                }
            }
            Record::Thread(tid, thread) => {
                let Thread { start, number } = thread;
                put(&mut bytes, [1, tid.unsigned_abs().into(), start, number]);
            }
            Record::Gone(tid) => put(&mut bytes, [2, tid.unsigned_abs().into()]),
        }
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Parsed> {
        let mut rest = Rest(bytes);
        Some(match rest.word()? {
            0 => {
                let (number, since) = (rest.word()?, rest.word()?);
                // None that is counted up to. Others of the same user can write to the journal.
                if number > u64::MAX / 2 {
                    return None;
                }
                let (namespace, address) = (rest.word()?, rest.word()?);
                let random = rest.take()?;
                let credentials = rest.credentials()?.into();
                let announced = match rest.word()? {
                    0 => None,
                    _ => Some(Announced {
                        credentials: rest.credentials()?.into(),
                        file: match rest.word()? {
                            0 => None,
                            _ => Some(rest.file()?),
                        },
                    }),
                };
                let entry = Entry {
                    credentials,
                    program: Program { address, random },
                    namespace,
                    announced,
                };
                Parsed::Entry(number, since, entry)
            }
            1 => Parsed::Thread(
                i32::try_from(rest.word()?).ok()?,
                Thread {
                    start: rest.word()?,
                    number: rest.word()?,
                },
            ),
            2 => Parsed::Gone(i32::try_from(rest.word()?).ok()?),
            _ => return None,
        })
    }
}

fn put<const N: usize>(bytes: &mut Vec<u8>, words: [u64; N]) {
    bytes.extend(words.into_iter().flat_map(u64::to_ne_bytes));
}

fn put_credentials(bytes: &mut Vec<u8>, credentials: &Credentials) {
    let Credentials {
        uid,
        gid,
        groups,
        permitted,
        effective,
        inheritable,
        ambient,
        bounding,
        securebits,
        no_new_privs,
    } = credentials;
    for ids in [uid, gid] {
        let ids = [ids.real, ids.effective, ids.saved, ids.filesystem];
        put(bytes, ids.map(u64::from));
    }
    put(
        bytes,
        [*permitted, *effective, *inheritable, *ambient, *bounding],
    );
    put(
        bytes,
        [
            (*securebits).into(),
            (*no_new_privs).into(),
            groups.len() as u64,
        ],
    );
    // There may be many, so that they are written as small as they are.
    bytes.extend(groups.iter().copied().flat_map(u32::to_ne_bytes));
}

/// What is left to be read of a record.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, behind) = self.0.split_first_chunk()?;
        self.0 = behind;
        Some(*taken)
    }

    fn word(&mut self) -> Option<u64> {
        Some(u64::from_ne_bytes(self.take()?))
    }

    fn id(&mut self) -> Option<u32> {
        u32::try_from(self.word()?).ok()
    }

    fn ids(&mut self) -> Option<Ids> {
        Some(Ids {
            real: self.id()?,
            effective: self.id()?,
            saved: self.id()?,
            filesystem: self.id()?,
        })
    }

    fn credentials(&mut self) -> Option<Credentials> {
        Some(Credentials {
            uid: self.ids()?,
            gid: self.ids()?,
            permitted: self.word()?,
            effective: self.word()?,
            inheritable: self.word()?,
            ambient: self.word()?,
            bounding: self.word()?,
            securebits: self.id()?,
            no_new_privs: self.word()? != 0,
            groups: {
                let count = self.word()?;
                let groups = (0..count).map(|_| self.take().map(u32::from_ne_bytes));
                groups.collect::<Option<Vec<u32>>>()?
            },
        })
    }

    fn file(&mut self) -> Option<(Executable, SetId)> {
        let (dev, ino) = ((self.id()?, self.id()?), self.word()?);
        let mount = self.word()?;
        let (has_born, born) = (self.word()? != 0, i128::from_ne_bytes(self.take()?));
        let born = has_born.then_some(born);
        // What is no id stands for none.
        let (uid, gid) = (self.word()?.try_into().ok(), self.word()?.try_into().ok());
        let is_traced = self.word()? != 0;
        let capabilities = match self.word()? {
            0 => None,
            _ => Some(FileCapabilities {
                permitted: self.word()?,
                inheritable: self.word()?,
                are_effective: self.word()? != 0,
            }),
        };
        let file = Executable {
            dev,
            ino,
            mount,
            born,
        };
        Some((
            file,
            SetId {
                uid,
                gid,
                capabilities,
                is_traced,
            },
        ))
    }
}
