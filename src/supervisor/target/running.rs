//! Who is under the filter at this moment, as far as `/proc` tells.

use std::fs::File;
use std::io::Read;

use caps::Capability;
use nix::dir::Dir;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use super::base::Base;
use crate::sys::file::namespace;

/// How many are named.
const MOST: usize = 100;

/// A process that runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Running {
    /// Its number.
    pub pid: i32,
    /// The program that it runs, as ps(1) names it.
    pub program: String,
}

/// What `/proc/PID` says of a process.
struct About {
    program: String,
    is_alive: bool,
    /// How many filters it is under (since 5.9).
    filters: u32,
    /// When it was started, in ticks since the start of the system.
    started: u64,
}

/// The processes that are under more filters than this one, younger, and in its user namespace or
/// below. A filter cannot be recognized: where there is no namespace of our own, one that another
/// zroot's command runs under may look like it.
#[must_use]
pub fn running(base: &Base) -> Vec<Running> {
    let Some(own) = about(base, "self") else {
        return Vec::new();
    };
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let Ok(mut entries) = Dir::openat(base.proc_dir(), ".", flags, Mode::empty()) else {
        return Vec::new();
    };
    let numbers = entries.iter().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str().ok()?.parse::<i32>().ok());
    // Who has no capability may look into the namespaces that it owns, whoever made them.
    let is_root = base.capabilities.effective & 1 << Capability::CAP_SYS_PTRACE as u8 != 0;
    let meant = numbers.filter_map(|pid| {
        let link = std::ffi::CString::new(format!("{pid}/ns/user")).ok()?;
        // Others' are not to be looked into.
        let theirs = namespace(base.proc_dir(), &link).ok()?;
        if theirs != base.user_namespace && !is_root {
            return None;
        }
        let about = about(base, &pid.to_string())?;
        let is_meant =
            about.is_alive && about.filters > own.filters && about.started >= own.started;
        is_meant.then_some(Running {
            pid,
            program: about.program,
        })
    });
    meant.take(MOST).collect()
}

fn about(base: &Base, process: &str) -> Option<About> {
    let read = |name: &str| -> Option<String> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let path = format!("{process}/{name}");
        let file = openat(base.proc_dir(), &*path, flags, Mode::empty()).ok()?;
        let mut text = Vec::new();
        File::from(file).take(1 << 16).read_to_end(&mut text).ok()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    };
    let status = read("status")?;
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    // Field 22 of proc_pid_stat(5). The second is a name in brackets, which may have blanks.
    let stat = read("stat")?;
    let started = stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()?;
    Some(About {
        program: read("comm")?.trim_end().to_owned(),
        is_alive: !field("State:")?.starts_with(['Z', 'X']),
        filters: field("Seccomp_filters:")
            .and_then(|count| count.parse().ok())
            .unwrap_or(0),
        started,
    })
}
