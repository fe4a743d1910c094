//! Ids, groups and capabilities as the target last set them: read its arguments, ask the model
//! ([`credentials`](crate::supervisor::memory::credentials)), remember.

use caps::Capability;
use nix::errno::Errno;

use crate::arch::Sysno;
use crate::supervisor::memory::credentials::{ALL_CAPABILITIES, Credentials};
use crate::supervisor::memory::processes::Store;
use crate::supervisor::target::Target;
use crate::supervisor::target::call::{Answer, Call};

/// `NGROUPS_MAX`, include/uapi/linux/limits.h.
const NGROUPS_MAX: i32 = 65536;
/// `_LINUX_CAPABILITY_VERSION_1` to `_3`, include/uapi/linux/capability.h, and how many words of
/// each set they have.
const VERSIONS: [(u32, usize); 3] = [(0x1998_0330, 1), (0x2007_1026, 2), (0x2008_0522, 2)];

/// Answers a call of the classes `identity`, `capability` and `getid`.
pub fn answer(target: &Target, store: &mut Store) -> Answer {
    let call = target.call;
    match call.sysno {
        Sysno::capget => {
            capget(target, store).unwrap_or_else(|errno| unless_closed(target, errno, Answer::Real))
        }
        Sysno::prctl => prctl(target, store),
        _ => match get(target, store) {
            Some(result) => result.map_or_else(
                |errno| unless_closed(target, errno, Answer::Real),
                Answer::Value,
            ),
            None => set(target, store).map_or_else(
                |errno| unless_closed(target, errno, Answer::Value(0)),
                Answer::Value,
            ),
        },
    }
}

/// `errno`, or `instead` if the caller's memory is out of reach.
fn unless_closed(target: &Target, errno: Errno, instead: Answer) -> Answer {
    if target.is_closed.get() {
        instead
    } else {
        Answer::Error(errno)
    }
}

/// The calls that ask.
fn get(target: &Target, store: &Store) -> Option<Result<i64, Errno>> {
    let call = target.call;
    let now = || store.credentials(target);
    Some(match call.sysno {
        Sysno::getuid | Sysno::getuid32 => value(call, now().uid.real),
        Sysno::geteuid | Sysno::geteuid32 => value(call, now().uid.effective),
        Sysno::getgid | Sysno::getgid32 => value(call, now().gid.real),
        Sysno::getegid | Sysno::getegid32 => value(call, now().gid.effective),
        Sysno::getresuid | Sysno::getresuid32 | Sysno::getresgid | Sysno::getresgid32 => {
            let now = now();
            let ids = if matches!(call.sysno, Sysno::getresuid | Sysno::getresuid32) {
                &now.uid
            } else {
                &now.gid
            };
            let ids = [ids.real, ids.effective, ids.saved];
            ids.into_iter()
                .enumerate()
                .try_for_each(|(i, id)| target.write(call.pointer(i), &bytes(call, &[id])))
                .map(|()| 0)
        }
        Sysno::getgroups | Sysno::getgroups32 => {
            let groups = &now().groups;
            let room = call.int(0);
            let count = i32::try_from(groups.len()).unwrap_or(NGROUPS_MAX);
            if room < 0 || room != 0 && count > room {
                Err(Errno::EINVAL)
            } else if room == 0 || groups.is_empty() {
                Ok(count.into())
            } else {
                target
                    .write(call.pointer(1), &bytes(call, groups))
                    .map(|()| count.into())
            }
        }
        _ => return None,
    })
}

/// The calls that change something.
fn set(target: &Target, store: &mut Store) -> Result<i64, Errno> {
    let call = target.call;
    let mut now = Credentials::clone(&store.credentials(target));
    let id = |i| call.owner(i);
    let before = now.clone();
    let result = match call.sysno {
        Sysno::setuid | Sysno::setuid32 => now.setuid(id(0)).map(|()| 0),
        Sysno::setgid | Sysno::setgid32 => now.setgid(id(0)).map(|()| 0),
        Sysno::setreuid | Sysno::setreuid32 => now.setreuid(id(0), id(1)).map(|()| 0),
        Sysno::setregid | Sysno::setregid32 => now.setregid(id(0), id(1)).map(|()| 0),
        Sysno::setresuid | Sysno::setresuid32 => now.setresuid(id(0), id(1), id(2)).map(|()| 0),
        Sysno::setresgid | Sysno::setresgid32 => now.setresgid(id(0), id(1), id(2)).map(|()| 0),
        // These return all of an id even where they take 16 bits of one (kernel/uid16.c).
        Sysno::setfsuid | Sysno::setfsuid32 => Ok(now.setfsuid(id(0)).into()),
        Sysno::setfsgid | Sysno::setfsgid32 => Ok(now.setfsgid(id(0)).into()),
        Sysno::setgroups | Sysno::setgroups32 => setgroups(target, &mut now).map(|()| 0),
        Sysno::capset => capset(target, &mut now).map(|()| 0),
        _ => Err(Errno::ENOSYS),
    }?;
    if now != before {
        target.is_pretended.set(true);
        store.set(target, now)?;
    }
    Ok(result)
}

fn setgroups(target: &Target, now: &mut Credentials) -> Result<(), Errno> {
    let call = target.call;
    // Without the right to it the rest is not even looked at (kernel/groups.c, may_setgroups).
    if !now.has(Capability::CAP_SETGID) {
        return Err(Errno::EPERM);
    }
    let count = call.int(0);
    if !(0..=NGROUPS_MAX).contains(&count) {
        return Err(Errno::EINVAL);
    }
    let width = if call.has_16bit_ids() { 2 } else { 4 };
    let mut list = vec![0; count.unsigned_abs() as usize * width];
    target.read(call.pointer(1), &mut list)?;
    let groups = list.chunks_exact(width).map(|id| match *id {
        [a, b] => match u16::from_ne_bytes([a, b]) {
            u16::MAX => u32::MAX,
            id => id.into(),
        },
        _ => u32::from_ne_bytes(id.try_into().unwrap_or_default()),
    });
    now.setgroups(groups.collect())
}

/// The header of capget(2) and capset(2): how many words a set has, and whose it is.
fn header(target: &Target) -> Result<(usize, i32), Errno> {
    let address = target.call.pointer(0);
    let mut header = [0; 8];
    target.read(address, &mut header[..4])?;
    let version = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]);
    let Some((_, words)) = VERSIONS.into_iter().find(|(known, _)| *known == version) else {
        target.write(address, &VERSIONS[2].0.to_ne_bytes())?;
        return Err(Errno::EINVAL);
    };
    target.read(address + 4, &mut header[4..])?;
    Ok((
        words,
        i32::from_ne_bytes([header[4], header[5], header[6], header[7]]),
    ))
}

/// Whether `pid`, as the caller counts, is the caller.
fn is_caller(target: &Target, pid: i32) -> bool {
    pid == 0
        || target.status("NSpid").is_ok_and(|numbers| {
            numbers
                .split_whitespace()
                .last()
                .and_then(|number| number.parse().ok())
                == Some(pid)
        })
}

fn capget(target: &Target, store: &Store) -> Result<Answer, Errno> {
    let data = target.call.pointer(1);
    let (words, pid) = match header(target) {
        Err(Errno::EINVAL) if data == 0 => return Ok(Answer::Value(0)),
        header => header?,
    };
    // Of others, and of one that has dropped nothing, the kernel knows.
    let changed = if data != 0 && is_caller(target, pid) {
        store.changed(target)
    } else {
        None
    };
    let Some(now) = changed else {
        return Ok(Answer::Real);
    };
    let sets = [now.effective, now.permitted, now.inheritable];
    let mut out = Vec::new();
    for word in 0..words {
        for set in sets {
            out.extend(low_word(set >> (32 * word)).to_ne_bytes());
        }
    }
    target.write(data, &out)?;
    Ok(Answer::Value(0))
}

fn capset(target: &Target, now: &mut Credentials) -> Result<(), Errno> {
    let (words, pid) = header(target)?;
    if !is_caller(target, pid) {
        return Err(Errno::EPERM);
    }
    let mut data = [0; 24];
    let data = &mut data[..12 * words];
    target.read(target.call.pointer(1), data)?;
    let set = |which: usize| {
        (0..words).fold(0, |set, word| {
            let at = 12 * word + 4 * which;
            set | u64::from(u32::from_ne_bytes(
                data[at..at + 4].try_into().unwrap_or_default(),
            )) << (32 * word)
        }) & ALL_CAPABILITIES
    };
    now.capset(set(0), set(1), set(2))
}

fn prctl(target: &Target, store: &mut Store) -> Answer {
    let call = target.call;
    let mut now = Credentials::clone(&store.credentials(target));
    let before = now.clone();
    let Some(result) = now.prctl(call.int(0), [1, 2, 3, 4].map(|i| call.long(i))) else {
        return Answer::Real;
    };
    let stored = if now == before {
        Ok(())
    } else {
        target.is_pretended.set(true);
        store.set(target, now)
    };
    result
        .and_then(|value| stored.map(|()| value.into()))
        .into()
}

fn low_word(set: u64) -> u32 {
    (set & 0xffff_ffff) as u32
}

/// An id as the call returns it.
#[allow(clippy::unnecessary_wraps)] // a call's result, beside others
fn value(call: &Call, id: u32) -> Result<i64, Errno> {
    Ok(if call.has_16bit_ids() {
        narrow(id).into()
    } else {
        id.into()
    })
}

/// Ids as the call writes them.
fn bytes(call: &Call, ids: &[u32]) -> Vec<u8> {
    if call.has_16bit_ids() {
        ids.iter()
            .flat_map(|id| narrow(*id).to_ne_bytes())
            .collect()
    } else {
        ids.iter().flat_map(|id| id.to_ne_bytes()).collect()
    }
}

/// An id too large for 16 bits is the overflow id there (include/linux/highuid.h, `high2lowuid`).
fn narrow(id: u32) -> u16 {
    u16::try_from(id).unwrap_or(65534)
}
