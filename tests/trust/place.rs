//! The files that calls are about, and what an onlooker outside of all sandboxes sees of them.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::common::{dir, give, is_root, uid};
use crate::session::compile;

/// The time of all files at the beginning.
const EARLY: i64 = 1_000_000_000;

/// `P`, the place that sandboxes change the view of; `Q` and `R` beside it; the program `cells`.
pub struct Place {
    dir: TempDir,
}

/// For each file, what a call could change of it.
pub type Snapshot = BTreeMap<PathBuf, Seen>;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    mode: u32,
    owner: (u32, u32),
    time: i64,
    device: u64,
    /// A symbolic link's.
    text: Option<PathBuf>,
    attributes: BTreeMap<CString, Vec<u8>>,
}

impl Place {
    /// `links` are the symbolic links in `P/links`: name and target.
    pub fn new(links: &dyn Fn(&Path) -> Vec<(String, String)>) -> Place {
        let place = Place { dir: dir() };
        let top = place.path();
        compile("cells.c", &top.join("cells"));
        for name in ["P", "Q", "R"] {
            fs::create_dir(top.join(name)).expect("a directory");
            give(&top.join(name));
        }
        fs::copy(top.join("cells"), top.join("P/cells")).expect("a copy");
        make_tree(&top.join("P"), &links(top));
        make_tree(&top.join("Q"), &[]);
        let other = top.join("R");
        for name in ["d", "swap"] {
            fs::create_dir(other.join(name)).expect("a directory");
            fs::write(other.join(name).join("f"), "").expect("a file");
            fs::create_dir(other.join(name).join("e")).expect("a directory");
        }
        symlink(top.join("P/d"), other.join("swapl")).expect("a link");
        fs::create_dir(other.join("mswap")).expect("a directory");
        fs::write(other.join("mswap/f"), "").expect("a file");
        fs::create_dir(other.join("mswap/e")).expect("a directory");
        symlink("/proc/self/fd/5", other.join("mswapl")).expect("a link");
        settle(&other);
        place
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The files in it by device and inode, and their names, also those in directories that nobody
    /// may search.
    pub fn inodes(&self) -> BTreeMap<(u64, u64), String> {
        let locked = ["P/locked", "Q/locked"].map(|name| self.path().join(name));
        let lock = |mode| {
            for path in &locked {
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
            }
        };
        lock(0o755);
        let mut inodes = BTreeMap::new();
        let mut ahead: Vec<PathBuf> = ["P", "Q", "R"].map(PathBuf::from).to_vec();
        while let Some(name) = ahead.pop() {
            let path = self.path().join(&name);
            let status = fs::symlink_metadata(&path).expect("a file");
            if status.is_dir() {
                let entries = fs::read_dir(&path).expect("a directory").flatten();
                ahead.extend(entries.map(|entry| name.join(entry.file_name())));
            }
            // One word.
            let word = name.display().to_string().replace([' ', ','], "_");
            inodes.insert((status.dev(), status.ino()), word);
        }
        lock(0);
        inodes
    }

    /// What is watched: a name for it, and where it is.
    pub fn watched(&self) -> Vec<(&'static str, PathBuf)> {
        ["P", "Q", "R"]
            .map(|name| (name, self.path().join(name)))
            .to_vec()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A plain user's own removal would not get into them.
        for name in ["P/locked", "Q/locked"] {
            let open = fs::Permissions::from_mode(0o755);
            let _ = fs::set_permissions(self.path().join(name), open);
        }
    }
}

/// The files of a place, in the directory `top`, all of the unprivileged user's.
pub fn make_tree(top: &Path, links: &[(String, String)]) {
    as_user(|| make_files(top, links));
    settle(top);
    for name in ["locked", "unreadable"] {
        fs::set_permissions(top.join(name), fs::Permissions::from_mode(0o000)).expect("chmod");
    }
}

/// Makes files as that user: a file system that was mounted in a namespace has no others.
fn as_user(make: impl FnOnce()) {
    if !is_root() {
        return make();
    }
    nix::unistd::setfsgid(uid().into());
    nix::unistd::setfsuid(uid().into());
    make();
    nix::unistd::setfsuid(0.into());
    nix::unistd::setfsgid(0.into());
}

fn make_files(top: &Path, links: &[(String, String)]) {
    let links_and_mounts = ["links", "proc", "proc2", "proc3", "dev"];
    // What is empty can be removed.
    let others = ["d", "locked", "e", "d/e", "locked/e"];
    for name in links_and_mounts.iter().chain(&others) {
        fs::create_dir(top.join(name)).expect("a directory");
    }
    for name in ["f", "o", "d/f", "locked/f", "unreadable"] {
        fs::write(top.join(name), "").expect("a file");
    }
    nix::unistd::mkfifo(&top.join("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
    let fixed = [
        ("link", "f"),
        ("dlink", "d"),
        ("loop", "loop"),
        ("nowhere", "nothing"),
    ];
    for (name, target) in fixed {
        symlink(target, top.join(name)).expect("a link");
    }
    for (name, target) in links {
        symlink(target, top.join("links").join(name)).expect("a link");
    }
}

/// Gives all below `top` owner, mode, time and an attribute to begin with.
fn settle(top: &Path) {
    let mut ahead = vec![top.to_owned()];
    while let Some(path) = ahead.pop() {
        let status = fs::symlink_metadata(&path).expect("a file");
        if is_root() {
            std::os::unix::fs::lchown(&path, Some(uid()), Some(uid())).expect("chown");
        }
        if status.is_dir() {
            let entries = fs::read_dir(&path).expect("a directory").flatten();
            ahead.extend(entries.map(|entry| entry.path()));
        } else if status.is_file() {
            let mode = fs::Permissions::from_mode(0o4755);
            fs::set_permissions(&path, mode).expect("chmod");
        }
        if !status.is_symlink() {
            set_attribute(&path, c"user.keep", b"k");
        }
        set_time(&path, EARLY);
    }
}

/// What is below the watched directories now, but for `links`.
pub fn look(watched: &[(&'static str, PathBuf)]) -> Snapshot {
    let mut seen = Snapshot::new();
    for (name, top) in watched {
        let mut ahead = vec![(PathBuf::from(name), top.clone())];
        while let Some((name, path)) = ahead.pop() {
            let Ok(status) = fs::symlink_metadata(&path) else {
                continue;
            };
            let is_left_out = |name: &OsStr| name == "links" || name == "cells";
            if status.is_dir() {
                let entries = fs::read_dir(&path).into_iter().flatten().flatten();
                ahead.extend(
                    entries
                        .filter(|entry| !is_left_out(&entry.file_name()))
                        .map(|entry| (name.join(entry.file_name()), entry.path())),
                );
            }
            let attributes = attributes(&path);
            seen.insert(
                name,
                Seen {
                    mode: status.mode(),
                    owner: (status.uid(), status.gid()),
                    // A directory's changes with what is in it.
                    time: if status.is_dir() { 0 } else { status.mtime() },
                    device: status.rdev(),
                    text: status
                        .is_symlink()
                        .then(|| fs::read_link(&path).expect("a link")),
                    attributes,
                },
            );
        }
    }
    seen
}

/// What is different, a line for each file.
pub fn differences(before: &Snapshot, after: &Snapshot) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, old) in before {
        let name = path.display();
        let Some(new) = after.get(path) else {
            lines.push(format!("{name} is gone"));
            continue;
        };
        if old == new {
            continue;
        }
        let mut line = name.to_string();
        if old.mode != new.mode {
            let _ = write!(line, " mode {:o}", new.mode);
        }
        if old.owner != new.owner {
            let _ = write!(line, " owner {:?}", new.owner);
        }
        if old.time != new.time {
            let is_now = new.time != 1000;
            line += if is_now { " time now" } else { " time 1000" };
        }
        if old.attributes != new.attributes {
            let names: Vec<_> = new
                .attributes
                .keys()
                .map(|name| name.to_string_lossy())
                .collect();
            let _ = write!(line, " attributes {}", names.join("+"));
        }
        lines.push(line);
    }
    for (path, new) in after.iter().filter(|(path, _)| !before.contains_key(*path)) {
        lines.push(format!(
            "{} new {:o} {}",
            path.display(),
            new.mode,
            new.device
        ));
    }
    lines
}

/// Makes all as it was `before`. What was there before and has been changed: where it is.
pub fn restore(
    watched: &[(&'static str, PathBuf)],
    before: &Snapshot,
    after: &Snapshot,
) -> Vec<PathBuf> {
    let place = |path: &Path| -> PathBuf {
        let name = path.iter().next().expect("a name");
        let (_, top) = watched
            .iter()
            .find(|(of, _)| OsStr::new(of) == name)
            .expect("watched");
        let rest = path.strip_prefix(name).expect("below it");
        if rest.as_os_str().is_empty() {
            top.clone()
        } else {
            top.join(rest)
        }
    };
    for path in after.keys().filter(|path| !before.contains_key(*path)) {
        remove(&place(path));
    }
    let mut changed = Vec::new();
    for (path, old) in before {
        let mut new = after.get(path);
        if new == Some(old) {
            continue;
        }
        let path = place(path);
        if new.is_none_or(|new| new.mode & libc::S_IFMT != old.mode & libc::S_IFMT) {
            remove(&path);
            make_again(&path, old);
            new = None;
        }
        change_back(&path, old, new);
        changed.push(path);
    }
    changed
}

fn remove(path: &Path) {
    let _ = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
}

/// Makes a file of the type that it had, whatever the mode of the directory.
fn make_again(path: &Path, old: &Seen) {
    let directory = path.parent().expect("a directory");
    let mode = fs::symlink_metadata(directory)
        .expect("a directory")
        .permissions();
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(directory, open).expect("chmod");
    as_user(|| match (old.mode & libc::S_IFMT, &old.text) {
        (_, Some(text)) => symlink(text, path).expect("a link"),
        (libc::S_IFDIR, _) => fs::create_dir(path).expect("a directory"),
        (libc::S_IFIFO, _) => {
            nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO");
        }
        _ => fs::write(path, "").expect("a file"),
    });
    fs::set_permissions(directory, mode).expect("chmod");
}

/// Gives it all that `old` has and `new` has not, which nothing is known of where it is `None`.
fn change_back(path: &Path, old: &Seen, new: Option<&Seen>) {
    let is_link = old.text.is_some();
    if !is_link && new.is_none_or(|new| new.mode != old.mode) {
        fs::set_permissions(path, fs::Permissions::from_mode(old.mode & 0o7777)).expect("chmod");
    }
    let attributes = new.map(|new| &new.attributes);
    for name in attributes.into_iter().flat_map(BTreeMap::keys) {
        if !old.attributes.contains_key(name) {
            remove_attribute(path, name);
        }
    }
    for (name, value) in &old.attributes {
        if attributes.and_then(|there| there.get(name)) != Some(value) {
            set_attribute(path, name, value);
        }
    }
    let is_directory = old.mode & libc::S_IFMT == libc::S_IFDIR;
    if !is_directory && new.is_none_or(|new| new.time != old.time) {
        set_time(path, old.time);
    }
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("no zero")
}

fn set_time(path: &Path, seconds: i64) {
    let time = nix::sys::time::TimeSpec::new(seconds, 0);
    let flag = nix::sys::stat::UtimensatFlags::NoFollowSymlink;
    nix::sys::stat::utimensat(nix::fcntl::AT_FDCWD, path, &time, &time, flag).expect("utimensat");
}

/// Where the file system has none, nothing is set.
#[allow(unsafe_code)]
fn set_attribute(path: &Path, name: &std::ffi::CStr, value: &[u8]) {
    let path = c_path(path);
    // SAFETY: the pointers are valid for the call.
    unsafe {
        libc::lsetxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            0,
        );
    }
}

#[allow(unsafe_code)]
fn remove_attribute(path: &Path, name: &std::ffi::CStr) {
    let path = c_path(path);
    // SAFETY: the pointers are valid for the call.
    unsafe {
        libc::lremovexattr(path.as_ptr(), name.as_ptr());
    }
}

#[allow(unsafe_code)]
fn attributes(path: &Path) -> BTreeMap<CString, Vec<u8>> {
    let path = c_path(path);
    let mut names = [0_u8; 1024];
    // SAFETY: as much is written as there is room.
    let size = unsafe { libc::llistxattr(path.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
    let names = &names[..usize::try_from(size).unwrap_or(0)];
    names
        .split_inclusive(|byte| *byte == 0)
        .filter_map(|name| {
            let name = std::ffi::CStr::from_bytes_with_nul(name).ok()?;
            let mut value = [0_u8; 256];
            // SAFETY: as much is written as there is room.
            let size = unsafe {
                libc::lgetxattr(
                    path.as_ptr(),
                    name.as_ptr(),
                    value.as_mut_ptr().cast(),
                    value.len(),
                )
            };
            Some((
                name.to_owned(),
                value[..usize::try_from(size).ok()?].to_vec(),
            ))
        })
        .collect()
}
