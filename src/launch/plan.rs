//! What will be done. The command line is one way to say it.

use std::borrow::Cow;
use std::ffi::{CStr, OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::filter::policy::{ClassSet, Level, Policy};
use crate::namespace::root::Inside;
use crate::supervisor::report::kept::Kept;
use crate::supervisor::session::Fakeroot;

/// Whether to enter a user namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Userns {
    /// Enter one; as uid 0 where the kernel refuses, go on without
    #[default]
    Auto,
    /// Enter none; the filter answers getuid and its like with 0
    Never,
}

/// How far the pretence is to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Consistency {
    /// The filter alone: pretended calls do nothing, and nothing is remembered
    Zero,
    /// A supervisor answers calls whose blind success breaks programs: really where the kernel
    /// permits, else pretended
    Selective,
    /// Selective, and owners, devices and identities are remembered
    Full,
    /// The last of these that this host can have
    Auto,
}

impl Consistency {
    /// The level of this name, or `None` if the host decides.
    #[must_use]
    pub const fn level(self) -> Option<Level> {
        match self {
            Consistency::Zero => Some(Level::Zero),
            Consistency::Selective => Some(Level::Selective),
            Consistency::Full => Some(Level::Full),
            Consistency::Auto => None,
        }
    }

    /// The level that remembers owners, if `asked` may be that.
    #[must_use]
    pub const fn that_remembers(asked: Option<Consistency>) -> Option<Consistency> {
        match asked {
            None | Some(Consistency::Full | Consistency::Auto) => Some(Consistency::Full),
            Some(Consistency::Zero | Consistency::Selective) => None,
        }
    }

    /// The level to try first. If nothing is said, it is zero.
    #[must_use]
    #[inline]
    pub fn first_level(consistency: Option<Consistency>) -> Level {
        match consistency {
            None => Level::Zero,
            Some(consistency) => consistency.level().unwrap_or(Level::Full),
        }
    }
}

/// Where owners and devices are kept, beside zroot's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Owners {
    /// In user.containers.override_stat and user.rootlesscontainers of the files themselves
    Xattr,
}

/// Where a report goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Standard error.
    Stderr,
    /// A file of this name.
    File(PathBuf),
}

impl Output {
    /// The file of this name; standard error if it has none.
    #[must_use]
    pub fn new(name: OsString) -> Output {
        if name.is_empty() {
            Output::Stderr
        } else {
            Output::File(name.into())
        }
    }

    /// The same wherever the working directory is.
    #[must_use]
    pub fn absolute(&self) -> Output {
        match self {
            Output::File(path) => {
                Output::File(std::path::absolute(path).unwrap_or_else(|_| path.clone()))
            }
            Output::Stderr => Output::Stderr,
        }
    }
}

/// What will be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan<'a> {
    /// The command and its arguments; empty only with `--check`.
    pub command: Vec<Cow<'a, CStr>>,
    /// Where to change to first, inside the root directory.
    pub chdir: Option<PathBuf>,
    /// The root directory.
    pub root: Option<PathBuf>,
    /// What to mount inside it.
    pub inside: Inside,
    /// Whether the command has a PID namespace of its own.
    pub pid: bool,
    /// The variables to remove from the command's environment.
    pub unsetenv: Vec<OsString>,
    /// Those to set after that, and their values.
    pub setenv: Vec<(OsString, OsString)>,
    /// Whether to enter a user namespace.
    pub userns: Userns,
    /// Whether to run the command plainly for real root.
    pub if_needed: bool,
    /// Whether to leave `no_new_privs` off.
    pub allow_new_privs: bool,
    /// How far the pretence goes, if that was said.
    pub consistency: Option<Consistency>,
    /// Where the owners of files in the root directory are kept, if not in memory alone.
    pub owners: Option<Owners>,
    /// The classes to add to a level's default.
    pub fake: ClassSet,
    /// The classes to remove from that. Never has the probe.
    pub no_fake: ClassSet,
    /// Where to say what was pretended.
    pub summary: Option<Output>,
    /// Where to say each pretended call.
    pub trace: Option<Output>,
    /// The classes of which no call may have been pretended.
    pub fail_on: ClassSet,
    /// What is to be remembered from the start.
    pub load: Option<PathBuf>,
    /// Where to save what is remembered at the end.
    pub save: Option<PathBuf>,
    /// Whether to export `APT_CONFIG`.
    pub apt_config: bool,
    /// Whether to say no warnings.
    pub quiet: bool,
    /// Whether to say each step.
    pub verbose: bool,
    /// What is otherwise, if zroot is to stand for fakeroot(1).
    pub fakeroot: Option<Fakeroot>,
    /// What to say of the command line beforehand.
    pub notes: Vec<String>,
}

/// Nothing but the command itself, which is still missing.
impl Default for Plan<'_> {
    fn default() -> Self {
        Plan {
            command: Vec::new(),
            chdir: None,
            root: None,
            inside: Inside::default(),
            pid: false,
            unsetenv: Vec::new(),
            setenv: Vec::new(),
            userns: Userns::Auto,
            if_needed: false,
            allow_new_privs: false,
            consistency: None,
            owners: None,
            fake: ClassSet::EMPTY,
            no_fake: ClassSet::EMPTY,
            summary: None,
            trace: None,
            fail_on: ClassSet::EMPTY,
            load: None,
            save: None,
            apt_config: true,
            quiet: false,
            verbose: false,
            fakeroot: None,
            notes: Vec::new(),
        }
    }
}

impl Plan<'_> {
    /// Where the command starts: what `-C` says, else `/` in a root directory and the present
    /// directory outside.
    #[must_use]
    pub fn chdir(&self) -> &Path {
        self.chdir
            .as_deref()
            .unwrap_or(Path::new(if self.root.is_some() { "/" } else { "." }))
    }

    /// Whether it says what the variable `name` is to be, or that it is not to be.
    #[must_use]
    pub fn says(&self, name: &OsStr) -> bool {
        let set = self.setenv.iter().map(|(name, _)| name);
        self.unsetenv.iter().chain(set).any(|said| said == name)
    }

    /// Whether somebody wants to see each call.
    #[must_use]
    #[inline]
    pub fn is_watched(&self) -> bool {
        self.summary.is_some() || self.trace.is_some() || self.fail_on != ClassSet::EMPTY
    }

    /// Whether what is remembered comes from another run, or is for one.
    #[must_use]
    #[inline]
    pub fn has_state(&self) -> bool {
        self.load.is_some() || self.save.is_some()
    }

    /// Whether that is so, or what is remembered is in the files themselves.
    #[must_use]
    #[inline]
    pub fn keeps_owners(&self) -> bool {
        self.has_state() || self.owners.is_some()
    }

    /// What becomes of what is remembered.
    #[must_use]
    #[inline]
    pub fn kept(&self) -> Kept {
        match (&self.save, self.owners) {
            (Some(_), _) => Kept::Saved,
            (None, Some(Owners::Xattr)) => Kept::InTree,
            (None, None) => Kept::No,
        }
    }

    /// The level to try first; with [`Consistency::Auto`] the others will do as well.
    #[must_use]
    #[inline]
    pub fn level(&self) -> Level {
        Consistency::first_level(self.consistency)
    }

    /// What the filter answers at `level`.
    #[must_use]
    #[inline]
    pub fn policy(&self, level: Level) -> Policy {
        Policy {
            is_watched: self.is_watched(),
            is_saved: self.has_state(),
            ..policy(level, self.fake, self.no_fake)
        }
    }
}

/// `level` with the classes `fake` added and then `no_fake` removed. Classes that the level has no
/// rules for are left out.
#[must_use]
#[inline]
pub fn policy(level: Level, fake: ClassSet, no_fake: ClassSet) -> Policy {
    let absent = ClassSet::ALL.minus(level.classes());
    Policy {
        classes: level
            .default_classes()
            .union(fake)
            .minus(no_fake)
            .minus(absent),
        ..Policy::of(level)
    }
}
