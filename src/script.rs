//! The `#!` line by which the kernel has started zroot, and what is wrong with it.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::{Failure, shown};

/// How much of a `#!` line the kernel reads (`BINPRM_BUF_SIZE`, include/uapi/linux/binfmts.h).
const LONGEST: u64 = 256;

/// A script that names zroot as its interpreter. The kernel starts that with its own name, with all
/// that follows it on the line as one argument, and with the script's name (fs/binfmt_script.c,
/// `load_script`).
pub struct Script<'a> {
    path: &'a CStr,
    zroot: &'a CStr,
    /// What follows zroot on the line.
    given: Option<&'a CStr>,
}

impl<'a> Script<'a> {
    /// What may be one, by the arguments of zroot alone. `executed` is what was given to execve(2)
    /// (`AT_EXECFN`), which is the script and not its interpreter (fs/exec.c, `bprm->filename`).
    #[must_use]
    #[inline]
    pub fn of(args: &[&'a CStr], executed: &CStr) -> Option<Script<'a>> {
        let at = (1..=2).find(|at| args.get(*at).is_some_and(|arg| *arg == executed))?;
        Some(Script {
            path: args[at],
            zroot: args[0],
            given: (at == 2).then(|| args[1]),
        })
    }

    /// Whether the command is the script itself, which would start zroot again.
    ///
    /// # Errors
    /// [`Failure`] if it is.
    #[inline]
    pub fn check(&self, command: &CStr) -> Result<(), Failure> {
        if (command == self.path || self.is_split()) && self.is_one() {
            return Err(self.no_interpreter());
        }
        Ok(())
    }

    /// Whether the option that splits the line comes last there, and splits the script's name.
    fn is_split(&self) -> bool {
        let given = self.given.map(CStr::to_bytes);
        given.is_some_and(|given| [&b"-S"[..], b"-vS", b"--split-string"].contains(&given))
    }

    #[inline(never)]
    fn no_interpreter(&self) -> Failure {
        no_interpreter(self.path, &text(self.zroot))
    }

    /// Whether the file begins as a script does: zroot may have been asked to run itself.
    #[inline(never)]
    fn is_one(&self) -> bool {
        first_line(self.path).is_some()
    }

    /// What to change in the line, where that has made zroot fail.
    #[must_use]
    #[inline(never)]
    pub fn hint(&self) -> Option<String> {
        let given = text(self.given?);
        let splits = ["-S", "-vS", "--split-string"];
        if !self.is_one() || splits.iter().any(|option| given.starts_with(option)) {
            return None;
        }
        if given.ends_with('\r') {
            return Some(crlf(self.path));
        }
        let zroot = text(self.zroot);
        given.contains([' ', '\t']).then(|| {
            format!("behind #! Linux passes all that follows zroot as one argument; -S splits it: '#!{zroot} -S {}'", given.escape_debug())
        })
    }
}

/// `path` names zroot as its interpreter, and zroot no other.
fn no_interpreter(path: &CStr, zroot: &str) -> Failure {
    let path = shown(OsStr::from_bytes(path.to_bytes()));
    Failure::new(format!("the #! line of {path} names no interpreter")).hint(format!(
        "zroot has to be told which: '#!{zroot} /bin/sh', or with options '#!{zroot} -S OPTIONS -- /bin/sh'"
    ))
}

/// What the script `path` comes to where its `#!` line ends with zroot, as that of env(1) may: it
/// would start zroot again and again.
///
/// # Errors
/// [`Failure`] if it is so.
#[inline(never)]
pub fn refuse_endless(path: &CStr) -> Result<(), Failure> {
    let line = first_line(path).unwrap_or_default();
    let words: Vec<&[u8]> = line
        .split(|byte| matches!(byte, b' ' | b'\t'))
        .filter(|word| !word.is_empty())
        .collect();
    match words[..] {
        [zroot] if zroot.ends_with(b"/zroot") => Err(no_interpreter(path, "/usr/bin/zroot")),
        [env, .., b"zroot"] if env.ends_with(b"/env") => {
            Err(no_interpreter(path, "/usr/bin/zroot"))
        }
        _ => Ok(()),
    }
}

/// The `#!` line of the file `path`, without these two characters; `None` if it has none.
#[must_use]
pub fn first_line(path: &CStr) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    let path = Path::new(OsStr::from_bytes(path.to_bytes()));
    // A FIFO would make us wait.
    if !path.metadata().is_ok_and(|about| about.is_file()) {
        return None;
    }
    let file = File::open(path).ok()?;
    file.take(LONGEST).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?;
    Some(line.split(|byte| *byte == b'\n').next()?.to_vec())
}

/// What to do about a script with lines that end in CR LF.
#[must_use]
pub fn crlf(path: &CStr) -> String {
    let path = shown(OsStr::from_bytes(path.to_bytes()));
    format!(
        "the lines of {path} end in CR LF, as Windows has them, and the CR counts as part of the name: remove these with sed -i 's/\\r$//'"
    )
}

fn text(string: &CStr) -> String {
    string.to_string_lossy().into_owned()
}
