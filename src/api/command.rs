//! [`Command`]: a command as apparent root, in this process or by the executable.

use std::borrow::Cow;
use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write, stderr};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Stdio};

use clap::ValueEnum;
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::sys::stat::stat;
use nix::unistd::{geteuid, pipe2};

use super::error::Error;
use super::filter::check;
use crate::error::{FAILED, Failure, cause, shown};
use crate::filter::policy::{Class, ClassSet, Level};
use crate::launch::plan::{Consistency, Plan, Userns};
use crate::launch::{self, Environment, exec};
use crate::namespace::root::{Bind, Inside};
use crate::sys::process::{default_signal, exit, has_one_thread, ignore_signal, inherit};

/// A command that is to run as apparent root.
///
/// [`exec`](Command::exec) does it in this process, [`spawn`](Command::spawn) in a child, by the
/// executable `zroot`. What is not said here is as on zroot's command line; zroot(1) has more of
/// each.
///
/// # Examples
///
/// This process becomes the command, at level zero with nothing between it and the kernel:
///
/// ```no_run
/// let error = zroot::Command::new("apt-get")
///     .args(["install", "-y", "gcc"])
///     .root("rootfs")
///     .exec();
/// // Still here: it has not begun.
/// eprintln!("{error}");
/// std::process::exit(error.status().into());
/// ```
///
/// A child becomes the command:
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut child = zroot::Command::new("tar")
///     .args(["-xf", "root.tar"])
///     .level(zroot::Level::Full)
///     .save("owners")
///     .spawn()?; // an error if it has not begun
/// let status = child.wait()?; // tar's own
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "it is run by `exec` or `spawn`"]
pub struct Command {
    /// It and its arguments.
    words: Vec<OsString>,
    root: Option<PathBuf>,
    binds: Vec<Bind>,
    dir: Option<PathBuf>,
    consistency: Option<Consistency>,
    with: ClassSet,
    without: ClassSet,
    userns: Userns,
    load: Option<PathBuf>,
    save: Option<PathBuf>,
    /// Whether it gets no variable of this process's.
    is_env_cleared: bool,
    /// Variables and their values; `None` for those that it does not get. The last one counts.
    env: Vec<(OsString, Option<OsString>)>,
    /// The executable.
    program: OsString,
    /// Standard input, output and error.
    streams: [Option<Stdio>; 3],
}

impl Command {
    /// `program`, without arguments. It is looked for in PATH if it has no slash, and inside the
    /// root directory if there is one.
    pub fn new(program: impl AsRef<OsStr>) -> Command {
        Command {
            words: vec![program.as_ref().to_owned()],
            root: None,
            binds: Vec::new(),
            dir: None,
            consistency: None,
            with: ClassSet::EMPTY,
            without: ClassSet::EMPTY,
            userns: Userns::Auto,
            load: None,
            save: None,
            is_env_cleared: false,
            env: Vec::new(),
            program: "zroot".into(),
            streams: [None, None, None],
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Command {
        self.words.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        let args = args.into_iter().map(|arg| arg.as_ref().to_owned());
        self.words.extend(args);
        self
    }

    /// Makes `dir` the root directory, with the host's `/proc`, `/sys` and `/dev`.
    pub fn root(mut self, dir: impl AsRef<Path>) -> Command {
        self.root = Some(dir.as_ref().to_owned());
        self
    }

    /// Mounts the host's file or directory `source` at `target`, an absolute path inside the root
    /// directory.
    pub fn bind(self, source: impl AsRef<Path>, target: impl AsRef<Path>) -> Command {
        self.add_bind(source.as_ref(), target.as_ref(), false)
    }

    /// The same, read-only.
    pub fn bind_read_only(self, source: impl AsRef<Path>, target: impl AsRef<Path>) -> Command {
        self.add_bind(source.as_ref(), target.as_ref(), true)
    }

    fn add_bind(mut self, source: &Path, target: &Path, read_only: bool) -> Command {
        self.binds.push(Bind {
            source: source.to_owned(),
            target: target.to_owned(),
            read_only,
        });
        self
    }

    /// Where the command starts, inside the root directory if there is one. If this is not said, it
    /// starts there in `/`.
    pub fn current_dir(mut self, dir: impl AsRef<Path>) -> Command {
        self.dir = Some(dir.as_ref().to_owned());
        self
    }

    /// How far the pretence goes. If this is not said, it is [`Level::Zero`], or [`Level::Full`]
    /// with [`load`](Command::load) and [`save`](Command::save).
    pub fn level(mut self, level: Level) -> Command {
        self.consistency = Some(match level {
            Level::Zero => Consistency::Zero,
            Level::Selective => Consistency::Selective,
            Level::Full => Consistency::Full,
        });
        self
    }

    /// The most faithful level that this host can have.
    pub fn auto(mut self) -> Command {
        self.consistency = Some(Consistency::Auto);
        self
    }

    /// Also pretends the calls of `class`.
    pub fn with(mut self, class: Class) -> Command {
        self.with = self.with.with(class);
        self
    }

    /// Does not pretend the calls of `class`. Beats [`with`](Command::with).
    pub fn without(mut self, class: Class) -> Command {
        self.without = self.without.with(class);
        self
    }

    /// Enters no user namespace, for hosts that forbid it.
    pub fn no_user_namespace(mut self) -> Command {
        self.userns = Userns::Never;
        self
    }

    /// Remembers from the start what `file` says of owners and devices.
    pub fn load(mut self, file: impl AsRef<Path>) -> Command {
        self.load = Some(file.as_ref().to_owned());
        self
    }

    /// At the end, saves what is remembered of owners and devices to `file`.
    pub fn save(mut self, file: impl AsRef<Path>) -> Command {
        self.save = Some(file.as_ref().to_owned());
        self
    }

    /// Sets a variable of the command's.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Command {
        let (name, value) = (name.as_ref().to_owned(), value.as_ref().to_owned());
        self.env.push((name, Some(value)));
        self
    }

    /// Keeps a variable from the command.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Command {
        self.env.push((name.as_ref().to_owned(), None));
        self
    }

    /// Keeps all variables from the command, those that were set by [`env`](Command::env) among
    /// them.
    pub fn env_clear(mut self) -> Command {
        self.is_env_cleared = true;
        self.env.clear();
        self
    }

    /// Standard input of a child. If this is not said, it is this process's own.
    pub fn stdin(mut self, stream: impl Into<Stdio>) -> Command {
        self.streams[0] = Some(stream.into());
        self
    }

    /// Standard output of a child. If this is not said, it is this process's own.
    pub fn stdout(mut self, stream: impl Into<Stdio>) -> Command {
        self.streams[1] = Some(stream.into());
        self
    }

    /// Standard error of a child. If this is not said, it is this process's own.
    pub fn stderr(mut self, stream: impl Into<Stdio>) -> Command {
        self.streams[2] = Some(stream.into());
        self
    }

    /// The executable that [`spawn`](Command::spawn) runs. If this is not said, it is `zroot`,
    /// looked for in this process's PATH.
    pub fn program(mut self, zroot: impl AsRef<OsStr>) -> Command {
        zroot.as_ref().clone_into(&mut self.program);
        self
    }

    /// Becomes the command, which keeps this process's ID, descriptors and signals. Only SIGPIPE,
    /// which Rust programs ignore, is set back for it. As with execve(2), nothing is dropped, and
    /// what is buffered is lost.
    ///
    /// At [`Level::Zero`] there is no other process. With [`save`](Command::save), or where the
    /// root directory is lent a resolv.conf, the command runs in a child, and this process waits
    /// for it, passes on signals and ends as it does.
    ///
    /// Returns only if the command has not begun. This process may be changed then: in another
    /// directory, in a user namespace, or a child of what it was. Let it say why, and end.
    ///
    /// # Errors
    /// [`Error`], also if this process has more than one thread: the kernel lets none of them enter
    /// a user namespace. And if [`stdin`](Command::stdin), [`stdout`](Command::stdout) or
    /// [`stderr`](Command::stderr) was said: this process has its streams already.
    #[must_use]
    pub fn exec(self) -> Error {
        match self.run_here() {
            Ok(status) => exit(status.into()),
            Err(error) => error,
        }
    }

    /// The exit status where this process has waited for the command.
    fn run_here(&self) -> Result<u8, Error> {
        let plan = self.plan()?;
        if self.streams.iter().any(Option::is_some) {
            let failure = Failure::new("exec takes the standard streams as they are");
            return Err(failure.hint("spawn can set others").into());
        }
        if has_one_thread().is_err() {
            let failure = Failure::new("exec needs a process of one thread, and this one has more");
            let hint = "call it before others are started, or use spawn";
            return Err(failure.hint(hint).into());
        }
        let variables = self.variables()?;
        let entries = variables.iter().map(|entry| &**entry).collect();
        let environment = Environment::new(entries, geteuid().is_root());
        let was_ignored = default_signal(Signal::SIGPIPE);
        let ended = launch::run(&plan, &environment, &|_| {}, &|_| {}).inspect_err(|_| {
            if was_ignored {
                ignore_signal(Signal::SIGPIPE);
            }
        })?;
        Ok(ended.unwrap_or_else(|failure| {
            // There is nobody to return to.
            let _ = stderr().write_all(failure.lines().as_bytes());
            failure.status
        }))
    }

    /// Starts the command in a child, by the executable `zroot`, and returns when it has begun.
    /// From then on the child is the command itself, or a zroot that ends as the command does,
    /// where something is left to be done at its end. Any process may call this, whatever threads
    /// it has.
    ///
    /// # Errors
    /// [`Error`] if the command has not begun; the child is gone then. A child that somebody kills
    /// before that is returned, and its exit status says so.
    pub fn spawn(self) -> Result<Child, Error> {
        let plan = self.plan()?;
        let (said, say) =
            pipe2(OFlag::O_CLOEXEC).map_err(|errno| Failure::errno("cannot make a pipe", errno))?;
        if say.as_raw_fd() <= libc::STDERR_FILENO {
            let failure = Failure::new("a standard stream of this process is closed");
            return Err(failure.hint("open /dev/null in its place").into());
        }
        let mut zroot = process::Command::new(self.executable()?);
        zroot.arg(format!("--error-fd={}", say.as_raw_fd()));
        zroot.args(options(&plan)?).arg("--").args(&self.words);
        if self.is_env_cleared {
            zroot.env_clear();
        }
        for (name, value) in &self.env {
            match value {
                Some(value) => zroot.env(name, value),
                None => zroot.env_remove(name),
            };
        }
        let streams = self.streams.map(|said| said.unwrap_or_else(Stdio::inherit));
        let [stdin, stdout, stderr] = streams;
        zroot.stdin(stdin).stdout(stdout).stderr(stderr);
        inherit(&mut zroot, say);
        let started = zroot.spawn();
        drop(zroot); // and our own end of the pipe
        let failed = |what, error| Failure::new(format!("{what}: {}", cause(&error)));
        let mut child = started.map_err(|error| failed("cannot start zroot", error))?;
        let mut lines = String::new();
        // It ends when the command begins, or zroot ends.
        let heard = File::from(said).read_to_string(&mut lines);
        match heard {
            Ok(0) => return Ok(child),
            Ok(_) => {}
            Err(_) => drop(child.kill()),
        }
        let status = child.wait().ok().and_then(|status| status.code());
        heard.map_err(|error| failed("cannot hear zroot", error))?;
        let status = status.and_then(|status| u8::try_from(status).ok());
        Err(Failure::read(status.unwrap_or(FAILED), &lines).into())
    }

    /// What will be done, if that makes sense.
    fn plan(&self) -> Result<Plan<'static>, Failure> {
        if self.root.is_none() && !self.binds.is_empty() {
            return Err(Failure::new("bind needs a root directory"));
        }
        if let Some(Bind { target, .. }) = self.binds.iter().find(|bind| !bind.target.is_absolute())
        {
            let message = format!("cannot bind to {}: the path is not absolute", shown(target));
            return Err(Failure::new(message));
        }
        let mut consistency = self.consistency;
        if self.load.is_some() || self.save.is_some() {
            consistency = Consistency::that_remembers(consistency);
            if consistency.is_none() {
                return Err(Failure::new(
                    "load and save need level full, which remembers owners",
                ));
            }
        }
        check(
            Consistency::first_level(consistency),
            self.with,
            self.without,
        )?;
        let words = self.words.iter().map(|word| c_string(word));
        Ok(Plan {
            command: words
                .map(|word| word.map(Cow::Owned))
                .collect::<Result<_, Failure>>()?,
            chdir: self.dir.clone(),
            root: self.root.clone(),
            inside: Inside {
                binds: self.binds.clone(),
                ..Inside::default()
            },
            userns: self.userns,
            consistency,
            fake: match self.userns {
                Userns::Auto => self.with,
                Userns::Never => self.with.with(Class::Getid),
            },
            no_fake: self.without,
            load: self.load.clone(),
            save: self.save.clone(),
            quiet: true, // warnings are for who types
            ..Plan::default()
        })
    }

    /// The variables that the command gets, `NAME=value` each.
    fn variables(&self) -> Result<Vec<CString>, Failure> {
        let mut all: Vec<(OsString, OsString)> = if self.is_env_cleared {
            Vec::new()
        } else {
            env::vars_os().collect()
        };
        for (name, value) in &self.env {
            all.retain(|(known, _)| known != name);
            all.extend(value.clone().map(|value| (name.clone(), value)));
        }
        let entry = |(name, value): (OsString, OsString)| c_string(&joined(&name, &value));
        all.into_iter().map(entry).collect()
    }

    /// Where the executable is.
    fn executable(&self) -> Result<OsString, Failure> {
        let path = env::var_os("PATH");
        let path = path.as_deref().map(OsStr::as_bytes);
        let found = exec::find(&c_string(&self.program)?, path, stat);
        let mut found = found.map_err(|failure| {
            let failure = Failure {
                status: FAILED, // the command itself may be there
                ..failure
            };
            failure.hint("install zroot, or let program() say where it is")
        })?;
        Ok(OsString::from_vec(found.swap_remove(0).into_bytes()))
    }
}

/// The options by which the executable is asked for `plan`.
fn options(plan: &Plan) -> Result<Vec<OsString>, Failure> {
    let mut options = Vec::new();
    if plan.quiet {
        options.push("--quiet".into());
    }
    let mut add = |name: &str, value: &OsStr| options.push(joined(OsStr::new(name), value));
    let paths = [
        ("--chdir", &plan.chdir),
        ("--root", &plan.root),
        ("--load", &plan.load),
        ("--save", &plan.save),
    ];
    for (name, path) in paths {
        if let Some(path) = path {
            add(name, path.as_os_str());
        }
    }
    for bind in &plan.inside.binds {
        let paths = [&bind.source, &bind.target].map(|path| path.as_os_str());
        if let Some(path) = paths.iter().find(|path| path.as_bytes().contains(&b':')) {
            let message = format!("cannot bind {}: spawn takes no colon", shown(path));
            return Err(Failure::new(message));
        }
        let end: &[u8] = if bind.read_only { b":ro" } else { b"" };
        let value = [paths[0].as_bytes(), b":", paths[1].as_bytes(), end].concat();
        add("--bind", OsStr::from_bytes(&value));
    }
    let name = plan.consistency.and_then(|level| level.to_possible_value());
    if let Some(name) = name {
        add("--consistency", OsStr::new(name.get_name()));
    }
    if plan.userns == Userns::Never {
        add("--userns", OsStr::new("never"));
    }
    for (name, classes) in [("--fake", plan.fake), ("--no-fake", plan.no_fake)] {
        if classes != ClassSet::EMPTY {
            add(name, OsStr::new(&classes.to_string()));
        }
    }
    Ok(options)
}

/// `name=value`.
fn joined(name: &OsStr, value: &OsStr) -> OsString {
    OsString::from_vec([name.as_bytes(), b"=", value.as_bytes()].concat())
}

fn c_string(text: &OsStr) -> Result<CString, Failure> {
    CString::new(text.as_bytes())
        .map_err(|_| Failure::new(format!("{} has a null byte", shown(text))))
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;
    use crate::internals::cli::{self, Request};

    /// The command line says the same of what has an option.
    #[test]
    fn spawn_asks_for_what_exec_does() {
        let new = || Command::new("-x").args(["--", "--root", ""]);
        let in_root = || new().root("-dir").current_dir("=a b");
        for command in [
            new(),
            new().level(Level::Zero),
            new().level(Level::Selective).with(Class::Mount),
            new()
                .level(Level::Full)
                .without(Class::Owner)
                .without(Class::Stat),
            new().auto().with(Class::Stat),
            new().no_user_namespace(),
            new().load("-from"),
            new().save("to").auto(),
            in_root(),
            in_root().bind("rel", "/a").bind_read_only("/x y", "/b"),
        ] {
            let plan = command.plan().expect("a plan");
            let mut line = vec![c"zroot".to_owned()];
            let options = options(&plan).expect("options");
            line.extend(
                options
                    .iter()
                    .map(|option| c_string(option).expect("no null")),
            );
            line.push(c"--".to_owned());
            line.extend(
                command
                    .words
                    .iter()
                    .map(|word| c_string(word).expect("no null")),
            );
            let line: Vec<&CStr> = line.iter().map(|word| &**word).collect();
            let asked = cli::parse(&line, |_| None, &mut None);
            assert_eq!(asked, Ok(Request::Run(Box::new(plan))), "{line:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let new = || Command::new("true");
        for (command, says) in [
            (new().bind("/a", "/b"), "bind needs a root directory"),
            (
                new().root("/").bind("/a", "b"),
                "cannot bind to 'b': the path is not absolute",
            ),
            (
                new().level(Level::Zero).save("x"),
                "load and save need level full",
            ),
            (
                new().level(Level::Selective).load("x"),
                "load and save need level full",
            ),
            (
                new().with(Class::Stat),
                "level zero has no calls of class stat",
            ),
            (
                new().without(Class::Probe),
                "class probe cannot be left out",
            ),
            (new().arg("a\0b"), "'a\\0b' has a null byte"),
        ] {
            let failure = command.plan().expect_err(says);
            assert!(failure.message.contains(says), "{failure}");
            assert_eq!(failure.status, FAILED);
        }
        let colon = new().root("/").bind("/a:b", "/c").plan().expect("a plan");
        let failure = options(&colon).expect_err("a colon");
        assert!(failure.message.contains("'/a:b'"), "{failure}");
    }

    #[test]
    fn variables_are_set_removed_and_cleared() {
        let has = |command: &Command, entry: &CStr| {
            let all = command.variables().expect("variables");
            all.iter().filter(|known| ***known == *entry).count()
        };
        let own = env::var_os("PATH").expect("a PATH");
        let own = c_string(&joined(OsStr::new("PATH"), &own)).expect("no null");
        let command = Command::new("true")
            .env("X", "1")
            .env("Y", "2")
            .env("X", "3");
        let command = command.env_remove("Y").env("PATH ", "=");
        for (entry, count) in [
            (c"X=3", 1),
            (c"X=1", 0),
            (c"Y=2", 0),
            (c"PATH ==", 1),
            (&*own, 1),
        ] {
            assert_eq!(has(&command, entry), count, "{entry:?}");
        }
        let command = command.env_remove("PATH");
        assert_eq!(has(&command, &own), 0);
        let command = command.env_clear().env("Z", "");
        assert_eq!(command.variables().expect("variables"), [c"Z=".to_owned()]);
    }
}
