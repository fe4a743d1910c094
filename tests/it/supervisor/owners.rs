//! The table of owners among processes: several that write at once, who are killed or stopped
//! behind any instruction, and who have little memory.
//!
//! `ZROOT_KILLS=N` has N processes killed at random moments in place of a thousand. With
//! `ZROOT_ALL=1` they are stopped behind each instruction, and not each seventh, and meet there
//! each of the others' changes, and not one of them.

#![allow(clippy::cast_possible_truncation)] // numbers that are small, and halves of words

use std::fs;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getcpu, sched_setaffinity};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::ptrace;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use zroot::internals::supervisor::memory::attributes::{Attributes, Known};
use zroot::internals::supervisor::memory::owners::{Device, Inode, Looks, Owners, Record};
use zroot::internals::sys::memory::Shared;

use crate::common;

/// A child that does `work` and ends, with status 0 if that says so.
fn child(work: impl FnOnce() -> bool) -> Pid {
    // SAFETY: glibc's fork takes malloc's locks; nothing else is held that `work` could wait for,
    // which neither prints nor panics.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Parent { child } => child,
        // SAFETY: as above; it ends without what the test harness would do at its end.
        ForkResult::Child => unsafe {
            // Nobody else ends it if the test fails.
            let _ = set_pdeathsig(Signal::SIGKILL);
            libc::_exit(i32::from(!work()))
        },
    }
}

#[track_caller]
fn is_well(child: Pid) {
    assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
}

fn inode(ino: u64) -> Inode {
    Inode { dev: (8, 1), ino }
}

/// Random numbers (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }
}

// One change, and what it comes to.

/// A record with its birth, and the number that its attribute says; 0 if there is none.
type State = Option<(u64, Record, u32)>;

#[derive(Clone, Copy, Debug)]
enum Change {
    Set(u64, u32),
    Update(u64, Option<u32>, Option<u32>),
    Attribute(u64, u32),
    Forget,
}

/// A value that says `number`: of each length, so that it is in a block of each size.
fn value(number: u32) -> Vec<u8> {
    number.to_ne_bytes().repeat(1 + number as usize * 7 % 40)
}

/// The number that the attribute of `inode` says, which was born at `birth`.
fn attribute(owners: &Owners, inode: Inode, birth: u64) -> u32 {
    let all = owners.attributes(inode, birth);
    let Some(Known::Value(value)) = all.get(b"name") else {
        return 0;
    };
    let number = value
        .first_chunk()
        .map_or(0, |bytes| u32::from_ne_bytes(*bytes));
    if *value == self::value(number) {
        number
    } else {
        u32::MAX
    }
}

/// A file that was born at `birth`.
fn looks(birth: u64) -> Looks {
    Looks {
        birth,
        mode: libc::S_IFREG | 0o644,
    }
}

/// A record all of whose parts say `number`.
fn record(number: u32) -> Record {
    Record {
        owner: (number, number),
        device: (number % 3 != 0).then_some(Device {
            kind: if number % 2 == 0 {
                libc::S_IFCHR
            } else {
                libc::S_IFBLK
            },
            number: (number % 4096, number),
        }),
        permissions: (number % 5 != 0).then_some(number % 0o10000),
    }
}

/// Who owns what nobody has given away.
const OTHERWISE: (u32, u32) = (70, 71);

impl Change {
    fn make(self, owners: &Owners, inode: Inode) -> bool {
        match self {
            Change::Set(birth, number) => owners.set(inode, looks(birth), record(number)).is_ok(),
            Change::Update(birth, uid, gid) => owners
                .update(inode, looks(birth), uid, gid, OTHERWISE)
                .is_ok(),
            Change::Attribute(birth, number) => {
                let value = value(number);
                let change = |all: &mut Attributes| {
                    all.set(b"name", Some(Known::Value(value.clone())));
                    Ok(())
                };
                owners
                    .change_attributes(inode, looks(birth), OTHERWISE, change)
                    .is_ok()
            }
            Change::Forget => {
                owners.forget(inode);
                true
            }
        }
    }

    fn after(self, state: State) -> State {
        match self {
            Change::Set(birth, number) => Some((birth, record(number), 0)),
            Change::Update(birth, uid, gid) => {
                let (birth, mut record, attribute) = known(state, birth);
                record.owner.0 = uid.unwrap_or(record.owner.0);
                record.owner.1 = gid.unwrap_or(record.owner.1);
                Some((birth, record, attribute))
            }
            Change::Attribute(birth, number) => {
                let (birth, record, _) = known(state, birth);
                Some((birth, record, number))
            }
            Change::Forget => None,
        }
    }
}

/// What is known of the one that was born at `birth`, or what that is taken to be.
fn known(state: State, birth: u64) -> (u64, Record, u32) {
    let plain = Record::new(OTHERWISE, None);
    state
        .filter(|state| state.0 == birth)
        .unwrap_or((birth, plain, 0))
}

/// What is known of `inode`, which was born at 1 or 2.
fn state(owners: &Owners, inode: Inode) -> State {
    let [one, two] = [1, 2].map(|birth| {
        let record = owners.find(inode, || birth)?;
        Some((birth, record, attribute(owners, inode, birth)))
    });
    assert!(one.is_none() || two.is_none(), "{one:?} {two:?}");
    one.or(two)
}

// Who is stopped behind any instruction.

/// What the table is like when somebody comes.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Before {
    /// Nothing has ever been remembered.
    Empty,
    Unknown,
    Forgotten,
    Known,
}

/// What the one does who is stopped.
const CHANGES: [Change; 7] = [
    Change::Set(1, 4),
    Change::Set(2, 5),
    Change::Update(1, Some(6), None),
    Change::Update(2, None, Some(7)),
    Change::Forget,
    Change::Attribute(1, 14),
    Change::Attribute(2, 15),
];

/// What another does meanwhile.
const MEANWHILE: [Change; 6] = [
    Change::Update(1, None, Some(8)),
    Change::Set(2, 9),
    Change::Forget,
    Change::Update(2, Some(10), None),
    Change::Set(1, 11),
    Change::Attribute(1, 16),
];

/// And after that: the record is in the same place as before.
const AND_THEN: Change = Change::Update(1, Some(12), Some(13));

/// Tables, with an inode as it is to be, and others in its chain.
struct Scenes {
    owners: Owners,
    next: u64,
}

impl Scenes {
    fn new() -> Scenes {
        let owners = Owners::with(1 << 13, 64).expect("memory");
        Scenes { owners, next: 0 }
    }

    fn set(&mut self, before: Before) -> (Owners, Inode, State) {
        self.next += 1;
        // Chains that are short, and not all alike.
        if self.next % 256 == 0 || before == Before::Empty {
            *self = Scenes::new();
        }
        let (owners, inode) = (self.owners, inode(self.next));
        let changes: &[Change] = match before {
            Before::Empty => return (owners, inode, None),
            Before::Unknown => &[],
            Before::Forgotten => &[Change::Set(1, 1), Change::Forget],
            Before::Known => &[Change::Set(1, 1), Change::Attribute(1, 3)],
        };
        bystander(&owners, self.next as u32);
        assert!(changes.iter().all(|change| change.make(&owners, inode)));
        let state = changes
            .iter()
            .fold(None, |state, change| change.after(state));
        (owners, inode, state)
    }
}

/// Changes another inode, which uses places that are spare, and then looks at it.
#[track_caller]
fn bystander(owners: &Owners, number: u32) {
    let other = inode(1 << 30 | u64::from(number % 4));
    for (birth, number) in [(1, number), (2, number + 1), (1, number + 2)] {
        owners
            .set(other, looks(birth), record(number))
            .expect("memory");
        let expected = Some((birth, record(number), 0));
        assert_eq!(state(owners, other), expected);
        let said = 17 + number % 64;
        assert!(Change::Attribute(birth, said).make(owners, other));
        assert_eq!(attribute(owners, other, birth), said);
    }
}

/// A child that has made `steps` instructions of `work`, about; `None` if that was all.
fn stopped(steps: u32, work: impl FnOnce() -> bool) -> Option<Pid> {
    // Not raise(3), which takes a hundred instructions more.
    let stop = || kill(Pid::this(), Signal::SIGSTOP).is_ok();
    let child = child(|| ptrace::traceme().is_ok() && stop() && work());
    assert_eq!(
        waitpid(child, None),
        Ok(WaitStatus::Stopped(child, Signal::SIGSTOP))
    );
    for _ in 0..steps {
        ptrace::step(child, None).expect("a step");
        match waitpid(child, None).expect("waited for") {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {}
            end => {
                assert_eq!(end, WaitStatus::Exited(child, 0));
                return None;
            }
        }
    }
    Some(child)
}

/// Whether a process can be stepped through what the table does. (Where there is no instruction
/// that compares and exchanges, a stop between its parts has it begin anew, for ever.)
fn can_step(test: &str) -> bool {
    let can = std::env::consts::ARCH == "x86_64";
    if can {
        let mut here = CpuSet::new();
        // A stop then wakes up nobody elsewhere.
        here.set(sched_getcpu().expect("a processor"))
            .expect("a processor of the set");
        sched_setaffinity(Pid::from_raw(0), &here).expect("affinity");
    } else {
        common::skip(test, "instructions cannot be stepped through");
    }
    can
}

/// Behind how many instructions they are stopped: to be cut off once there are none left.
fn steps() -> impl Iterator<Item = u32> {
    // Without optimization there are ten times as many.
    let stride = match (is_long(), cfg!(debug_assertions)) {
        (true, _) => 1,
        (false, true) => 97,
        (false, false) => 7,
    };
    // Others, each time.
    let first = Instant::now().elapsed().subsec_nanos() % stride;
    (first..).step_by(stride as usize)
}

fn is_long() -> bool {
    std::env::var_os("ZROOT_ALL").is_some_and(|value| value == "1")
}

/// What there may be when somebody comes, with what that one does.
fn cases() -> impl Iterator<Item = (Before, Change)> {
    // Each needs a table of its own, which nobody gives back.
    let empty = [0, 3].map(|i| (Before::Empty, CHANGES[i]));
    let others = [Before::Unknown, Before::Forgotten, Before::Known];
    let others = others
        .into_iter()
        .flat_map(|before| CHANGES.map(|change| (before, change)));
    others.chain(empty)
}

#[test]
fn killed_behind_any_instruction() {
    if !can_step("killed_behind_any_instruction") {
        return;
    }
    let mut scenes = Scenes::new();
    for (before, change) in cases() {
        let (mut old, mut new) = (0, 0);
        for steps in steps() {
            let (owners, inode, was) = scenes.set(before);
            let victim = stopped(steps, || change.make(&owners, inode));
            if let Some(victim) = victim {
                kill(victim, Signal::SIGKILL).expect("killed");
                waitpid(victim, None).expect("waited for");
            }
            let (is, after) = (state(&owners, inode), change.after(was));
            assert!(
                is == after || (victim.is_some() && is == was),
                "{steps}: {is:?}"
            );
            old += u32::from(is != after);
            new += u32::from(is == after);
            // A successor goes on.
            bystander(&owners, steps);
            assert_eq!(state(&owners, inode), is);
            let again = MEANWHILE[steps as usize % MEANWHILE.len()];
            assert!(again.make(&owners, inode) && change.make(&owners, inode));
            assert_eq!(state(&owners, inode), change.after(again.after(is)));
            bystander(&owners, steps + 1);
            if victim.is_none() {
                break;
            }
        }
        println!("{before:?} {change:?}: killed {old} times before, {new} times behind");
        assert!(new > 0 && old + new > 3);
    }
}

#[test]
fn a_stopped_writer_comes_back() {
    if !can_step("a_stopped_writer_comes_back") {
        return;
    }
    let mut scenes = Scenes::new();
    let rounds = if is_long() { MEANWHILE.len() } else { 1 };
    for ((before, change), round) in cases().flat_map(|case| (0..rounds).map(move |i| (case, i))) {
        for steps in steps() {
            let meanwhile = MEANWHILE[(steps as usize + round) % MEANWHILE.len()];
            let (owners, inode, was) = scenes.set(before);
            let Some(writer) = stopped(steps, || change.make(&owners, inode)) else {
                break;
            };
            let is = state(&owners, inode);
            assert!(is == was || is == change.after(was), "{steps}: {is:?}");
            assert!(meanwhile.make(&owners, inode) && AND_THEN.make(&owners, inode));
            let after = AND_THEN.after(meanwhile.after(is));
            assert_eq!(state(&owners, inode), after);
            bystander(&owners, steps);
            ptrace::cont(writer, None).expect("going on");
            is_well(writer);
            // What has been seen was before what was done then, and what had not, comes after it.
            let is_done = is == change.after(was);
            let expected = [after, change.after(after)];
            let at_last = state(&owners, inode);
            let expected = match (is_done, is == was) {
                (true, false) => &expected[..1],
                (false, _) => &expected[1..],
                (true, true) => &expected[..],
            };
            assert!(
                expected.contains(&at_last),
                "{before:?} {change:?} {steps} {meanwhile:?}"
            );
            bystander(&owners, steps + 1);
        }
    }
}

#[test]
fn a_stopped_reader_sees_no_mixture() {
    if !can_step("a_stopped_reader_sees_no_mixture") {
        return;
    }
    let mut scenes = Scenes::new();
    let found: Shared<[AtomicU64; 5]> = Shared::zeroed().expect("memory");
    for (meanwhile, birth) in MEANWHILE.into_iter().flat_map(|c| [1, 2].map(|b| (c, b))) {
        for steps in steps() {
            let (owners, inode, was) = scenes.set(Before::Known);
            let reader = stopped(steps, || {
                let record = owners.find(inode, || birth);
                let device = record.and_then(|record| record.device);
                let words = record.map_or([0; 4], |record| {
                    let (uid, gid) = record.owner;
                    let (kind, number) = device.map_or((0, (0, 0)), |d| (d.kind, d.number));
                    let join = |(high, low): (u32, u32)| u64::from(high) << 32 | u64::from(low);
                    let permissions = record.permissions.map_or(0, |shown| shown | 1 << 16);
                    let kind = join((permissions, kind));
                    [1, join((uid, gid)), kind, join(number)]
                });
                for (to, word) in found.iter().zip(words) {
                    to.store(word, Ordering::Release);
                }
                true
            });
            let Some(reader) = reader else {
                break;
            };
            assert!(meanwhile.make(&owners, inode) && AND_THEN.make(&owners, inode));
            // The place has something else now.
            bystander(&owners, steps);
            ptrace::cont(reader, None).expect("going on");
            is_well(reader);
            let [is_any, owner, kind, number, _] =
                [0, 1, 2, 3, 4].map(|i| found[i].load(Ordering::Acquire));
            let split = |word: u64| ((word >> 32) as u32, word as u32);
            let seen = (is_any == 1).then(|| Record {
                owner: split(owner),
                permissions: (kind >> 32 != 0).then_some((kind >> 32) as u32 & 0xffff),
                device: (kind as u32 != 0).then(|| Device {
                    kind: kind as u32,
                    number: split(number),
                }),
            });
            let own = |state: State| state.filter(|state| state.0 == birth).map(|state| state.1);
            let then = meanwhile.after(was);
            let expected = [own(was), own(then), own(AND_THEN.after(then))];
            assert!(
                expected.contains(&seen),
                "{meanwhile:?} {birth} {steps}: {seen:?}"
            );
        }
    }
}

#[test]
fn a_stopped_reader_sees_no_mixture_of_attributes() {
    if !can_step("a_stopped_reader_sees_no_mixture_of_attributes") {
        return;
    }
    let mut scenes = Scenes::new();
    let found: Shared<AtomicU64> = Shared::zeroed().expect("memory");
    for meanwhile in MEANWHILE {
        for steps in steps() {
            let (owners, inode, was) = scenes.set(Before::Known);
            let reader = stopped(steps, || {
                found.store(attribute(&owners, inode, 1).into(), Ordering::Release);
                true
            });
            let Some(reader) = reader else {
                break;
            };
            assert!(meanwhile.make(&owners, inode) && AND_THEN.make(&owners, inode));
            // The block has something else now.
            bystander(&owners, steps);
            ptrace::cont(reader, None).expect("going on");
            is_well(reader);
            let own = |state: State| known(state, 1).2;
            let then = meanwhile.after(was);
            let seen = found.load(Ordering::Acquire) as u32;
            assert!(
                [own(was), own(then), own(AND_THEN.after(then))].contains(&seen),
                "{meanwhile:?} {steps}: {seen}"
            );
        }
    }
}

// Several at once, killed or not.

/// Of the inodes, the first are everybody's, and each writer has as many for itself alone.
const EACH: u64 = 32;
const WRITERS: u64 = 4;
const KEYS: usize = (EACH * (WRITERS + 1)) as usize;

/// What a writer sets of `key` the `count`th time: nothing of it is like anything else's.
fn nth(writer: u64, key: u64, count: u64) -> (u64, Record) {
    let word = (writer << 56 | key << 40 | count).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let device = (word % 2 == 0).then_some(Device {
        kind: libc::S_IFCHR,
        number: ((count % 4096) as u32, key as u32),
    });
    let owner = ((writer << 24 | key) as u32, count as u32);
    // A third are reborn.
    (
        (count / 3) << 16 | writer << 8 | key,
        Record::new(owner, device),
    )
}

/// Whose record that is, and the how manyth; `None` if nobody ever set it.
fn who(key: u64, birth: u64, record: Record) -> Option<(u64, u64)> {
    let (writer, count) = (u64::from(record.owner.0 >> 24), u64::from(record.owner.1));
    (nth(writer, key, count) == (birth, record)).then_some((writer, count))
}

/// What is known of `key`, and whose that is. As find, but for any birth.
fn anybodys(owners: &Owners, births: impl Iterator<Item = u64>, key: u64) -> Option<(u64, u64)> {
    for birth in births {
        if let Some(record) = owners.find(inode(key), || birth) {
            return Some(who(key, birth, record).unwrap_or((u64::MAX, 0)));
        }
    }
    None
}

#[test]
fn several_write_at_once() {
    let sets = if cfg!(debug_assertions) {
        100_000
    } else {
        400_000
    };
    let owners = Owners::with(1 << 16, 16).expect("memory");
    // By writer and key: how many times it has been set.
    let counts: Shared<[AtomicU64; KEYS * 4]> = Shared::zeroed().expect("memory");
    let at = |writer: u64, key: u64| &counts[(writer * KEYS as u64 + key) as usize];
    let mut children = Vec::new();
    for own in 0..WRITERS {
        children.push(child(|| {
            let mut random = Random(own + 1);
            let mut seen = [[0; EACH as usize]; WRITERS as usize];
            (0..sets).all(|_| {
                let key = random.below(EACH);
                // Of one birth each, so that everybody finds everybody's.
                let count = at(own, key).load(Ordering::Relaxed) + 1;
                let (_, record) = nth(own, key, count);
                let is_set = owners.set(inode(key), looks(0), record).is_ok();
                at(own, key).store(count, Ordering::Release);
                // Everybody's come in their order, and our own last one has been.
                let found = owners.find(inode(key), || 0).and_then(|found| {
                    let (writer, count) = (u64::from(found.owner.0 >> 24), found.owner.1.into());
                    (nth(writer, key, count).1 == found).then_some((writer, count))
                });
                let Some((writer, last)) = found else {
                    return false;
                };
                let before = &mut seen[writer as usize][key as usize];
                let is_late = last < *before || (writer == own && last != count);
                *before = last;
                is_set && !is_late
            })
        }));
    }
    children.into_iter().for_each(is_well);
    for key in 0..EACH {
        let found = owners.find(inode(key), || 0).expect("a record");
        let writer = u64::from(found.owner.0 >> 24);
        // It is the last of its writer's.
        assert_eq!(
            found,
            nth(writer, key, at(writer, key).load(Ordering::Acquire)).1
        );
    }
}

#[test]
fn no_chown_is_lost_to_another() {
    let owners = Owners::with(1 << 10, 1).expect("memory");
    let times = 100_000;
    let change = |work: &dyn Fn(u32) -> bool| child(|| (1..=times).all(work));
    let key = inode(1);
    let children = [
        change(&|i| {
            owners
                .update(key, looks(1), Some(i), None, OTHERWISE)
                .is_ok()
        }),
        change(&|i| {
            owners
                .update(key, looks(1), None, Some(i), OTHERWISE)
                .is_ok()
        }),
        change(&|i| {
            // Somebody else's places go round.
            let other = inode(2);
            let is_set = owners.set(other, looks(u64::from(i)), record(i)).is_ok();
            is_set && owners.find(other, || u64::from(i)) == Some(record(i))
        }),
    ];
    children.into_iter().for_each(is_well);
    let found = owners.find(key, || 1).expect("a record");
    assert_eq!((found.owner, found.device), ((times, times), None));
}

#[test]
fn killed_at_random_moments() {
    let kills = std::env::var("ZROOT_KILLS").map_or(1_000, |n| n.parse().expect("a number"));
    let owners = Owners::with(1 << 20, 64).expect("memory");
    // By writer and key: how many times it has been begun to be set, and was.
    let begun: Shared<[AtomicU64; KEYS * 4]> = Shared::zeroed().expect("memory");
    let done: Shared<[AtomicU64; KEYS * 4]> = Shared::zeroed().expect("memory");
    let at = |writer: u64, key: u64| (writer * KEYS as u64 + key) as usize;
    let mut random = Random(Instant::now().elapsed().as_nanos() as u64 | 1);
    let write = |own: u64, mut random: Random| {
        child(|| {
            loop {
                let key = match random.below(2) {
                    0 => random.below(EACH),
                    _ => EACH * (own + 1) + random.below(EACH),
                };
                let count = begun[at(own, key)].fetch_add(1, Ordering::AcqRel) + 1;
                let (birth, record) = nth(own, key, count);
                if owners.set(inode(key), looks(birth), record).is_err() {
                    return false;
                }
                done[at(own, key)].store(count, Ordering::Release);
            }
        })
    };
    let mut writers: Vec<_> = (0..WRITERS)
        .map(|own| write(own, Random(own + 1)))
        .collect();
    for number in 0..kills {
        let own = number % WRITERS;
        let moment = Instant::now() + Duration::from_nanos(random.below(400_000));
        while Instant::now() < moment {
            spin_loop();
        }
        let victim = writers[own as usize];
        kill(victim, Signal::SIGKILL).expect("killed");
        let end = waitpid(victim, None);
        assert_eq!(
            end,
            Ok(WaitStatus::Signaled(victim, Signal::SIGKILL, false))
        );
        for key in (0..EACH).map(|i| EACH * (own + 1) + i) {
            let counts = [&done, &begun].map(|counts| &counts[at(own, key)]);
            let [done, begun] = counts.map(|count| count.load(Ordering::Acquire));
            let found = anybodys(
                &owners,
                (done..=begun).map(|count| nth(own, key, count).0),
                key,
            );
            // A successor counts on from what is there.
            let count = found.map_or(0, |found| found.1);
            let is_own = found.is_none_or(|found| found.0 == own);
            assert!(
                is_own && (done..=begun).contains(&count),
                "{found:?} of {own}'s {key}, {done} or {begun}"
            );
            for to in counts {
                to.store(count, Ordering::Release);
            }
        }
        writers[own as usize] = write(own, Random(random.below(1 << 40) + 1));
    }
    for writer in writers {
        kill(writer, Signal::SIGKILL).expect("killed");
        waitpid(writer, None).expect("waited for");
    }
    // What is everybody's is somebody's last, and whole.
    for key in 0..EACH {
        let births = (0..WRITERS).flat_map(|own| {
            let [done, begun] =
                [&done, &begun].map(|counts| counts[at(own, key)].load(Ordering::Acquire));
            (done..=begun).map(move |count| nth(own, key, count).0)
        });
        let found = anybodys(&owners, births, key);
        assert!(
            found.is_some_and(|found| found.0 < WRITERS),
            "{found:?} of {key}"
        );
    }
    let sum: u64 = done.iter().map(|count| count.load(Ordering::Acquire)).sum();
    println!("{kills} killed, {sum} sets");
    assert!(sum > kills * 10);
}

// Memory.

/// What `/proc/PID/status` says of `name`, in kB.
fn status(process: Pid, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    number
        .and_then(|number| number.parse().ok())
        .expect("a number of kB")
}

#[test]
fn a_million_take_little_memory() {
    for (count, most) in [(0, 100), (1, 300), (70_000, 8_000), (1_000_000, 72_000)] {
        // A child has none of the pages that are shared, but for those that it touches.
        let child = child(|| {
            let Ok(owners) = Owners::new() else {
                return false;
            };
            let are_set = (0..count).all(|ino| {
                owners
                    .set(inode(1_000 + u64::from(ino)), looks(7), record(ino))
                    .is_ok()
            });
            are_set && raise(Signal::SIGSTOP).is_ok()
        });
        let stopped = waitpid(child, Some(WaitPidFlag::WUNTRACED));
        assert_eq!(stopped, Ok(WaitStatus::Stopped(child, Signal::SIGSTOP)));
        let shared = status(child, "RssShmem:");
        println!(
            "{count} inodes: {shared} kB, page tables {} kB",
            status(child, "VmPTE:")
        );
        kill(child, Signal::SIGKILL).expect("killed");
        waitpid(child, None).expect("waited for");
        assert!(shared <= most, "{count} inodes: {shared} kB");
    }
}

#[test]
fn few_addresses_will_do() {
    for (megabytes, inodes) in [(12_u64, 60_000_u32), (64, 200_000)] {
        let child = child(|| {
            // How many pages of addresses there are, in the first field.
            let pages = fs::read_to_string("/proc/self/statm").ok();
            let pages = pages
                .as_deref()
                .and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
            // SAFETY: asks for a number.
            let page = u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) });
            let (Some(pages), Ok(page)) = (pages, page) else {
                return false;
            };
            let limit = pages * page + (megabytes << 20);
            let Ok(owners) =
                setrlimit(Resource::RLIMIT_AS, limit, limit).and_then(|()| Owners::new())
            else {
                return false;
            };
            let set = |ino: u32| owners.set(inode(ino.into()), looks(1), record(ino));
            let are_set = (0..inodes).all(|ino| set(ino).is_ok());
            // In the end it is full, and that is all.
            let error = (inodes..1 << 23).find_map(|ino| set(ino).err());
            are_set
                && error == Some(nix::errno::Errno::ENOMEM)
                && (0..inodes).all(|ino| owners.find(inode(ino.into()), || 1) == Some(record(ino)))
        });
        is_well(child);
    }
}
