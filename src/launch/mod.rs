//! From a plan to execve, state by state: [`Prepared`], [`Entered`], [`Emulated`], the command.
//! Where something is left to be done at the command's end, [`beside`] parts the ways in between.
//!
//! Each state has one method that consumes it and returns the next. What the options decide is
//! decided when a state is made. Only [`Emulated`] can execute the command, and only
//! [`Entered::emulate`] makes one: so the command never runs without the emulation that was asked
//! for.

pub mod apt;
pub mod beside;
pub mod elf;
pub mod emulate;
pub mod environment;
pub mod error;
pub mod exec;
pub mod nested;
pub mod output;
mod pid;
pub mod plan;
mod relay;

use std::borrow::Cow;
use std::ffi::{CStr, CString, OsStr};
use std::fmt;
use std::mem::{ManuallyDrop, take};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::Context;
use nix::errno::Errno;
use nix::sys::prctl::set_no_new_privs;
use nix::sys::stat::stat;
use nix::unistd::chdir;

pub use environment::Environment;
pub use error::Error;

use crate::VERSION;
use crate::error::{Failure, shown};
use crate::filter::policy::ClassSet;
use crate::host;
use crate::namespace::root::Root;
use crate::namespace::{self, Stage};
use crate::script;
use crate::state::in_tree::InTree;
use crate::state::{self, Saver};
use crate::supervisor::handshake::{self, Enclosing};
use crate::supervisor::memory::remembered::Remembered;
use crate::supervisor::report::complete::Begun;
use crate::supervisor::report::seen::Seen;
use crate::supervisor::report::{Watchers, complete};
use beside::{Beside, Ended};
use emulate::Underway;
use exec::Command;
use plan::{Output, Owners, Plan, Userns};

/// By this makepkg, debhelper and others know that they are under fakeroot(1).
const FAKEROOTKEY: &str = "FAKEROOTKEY";
/// By this fakeroot(1) tells its library what unknown files are.
const FAKED_MODE: &str = "FAKED_MODE";

/// All that the states hold. They hold it behind a pointer, so that no state is copied to the next.
struct Launch<'a> {
    plan: &'a Plan<'a>,
    environment: Cow<'a, Environment<'a>>,
    /// Hears of each step.
    say: &'a dyn Fn(fmt::Arguments),
    /// Hears of what the caller most likely does not want.
    warn: &'a dyn Fn(fmt::Arguments),
    command: Command<'a>,
    /// Until it is entered.
    root: Option<Root>,
    /// What is left to be done at the command's end, until the ways part.
    beside: Beside,
    /// Where to say that the command begins.
    begun: Option<Begun>,
    /// Until that is on. `None` also if the command is run plainly: ownership is real for the
    /// caller, and `--if-needed` was given.
    wanted: Option<Wanted>,
}

/// What comes with the emulation.
struct Wanted {
    apt_config: AptConfig,
    watchers: Watchers,
    /// What is remembered already, or is wanted at the end.
    remembered: Option<Remembered>,
}

/// apt's configuration, as far as it can be made before the namespace is entered.
#[derive(Default)]
enum AptConfig {
    #[default]
    Unwanted,
    /// A file of this name.
    Named(CString),
    /// There is no `/proc` to name one by.
    Missing,
}

impl AptConfig {
    #[inline]
    fn new(plan: &Plan, environment: &Environment) -> Result<AptConfig, Error> {
        if !plan.apt_config {
            return Ok(AptConfig::Unwanted);
        }
        let name = apt::config_in_memory(environment.variable(apt::VARIABLE))?;
        Ok(name.map_or(AptConfig::Missing, AptConfig::Named))
    }
}

/// Whatever bad input can make fail has been done. The process is as it was, but for `-C`. What was
/// missing in the root directory to mount on is there.
pub struct Prepared<'a>(Box<Launch<'a>>);

/// Who goes on as what.
pub enum Part<T> {
    /// This process becomes the command.
    Command(T),
    /// This one has waited for the command, and came to that. It has no descriptors any more.
    Beside(Ended),
}

impl<'a> Prepared<'a> {
    /// Looks at all that `plan` names. `say` hears of each step, here and later, and `warn` of what
    /// the caller most likely does not want.
    ///
    /// # Errors
    /// [`Error`]; nothing is left behind but empty directories in a root directory that had none.
    #[inline]
    pub fn new(
        plan: &'a Plan<'a>,
        environment: &'a Environment<'a>,
        say: &'a dyn Fn(fmt::Arguments),
        warn: &'a dyn Fn(fmt::Arguments),
    ) -> Result<Prepared<'a>, Error> {
        // A state says what is not in the files, or is to.
        let is_needed = !(plan.if_needed && is_real_root()?) || plan.has_state();
        // Before -C, which does not mean them; opened once it is certain that there is a command.
        let trace = plan.trace.as_ref().map(Output::absolute);
        let summary = plan.summary.as_ref().map(Output::absolute);
        let [load, save] = [&plan.load, &plan.save].map(|path| absolute(path.as_deref()));
        let mut root = plan
            .root
            .as_deref()
            .map(|dir| Root::open(dir, &plan.inside))
            .transpose()?;
        let environment = environment.of_command(plan, root.as_ref(), is_needed);
        match &root {
            None if plan.chdir.is_none() => {}
            None => enter_dir(plan, chdir)?,
            Some(root) => enter_dir(plan, |dir| root.has_dir(dir))?,
        }
        let mut env = environment.entries(3); // ZROOT, and APT_CONFIG or fakeroot's two
        if let Some((at, path)) = environment.path(plan).filter(|_| is_needed) {
            env[at] = path.into();
        }
        let command = Command {
            candidates: find(plan, &env, root.as_ref())?,
            args: plan.command.iter().map(AsRef::as_ref).collect(),
            env,
        };
        if is_needed {
            warn_of_loss(plan, &environment, warn);
        }
        let mut beside = Beside {
            // Where files are not root's by themselves, that is not to be forgotten.
            saves_roots: plan
                .fakeroot
                .is_some_and(|fakeroot| fakeroot.unknown_is_real),
            ..Beside::default()
        };
        let wanted = if is_needed {
            Some(Wanted {
                apt_config: AptConfig::Unwanted,
                remembered: if plan.keeps_owners() {
                    Some(remember(plan, (load, save), root.as_ref(), &mut beside)?)
                } else {
                    None
                },
                watchers: if plan.is_watched() {
                    watch(plan, trace.as_ref(), summary.as_ref(), &mut beside)?
                } else {
                    Watchers::default()
                },
            })
        } else {
            // The reports of an earlier run would be taken for this one's.
            trace.as_ref().map(output::open).transpose()?;
            if let Some(summary) = &summary {
                output::nothing(plan.level(), summary)?;
            }
            None
        };
        if let Some(root) = &mut root {
            root.furnish(say)?;
            beside.lent = root.look_for_lacks(say);
        }
        Ok(Prepared(Box::new(Launch {
            plan,
            environment,
            say,
            warn,
            command,
            root,
            begun: beside.begun,
            beside,
            wanted,
        })))
    }

    /// Parts the ways, where something is left to be done at the command's end: one process becomes
    /// the command, the other does that.
    ///
    /// # Errors
    /// [`Error`] if there can be no child.
    #[inline]
    pub fn part(self) -> Result<Part<Prepared<'a>>, Error> {
        if !self.0.beside.is_needed() {
            return Ok(Part::Command(self));
        }
        // What is open here is the command's alone; the other process closes it by number.
        let mut prepared = ManuallyDrop::new(self);
        let beside = take(&mut prepared.0.beside);
        let ended = beside.stay(prepared.0.say)?;
        Ok(ended.map_or_else(
            || Part::Command(ManuallyDrop::into_inner(prepared)),
            Part::Beside,
        ))
    }

    /// Enters the user namespace and the root directory.
    ///
    /// # Errors
    /// [`Error`]; the process is good for nothing but saying so.
    #[inline]
    pub fn enter(self) -> Result<Entered<'a>, Error> {
        let Prepared(mut launch) = self;
        let Launch { plan, say, .. } = *launch;
        if let Some(wanted) = launch.wanted.as_mut().filter(|_| !plan.pid) {
            wanted.apt_config = AptConfig::new(plan, &launch.environment)?;
        }
        match plan.userns {
            _ if launch.wanted.is_none() => say(format_args!(
                "not needed: already root over more than one id"
            )),
            Userns::Never => say(format_args!("no user namespace")),
            Userns::Auto => match namespace::become_root() {
                // fakeroot(1) has none either, and at its level the supervisor does for getuid.
                Err(refused) if plan.fakeroot.is_some() && refused.stage == Stage::Unshare => {
                    say(format_args!("no user namespace: {refused}"));
                }
                entered => match entered? {
                    namespace::Entered::Namespace(uid, gid) => say(format_args!(
                        "user namespace: uid {uid} and gid {gid} are 0"
                    )),
                    namespace::Entered::AlreadyRoot(errno) => say(format_args!(
                        "already uid 0, and no user namespace is to be had ({}): filter alone",
                        errno.desc()
                    )),
                },
            },
        }
        if let Some(root) = launch.root.take() {
            root.enter(say)?;
            enter_dir(plan, chdir)?;
            say(format_args!(
                "root directory: {}",
                plan.root.as_deref().unwrap_or(Path::new("/")).display()
            ));
        } else if plan.pid {
            namespace::pid::have_own_mounts()?;
        }
        Ok(Entered(launch))
    }
}

/// In the user namespace and the root directory, where they are wanted.
pub struct Entered<'a>(Box<Launch<'a>>);

impl<'a> Entered<'a> {
    /// Turns the emulation on, at the level that was asked for, and proves that it answers. With
    /// `--pid` the ways part before that.
    ///
    /// # Errors
    /// [`Error`]; the process is good for nothing but saying so.
    #[inline]
    pub fn emulate(self) -> Result<Part<Emulated<'a>>, Error> {
        let Entered(mut launch) = self;
        if launch.plan.pid {
            return launch.emulate_in_pid_namespace();
        }
        if let Some(mut wanted) = launch.wanted.take() {
            launch.set_variables(take(&mut wanted.apt_config))?;
            let underway = launch.begin(&mut wanted)?;
            launch.turn_on(underway, wanted)?;
        }
        Ok(Part::Command(Emulated(launch)))
    }
}

/// Under the emulation that was asked for, which has proved that it answers.
pub struct Emulated<'a>(Box<Launch<'a>>);

impl Emulated<'_> {
    /// Becomes the command. Returns only if that fails.
    #[must_use]
    #[inline]
    pub fn exec(self) -> Failure {
        let Emulated(launch) = self;
        if let Some(begun) = launch.begun {
            begun.set();
        }
        launch.command.exec()
    }
}

/// The whole way. Returns where zroot has waited for the command.
///
/// # Errors
/// [`Error`]: the command has not begun.
#[inline]
pub fn run(
    plan: &Plan,
    environment: &Environment,
    say: &dyn Fn(fmt::Arguments),
    warn: &dyn Fn(fmt::Arguments),
) -> Result<Ended, Error> {
    let prepared = match Prepared::new(plan, environment, say, warn)?.part()? {
        Part::Command(prepared) => prepared,
        Part::Beside(ended) => return Ok(ended),
    };
    match prepared.enter()?.emulate()? {
        Part::Command(emulated) => Err(emulated.exec().into()),
        Part::Beside(ended) => Ok(ended),
    }
}

/// Whether ownership is real for the caller.
#[inline(never)]
fn is_real_root() -> Result<bool, Failure> {
    host::is_real_root().ok_or_else(|| {
        let message = "--if-needed: without /proc nobody can tell whether ownership is real here";
        Failure::new(message)
            .hint("mount /proc; or leave --if-needed out, and ownership is pretended")
    })
}

/// Says what is lost, or refused, that root has.
#[inline(never)] // for a small stack behind it
fn warn_of_loss(plan: &Plan, environment: &Environment, warn: &dyn Fn(fmt::Arguments)) {
    // fakeroot(1) loses it for root, too. A zroot around this one has said so.
    let may_be_lost = plan.fakeroot.is_none()
        && !plan.keeps_owners()
        && environment.by_root
        && environment.variable("ZROOT").is_none();
    if may_be_lost && host::seems_real_root() {
        warn(format_args!(
            "you are real root, but changes of owner are only pretended here, and lost: --if-needed makes them real (-q leaves this out)"
        ));
    }
    if plan.root.is_none() && apt::asks_for_root(&plan.command) {
        warn(format_args!(
            "the packages of this system are not yours, and zroot gives no rights, so apt will ask 'are you root?': --root DIR installs into a tree of your own (-q leaves this out)"
        ));
    }
}

/// The same file wherever the working directory is.
fn absolute(path: Option<&Path>) -> Option<Cow<'_, Path>> {
    path.map(|path| std::path::absolute(path).map_or(Cow::Borrowed(path), Cow::Owned))
}

/// Memory for what is remembered, with what is loaded, and what the files in `root` say; `beside`
/// is to save it.
#[inline(never)]
fn remember(
    plan: &Plan,
    (load, save): (Option<Cow<Path>>, Option<Cow<Path>>),
    root: Option<&Root>,
    beside: &mut Beside,
) -> Result<Remembered, Error> {
    let no_memory = |errno| Failure::errno("no memory to share", errno);
    let remembered = Remembered::new().map_err(no_memory)?;
    // What is loaded is as the last one left it who had what is saved.
    if let Some(path) = save {
        beside.saver = Some((Saver::open(&path)?, remembered));
        beside.begun().map_err(no_memory)?;
    }
    // Who names a file means that, where the files say something else.
    if let (Some(Owners::Xattr), Some(root)) = (plan.owners, root) {
        let top = root.dir().try_clone_to_owned();
        let top =
            top.map_err(|_| Failure::errno("cannot duplicate a descriptor", Errno::EMFILE))?;
        let tree = InTree::new(top, remembered, plan.userns == Userns::Auto);
        tree.read()?;
        beside.tree = Some(tree);
        beside.begun().map_err(no_memory)?;
    }
    if let Some(path) = load {
        state::load(&path, &remembered)?;
    }
    Ok(remembered)
}

/// Opens what the reports go to, and has `beside` wait for them.
#[inline(never)]
fn watch(
    plan: &Plan,
    trace: Option<&Output>,
    summary: Option<&Output>,
    beside: &mut Beside,
) -> Result<Watchers, Error> {
    let no_memory = |errno| Failure::errno("no memory to share", errno);
    let mut watchers = Watchers {
        summary: summary.map(output::open_whole).transpose()?,
        trace: trace.map(output::open).transpose()?,
        kept: plan.kept(),
        ..Watchers::default()
    };
    if plan.fail_on != ClassSet::EMPTY {
        let seen = Seen::new().map_err(no_memory)?;
        watchers.seen = Some(seen);
        beside.judge = Some((plan.fail_on, seen));
    }
    if watchers.trace.is_some() || watchers.summary.is_some() {
        let names = [trace, summary].map(|output| output.map(output::name).unwrap_or_default());
        let begun = beside.begun().map_err(no_memory)?;
        let (reader, writer) = complete::pair(names, begun).map_err(no_memory)?;
        beside.report = Some(reader);
        watchers.waits = Some(writer);
    }
    Ok(watchers)
}

impl<'a> Launch<'a> {
    /// The way into the emulation as far as it is that of a process outside of the command's PID
    /// namespace, if it has one of its own.
    #[inline]
    fn begin(&self, wanted: &mut Wanted) -> Result<Underway, Error> {
        if !self.plan.allow_new_privs {
            set_no_new_privs().map_err(|errno| Failure::errno("cannot set no_new_privs", errno))?;
        }
        let emulation = nested::decide(self.plan, self.enclosing()?)?;
        let (watchers, remembered) = (&mut wanted.watchers, wanted.remembered);
        emulate::begin(emulation, self.plan, watchers, remembered, self.say)
    }

    /// The rest of it.
    #[inline]
    fn turn_on(&self, underway: Underway, mut wanted: Wanted) -> Result<(), Error> {
        let (watchers, remembered) = (&mut wanted.watchers, wanted.remembered);
        underway.turn_on(self.plan, watchers, remembered, self.say)
    }

    /// The whole way, and into a PID namespace in the middle of it: the supervisor stays outside,
    /// where the command cannot end it, and what knows a process by its number comes behind.
    #[inline(never)]
    fn emulate_in_pid_namespace(mut self: Box<Self>) -> Result<Part<Emulated<'a>>, Error> {
        let mut wanted = self.wanted.take();
        let underway = wanted.as_mut().map(|wanted| self.begin(wanted));
        // What is open here is the command's alone; the other processes close it by number.
        let mut open = ManuallyDrop::new((self, wanted, underway.transpose()?));
        if let Some(status) = pid::enter()? {
            return Ok(Part::Beside(Ok(status)));
        }
        let (launch, wanted, underway) = &mut *open;
        (launch.say)(format_args!("PID namespace, with a /proc of its own"));
        if let (Some(mut wanted), Some(underway)) = (wanted.take(), underway.take()) {
            wanted.apt_config = AptConfig::new(launch.plan, &launch.environment)?;
            launch.set_variables(take(&mut wanted.apt_config))?;
            launch.turn_on(underway, wanted)?;
        }
        let (launch, ..) = ManuallyDrop::into_inner(open);
        Ok(Part::Command(Emulated(launch)))
    }

    /// Sets `ZROOT`, `APT_CONFIG` where it is wanted and can be had, and what fakeroot(1) sets.
    #[inline]
    fn set_variables(&mut self, apt_config: AptConfig) -> Result<(), Error> {
        let apt_config = match apt_config {
            AptConfig::Unwanted => None,
            AptConfig::Named(name) => Some(name),
            AptConfig::Missing => self.apt_config_in_scratch(),
        };
        self.command
            .set("ZROOT", VERSION.as_bytes())
            .context("ZROOT")?;
        if let Some(name) = apt_config {
            let shown = Path::new(OsStr::from_bytes(name.to_bytes())).display();
            (self.say)(format_args!("{}={shown}", apt::VARIABLE));
            self.command
                .set(apt::VARIABLE, name.as_bytes())
                .context(apt::VARIABLE)?;
        }
        if let Some(fakeroot) = self.plan.fakeroot {
            // Whatever is there is the key to a fakeroot around this one, which answers its library
            // on. Ours is no number, and no key to anything.
            let key = self.environment.variable(FAKEROOTKEY);
            if key.is_none_or(CStr::is_empty) {
                self.command
                    .set(FAKEROOTKEY, b"zroot")
                    .context(FAKEROOTKEY)?;
            }
            let mode: &[u8] = if fakeroot.unknown_is_real {
                b"unknown-is-real"
            } else {
                b"unknown-is-root"
            };
            self.command.set(FAKED_MODE, mode).context(FAKED_MODE)?;
        }
        Ok(())
    }

    /// The file's name if it is made without `/proc`, as the namespace allows.
    #[inline(never)]
    fn apt_config_in_scratch(&self) -> Option<CString> {
        let inherited = self.environment.variable(apt::VARIABLE);
        apt::config_in_scratch(inherited).unwrap_or_else(|error| {
            // Who has no apt needs none.
            let hears = if apt::is_there() { self.warn } else { self.say };
            hears(format_args!(
                "no {}: there is no /proc, and no private file in its place ({error}); apt has to be told '-o APT::Sandbox::User=root' (-q leaves this out)",
                apt::VARIABLE
            ));
            None
        })
    }

    /// What encloses this zroot, where that matters.
    #[inline]
    fn enclosing(&self) -> Result<Option<Enclosing>, Failure> {
        // A zroot exports ZROOT, and it may have a supervisor.
        let is_nested = self.environment.variable("ZROOT").is_some();
        let found = nested::asks(self.plan, is_nested)
            .then(handshake::ask)
            .flatten();
        if let Some(Enclosing::Supervisor(policy)) = found {
            // No filter is added, so that nothing would end it.
            if let Some(path) = self.command.candidates.first() {
                script::refuse_endless(path)?;
            }
            (self.say)(format_args!(
                "the supervisor of the zroot around this one answers at level {policy}"
            ));
        }
        Ok(found)
    }
}

/// Does `enter` with the directory where the command starts.
#[inline(never)]
fn enter_dir(plan: &Plan, enter: impl Fn(&Path) -> nix::Result<()>) -> Result<(), Failure> {
    let dir = plan.chdir();
    enter(dir).map_err(|errno| {
        let failure = Failure::errno(format_args!("cannot change to {}", shown(dir)), errno);
        match errno {
            Errno::EACCES => failure.hint("you may not enter it, and zroot gives no rights"),
            _ => failure,
        }
    })
}

/// Looks for the command, as it will see files itself.
#[inline]
fn find(plan: &Plan, env: &[Cow<CStr>], root: Option<&Root>) -> Result<Vec<CString>, Failure> {
    let mut env = env.iter().map(|entry| entry.to_bytes());
    let path = env.find_map(|entry| entry.strip_prefix(b"PATH="));
    exec::find(&plan.command[0], path, |path| match root {
        None => stat(path),
        Some(root) => root.stat(&plan.chdir().join(OsStr::from_bytes(path.to_bytes()))),
    })
    .map_err(|failure| {
        let mut hints = Vec::new();
        if let Some(dir) = &plan.root {
            hints.push(format!(
                "it is looked for inside the root directory {}",
                shown(dir)
            ));
        }
        for (option, output) in [("--summary", &plan.summary), ("--trace", &plan.trace)] {
            if *output == Some(Output::Stderr) {
                hints.push(format!(
                    "the file of {option} is joined to it: {option}=FILE"
                ));
            }
        }
        if failure.hint.is_some() || failure.status != 127 || hints.is_empty() {
            return failure;
        }
        failure.hint(hints.join("; "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Class;
    use crate::filter::policy::Level;
    use plan::Consistency;

    fn plan(command: &'static CStr) -> Plan<'static> {
        Plan {
            command: vec![Cow::Borrowed(command)],
            ..Plan::default()
        }
    }

    fn environment() -> Environment<'static> {
        Environment::new(vec![c"PATH=/usr/bin:/bin", c"ZROOT=0"], false)
    }

    /// How `plan` fails to be prepared.
    fn failure(plan: &Plan) -> Failure {
        match Prepared::new(plan, &environment(), &|_| {}, &|_| {}) {
            Err(Error::Failure(failure)) => failure,
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("{plan:?} is prepared"),
        }
    }

    #[test]
    fn bad_input_is_found_before_anything_is_entered() {
        let in_dir = |dir: &str| Plan {
            chdir: Some(dir.into()),
            ..plan(c"true")
        };
        for (plan, status, says) in [
            (plan(c"zroot-none"), 127, "command not found"),
            (plan(c""), 127, "empty string"),
            (plan(c"/etc/passwd"), 126, "Permission denied"),
            (plan(c"/usr"), 126, "a directory"),
            (in_dir("/none"), 125, "cannot change to '/none'"),
            (
                Plan {
                    root: Some("/none".into()),
                    ..plan(c"true")
                },
                125,
                "root directory '/none'",
            ),
            (
                Plan {
                    trace: Some(Output::File("/none/trace".into())),
                    ..plan(c"true")
                },
                125,
                "cannot write to '/none/trace'",
            ),
        ] {
            let failure = failure(&plan);
            assert_eq!(failure.status, status, "{failure}");
            assert!(failure.message.contains(says), "{failure}");
        }
    }

    /// Inodes are known by number in a state. What is not found at the end says nothing itself.
    #[test]
    fn removals_matter_to_states_alone() {
        let is_saved = |plan: Plan| plan.policy(Level::Full).is_saved;
        let path = || Some("state".into());
        let (save, load) = (path(), path());
        assert!(is_saved(Plan {
            save,
            ..plan(c"true")
        }));
        assert!(is_saved(Plan {
            load,
            ..plan(c"true")
        }));
        let owners = Some(plan::Owners::Xattr);
        assert!(!is_saved(Plan {
            owners,
            ..plan(c"true")
        }));
    }

    #[test]
    fn what_the_options_decide_is_decided_when_the_state_is_made() {
        let environment = environment();
        let prepared = |plan: Plan, check: fn(&Launch) -> bool| {
            let prepared = Prepared::new(&plan, &environment, &|_| {}, &|_| {});
            let Ok(Prepared(launch)) = prepared else {
                panic!("{plan:?} is refused")
            };
            assert!(check(&launch), "{plan:?}");
        };
        prepared(plan(c"true"), |launch| {
            launch.command.candidates[0].to_bytes().ends_with(b"/true")
                && launch.root.is_none()
                && !launch.beside.is_needed()
                && launch
                    .wanted
                    .as_ref()
                    .is_some_and(|wanted| !wanted.watchers.are_there())
        });
        let silent = Plan {
            apt_config: false,
            fail_on: ClassSet::EMPTY.with(Class::Owner),
            consistency: Some(Consistency::Selective),
            ..plan(c"true")
        };
        prepared(silent, |launch| {
            let watchers = launch.wanted.as_ref().map(|wanted| &wanted.watchers);
            launch.beside.judge.is_some()
                && watchers.is_some_and(|watchers| watchers.seen.is_some())
        });
        let plainly = Plan {
            if_needed: true,
            ..plan(c"true")
        };
        prepared(plainly, |launch| {
            Some(launch.wanted.is_none()) == host::is_real_root()
        });
    }
}
