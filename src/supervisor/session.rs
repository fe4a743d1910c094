//! What a supervisor works with, from one call to the next.

use std::rc::Rc;

use nix::errno::Errno;

use super::memory::credentials::{Credentials, SetId};
use super::memory::given::Given;
use super::memory::id_maps::IdMaps;
use super::memory::peers::Peers;
use super::memory::processes::{AtExecve, Processes};
use super::memory::remembered::Remembered;
use super::recovery::hazards::Hazards;
use super::recovery::in_flight::InFlight;
use super::recovery::journal::Journal;
use super::report::{Report, Watchers};
use super::target::base::Base;
use super::target::callers::Callers;
use super::target::listener::Listener;
use super::target::proc::Target;
use super::target::request::Request;
use crate::filter::policy::{Level, Policy};

/// From where targets are looked at.
pub struct Sight {
    /// Where calls come from.
    pub listener: Listener,
    /// Where the supervisor stands.
    pub base: Base,
    /// The caller that called last.
    pub callers: Callers,
    /// Which file systems may not answer.
    pub hazards: Hazards,
    /// Whether this process does nothing but one call.
    pub is_helper: bool,
    /// Whether the kernel's ids of a caller may be other ones than the supervisor's.
    pub ids_may_differ: bool,
}

/// What is otherwise where zroot stands for fakeroot(1). There set-id bits also stay when the owner
/// changes, or somebody writes: the kernel clears them, by the latter because CAP_FSETID counts in
/// the first user namespace only (fs/inode.c, `file_remove_privs`), and programs that were written
/// for fakeroot rely on them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fakeroot {
    /// Whether files of which nothing is remembered have the owners that the kernel knows.
    pub unknown_is_real: bool,
}

/// All that handlers, reports and the server share.
pub struct Session {
    /// From where targets are looked at.
    pub sight: Sight,
    /// Who has set which credentials.
    pub processes: Processes,
    /// Which files have been given to others than root.
    pub given: Given,
    /// Whose files are, at a level that remembers that.
    pub owners: Option<Remembered>,
    /// Which ids the kernel knows here.
    pub maps: IdMaps,
    /// What is answered.
    pub policy: Policy,
    /// What is otherwise, where zroot stands for fakeroot(1).
    pub fakeroot: Option<Fakeroot>,
    /// The call in hand.
    pub in_flight: InFlight,
    /// Who wants to know.
    pub report: Report,
}

/// What a successor of the process that serves finds as that has left it.
pub struct Kept {
    /// What has been set.
    pub journal: Journal,
    /// The call in hand.
    pub in_flight: InFlight,
    /// Which files have been given to others than root.
    pub given: Given,
    /// Whose files are, at a level that remembers that.
    pub owners: Option<Remembered>,
    /// Who was whose peer, at such a level.
    pub peers: Option<Peers>,
}

impl Kept {
    /// Nothing yet, at `level`, but for the `owners` that are known from elsewhere.
    ///
    /// # Errors
    /// memfd_create(2)'s, mmap(2)'s.
    pub fn new(level: Level, owners: Option<Remembered>) -> Result<Kept, Errno> {
        Ok(Kept {
            journal: Journal::new()?,
            in_flight: InFlight::new()?,
            given: Given::new()?,
            owners: match owners {
                None if level.remembers() => Some(Remembered::new()?),
                owners => owners.filter(|_| level.remembers()),
            },
            peers: level.remembers().then(Peers::new).transpose()?,
        })
    }
}

impl Sight {
    /// The thread that made `request`.
    #[must_use]
    pub fn target<'a>(&'a self, request: &'a Request) -> Target<'a> {
        Target {
            request,
            listener: &self.listener,
            base: &self.base,
            callers: &self.callers,
            hazards: &self.hazards,
            is_helper: self.is_helper,
            ids_may_differ: self.ids_may_differ,
        }
    }
}

impl Session {
    /// A session of which nothing has been asked yet. It remembers in what is `kept`.
    #[must_use]
    pub fn new(
        sight: Sight,
        policy: Policy,
        fakeroot: Option<Fakeroot>,
        maps: IdMaps,
        kept: Kept,
        watchers: Watchers,
    ) -> Session {
        let journal = Rc::new(kept.journal);
        Session {
            sight,
            processes: Processes::new(
                Rc::clone(&journal),
                at_execve(policy.level),
                &maps,
                kept.peers,
            ),
            given: kept.given,
            owners: kept.owners,
            maps,
            policy,
            fakeroot,
            in_flight: kept.in_flight,
            report: Report::new(policy.level, watchers, journal),
        }
    }

    /// The thread that made `request`.
    #[must_use]
    pub fn target<'a>(&'a self, request: &'a Request) -> Target<'a> {
        self.sight.target(request)
    }

    /// Whether files' modes are remembered: they are saved, some are shown in the place of the
    /// kernel's, or set-id bits are kept.
    #[must_use]
    pub fn keeps_modes(&self) -> bool {
        let are_shown = || self.owners.as_ref().is_some_and(Remembered::shows_modes);
        self.policy.is_saved || self.fakeroot.is_some() || are_shown()
    }

    /// Whether zroot stands for fakeroot(1).
    #[must_use]
    pub fn is_fakeroot(&self) -> bool {
        self.fakeroot.is_some()
    }

    /// The bits of `mode` that the kernel clears when the owner changes or somebody writes, and
    /// fakeroot(1) does not: none where zroot does not stand for that.
    #[must_use]
    pub fn kept_bits(&self, mode: u32) -> u32 {
        if self.fakeroot.is_some() && mode & libc::S_IFMT != libc::S_IFDIR {
            mode & (libc::S_ISUID | libc::S_ISGID)
        } else {
            0
        }
    }

    /// Becomes a helper that has in hand what `in_flight` says, and nothing after it.
    ///
    /// # Errors
    /// mmap(2)'s.
    pub fn become_helper(&mut self, in_flight: InFlight) -> Result<(), Errno> {
        self.sight.is_helper = true;
        self.sight.hazards = self.sight.hazards.beside()?;
        self.in_flight = in_flight;
        Ok(())
    }

    /// Goes on in another process than the one that has served up to now, which may have died.
    pub fn take_over(&mut self, is_successor: bool) {
        self.processes.reload();
        if is_successor {
            self.report.take_over();
        }
    }

    /// Says what there is to say, when the last process under the filter is gone.
    pub fn finish(&mut self) {
        self.report.finish();
    }
}

/// What a process has of the credentials that it has set, once it executes another program.
fn at_execve(level: Level) -> AtExecve {
    match level {
        // Root again, as the files that it sees are root's: an identity across execve(2) without
        // owners would make programs complain of files that are not theirs.
        Level::Zero | Level::Selective => |_, _| None,
        Level::Full => |credentials: &Credentials, file: SetId| {
            let mut now = credentials.clone();
            // The kernel has executed it.
            if now.execve(file).is_err() {
                let _ = now.execve(SetId::default());
            }
            Some(now)
        },
    }
}
