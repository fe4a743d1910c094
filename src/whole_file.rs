//! A regular file that others see as it was or as it is meant to be, and never in between: it is
//! written under another name, and renamed.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag, open, openat, renameat};
use nix::sys::stat::{Mode, fchmod, fstat, fstatat};
use nix::unistd::{AccessFlags, UnlinkatFlags, faccessat, fsync, geteuid, unlinkat};

/// Where such a file will be.
#[derive(Debug)]
pub struct WholeFile {
    dir: OwnedFd,
    name: OsString,
    /// The name until it is complete.
    temporary: OsString,
    /// Where the directory takes no new files: the file itself, which will be overwritten.
    itself: Option<File>,
}

impl WholeFile {
    /// At `path`. Nothing changes yet. `None` if there is something that is no regular file.
    ///
    /// # Errors
    /// What would keep it from being written.
    pub fn at(path: &Path) -> io::Result<Option<WholeFile>> {
        if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        // What a symbolic link leads to is meant.
        let path = match fs::canonicalize(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if path.is_symlink() {
                    return Ok(None); // opening it makes the file that it names
                }
                path.to_owned()
            }
            there => {
                let there = there?;
                if !fs::metadata(&there)?.is_file() {
                    return Ok(None);
                }
                there
            }
        };
        let Some(name) = path.file_name() else {
            return Err(io::ErrorKind::IsADirectory.into());
        };
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = match path.parent() {
            Some(dir) if dir != Path::new("") => dir.to_owned(),
            _ => PathBuf::from("."),
        };
        let dir = open(&dir, flags, Mode::empty())?;
        let may = |name: &OsStr, how| faccessat(&dir, name, how, AtFlags::AT_EACCESS);
        let is_there = fstatat(&dir, name, AtFlags::empty()).is_ok();
        if is_there {
            may(name, AccessFlags::W_OK)?;
        }
        let itself = match may(OsStr::new("."), AccessFlags::W_OK | AccessFlags::X_OK) {
            Ok(()) => None,
            Err(_) if is_there => Some(File::options().write(true).open(&path)?),
            Err(errno) => return Err(errno.into()),
        };
        Ok(Some(WholeFile {
            name: name.to_owned(),
            // The same for all processes that write the file.
            temporary: format!(".zroot-{}", std::process::id()).into(),
            dir,
            itself,
        }))
    }

    /// The descriptor that must stay open.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        let itself = self.itself.as_ref().map(AsRawFd::as_raw_fd);
        itself.unwrap_or(self.dir.as_raw_fd())
    }

    /// Has it say that. May be called again.
    ///
    /// # Errors
    /// The system's; the file is as it was before then, unless the directory takes no new files.
    pub fn write(&self, contents: &[u8]) -> Result<(), Errno> {
        let errno_of = |error: io::Error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
        if let Some(mut file) = self.itself.as_ref() {
            file.set_len(0).map_err(errno_of)?;
            io::Seek::rewind(&mut file).map_err(errno_of)?;
            return file.write_all(contents).map_err(errno_of);
        }
        let (dir, temporary) = (self.dir.as_fd(), self.temporary.as_os_str());
        let remove = || unlinkat(dir, temporary, UnlinkatFlags::NoRemoveDir);
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let create = || openat(dir, temporary, flags, Mode::from_bits_truncate(0o666));
        // One that was killed may have left it.
        let file = match create() {
            Err(Errno::EEXIST) => remove().and_then(|()| create()),
            file => file,
        }?;
        let mut file = File::from(file);
        self.keep_mode(&file);
        let written = file.write_all(contents).map_err(errno_of);
        let renamed = written.and_then(|()| renameat(dir, temporary, dir, self.name.as_os_str()));
        renamed.inspect_err(|_| {
            let _ = remove();
        })
    }

    /// Gives what is to take the file's place its permissions.
    fn keep_mode(&self, file: &File) {
        let name = self.name.as_os_str();
        if let Ok(before) = fstatat(&self.dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            let _ = fchmod(file, Mode::from_bits_truncate(before.st_mode & 0o777));
        }
    }

    /// The same file, for which no other process that asks can have this until it is written or let
    /// go. `None` if another has it.
    ///
    /// # Errors
    /// What would keep it from being written: `EACCES` also if the directory takes no new files,
    /// `EEXIST` if something else has the temporary name.
    pub fn lock(mut self) -> Result<Option<LockedFile>, Errno> {
        if self.itself.is_some() {
            return Err(Errno::EACCES);
        }
        // What is locked is the file that will take the other's place: its name is the same for
        // all. One that was killed leaves it, empty or not.
        self.temporary = [OsStr::new("."), &self.name, OsStr::new(".zroot")]
            .into_iter()
            .collect();
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        // Where others can make files they may have put a pipe there, which is not waited for.
        let flags = flags | OFlag::O_NONBLOCK;
        let (dir, name) = (self.dir.as_fd(), self.temporary.as_os_str());
        let is_named = |file: &File| {
            let (own, named) = (
                fstat(file)?,
                fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW),
            );
            let named = match named {
                Err(Errno::ENOENT) => return Ok(false),
                named => named?,
            };
            Ok::<_, Errno>((own.st_dev, own.st_ino) == (named.st_dev, named.st_ino))
        };
        loop {
            let file = match openat(dir, name, flags, Mode::from_bits_truncate(0o666)) {
                Err(Errno::ELOOP | Errno::ENXIO | Errno::EISDIR) => return Err(Errno::EEXIST),
                file => File::from(file?),
            };
            // Nobody else's, and no other name of a file that is meant to stay.
            let found = fstat(&file)?;
            let is_regular = found.st_mode & libc::S_IFMT == libc::S_IFREG;
            if !is_regular || found.st_uid != geteuid().as_raw() || found.st_nlink > 1 {
                return Err(Errno::EEXIST);
            }
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
                Err((_, errno)) => return Err(errno),
                // Who had it before may have renamed it in between.
                Ok(file) if !is_named(&file)? => {}
                Ok(file) => {
                    return Ok(Some(LockedFile {
                        file: Some(file),
                        whole: self,
                    }));
                }
            }
        }
    }
}

/// A [`WholeFile`] that is ours to write, once.
#[derive(Debug)]
pub struct LockedFile {
    whole: WholeFile,
    /// The file under its temporary name, until it has the other.
    file: Option<Flock<File>>,
}

impl LockedFile {
    /// The descriptors that must stay open.
    pub fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        let file = self.file.as_ref().map(|file| file.as_raw_fd());
        file.into_iter().chain([self.whole.dir.as_raw_fd()])
    }

    /// Has it say what `contents` writes, on the disk, too.
    ///
    /// # Errors
    /// The system's; the file is as it was before then.
    pub fn write(mut self, contents: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
        let Some(file) = self.file.as_mut() else {
            return Ok(());
        };
        file.set_len(0)?;
        contents(file)?;
        self.whole.keep_mode(file);
        file.sync_all()?;
        let (dir, from) = (&self.whole.dir, self.whole.temporary.as_os_str());
        renameat(dir, from, dir, self.whole.name.as_os_str())?;
        self.file = None;
        // A file system that cannot do that has no need of it.
        let directory = openat(dir, ".", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        let _ = fsync(directory);
        Ok(())
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        if self.file.is_some() {
            let name = self.whole.temporary.as_os_str();
            let _ = unlinkat(&self.whole.dir, name, UnlinkatFlags::NoRemoveDir);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{self, Write};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use nix::errno::Errno;
    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::WholeFile;

    #[test]
    fn it_is_as_before_or_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        let file = WholeFile::at(&path).expect("a place").expect("a file");
        assert!(!path.exists());
        file.write(b"one").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("chmod");
        let before = fs::File::open(&path).expect("the file");
        // What another left that was killed.
        fs::write(dir.path().join(&file.temporary), "half").expect("a file");
        file.write(b"two").expect("written");
        assert_eq!(fs::read(&path).expect("a file"), b"two");
        assert_eq!(std::io::read_to_string(before).expect("a file"), "one");
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1);
    }

    #[test]
    fn one_at_a_time_has_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        let lock = || {
            let file = WholeFile::at(&path).expect("a place").expect("a file");
            file.lock().expect("a directory")
        };
        let one = lock().expect("nobody has it");
        assert!(lock().is_none());
        drop(one);
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 0);
        let one = lock().expect("nobody has it");
        one.write(|file| file.write_all(b"one")).expect("written");
        // What another left that was killed.
        fs::write(dir.path().join(".file.zroot"), "half of it").expect("a file");
        let two = lock().expect("nobody has it");
        assert_eq!(fs::read(&path).expect("a file"), b"one");
        two.write(|file| file.write_all(b"two")).expect("written");
        assert_eq!(fs::read(&path).expect("a file"), b"two");
        let three = lock().expect("nobody has it");
        let failed = three.write(|file| file.write_all(b"3").and(Err(io::ErrorKind::Other.into())));
        failed.expect_err("an error");
        assert_eq!(fs::read(&path).expect("a file"), b"two");
        assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1);
    }

    #[test]
    fn what_others_put_in_the_way_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        let way = dir.path().join(".file.zroot");
        let other = dir.path().join("other");
        fs::write(&other, "other").expect("a file");
        let lock = || {
            let file = WholeFile::at(&path).expect("a place").expect("a file");
            file.lock().map(drop)
        };
        for put in [
            &(|| symlink("other", &way)) as &dyn Fn() -> io::Result<()>,
            &|| fs::hard_link(&other, &way),
            &|| mkfifo(&way, Mode::S_IRWXU).map_err(io::Error::from),
            &|| fs::create_dir(&way),
        ] {
            put().expect("something in the way");
            assert_eq!(lock(), Err(Errno::EEXIST));
            let removed = fs::remove_file(&way).or_else(|_| fs::remove_dir(&way));
            removed.expect("it stays");
            assert_eq!(fs::read(&other).expect("a file"), b"other");
        }
        assert_eq!(lock(), Ok(()));
        let named = WholeFile::at(&dir.path().join("new/"));
        let error = named.expect_err("a directory");
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
    }

    #[test]
    fn what_a_link_leads_to_is_written() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("file");
        fs::write(&path, "one").expect("a file");
        let link = dir.path().join("link");
        symlink("file", &link).expect("a link");
        let file = WholeFile::at(&link).expect("a place").expect("a file");
        file.write(b"two").expect("written");
        assert!(link.is_symlink());
        assert_eq!(fs::read(&path).expect("a file"), b"two");
    }

    #[test]
    fn what_is_no_regular_file_is_not_replaced() {
        for path in ["/dev/null", "/proc/self/fd"] {
            let other = WholeFile::at(path.as_ref()).expect("a place");
            assert!(other.is_none(), "{path}");
        }
        let nowhere = WholeFile::at("/none/file".as_ref());
        assert_eq!(
            nowhere.expect_err("an error").kind(),
            std::io::ErrorKind::NotFound
        );
    }
}
