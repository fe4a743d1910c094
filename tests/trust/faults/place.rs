//! Where the runs of one mode are made, and what came of each.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use syscalls::Sysno;
use tempfile::TempDir;

use super::modes::{Mode, NESTED};
use super::tracer::{self, End, Fault, Injection, Moment, Ran, Watchdog};
use crate::common::{LONG, dir, run, user};
use crate::session::{Session, zroot};

/// What zroot may leave in a root directory: what it mounts on.
const MOUNTED_ON: [&str; 6] = ["proc", "sys", "dev", "job", "job/deep", "job/file"];

/// A call that the C library cannot do without before it calls `main`: the first of that name. How
/// the process ends then, and what it says.
struct Fatal {
    /// By its name, since not every machine has it.
    call: &'static str,
    end: End,
    says: &'static str,
}

/// glibc's csu/libc-tls.c, `__libc_setup_tls`; musl's src/env/__init_tls.c, `static_init_tls`.
const FATAL: [Fatal; 1] = [if cfg!(target_env = "musl") {
    Fatal {
        call: "arch_prctl",
        end: End::Signaled(Signal::SIGSEGV),
        says: "",
    }
} else {
    Fatal {
        call: "arch_prctl",
        end: End::Exited(127),
        says: "cannot set %fs base address for thread-local storage",
    }
}];

/// What came of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// zroot said why not, and nothing was run.
    Refused,
    /// The command found all as it should be.
    Right,
    /// By the injected signal.
    Ended,
    /// The C library's doing: one of [`FATAL`].
    Fatal,
    /// The supervisor was killed in the moment in which it has no guard yet, and the command says
    /// so: its calls fail.
    Unguarded,
    /// Anything else.
    Failed(String),
}

/// Where the runs of one mode are made, by one worker.
pub struct Place<'a> {
    pub dir: TempDir,
    session: &'a Session,
    pub mode: &'static Mode,
    /// How long processes may take to end.
    pub patience: Duration,
    /// What the directory for the root and the one to bind have.
    before: BTreeMap<PathBuf, String>,
    stdout: fs::File,
    stderr: fs::File,
}

impl<'a> Place<'a> {
    pub fn new(mode: &'static Mode, probe: &Path, session: &'a Session) -> Place<'a> {
        const SCRIPT: &str = r#"mkdir sub src root root/etc root/tmp; echo source > src/file; : > own
            cp "$0" probe; cp "$0" root/probe; : > root/own; cd root"#;
        let dir = dir();
        let script = format!("{SCRIPT}; {}", mode.tree.unwrap_or_default());
        run(user("sh")
            .args(["-ec", &script])
            .arg(probe)
            .current_dir(dir.path()))
        .succeeds();
        let file = || tempfile::tempfile().expect("a temporary file");
        let mut place = Place {
            dir,
            session,
            mode,
            patience: LONG,
            before: BTreeMap::new(),
            stdout: file(),
            stderr: file(),
        };
        place.before = place.listing();
        place
    }

    /// All that is in the root directory and in what is bound, and the host's mounts there. Not the
    /// times of directories.
    fn listing(&self) -> BTreeMap<PathBuf, String> {
        let mut listing = BTreeMap::new();
        let mut ahead = vec![self.dir.path().join("root"), self.dir.path().join("src")];
        while let Some(path) = ahead.pop() {
            let status = fs::symlink_metadata(&path).expect("a status");
            let mode = status.mode();
            let what = if status.is_dir() {
                ahead.extend(
                    fs::read_dir(&path)
                        .expect("a directory")
                        .map(|entry| entry.expect("an entry").path()),
                );
                format!("{mode:o}")
            } else {
                let is_small = status.len() < 4096;
                let contents = is_small.then(|| fs::read(&path).expect("a file"));
                let (size, seconds, part) = (status.len(), status.mtime(), status.mtime_nsec());
                let contents = String::from_utf8_lossy(&contents.unwrap_or_default()).into_owned();
                format!("{mode:o} {size} {seconds}.{part} {contents}")
            };
            listing.insert(path, what);
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        let name = self.dir.path().to_str().expect("ASCII");
        let here = mounts.lines().filter(|line| line.contains(name));
        listing.extend(here.map(|line| (PathBuf::from(line), "mounted".into())));
        listing
    }

    /// What is not as it was, but for what may be left, which is taken away.
    fn changes(&self) -> Vec<String> {
        if self.mode.tree.is_none() {
            return Vec::new();
        }
        let now = self.listing();
        let root = self.dir.path().join("root");
        let mut changes = Vec::new();
        for (path, what) in now.iter().rev() {
            if self.before.get(path) == Some(what) {
                continue;
            }
            let is_new = !self.before.contains_key(path);
            let name = path.strip_prefix(&root).unwrap_or(path).to_str();
            let may_be_left = is_new && name.is_some_and(|name| MOUNTED_ON.contains(&name));
            let is_gone = may_be_left && (fs::remove_dir(path).is_ok() || is_empty_and_gone(path));
            if !is_gone {
                changes.push((path, if is_new { "is left" } else { "is changed" }));
            }
        }
        let gone = self.before.keys().filter(|path| !now.contains_key(*path));
        changes.extend(gone.map(|path| (path, "is gone")));
        let named = |path: &Path| {
            path.strip_prefix(self.dir.path())
                .unwrap_or(path)
                .to_owned()
        };
        let changes = changes.into_iter().rev();
        changes
            .map(|(path, how)| format!("{} {how}", named(path).display()))
            .collect()
    }

    /// `zroot OPTIONS... -- PROBE...`, traced.
    fn words(&self) -> Vec<OsString> {
        let place = self.dir.path().to_str().expect("ASCII");
        let exe = zroot().to_str().expect("UTF-8");
        let mut words = Vec::new();
        if self.mode.name == NESTED {
            words.extend([exe, "-c", "selective", "--"].map(OsString::from));
        }
        words.extend([&format!("{place}/probe"), "traced", exe].map(OsString::from));
        words.extend(self.mode.options.iter().map(OsString::from));
        words.push("--".into());
        let base = if self.mode.tree.is_some() { "" } else { place };
        words.extend(["probe", "own"].map(|name| OsString::from(format!("{base}/{name}"))));
        let finds = self.mode.finds.iter();
        words.extend(finds.map(|what| OsString::from(what.replace("PLACE", place))));
        words
    }

    pub fn run(&mut self, watchdog: &Watchdog, injection: Option<Injection>) -> Ran {
        let words = self.words();
        self.run_words(words, watchdog, injection)
    }

    pub fn run_words(
        &mut self,
        words: impl IntoIterator<Item = OsString>,
        watchdog: &Watchdog,
        injection: Option<Injection>,
    ) -> Ran {
        for file in [&mut self.stdout, &mut self.stderr] {
            file.set_len(0).expect("emptied");
            file.seek(SeekFrom::Start(0)).expect("the start");
        }
        for report in ["summary", "trace"] {
            let _ = fs::remove_file(self.dir.path().join(report));
        }
        let mut command = self.session.command(self.dir.path(), words);
        let files = [&self.stdout, &self.stderr];
        let mut ran = tracer::run(&mut command, files, watchdog, injection);
        [ran.stdout, ran.stderr] = files.map(contents);
        ran
    }

    /// What the reports lack that were asked for.
    fn lacks(&self) -> Option<String> {
        ["summary", "trace"].into_iter().find_map(|name| {
            let is_wanted = self.mode.options.iter().any(|option| option.contains(name));
            let report = fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
            (is_wanted && !report.contains("fchownat")).then(|| format!("no {name}: {report:?}"))
        })
    }

    /// What came of a run, which is over.
    pub fn judge(&self, injection: Option<Injection>, ran: &Ran) -> Verdict {
        let changes = self.changes();
        let left = self.left();
        let fault = injection.map(|injection| injection.fault);
        let verdict = self.judge_end(injection, ran);
        let found = |what: String| Verdict::Failed(what);
        match (verdict, fault) {
            _ if !ran.late.is_empty() => found(format!("hangs, or is left: {:?}", ran.late)),
            _ if !left.is_empty() => found(format!("left: {left:?}")),
            _ if !changes.is_empty() => found(changes.join("; ")),
            (Verdict::Fatal, _) => Verdict::Fatal,
            _ if !ran.crashed.is_empty() => found(format!("died: {:?}", ran.crashed)),
            _ if ran.is_alone => found("the command is left alone".into()),
            (verdict, _) => verdict,
        }
    }

    /// The processes that are left, after the time that they may take.
    fn left(&self) -> Vec<String> {
        let deadline = Instant::now() + self.patience;
        loop {
            let left = self.session.processes();
            if left.is_empty() || Instant::now() > deadline {
                self.session.end();
                return left.into_iter().map(|(_, name)| name).collect();
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    fn judge_end(&self, injection: Option<Injection>, ran: &Ran) -> Verdict {
        let Some(end) = ran.end else {
            return Verdict::Failed("it does not end".into());
        };
        let lines: Vec<&str> = ran.stderr.lines().collect();
        let is_verbose = self.mode.options.contains(&"-v");
        let steps = if is_verbose { lines.len() } else { 0 };
        let are_steps = |lines: &[&str]| lines.iter().all(|line| line.starts_with("zroot: "));
        let is_command = ran.command == Some(0);
        let is_fatal = |fatal: &Fatal| {
            let at_it = match injection {
                Some(Injection {
                    process: 0,
                    moment: Moment::Call(sysno, 0),
                    fault: Fault::Fails(_),
                    ..
                }) => sysno.name() == fatal.call,
                _ => false,
            };
            at_it && fatal.end == end && ran.stderr == fatal.says && ran.stdout.is_empty()
        };
        if FATAL.iter().any(is_fatal) {
            return Verdict::Fatal;
        }
        match end {
            End::Exited(42) if ran.stdout == "emulated\n" => {
                // apt's configuration is the one thing that may be left out, and is said to be.
                let is_left_out = |line: &str| line.starts_with("zroot: warning: no APT_CONFIG: ");
                let warnings = lines.iter().filter(|line| is_left_out(line)).count();
                let may_warn = usize::from(injection.is_some());
                if warnings > may_warn || lines.len() > steps + warnings || !are_steps(&lines) {
                    return Verdict::Failed("right, but it says something".into());
                }
                self.lacks().map_or(Verdict::Right, Verdict::Failed)
            }
            End::Exited(status) if status > 124 && ran.stdout.is_empty() && !is_command => {
                let at = injection.map(|injection| injection.moment);
                let is_execve = matches!(at, Some(Moment::Call(Sysno::execve, _)));
                if status != 125 && !(is_execve && status < 128) {
                    return Verdict::Failed(format!("exit status {status}"));
                }
                let last = lines.last().copied().unwrap_or_default();
                let error = lines.len() - usize::from(last.starts_with("hint: "));
                let is_right = error > 0
                    && (error == 1 || is_verbose)
                    && are_steps(&lines[..error])
                    && ran.stderr.ends_with('\n');
                if is_right {
                    Verdict::Refused
                } else {
                    Verdict::Failed("refused in other words".into())
                }
            }
            End::Signaled(signal) => {
                let fault = injection.map(|injection| injection.fault);
                let is_silent = lines.len() <= steps && are_steps(&lines);
                let is_whole = ran.stdout.is_empty() || ran.stdout == "emulated\n";
                if fault == Some(Fault::Gets(signal)) && is_silent && is_whole {
                    Verdict::Ended
                } else {
                    Verdict::Failed(format!("ended by {signal}"))
                }
            }
            End::Exited(status) => {
                let said = ran.stdout.trim_end();
                Verdict::Failed(format!("exit status {status}, the command says {said:?}"))
            }
        }
    }
}

fn contents(file: &fs::File) -> String {
    let size = file.metadata().map_or(0, |status| status.len());
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0).min(65_536)];
    file.read_exact_at(&mut bytes, 0).expect("what was written");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether it was an empty file, which is gone now.
fn is_empty_and_gone(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|status| status.is_file() && status.len() == 0)
        && fs::remove_file(path).is_ok()
}
