//! Finding COMMAND and becoming it: execvp(3)'s rules, with errors that say what is wrong.

use std::borrow::Cow;
use std::ffi::{CStr, CString, NulError, OsStr};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::stat::{FileStat, SFlag, stat};
use nix::unistd::execve;

use super::elf::Elf;
use crate::error::{Failure, shown};
use crate::script;

/// Where commands are looked for when PATH is not set (glibc's `confstr(_CS_PATH)`).
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";

fn not_found(name: &CStr, why: &str) -> Failure {
    Failure {
        status: 127,
        ..Failure::new(format!("{}: {why}", named(name)))
    }
}

fn cannot_run(path: &CStr, why: &str, hint: Option<String>) -> Failure {
    let failure = Failure {
        status: 126,
        ..Failure::new(format!("cannot run {}: {why}", named(path)))
    };
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn named(name: &CStr) -> String {
    shown(OsStr::from_bytes(name.to_bytes()))
}

/// A command as execve(2) takes it.
pub struct Command<'a> {
    /// The paths to try, from [`find`].
    pub candidates: Vec<CString>,
    /// Its own name first.
    pub args: Vec<&'a CStr>,
    /// `NAME=value` each.
    pub env: Vec<Cow<'a, CStr>>,
}

/// Looks for `name` as execvp(3) does, without running anything: the paths to try, in order, the
/// first of which looks runnable or could not be looked at yet. `path` is the value of PATH; `stat`
/// is stat(2) as the command will see files.
///
/// # Errors
/// [`Failure`] if it is certain already that no path can be run.
pub fn find(
    name: &CStr,
    path: Option<&[u8]>,
    stat: impl Fn(&CStr) -> nix::Result<FileStat>,
) -> Result<Vec<CString>, Failure> {
    let bytes = name.to_bytes();
    if bytes.is_empty() {
        return Err(not_found(name, "the command is an empty string"));
    }
    if bytes.contains(&b'/') {
        return match look(stat(name)) {
            Look::Runnable | Look::Unknown => Ok(vec![name.to_owned()]),
            Look::Missing(errno) => {
                let failure = not_found(name, errno.desc());
                Err(match misread(bytes) {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                })
            }
            Look::Unfit(why, hint) => Err(cannot_run(name, why, hint)),
        };
    }
    let mut unfit = None;
    let mut candidates: Vec<CString> = Vec::new();
    let mut seen_runnable = false;
    for dir in path.unwrap_or(DEFAULT_PATH).split(|byte| *byte == b':') {
        let dir = if dir.is_empty() { b"." } else { dir };
        let Ok(candidate) = CString::new([dir, b"/", bytes].concat()) else {
            continue;
        };
        // After a runnable one there is no need to look: the rest are tried only if the kernel
        // refuses it.
        if !seen_runnable {
            match look(stat(&candidate)) {
                Look::Runnable => seen_runnable = true,
                Look::Unknown => {}
                Look::Missing(_) => continue,
                Look::Unfit(why, hint) => {
                    unfit.get_or_insert_with(|| cannot_run(&candidate, why, hint));
                    continue;
                }
            }
        }
        candidates.push(candidate);
    }
    if candidates.is_empty() {
        return Err(unfit.unwrap_or_else(|| {
            let failure = not_found(name, "command not found");
            if let Some(hint) = misread(bytes) {
                return failure.hint(hint);
            }
            // What root's PATH has and a user's on Debian has not.
            let elsewhere = ["/usr/local/sbin", "/usr/sbin", "/sbin"]
                .into_iter()
                .find(|dir| {
                    let candidate =
                        CString::new([dir.as_bytes(), b"/", bytes].concat()).unwrap_or_default();
                    matches!(look(stat(&candidate)), Look::Runnable)
                });
            match elsewhere {
                Some(dir) => failure.hint(format!(
                    "it is in {dir}, which PATH does not name: add it, as root's PATH has it"
                )),
                None => failure,
            }
        }));
    }
    Ok(candidates)
}

/// What a name that is no command's most likely stands for.
fn misread(name: &[u8]) -> Option<&'static str> {
    const OF_THE_SHELL: [&[u8]; 16] = [
        b".", b"alias", b"bg", b"cd", b"eval", b"exec", b"exit", b"export", b"fg", b"set",
        b"source", b"trap", b"type", b"ulimit", b"umask", b"unset",
    ];
    let is_variable = |name: &[u8]| {
        !name.starts_with(b"=") && name.iter().all(|c| c.is_ascii_alphanumeric() || *c == b'_')
    };
    if name.starts_with(b"-") {
        Some("zroot's own options come before COMMAND, and before '--'")
    } else if OF_THE_SHELL.contains(&name) {
        Some("it is a command of the shell's own: zroot sh -c 'COMMAND'")
    } else if name
        .split(|c| *c == b'=')
        .next()
        .is_some_and(|variable| variable.len() < name.len() && is_variable(variable))
    {
        Some("env sets variables: zroot env NAME=VALUE COMMAND")
    } else if name
        .iter()
        .any(|c| matches!(c, b' ' | b'\t' | b'\n' | b';' | b'|' | b'&'))
    {
        Some(
            "a command and its arguments are words of their own: leave out the quotes around them, or have a shell read it: zroot sh -c 'COMMAND ARG...'",
        )
    } else if matches!(name, b"help" | b"version" | b"check") {
        Some("zroot's own words are options: --help, --version, --check")
    } else {
        None
    }
}

/// What can be said of a path before it is executed.
enum Look {
    Runnable,
    /// A directory on the way cannot be searched now, but perhaps by apparent root.
    Unknown,
    Missing(Errno),
    Unfit(&'static str, Option<String>),
}

#[inline]
fn look(status: nix::Result<FileStat>) -> Look {
    match status {
        Err(errno @ (Errno::ENOENT | Errno::ENOTDIR)) => Look::Missing(errno),
        Err(Errno::ENAMETOOLONG) => Look::Unfit("the name is too long", None),
        Err(Errno::ELOOP) => Look::Unfit("too many symbolic links", None),
        Err(_) => Look::Unknown,
        Ok(status) => match SFlag::from_bits_truncate(status.st_mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFDIR => Look::Unfit("it is a directory", None),
            SFlag::S_IFREG if status.st_mode & 0o111 != 0 => Look::Runnable,
            SFlag::S_IFREG => {
                let hint = format!(
                    "no execute permission (mode {:04o}): chmod +x it",
                    status.st_mode & 0o7777
                );
                Look::Unfit(Errno::EACCES.desc(), Some(hint))
            }
            _ => Look::Unfit("it is not a regular file", None),
        },
    }
}

impl Command<'_> {
    /// Sets the variable `name`, in place of any value it has.
    ///
    /// # Errors
    /// [`NulError`] if `value` has a null byte.
    #[inline]
    pub fn set(&mut self, name: &str, value: &[u8]) -> Result<(), NulError> {
        let prefix = [name.as_bytes(), b"="].concat();
        self.env
            .retain(|entry| !entry.to_bytes().starts_with(&prefix));
        self.env
            .push(CString::new([&prefix, value].concat())?.into());
        Ok(())
    }

    /// Becomes the first of the candidates that the kernel runs. Returns only if it runs none.
    #[must_use]
    #[inline]
    pub fn exec(&self) -> Failure {
        become_command(&self.candidates, &self.args, &self.env)
    }
}

/// Becomes the first of `candidates` that the kernel runs, with `args` and `env`.
#[inline]
fn become_command<'a>(candidates: &[CString], args: &[&'a CStr], env: &[Cow<'a, CStr>]) -> Failure {
    let searched = args
        .first()
        .is_some_and(|name| !name.to_bytes().contains(&b'/'));
    let mut failure = None;
    for path in candidates {
        let Err(errno) = execve(path, args, env);
        let error = match errno {
            Errno::ENOENT | Errno::ENOTDIR | Errno::ESTALE | Errno::ENODEV | Errno::ETIMEDOUT => {
                match missing_interpreter(path) {
                    Some(error) => error,
                    None => continue,
                }
            }
            // In a directory that cannot be searched nothing can be found.
            Errno::EACCES if searched && stat(path.as_c_str()).is_err() => continue,
            Errno::EACCES => cannot_run(path, errno.desc(), Some(denied_hint(path))),
            Errno::ENOEXEC => return not_executable_format(path, args, env),
            Errno::E2BIG => {
                let hint =
                    "the arguments and the environment together are larger than the kernel takes: pass fewer, or through a file".into();
                return cannot_run(path, errno.desc(), Some(hint));
            }
            // Of a script: interpreters that are scripts, one after the other (fs/exec.c,
            // exec_binprm). Of all else the path was looked at before.
            Errno::ELOOP => return endless(path),
            // A program's headers or its interpreter's name lie behind the end of the file.
            Errno::EIO | Errno::ELIBBAD => {
                let hint = "the file or its interpreter is damaged or cut off, or the disk fails: get it anew".into();
                return cannot_run(path, errno.desc(), Some(hint));
            }
            // No kernel says so: nobody is there any more to be asked.
            Errno::ENOSYS => {
                let what = format!("cannot run {}: the supervisor is gone", named(path));
                return Failure::new(what);
            }
            _ => return cannot_run(path, errno.desc(), None),
        };
        failure.get_or_insert(error);
    }
    failure.unwrap_or_else(|| match candidates {
        [only] if !searched => not_found(only, Errno::ENOENT.desc()),
        _ => not_found(
            args.first().copied().unwrap_or_default(),
            "command not found",
        ),
    })
}

/// ENOEXEC: a script without `#!` goes to the shell, as execvp(3) has it; a binary is another
/// machine's, or broken.
#[inline]
fn not_executable_format<'a>(path: &CStr, args: &[&'a CStr], env: &[Cow<'a, CStr>]) -> Failure {
    let head = head(path);
    if !head.contains(&0) {
        let shell = c"/bin/sh";
        let shell_args: Vec<&CStr> = [shell, path]
            .into_iter()
            .chain(args.iter().copied().skip(1))
            .collect();
        let Err(errno) = execve(shell, &shell_args, env);
        let hint = "it has no #! line, so /bin/sh would run it, but that failed".into();
        return cannot_run(path, errno.desc(), Some(hint));
    }
    let len = stat(path).map_or(0, |status| u64::try_from(status.st_size).unwrap_or(0));
    let hint = match Elf::parse(&head).map(|elf| (elf.fault(len), elf)) {
        Some((Some(fault), _)) => fault.into(),
        Some((None, elf)) => format!(
            "it is an executable for {}, which this kernel does not run: use one built for this machine, or have qemu-user registered with binfmt_misc",
            elf.machine()
        ),
        None => "it is neither a program for this machine nor a script".into(),
    };
    cannot_run(path, Errno::ENOEXEC.desc(), Some(hint))
}

/// ENOENT for a path that is there: the kernel means the interpreter.
fn missing_interpreter(path: &CStr) -> Option<Failure> {
    stat(path).ok()?;
    let interpreter = interpreter(path)?;
    let name = named(&interpreter);
    let hint = if interpreter.to_bytes().ends_with(b"\r") {
        format!(
            "its interpreter {name} does not exist: {}",
            script::crlf(path)
        )
    } else {
        format!("its interpreter {name} does not exist: install it, or correct the #! line")
    };
    Some(cannot_run(path, "its interpreter is missing", Some(hint)))
}

/// ELOOP: more interpreters that are scripts than the kernel follows.
fn endless(path: &CStr) -> Failure {
    let hint = match interpreter(path) {
        Some(interpreter) => format!(
            "it names {}, which is a script as well, and so on: let it name a program",
            named(&interpreter)
        ),
        None => "too many interpreters are scripts: let its #! line name a program".into(),
    };
    cannot_run(path, "its #! line leads to no interpreter", Some(hint))
}

/// EACCES for a file with an execute bit.
fn denied_hint(path: &CStr) -> String {
    match interpreter(path).map(|interpreter| (look(stat(interpreter.as_c_str())), interpreter)) {
        Some((Look::Unfit(why, _), interpreter)) => format!("its interpreter {} cannot be run: {why}", named(&interpreter)),
        _ => "its file system may be mounted noexec, or its mode or a directory on the way denies you".into(),
    }
}

/// The first bytes of a file; none if it cannot be read.
fn head(path: &CStr) -> Vec<u8> {
    let mut head = Vec::new();
    if let Ok(file) = File::open(Path::new(OsStr::from_bytes(path.to_bytes()))) {
        // A short or failed read leaves less to say, no more.
        let _ = file.take(4096).read_to_end(&mut head);
    }
    head
}

/// What a script's `#!` line or an executable's PT_INTERP names.
fn interpreter(path: &CStr) -> Option<CString> {
    let head = head(path);
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next()?.trim_ascii_start();
        return CString::new(line.split(|byte| matches!(byte, b' ' | b'\t')).next()?).ok();
    }
    Elf::parse(&head)?.interpreter(path)
}
