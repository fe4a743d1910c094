//! Staying beside the command, where something is left to be done at its end: a report to be
//! waited for, a judgement (`--fail-on`), files to be taken back from a root directory, or what is
//! remembered to be saved.
//!
//! The command runs in a child then. zroot passes on signals to it, and then its end. If zroot is
//! killed, the command is killed as well, and a third process takes the files back.

use std::fmt;
use std::io::{Write, stderr};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::prctl::{set_name, set_pdeathsig};
use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, chdir, getppid, pipe2, setsid};

use super::error::Error;
use super::relay::{Held, repeat};
use crate::detach::hold_nothing_but;
use crate::error::{Failure, PRETENDED};
use crate::filter::policy::{Class, ClassSet};
use crate::namespace::lent::Lent;
use crate::state::Saver;
use crate::state::child::in_child;
use crate::state::in_tree::{InTree, Lost};
use crate::supervisor::memory::remembered::Remembered;
use crate::supervisor::report::complete::{Begun, Complete, Reader};
use crate::supervisor::report::seen::Seen;
use crate::sys::process::{End, exit, fork};

/// What is left to be done at the command's end.
#[derive(Default)]
pub struct Beside {
    /// Files to be taken back.
    pub lent: Lent,
    /// A report to be waited for.
    pub report: Option<Reader>,
    /// Which classes of calls must not have been pretended, and which were.
    pub judge: Option<(ClassSet, Seen)>,
    /// Where to save what is remembered.
    pub saver: Option<(Saver, Remembered)>,
    /// A root directory whose files are to say what is remembered of them.
    pub tree: Option<InTree>,
    /// Whether that is also what is root's and nothing else.
    pub saves_roots: bool,
    /// Whether the command has begun, where that matters.
    pub begun: Option<Begun>,
}

/// What it comes to that zroot has stayed beside the command: the exit status to pass on, or what
/// went wrong at the command's end.
pub type Ended = Result<u8, Failure>;

impl Beside {
    /// Whether there is anything.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        !self.lent.is_empty()
            || self.report.is_some()
            || self.judge.is_some()
            || self.saver.is_some()
            || self.tree.is_some()
    }

    /// Where the child says that the command begins.
    ///
    /// # Errors
    /// mmap(2)'s.
    pub fn begun(&mut self) -> Result<Begun, Errno> {
        let begun = self.begun.map_or_else(Begun::new, Ok)?;
        Ok(*self.begun.insert(begun))
    }

    /// Forks. Returns `None` in the child at once, which is to become the command. The parent does
    /// what there is to do, and returns what it came to. It has no descriptors any more then. `say`
    /// hears of what cannot be lent.
    ///
    /// # Errors
    /// [`Error`] if there can be no child, or in one whose parent is gone.
    #[inline(never)]
    pub fn stay(mut self, say: &dyn Fn(fmt::Arguments)) -> Result<Option<Ended>, Error> {
        let failed = |errno| Failure::errno("cannot start a process", errno);
        let held = Held::hold().map_err(failed)?;
        let stand_in = StandIn::start(&mut self.lent).map_err(failed)?;
        self.lent.give(say);
        let own = Pid::this();
        if own.as_raw() <= 0 {
            let _ = self.lent.take_back();
            return Err(failed(Errno::ESRCH).into()); // a filter around us has it fail
        }
        let child = match fork() {
            Ok(ForkResult::Parent { child }) => child,
            Ok(ForkResult::Child) => {
                // They are the parent's.
                std::mem::forget(stand_in);
                std::mem::forget(self.saver);
                let is_bound = set_pdeathsig(Signal::SIGKILL).is_ok();
                let parent = getppid();
                if parent.as_raw() > 0 && parent != own {
                    exit(125); // it was killed before that, and nobody waits for a word
                }
                held.let_go();
                if !is_bound || parent != own {
                    return Err(Failure::new("the zroot beside the command is gone").into());
                }
                return Ok(None);
            }
            Err(errno) => {
                let _ = self.lent.take_back();
                return Err(failed(errno).into());
            }
        };
        self.let_go_of_all_else(stand_in.as_ref());
        let end = held.pass_on(child);
        if let Some(report) = &self.report {
            report.ask();
        }
        // If it fails, another way may lead there: the stand-in's.
        let _ = self.lent.take_back();
        drop(stand_in);
        let saved = self.save_in_child(&held, say);
        held.let_go();
        Ok(Some(self.conclude(end, saved)))
    }

    /// Saves what is remembered in a child, which can be given up: a disk may hang.
    fn save_in_child(&mut self, held: &Held, say: &dyn Fn(fmt::Arguments)) -> Result<(), Failure> {
        if self.saver.is_none() && self.tree.is_none() {
            return Ok(());
        }
        let name = self.saver.as_ref().map(|(saver, _)| saver.name());
        let what = name.unwrap_or_else(|| "the files' attributes".into());
        let saved = in_child(
            || self.save(say).map(|()| Vec::new()),
            |child| held.wait_for(child, &what),
        );
        // The child's file has got its name. Another's may have this one's by now.
        std::mem::forget(self.saver.take());
        saved.map(drop)
    }

    /// Saves what is remembered, unless the command never began: nothing has changed then.
    /// `say` hears of each file that cannot say what it should.
    fn save(&mut self, say: &dyn Fn(fmt::Arguments)) -> Result<(), Failure> {
        let (saver, tree) = (self.saver.take(), self.tree.take());
        if !self.begun.is_some_and(Begun::is_set) {
            return Ok(());
        }
        let is_saved = saver.is_some();
        let saved = saver.map_or(Ok(()), |(saver, remembered)| {
            saver.save(&remembered, self.saves_roots)
        });
        let told = tree.map_or(Ok(false), |tree| tell(&tree, is_saved, say));
        let are_lost = saved.and(told)?;
        if let (true, Some((_, seen))) = (are_lost, &self.judge) {
            seen.add(Class::Owner);
        }
        Ok(())
    }

    /// Whoever waits for the end of a pipe waits for the command's, not for ours. Standard error
    /// stays: there may be something to be said.
    fn let_go_of_all_else(&self, stand_in: Option<&StandIn>) {
        let mut keep: Vec<RawFd> = vec![2];
        keep.extend(self.lent.descriptors());
        keep.extend(self.report.as_ref().map(Reader::descriptor));
        keep.extend(self.tree.as_ref().map(InTree::descriptor));
        keep.extend(self.saver.iter().flat_map(|(saver, _)| saver.descriptors()));
        keep.extend(stand_in.and_then(|stand_in| Some(stand_in.life.as_ref()?.as_raw_fd())));
        hold_nothing_but(&keep);
    }

    /// What it all came to.
    fn conclude(self, end: Result<End, Errno>, saved: Result<(), Failure>) -> Ended {
        let end = end.map_err(|errno| Failure::errno("cannot wait for the command", errno))?;
        saved?;
        match self.report.map(Reader::wait) {
            None | Some(Complete::Yes | Complete::NeverBegun) => {}
            Some(Complete::Lost) => {
                return Err(Failure::new(
                    "the supervisor is gone, and its report with it",
                ));
            }
            Some(Complete::Failed(name, errno)) => {
                return Err(Failure::errno(format!("cannot write to {name}"), errno));
            }
        }
        let Some((forbidden, seen)) = self.judge else {
            return Ok(repeat(end));
        };
        let found = forbidden.minus(ClassSet::ALL.minus(seen.classes()));
        if found == ClassSet::EMPTY {
            return Ok(repeat(end));
        }
        let failure = Failure {
            status: PRETENDED,
            ..Failure::new(format!(
                "calls were pretended that --fail-on forbids: {found}"
            ))
        };
        Err(failure.hint("--summary says which"))
    }
}

/// Has the files of `tree` say whose they are, and says how many cannot, unless that `is_saved`.
/// Returns whether any owner is lost.
fn tell(tree: &InTree, is_saved: bool, say: &dyn Fn(fmt::Arguments)) -> Result<bool, Failure> {
    let lost = tree.write(say).map_err(|failure| Failure {
        message: format!("not all files say whose they are: {failure}"),
        ..failure
    })?;
    let are_lost = lost != Lost::default() && !is_saved;
    if are_lost {
        let _ = writeln!(stderr(), "zroot: {lost}");
    }
    Ok(are_lost)
}

/// A process that takes back what is lent if this one is killed. In a session of its own, so that
/// what is sent to our process group does not reach it.
struct StandIn {
    process: Pid,
    /// A pipe whose end tells it of ours.
    life: Option<OwnedFd>,
}

impl StandIn {
    /// Starts it, if anything is to be lent.
    fn start(lent: &mut Lent) -> Result<Option<StandIn>, Errno> {
        if lent.is_empty() {
            return Ok(None);
        }
        let (wait, life) = pipe2(OFlag::O_CLOEXEC)?;
        match fork()? {
            ForkResult::Parent { child } => Ok(Some(StandIn {
                process: child,
                life: Some(life),
            })),
            ForkResult::Child => {
                lent.watch();
                watch(lent, &wait);
                exit(0)
            }
        }
    }
}

impl Drop for StandIn {
    /// It sees whether there is something left to be done, and ends.
    fn drop(&mut self) {
        self.life = None;
        while waitpid(self.process, None) == Err(Errno::EINTR) {}
    }
}

/// Waits for the end of the process that holds the other end of `wait`, and takes `lent` back.
fn watch(lent: &mut Lent, wait: &OwnedFd) {
    let _ = (setsid(), chdir("/"));
    let mut keep: Vec<RawFd> = lent.descriptors().collect();
    keep.push(wait.as_raw_fd());
    hold_nothing_but(&keep);
    let _ = set_name(c"zroot-stand-in");
    // Nobody writes to it.
    while nix::unistd::read(wait, &mut [0]) == Err(Errno::EINTR) {}
    if !lent.is_back() {
        // There is nobody left to be told.
        let _ = lent.take_back();
    }
}
