//! A Debian tree for a case, in memory where the machine has such a place: who runs what in it,
//! what it said, and what is there afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, fchown};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, pipe2};
use tempfile::TempDir;

use crate::common::{dir, give, run, uid, user, zroot_with};
use crate::owners::{self, Owners, noted, split};
use crate::suite::{Column, Expect, STATUS};

/// `PROGRAM` by whom `column` means: real root, or the unprivileged user.
fn by(column: Column, program: &str) -> Command {
    let mut command = user(program);
    if column == Column::RealRoot {
        command.uid(0).gid(0);
    }
    command
}

/// What `column` puts before a command of the machine's. Real root gets mounts and processes of its
/// own.
pub fn launcher(column: Column) -> Command {
    let mut command = by(column, "unshare");
    match column.options() {
        None if column == Column::RealRoot => {
            command.args(["-mpf", "--mount-proc", "--kill-child", "--"])
        }
        None => command.args(["-rm", "--"]),
        Some(level) => return zroot_with(level.iter().chain(&["--"])),
    };
    command
}

/// The same command where the kernel runs arm64's programs: since Linux 6.7 (fs/binfmt_misc.c,
/// `bm_fill_super`) a user namespace has its own list of interpreters, which those below it share.
fn with_qemu(command: &Command) -> Command {
    let script = r#"mount -t binfmt_misc none /proc/sys/fs/binfmt_misc; cat "$0" >/proc/sys/fs/binfmt_misc/register; exec "$@""#;
    let mut outer = user("unshare");
    outer
        .args(["-rm", "sh", "-ec", script, QEMU])
        .arg(command.get_program())
        .args(command.get_args());
    outer.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    outer
}

/// What systemd would tell the kernel of qemu.
pub const QEMU: &str = "/usr/lib/binfmt.d/qemu-aarch64.conf";

pub struct Tree {
    dir: TempDir,
    column: Column,
    /// Instead of the host's /dev, programs see an empty directory `dev` beside the tree.
    pub own_dev: bool,
    /// The host's directory that is /debs inside.
    pub debs: Option<String>,
    /// Its programs are arm64's: the kernel is told of qemu, by the unprivileged user for itself.
    pub foreign: bool,
}

impl Tree {
    /// An empty directory `root` for `column` to make a tree in.
    pub fn new(column: Column) -> Tree {
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() {
            tempfile::Builder::new()
                .prefix("zroot-test-")
                .tempdir_in(memory)
                .expect("a directory")
        } else {
            dir()
        };
        if column != Column::RealRoot {
            give(dir.path());
        }
        Tree {
            dir,
            column,
            own_dev: false,
            debs: None,
            foreign: false,
        }
    }

    /// A copy of the unprivileged user's tree `from`. Real root's is all root's.
    pub fn copy(from: &Path, column: Column) -> Tree {
        let tree = Tree::new(column);
        tree.prepare(
            r#"cp -a --no-preserve=ownership -T "$1" "$0""#,
            &[&from.display().to_string()],
        );
        tree
    }

    pub fn root(&self) -> String {
        self.dir.path().join("root").display().to_string()
    }

    /// Runs a shell script of the machine's as the tree's owner, over all permissions; `$0` is the
    /// tree.
    pub fn prepare(&self, script: &str, args: &[&str]) {
        run(self.shell(script).args(args)).succeeds();
    }

    fn shell(&self, script: &str) -> Command {
        let mut command = by(self.column, "unshare");
        let options: &[&str] = if self.column == Column::RealRoot {
            &[]
        } else {
            &["-r"]
        };
        command
            .args(options)
            .args(["sh", "-ec", script, &self.root()]);
        command
    }

    /// A shell script inside, as the case's column has it.
    pub fn inside(&self, script: &str) -> Command {
        let (root, debs) = (self.root(), self.debs.as_deref().unwrap_or_default());
        let Some(level) = self.column.options() else {
            let mut command = launcher(self.column);
            let mounts = format!(
                "{} {} {MOUNT_DEBS} exec chroot \"$0\" sh -c \"$2\"",
                self.proc_and_sys(),
                self.dev()
            );
            command.args(["sh", "-ec", &mounts, &root, debs, script]);
            return command;
        };
        let mut command = zroot_with(level);
        command.args(["--root", &root]);
        if self.own_dev {
            command
                .arg("--bind")
                .arg(format!("{}/dev:/dev", self.dir.path().display()));
        }
        if !debs.is_empty() {
            command.arg("--bind").arg(format!("{debs}:/debs:ro"));
        }
        command.args(["--", "sh", "-c", script]);
        command
    }

    fn proc_and_sys(&self) -> &'static str {
        match self.column {
            // The host's settings stay as they are.
            Column::RealRoot => {
                r#"mount --rbind /sys "$0/sys"; mount -o remount,bind,ro "$0/sys"; mount -t proc proc "$0/proc";
                mount --bind "$0/proc/sys" "$0/proc/sys"; mount -o remount,bind,ro "$0/proc/sys";"#
            }
            _ => r#"mount --rbind /sys "$0/sys"; mount --rbind /proc "$0/proc";"#,
        }
    }

    fn dev(&self) -> &'static str {
        match self.column {
            _ if self.own_dev => r#"mount --bind "$0/../dev" "$0/dev";"#,
            // Nodes of its own, since it could change the host's.
            Column::RealRoot => {
                r#"rm -rf "$0"/dev/*; cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty "$0/dev"; ln -s pts/ptmx "$0/dev/ptmx";
                ln -s /proc/self/fd "$0/dev/fd"; ln -s fd/0 "$0/dev/stdin"; ln -s fd/1 "$0/dev/stdout"; ln -s fd/2 "$0/dev/stderr";
                mkdir "$0/dev/pts"; mkdir -m 1777 "$0/dev/shm"; mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts "$0/dev/pts";"#
            }
            _ => r#"mount --rbind /dev "$0/dev";"#,
        }
    }

    /// Runs a command to its end, and ends whatever it leaves running in the tree, as a build
    /// would.
    pub fn run(&self, mut command: Command) -> (i32, String) {
        if self.foreign {
            command = with_qemu(&command);
        }
        let (read, write) = pipe2(OFlag::O_CLOEXEC).expect("a pipe");
        if self.column != Column::RealRoot {
            // It could not open /dev/stderr otherwise.
            let _ = fchown(&write, Some(uid()), Some(uid()));
        }
        let error = write.try_clone().expect("a descriptor");
        let mut child: Child = command
            .stdout(Stdio::from(write))
            .stderr(Stdio::from(error))
            .spawn()
            .expect("a command that starts");
        drop(command); // and its ends of the pipe
        let reader = std::thread::spawn(move || {
            let mut said = Vec::new();
            File::from(read)
                .read_to_end(&mut said)
                .map(|_| String::from_utf8_lossy(&said).into_owned())
        });
        let status = child.wait().expect("waited for");
        self.end_all();
        let said = reader.join().expect("no panic").expect("a pipe to read");
        (
            status
                .code()
                .or_else(|| status.signal().map(|signal| 128 + signal))
                .expect("an end"),
            said,
        )
    }

    /// Ends all processes whose root directory the tree is.
    fn end_all(&self) {
        let Ok(root) = fs::metadata(self.root()) else {
            return;
        };
        for process in fs::read_dir("/proc").expect("/proc").flatten() {
            let Some(pid) = process
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            if fs::metadata(process.path().join("root/"))
                .is_ok_and(|its| (its.dev(), its.ino()) == (root.dev(), root.ino()))
            {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }

    /// What a shell script inside comes to, and what is in the tree then.
    pub fn outcome_inside(&self, script: &str) -> Outcome {
        let dev = if self.own_dev {
            "-false"
        } else {
            "-path './dev/*'"
        };
        let ignored = format!("-path ./proc -o -path ./sys -o -path ./debs -o {dev}");
        self.outcome(self.inside(&self.noted(script, "/", &ignored)))
    }

    /// What a command of the machine's comes to that makes the tree.
    pub fn outcome_of(&self, words: &Command) -> Outcome {
        let mut command = launcher(self.column);
        let script = self.noted("\"$@\"", &self.root(), "-false");
        command
            .args(["sh", "-c", &script, "sh"])
            .arg(words.get_program())
            .args(words.get_args());
        command.envs(
            words
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        self.outcome(command)
    }

    fn noted(&self, script: &str, dir: &str, ignored: &str) -> String {
        if self.column.keeps_owners() {
            noted(script, dir, ignored)
        } else {
            script.to_owned()
        }
    }

    /// What `command` comes to, and what is in the tree then; after a failure nobody looks.
    fn outcome(&self, command: Command) -> Outcome {
        let (status, said) = self.run(command);
        let (said, owners) = split(&said);
        let said = said.to_owned();
        if status != 0 {
            return Outcome {
                status,
                said,
                audit: String::new(),
                files: BTreeMap::new(),
                owners: None,
            };
        }
        let (_, audit) = self.run(self.inside("dpkg --audit; dpkg-query -f '${db:Status-Abbrev} ${Package}\\n' -W | grep -Ev '^(ii|rc) '"));
        Outcome {
            status,
            said,
            audit,
            files: self.files(),
            owners,
        }
    }

    /// Type, mode, and where a link leads, of everything.
    fn files(&self) -> BTreeMap<String, String> {
        let dev = if self.own_dev { "../dev" } else { "" };
        let find = format!(
            "cd \"$0\"; find . {dev} \\( -path ./proc/\\* -o -path ./sys/\\* -o -path ./debs/\\* -o -path ./dev/\\* \\) -prune -o -printf '%p\\t%y %m %l\\n'"
        );
        let found = run(&mut self.shell(&find)).succeeds().stdout;
        found
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(path, what)| (path.to_owned(), what.trim_end().to_owned()))
            .collect()
    }
}

/// Calls `run` for each, on two threads.
pub fn two_at_a_time<T: Send>(all: Vec<T>, run: impl Fn(T) + Sync) {
    let queue = Mutex::new(all.into_iter());
    let work = || {
        let next = || queue.lock().expect("no panic").next();
        while let Some(one) = next() {
            run(one);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.end_all();
        // What stays goes with the directory, if it can: no failure of the case's.
        run(&mut self.shell(r#"rm -rf -- "$0""#));
    }
}

const MOUNT_DEBS: &str = r#"if [ "$1" ]; then mount --bind "$1" "$0/debs"; fi;"#;

/// What came of an installation.
pub struct Outcome {
    pub status: i32,
    pub said: String,
    /// What dpkg finds wrong, and the packages that are not just installed.
    audit: String,
    files: BTreeMap<String, String>,
    /// Where they are remembered.
    owners: Option<Owners>,
}

impl Outcome {
    /// Everything that is wrong, compared with what real root gets; without that, only what nobody
    /// should get.
    pub fn faults(&self, real: Option<&Outcome>) -> Vec<String> {
        let seen: BTreeSet<String> = real
            .map(|real| real.said.lines().map(without_numbers).collect())
            .unwrap_or_default();
        let having = |words: &[&str]| -> Vec<&str> {
            let has = |line: &&str| {
                words.iter().any(|word| line.to_lowercase().contains(word))
                    && !seen.contains(&without_numbers(line))
            };
            self.said.lines().filter(has).collect()
        };
        if self.status != 0 {
            return vec![format!(
                "{STATUS}{}: {}",
                self.status,
                having(COMPLAINTS).join("\n    ")
            )];
        }
        let complaints = having(if real.is_some() { COMPLAINTS } else { REFUSALS });
        let mut faults: Vec<String> = complaints
            .iter()
            .map(|line| format!("says: {line}"))
            .collect();
        if !self.audit.is_empty() {
            faults.push(format!("dpkg finds: {}", self.audit.trim()));
        }
        if let Some(real) = real {
            faults.extend(differences(&real.files, &self.files));
            if let (Some(real), Some(ours)) = (&real.owners, &self.owners) {
                faults.extend(owners::differences(real, ours));
            }
        }
        faults
    }
}

/// What a line that complains has in it.
const COMPLAINTS: &[&str] = &[
    "error",
    "fail",
    "cannot",
    "can't",
    "could not",
    "unable to",
    "not permitted",
    "denied",
    "invalid",
    "warning",
    "no such",
    "dubious ownership",
];

/// What a line has in it that nobody should see, whatever real root sees.
const REFUSALS: &[&str] = &[
    "operation not permitted",
    "access acl",
    "default acl",
    "set acl",
    "invalid argument",
];

/// Process ids, times and sizes are not compared.
fn without_numbers(line: &str) -> String {
    line.split(|letter: char| letter.is_ascii_digit())
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("0")
}

fn differences(real: &BTreeMap<String, String>, ours: &BTreeMap<String, String>) -> Vec<String> {
    let paths: BTreeSet<&String> = real.keys().chain(ours.keys()).collect();
    let or_nothing = |what: Option<&String>| what.map_or_else(|| "nothing".into(), String::clone);
    let differ = |path: &&String| {
        let (there, here) = (real.get(*path), ours.get(*path));
        // A device's place is taken by a file of that mode.
        let placeholder = there.zip(here).is_some_and(|(there, here)| {
            there
                .strip_prefix(['c', 'b'])
                .is_some_and(|mode| here.strip_prefix('f') == Some(mode))
        });
        there != here && !placeholder
    };
    paths
        .into_iter()
        .filter(differ)
        .map(|path| {
            format!(
                "{path}: {} for real root, here {}",
                or_nothing(real.get(path)),
                or_nothing(ours.get(path))
            )
        })
        .collect()
}

/// A shortfall whose cause is known.
pub struct Short {
    pub cases: &'static [&'static str],
    pub columns: &'static [Column],
    /// A fault has this.
    pub says: &'static str,
    /// Other faults have one of these.
    pub others: &'static [&'static str],
    pub cause: &'static str,
    /// Whether the exit status is 0 all the same.
    pub ends_well: bool,
}

impl Short {
    pub fn of(all: &'static [Short], case: &str, column: Column) -> Option<&'static Short> {
        all.iter()
            .find(|short| short.cases.contains(&case) && short.columns.contains(&column))
    }

    pub fn expect(short: Option<&'static Short>) -> Expect {
        short.map_or(
            Expect::Pass,
            |&Short {
                 says: saying,
                 cause,
                 ends_well,
                 ..
             }| {
                if ends_well {
                    Expect::InPart { saying, cause }
                } else {
                    Expect::Fail { saying, cause }
                }
            },
        )
    }
}

/// What is no failure: what a fault contains, and why.
const BY_DESIGN: &[(&str, &str)] = &[
    (
        "does not belong to the user you are currently creating",
        "owners are lost, and adduser looks at a directory that dpkg has unpacked",
    ),
    (
        "mount -t proc proc /proc",
        "mounting is not faked; debootstrap does it to be nice, and goes on without",
    ),
    (
        "./run/mount: d 755 for real root, here nothing",
        "the same mount's",
    ),
    (
        "/gitolite-admin.git/objects/",
        "git names them by their contents, which hold the time",
    ),
];

/// The end of a case that has these faults: if some are not those of `short`, they are told, and
/// only they.
pub fn verdict(mut faults: Vec<String>, short: Option<&Short>) -> Result<(), String> {
    // A bad end is one fault, with all that was said.
    faults.retain(|fault| {
        fault.starts_with(STATUS) || !BY_DESIGN.iter().any(|(part, _)| fault.contains(part))
    });
    let known = |fault: &String| {
        short.is_some_and(|short| {
            fault.contains(short.says) || short.others.iter().any(|part| fault.contains(part))
        })
    };
    let (old, new): (Vec<String>, Vec<String>) = faults.into_iter().partition(known);
    let told = if new.is_empty() { old } else { new };
    if told.is_empty() {
        return Ok(());
    }
    let more = if told.len() > 12 {
        format!("\n    and {} more", told.len() - 12)
    } else {
        String::new()
    };
    Err(told.into_iter().take(12).collect::<Vec<_>>().join("\n    ") + &more)
}
