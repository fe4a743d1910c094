//! The supervisor: a detached process that answers the calls which the filter hands on
//! (`SECCOMP_RET_USER_NOTIF`), so that they are real where the kernel permits them and pretended
//! only where it refuses.
//!
//! ```text
//! listener -> call (what was asked) -> one file per kind of answer -> answer -> listener
//!                                      owners nodes foreign xattrs: through target, to the files
//!                                      identity: through store, to credentials
//! ```
//!
//! [`server`] is the loop and its guard; [`target`] the only place that reads a target's memory and
//! reaches its files; [`memory`] what has been set; [`recovery`] what a successor finds.

pub mod handlers;
pub mod memory;
pub mod recovery;
pub mod report;
pub mod server;
pub mod target;

use std::fmt;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use anyhow::Context;
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};

use crate::arch::Sysno;
use crate::detach;
use crate::error::Failure;
use crate::filter::install::{self, HELLO};
use crate::filter::policy::{Action, Class, Level, Policy};
use crate::{filter, host};
use memory::processes::Store;
use recovery::in_flight::Desk;
use recovery::journal::Journal;
use report::{Report, Watchers};
use server::Supervisor;
use target::call::Call;
use target::listener::Listener;
use target::{File, Home, Target};

/// How many descriptors a supervisor must be able to have open.
const DESCRIPTORS: libc::rlim_t = 32;

/// Why there can be no supervisor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unavailable {
    /// The kernel is older than 5.9, whose listeners do not tell when the last process is gone.
    Kernel,
    /// The filter of a zroot around this one, or another that pretends, answers first.
    Outer,
    /// `/proc` is missing, or another PID namespace's.
    Proc(Errno),
    /// The children of this process start in another PID namespace, where the numbers of its own
    /// are not known.
    Children,
    /// The hard limit RLIMIT_LOCKS leaves no room for a number.
    Limit,
    /// What it needs of memory, descriptors or processes is not to be had.
    Resources(Errno),
    /// The kernel lets errors and 0 through, but 0 in place of any other value: Linux 7.2 on
    /// ppc64le does (tests/kernels).
    Values,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot start the supervisor: ")?;
        match self {
            Unavailable::Kernel => f.write_str("this kernel is older than 5.9"),
            Unavailable::Outer => {
                f.write_str("a filter around this process pretends already, and comes first")
            }
            Unavailable::Children => {
                f.write_str("children of this process belong to another PID namespace")
            }
            Unavailable::Proc(Errno::ESRCH) => {
                f.write_str("/proc is that of another PID namespace")
            }
            Unavailable::Proc(errno) => write!(f, "/proc: {}", errno.desc()),
            Unavailable::Limit => f.write_str("the hard limit on locks (ulimit -Hx) is set"),
            Unavailable::Resources(errno) => f.write_str(errno.desc()),
            Unavailable::Values => {
                f.write_str("this kernel loses the values that a supervisor returns")
            }
        }
    }
}

impl std::error::Error for Unavailable {}

/// A supervisor that has no listener yet. If this is dropped, it ends.
pub struct Waiting {
    socket: OwnedFd,
}

/// Starts a supervisor for what `policy` has notified, which reports to `watchers`. It sees files
/// as this process does now.
///
/// # Errors
/// [`Unavailable`]; nothing is left then.
pub fn start(policy: Policy, watchers: Watchers) -> Result<Waiting, Unavailable> {
    if !host::kernel_is_at_least(5, 9) {
        return Err(Unavailable::Kernel);
    }
    // With fewer it might come to an end only after the filter is on.
    let (files, _) = getrlimit(Resource::RLIMIT_NOFILE).map_err(Unavailable::Resources)?;
    if files < DESCRIPTORS {
        return Err(Unavailable::Resources(Errno::EMFILE));
    }
    let home = Home::open().map_err(Unavailable::Proc)?;
    let (_, hard) = getrlimit(Resource::RLIMIT_LOCKS).map_err(Unavailable::Resources)?;
    if hard != libc::RLIM_INFINITY {
        return Err(Unavailable::Limit);
    }
    // A difference is what unshare(CLONE_NEWPID) without a fork leaves; before 4.12 the second link
    // was not there.
    let namespace = |name: &str| std::fs::read_link(format!("/proc/self/ns/{name}"));
    if namespace("pid").ok() != namespace("pid_for_children").ok() {
        return Err(Unavailable::Children);
    }
    let maps = IdMaps::read();
    let journal = Journal::new().map_err(Unavailable::Resources)?;
    let desk = Desk::new().map_err(Unavailable::Resources)?;
    let (here, there) = socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
    .map_err(Unavailable::Resources)?;
    let mut keep = vec![there.as_raw_fd(), journal.descriptor()];
    keep.extend(home.descriptors());
    keep.extend(watchers.descriptors());
    detach::detached(|| {
        detach::hold_nothing_but(&keep);
        if let Some(listener) = receive_listener(there.as_raw_fd()) {
            let _ = nix::unistd::close(there.as_raw_fd());
            let listener = Listener::new(listener);
            Supervisor {
                listener,
                home,
                store: Store::new(journal),
                maps,
                treatments: treatments(policy),
                report: Report::new(policy.level, watchers),
                answers: policy,
                desk,
                life: None,
                unanswered: None,
            }
            .run();
        }
    })
    .map_err(Unavailable::Resources)?;
    Ok(Waiting { socket: here })
}

/// Starts a supervisor and installs the filter that hands calls on to it, and proves that both
/// answer. Needs `no_new_privs` or `CAP_SYS_ADMIN` in the user namespace.
///
/// # Errors
/// [`Unavailable`] and [`InstallError::Refused`](crate::filter::install::InstallError): nothing is
/// changed; others, and [`Unavailable::Values`], come once the filter is on.
pub fn attach(policy: Policy, watchers: Watchers) -> anyhow::Result<()> {
    let program = filter::program(policy).context("cannot build the filter")?;
    let supervisor = start(policy, watchers)?;
    let listener = install::install_with_listener(&program)?;
    supervisor
        .serve(listener)
        .map_err(|errno| Failure::errno("the supervisor is gone", errno))?;
    let values_arrive = install::probe_supervisor(policy)?;
    // At level zero all answers are 0.
    if values_arrive || policy.level == Level::Zero {
        Ok(())
    } else {
        Err(Unavailable::Values.into())
    }
}

impl Waiting {
    /// Hands over the listener, which must be open nowhere else: calls fail only once its last
    /// descriptor is closed.
    ///
    /// # Errors
    /// sendmsg(2)'s: the supervisor is gone.
    pub fn serve(self, listener: OwnedFd) -> Result<(), Errno> {
        let fds = [listener.as_raw_fd()];
        let data = [IoSlice::new(b"listener")];
        let sent = sendmsg::<()>(
            self.socket.as_raw_fd(),
            &data,
            &[ControlMessage::ScmRights(&fds)],
            MsgFlags::MSG_NOSIGNAL,
            None,
        );
        drop(listener);
        sent.map(drop)
    }
}

/// The listener that comes over `socket`; `None` if zroot ends instead.
fn receive_listener(socket: RawFd) -> Option<OwnedFd> {
    let mut text = [0; 16];
    let mut data = [IoSliceMut::new(&mut text)];
    let mut space = nix::cmsg_space!([RawFd; 1]);
    let message = recvmsg::<()>(
        socket,
        &mut data,
        Some(&mut space),
        MsgFlags::MSG_CMSG_CLOEXEC,
    )
    .ok()?;
    message.cmsgs().ok()?.find_map(|message| match message {
        ControlMessageOwned::ScmRights(fds) => {
            let fd = *fds.first()?;
            // SAFETY: the kernel has just made the descriptor for us.
            #[allow(unsafe_code)]
            Some(unsafe { OwnedFd::from_raw_fd(fd) })
        }
        _ => None,
    })
}

/// What becomes of a notified call: its class, and the answer that it has without anybody watching.
type Treatment = (Class, Action);

/// The treatment of each call that is notified, in the order of [`Sysno::ALL`].
fn treatments(policy: Policy) -> Vec<Option<Treatment>> {
    let mut treatments = vec![None; Sysno::ALL.len()];
    for rule in policy.rules().filter(|rule| rule.action == Action::Notify) {
        treatments[rule.call as usize] = Some((Class::Getid, Action::Allow));
    }
    for class in policy.classes.iter() {
        for rule in class.rules(policy.level) {
            treatments[rule.call as usize] = Some((class, rule.action));
        }
    }
    treatments
}

/// Which ids the kernel knows here, and who we are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdMaps {
    /// The effective uid and gid, to which everything that we make belongs.
    pub own: (u32, u32),
    uids: Vec<(u64, u64)>,
    gids: Vec<(u64, u64)>,
}

impl IdMaps {
    /// Those of this process's user namespace.
    #[must_use]
    pub fn read() -> IdMaps {
        let own = (
            nix::unistd::geteuid().as_raw(),
            nix::unistd::getegid().as_raw(),
        );
        let ranges = |path| {
            std::fs::read_to_string(path)
                .map_or_else(|_| Vec::new(), |map| host::id_ranges(&map).collect())
        };
        IdMaps {
            own,
            uids: ranges("/proc/self/uid_map"),
            gids: ranges("/proc/self/gid_map"),
        }
    }

    /// Whether the kernel knows `uid`, or it is -1.
    #[must_use]
    pub fn has_uid(&self, uid: u32) -> bool {
        knows(&self.uids, uid)
    }

    /// Whether the kernel knows `gid`, or it is -1.
    #[must_use]
    pub fn has_gid(&self, gid: u32) -> bool {
        knows(&self.gids, gid)
    }
}

fn knows(ranges: &[(u64, u64)], id: u32) -> bool {
    id == u32::MAX
        || ranges
            .iter()
            .any(|(first, count)| (*first..first + count).contains(&id.into()))
}

/// The file that a call with `AT_SYMLINK_NOFOLLOW` and `AT_EMPTY_PATH` means by directory
/// descriptor `dir` and the path at `address`.
///
/// # Errors
/// `EINVAL` for other flags; what reading the path brings; what `act` says.
fn with_flags<T>(
    target: &Target,
    dir: i32,
    address: u64,
    flags: i32,
    act: impl FnOnce(File, AtFlags) -> Result<T, Errno>,
) -> Result<T, Errno> {
    let flags = known_flags(flags)?;
    let path = target.path(address)?;
    if path.is_empty() && flags.contains(AtFlags::AT_EMPTY_PATH) {
        act(File::Named(dir), AtFlags::empty())
    } else {
        act(File::At(dir, &path), flags & AtFlags::AT_SYMLINK_NOFOLLOW)
    }
}

/// `AT_SYMLINK_NOFOLLOW` and `AT_EMPTY_PATH`, if there are no others.
fn known_flags(flags: i32) -> Result<AtFlags, Errno> {
    let flags = AtFlags::from_bits_retain(flags);
    if (AtFlags::AT_SYMLINK_NOFOLLOW | AtFlags::AT_EMPTY_PATH).contains(flags) {
        Ok(flags)
    } else {
        Err(Errno::EINVAL)
    }
}

/// Whether `call` is how a zroot asks for a supervisor.
fn is_hello(call: &Call) -> bool {
    matches!(call.sysno, Sysno::kexec_load | Sysno::setgroups) && call.pointer(0) == HELLO as u64
}
