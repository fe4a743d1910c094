//! The one shape of zroot's own errors: what and why on one line, what to do about it, and the exit
//! status.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;

/// The exit status of zroot's own failures, bad usage among them.
pub const FAILED: u8 = 125;

/// That of fakeroot(1) for its own failures, `--help` among them.
pub const FAKEROOT_FAILED: u8 = 1;

/// The exit status where `--fail-on` has found what it forbids.
pub const PRETENDED: u8 = 124;

/// The longest line, in characters. What a line quotes may be as long as an argument of a program
/// can be.
const LONGEST: usize = 1024;

/// How the line with a failure's message begins.
const MESSAGE: &str = "zroot: ";

/// How the line with its advice begins.
const HINT: &str = "hint: ";

/// Something that ends zroot before the command has begun.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// [`FAILED`]; 126 for a command that cannot be run, 127 for one that is not found.
    pub status: u8,
    /// What and why, on one line.
    pub message: String,
    /// What to do about it, on one line.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure of zroot's own, without advice.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Failure {
        Failure {
            status: FAILED,
            message: clipped(message.into()),
            hint: None,
        }
    }

    /// `what` failed because the kernel said `errno`.
    #[must_use]
    pub fn errno(what: impl fmt::Display, errno: Errno) -> Failure {
        Failure::new(format!("{what}: {}", errno.desc()))
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Failure {
        Failure {
            hint: Some(clipped(hint.into())),
            ..self
        }
    }

    /// The lines by which zroot says it.
    #[must_use]
    pub fn lines(&self) -> String {
        let hint = self.hint.as_ref();
        let hint = hint.map_or_else(String::new, |hint| format!("{HINT}{hint}\n"));
        format!("{MESSAGE}{}\n{hint}", self.message)
    }

    /// What a zroot that has ended with `status` has said by these [`lines`](Failure::lines).
    #[must_use]
    pub fn read(status: u8, lines: &str) -> Failure {
        let (mut message, hint) = match lines.trim_end().rsplit_once(&format!("\n{HINT}")) {
            Some((message, hint)) => (message, Some(hint)),
            None => (lines.trim_end(), None),
        };
        message = message.strip_prefix(MESSAGE).unwrap_or(message);
        let failure = Failure {
            status,
            ..Failure::new(message)
        };
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// `line`, without its middle if it is too long: what is wrong stands at its beginning, why at its
/// end.
fn clipped(line: String) -> String {
    if line.len() <= LONGEST {
        return line; // as it is with nearly every one
    }
    let chars: Vec<char> = line.chars().collect();
    let half = LONGEST / 2;
    if chars.len() <= LONGEST {
        return line;
    }
    let (start, end) = (&chars[..half], &chars[chars.len() - half..]);
    start.iter().chain(&['.'; 3]).chain(end).collect()
}

/// A name for a message: in quotes and on one line, whatever bytes it has. Of a long one the middle
/// is left out.
#[must_use]
pub fn shown(name: impl AsRef<OsStr>) -> String {
    let name = name.as_ref().as_bytes();
    let escaped = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text.escape_debug().to_string()
    };
    // So many bytes are as many characters as a line has, and the line's middle goes as well.
    let most = 4 * LONGEST;
    if name.len() <= 2 * most {
        return format!("'{}'", escaped(name));
    }
    let (start, end) = (&name[..most], &name[name.len() - most..]);
    format!("'{}...{}'", escaped(start), escaped(end))
}

/// What an error of the standard library means, without the number that it puts behind it.
#[must_use]
pub fn cause(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(
        || error.to_string(),
        |number| Errno::from_raw(number).desc().into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_back() {
        let plain = Failure::new("cannot run 'x': no: such file");
        let other = Failure {
            status: 127,
            ..plain.clone()
        };
        for failure in [plain.clone(), other, plain.hint("hint: do this")] {
            assert_eq!(Failure::read(failure.status, &failure.lines()), failure);
        }
    }

    #[test]
    fn a_long_line_keeps_its_beginning_and_its_end() {
        let long = |c: char| format!("cannot run '{}': no such file", c.to_string().repeat(5000));
        for c in ['a', '\u{20ac}'] {
            let failure = Failure::new(long(c)).hint(long(c));
            for line in [failure.message, failure.hint.expect("a hint")] {
                assert!(line.starts_with("cannot run '") && line.ends_with(": no such file"));
                assert_eq!(line.chars().count(), LONGEST + 3);
            }
        }
        let name = "\u{20ac}".repeat(10_000);
        assert!(shown(&name).len() < 10 * 1024);
        assert!(!Failure::new(shown(&name)).message.contains('\u{fffd}'));
        // As long as it may be, and not longer than it may be in characters.
        for whole in ["a".repeat(LONGEST), "\u{20ac}".repeat(LONGEST)] {
            assert_eq!(Failure::new(whole.clone()).message, whole);
        }
    }
}
