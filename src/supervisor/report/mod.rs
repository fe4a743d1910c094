//! What was pretended: a line for each call as it happens (`--trace`), and what it all came to at
//! the end (`--summary`).

mod event;
mod json;
pub mod seen;
mod tally;
mod text;
mod trace;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};

use super::recovery::journal::{Journal, Table};
use super::target::answer::{How, Outcome};
use super::target::proc::Target;
use crate::filter::policy::{Class, Level};
use event::{Event, program};
use seen::Seen;
use tally::{Change, MOST, Tally};
use trace::Trace;

/// The longest message of a helper's: a path and little more.
const MESSAGE: usize = 16 << 10;

/// From as many records on the journal is looked through for what has become of them.
const ENOUGH: usize = 10_000;

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

/// What a helper says to the process that takes note.
enum Said {
    /// A line of the trace.
    Line(String),
    /// A change of the numbers.
    Change(Change),
}

impl Said {
    fn to_message(&self) -> String {
        match self {
            Said::Line(line) => format!("l{line}"),
            Said::Change(change) => format!("c{}", change.to_record()),
        }
    }

    fn from_message(message: &str) -> Option<Said> {
        if let Some(line) = message.strip_prefix('l') {
            return Some(Said::Line(line.into()));
        }
        Change::parse(message.strip_prefix('c')?).map(Said::Change)
    }
}

/// What has been seen, and for whom.
pub struct Report {
    watchers: Watchers,
    tally: Tally,
    /// Where a successor finds the numbers, and in how many records.
    journal: Rc<Journal>,
    records: usize,
    /// The trace, and whether it is for machines.
    trace: Option<(Trace, bool)>,
    /// Where helpers say something, and where that arrives; `None` before there is one.
    said: Option<(OwnedFd, OwnedFd)>,
    /// Which program each of the threads ran that have set an id.
    changed: BTreeMap<i32, String>,
}

impl Report {
    /// Of a run at `level`, with nothing in it yet.
    #[must_use]
    pub fn new(level: Level, mut watchers: Watchers, journal: Rc<Journal>) -> Report {
        let trace = watchers.trace.take().map(|sink| {
            let about_lost = if sink.is_json { json::lost } else { text::lost };
            (Trace::new(sink.output, about_lost), sink.is_json)
        });
        Report {
            trace,
            watchers,
            tally: Tally::new(level),
            journal,
            records: 0,
            said: None,
            changed: BTreeMap::new(),
        }
    }

    /// Whether anybody wants to know.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.trace.is_some() || self.watchers.are_there()
    }

    /// Takes note of a call of `class` that is about to be answered with `outcome`.
    pub fn note(&mut self, target: Target, class: Class, outcome: Outcome) {
        let tid = target.request.tid;
        if class == Class::Getid {
            // Most who ask have changed nothing, and are not looked at.
            if let Some(changed) = self.changed.get(&tid) {
                if *changed == program(target) && !self.tally.checked.contains(changed) {
                    let changed = changed.clone();
                    self.count(Change::Checked(changed));
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
        if let Some((_, is_json)) = &self.trace {
            let line = if *is_json {
                json::line(&event)
            } else {
                text::line(&event)
            };
            self.say(target, Said::Line(line));
        }
        if self.watchers.summary.is_some() {
            for change in Change::by(event) {
                self.say(target, Said::Change(change));
            }
        }
    }

    /// Takes note of something, or has the process do it that this is a helper of.
    fn say(&mut self, target: Target, said: Said) {
        match &self.said {
            // If it cannot be said, the process that takes note is gone.
            Some((tell, _)) if target.is_helper => {
                let message = said.to_message();
                let _ = send(tell.as_raw_fd(), message.as_bytes(), MsgFlags::MSG_NOSIGNAL);
            }
            _ => self.hear(said),
        }
    }

    fn hear(&mut self, said: Said) {
        match said {
            Said::Line(line) => {
                if let Some((trace, _)) = &mut self.trace {
                    trace.add(&line);
                }
            }
            Said::Change(change) => self.count(change),
        }
    }

    /// Changes the numbers, also for a successor.
    fn count(&mut self, change: Change) {
        self.journal
            .append(Table::Report, change.to_record().as_bytes());
        self.tally.apply(change);
        self.records += 1;
        // As often as the numbers have doubled, or more seldom.
        if self.records > ENOUGH.max(2 * self.tally.len()) {
            let changes = self.tally.changes();
            let records = changes.map(|change| change.to_record().into_bytes());
            self.journal.replace(Table::Report, records);
            self.records = self.tally.len();
        }
    }

    /// Goes on with the numbers of another process, which served up to now.
    pub fn take_over(&mut self) {
        (self.tally, self.records) = (Tally::new(self.tally.level), 0);
        for record in self.journal.records(Table::Report) {
            if let Some(change) = Change::parse(&String::from_utf8_lossy(&record)) {
                self.tally.apply(change);
                self.records += 1;
            }
        }
    }

    /// Prepares to hear what helpers say, which are forked from now on.
    ///
    /// # Errors
    /// socketpair(2)'s.
    pub fn listen(&mut self) -> Result<(), Errno> {
        if (self.watchers.summary.is_some() || self.trace.is_some()) && self.said.is_none() {
            let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
            self.said = Some(socketpair(family, kind, None, SockFlag::SOCK_CLOEXEC)?);
        }
        Ok(())
    }

    /// Where something arrives that helpers say.
    #[must_use]
    pub fn said(&self) -> Option<BorrowedFd<'_>> {
        self.said.as_ref().map(|(_, said)| said.as_fd())
    }

    /// Takes note of what helpers have said.
    pub fn hear_all(&mut self) {
        let Some(said) = self.said.as_ref().map(|(_, said)| said.as_raw_fd()) else {
            return;
        };
        let mut message = vec![0; MESSAGE];
        while let Ok(len @ 1..) = recv(said, &mut message, MsgFlags::MSG_DONTWAIT) {
            let message = String::from_utf8_lossy(&message[..len]);
            if let Some(said) = Said::from_message(&message) {
                self.hear(said);
            }
        }
    }

    /// Writes what is left of the trace, and the summary, if they are wanted.
    pub fn finish(&mut self) {
        self.hear_all();
        if let Some((trace, _)) = &mut self.trace {
            trace.finish();
        }
        let Some(mut summary) = self.watchers.summary.take() else {
            return;
        };
        let summarize = if summary.is_json {
            json::summary
        } else {
            text::summary
        };
        let _ = summary.output.write_all(summarize(&self.tally).as_bytes());
    }
}
