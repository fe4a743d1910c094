//! A directory as the command's `/`: mount namespace, `/proc`, `/sys`, `/dev`, name resolution,
//! binds, pivot_root.
//!
//! The directory is untrusted. Every place inside it is found by [`resolve`] and mounted on by
//! descriptor, so that no mount lands outside of it; and all of it happens in a mount namespace
//! that nobody else sees.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use clap::ValueEnum;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat, stat};
use nix::unistd::{UnlinkatFlags, chdir, fchdir, getcwd, geteuid, unlinkat};

use crate::error::{Failure, shown};

use super::devices;
use super::lent::{self, Lent, Twin, Wanted};
use super::mount::{become_slash, bind, by_descriptor, make_read_only, set_propagation};
use super::resolve::{Resolved, kind, resolve};
use super::run::RunFile;

/// What `--bind` asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bind {
    /// The host's file or directory.
    pub source: PathBuf,
    /// Where it appears inside; absolute.
    pub target: PathBuf,
    /// Whether it is mounted read-only.
    pub read_only: bool,
}

/// Whose `/dev` a root directory gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Dev {
    /// The host's own
    #[default]
    Host,
    /// One in memory, with links to the host's devices that everybody may use
    Private,
}

/// What is to be inside a root directory, beside what it has.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Inside {
    /// Whose devices.
    pub dev: Dev,
    /// Where an empty file system in memory is to be; absolute.
    pub tmpfs: Vec<PathBuf>,
    /// What of the host's; may be in such a file system.
    pub binds: Vec<Bind>,
}

/// A root directory, opened and looked at, not entered yet.
pub struct Root {
    path: PathBuf,
    dir: OwnedFd,
    /// Whether it is `/` itself, which needs no mounts.
    present: bool,
    mounts: Vec<Mount>,
    /// What `/etc/resolv.conf` leads to, if that is below `/run` and missing.
    run_file: Option<RunFile>,
}

/// The link that systemd-resolved, resolvconf and others make.
const RESOLV_CONF: &str = "/etc/resolv.conf";

const HOSTS: &str = "/etc/hosts";

/// Debian's netbase makes both when it is installed, each if there is none.
const NETBASE: Twin = Twin {
    name: "networks",
    contents: "127.0.0.1\tlocalhost\n::1\t\tlocalhost ip6-localhost ip6-loopback\nff02::1\t\tip6-allnodes\nff02::2\t\tip6-allrouters\n\n",
};

struct Mount {
    source: Source,
    target: PathBuf,
    place: Resolved,
    is_dir: bool,
    read_only: bool,
    /// Whether to leave it out where the directory to mount on is missing and cannot be created.
    optional: bool,
}

/// What is mounted.
enum Source {
    /// Something of the host's.
    Host {
        path: PathBuf,
        /// As it was when it was looked at.
        opened: OwnedFd,
    },
    /// An empty file system in memory.
    Memory,
    /// One with devices: those of the host's, whose directory is opened in the mount namespace.
    Devices(Option<OwnedFd>),
}

impl Mount {
    /// Whether `path` is below what is mounted.
    fn covers(&self, path: &Path) -> bool {
        let below = path.strip_prefix(&self.target).ok();
        below.is_some_and(|below| {
            let mut parts = below.components().peekable();
            parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
        })
    }
}

/// What to do about a directory that the caller may not search.
fn unsearchable(dir: &OwnedFd) -> String {
    match fstat(dir) {
        Ok(status) if status.st_uid != geteuid().as_raw() => format!(
            "it belongs to somebody else (uid {}, mode {:04o}), and zroot gives no rights: use a directory of your own",
            status.st_uid,
            status.st_mode & 0o7777
        ),
        _ => "it cannot be searched: chmod u+x it".into(),
    }
}

const PATH_ONLY: OFlag = OFlag::O_PATH.union(OFlag::O_CLOEXEC);

impl Root {
    /// Opens `path` and finds every place to mount on. Changes nothing.
    ///
    /// # Errors
    /// [`Failure`] that names what is missing or refused.
    #[inline(never)]
    pub fn open(path: &Path, inside: &Inside) -> Result<Root, Failure> {
        let named = || format!("root directory {}", shown(path));
        let dir = open(path, PATH_ONLY | OFlag::O_DIRECTORY, Mode::empty())
            .map_err(|errno| Failure::errno(named(), errno))?;
        if let Err(errno) = fstatat(&dir, "./.", AtFlags::empty()) {
            return Err(Failure::errno(named(), errno).hint(unsearchable(&dir)));
        }
        if fstat(&dir).map(|status| status.st_ino)
            != stat(&by_descriptor(dir.as_fd())).map(|status| status.st_ino)
        {
            return Err(
                Failure::new("--root needs /proc, which is not mounted here").hint("mount it"),
            );
        }
        let present = is_present_root(&dir);
        let mut root = Root {
            path: path.to_owned(),
            dir,
            present,
            mounts: Vec::new(),
            run_file: None,
        };
        // `/` itself has all it needs.
        let is_private = inside.dev == Dev::Private;
        for name in ["proc", "sys", "dev"] {
            if name == "dev" && is_private {
                root.add_system(name, Source::Devices(None))?;
            } else if !present {
                let target = Path::new("/").join(name);
                if let Ok(opened) = open(&target, PATH_ONLY | OFlag::O_DIRECTORY, Mode::empty()) {
                    let path = target;
                    root.add_system(name, Source::Host { path, opened })?;
                }
            }
        }
        for target in &inside.tmpfs {
            root.add_tmpfs(target)?;
        }
        for bind in &inside.binds {
            root.add_bind(bind)?;
        }
        Ok(root)
    }

    /// One of the host's own trees. A symbolic link in its place is refused: whatever it names
    /// would be covered.
    fn add_system(&mut self, name: &str, source: Source) -> Result<(), Failure> {
        let place = match openat(
            &self.dir,
            name,
            PATH_ONLY | OFlag::O_NOFOLLOW,
            Mode::empty(),
        ) {
            Ok(place) if fstat(&place).is_ok_and(|status| kind(&status) == SFlag::S_IFDIR) => {
                Resolved::Found(place)
            }
            Ok(_) => {
                let message = format!("{} is not a directory", shown(self.path.join(name)));
                return Err(Failure::new(message)
                    .hint("the host's would be mounted there: remove it, or make it a directory"));
            }
            Err(Errno::ENOENT) => {
                let parent = self
                    .dir
                    .try_clone()
                    .map_err(|_| Failure::errno("cannot duplicate a descriptor", Errno::EMFILE))?;
                Resolved::Missing {
                    parent,
                    rest: vec![name.into()],
                    through_link: false,
                }
            }
            Err(errno) => return Err(Failure::errno(shown(self.path.join(name)), errno)),
        };
        self.mounts.push(Mount {
            optional: matches!(source, Source::Host { .. }),
            source,
            target: Path::new("/").join(name),
            place,
            is_dir: true,
            read_only: false,
        });
        Ok(())
    }

    fn add_tmpfs(&mut self, target: &Path) -> Result<(), Failure> {
        let named = || format!("--tmpfs {} in {}", shown(target), shown(&self.path));
        let place = self.place(target, true, &named)?;
        self.mounts.push(Mount {
            source: Source::Memory,
            target: target.to_owned(),
            place,
            is_dir: true,
            read_only: false,
            optional: false,
        });
        Ok(())
    }

    fn add_bind(&mut self, bind: &Bind) -> Result<(), Failure> {
        let opened = open(&bind.source, PATH_ONLY, Mode::empty()).map_err(|errno| {
            Failure::errno(format!("bind source {}", shown(&bind.source)), errno)
        })?;
        let is_dir = fstat(&opened).is_ok_and(|status| kind(&status) == SFlag::S_IFDIR);
        let named = || {
            format!(
                "bind target {} in {}",
                shown(&bind.target),
                shown(&self.path)
            )
        };
        let place = self.place(&bind.target, is_dir, &named)?;
        self.mounts.push(Mount {
            source: Source::Host {
                path: bind.source.clone(),
                opened,
            },
            target: bind.target.clone(),
            place,
            is_dir,
            read_only: bind.read_only,
            optional: false,
        });
        Ok(())
    }

    /// Where to mount a directory, or a file, on `target`, which messages call `named`.
    fn place(
        &self,
        target: &Path,
        is_dir: bool,
        named: &dyn Fn() -> String,
    ) -> Result<Resolved, Failure> {
        let place =
            resolve(self.dir.as_fd(), target).map_err(|errno| Failure::errno(named(), errno))?;
        match &place {
            // Inside, `/` would stay what is below the mount.
            Resolved::Found(place) if is_same(&self.dir, place) => {
                let failure = Failure::new(format!("{}: it is the root directory itself", named()));
                Err(failure.hint("give the source to --root"))
            }
            Resolved::Missing {
                through_link: true, ..
            } => {
                let what = "a symbolic link on the way leads to nothing inside";
                let failure = Failure::new(format!("{}: {what}", named()));
                Err(failure.hint("name a target inside the root directory"))
            }
            Resolved::Found(place)
                if fstat(place).is_ok_and(|status| (kind(&status) == SFlag::S_IFDIR) != is_dir) =>
            {
                let (from, to) = if is_dir {
                    ("a directory", "a file")
                } else {
                    ("a file", "a directory")
                };
                let what = format!("the source is {from}, the target {to}");
                let failure = Failure::new(format!("{}: {what}", named()));
                Err(failure.hint("both must be of one kind"))
            }
            _ => Ok(place),
        }
    }

    /// The directory itself, without what will be mounted in it.
    #[must_use]
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// stat(2) of `path` as the command will see it, as far as that can be told before anything is
    /// mounted.
    ///
    /// # Errors
    /// stat(2)'s; `EAGAIN` if it cannot be told.
    pub fn stat(&self, path: &Path) -> Result<FileStat, Errno> {
        let path = Path::new("/").join(path);
        let below = |mount: &Mount| path.strip_prefix(&mount.target).ok().map(Path::to_owned);
        if let Some((mount, rest)) = self
            .mounts
            .iter()
            .rev()
            .find_map(|mount| Some((mount, below(mount)?)))
        {
            let Source::Host { opened, .. } = &mount.source else {
                return Err(Errno::EAGAIN);
            };
            if rest.as_os_str().is_empty() {
                return fstat(opened);
            }
            // A symbolic link there may lead out of what is mounted, and back into the root
            // directory.
            let is_plain = |status: &FileStat| kind(status) != SFlag::S_IFLNK;
            return fstatat(opened, &rest, AtFlags::AT_SYMLINK_NOFOLLOW)
                .ok()
                .filter(is_plain)
                .ok_or(Errno::EAGAIN);
        }
        match found(self.dir.as_fd(), &path).and_then(fstat) {
            // A link may lead below a bind.
            Err(_) if self.mounts.iter().any(|mount| !mount.optional) => Err(Errno::EAGAIN),
            status => status,
        }
    }

    /// Whether `path` is a directory inside, as far as that can be told.
    ///
    /// # Errors
    /// stat(2)'s; `ENOTDIR` if it is something else.
    pub fn has_dir(&self, path: &Path) -> Result<(), Errno> {
        match self.stat(path) {
            Ok(status) if kind(&status) != SFlag::S_IFDIR => Err(Errno::ENOTDIR),
            Ok(_) | Err(Errno::EAGAIN) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Makes what is missing to mount on: empty directories, and files for binds of files. They
    /// stay. `say` hears of what was left out.
    ///
    /// # Errors
    /// [`Failure`] if a bind's target cannot be made.
    #[inline(never)]
    pub fn furnish(&mut self, say: &dyn Fn(fmt::Arguments)) -> Result<(), Failure> {
        let mut kept: Vec<Mount> = Vec::new();
        for mut mount in std::mem::take(&mut self.mounts) {
            // What is covered is not looked for in the directory.
            let is_covered = kept.iter().any(|other| other.covers(&mount.target));
            if matches!(mount.place, Resolved::Missing { .. }) && !is_covered {
                match make_target(self.dir.as_fd(), &mount.target, mount.is_dir) {
                    Ok(place) => mount.place = Resolved::Found(place),
                    Err(errno) if mount.optional => {
                        say(format_args!(
                            "no {}: {} has none and takes none ({})",
                            mount.target.display(),
                            shown(&self.path),
                            errno.desc()
                        ));
                        continue;
                    }
                    Err(errno) => {
                        return Err(Failure::errno(
                            format!("cannot make the bind target {}", shown(&mount.target)),
                            errno,
                        ));
                    }
                }
            }
            kept.push(mount);
        }
        self.mounts = kept;
        Ok(())
    }

    /// What the directory lacks for name resolution, and the host can lend. Nothing changes yet.
    /// `say` hears of what cannot be had.
    #[inline(never)]
    pub fn look_for_lacks(&mut self, say: &dyn Fn(fmt::Arguments)) -> Lent {
        if self.present {
            return Lent::default();
        }
        let mut wanted = Vec::new();
        for (path, twin) in [(RESOLV_CONF, None), (HOSTS, Some(NETBASE))] {
            let name = Path::new(path);
            let is_bound = |mount: &Mount| mount.target == name || mount.covers(name);
            if self.mounts.iter().any(is_bound) {
                continue;
            }
            if let Some(contents) = host_file(path) {
                wanted.push(Wanted {
                    path,
                    contents,
                    twin,
                });
            }
        }
        if let [resolv_conf, ..] = &wanted[..] {
            if resolv_conf.path == RESOLV_CONF {
                let (path, contents) = (Path::new(RESOLV_CONF), &resolv_conf.contents);
                self.run_file = RunFile::behind_link(self.dir.as_fd(), path, contents);
            }
        }
        if self.run_file.is_some() {
            wanted.remove(0);
        }
        Lent::look(self.dir.as_fd(), wanted, say)
    }

    /// Makes the directory `/`, in a mount namespace of this process's own. Call it in the user
    /// namespace. The working directory is `/` afterwards. `say` hears of what was left out.
    ///
    /// # Errors
    /// [`Failure`]; the process is good for nothing but saying so.
    #[inline(never)]
    pub fn enter(self, say: &dyn Fn(fmt::Arguments)) -> Result<(), Failure> {
        unshare(CloneFlags::CLONE_NEWNS).map_err(|errno| {
            let hint = "mounting needs CAP_SYS_ADMIN, which --userns=auto brings where user namespaces are allowed";
            Failure::errno("cannot make a mount namespace", errno).hint(hint)
        })?;
        // In either direction. Any directory does for the second argument; without this one nothing
        // can be mounted anyway.
        set_propagation(MsFlags::MS_PRIVATE, Path::new("/proc"))
            .map_err(|errno| Failure::errno("cannot make mounts private", errno))?;
        let mut mounts = self.mounts;
        // All before the first is mounted: it may cover another's source.
        for Mount { source, target, .. } in &mut mounts {
            source.reopen().map_err(|errno| {
                Failure::errno(format!("cannot mount {}", shown(target)), errno)
            })?;
        }
        // What is in memory has none of the directories that were made for what comes there.
        let makes_places = self.run_file.is_some()
            || mounts
                .iter()
                .any(|mount| !matches!(mount.source, Source::Host { .. }));
        let new = if self.present {
            reopen(Path::new("/"), &self.dir)
        } else {
            bind_on_itself(&self.path, &self.dir)
        };
        let new = new.map_err(|errno| {
            Failure::errno(format!("root directory {}", shown(&self.path)), errno)
        })?;
        if let Some(run_file) = &self.run_file {
            // Without it there is no name resolution, which not all commands need.
            if let Err(errno) = run_file.serve(new.as_fd()) {
                let why = errno.desc();
                say(format_args!("{RESOLV_CONF} stays as it is inside ({why})"));
            }
        }
        for Mount {
            source,
            target,
            is_dir,
            read_only,
            ..
        } in mounts
        {
            let place = if makes_places {
                make_target(new.as_fd(), &target, is_dir)
            } else {
                found(new.as_fd(), &target)
            };
            let mounted = place.and_then(|place| source.mount(new.as_fd(), &target, &place));
            mounted.map_err(|errno| {
                Failure::errno(format!("cannot mount {}", shown(&target)), errno)
            })?;
            if read_only {
                found(new.as_fd(), &target)
                    .and_then(|place| make_read_only(&place))
                    .map_err(|errno| {
                        Failure::errno(format!("cannot make {} read-only", shown(&target)), errno)
                    })?;
            }
        }
        if self.present {
            return chdir("/").map_err(|errno| Failure::errno("cannot change to /", errno));
        }
        fchdir(&new).and_then(|()| become_slash()).map_err(|errno| {
            Failure::errno(
                format!("cannot make {} the root directory", shown(&self.path)),
                errno,
            )
        })
    }
}

impl Source {
    /// The same in the new mount namespace.
    fn reopen(&mut self) -> Result<(), Errno> {
        match self {
            Source::Host { path, opened } => *opened = reopen(path, opened)?,
            Source::Memory => {}
            Source::Devices(host) => *host = Some(devices::of_host()?),
        }
        Ok(())
    }

    /// Mounts it on `place`, which is at `target` in `root`.
    fn mount(&self, root: BorrowedFd, target: &Path, place: &OwnedFd) -> Result<(), Errno> {
        match self {
            Source::Host { opened, .. } => bind(opened.as_fd(), place.as_fd()),
            // With the mode of what it covers, as /tmp has another one than others.
            Source::Memory => memory(place, fstat(place)?.st_mode & 0o7777),
            Source::Devices(host) => {
                memory(place, 0o755)?;
                let host = host.as_ref().ok_or(Errno::EBADF)?;
                devices::put(found(root, target)?.as_fd(), host.as_fd())
            }
        }
    }
}

/// Mounts an empty file system in memory on `place`, whose top directory has `mode`.
fn memory(place: &OwnedFd, mode: u32) -> Result<(), Errno> {
    mount(
        Some("tmpfs"),
        &by_descriptor(place.as_fd()),
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some(&*format!("mode={mode:o}")),
    )
}

/// Whether `dir` is the process's own root directory, not the same one mounted in another place,
/// with other things mounted in it or read-only.
fn is_present_root(dir: &OwnedFd) -> bool {
    let mount_id = |fd: &OwnedFd| {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()?;
        info.lines()
            .find_map(|line| line.strip_prefix("mnt_id:").map(|id| id.trim().to_owned()))
    };
    open("/", PATH_ONLY, Mode::empty())
        .is_ok_and(|slash| is_same(&slash, dir) && mount_id(&slash) == mount_id(dir))
}

/// A small file of the host's, as far as it is to be had.
fn host_file(path: &str) -> Option<Vec<u8>> {
    let file = File::open(path).ok()?;
    let mut contents = Vec::new();
    let is_small = file.metadata().ok()?.is_file()
        && file
            .take(lent::LARGEST + 1)
            .read_to_end(&mut contents)
            .ok()? as u64
            <= lent::LARGEST;
    is_small.then_some(contents)
}

/// Makes what is still missing of `target`. Another mount's target, or another zroot, may have
/// brought a part of it.
fn make_target(root: BorrowedFd, target: &Path, is_dir: bool) -> Result<OwnedFd, Errno> {
    loop {
        match resolve(root, target)? {
            Resolved::Found(place) => return Ok(place),
            Resolved::Missing {
                through_link: true, ..
            } => return Err(Errno::ELOOP), // there was none before
            Resolved::Missing { parent, rest, .. } => match make(parent.as_fd(), &rest, is_dir) {
                Err(Errno::EEXIST) => {}
                result => return result,
            },
        }
    }
}

/// Makes `rest` below `parent`: directories, the last one a file unless `is_dir`. What was made
/// before one that cannot be made is taken away again.
fn make(parent: BorrowedFd, rest: &[OsString], is_dir: bool) -> Result<OwnedFd, Errno> {
    let Some((name, below)) = rest.split_first() else {
        return openat(parent, ".", PATH_ONLY, Mode::empty());
    };
    let name = name.as_os_str();
    if is_dir || !below.is_empty() {
        mkdirat(parent, name, Mode::from_bits_truncate(0o755))?;
        let made = openat(parent, name, PATH_ONLY | OFlag::O_NOFOLLOW, Mode::empty());
        let made = made.and_then(|dir| make(dir.as_fd(), below, is_dir));
        return made.inspect_err(|_| {
            let _ = unlinkat(parent, name, UnlinkatFlags::RemoveDir);
        });
    }
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    openat(parent, name, flags, Mode::from_bits_truncate(0o644))?;
    openat(parent, name, PATH_ONLY | OFlag::O_NOFOLLOW, Mode::empty())
}

/// `path` opened again, in the new mount namespace: descriptors from before name mounts of the old
/// one, which the kernel does not bind (fs/namespace.c, `check_mnt`). `ESTALE` if it has become
/// something else than `old`.
fn reopen(path: &Path, old: &OwnedFd) -> Result<OwnedFd, Errno> {
    let new = open(path, PATH_ONLY, Mode::empty())?;
    if is_same(old, &new) {
        Ok(new)
    } else {
        Err(Errno::ESTALE)
    }
}

fn is_same(one: &OwnedFd, other: &OwnedFd) -> bool {
    let id = |fd| fstat(fd).map(|status| (status.st_dev, status.st_ino));
    id(one).is_ok_and(|one| Ok(one) == id(other))
}

/// Makes the directory at `path`, which is `old`, a mount point and returns the new mount's root.
fn bind_on_itself(path: &Path, old: &OwnedFd) -> Result<OwnedFd, Errno> {
    let below = reopen(path, old)?;
    bind(below.as_fd(), below.as_fd())?;
    // The working directory stays below what is mounted on it; its name leads there (fs/namei.c,
    // handle_dots).
    if path.components().all(|part| part == Component::CurDir) {
        return reopen(
            &Path::new("..").join(getcwd()?.file_name().unwrap_or_default()),
            old,
        );
    }
    reopen(path, old)
}

/// What is at `target` inside `new`, with all that is mounted there by now.
fn found(new: BorrowedFd, target: &Path) -> Result<OwnedFd, Errno> {
    match resolve(new, target)? {
        Resolved::Found(found) => Ok(found),
        Resolved::Missing { .. } => Err(Errno::ENOENT),
    }
}
