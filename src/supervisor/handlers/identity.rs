//! Ids, groups and capabilities as the target last set them: read its arguments, ask the model
//! ([`credentials`](crate::supervisor::memory::credentials)), remember.

use caps::Capability;
use nix::errno::Errno;

use crate::arch::Sysno;
use crate::arch::signature::Kind;
use crate::supervisor::memory::credentials::{ALL_CAPABILITIES, Credentials, Ids};
use crate::supervisor::memory::processes::{Processes, Setter};
use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Answer, Failed, How, Outcome};
use crate::supervisor::target::proc::Target;
use crate::supervisor::target::request::{Argument, Request};

/// `NGROUPS_MAX`, include/uapi/linux/limits.h.
const NGROUPS_MAX: i32 = 65536;
/// `_LINUX_CAPABILITY_VERSION_1` to `_3`, include/uapi/linux/capability.h, and how many words of
/// each set they have.
const VERSIONS: [(u32, usize); 3] = [(0x1998_0330, 1), (0x2007_1026, 2), (0x2008_0522, 2)];

/// Answers a call of the classes `identity`, `capability` and `getid`.
pub fn answer(session: &mut Session, request: &Request) -> Outcome {
    let target = session.sight.target(request);
    let processes = &mut session.processes;
    // A process that we cannot look into gets the kernel's answer to a question. What it sets is
    // forgotten: we could not give it back.
    let asked = |result: Result<Answer, Failed>| match result {
        Ok(answer) => Outcome::real(answer),
        Err(failed) => failed.outcome(Outcome::CONTINUE),
    };
    match request.sysno {
        Sysno::capget => asked(capget(target, processes)),
        Sysno::prctl => {
            prctl(target, processes).unwrap_or_else(|failed| failed.outcome(Outcome::PRETENDED))
        }
        _ => match Question::of(request.sysno) {
            Some(question) => asked(get(target, processes, question)),
            None => {
                set(target, processes).unwrap_or_else(|failed| failed.outcome(Outcome::PRETENDED))
            }
        },
    }
}

/// What a call asks for.
#[derive(Clone, Copy)]
enum Question {
    Id(fn(&Credentials) -> u32),
    Three(fn(&Credentials) -> Ids),
    Groups,
}

impl Question {
    fn of(call: Sysno) -> Option<Question> {
        Some(match call {
            Sysno::getuid | Sysno::getuid32 => Question::Id(|now| now.uid.real),
            Sysno::geteuid | Sysno::geteuid32 => Question::Id(|now| now.uid.effective),
            Sysno::getgid | Sysno::getgid32 => Question::Id(|now| now.gid.real),
            Sysno::getegid | Sysno::getegid32 => Question::Id(|now| now.gid.effective),
            Sysno::getresuid | Sysno::getresuid32 => Question::Three(|now| now.uid),
            Sysno::getresgid | Sysno::getresgid32 => Question::Three(|now| now.gid),
            Sysno::getgroups | Sysno::getgroups32 => Question::Groups,
            _ => return None,
        })
    }
}

/// The calls that ask.
fn get(target: Target, processes: &mut Processes, question: Question) -> Result<Answer, Failed> {
    let request = target.request;
    let now = match processes.settled(target) {
        Some(now) => now,
        // The kernel has the groups of the user that are not mapped, too, which root has not.
        None if matches!(question, Question::Groups) && processes.is_at_home(target)
            || !processes.is_the_kernels(target) =>
        {
            Credentials::root().into()
        }
        None => return Ok(Answer::Continue),
    };
    let value = match question {
        Question::Id(id) => {
            let id = id(&now);
            // An id as the call returns it.
            if request.has_16bit_ids() {
                narrow(id).into()
            } else {
                id.into()
            }
        }
        Question::Three(ids) => write_ids(target, ids(&now))?,
        Question::Groups => getgroups(target, &now.groups)?,
    };
    Ok(Answer::Value(value))
}

/// getresuid(2) and getresgid(2).
fn write_ids(target: Target, ids: Ids) -> Result<i64, Failed> {
    let addresses = target.request.all(Kind::IdOut).map(Argument::pointer);
    for (address, id) in addresses.zip([ids.real, ids.effective, ids.saved]) {
        target.write(address, &bytes(target.request, &[id]))?;
    }
    Ok(0)
}

fn getgroups(target: Target, groups: &[u32]) -> Result<i64, Failed> {
    let request = target.request;
    let room = request.arg(Kind::Count)?.int();
    let count = i32::try_from(groups.len()).unwrap_or(NGROUPS_MAX);
    if room < 0 || room != 0 && count > room {
        return Err(Errno::EINVAL.into());
    }
    if room != 0 && !groups.is_empty() {
        target.write(
            request.arg(Kind::Groups)?.pointer(),
            &bytes(request, groups),
        )?;
    }
    Ok(count.into())
}

/// The calls that change something.
fn set(target: Target, processes: &mut Processes) -> Result<Outcome, Failed> {
    let request = target.request;
    let setter = processes.setter(target)?;
    let mut now = Credentials::clone(&setter.credentials);
    let mut ids = request.ids().map(|(_, id)| id);
    let mut id = || ids.next().unwrap_or(u32::MAX);
    let result: i64 = match request.sysno {
        Sysno::setuid | Sysno::setuid32 => now.setuid(id()).map(|()| 0)?,
        Sysno::setgid | Sysno::setgid32 => now.setgid(id()).map(|()| 0)?,
        Sysno::setreuid | Sysno::setreuid32 => now.setreuid(id(), id()).map(|()| 0)?,
        Sysno::setregid | Sysno::setregid32 => now.setregid(id(), id()).map(|()| 0)?,
        Sysno::setresuid | Sysno::setresuid32 => now.setresuid(id(), id(), id()).map(|()| 0)?,
        Sysno::setresgid | Sysno::setresgid32 => now.setresgid(id(), id(), id()).map(|()| 0)?,
        // These return all of an id even where they take 16 bits of one (kernel/uid16.c).
        Sysno::setfsuid | Sysno::setfsuid32 => now.setfsuid(id()).into(),
        Sysno::setfsgid | Sysno::setfsgid32 => now.setfsgid(id()).into(),
        Sysno::setgroups | Sysno::setgroups32 => setgroups(target, &mut now).map(|()| 0)?,
        Sysno::capset => capset(target, &mut now).map(|()| 0)?,
        _ => return Err(Errno::ENOSYS.into()),
    };
    let how = remember(target, processes, &setter, now)?;
    Ok(Outcome {
        answer: Answer::Value(result),
        how,
    })
}

/// Remembers what the caller has `now`, if that is not what it had before.
pub(super) fn remember(
    target: Target,
    processes: &mut Processes,
    setter: &Setter,
    now: Credentials,
) -> Result<How, Failed> {
    if now == *setter.credentials {
        return Ok(How::Real);
    }
    processes.set(target, setter, now)?;
    Ok(How::Remembered)
}

fn setgroups(target: Target, now: &mut Credentials) -> Result<(), Failed> {
    let request = target.request;
    // Without the right to it the rest is not even looked at (kernel/groups.c, may_setgroups).
    if !now.has(Capability::CAP_SETGID) {
        return Err(Errno::EPERM.into());
    }
    let count = request.arg(Kind::Count)?.int();
    if !(0..=NGROUPS_MAX).contains(&count) {
        return Err(Errno::EINVAL.into());
    }
    let width = if request.has_16bit_ids() { 2 } else { 4 };
    let mut list = vec![0; count.unsigned_abs() as usize * width];
    target.read(request.arg(Kind::Groups)?.pointer(), &mut list)?;
    let groups = list.chunks_exact(width).map(|id| match *id {
        [a, b] => match u16::from_ne_bytes([a, b]) {
            u16::MAX => u32::MAX,
            id => id.into(),
        },
        _ => u32::from_ne_bytes(id.try_into().unwrap_or_default()),
    });
    Ok(now.setgroups(groups.collect())?)
}

/// The header of capget(2) and capset(2): how many words a set has, and whose it is.
fn header(target: Target) -> Result<(usize, i32), Failed> {
    let address = target.request.arg(Kind::CapHeader)?.pointer();
    let mut header = [0; 8];
    target.read(address, &mut header[..4])?;
    let version = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]);
    let Some((_, words)) = VERSIONS.into_iter().find(|(known, _)| *known == version) else {
        target.write(address, &VERSIONS[2].0.to_ne_bytes())?;
        return Err(Errno::EINVAL.into());
    };
    target.read(address + 4, &mut header[4..])?;
    Ok((
        words,
        i32::from_ne_bytes([header[4], header[5], header[6], header[7]]),
    ))
}

/// Whether `pid`, as the caller counts, is the caller.
fn is_caller(target: Target, pid: i32) -> bool {
    pid == 0 || target.own_number() == Some(pid)
}

fn capget(target: Target, processes: &Processes) -> Result<Answer, Failed> {
    let data = target.request.arg(Kind::CapData)?.pointer();
    let (words, pid) = match header(target) {
        Err(Failed::Error(Errno::EINVAL)) if data == 0 => return Ok(Answer::Value(0)),
        header => header?,
    };
    // Of others, and of one that has dropped nothing, the kernel knows.
    let is_ours = data != 0 && is_caller(target, pid);
    let changed = if is_ours {
        processes.changed(target)
    } else {
        None
    };
    let Some(now) = changed else {
        return Ok(Answer::Continue);
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

fn capset(target: Target, now: &mut Credentials) -> Result<(), Failed> {
    let (words, pid) = header(target)?;
    if !is_caller(target, pid) {
        return Err(Errno::EPERM.into());
    }
    let mut data = [0; 24];
    let data = &mut data[..12 * words];
    target.read(target.request.arg(Kind::CapData)?.pointer(), data)?;
    let set = |which: usize| {
        (0..words).fold(0, |set, word| {
            let at = 12 * word + 4 * which;
            let bits = u32::from_ne_bytes(data[at..at + 4].try_into().unwrap_or_default());
            set | u64::from(bits) << (32 * word)
        }) & ALL_CAPABILITIES
    };
    Ok(now.capset(set(0), set(1), set(2))?)
}

fn prctl(target: Target, processes: &mut Processes) -> Result<Outcome, Failed> {
    let request = target.request;
    let option = request.arg(Kind::Request)?.int();
    let args = rest(request);
    let is_drop = option == libc::PR_CAPBSET_DROP;
    let asks = match option {
        libc::PR_GET_KEEPCAPS | libc::PR_GET_SECUREBITS => true,
        libc::PR_CAP_AMBIENT => args[0] == libc::PR_CAP_AMBIENT_IS_SET as u64,
        _ => false,
    };
    // Of one that has set nothing the kernel knows, which keeps the bounding set for all.
    if is_drop {
        // It counts at the next execve, really.
        target.callers.roam();
    }
    let is_the_kernels = (is_drop || asks) && processes.changed(target).is_none();
    if is_the_kernels || is_drop && !processes.is_the_kernels(target) {
        return Ok(Outcome::CONTINUE);
    }
    let setter = processes.setter(target)?;
    let mut now = Credentials::clone(&setter.credentials);
    let Some(result) = now.prctl(option, args) else {
        return Ok(Outcome::CONTINUE);
    };
    let value = result?;
    let how = remember(target, processes, &setter, now)?;
    Ok(if is_drop {
        // Really, too: the kernel's process still has the capability for it.
        Outcome::CONTINUE
    } else {
        Outcome {
            answer: Answer::Value(value.into()),
            how,
        }
    })
}

/// What prctl is given beside the option.
pub(super) fn rest(request: &Request) -> [u64; 4] {
    let mut rest = request.all(Kind::Number).map(Argument::long);
    [(); 4].map(|()| rest.next().unwrap_or_default())
}

fn low_word(set: u64) -> u32 {
    (set & 0xffff_ffff) as u32
}

/// Ids as the call writes them.
fn bytes(request: &Request, ids: &[u32]) -> Vec<u8> {
    if request.has_16bit_ids() {
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
