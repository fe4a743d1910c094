//! `--check`: what zroot can do on this host, found out by doing it in children, and what to change
//! where it cannot.

use std::ffi::{CStr, OsStr};
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open};
use nix::sys::prctl::set_no_new_privs;
use nix::sys::stat::Mode;
use nix::sys::utsname::uname;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, pipe2};

use crate::arch::Abi;
use crate::error::{Failure, shown};
use crate::filter::policy::{Class, Level, Policy};
use crate::host::{Facts, kernel_is_at_least};
use crate::launch::{Error, emulate};
use crate::namespace::{self, Entered};
use crate::supervisor::Unavailable;
use crate::supervisor::handshake::{self, Enclosing};
use crate::supervisor::report::Watchers;
use crate::sys::file::{self, fsetxattr};
use crate::sys::process;
use crate::text::quoted;
use crate::{VERSION, hint};

/// The version of the JSON form, in its member `schema`.
const SCHEMA: u32 = 1;

/// One thing that was tried.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tried {
    /// What, in a word or two.
    pub name: &'static str,
    /// Whether it works.
    pub works: bool,
    /// What came of it, on one line.
    pub detail: String,
    /// What to change, on one line.
    pub hint: Option<String>,
    /// The levels that need it.
    pub needed_by: &'static [Level],
}

/// What is to be known of a host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// Release and version of the kernel.
    pub kernel: String,
    /// Everything that was tried.
    pub tried: Vec<Tried>,
    /// What `/proc` says.
    pub facts: Facts,
    /// Where this executable is.
    pub executable: String,
    /// Whether AppArmor is switched on.
    pub has_apparmor: bool,
}

/// What every level needs, unless it is to do without.
const NAMESPACE: &str = "user namespace";

/// Tries everything. `policies` are those of the levels, in the order of [`Level::ALL`]; `userns`
/// says whether a user namespace is wanted; file systems are asked in `dir`. Nothing is changed.
#[must_use]
pub fn run(policies: [Policy; Level::ALL.len()], userns: bool, dir: &Path) -> Check {
    let enter = || -> Result<String, Error> {
        Ok(match namespace::become_root()? {
            Entered::Namespace(uid, gid) => format!("uid {uid} and gid {gid} are 0 in it"),
            Entered::AlreadyRoot(errno) => format!(
                "none is to be had ({}), and none is needed: already uid 0",
                errno.desc()
            ),
        })
    };
    // What a level needs: a namespace if `userns` is true, the filter, the supervisor.
    let emulate = |level: Level, policy: Policy, userns: bool| -> Result<String, Error> {
        if let (true, Some(enclosing)) = (level.has_supervisor(), handshake::ask()) {
            return match enclosing {
                Enclosing::Supervisor(outer) if outer.level >= level => {
                    Ok("that of the zroot around this one answers".into())
                }
                _ => Err(Unavailable::from(enclosing).into()),
            };
        }
        if userns {
            enter()?;
        }
        set_no_new_privs().map_err(|errno| Failure::errno("cannot set no_new_privs", errno))?;
        if level.has_supervisor() {
            emulate::by_supervisor(policy, None, &mut Watchers::default(), None)?;
            return Ok("answers".into());
        }
        let length = emulate::by_filter(policy)?;
        Ok(format!("{length} instructions, answers"))
    };
    let mut tried = Vec::new();
    if userns {
        tried.push(in_child(NAMESPACE, &Level::ALL, enter));
    }
    for ((level, policy), name) in Level::ALL.into_iter().zip(policies).zip(NAMES) {
        let needed_by = match level {
            Level::Zero => &[Level::Zero],
            Level::Selective => &[Level::Selective],
            Level::Full => &[Level::Full],
        };
        tried.push(in_child(name, needed_by, || emulate(level, policy, userns)));
    }
    if userns {
        for ((level, policy), name) in Level::ALL.into_iter().zip(policies).zip(WITHOUT) {
            let classes = policy.classes.with(Class::Getid);
            let policy = Policy { classes, ..policy };
            tried.push(in_child(name, &[], || emulate(level, policy, false)));
        }
    }
    for (name, attribute, value) in ATTRIBUTES {
        tried.push(in_child(name, &[], || {
            // Where there is no namespace, it is tried without, as the command would.
            let inside = userns && enter().is_ok();
            set_attribute(dir, attribute, value, inside)
        }));
    }
    tried.push(in_child("inode identity", &[], || identity(dir)));
    let read = |path: &str| {
        fs::read_to_string(path)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    Check {
        kernel: uname().map_or_else(
            |_| "an unknown kernel".into(),
            |names| {
                let text = |name: &OsStr| name.to_string_lossy().into_owned();
                format!("{} {}", text(names.sysname()), text(names.release()))
            },
        ),
        tried,
        facts: Facts::read(),
        executable: fs::read_link("/proc/self/exe").map_or_else(
            |_| "/usr/bin/zroot".into(),
            |path| path.display().to_string(),
        ),
        has_apparmor: read("/sys/module/apparmor/parameters/enabled") == "Y",
    }
}

/// What is tried for the levels, in the order of [`Level::ALL`].
const NAMES: [&str; Level::ALL.len()] = ["filter", "supervisor", "supervisor (full)"];

/// The same without a user namespace.
const WITHOUT: [&str; Level::ALL.len()] = [
    "--userns=never, zero",
    "--userns=never, selective",
    "--userns=never, full",
];

/// Extended attributes that packages bring: an own one; cap_net_raw+ep
/// (include/uapi/linux/capability.h, version 2); an ACL that names its owner
/// (include/uapi/linux/posix_acl_xattr.h: user::rw-, user:0:rw-, group::---, mask::rw-,
/// other::---).
const ATTRIBUTES: [(&str, &CStr, &[u8]); 3] = [
    ("user attributes", c"user.zroot", b"check"),
    (
        "file capabilities",
        c"security.capability",
        &[1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ),
    (
        "ACLs",
        c"system.posix_acl_access",
        &[
            2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 6, 0, 0, 0, 0, 0, 4, 0, 0, 0, 255,
            255, 255, 255, 16, 0, 6, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
        ],
    ),
];

/// What tells an inode in `dir` from a later one that gets its number.
fn identity(dir: &Path) -> Result<String, Error> {
    let place = shown(dir);
    // Where a file without a name is not to be had, the directory itself will do.
    let file = without_name(dir)
        .or_else(|_| open(dir, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()))
        .map_err(|errno| Failure::errno(&place, errno))?;
    let born = file::look(&file, c"", AtFlags::AT_EMPTY_PATH)
        .map_err(|errno| Failure::errno(&place, errno))?
        .born;
    Ok(match (born, file::handle(&file, c"")) {
        (Some(_), Some(_)) => format!("birth times and handles, in {place}"),
        (Some(_), None) => format!("birth times, in {place}"),
        (None, Some(_)) => format!("handles, in {place}"),
        (None, None) => {
            let message = format!("neither birth times nor handles, in {place}");
            let hint = "there level full may take a new file for one that was removed: use another file system";
            return Err(Failure::new(message).hint(hint).into());
        }
    })
}

/// Makes a file without a name: it is gone when it is closed.
fn without_name(dir: &Path) -> Result<OwnedFd, Errno> {
    open(
        dir,
        OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC,
        Mode::from_bits_truncate(0o600),
    )
}

/// Gives a file without a name an attribute: it is gone when this returns. `inside` says whether
/// the process is root of a user namespace.
fn set_attribute(dir: &Path, name: &CStr, value: &[u8], inside: bool) -> Result<String, Error> {
    let place = shown(dir);
    let file = without_name(dir).map_err(|errno| {
        let hint = match errno {
            Errno::EACCES | Errno::EPERM | Errno::EROFS => {
                "you may not write there: name a directory where you may, with -C DIR"
            }
            Errno::ENOENT | Errno::ENOTDIR => "name a directory that is there, with -C DIR",
            _ => "its file system makes no file without a name: name a directory elsewhere, with -C DIR",
        };
        Failure::errno(format_args!("cannot make a file in {place}"), errno).hint(hint)
    })?;
    fsetxattr(file.as_fd(), name, value).map_err(|errno| {
        let hint = match errno {
            Errno::EPERM if !inside => "only root of a user namespace may set it",
            _ => "use a file system that keeps it",
        };
        let name = name.to_string_lossy();
        Failure::errno(format_args!("{name} in {place}"), errno).hint(hint)
    })?;
    Ok(format!("kept in {place}"))
}

/// Runs `attempt` in a child, where it may change what it likes.
fn in_child(
    name: &'static str,
    needed_by: &'static [Level],
    attempt: impl FnOnce() -> Result<String, Error>,
) -> Tried {
    let failed = |errno: Errno| Tried {
        name,
        works: false,
        detail: format!("cannot be tried: {}", errno.desc()),
        hint: None,
        needed_by,
    };
    let (mut from, to) = match pipe2(OFlag::O_CLOEXEC) {
        Ok((from, to)) => (fs::File::from(from), fs::File::from(to)),
        Err(errno) => return failed(errno),
    };
    let child = match process::fork() {
        Ok(ForkResult::Child) => {
            drop(from);
            let text = match attempt() {
                Ok(detail) => format!("+{detail}\n"),
                Err(error) => format!(
                    "-{error}\n{}",
                    hint::for_error(&error, Facts::read).unwrap_or_default()
                ),
            };
            let _ = (&to).write_all(text.as_bytes());
            process::exit(0)
        }
        Ok(ForkResult::Parent { child }) => child,
        Err(errno) => return failed(errno),
    };
    drop(to);
    let mut text = String::new();
    let _ = from.read_to_string(&mut text);
    let _ = waitpid(child, None);
    let (detail, advice) = text.split_once('\n').unwrap_or(("-it died of it", ""));
    let hint = (!advice.is_empty()).then(|| advice.to_owned());
    Tried {
        name,
        works: detail.starts_with('+'),
        detail: detail.get(1..).unwrap_or_default().to_owned(),
        hint,
        needed_by,
    }
}

impl Check {
    /// Whether zroot works at `level`.
    #[must_use]
    pub fn level_works(&self, level: Level) -> bool {
        self.tried
            .iter()
            .all(|tried| tried.works || !tried.needed_by.contains(&level))
    }

    /// Whether it works there without a user namespace, where that was tried as well.
    fn works_without(&self, level: Level) -> bool {
        let mut named = Level::ALL.into_iter().zip(WITHOUT);
        let name = named.find_map(|(one, name)| (one == level).then_some(name));
        self.tried
            .iter()
            .any(|tried| tried.works && Some(tried.name) == name)
    }

    /// The settings and circumstances that can forbid things, by name.
    fn circumstances(&self) -> Vec<(&'static str, String)> {
        let facts = &self.facts;
        let number = |value: Option<u64>| value.map(|value| value.to_string());
        let yes = |value: Option<bool>, yes: &str, no: &str| {
            value.map(|value| if value { yes } else { no }.to_owned())
        };
        let since = |major, minor| yes(Some(kernel_is_at_least(major, minor)), "yes", "no");
        [
            (
                "user.max_user_namespaces",
                number(facts.max_user_namespaces),
            ),
            (
                "kernel.unprivileged_userns_clone",
                number(facts.unprivileged_userns_clone),
            ),
            (
                "kernel.apparmor_restrict_unprivileged_userns",
                number(facts.apparmor_restrict),
            ),
            ("CONFIG_USER_NS", yes(facts.has_user_namespaces, "y", "n")),
            ("seccomp filters around", number(facts.seccomp_filters)),
            (
                "root directory",
                yes(facts.root_is_mount, "a mount point", "in a chroot"),
            ),
            (
                "own ids",
                yes(
                    facts.ids_are_mapped,
                    "mapped",
                    "not mapped in the present user namespace",
                ),
            ),
            ("security context", facts.security_context.clone()),
            ("security modules", facts.security_modules.clone()),
            ("kernel.yama.ptrace_scope", number(facts.ptrace_scope)),
            (
                "SELinux's deny_ptrace",
                yes(facts.denies_ptrace, "on", "off"),
            ),
            (
                "other calls pass without a filter run (Linux 5.11)",
                since(5, 11),
            ),
            (
                "signals wait for a supervisor's answer (Linux 5.19)",
                since(5, 19),
            ),
            (
                "a supervisor is woken on its caller's processor (Linux 6.6)",
                since(6, 6),
            ),
            (
                "/proc",
                Some(
                    if facts.proc_mounted {
                        "mounted"
                    } else {
                        "not mounted"
                    }
                    .to_owned(),
                ),
            ),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }

    /// The AppArmor profile that lets this executable make user namespaces where unprivileged ones
    /// are restricted.
    #[must_use]
    pub fn apparmor_profile(&self) -> String {
        format!(
            "abi <abi/4.0>,\ninclude <tunables/global>\n\nprofile zroot {} flags=(unconfined) {{\n  userns,\n  include if exists <local/zroot>\n}}\n",
            self.executable
        )
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = format!("zroot {VERSION}, {}, on {}\n", Abi::NATIVE, self.kernel);
        // Writing to a String cannot fail.
        for (at, tried) in self.tried.iter().enumerate() {
            let Tried { name, works, .. } = tried;
            // One cause is said once, where it is met first.
            let is_known = |before: &Tried| !works && before.detail == tried.detail;
            let known = self.tried[..at].iter().find(|before| is_known(before));
            let detail = known.map_or_else(
                || tried.detail.clone(),
                |before| format!("for the same reason as {}", before.name),
            );
            let _ = writeln!(
                out,
                "  {:<4}{name:<26}{detail}",
                if *works { "ok" } else { "NO" }
            );
            if let (Some(hint), None) = (&tried.hint, known) {
                let _ = writeln!(out, "      hint: {hint}");
            }
        }
        for (name, value) in self.circumstances() {
            let _ = writeln!(out, "      {name}: {value}");
        }
        for level in Level::ALL {
            let _ = writeln!(
                out,
                "level {level}: {}",
                match (self.level_works(level), self.works_without(level)) {
                    (true, _) => "works",
                    (false, true) => "does not work, but with --userns=never",
                    (false, false) => "does not work",
                }
            );
        }
        if self
            .tried
            .iter()
            .any(|tried| tried.name == NAMESPACE && !tried.works)
        {
            if self.has_apparmor || self.facts.apparmor_restrict.is_some() {
                let _ = write!(
                    out,
                    "\nAn AppArmor profile for zroot, for /etc/apparmor.d/zroot; 'apparmor_parser -r /etc/apparmor.d/zroot' loads it:\n\n{}",
                    self.apparmor_profile()
                );
            }
            if self.facts.seccomp_filters.is_some_and(|count| count > 0) {
                let _ = write!(out, "\n{RUNTIME}");
            }
        }
        out
    }

    /// For machines.
    #[must_use]
    pub fn json(&self) -> String {
        let tried: Vec<String> = self
            .tried
            .iter()
            .map(
                |Tried {
                     name,
                     works,
                     detail,
                     hint,
                     ..
                 }| {
                    let hint = hint.as_deref().map_or_else(|| "null".into(), quoted);
                    format!(
                        "{{\"name\":{},\"works\":{works},\"detail\":{},\"hint\":{hint}}}",
                        quoted(name),
                        quoted(detail)
                    )
                },
            )
            .collect();
        let levels: Vec<String> = Level::ALL
            .into_iter()
            .map(|level| format!("\"{level}\":{}", self.level_works(level)))
            .collect();
        let facts: Vec<String> = self
            .circumstances()
            .iter()
            .map(|(name, value)| format!("{}:{}", quoted(name), quoted(value)))
            .collect();
        format!(
            "{{\"schema\":{SCHEMA},\"version\":\"{VERSION}\",\"abi\":\"{}\",\"kernel\":{},\"levels\":{{{}}},\"tried\":[{}],\"host\":{{{}}},\"apparmor_profile\":{}}}\n",
            Abi::NATIVE,
            quoted(&self.kernel),
            levels.join(","),
            tried.join(","),
            facts.join(","),
            quoted(&self.apparmor_profile()),
        )
    }
}

/// What a container runtime's seccomp profile has to allow.
const RUNTIME: &str = "\
A container runtime's seccomp profile has to allow what zroot needs. Add to \"syscalls\" of the default profile, and pass it with
--security-opt seccomp=FILE (docker, podman), or as localhostProfile (Kubernetes):

    {\"names\": [\"unshare\", \"seccomp\", \"mount\", \"umount2\", \"pivot_root\", \"chroot\"], \"action\": \"SCMP_ACT_ALLOW\"}

Or be uid 0 in the container: then zroot does without a user namespace.
";

/// How the answer is to look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Form {
    /// For people
    Text,
    /// For machines
    Json,
}
