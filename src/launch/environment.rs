//! What the command finds in its environment: the caller's, with root's programs in PATH, a HOME
//! that is there, and what `--setenv` and `--unsetenv` say.

use std::borrow::Cow;
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;

use super::plan::Plan;
use crate::namespace::root::Root;

/// What main is called with.
#[derive(Clone)]
pub struct Environment<'a> {
    /// `NAME=value` each.
    entries: Vec<&'a CStr>,
    /// Whether the caller is uid 0, of whatever user namespace.
    pub by_root: bool,
}

/// Root's PATH: each of the directories of root's programs, and behind it that of everybody's.
const ROOTS: [&[u8]; 6] = [
    b"/usr/local/sbin",
    b"/usr/local/bin",
    b"/usr/sbin",
    b"/usr/bin",
    b"/sbin",
    b"/bin",
];

/// More bytes than all of them together.
const LONGEST: usize = 64;

/// Root's home, as every system's /etc/passwd has it.
const ROOTS_HOME: &[u8] = b"/root";

impl<'a> Environment<'a> {
    /// Of these entries.
    #[must_use]
    pub const fn new(entries: Vec<&'a CStr>, by_root: bool) -> Environment<'a> {
        Environment { entries, by_root }
    }

    /// All of it, and room for `more` entries.
    #[inline]
    #[must_use]
    pub fn entries(&self, more: usize) -> Vec<Cow<'a, CStr>> {
        let mut entries = Vec::with_capacity(self.entries.len() + more);
        entries.extend(self.entries.iter().map(|entry| Cow::Borrowed(*entry)));
        entries
    }

    /// The value of `name`.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&'a CStr> {
        self.entries
            .iter()
            .find_map(|entry| value(entry, name.as_bytes()))
    }

    /// What the command of `plan` is to find, which starts in `root`, if that is given, and is
    /// root, or seems to be, if `becomes_root`. Where PATH alone is another, that is for
    /// [`Environment::path`].
    #[inline]
    #[must_use]
    pub fn of_command(
        &self,
        plan: &Plan,
        root: Option<&Root>,
        becomes_root: bool,
    ) -> Cow<'_, Environment<'a>> {
        if root.is_some() || !plan.setenv.is_empty() || !plan.unsetenv.is_empty() {
            return self.changed(plan, root, becomes_root);
        }
        Cow::Borrowed(self)
    }

    /// PATH with the directories of root's programs at its end, for the command of `plan`: where it
    /// is among the entries, and the new entry. `None` if nothing is missing, or if
    /// [`Environment::of_command`] has added it.
    #[inline]
    #[must_use]
    pub fn path(&self, plan: &Plan) -> Option<(usize, CString)> {
        let is_it = |entry: &&CStr| entry.to_bytes().starts_with(b"PATH=");
        let at = self.entries.iter().position(is_it)?;
        let entry = self.entries[at].to_bytes();
        let lacks = lacks(&entry[b"PATH=".len()..], false);
        if lacks == 0
            || plan.fakeroot.is_some()
            || plan.root.is_some()
            || !(plan.setenv.is_empty() && plan.unsetenv.is_empty())
        {
            return None;
        }
        Some((at, CString::new(extended(entry, lacks)).ok()?))
    }

    #[inline(never)]
    fn changed(
        &self,
        plan: &Plan,
        root: Option<&Root>,
        becomes_root: bool,
    ) -> Cow<'_, Environment<'a>> {
        let mut changed = self.clone();
        for name in &plan.unsetenv {
            changed.unset(name.as_bytes());
        }
        for (name, value) in &plan.setenv {
            changed.set(name.as_bytes(), value.as_bytes());
        }
        // fakeroot(1) leaves both alone.
        if becomes_root && plan.fakeroot.is_none() {
            let path = self.variable("PATH").map_or(&b""[..], CStr::to_bytes);
            let lacks = lacks(path, root.is_some());
            if lacks != 0 && !plan.says("PATH".as_ref()) {
                changed.set(b"PATH", &extended(path, lacks));
            }
            let home = self.variable("HOME").filter(|home| !home.is_empty());
            if let (Some(root), Some(home)) = (root, home) {
                let home = Path::new(OsStr::from_bytes(home.to_bytes()));
                let is_missing = matches!(
                    root.has_dir(home),
                    Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP)
                );
                if is_missing && !plan.says("HOME".as_ref()) {
                    changed.set(b"HOME", ROOTS_HOME);
                }
            }
        }
        Cow::Owned(changed)
    }

    fn unset(&mut self, name: &[u8]) {
        self.entries.retain(|entry| value(entry, name).is_none());
    }

    /// Sets `name`, in its place if it has one. The entry is given back only with the process.
    #[inline]
    fn set(&mut self, name: &[u8], to: &[u8]) {
        let mut entry = Vec::with_capacity(name.len() + to.len() + 2);
        for part in [name, b"=", to, b"\0"] {
            entry.extend_from_slice(part);
        }
        let Ok(entry) = CStr::from_bytes_with_nul(entry.leak()) else {
            return; // an argument ends at a null byte
        };
        let is_it = |entry: &&CStr| value(entry, name).is_some();
        match self.entries.iter().position(is_it) {
            None => self.entries.push(entry),
            Some(at) => {
                self.entries[at] = entry;
                let mut index = 0;
                self.entries.retain(|entry| {
                    index += 1;
                    index <= at + 1 || !is_it(entry)
                });
            }
        }
    }
}

/// The value in `entry`, if that is of `name`.
#[inline]
fn value<'a>(entry: &'a CStr, name: &[u8]) -> Option<&'a CStr> {
    let rest = entry.to_bytes().strip_prefix(name)?;
    rest.strip_prefix(b"=")?;
    Some(&entry[name.len() + 1..])
}

/// Which of root's directories `path` lacks: those whose neighbour with everybody's programs it
/// has; in a root directory, of which the caller's PATH says nothing, all. Bit N is the Nth of
/// [`ROOTS`]. Nothing where there is no `path`.
#[inline]
fn lacks(path: &[u8], in_root: bool) -> u8 {
    if path.is_empty() {
        return 0;
    }
    let mut has = 0_u8;
    for dir in path.split(|byte| *byte == b':') {
        has |= match dir {
            b"/usr/local/sbin" => 1,
            b"/usr/local/bin" => 2,
            b"/usr/sbin" => 4,
            b"/usr/bin" => 8,
            b"/sbin" => 16,
            b"/bin" => 32,
            _ => 0,
        };
    }
    let beside = (has >> 1) & 0b1_0101;
    let wanted = if in_root { 0b11_1111 } else { beside };
    wanted & !has
}

/// `path`, which stays the first to be searched, with what it `lacks` behind it.
fn extended(path: &[u8], lacks: u8) -> Vec<u8> {
    let mut more = Vec::with_capacity(path.len() + LONGEST);
    more.extend_from_slice(path);
    for (bit, dir) in ROOTS.iter().enumerate() {
        if lacks & 1 << bit != 0 {
            more.push(b':');
            more.extend_from_slice(dir);
        }
    }
    more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_gets_what_root_has_beside_it() {
        for (path, outside, inside) in [
            (
                "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games",
                ":/usr/local/sbin:/usr/sbin:/sbin",
                ":/usr/local/sbin:/usr/sbin:/sbin",
            ),
            (
                "/bin:/home/u/sbin",
                ":/sbin",
                ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin",
            ),
            (
                "/nix/bin",
                "",
                ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ),
            (
                "/sbin:/usr/sbin:/usr/bin",
                "",
                ":/usr/local/sbin:/usr/local/bin:/bin",
            ),
        ] {
            for (in_root, more) in [(false, outside), (true, inside)] {
                let path_of_root = extended(path.as_bytes(), lacks(path.as_bytes(), in_root));
                assert_eq!(
                    String::from_utf8_lossy(&path_of_root),
                    format!("{path}{more}"),
                );
            }
        }
    }

    #[test]
    fn a_variable_is_set_in_its_place() {
        let mut environment = Environment::new(vec![c"A=1", c"AB=2", c"A=3", c"C=", c"odd"], false);
        environment.set(b"A", b"x=y");
        environment.set(b"D", b"");
        environment.unset(b"C");
        assert_eq!(environment.entries, [c"A=x=y", c"AB=2", c"odd", c"D="]);
        assert_eq!(environment.variable("A"), Some(c"x=y"));
        assert_eq!(environment.variable("od"), None);
    }
}
