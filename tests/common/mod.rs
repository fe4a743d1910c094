//! What the integration tests share: an unprivileged user, directories of its own, and the gate for
//! what a machine lacks.
#![allow(dead_code)] // each test program uses its part

pub mod random;

use std::ffi::OsStr;
use std::fmt::Debug;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The uid and gid that tests run under when they are started as root. Not in any file of the
/// system: zroot needs no entry.
pub const TEST_ID: u32 = 64711;

/// The PATH that commands under test see.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What chown says of an id that is not mapped.
pub const INVALID: &str = "Invalid argument";
pub const NOT_PERMITTED: &str = "Operation not permitted";

/// How long a condition may take to come true before a test gives up.
pub const LONG: Duration = Duration::from_secs(20);

/// Asks for `get` until it has something.
#[track_caller]
pub fn wait_for<T>(what: &str, mut get: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LONG;
    loop {
        if let Some(value) = get() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {LONG:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Whether the tests themselves run as root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The uid (and gid) that [`user`]'s commands run under.
pub fn uid() -> u32 {
    if is_root() {
        TEST_ID
    } else {
        nix::unistd::geteuid().as_raw()
    }
}

/// A directory of the unprivileged user's own, removed at the end. It lies where that user can
/// reach it, whatever TMPDIR root has.
pub fn dir() -> TempDir {
    let dir = tempfile::Builder::new()
        .prefix("zroot-test-")
        .tempdir_in("/tmp")
        .expect("a temporary directory");
    give(dir.path());
    dir
}

/// Makes `path` the unprivileged user's.
pub fn give(path: &Path) {
    if is_root() {
        chown(path, Some(TEST_ID), Some(TEST_ID)).expect("chown to the test user");
    }
    if path.is_dir() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
    }
}

/// `path`, a directory of the unprivileged user's own that stays from one run to the next; made if
/// it is not there.
fn own_dir(path: PathBuf) -> PathBuf {
    if !path.exists() {
        // It appears with its owner: another test may be looking.
        let new = path.with_extension(format!("new-{}", nix::unistd::gettid()));
        fs::create_dir(&new).unwrap_or_else(|error| panic!("{}: {error}", new.display()));
        give(&new);
        // Another one that is still empty may go.
        if fs::rename(&new, &path).is_err() {
            let _ = fs::remove_dir(&new);
        }
    }
    let owner = fs::symlink_metadata(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .uid();
    assert_eq!(owner, uid(), "{} belongs to somebody else", path.display());
    path
}

/// Where Debian trees and downloads are kept from one run to the next.
pub fn keep() -> PathBuf {
    own_dir(std::env::var_os("ZROOT_TEST_DIR").map_or_else(
        || format!("/var/tmp/zroot-tests-{}", uid()).into(),
        PathBuf::from,
    ))
}

/// The zroot under test, at a path below /tmp that the unprivileged user can reach, also from the
/// chroots that tests make of parts of the machine.
pub fn zroot() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        // One for each place where zroot is built, so that two checkouts can be tested at once.
        let built = env!("CARGO_BIN_EXE_zroot");
        let mut place = std::hash::DefaultHasher::new();
        std::hash::Hash::hash(built, &mut place);
        let place = format!("{:x}", std::hash::Hasher::finish(&place));
        let path = own_dir(format!("/tmp/zroot-tests-{}", uid()).into());
        let path = own_dir(path.join(place)).join("zroot");
        let new = path.with_extension(std::process::id().to_string());
        // By a child, for the reason that `executable` has.
        run(Command::new("install").args(["-m", "755", built]).arg(&new)).succeeds();
        fs::rename(&new, &path).expect("rename");
        path
    })
}

/// The directory in which that zroot is called `fakeroot`.
pub fn names() -> &'static Path {
    static NAMES: OnceLock<PathBuf> = OnceLock::new();
    NAMES.get_or_init(|| {
        let names = zroot().with_file_name("names");
        let _ = fs::create_dir(&names);
        for name in ["fakeroot", "fakeroot-zroot"] {
            // It may be there from an earlier run.
            let _ = symlink("../zroot", names.join(name));
            assert!(names.join(name).exists(), "there is no link {name}");
        }
        names
    })
}

/// A command with a small, fixed environment and no standard input. It runs as whoever runs the
/// tests.
pub fn plain(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs([
        ("PATH", PATH),
        ("HOME", "/tmp"),
        ("LC_ALL", "C"),
        ("DEBIAN_FRONTEND", "noninteractive"),
    ]);
    command.stdin(Stdio::null()).current_dir("/tmp");
    command
}

/// The same, as the unprivileged user.
pub fn user(program: impl AsRef<OsStr>) -> Command {
    let mut command = plain(program);
    if is_root() {
        command.uid(TEST_ID).gid(TEST_ID); // std also drops the supplementary groups then
    }
    command
}

/// `zroot ARGS...` as the unprivileged user.
pub fn zroot_with<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = user(zroot());
    command.args(args);
    command
}

/// The `unshare -r` that is every test's control: apparent root without the filter.
pub fn control<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = user("unshare");
    command.arg("-r").arg("--").args(args);
    command
}

/// What a command came to.
#[derive(Debug)]
pub struct Ran {
    /// The command, for messages.
    pub command: String,
    /// The exit status, or 128 + the signal that ended it.
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `command` to its end.
pub fn run(command: &mut Command) -> Ran {
    use std::os::unix::process::ExitStatusExt;
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let status = output
        .status
        .code()
        .or_else(|| output.status.signal().map(|signal| 128 + signal));
    Ran {
        command: format!("{command:?}"),
        status: status.expect("an exit status or a signal"),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Ran {
    /// Asserts exit status 0.
    #[track_caller]
    pub fn succeeds(self) -> Ran {
        assert_eq!(self.status, 0, "{self:#?}");
        self
    }

    /// Asserts that it failed, with `part` somewhere on standard error or output: for controls, so
    /// that they fail for the right reason.
    #[track_caller]
    pub fn fails_with(self, part: &str) -> Ran {
        assert_ne!(self.status, 0, "{self:#?}");
        assert!(
            self.stderr.contains(part) || self.stdout.contains(part),
            "no '{part}' in {self:#?}"
        );
        self
    }
}

/// The path of a program, if the machine has it.
pub fn program(name: &str) -> Option<PathBuf> {
    PATH.split(':')
        .map(|dir| Path::new(dir).join(name))
        .find(|path| path.is_file())
}

/// Says that the test `test` is left out because of `reason`, something that the machine lacks.
/// Fails if `ZROOT_MUST_RUN` is 1.
pub fn skip(test: &str, reason: &str) {
    assert!(
        std::env::var_os("ZROOT_MUST_RUN").is_none_or(|value| value != "1"),
        "{test} must run, but {reason}"
    );
    // Not println: the harness would swallow it when the test passes.
    let _ = writeln!(std::io::stderr(), "SKIP {test}: {reason}");
}

/// Whether the test `test`, which is about real root, has to be left out because a plain user runs
/// the tests. The machine lacks nothing, so this is no failure with `ZROOT_MUST_RUN`; CI runs the
/// tests as root as well.
pub fn for_root_only(test: &str) -> bool {
    if !is_root() {
        let _ = writeln!(
            std::io::stderr(),
            "NOTE {test} is about real root: it runs when root runs the tests"
        );
    }
    !is_root()
}

/// Leaves the test, by way of [`skip`], unless the machine has all of these programs.
#[macro_export]
macro_rules! need {
    ($test:expr, $($program:expr),+) => {
        $(if $crate::common::program($program).is_none() {
            $crate::common::skip($test, concat!("there is no ", $program));
            return;
        })+
    };
}

impl Ran {
    /// Asserts that zroot itself gave up, with exit status `status` and nothing run: standard
    /// output is empty, standard error is exactly one `zroot:` line and at most one `hint:` line.
    /// Returns what the two lines say.
    #[track_caller]
    pub fn refused(self, status: i32) -> (String, String) {
        assert_eq!(
            (self.status, self.stdout.as_str()),
            (status, ""),
            "{self:#?}"
        );
        let lines: Vec<&str> = self.stderr.lines().collect();
        let (what, hint) = match lines[..] {
            [what] => (what, "hint: "),
            [what, hint] => (what, hint),
            _ => panic!("not one or two lines: {self:#?}"),
        };
        let (what, hint) = (what.strip_prefix("zroot: "), hint.strip_prefix("hint: "));
        assert!(
            self.stderr.ends_with('\n') && what.is_some() && hint.is_some(),
            "{self:#?}"
        );
        (
            what.unwrap_or_default().to_owned(),
            hint.unwrap_or_default().to_owned(),
        )
    }
}

/// Writes an executable file of the unprivileged user's. A child does the writing. If this process
/// had the file open for writing while another thread forks, that thread's child would have it open
/// as well, and nobody could execute the file (ETXTBSY) until that child executes something.
pub fn executable(path: &Path, contents: impl AsRef<[u8]>) {
    use std::io::Write;
    zroot(); // for the same reason its copy, which is written here, comes first
    let mut child = Command::new("sh")
        .args(["-c", "cat > \"$0\" && chmod 755 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start sh: {error}"));
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(contents.as_ref())
        .expect("written");
    assert!(
        child.wait().expect("waited for").success(),
        "{} is not written",
        path.display()
    );
    give(path);
}

/// A filter that answers the native call numbered `nr` with `value` and allows all others.
pub fn filter_answering(nr: libc::c_long, value: u32) -> zroot::internals::filter::asm::Program {
    let mut asm = zroot::internals::filter::asm::Assembler::default();
    let (hit, miss) = (asm.label(), asm.label());
    asm.load(0); // seccomp_data.nr
    asm.branch(
        zroot::internals::filter::asm::Cond::Eq,
        u32::try_from(nr).expect("a call number"),
        hit,
        miss,
    );
    asm.bind(hit);
    asm.ret(value);
    asm.bind(miss);
    asm.ret(libc::SECCOMP_RET_ALLOW);
    asm.finish().expect("a program")
}

/// Has `command` start under the outer filter `filter`.
#[allow(unsafe_code)]
pub fn under_filter(
    command: &mut Command,
    filter: zroot::internals::filter::asm::Program,
) -> &mut Command {
    // SAFETY: the closure makes system calls only; std's fork took malloc's locks, so that it may
    // allocate.
    unsafe {
        command.pre_exec(move || {
            nix::sys::prctl::set_no_new_privs()?;
            zroot::internals::filter::install(&filter).map_err(std::io::Error::other)
        })
    }
}

/// A small tree to be a root directory: a static busybox and its applets.
pub struct SmallTree {
    place: TempDir,
}

/// All that can be compared of what is below a directory: for each path its type and mode, number
/// of links, times of change, size, and contents.
pub type Listing = std::collections::BTreeMap<PathBuf, String>;

impl SmallTree {
    /// `root` with `bin`, `etc` and `tmp`, `canary` with things that must stay as they are, and
    /// `src` to bind, all in a directory of the unprivileged user's. `None` after a SKIP where the
    /// machine has no static busybox.
    pub fn new(test: &str) -> Option<SmallTree> {
        const SCRIPT: &str = r#"
            mkdir -p root/bin root/etc root/tmp canary/sub src/sub
            cp "$0" root/bin/busybox; "$0" --list
            echo secret > canary/secret; : > canary/empty; chmod 640 canary/secret; ln -s secret canary/link
            echo source > src/file; printf '#!/bin/sh\necho tool\n' > src/tool; chmod 755 src/tool
            touch -d 2001-02-03 root canary canary/* root/etc"#;
        let tree = SmallTree { place: dir() };
        let is_static = |busybox: &PathBuf| {
            let made = run(user("sh")
                .args(["-ec", SCRIPT])
                .arg(busybox)
                .current_dir(tree.place()))
            .succeeds();
            // Not by ln, of which each would be a process.
            for applet in made.stdout.lines().filter(|applet| *applet != "busybox") {
                let link = tree.root().join("bin").join(applet);
                symlink("busybox", &link).expect("a link");
                if is_root() {
                    lchown(&link, Some(TEST_ID), Some(TEST_ID)).expect("chown to the test user");
                }
            }
            run(user("unshare")
                .args(["-r", "chroot"])
                .arg(tree.root())
                .arg("/bin/true"))
            .status
                == 0
        };
        if program("busybox").is_none_or(|busybox| !is_static(&busybox)) {
            skip(test, "there is no static busybox (Debian's busybox-static)");
            return None;
        }
        Some(tree)
    }

    /// The directory that holds it all.
    pub fn place(&self) -> &Path {
        self.place.path()
    }

    pub fn root(&self) -> PathBuf {
        self.place().join("root")
    }

    /// Runs a shell script as the unprivileged user, in [`place`](SmallTree::place), which is also
    /// `$0`.
    #[track_caller]
    pub fn prepare(&self, script: &str) {
        run(user("sh")
            .args(["-ec", script])
            .arg(self.place())
            .current_dir(self.place()))
        .succeeds();
    }

    /// `zroot ARGS...`, to be run in [`place`](SmallTree::place).
    pub fn zroot<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = zroot_with(args);
        command.current_dir(self.place());
        command
    }

    /// `zroot --root root OPTIONS... -- sh -c SCRIPT`.
    pub fn inside(&self, options: &[&str], script: &str) -> Command {
        self.zroot(
            ["--root", "root"]
                .iter()
                .chain(options)
                .chain(&["--", "sh", "-c", script]),
        )
    }

    /// What is there now, and which mounts the host has there.
    pub fn listing(&self) -> Listing {
        let mut listing = list(self.place());
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        let place = self.place().to_str().expect("a path of ASCII");
        listing.extend(
            mounts
                .lines()
                .filter(|line| line.contains(place))
                .map(|line| (PathBuf::from(line), "mounted".into())),
        );
        listing
    }

    /// Asserts that all is as in `before`.
    #[track_caller]
    pub fn as_before(&self, before: &Listing) {
        self.as_before_but_for(before, &[""; 0]);
    }

    /// Asserts that all is as in `before`, but for what was missing in `root` to mount on and has
    /// been made: there must be an empty directory for each name that ends in a slash, an empty
    /// file for others. The directories that were there before and have it now have another time,
    /// size and number of links.
    #[track_caller]
    pub fn as_before_but_for<S: AsRef<str>>(&self, before: &Listing, made: &[S]) {
        let (mut before, mut now) = (before.clone(), self.listing());
        for name in made.iter().map(AsRef::as_ref) {
            let path = self.root().join(name.trim_end_matches('/'));
            assert!(!before.contains_key(&path), "{name} was there before");
            self.is_as_made(name);
            now.remove(&path);
            for above in path.ancestors().skip(1) {
                if let Some(entry) = before.get_mut(above) {
                    let mode = |entry: &String| entry.split(' ').next().unwrap_or("").to_owned();
                    *entry = mode(entry);
                    now.entry(above.to_owned())
                        .and_modify(|now| *now = mode(now));
                    break;
                }
                now.remove(above);
            }
        }
        let differ = |one: &Listing, other: &Listing| -> Listing {
            one.iter()
                .filter(|(path, what)| other.get(*path) != Some(*what))
                .map(|(path, what)| (path.clone(), what.clone()))
                .collect()
        };
        let (new, gone) = (differ(&now, &before), differ(&before, &now));
        assert!(
            new.is_empty() && gone.is_empty(),
            "not as before: {new:#?}, which was {gone:#?}"
        );
    }

    /// Asserts that all is as in `before`, but for the time of the directory `name` in `root`.
    #[track_caller]
    pub fn as_before_but_for_time_of(&self, name: &str, before: &Listing) {
        let (mut before, dir) = (before.clone(), self.root().join(name));
        if let Some(now) = self.listing().remove(&dir) {
            let but_for_time = |entry: &str| -> Vec<String> {
                let words = entry.split(' ').enumerate().filter(|(at, _)| *at != 2);
                words.map(|(_, word)| word.to_owned()).collect()
            };
            assert_eq!(but_for_time(&before[&dir]), but_for_time(&now));
            before.insert(dir, now);
        }
        self.as_before(&before);
    }

    /// Asserts that `name` in `root` is as zroot makes it.
    #[track_caller]
    pub fn is_as_made(&self, name: &str) {
        let path = self.root().join(name.trim_end_matches('/'));
        let status = fs::symlink_metadata(&path)
            .unwrap_or_else(|error| panic!("{name} has not been made: {error}"));
        let (is_right, most) = if name.ends_with('/') {
            let is_empty = |mut entries: fs::ReadDir| entries.next().is_none();
            (
                status.is_dir() && fs::read_dir(&path).is_ok_and(is_empty),
                0o755,
            )
        } else {
            (status.is_file() && status.len() == 0, 0o644)
        };
        assert!(
            is_right && status.mode() & 0o777 & !most == 0,
            "{name}: {status:?}"
        );
    }
}

impl Drop for SmallTree {
    fn drop(&mut self) {
        // Directories without permissions, which the unprivileged user's own removal would not
        // enter.
        let script = r#"chmod -R u+rwx "$0" 2>/dev/null; rm -rf "$0"/*"#;
        run(user("unshare")
            .args(["-r", "sh", "-c", script])
            .arg(self.place()));
    }
}

fn list(top: &Path) -> Listing {
    let (mut listing, mut ahead) = (Listing::new(), vec![top.to_owned()]);
    while let Some(path) = ahead.pop() {
        let Ok(status) = fs::symlink_metadata(&path) else {
            continue;
        };
        let contents = match status.file_type() {
            kind if kind.is_symlink() => fs::read_link(&path)
                .map_or_else(|_| String::new(), |target| target.display().to_string()),
            kind if kind.is_file() && status.len() < 4096 => {
                fs::read(&path).map_or_else(|_| String::new(), |bytes| format!("{bytes:?}"))
            }
            _ => String::new(),
        };
        if status.is_dir() {
            // One that cannot be read is empty for who cannot read it.
            ahead.extend(
                fs::read_dir(&path)
                    .into_iter()
                    .flatten()
                    .flatten()
                    .map(|entry| entry.path()),
            );
        }
        let (mode, links, seconds, nanoseconds) = (
            status.mode(),
            status.nlink(),
            status.mtime(),
            status.mtime_nsec(),
        );
        listing.insert(
            path,
            format!(
                "{mode:o} {links} {seconds}.{nanoseconds} {} {contents}",
                status.size()
            ),
        );
    }
    listing
}
