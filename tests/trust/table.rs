//! Every call of the policy with a file, by every way to name one, in every place: what the kernel
//! answers to a caller there without zroot is what a supervised one has to get. Where the kernel
//! refuses because of ids and device nodes alone, success is pretended, and no more may come of it
//! than that caller could have done itself.
//!
//! At level full once more with owners that are remembered, 5 and 7 of every file in the place: who
//! can stat a file without zroot sees these, and everything else as the kernel says it; who cannot
//! gets the kernel's error.
//!
//! And calls that make files once more by who has another group in zroot's memory: the supervisor
//! makes those. Those that ask for attributes are made where every file has one that is remembered:
//! who finds the file without zroot, and no attribute, may see it; all else is the kernel's.
//!
//! And calls that remove files, where what is remembered is saved and all have owners that are: the
//! supervisor removes those, and what is gone then is what the kernel would have removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use zroot::internals::arch::signature::Kind;
use zroot::internals::arch::{Abi, Sysno};
use zroot::internals::filter::policy::{Action, Class, Level, Policy};

use crate::common;
use crate::forms::{self, For, Form, Race};
use crate::place::{Place, Snapshot, differences, look, make_tree, restore};
use crate::report::Report;
use crate::restrictions::{RESTRICTIONS, Restriction};
use crate::session::{Session, zroot};

/// A call of the policy that names a file.
struct Call {
    sysno: Sysno,
    number: u32,
    class: Class,
    /// Its arguments, a letter each, for `fixtures/cells.c`.
    kinds: String,
    makes_file: bool,
    /// Whether it asks for attributes.
    asks: bool,
    /// Whether it takes a file's name from it.
    removes: bool,
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Wish {
    /// To leave owner and group as they are. Of a call that makes a file: one that is there.
    Same,
    /// What any owner of the file may have.
    Own,
    /// What takes privilege: another owner, a device, an attribute of `trusted.` Of stat(2): an
    /// answer in memory that is constant. Of unlinkat(2): to remove a directory.
    Other,
}

impl Call {
    /// `None` if it has no file, or no number here.
    fn new(class: Class, sysno: Sysno) -> Option<Call> {
        let params = sysno.signature().params;
        let is_file = |kind| matches!(kind, Kind::Path | Kind::Link | Kind::Fd | Kind::Dir);
        // What is only noted, and real, would change who makes the next call.
        let is_noted = matches!(
            sysno,
            Sysno::chroot
                | Sysno::pivot_root
                | Sysno::setns
                | Sysno::unshare
                | Sysno::execve
                | Sysno::execveat
        );
        let is_bind = sysno == Sysno::bind;
        // creat(2) would wait for who opens a FIFO's other end. It is open(2).
        let is_another = is_noted || sysno == Sysno::creat;
        if is_another || !is_bind && !params.iter().any(|param| is_file(param.kind)) {
            return None;
        }
        let name = sysno.name();
        let asks = class == Class::Xattr && (name.contains("get") || name.contains("list"));
        let removes = ["unlink", "rmdir", "rename"]
            .iter()
            .any(|one| name.starts_with(one));
        let letter = |kind| match kind {
            Kind::Value if asks => 'o',
            Kind::XattrArgs if asks => 'X',
            Kind::Fd => 'F',
            Kind::Dir => 'D',
            Kind::Path | Kind::Link => 'P',
            Kind::AtFlags => 'A',
            Kind::Uid | Kind::Gid => 'I',
            Kind::Mode => 'M',
            Kind::Dev => 'V',
            Kind::Name => 'N',
            Kind::Value => 'v',
            Kind::Size => 'S',
            Kind::XattrArgs => 'x',
            Kind::Seconds | Kind::Microseconds => 's',
            Kind::Nanoseconds => 'n',
            Kind::WideNanoseconds => 'w',
            Kind::Stat => 'b',
            Kind::Statx => 'B',
            Kind::OpenFlags => 'O',
            Kind::OpenHow => 'H',
            Kind::Pointer if class == Class::Maker => 'T',
            Kind::Socket => 'k',
            Kind::Address => 'u',
            // The address's length.
            Kind::Number if is_bind => 'U',
            Kind::Number if sysno == Sysno::unlinkat => 'r',
            _ => '0',
        };
        let kinds: String = params.iter().map(|param| letter(param.kind)).collect();
        // Of two paths the first is that of a fresh file.
        let kinds = match kinds.matches('P').count() {
            2 if removes => kinds.replacen('P', "f", 1),
            _ => kinds,
        };
        // statx(2)'s only number is its mask.
        let makes_file = !removes && class == Class::Maker || is_bind || kinds.contains('V');
        // To `cells` this says that there is something to be removed.
        let kinds = if makes_file {
            kinds + "R"
        } else if kinds.contains('B') {
            kinds.replace('0', "m")
        } else {
            kinds
        };
        Some(Call {
            sysno,
            number: sysno.nr(Abi::NATIVE)?,
            class,
            // utimes(2) has four numbers, as utimensat(2).
            kinds: if params.iter().any(|param| param.kind == Kind::Microseconds) {
                kinds.replace('s', "n")
            } else {
                kinds
            },
            makes_file,
            asks,
            removes,
        })
    }

    fn is_for(&self, form: &Form) -> bool {
        // In a race there is something to be removed but once.
        if self.removes && form.race.is_some() && self.sysno != Sysno::unlink {
            return false;
        }
        match form.of {
            For::Path => self.kinds.contains(['P', 'u']),
            For::Dir => self.kinds.contains('D'),
            For::Flags => self.kinds.contains('A'),
            For::Fd => self.kinds.contains('F'),
        }
    }

    fn wishes(&self) -> &'static [Wish] {
        match self.class {
            Class::Owner => &[Wish::Same, Wish::Own, Wish::Other],
            Class::Maker if self.sysno == Sysno::unlinkat => &[Wish::Own, Wish::Other],
            Class::Maker if self.removes => &[Wish::Own],
            Class::Maker => &[Wish::Own, Wish::Same],
            Class::Device | Class::Xattr | Class::Stat => &[Wish::Own, Wish::Other],
            _ => &[Wish::Own],
        }
    }

    /// The line for `fixtures/cells.c`.
    fn line(&self, wish: Wish, form: &Form, count: usize) -> String {
        let id = match wish {
            Wish::Same => "-1",
            Wish::Own => "0",
            Wish::Other => "7",
        };
        let mode = match (self.makes_file, wish) {
            (true, Wish::Other) => "20666",
            (true, _) => "100666",
            (false, _) => "751",
        };
        let device = if wish == Wish::Other { 259 } else { 0 }; // 1:3
        // An attribute that is there is removed, another is set.
        let name = match wish {
            Wish::Other => "trusted.t",
            _ if self.asks => "security.zroot",
            _ if self.sysno.name().contains("remove") => "user.keep",
            _ => "user.new",
        };
        let removes_directory = self.sysno == Sysno::rmdir || self.removes && wish == Wish::Other;
        // What is removed is in the directory in which another call makes a file.
        let removed = form.new.strip_suffix("new").filter(|_| self.removes);
        let removed =
            removed.map(|parent| format!("{parent}{}", if removes_directory { "e" } else { "f" }));
        let path = match &removed {
            Some(removed) => removed,
            None if self.makes_file && wish != Wish::Same => &form.new,
            None => &form.file,
        };
        let (race, with) = match &form.race {
            None => ("-", String::new()),
            Some((Race::Exchange, with, _)) => ("x", with.clone()),
            Some((Race::Overwrite, with, _)) => {
                let end = path.rsplit('/').next().unwrap_or_default();
                ("b", format!("{with}/{end}"))
            }
        };
        let Form { cwd, dir, fd, .. } = form;
        let flags = if self.removes && removes_directory {
            libc::AT_REMOVEDIR
        } else {
            form.flags
        };
        let (number, kinds) = (self.number, &self.kinds);
        format!(
            "{number}\t{kinds}\t{id}\t{mode}\t{device}\t{name}\t{cwd}\t{dir}\t{flags}\t{fd}\t{path}\t{race}\t{with}\t{count}\n"
        )
    }
}

/// The calls, from the policy of the level that has all of them.
fn calls() -> Vec<Call> {
    let policy = Policy {
        is_saved: true,
        ..Policy::of(Level::Full)
    };
    let all: Vec<_> = policy
        .rules()
        .filter(|rule| rule.action == Action::Notify)
        .collect();
    let class_of = |call: Sysno| {
        let has = |class: &Class| class.rules(Level::Full).any(|rule| rule.call == call);
        // What removes a file is of none.
        Class::ALL.into_iter().find(has).unwrap_or(Class::Maker)
    };
    all.into_iter()
        .filter_map(|rule| Call::new(class_of(rule.call), rule.call))
        .collect()
}

/// A level, which of its calls are made there, and what is done before: a script, of which `$1` is
/// the directory above `P`.
struct Pass {
    level: Level,
    /// More of zroot's options.
    options: &'static [&'static str],
    is_made: fn(&Call) -> bool,
    before: &'static str,
    /// What starts the script.
    by: &'static [&'static str],
    /// What is remembered of every file.
    remembered: Remembered,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Remembered {
    Nothing,
    /// Another owner.
    Owner,
    /// An attribute.
    Attribute,
    /// Another owner, which a process of the session gives to what is made again, too.
    Anew,
}

const PASSES: [Pass; 6] = [
    Pass {
        level: Level::Selective,
        options: &[],
        is_made: |call| Level::Selective.has(call.class) && !call.asks && !call.removes,
        before: "",
        by: &[],
        remembered: Remembered::Nothing,
    },
    Pass {
        level: Level::Full,
        options: &[],
        is_made: |call| call.class != Class::Stat && !call.asks && !call.removes,
        before: "",
        by: &[],
        remembered: Remembered::Nothing,
    },
    Pass {
        level: Level::Full,
        options: &[],
        is_made: |call| call.class == Class::Stat,
        // A change of owner takes the bits of modes away.
        before: r#"chown -hR 5:7 "$1/P" "$1/Q" "$1/R"
            find "$1/P" "$1/Q" "$1/R" -type f ! -name cells ! -name unreadable -exec chmod 4755 {} +; "#,
        by: &[],
        remembered: Remembered::Owner,
    },
    Pass {
        level: Level::Full,
        options: &[],
        is_made: |call| call.asks,
        before: r#"find "$1/P" "$1/Q" "$1/R" \
            -exec setfattr -h -n security.zroot -v remembered {} + 2>/dev/null || :; "#,
        by: &[],
        remembered: Remembered::Attribute,
    },
    // For who is in another group the supervisor makes the files.
    Pass {
        level: Level::Full,
        options: &[],
        is_made: |call| call.makes_file,
        before: "",
        by: &["env", "CELLS_GROUP=7"],
        remembered: Remembered::Nothing,
    },
    Pass {
        level: Level::Full,
        options: &["-s", "/dev/null"],
        is_made: |call| call.removes,
        before: r#"chown -hR 5:7 "$1/P" "$1/Q" "$1/R"
            mkfifo again done
            while read -r path; do chown -h 5:7 "$path"; echo "$?"; done <again >done & "#,
        by: &[],
        remembered: Remembered::Anew,
    },
];

/// The owner that is remembered of every file.
const REMEMBERED: &str = "5:7";

/// What is said of the attribute that is: by who asks for it, and by who asks for all.
const ATTRIBUTE: [&str; 2] = ["0 remembered", "security.zroot"];

/// What the kernel would have said instead of `result`, had it known that attribute.
fn with_attribute(result: &str) -> Option<String> {
    const ENODATA: i32 = libc::ENODATA;
    match result.strip_prefix("0 ") {
        None if result == ENODATA.to_string() => Some(ATTRIBUTE[0].to_owned()),
        None => None,
        Some("") => Some(format!("0 {}", ATTRIBUTE[1])),
        Some(names) => Some(format!("0 {names}+{}", ATTRIBUTE[1])),
    }
}

/// What came of one call: the errno or several, and what is different afterwards.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Came {
    result: String,
    changes: Vec<String>,
}

impl std::fmt::Display for Came {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = |number: &str| match number.parse() {
            Ok(0) => "0".to_owned(),
            Ok(errno) => format!("{:?}", Errno::from_raw(errno)),
            Err(_) => number.to_owned(),
        };
        let names: Vec<String> = self.result.split(',').map(name).collect();
        write!(f, "{}", names.join(","))?;
        if !self.changes.is_empty() {
            write!(f, " [{}]", self.changes.join("; "))?;
        }
        Ok(())
    }
}

/// One cell: which call (by its place in the list), wish and form.
type Cell = (usize, Wish, usize);

/// `cells`, somewhere.
struct Caller {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    watched: Vec<(&'static str, PathBuf)>,
    before: Snapshot,
    inodes: BTreeMap<(u64, u64), String>,
    /// Who gives its owner to what is made again.
    again: Option<(File, BufReader<File>)>,
}

/// What stat(2) said, in words: `0 NAME OWNER MODE NLINK RDEV SIZE` of a file of the place; of
/// another, of which not all stays, `0 another MODE RDEV`, and whether its owner seems to be one
/// that is remembered.
fn in_words(said: &str, inodes: &BTreeMap<(u64, u64), String>) -> Option<String> {
    let fields: Vec<&str> = said.split('/').collect();
    let ["0", dev, ino, uid, gid, mode, nlink, rdev, size] = fields[..] else {
        return None;
    };
    let inode = (dev.parse().ok()?, ino.parse().ok()?);
    Some(match inodes.get(&inode) {
        Some(name) => format!("0 {name} {uid}:{gid} {mode} {nlink} {rdev} {size}"),
        None if uid == "5" || gid == "7" => format!("0 another {uid}:{gid} {mode} {rdev}"),
        None => format!("0 another {mode} {rdev}"),
    })
}

/// The same result, had the kernel known the owner that is remembered.
fn as_remembered(result: &str) -> String {
    let mut words: Vec<&str> = result.split(' ').collect();
    if words.len() == 7 {
        words[2] = REMEMBERED;
    }
    words.join(" ")
}

/// Why there is none: the machine's fault.
struct Lacking(String);

impl Caller {
    fn start(
        place: &Place,
        restriction: &Restriction,
        launcher: &[&str],
        (before, remembered): (&str, Remembered),
        session: &Session,
    ) -> Result<Caller, Lacking> {
        let top = place.path().to_str().expect("UTF-8");
        let script = format!("{before}{}", restriction.script);
        let words = [launcher, &["sh", "-ec", &script, "sh", top]].concat();
        let mut command = session.command(&place.path().join("Q"), words);
        let outside: Vec<OwnedFd> = ["f", "d"]
            .map(|name| place.path().join("P").join(name))
            .iter()
            .map(|path| std::fs::File::open(path).expect("open").into())
            .collect();
        let numbers = [outside[0].as_raw_fd(), outside[1].as_raw_fd()];
        #[allow(unsafe_code)]
        // SAFETY: the closure makes system calls only.
        unsafe {
            command.pre_exec(move || {
                for (from, to) in numbers.into_iter().zip([20, 21]) {
                    if libc::dup2(from, to) < 0 {
                        return Err(std::io::Error::last_os_error());
                    }
                }
                Ok(())
            });
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("spawn");
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let mut caller = Caller {
            child,
            stdin: stdin.expect("a pipe"),
            stdout: stdout.expect("a pipe"),
            watched: place.watched(),
            before: Snapshot::new(),
            inodes: place.inodes(),
            again: None,
        };
        if caller.line().as_deref() != Some("ready") {
            let status = caller.child.wait().expect("waited for");
            return Err(Lacking(format!("it does not start: {status}")));
        }
        if remembered == Remembered::Anew {
            let open = |name: &str, options: &mut OpenOptions| {
                let path = place.path().join("Q").join(name);
                let file = options.open(&path).expect("a FIFO");
                std::fs::remove_file(path).expect("removed");
                file
            };
            let again = open("again", OpenOptions::new().write(true));
            let done = open("done", OpenOptions::new().read(true));
            caller.again = Some((again, BufReader::new(done)));
        }
        if restriction.is_elsewhere {
            let cells = session.named("cells");
            let root = format!("/proc/{}/root{top}/P", cells.first().expect("the program"));
            make_tree(Path::new(&root), &forms::links(place.path()));
            caller.watched.push(("inside", root.into()));
        }
        caller.before = look(&caller.watched);
        caller.stdin.write_all(b"go\n").expect("written");
        Ok(caller)
    }

    /// A line of its output; `None` at its end, or if there is none for long.
    fn line(&mut self) -> Option<String> {
        let (mut line, mut byte) = (Vec::new(), [0; 64]);
        loop {
            let mut on = [PollFd::new(self.stdout.as_fd(), PollFlags::POLLIN)];
            if poll(&mut on, PollTimeout::from(20_000_u16)).ok()? == 0 {
                return None;
            }
            let count = self
                .stdout
                .read(&mut byte)
                .ok()
                .filter(|count| *count > 0)?;
            line.extend(&byte[..count]);
            if line.ends_with(b"\n") {
                line.pop();
                return String::from_utf8(line).ok();
            }
        }
    }

    fn make(&mut self, line: &str) -> Option<Came> {
        self.stdin.write_all(line.as_bytes()).ok()?;
        let result = self.line()?;
        let one = |one: &str| in_words(one, &self.inodes).unwrap_or_else(|| one.to_owned());
        let result: Vec<String> = result.split(',').map(one).collect();
        let result = result.join(",");
        let after = look(&self.watched);
        let changes = differences(&self.before, &after);
        if !changes.is_empty() {
            let changed = restore(&self.watched, &self.before, &after);
            self.remember(&changed);
        }
        Some(Came { result, changes })
    }

    /// Has the same owner be remembered of these files as of all others.
    fn remember(&mut self, files: &[PathBuf]) {
        let Some((again, done)) = &mut self.again else {
            return;
        };
        // What is in a namespace only has none.
        let files = files.iter().filter(|path| !path.starts_with("/proc"));
        for path in files {
            writeln!(again, "{}", path.display()).expect("written");
            let mut said = String::new();
            done.read_line(&mut said).expect("read");
            assert_eq!(said, "0\n", "chown of {}", path.display());
        }
    }

    fn end(self) -> i32 {
        let Caller {
            mut child,
            stdin,
            again,
            ..
        } = self;
        drop((stdin, again));
        child.wait().expect("waited for").code().unwrap_or(-1)
    }
}

/// Makes all calls that `wanted` has.
fn make_all(
    caller: &mut Caller,
    calls: &[Call],
    forms: &[Form],
    count: usize,
    wanted: &dyn Fn(&Form, &Call) -> bool,
) -> BTreeMap<Cell, Came> {
    let mut all = BTreeMap::new();
    for (f, form) in forms.iter().enumerate() {
        for (c, call) in calls
            .iter()
            .enumerate()
            .filter(|(_, call)| call.is_for(form) && wanted(form, call))
        {
            for &wish in call.wishes() {
                let Some(came) = caller.make(&call.line(wish, form, count)) else {
                    return all;
                };
                all.insert((c, wish, f), came);
            }
        }
    }
    all
}

/// Whether a refusal is for want of privilege: what zroot is there to hide.
fn is_for_ids(call: &Call, wish: Wish, result: &str) -> bool {
    match call.class {
        Class::Stat | Class::Maker | Class::Peer => false,
        Class::Owner => result == EPERM || result == EINVAL,
        // user.* is refused to everybody.
        Class::Xattr | Class::Device => wish == Wish::Other && result == EPERM,
        _ => result == EPERM,
    }
}

const EPERM: &str = "1";
const EINVAL: &str = "22";

/// What the supervised caller may get: results, and the changes that are possible with each.
struct Allowed {
    exactly: Option<Came>,
    results: Vec<String>,
    changes: Vec<String>,
}

impl Allowed {
    /// Of a race every single result has to be allowed.
    fn has(&self, got: &Came, is_race: bool) -> bool {
        if let Some(came) = &self.exactly {
            return came == got;
        }
        let one_name = |changes: &[String]| {
            if is_race {
                in_race(changes.to_vec())
            } else {
                changes.iter().cloned().collect()
            }
        };
        got.result
            .split(',')
            .all(|one| self.results.iter().any(|result| result == one))
            && one_name(&got.changes).is_subset(&one_name(&self.changes))
    }

    /// The same, or had the kernel known the attribute that is remembered.
    fn or_with_attribute(self) -> Allowed {
        let (mut results, changes) = match self.exactly {
            Some(came) => (vec![came.result], came.changes),
            None => (self.results, self.changes),
        };
        let others: Vec<_> = results
            .iter()
            .filter_map(|one| with_attribute(one))
            .collect();
        results.extend(others);
        Allowed {
            exactly: None,
            results,
            changes,
        }
    }

    /// What is wrong with `got`, in words: the first that applies, the worst first.
    fn wrong(&self, got: &Came) -> &'static str {
        let (results, changes) = match &self.exactly {
            Some(came) => (vec![came.result.clone()], &came.changes),
            None => (self.results.clone(), &self.changes),
        };
        let is_beyond = |change: &String| !in_race(changes.clone()).contains(change);
        let is_success = |result: &str| result == "0" || result.starts_with("0 ");
        let may_succeed = results.iter().any(|result| is_success(result));
        let succeeds = got.result.split(',').any(is_success);
        if in_race(got.changes.clone()).iter().any(is_beyond) {
            "changed what the caller could not"
        } else if succeeds && !may_succeed {
            "succeeded where the kernel refuses"
        } else if succeeds && got.result.contains(' ') {
            "said something else of a file"
        } else if succeeds && got.result == "0" {
            "said success and did nothing"
        } else if may_succeed {
            "refused what the kernel permits"
        } else {
            "another error than the kernel's"
        }
    }
}

impl std::fmt::Display for Allowed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(came) = &self.exactly {
            return write!(f, "{came}");
        }
        let any = |result: &String| Came {
            result: result.clone(),
            changes: Vec::new(),
        };
        let results: BTreeSet<String> = self.results.iter().map(|r| any(r).to_string()).collect();
        let results: Vec<String> = results.into_iter().collect();
        write!(
            f,
            "{}, at most [{}]",
            results.join(" or "),
            self.changes.join("; ")
        )
    }
}

/// From what the kernel answered, in the place of `restriction`.
fn allowed(
    restriction: &Restriction,
    calls: &[Call],
    kernel: &BTreeMap<Cell, Came>,
    (c, wish, f): Cell,
) -> Option<Allowed> {
    let call = &calls[c];
    let came = kernel.get(&(c, wish, f))?;
    let exactly = |came: &Came| {
        Some(Allowed {
            exactly: Some(came.clone()),
            results: Vec::new(),
            changes: Vec::new(),
        })
    };
    if !is_for_ids(call, wish, &came.result) {
        return exactly(came);
    }
    // What one has given up is not pretended. The kernel may have looked at the ids first.
    if restriction.gives_up {
        return Some(Allowed {
            exactly: None,
            results: vec![EPERM.into(), came.result.clone()],
            changes: Vec::new(),
        });
    }
    let pretended = |changes: &[String]| {
        let mut results = vec!["0".into(), came.result.clone()];
        // Whoever remembers knows that it is not there.
        if call.class == Class::Xattr && call.sysno.name().contains("remove") {
            results.push((Errno::ENODATA as i32).to_string());
        }
        // What the kernel makes up, as in /proc, has no attributes, whoever asks.
        if call.class == Class::Xattr {
            results.push((Errno::EOPNOTSUPP as i32).to_string());
        }
        Some(Allowed {
            exactly: None,
            results,
            changes: changes.to_vec(),
        })
    };
    match call.class {
        // A regular file in its place: as if that had been asked for.
        Class::Device => exactly(kernel.get(&(c, Wish::Own, f))?),
        Class::Owner => {
            let possible = [Wish::Own, Wish::Same]
                .into_iter()
                .filter_map(|wish| kernel.get(&(c, wish, f)))
                .find(|came| came.result == "0");
            pretended(possible.map_or(&[], |came| &came.changes))
        }
        _ => pretended(&[]),
    }
}

/// The same for a race, from the two forms that it is made of.
fn allowed_in_race(
    restriction: &Restriction,
    calls: &[Call],
    kernel: &BTreeMap<Cell, Came>,
    (c, wish): (usize, Wish),
    two: [usize; 2],
) -> Option<Allowed> {
    let (mut results, mut changes) = (Vec::new(), Vec::new());
    for f in two {
        let one = allowed(restriction, calls, kernel, (c, wish, f))?;
        let exactly = one.exactly.into_iter();
        for came in exactly {
            results.push(came.result);
            changes.extend(came.changes);
        }
        results.extend(one.results);
        changes.extend(one.changes);
    }
    // What is made twice is there, and what is removed twice is not.
    let second = match (
        calls[c].makes_file,
        calls[c].sysno.name().contains("remove"),
    ) {
        (true, _) if calls[c].sysno == Sysno::bind => Some(Errno::EADDRINUSE),
        (true, _) => Some(Errno::EEXIST),
        (_, true) => Some(Errno::ENODATA),
        _ if calls[c].removes => Some(Errno::ENOENT),
        _ => None,
    };
    results.extend(second.map(|errno| (errno as i32).to_string()));
    Some(Allowed {
        exactly: None,
        results,
        changes,
    })
}

/// Where a race leaves its files, a file has the one name or the other.
fn in_race(changes: Vec<String>) -> BTreeSet<String> {
    let one_name = |change: String| {
        change
            .replace("R/mswapl", "R/mswap")
            .replace("R/swapl", "R/swap")
    };
    changes.into_iter().map(one_name).collect()
}

pub fn run(report: &mut Report) {
    for name in ["cc", "unshare", "chroot", "mount"] {
        if common::program(name).is_none() {
            return report.skip("all", 1, &format!("there is no {name}"));
        }
    }
    let calls = calls();
    let mut failures: BTreeMap<String, usize> = BTreeMap::new();
    let mut chosen: Vec<&Restriction> = RESTRICTIONS.iter().collect();
    chosen.retain(|one| {
        let is_meant = report.full || one.is_quick;
        if report.chooses() {
            report.is_chosen(one.name)
        } else {
            is_meant
        }
    });
    for restriction in chosen {
        if let Some(lacking) = restriction
            .needs
            .iter()
            .find(|name| common::program(name).is_none())
        {
            report.skip(restriction.name, 1, &format!("there is no {lacking}"));
            continue;
        }
        let failed = report.failed;
        compare(report, restriction, &calls);
        failures.insert(restriction.name.into(), report.failed - failed);
    }
    for (name, count) in failures {
        report.say(&format!("{count} failed in '{name}'"));
    }
}

fn compare(report: &mut Report, restriction: &Restriction, calls: &[Call]) {
    let place = Place::new(&|top| forms::links(top));
    let of = |name: &str| place.path().join(name).display().to_string();
    let inside = if restriction.is_root {
        String::new()
    } else {
        of("P")
    };
    let forms = forms::all([&inside, &of("Q"), &of("R")]);
    let count = if report.full { 2000 } else { 40 };

    let session = Session::new();
    let without =
        |removes: bool| without_zroot(&place, restriction, calls, &forms, removes, &session);
    let kernel = match both(without) {
        Ok(kernel) => kernel,
        Err(Lacking(reason)) => return report.skip(restriction.name, 1, &reason),
    };
    if report.full {
        agrees_with_itself(report, restriction, &kernel, both(without));
    }

    let exe = zroot().to_str().expect("UTF-8");
    let known: BTreeMap<Cell, Came> = kernel.iter().map(known).collect();
    for pass in &PASSES {
        let level = pass.level.name();
        let launcher = [&[exe, "-c", level], pass.options, &["--"], pass.by].concat();
        let before = (pass.before, pass.remembered);
        let started = Caller::start(&place, restriction, &launcher, before, &session);
        let mut caller = match started {
            Ok(caller) => caller,
            Err(Lacking(reason)) => {
                return report.fail(&format!("{}, {level}: {reason}", restriction.name));
            }
        };
        let is_made = |_: &Form, call: &Call| (pass.is_made)(call);
        let supervised = make_all(&mut caller, calls, &forms, count, &is_made);
        let kernel = if pass.remembered == Remembered::Owner {
            &known
        } else {
            &kernel
        };
        judge(
            report,
            restriction,
            pass,
            calls,
            &forms,
            kernel,
            &supervised,
        );
        if restriction.name == "none" && pass.remembered == Remembered::Anew {
            supervisor_removes(report, &mut caller, calls, &forms, &session);
        } else if restriction.name == "none" {
            supervisors_files(report, &mut caller, pass, calls, &session);
        }
        let status = caller.end();
        let name = restriction.name;
        report.check(
            status == 0,
            &format!("the caller in '{name}', {level}, ended with status {status}"),
        );
        session.nothing_is_left();
    }
}

/// What the kernel would have answered, had it known the owners that are remembered.
fn known((cell, came): (&Cell, &Came)) -> (Cell, Came) {
    let came = Came {
        result: as_remembered(&came.result),
        changes: came.changes.clone(),
    };
    (*cell, came)
}

/// Compares what the supervised caller got with what the kernel answered, cell by cell.
fn judge(
    report: &mut Report,
    restriction: &Restriction,
    pass: &Pass,
    calls: &[Call],
    forms: &[Form],
    kernel: &BTreeMap<Cell, Came>,
    supervised: &BTreeMap<Cell, Came>,
) {
    let level = pass.level.name();
    let number = |name: &String| forms.iter().position(|form| form.name == *name);
    let wanted_of = |c: usize, wish: Wish, f: usize| match &forms[f].race {
        None => allowed(restriction, calls, kernel, (c, wish, f)),
        Some((_, _, [one, two])) => {
            let two = [number(one)?, number(two)?];
            let mut allowed = allowed_in_race(restriction, calls, kernel, (c, wish), two)?;
            let is_remembered = |result: &String| result.contains(REMEMBERED);
            if pass.remembered == Remembered::Owner && !allowed.results.iter().all(is_remembered) {
                // The supervisor has found the one of which nothing is remembered, and left it to
                // the kernel, which finds the other, and knows no more than that.
                let other = |result: &String| result.replace(REMEMBERED, "0:0");
                let others: Vec<String> = allowed.results.iter().map(other).collect();
                allowed.results.extend(others);
            }
            Some(allowed)
        }
    };
    let wanted = |(c, wish, f): Cell| {
        let allowed = wanted_of(c, wish, f)?;
        // Who asks for all hears of it, too.
        let may_hear = wish == Wish::Own || !calls[c].kinds.contains('N');
        let is_known = pass.remembered == Remembered::Attribute && may_hear;
        Some(if is_known {
            allowed.or_with_attribute()
        } else {
            allowed
        })
    };
    let cells = forms.iter().enumerate().flat_map(|(f, form)| {
        let calls = calls.iter().enumerate();
        calls
            .filter(|(_, call)| call.is_for(form) && (pass.is_made)(call))
            .flat_map(move |(c, call)| call.wishes().iter().map(move |&wish| (c, wish, f)))
    });
    let mut wrong: BTreeMap<&str, usize> = BTreeMap::new();
    let mut seen = [0; 2];
    let shows = |result: &str| match pass.remembered {
        Remembered::Nothing => false,
        Remembered::Anew => result == "0",
        Remembered::Owner => result.contains(REMEMBERED),
        Remembered::Attribute => ATTRIBUTE.iter().any(|said| result.contains(said)),
    };
    for cell in cells {
        let (c, wish, f) = cell;
        let expected = wanted(cell);
        let got = supervised.get(&cell);
        let is_race = forms[f].race.is_some();
        if let (Some(expected), Some(got)) = (&expected, got) {
            if expected.has(got, is_race) {
                seen[usize::from(shows(&got.result))] += 1;
                report.pass();
                continue;
            }
            *wrong.entry(expected.wrong(got)).or_default() += 1;
        }
        report.fail(&format!(
            "{} {wish:?} | {} | {}, {level} | expected {} | got {}",
            calls[c].sysno.name(),
            forms[f].name,
            restriction.name,
            expected.map_or("an answer without zroot".into(), |expected| expected
                .to_string()),
            got.map_or("no answer".into(), ToString::to_string),
        ));
    }
    let name = restriction.name;
    for (what, count) in wrong {
        report.say(&format!("in '{name}', {level}, {count} {what}"));
    }
    let [others, seen] = seen;
    if pass.remembered == Remembered::Anew {
        // Where all is read-only, or Landlock forbids it, nothing can be.
        report.say(&format!(
            "in '{name}', {level}, {seen} removals, {others} that the kernel refuses"
        ));
    } else if pass.remembered != Remembered::Nothing {
        report.check(
            seen > 0,
            &format!(
                "in '{name}', {level}, {seen} answers with what is remembered, {others} without"
            ),
        );
    }
}

/// What the kernel answers to the calls that remove files, or to all others: in some places the
/// former take away what nobody can put back.
fn without_zroot(
    place: &Place,
    restriction: &Restriction,
    calls: &[Call],
    forms: &[Form],
    removes: bool,
    session: &Session,
) -> Result<BTreeMap<Cell, Came>, Lacking> {
    let nothing = ("", Remembered::Nothing);
    let mut caller = Caller::start(place, restriction, &["unshare", "-r"], nothing, session)?;
    let is_made = |form: &Form, call: &Call| form.race.is_none() && call.removes == removes;
    let kernel = make_all(&mut caller, calls, forms, 0, &is_made);
    let status = caller.end();
    session.nothing_is_left();
    if status == 77 {
        return Err(Lacking("this kernel does not have it".into()));
    }
    Ok(kernel)
}

/// All of what `of` has without and with removals.
fn both(
    of: impl Fn(bool) -> Result<BTreeMap<Cell, Came>, Lacking>,
) -> Result<BTreeMap<Cell, Came>, Lacking> {
    let mut all = of(false)?;
    all.append(&mut of(true)?);
    Ok(all)
}

/// The control: that the kernel answers the same once more, so that what differs is zroot's.
fn agrees_with_itself(
    report: &mut Report,
    restriction: &Restriction,
    kernel: &BTreeMap<Cell, Came>,
    again: Result<BTreeMap<Cell, Came>, Lacking>,
) {
    let Ok(again) = again else {
        return report.fail(&format!("{}: it does not start again", restriction.name));
    };
    let differ = kernel
        .iter()
        .filter(|(cell, came)| again.get(cell) != Some(came));
    let differ = differ.count();
    report.check(
        differ == 0 && !kernel.is_empty(),
        &format!(
            "the control in '{}': of {} answers without zroot {differ} differ the second time",
            restriction.name,
            kernel.len()
        ),
    );
}

/// It is the supervisor that removes what is remembered: strace(1) sees it do so.
fn supervisor_removes(
    report: &mut Report,
    caller: &mut Caller,
    calls: &[Call],
    forms: &[Form],
    session: &Session,
) {
    const NAME: &str = "the supervisor's own removals";
    if common::program("strace").is_none() {
        return report.skip(NAME, 1, "there is no strace");
    }
    let (_, supervisor) = session.pair();
    let mut strace = common::user("strace")
        .args(["-qq", "-e", "trace=unlinkat,?renameat,?renameat2", "-p"])
        .arg(supervisor.to_string())
        .stderr(Stdio::piped())
        .spawn()
        .expect("strace");
    common::wait_for("strace", || {
        let status = std::fs::read_to_string(format!("/proc/{supervisor}/status")).ok()?;
        (!status.contains("TracerPid:\t0")).then_some(())
    });
    let form = forms.iter().find(|form| form.name == "absolute");
    let form = form.expect("a form");
    let mut made = 0;
    for call in calls.iter().filter(|call| call.removes) {
        for &wish in call.wishes() {
            let came = caller.make(&call.line(wish, form, 0)).expect("an answer");
            made += usize::from(came.result == "0");
        }
    }
    let pid = i32::try_from(strace.id()).expect("a pid");
    kill(Pid::from_raw(pid), Signal::SIGTERM).expect("strace");
    let mut log = String::new();
    let mut stderr = strace.stderr.take().expect("a pipe");
    stderr.read_to_string(&mut log).expect("its log");
    strace.wait().expect("strace's end");
    let seen = log.lines().filter(|line| line.ends_with(" = 0")).count();
    report.check(
        made > 0 && seen == made,
        &format!("of {made} removals of what is remembered the supervisor made {seen}"),
    );
}

/// The supervisor's own descriptors and directories: what the caller itself cannot open by O_PATH
/// is refused with the same error.
fn supervisors_files(
    report: &mut Report,
    caller: &mut Caller,
    pass: &Pass,
    calls: &[Call],
    session: &Session,
) {
    let (_, supervisor) = session.pair();
    let mut opened = 0;
    let entries = (0..12)
        .map(|fd| format!("fd/{fd}"))
        .chain(["cwd/nothing", "root/nothing"].map(String::from));
    for entry in entries {
        let path = format!("/proc/{supervisor}/{entry}");
        let form = Form {
            name: entry.clone(),
            of: For::Path,
            cwd: "/".into(),
            dir: libc::AT_FDCWD,
            flags: 0,
            fd: -1,
            file: path.clone(),
            new: path,
            race: None,
        };
        for call in calls
            .iter()
            .filter(|call| (pass.is_made)(call) && call.kinds.contains('P') && !call.makes_file)
        {
            if call.sysno.name().starts_with('l') {
                continue; // the link itself, which anybody may name
            }
            let line = call.line(Wish::Own, &form, 0);
            let by_itself = line.replacen(&call.kinds, "own", 1);
            let (Some(own), Some(got)) = (caller.make(&by_itself), caller.make(&line)) else {
                return report.fail("no answer");
            };
            if (own.result == "0" || own.result == got.result) && got.changes.is_empty() {
                opened += usize::from(own.result == "0");
                report.pass();
            } else {
                report.fail(&format!(
                    "{} | the supervisor's {entry} | none | expected {own} | got {got}",
                    call.sysno.name()
                ));
            }
        }
    }
    report.say(&format!(
        "{opened} calls on the supervisor's own files, which the caller may open itself"
    ));
}
