//! Who each process was when it last connected a socket, listened at one, or made a pair: the
//! kernel keeps that, and tells who is at the other end (`SO_PEERCRED`).
//!
//! The kernel keeps it with each socket, and this by process: to whoever has connected to it a
//! process is who it was when it listened last, to others who it was when it connected last. It may
//! be gone by then.

use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;

use crate::supervisor::target::mark::FIRST;
use crate::sys::memory::Shared;

/// As many numbers as processes have by default; where there are more, the later of two with the
/// same remainder is known.
const SLOTS: usize = 1 << 16;
/// A process's number has 22 bits (`PID_MAX_LIMIT`, include/linux/threads.h).
const PROCESS: u32 = 42;

/// Whom a process is taken for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Whom the kernel says.
    Kernels,
    /// Root, who has set nothing.
    Root,
    /// Who has what entry `number` says ([`processes`](super::processes)).
    Set {
        /// The entry's.
        number: u64,
        /// Whether that was set in another program.
        has_executed: bool,
    },
}

/// How a process meets a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// It listens, and the peer connects.
    Listens,
    /// It connects, or makes a pair.
    Connects,
}

/// What is known of each, in memory that a successor shares.
#[derive(Clone, Copy)]
pub struct Peers {
    listening: Shared<[AtomicU64; SLOTS]>,
    connecting: Shared<[AtomicU64; SLOTS]>,
}

impl Peers {
    /// Nothing yet, shared with the processes forked from now on.
    ///
    /// # Errors
    /// mmap(2)'s.
    pub fn new() -> Result<Peers, Errno> {
        Ok(Peers {
            listening: Shared::zeroed()?,
            connecting: Shared::zeroed()?,
        })
    }

    /// Takes note that `process` has that `standing` when it meets a peer that way.
    pub fn set(&self, process: i32, way: Way, standing: Standing) {
        if let Some(slot) = self.slot(process, way) {
            let process = u64::from(process.unsigned_abs()) << PROCESS;
            slot.store(process | code(standing), Ordering::Release);
        }
    }

    /// What `process` had.
    #[must_use]
    pub fn get(&self, process: i32, way: Way) -> Option<Standing> {
        let word = self.slot(process, way)?.load(Ordering::Acquire);
        let is_its = word >> PROCESS == u64::from(process.unsigned_abs());
        is_its.then(|| standing(word & ((1 << PROCESS) - 1)))
    }

    /// The entries that are needed.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        let slots = self.listening.iter().chain(self.connecting.iter());
        let words = slots.map(|slot| slot.load(Ordering::Acquire));
        words.filter_map(|word| match standing(word & ((1 << PROCESS) - 1)) {
            Standing::Set { number, .. } => Some(number),
            _ => None,
        })
    }

    fn slot(&self, process: i32, way: Way) -> Option<&AtomicU64> {
        let process = usize::try_from(process).ok().filter(|number| *number > 0)?;
        let slots = match way {
            Way::Listens => &self.listening,
            Way::Connects => &self.connecting,
        };
        slots.get(process % SLOTS)
    }
}

/// Numbers of entries are even, and there is none as small as the first three.
fn code(standing: Standing) -> u64 {
    match standing {
        Standing::Kernels => 0,
        Standing::Root => 1,
        Standing::Set {
            number,
            has_executed,
        } => 2 + (number - FIRST) + u64::from(has_executed),
    }
}

fn standing(code: u64) -> Standing {
    match code {
        0 => Standing::Kernels,
        1 => Standing::Root,
        code => Standing::Set {
            number: FIRST + (code - 2) / 2 * 2,
            has_executed: code % 2 == 1,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{FIRST, Peers, SLOTS, Standing, Way};

    #[test]
    fn the_last_of_each_is_known() {
        const BY: Way = Way::Connects;
        let peers = Peers::new().expect("memory");
        assert_eq!(peers.get(5, BY), None);
        let set = |number, has_executed| Standing::Set {
            number,
            has_executed,
        };
        for standing in [
            Standing::Kernels,
            Standing::Root,
            set(FIRST + 2, false),
            set(FIRST + 2, true),
            set(FIRST + (1 << 20), true),
        ] {
            peers.set(5, BY, standing);
            assert_eq!(peers.get(5, BY), Some(standing));
            assert_eq!(peers.get(5, Way::Listens), None);
        }
        let numbers: Vec<u64> = peers.numbers().collect();
        assert_eq!(numbers, [FIRST + (1 << 20)]);
        let other = 5 + i32::try_from(SLOTS).expect("an int");
        peers.set(other, BY, Standing::Root);
        assert_eq!([5, 0, -1].map(|none| peers.get(none, BY)), [None; 3]);
    }
}
