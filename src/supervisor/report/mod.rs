//! What was pretended: a line for each call as it happens (`--trace`), and what it all came to at
//! the end (`--summary`).

pub mod complete;
mod event;
mod json;
pub mod kept;
mod outlet;
pub mod seen;
mod tally;
mod text;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};

use super::memory::remembered::Remembered;
use super::recovery::journal::{Journal, Table};
use super::target::answer::{How, Outcome};
use super::target::proc::Target;
use super::target::running::Running;
use crate::filter::policy::{Class, Level};
use crate::whole_file::WholeFile;
use complete::Writer;
use event::{Event, program};
use kept::Kept;
use outlet::Outlet;
use seen::Seen;
use tally::{Change, MOST, Tally};

/// The longest message of a helper's: a path and little more.
const MESSAGE: usize = 16 << 10;

/// From as many bytes on the journal is looked through for what has become of its records.
const ENOUGH: usize = 1 << 20;

/// Where something is written.
#[derive(Debug)]
pub enum Output {
    /// To a terminal, a pipe, or the end of a file.
    Stream(File),
    /// To a file that has all of it, or nothing.
    Whole(WholeFile),
}

/// Where a report goes.
#[derive(Debug)]
pub struct Sink {
    /// The file.
    pub output: Output,
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
    /// What becomes of what is remembered.
    pub kept: Kept,
    /// Who waits for trace and summary.
    pub waits: Option<Writer>,
}

impl Watchers {
    /// The descriptors that must stay open.
    pub fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        let sinks = [&self.trace, &self.summary].into_iter().flatten();
        let outputs = sinks.map(|sink| match &sink.output {
            Output::Stream(file) => file.as_raw_fd(),
            Output::Whole(file) => file.descriptor(),
        });
        outputs.chain(self.waits.as_ref().map(Writer::descriptor))
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
    tally: Tally,
    /// Where a successor finds the numbers, and how large their records are.
    journal: Rc<Journal>,
    recorded: usize,
    /// The trace, and whether it is for machines.
    trace: Option<(Outlet, bool)>,
    summary: Option<Summary>,
    seen: Option<Seen>,
    waits: Option<Writer>,
    /// Whether the command has ended.
    is_asked: bool,
    /// Where helpers say something, and where that arrives; `None` before there is one.
    said: Option<(OwnedFd, OwnedFd)>,
    /// Which program each of the threads ran that have set an id.
    changed: BTreeMap<i32, String>,
}

/// Where the summary goes.
struct Summary {
    place: Place,
    is_json: bool,
    /// Whether it has been said. A file is written anew when there is more.
    is_said: bool,
    /// What was said last.
    text: String,
    error: Option<Errno>,
}

enum Place {
    Stream(Outlet),
    Whole(WholeFile),
}

impl Report {
    /// Of a run at `level`, with nothing in it yet.
    #[must_use]
    pub fn new(level: Level, watchers: Watchers, journal: Rc<Journal>) -> Report {
        let Watchers {
            trace,
            summary,
            seen,
            kept,
            waits,
        } = watchers;
        // A trace has no other form.
        let trace = trace.and_then(|sink| match sink.output {
            Output::Stream(file) => Some((Outlet::new(file), sink.is_json)),
            Output::Whole(_) => None,
        });
        let summary = summary.map(|sink| Summary {
            place: match sink.output {
                Output::Stream(file) => Place::Stream(Outlet::new(file)),
                Output::Whole(file) => Place::Whole(file),
            },
            is_json: sink.is_json,
            is_said: false,
            text: String::new(),
            error: None,
        });
        Report {
            tally: Tally::new(level, kept),
            journal,
            recorded: 0,
            trace,
            summary,
            seen,
            waits,
            is_asked: false,
            said: None,
            changed: BTreeMap::new(),
        }
    }

    /// Whether anybody wants to know.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.trace.is_some() || self.summary.is_some() || self.seen.is_some()
    }

    /// Takes note of a call of `class` that is about to be answered with `outcome`, and of whose
    /// file `owners`, if there are, know by now.
    pub fn note(
        &mut self,
        target: Target,
        class: Class,
        outcome: Outcome,
        owners: Option<&Remembered>,
    ) {
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
        let is_kept = outcome.how == How::Remembered && self.tally.kept.classes().contains(class);
        if let Some(seen) = self.seen.as_ref().filter(|_| !is_kept) {
            seen.add(class);
        }
        let event = Event::new(target, class, outcome.answer, owners);
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
        if self.summary.is_some() {
            for change in Change::by(event, self.tally.level) {
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
                if let Some((trace, is_json)) = &mut self.trace {
                    trace.add(&line, about_lost(*is_json));
                }
            }
            Said::Change(change) => self.count(change),
        }
    }

    /// Changes the numbers, also for a successor.
    fn count(&mut self, change: Change) {
        let change = self.tally.bounded(change);
        let record = change.to_record();
        self.journal.append(Table::Report, record.as_bytes());
        self.recorded += record.len();
        self.tally.apply(change);
        // As often as the numbers have doubled, or more seldom.
        if self.recorded > ENOUGH {
            let records = || self.tally.changes().map(|change| change.to_record());
            let needed = records().map(|record| record.len()).sum();
            if self.recorded > 2 * needed {
                let records = records().map(String::into_bytes);
                self.journal.replace(Table::Report, records);
                self.recorded = needed;
            }
        }
    }

    /// Goes on with the numbers of another process, which served up to now.
    pub fn take_over(&mut self) {
        (self.tally, self.recorded) = (Tally::new(self.tally.level, self.tally.kept), 0);
        for record in self.journal.records(Table::Report) {
            if let Some(change) = Change::parse(&String::from_utf8_lossy(&record)) {
                self.tally.apply(change);
                self.recorded += record.len();
            }
        }
        if let Some(summary) = &mut self.summary {
            summary.is_said = self.waits.as_ref().is_some_and(Writer::was_complete);
        }
    }

    /// Prepares to hear what helpers say, which are forked from now on.
    ///
    /// # Errors
    /// socketpair(2)'s.
    pub fn listen(&mut self) -> Result<(), Errno> {
        if (self.summary.is_some() || self.trace.is_some()) && self.said.is_none() {
            let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
            self.said = Some(socketpair(family, kind, None, SockFlag::SOCK_CLOEXEC)?);
        }
        Ok(())
    }

    /// Whether there is something to be waited for beside the next call.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        let is_slow = self
            .trace
            .as_ref()
            .is_some_and(|(trace, _)| trace.waits().is_some());
        is_slow || self.is_waited_for()
    }

    /// Whether zroot waits for the report, or will.
    fn is_waited_for(&self) -> bool {
        self.waits
            .as_ref()
            .is_some_and(|waits| !waits.was_complete())
    }

    /// What is to be waited for: what helpers say, the command's end, and readers that are slow.
    #[must_use]
    pub fn awaited(&self) -> Vec<PollFd<'_>> {
        let said = self
            .said
            .as_ref()
            .map(|(_, said)| (said.as_fd(), PollFlags::POLLIN));
        let waits = self
            .waits
            .as_ref()
            .filter(|_| !self.is_asked && self.is_waited_for());
        let waits = waits.map(|waits| (waits.socket(), PollFlags::POLLIN));
        let mut outlets = [None, None];
        if let Some((trace, _)) = &self.trace {
            outlets[0] = trace.waits().map(|output| (output, PollFlags::POLLOUT));
        }
        if let Some(Place::Stream(summary)) = self.summary.as_ref().map(|summary| &summary.place) {
            outlets[1] = summary.waits().map(|output| (output, PollFlags::POLLOUT));
        }
        let all = [said, waits].into_iter().chain(outlets).flatten();
        all.map(|(fd, events)| PollFd::new(fd, events)).collect()
    }

    /// Does what can be done without waiting: writes what there is room for, and, once the command
    /// has ended, the summary. `running` finds who still runs then.
    pub fn go_on(&mut self, running: impl FnOnce() -> Vec<Running>) {
        self.hear_all();
        if let Some((trace, _)) = &mut self.trace {
            trace.go_on();
        }
        if !self.is_waited_for() {
            return;
        }
        self.is_asked = self.is_asked || self.waits.as_ref().is_some_and(Writer::is_asked);
        if !self.is_asked {
            return;
        }
        if let Some((trace, is_json)) = &mut self.trace {
            trace.end_gap(about_lost(*is_json));
            trace.go_on();
            if trace.waits().is_some() {
                return;
            }
        }
        if let Some(summary) = &mut self.summary {
            if !summary.is_said {
                summary.say(&self.tally, &running());
            }
            if let Place::Stream(outlet) = &mut summary.place {
                outlet.go_on();
                if outlet.waits().is_some() {
                    return;
                }
            }
        }
        self.complete();
    }

    /// Says that the report is complete.
    fn complete(&mut self) {
        let trace = self.trace.as_ref().and_then(|(trace, _)| trace.error());
        let summary = self.summary.as_ref().and_then(Summary::error);
        if let Some(waits) = &self.waits {
            waits.complete([trace, summary]);
        }
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

    /// Writes what is left of the trace, and the summary, if they are wanted: the last process is
    /// gone.
    pub fn finish(&mut self) {
        self.hear_all();
        let is_waited_for = self.is_waited_for();
        let patient = self
            .waits
            .as_ref()
            .filter(|_| is_waited_for)
            .map(Writer::socket);
        if let Some((trace, is_json)) = &mut self.trace {
            trace.end_gap(about_lost(*is_json));
            trace.finish(patient);
        }
        if let Some(summary) = &mut self.summary {
            let is_final = !summary.is_said || matches!(summary.place, Place::Whole(_));
            if is_final {
                summary.say(&self.tally, &[]);
            }
            if let Place::Stream(outlet) = &mut summary.place {
                outlet.finish(patient);
            }
        }
        if is_waited_for {
            self.complete();
        }
    }
}

impl Summary {
    /// Says what there is to say while `running` still run.
    fn say(&mut self, tally: &Tally, running: &[Running]) {
        let summarize = if self.is_json {
            json::summary
        } else {
            text::summary
        };
        let text = summarize(tally, running);
        // Who has waited for it finds nothing that changes.
        if self.text != text {
            match &mut self.place {
                Place::Stream(outlet) => outlet.push(&text),
                Place::Whole(file) => self.error = file.write(text.as_bytes()).err(),
            }
        }
        self.text = text;
        self.is_said = true;
    }

    fn error(&self) -> Option<Errno> {
        match &self.place {
            Place::Stream(outlet) => outlet.error(),
            Place::Whole(_) => self.error,
        }
    }
}

/// What says how many lines a trace lacks.
fn about_lost(is_json: bool) -> fn(u64) -> String {
    if is_json { json::lost } else { text::lost }
}

/// The summary of a run that has no supervisor: nothing was pretended.
#[must_use]
pub fn of_nothing(level: Level, is_json: bool) -> String {
    let summarize = if is_json {
        json::summary
    } else {
        text::summary
    };
    summarize(&Tally::new(level, Kept::No), &[])
}
