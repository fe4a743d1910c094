//! Level selective and its supervisor.
//!
//! A soft limit that limits nothing here marks what a [`Bench`] runs. Every process of a run has it
//! and everybody may read it, so that what is left over is found wherever it is.
#![allow(unsafe_code)] // setrlimit(2) between fork and execve

mod calls;
mod command;
mod costs;
mod credentials;
mod limits;
mod namespaces;
mod nesting;
pub mod oracle;
mod owners;
mod packages;
mod programs;
mod raise;
mod remembered;
mod replaced;
mod threads;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::common::{self, Ran, dir, run, user, wait_for, zroot, zroot_with};

pub const SUPERVISOR: &str = "zroot-supervise";
pub const GUARD: &str = "zroot-guard";

/// The processes that `is_ours`, of which nothing is known once they are gone: number and name.
fn processes(is_ours: impl Fn(i32) -> Option<bool>) -> BTreeSet<(i32, String)> {
    fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let name = || fs::read_to_string(format!("/proc/{pid}/comm")).ok();
            is_ours(pid)?
                .then(name)?
                .map(|name| (pid, name.trim().to_owned()))
        })
        .collect()
}

/// Compiles a program of `tests/fixtures`.
pub fn compile(source: &str, options: &[&str], to: &Path) -> Ran {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    run(Command::new("cc")
        .args(["-O1", "-w", "-pthread", "-o"])
        .arg(to)
        .args(options)
        .arg(fixtures.join(source)))
}

/// A directory to work in, the program `fixtures/supervisor.c`, and the mark of what is run.
pub struct Bench {
    pub dir: TempDir,
    mark: u64,
}

/// The program, compiled once, beside the copy of zroot.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let path = zroot().with_file_name(format!("supervisor-{}", std::process::id()));
        compile("supervisor.c", &[], &path).succeeds();
        let last = zroot().with_file_name("supervisor");
        fs::rename(path, &last).expect("rename");
        last
    })
}

impl Bench {
    /// `None` after a SKIP.
    pub fn new(test: &str) -> Option<Bench> {
        static MARKS: AtomicU64 = AtomicU64::new(0);
        for name in ["cc", "unshare", "setpriv", "perl"] {
            if common::program(name).is_none() {
                common::skip(test, &format!("there is no {name}"));
                return None;
            }
        }
        let mark = (u64::from(std::process::id()) % 6_000) * 100
            + MARKS.fetch_add(1, Ordering::Relaxed) % 100;
        program();
        Some(Bench { dir: dir(), mark })
    }

    /// `words...`, marked, as the unprivileged user in this directory.
    pub fn command<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Command {
        let mut words = words.into_iter();
        let mut command = user(words.next().expect("a word"));
        command.args(words).current_dir(self.dir.path());
        let mark = self.mark;
        // SAFETY: the closure makes two system calls.
        unsafe {
            command.pre_exec(move || {
                let mut limit = libc::rlimit {
                    rlim_cur: 0,
                    rlim_max: 0,
                };
                libc::getrlimit(libc::RLIMIT_MSGQUEUE, &raw mut limit);
                limit.rlim_cur = mark;
                if libc::setrlimit(libc::RLIMIT_MSGQUEUE, &raw const limit) == 0 {
                    Ok(())
                } else {
                    Err(std::io::Error::last_os_error())
                }
            });
        }
        command
    }

    /// `zroot -c selective WORDS...`.
    fn selective(&self, words: &[&str]) -> Command {
        self.command(
            [zroot().to_str().expect("UTF-8"), "-c", "selective"]
                .iter()
                .chain(words),
        )
    }

    /// `zroot -c selective supervised WORDS...`.
    fn supervised(&self, words: &[&str]) -> Command {
        let mut command = self.selective(&[]);
        command.arg(program()).args(words);
        command
    }

    /// Runs `words` under a supervisor, which must say `says` last, and succeed.
    #[track_caller]
    fn right(&self, words: &[&str], says: &str) -> Ran {
        let ran = run(&mut self.supervised(words)).succeeds();
        assert_eq!(ran.stdout.lines().last(), Some(says), "{ran:#?}");
        ran
    }

    /// The living processes of this run: number and name.
    fn processes(&self) -> BTreeSet<(i32, String)> {
        processes(|pid| {
            let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
            let line = limits
                .lines()
                .find_map(|line| line.strip_prefix("Max msgqueue size"))?;
            let is_ours = line.split_whitespace().next()? == self.mark.to_string();
            Some(is_ours && stat(pid)?.0 != "Z")
        })
    }

    pub fn named(&self, name: &str) -> Vec<i32> {
        self.processes()
            .into_iter()
            .filter(|(_, comm)| comm == name)
            .map(|(pid, _)| pid)
            .collect()
    }

    /// The one process of that name that there is or comes to be.
    #[track_caller]
    pub fn one(&self, name: &str) -> i32 {
        wait_for(&format!("one {name}"), || match self.named(name)[..] {
            [pid] => Some(pid),
            _ => None,
        })
    }

    /// The one of that name that is not `old`.
    #[track_caller]
    pub fn successor(&self, name: &str, old: i32) -> i32 {
        wait_for(&format!("another {name}"), || match self.named(name)[..] {
            [pid] if pid != old => Some(pid),
            _ => None,
        })
    }

    /// Kills the supervisor, and then the guard, each of which is replaced.
    #[track_caller]
    pub fn kill_each(&self) {
        for name in [SUPERVISOR, GUARD] {
            let old = self.one(name);
            send(old, Signal::SIGKILL);
            self.successor(name, old);
        }
    }

    /// Asserts that nothing is left over, as soon as that can be expected.
    #[track_caller]
    pub fn nothing_is_left(&self) {
        wait_for("nothing left over", || {
            self.processes().is_empty().then_some(())
        });
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for (pid, _) in self.processes() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// The state of process `pid`, its process group, session and terminal.
fn stat(pid: i32) -> Option<(String, i32, i32, i32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some((
        fields[0].to_owned(),
        fields[2].parse().ok()?,
        fields[3].parse().ok()?,
        fields[4].parse().ok()?,
    ))
}

pub fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap_or_else(|errno| panic!("kill {pid}: {errno}"));
}

/// A program that runs until its standard input ends, with what it says.
pub struct Live {
    pub child: Child,
    pub stdin: Option<ChildStdin>,
    pub stdout: BufReader<ChildStdout>,
}

impl Live {
    pub fn start(command: &mut Command) -> Live {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("spawn");
        let (stdin, stdout) = (
            child.stdin.take(),
            BufReader::new(child.stdout.take().expect("a pipe")),
        );
        Live {
            child,
            stdin,
            stdout,
        }
    }

    #[track_caller]
    pub fn says(&mut self, what: &str) {
        assert_eq!(self.line().trim_end(), what);
    }

    /// The next line that it says; nothing at its end.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a line");
        line
    }

    /// Gives it an empty line.
    pub fn enter(&mut self) {
        let stdin = self.stdin.as_mut().expect("a pipe");
        stdin.write_all(b"\n").expect("written");
    }

    /// Ends its standard input and it; asserts that it said `what`.
    #[track_caller]
    pub fn ends(mut self, what: &str) {
        drop(self.stdin.take());
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).expect("text");
        assert_eq!(said.trim_end(), what);
        assert!(self.child.wait().expect("waited for").success());
    }

    fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("waited for");
    }
}

/// How many descriptors the supervisor `pid` has open while it waits for a call. `None` if this
/// user may not look.
fn descriptors(pid: i32) -> Option<usize> {
    const WAITS: &[libc::c_long] = &[
        libc::SYS_ioctl,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_poll,
        libc::SYS_ppoll,
    ];
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
    let count = || Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count());
    // The system call in which it sleeps, and how often it has slept so far.
    let rest = || {
        let (call, status) = (read("syscall")?, read("status")?);
        let number = call.split_whitespace().next()?.parse().ok()?;
        let slept = status
            .lines()
            .find(|line| line.starts_with("voluntary_ctxt_switches"))?;
        WAITS
            .contains(&number)
            .then(|| (call.clone(), slept.to_owned()))
    };
    count()?;
    // A supervisor in the middle of a call has more open. One that has slept throughout had none.
    Some(wait_for("the supervisor waits for a call", || {
        let before = rest()?;
        count().filter(|_| rest() == Some(before))
    }))
}

#[track_caller]
fn refused(ran: Ran, what: &str, hint: &str) {
    let (said, hinted) = ran.refused(125);
    assert!(
        said.contains(what) && hinted.contains(hint),
        "{said}\n{hinted}"
    );
}

/// A shell function: its arguments, a command, must fail.
const NO: &str = r#"no() { if "$@" 2>/dev/null; then echo "no error: $*"; exit 1; fi; }; "#;

/// What the program's `calls` say where a supervisor answers, and where the filter alone does.
const REAL: &str = "chown 0, missing -1, mknod 0, setresuid 0, uid 5\n";

const PRETENDED: &str = "chown 0, missing 0, mknod 0, setresuid 0, uid 0\n";

/// Where scripts run: each in a fresh directory with an empty file `f` and a directory `d`.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(dir());
        place.plainly("mkdir d; : >f");
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// As the plain user.
    #[track_caller]
    fn plainly(&self, script: &str) -> String {
        let ran = run(user("sh")
            .args(["-ec", script])
            .env("HOME", self.path())
            .current_dir(self.path()))
        .succeeds();
        ran.stdout.trim_end().to_owned()
    }

    fn zroot(&self, options: &[&str], script: &str) -> Ran {
        run(zroot_with(options)
            .args(["--", "sh", "-ec", script])
            .current_dir(self.path()))
    }
}
