//! What was pretended: a line for each call as it happens (`--trace`), and what it all came to at
//! the end (`--summary`).

mod event;
mod json;
pub mod seen;
mod tally;
mod text;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};

use super::target::answer::{How, Outcome};
use super::target::proc::Target;
use crate::filter::policy::{Class, Level};
use event::{Counted, Event, program};
use seen::Seen;
use tally::{MOST, Tally};

/// The longest message of a helper's: a path and little more.
const MESSAGE: usize = 16 << 10;

/// Where a report goes.
#[derive(Debug)]
pub struct Sink {
    /// The file.
    pub output: File,
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
        let sinks = [&self.trace, &self.summary].into_iter().flatten();
        sinks.map(|sink| sink.output.as_raw_fd())
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
    tally: Tally,
    /// Where helpers say what is to be counted, and where that arrives; `None` where nobody counts.
    counted: Option<(OwnedFd, OwnedFd)>,
    /// Which program each of the threads ran that have set an id.
    changed: BTreeMap<i32, String>,
}

impl Report {
    /// Of a run at `level`, with nothing in it yet.
    #[must_use]
    pub fn new(level: Level, watchers: Watchers) -> Report {
        Report {
            watchers,
            tally: Tally::new(level),
            counted: None,
            changed: BTreeMap::new(),
        }
    }

    /// Whether anybody wants to know.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.watchers.are_there()
    }

    /// Says that a process which served before took its numbers with it.
    pub fn miss(&mut self) {
        self.tally.is_partial = true;
    }

    /// Takes note of a call of `class` that is about to be answered with `outcome`.
    pub fn note(&mut self, target: Target, class: Class, outcome: Outcome) {
        let tid = target.request.tid;
        if class == Class::Getid {
            // Most who ask have changed nothing, and are not looked at.
            if let Some(changed) = self.changed.get(&tid) {
                if *changed == program(target) {
                    self.tally.has_checked(changed);
                }
            }
            return;
        }
        if class == Class::Probe || outcome.how == How::Real {
            return;
        }
        if let Some(seen) = &self.watchers.seen {
            seen.add(class);
        }
        let event = Event::new(target, class, outcome.answer);
        if class == Class::Identity {
            if self.changed.len() >= MOST {
                self.changed.clear();
            }
            self.changed.insert(tid, event.program.clone());
        }
        if let Some(trace) = &mut self.watchers.trace {
            let line = if trace.is_json {
                json::line(&event)
            } else {
                text::line(&event)
            };
            // There is nobody to be told that it cannot be written.
            let _ = trace.output.write_all(line.as_bytes());
        }
        if self.watchers.summary.is_none() {
            return;
        }
        match &self.counted {
            // If it cannot be said, the process that counts is gone.
            Some((tell, _)) if target.is_helper => {
                let message = Counted::from(event).to_message();
                let _ = send(tell.as_raw_fd(), message.as_bytes(), MsgFlags::MSG_NOSIGNAL);
            }
            _ => self.tally.add(event.into()),
        }
    }

    /// Prepares to count what helpers say, which are forked from now on.
    ///
    /// # Errors
    /// socketpair(2)'s.
    pub fn listen(&mut self) -> Result<(), Errno> {
        if self.watchers.summary.is_some() && self.counted.is_none() {
            let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
            self.counted = Some(socketpair(family, kind, None, SockFlag::SOCK_CLOEXEC)?);
        }
        Ok(())
    }

    /// Where something arrives that helpers say.
    #[must_use]
    pub fn said(&self) -> Option<BorrowedFd<'_>> {
        self.counted.as_ref().map(|(_, said)| said.as_fd())
    }

    /// Counts what helpers have said.
    pub fn count(&mut self) {
        let Some((_, said)) = &self.counted else {
            return;
        };
        let mut message = vec![0; MESSAGE];
        while let Ok(len) = recv(said.as_raw_fd(), &mut message, MsgFlags::MSG_DONTWAIT) {
            let message = String::from_utf8_lossy(&message[..len]);
            if let Some(counted) = Counted::from_message(&message) {
                self.tally.add(counted);
            }
        }
    }

    /// Writes the summary, if one is wanted.
    pub fn finish(&mut self) {
        let Some(mut summary) = self.watchers.summary.take() else {
            return;
        };
        let summarize = if summary.is_json {
            json::summary
        } else {
            text::summary
        };
        self.count();
        let _ = summary.output.write_all(summarize(&self.tally).as_bytes());
    }
}
