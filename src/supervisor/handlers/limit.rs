//! The limit RLIMIT_LOCKS, with which the supervisor marks processes
//! ([`processes`](crate::supervisor::memory::processes)): there seems to be none, and setting one
//! does nothing. It limits nothing since Linux 2.4.25.

use nix::errno::Errno;

use crate::arch::signature::Kind;
use crate::arch::{Abi, Sysno};
use crate::supervisor::session::Session;
use crate::supervisor::target::answer::{Failed, How, Outcome};
use crate::supervisor::target::proc::Target;
use crate::supervisor::target::request::{Argument, Request};

/// `RLIMIT_LOCKS`, include/uapi/asm-generic/resource.h.
const LOCKS: u32 = 10;

/// Whether `request` is about that limit.
#[must_use]
pub fn is_about_locks(request: &Request) -> bool {
    request
        .arg(Kind::Resource)
        .is_ok_and(|resource| resource.word() == LOCKS)
}

/// Answers it. Of what prlimit64(2) says of other processes nothing is looked at: whoever they are,
/// they have no such limit.
pub fn answer(session: &mut Session, request: &Request) -> Outcome {
    Outcome::of(answered(session.target(request)), Outcome::PRETENDED)
}

fn answered(target: Target) -> Result<How, Failed> {
    let mut pointers = target.request.all(Kind::Pointer).map(Argument::pointer);
    let mut pointer = || pointers.next().unwrap_or_default();
    match target.request.sysno {
        Sysno::prlimit64 => {
            let (new, old) = (pointer(), pointer());
            // In this order, as the kernel has it (kernel/sys.c, `prlimit64`).
            let how = if new == 0 {
                How::Real
            } else {
                set(target, new)?
            };
            if old != 0 {
                get(target, old)?;
            }
            Ok(how)
        }
        Sysno::setrlimit => set(target, pointer()),
        _ => get(target, pointer()),
    }
}

/// Looks at a new limit, and forgets it.
fn set(target: Target, address: u64) -> Result<How, Failed> {
    let layout = Layout::of(target.request);
    let mut bytes = [0; 16];
    let bytes = &mut bytes[..2 * layout.width];
    target.read(address, bytes)?;
    let (soft, hard) = bytes.split_at(layout.width);
    let [soft, hard] = [soft, hard].map(|bytes| match *bytes {
        [a, b, c, d] => u32::from_ne_bytes([a, b, c, d]).into(),
        _ => u64::from_ne_bytes(bytes.try_into().unwrap_or_default()),
    });
    if soft > hard {
        return Err(Errno::EINVAL.into());
    }
    // Of no limit there is nothing to pretend.
    Ok(if soft == layout.infinity {
        How::Real
    } else {
        How::Pretended
    })
}

/// Says that there is none.
fn get(target: Target, address: u64) -> Result<How, Failed> {
    let layout = Layout::of(target.request);
    let limit = match u32::try_from(layout.infinity) {
        Ok(narrow) => narrow.to_ne_bytes().to_vec(),
        Err(_) => layout.infinity.to_ne_bytes().to_vec(),
    };
    target.write(address, &limit.repeat(2))?;
    Ok(How::Real)
}

/// How a call has the two members of a limit.
struct Layout {
    /// In bytes.
    width: usize,
    infinity: u64,
}

impl Layout {
    fn of(request: &Request) -> Layout {
        // x32 has the 64-bit structure, though its own long has 32, as in mode_and_time.
        let abi = request.abi;
        if request.sysno == Sysno::prlimit64 || abi.long_is_64bit() || abi == Abi::X32 {
            return Layout {
                width: 8,
                infinity: u64::MAX,
            };
        }
        // The old getrlimit knows 31 bits (kernel/sys.c, `old_getrlimit`), and mips has no more
        // (arch/mips/include/uapi/asm/resource.h).
        let is_old = request.sysno == Sysno::getrlimit && matches!(abi, Abi::I386 | Abi::S390);
        let is_mips = matches!(abi, Abi::Mipsn32el | Abi::Mipsel);
        Layout {
            width: 4,
            infinity: if is_old || is_mips {
                0x7fff_ffff
            } else {
                0xffff_ffff
            },
        }
    }
}
