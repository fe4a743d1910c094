//! Work that is done in a child: as somebody else, or so that it can be given up.

use std::fs::File;
use std::io::{Read, Write};

use nix::fcntl::OFlag;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{ForkResult, Pid, getppid, pipe2};

use crate::error::Failure;
use crate::sys::process::{exit, fork};

/// Does `work` in a child, and returns what that comes to. `wait` waits for the child's end, or
/// fails, and then nobody waits any more. The child ends with us.
///
/// # Errors
/// Those of `work` and `wait`; a [`Failure`] if there is no child, or if it was killed.
pub fn in_child(
    work: impl FnOnce() -> Result<Vec<String>, Failure>,
    wait: impl FnOnce(Pid) -> Result<(), Failure>,
) -> Result<Vec<String>, Failure> {
    let failed = |errno| Failure::errno("cannot start a process", errno);
    let (from, to) = pipe2(OFlag::O_CLOEXEC).map_err(failed)?;
    let own = Pid::this();
    match fork().map_err(failed)? {
        ForkResult::Parent { child } => {
            drop(to);
            wait(child)?;
            let mut said = Vec::new();
            // It is less than a pipe has room for, so that it is all there.
            File::from(from)
                .read_to_end(&mut said)
                .ok()
                .and_then(|_| understood(&said))
                .unwrap_or_else(|| Err(Failure::new("the process that cares for owners is gone")))
        }
        ForkResult::Child => {
            end_with(own);
            let said = message(work());
            let _ = File::from(to).write_all(said.as_bytes());
            exit(0)
        }
    }
}

/// Ends this process as soon as `parent` ends, whose child it is.
pub fn end_with(parent: Pid) {
    let is_bound = set_pdeathsig(Signal::SIGKILL).is_ok();
    if is_bound && getppid() != parent {
        exit(0) // it ended before that, and nobody waits for a word
    }
}

/// What a child says, and how that is understood: parts that end in null bytes.
fn message(done: Result<Vec<String>, Failure>) -> String {
    let parts = match done {
        Ok(parts) => [vec!["done".into()], parts].concat(),
        Err(failure) => vec![
            "failed".into(),
            failure.message,
            failure.hint.unwrap_or_default(),
        ],
    };
    let parts = parts.iter().map(|part| part.replace('\0', "?") + "\0");
    // An empty one at the end says that it has all arrived.
    parts.chain(["\0".into()]).collect()
}

fn understood(said: &[u8]) -> Option<Result<Vec<String>, Failure>> {
    let said = String::from_utf8_lossy(said);
    let mut parts = said.strip_suffix("\0\0")?.split('\0').map(String::from);
    Some(match (parts.next()?.as_str(), parts) {
        ("done", parts) => Ok(parts.collect()),
        (_, mut parts) => {
            let failure = Failure::new(parts.next()?);
            Err(match parts.next() {
                Some(hint) if !hint.is_empty() => failure.hint(hint),
                _ => failure,
            })
        }
    })
}
