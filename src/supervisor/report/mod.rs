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
use std::os::fd::{AsRawFd, RawFd};

use super::target::answer::{How, Outcome};
use super::target::proc::Target;
use crate::filter::policy::{Class, Level};
use event::{Event, program};
use seen::Seen;
use tally::{MOST, Tally};

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
        if self.watchers.summary.is_some() {
            self.tally.add(event);
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
        let _ = summary.output.write_all(summarize(&self.tally).as_bytes());
    }
}
