//! One call as reports show it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::arch::signature::Kind;
use crate::arch::{Abi, Sysno};
use crate::filter::policy::Class;
use crate::supervisor::memory::remembered::Remembered;
use crate::supervisor::target::answer::{Answer, Failed};
use crate::supervisor::target::files::File;
use crate::supervisor::target::proc::Target;
use crate::supervisor::target::request::{Named, Request};
use nix::fcntl::AtFlags;

/// A pretended call.
pub struct Event {
    /// The thread that made it.
    pub tid: i32,
    /// The program that it ran, as ps(1) names it.
    pub program: String,
    /// The call's class.
    pub class: Class,
    /// The call.
    pub call: Sysno,
    /// The ABI through which it was made.
    pub abi: Abi,
    /// The file that it is about, as the caller sees it, or as it named it where there is none.
    pub path: Option<String>,
    /// Its other arguments, by name.
    pub arguments: Vec<(&'static str, String)>,
    /// The owner that it asks for; where owners are remembered, the one that the file has now.
    pub owner: Option<(u32, u32)>,
    /// The device that it asks for.
    pub device: Option<String>,
    /// What the caller got.
    pub result: String,
}

impl Event {
    /// Of the call that `target` waits for, which is answered with `answer`, and of whose file
    /// `owners`, if there are, know by now.
    pub fn new(target: Target, class: Class, answer: Answer, owners: Option<&Remembered>) -> Event {
        let request = target.request;
        let device = device(request);
        Event {
            tid: request.tid,
            program: program(target),
            class,
            call: request.sysno,
            abi: request.abi,
            path: path(target),
            arguments: arguments(target, device.as_ref()),
            owner: owners
                .and_then(|owners| remembered(target, owners))
                .or_else(|| request.owner()),
            device,
            result: match answer {
                Answer::Value(value) => value.to_string(),
                Answer::Error(errno) => format!("-1 {errno:?}"),
                Answer::Continue | Answer::Helper => "?".into(),
            },
        }
    }
}

/// Whose the file is now that a call is about.
fn remembered(target: Target, owners: &Remembered) -> Option<(u32, u32)> {
    let (file, follow) = target.named_file().ok()?;
    let record = owners.find(&target.find(&file, follow).ok()?).ok()??;
    Some(record.owner)
}

/// The caller's program, as ps(1) names it.
pub fn program(target: Target) -> String {
    let mut name = [0; 64];
    let len = target.start_of("comm", &mut name).unwrap_or(0);
    String::from_utf8_lossy(name[..len].trim_ascii_end()).into_owned()
}

/// The path of the file that a call is about.
fn path(target: Target) -> Option<String> {
    let resolved =
        |file, follow| -> Result<Vec<u8>, Failed> { Ok(target.find(&file, follow)?.name()?) };
    let shown = |path: &[u8]| OsStr::from_bytes(path).to_string_lossy().into_owned();
    let (dir, given, flags) = match target.request.named()? {
        Named::Open(fd) => return Some(shown(&resolved(File::Empty(fd), true).ok()?)),
        Named::At {
            dir,
            path: 0,
            flags,
        } => (dir, c"".into(), flags),
        Named::At { dir, path, flags } => (dir, target.path(path).ok()?, flags),
    };
    if given.is_empty() {
        return Some(shown(&resolved(File::Empty(dir), true).ok()?));
    }
    let follow = !flags.contains(AtFlags::AT_SYMLINK_NOFOLLOW);
    if let Ok(path) = resolved(File::At(dir, given.clone()), follow) {
        return Some(shown(&path));
    }
    // What is not there has at least a directory.
    let bytes = given.to_bytes();
    let split = bytes.iter().rposition(|byte| *byte == b'/');
    let (parent, name) = split.map_or((&b"."[..], bytes), |at| (&bytes[..=at], &bytes[at + 1..]));
    let parent = std::ffi::CString::new(parent).ok()?;
    let parent =
        resolved(File::At(dir, parent.clone()), true).unwrap_or_else(|_| parent.into_bytes());
    Some(shown(
        &[parent.strip_suffix(b"/").unwrap_or(&parent), b"/", name].concat(),
    ))
}

/// The device that a mknod asks for.
fn device(request: &Request) -> Option<String> {
    let (mode, dev) = (
        request.arg(Kind::Mode).ok()?.word(),
        request.arg(Kind::Dev).ok()?.word(),
    );
    let kind = match mode & libc::S_IFMT {
        libc::S_IFBLK => 'b',
        libc::S_IFCHR => 'c',
        _ => return None,
    };
    // include/linux/kdev_t.h, new_decode_dev.
    Some(format!(
        "{kind} {}:{}",
        dev >> 8 & 0xfff,
        dev & 0xff | dev >> 12 & 0xf_ff00
    ))
}

/// A call's arguments beside the file, by name: those that tell what it wants.
fn arguments(target: Target, device: Option<&String>) -> Vec<(&'static str, String)> {
    let request = target.request;
    let mut arguments: Vec<(&'static str, String)> =
        request.ids().map(|(name, id)| (name, signed(id))).collect();
    if let Ok(mode) = request.arg(Kind::Mode) {
        arguments.push(("mode", format!("{:04o}", mode.word() & 0o7777)));
    }
    if let Some(device) = device {
        arguments.push(("device", device.clone()));
    }
    if let Ok(count) = request.arg(Kind::Count) {
        arguments.push(("count", count.int().to_string()));
    }
    if let Ok(name) = request.arg(Kind::Name) {
        if let Ok(Some(name)) = target.string(name.pointer(), 256) {
            arguments.push(("name", name.to_string_lossy().into_owned()));
        }
    }
    arguments
}

/// An id, -1 as such.
fn signed(id: u32) -> String {
    if id == u32::MAX {
        "-1".into()
    } else {
        id.to_string()
    }
}
