//! Commands with a mark that they and what they start keep, so that the processes of one session
//! are told from those of other tests.
#![allow(unsafe_code)] // setrlimit(2) between fork and execve

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::common::{self, plain, run, user, wait_for};

pub const SUPERVISOR: &str = "zroot-supervise";
pub const GUARD: &str = "zroot-guard";

/// The zroot under test. The copy that other tests use is replaced by whichever runs next; this one
/// is the suite's own.
pub fn zroot() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let dir = common::dir().keep();
        let path = dir.join("zroot");
        run(Command::new("install")
            .args(["-m", "755", env!("CARGO_BIN_EXE_zroot")])
            .arg(&path))
        .succeeds();
        path
    })
}

/// Takes the copy away.
pub fn remove_copy() {
    let _ = fs::remove_dir_all(zroot().parent().expect("a directory"));
}

/// A program of `fixtures`, compiled to `to`, static.
pub fn compile(source: &str, to: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/trust/fixtures")
        .join(source);
    run(Command::new("cc")
        .args(["-O1", "-w", "-static", "-pthread", "-o"])
        .arg(to)
        .arg(source))
    .succeeds();
}

/// What marks the processes of one session: their limit on message queues.
pub struct Session {
    mark: u64,
}

impl Session {
    pub fn new() -> Session {
        static MARKS: AtomicU64 = AtomicU64::new(0);
        let number = MARKS.fetch_add(1, Ordering::Relaxed);
        Session {
            mark: (u64::from(std::process::id()) % 6_000) * 100 + number % 100,
        }
    }

    /// What marks the command that follows.
    pub fn words(&self) -> Vec<String> {
        vec!["prlimit".to_owned(), format!("--msgqueue={}:", self.mark)]
    }

    /// `words...`, marked, as the unprivileged user in `dir`.
    pub fn command<A: AsRef<OsStr>>(
        &self,
        dir: &Path,
        words: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut words = words.into_iter();
        let mut command = user(words.next().expect("a word"));
        command.args(words).current_dir(dir);
        self.mark(command)
    }

    /// The same as whoever runs the tests.
    pub fn as_root<A: AsRef<OsStr>>(
        &self,
        dir: &Path,
        words: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut words = words.into_iter();
        let mut command = plain(words.next().expect("a word"));
        command.args(words).current_dir(dir);
        self.mark(command)
    }

    fn mark(&self, mut command: Command) -> Command {
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

    /// The living processes of this session: number and name.
    pub fn processes(&self) -> Vec<(i32, String)> {
        let numbers = fs::read_dir("/proc")
            .expect("/proc")
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        numbers
            .filter_map(|pid: i32| {
                let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
                let line = limits
                    .lines()
                    .find_map(|line| line.strip_prefix("Max msgqueue size"))?;
                let is_ours = line.split_whitespace().next()? == self.mark.to_string();
                let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
                let is_alive = !stat.rsplit_once(')')?.1.starts_with(" Z");
                (is_ours && is_alive).then(|| (pid, name.trim().to_owned()))
            })
            .collect()
    }

    /// Those of that name.
    pub fn named(&self, name: &str) -> Vec<i32> {
        let all = self.processes().into_iter();
        all.filter(|(_, comm)| comm == name)
            .map(|(pid, _)| pid)
            .collect()
    }

    /// Guard and supervisor, as soon as there is one of each, the one the other's parent.
    pub fn pair(&self) -> (i32, i32) {
        wait_for("a guard and its supervisor", || self.find_pair())
    }

    /// The same, if there is one of each now.
    pub fn find_pair(&self) -> Option<(i32, i32)> {
        let all = self.processes();
        let named = |name| all.iter().filter(move |(_, comm)| comm == name);
        let (guard, _) = named(GUARD).next()?;
        let (supervisor, _) = named(SUPERVISOR).find(|(pid, _)| parent(*pid) == Some(*guard))?;
        (named(GUARD).count() == 1).then_some((*guard, *supervisor))
    }

    /// Ends all that is left.
    pub fn end(&self) {
        for (pid, _) in self.processes() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
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

impl Drop for Session {
    fn drop(&mut self) {
        self.end();
    }
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = stat.rsplit_once(')')?.1;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// A program that is spoken to, and whose lines are waited for, but not for ever.
pub struct Lines {
    child: Child,
    stdin: Option<ChildStdin>,
    said: Receiver<String>,
}

impl Lines {
    pub fn start(command: &mut Command) -> Lines {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("spawn");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, said) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Lines {
            stdin: child.stdin.take(),
            child,
            said,
        }
    }

    /// The next line, if it comes within that time.
    pub fn next(&mut self, within: Duration) -> Option<String> {
        self.said.recv_timeout(within).ok()
    }

    pub fn write(&mut self, bytes: &[u8]) {
        // Who is gone is noticed by what it does not say.
        let _ = self.stdin.as_mut().map(|stdin| stdin.write_all(bytes));
    }

    /// Ends its standard input; its exit status, if it ends within that time. Else it is killed.
    pub fn ends_within(&mut self, within: Duration) -> Option<i32> {
        drop(self.stdin.take());
        let deadline = std::time::Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().expect("waited for") {
                return Some(status.code().unwrap_or(-1));
            }
            if std::time::Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return None;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn end(&mut self) -> Option<i32> {
        self.ends_within(common::LONG)
    }
}
