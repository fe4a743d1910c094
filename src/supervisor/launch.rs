//! Starts a supervisor: a detached process that waits for the listener, which exists only once the
//! filter is on.

use std::fmt;
use std::mem::take;
use std::os::fd::{AsRawFd, OwnedFd};

use caps::Capability;
use nix::errno::Errno;
use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{Pid, read, write};

use super::handshake::Enclosing;
use super::memory::id_maps::IdMaps;
use super::memory::remembered::Remembered;
use super::recovery::hazards::Hazards;
use super::report::Watchers;
use super::server;
use super::session::{Fakeroot, Kept, Session, Sight};
use super::target::base::Base;
use super::target::callers::{Callers, Roaming};
use super::target::listener::Listener;
use super::target::proc::may_look_into;
use crate::detach;
use crate::filter::policy::{Class, Level, Policy};
use crate::host;
use crate::sys::process;
use crate::sys::socket::{receive_descriptor, send_descriptor};

/// How many descriptors a supervisor must be able to have open.
const DESCRIPTORS: libc::rlim_t = 32;

/// How large the journal must be able to become: what some thousand processes have set. Where it
/// can grow no more, only a successor would notice.
const JOURNAL: libc::rlim_t = 1 << 20;

/// The limits that a supervisor can run into. It has its caller's, and raises them as far as
/// anybody may: they are meant for the command.
const LIMITS: [Resource; 7] = [
    Resource::RLIMIT_FSIZE,
    Resource::RLIMIT_AS,
    Resource::RLIMIT_DATA,
    Resource::RLIMIT_STACK,
    Resource::RLIMIT_NPROC,
    Resource::RLIMIT_NOFILE,
    Resource::RLIMIT_CPU,
];

/// Why there can be no supervisor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unavailable {
    /// The kernel is older than 5.9, whose listeners do not tell when the last process is gone.
    Kernel,
    /// It is older than 5.14, whose listeners hand no descriptors to callers.
    KernelForFull,
    /// The filter of a zroot around this one, or another that pretends, answers first.
    Enclosed,
    /// A tracer that rewrites paths is around this process.
    Traced,
    /// `/proc` is missing, or another PID namespace's.
    Proc(Errno),
    /// The children of this process start in another PID namespace, where the numbers of its own
    /// are not known.
    Children,
    /// The hard limit RLIMIT_LOCKS leaves no room for a number.
    Limit,
    /// The hard limit RLIMIT_FSIZE leaves no room for a journal.
    FileSize,
    /// What it needs of memory, descriptors or processes is not to be had.
    Resources(Errno),
    /// The kernel keeps it from the memory of the processes that it is to answer: without the
    /// capability for that, Yama or another security module has a say.
    KeptOut(Errno),
    /// The kernel lets errors and 0 through, but 0 in place of any other value: Linux 7.2 on
    /// ppc64le does (tests/kernels).
    Values,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot start the supervisor: ")?;
        match self {
            Unavailable::Kernel => f.write_str("this kernel is older than 5.9"),
            Unavailable::KernelForFull => f.write_str("this kernel is older than 5.14"),
            Unavailable::Enclosed => {
                f.write_str("a filter around this process pretends already, and comes first")
            }
            Unavailable::Traced => {
                f.write_str("a tracer around this process rewrites paths, as PRoot does")
            }
            Unavailable::Children => {
                f.write_str("children of this process belong to another PID namespace")
            }
            Unavailable::Proc(Errno::ESRCH) => {
                f.write_str("/proc is that of another PID namespace")
            }
            Unavailable::Proc(errno) => write!(f, "/proc: {}", errno.desc()),
            Unavailable::Limit => f.write_str("the hard limit on locks (ulimit -Hx) is set"),
            Unavailable::FileSize => {
                f.write_str("the hard limit on the size of files (ulimit -Hf) is below 1 MiB")
            }
            Unavailable::Resources(errno) => f.write_str(errno.desc()),
            Unavailable::KeptOut(errno) => {
                write!(f, "it may not read the command's memory ({})", errno.desc())
            }
            Unavailable::Values => {
                f.write_str("this kernel loses the values that a supervisor returns")
            }
        }
    }
}

impl std::error::Error for Unavailable {}

/// Why there can be none in it.
impl From<Enclosing> for Unavailable {
    fn from(enclosing: Enclosing) -> Unavailable {
        match enclosing {
            Enclosing::Filter | Enclosing::Supervisor(_) => Unavailable::Enclosed,
            Enclosing::Tracer => Unavailable::Traced,
        }
    }
}

/// A supervisor that has no listener yet. If this is dropped, it ends.
pub struct Waiting {
    socket: OwnedFd,
}

impl Waiting {
    /// Hands over the listener. It must be open nowhere else: notified calls fail only once its
    /// last descriptor is closed.
    ///
    /// # Errors
    /// sendmsg(2)'s: the supervisor is gone.
    pub fn serve(self, listener: OwnedFd) -> Result<(), Errno> {
        let sent = send_descriptor(self.socket, &listener);
        drop(listener);
        sent
    }
}

/// Whether this kernel is recent enough for a supervisor of `level`.
///
/// # Errors
/// [`Unavailable::Kernel`], [`Unavailable::KernelForFull`].
fn has_kernel_for(level: Level) -> Result<(), Unavailable> {
    if !host::kernel_is_at_least(5, 9) {
        Err(Unavailable::Kernel)
    } else if level.remembers() && !host::kernel_is_at_least(5, 14) {
        Err(Unavailable::KernelForFull)
    } else {
        Ok(())
    }
}

/// Starts a supervisor for what `policy` has notified, perhaps in the place of `fakeroot`, which
/// reports to `watchers`: they are taken once nothing but the start itself can fail. It sees files
/// as this process does now, and goes on with what is `remembered`, if somebody else has that as
/// well.
///
/// # Errors
/// [`Unavailable`]; nothing is left then.
pub fn start(
    policy: Policy,
    fakeroot: Option<Fakeroot>,
    watchers: &mut Watchers,
    remembered: Option<Remembered>,
) -> Result<Waiting, Unavailable> {
    has_kernel_for(policy.level)?;
    // With fewer it might come to an end only after the filter is on.
    let (files, _) = getrlimit(Resource::RLIMIT_NOFILE).map_err(Unavailable::Resources)?;
    if files < DESCRIPTORS {
        return Err(Unavailable::Resources(Errno::EMFILE));
    }
    let base = Base::open().map_err(Unavailable::Proc)?;
    let (_, hard) = getrlimit(Resource::RLIMIT_LOCKS).map_err(Unavailable::Resources)?;
    if hard != libc::RLIM_INFINITY {
        return Err(Unavailable::Limit);
    }
    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).map_err(Unavailable::Resources)?;
    if hard < JOURNAL {
        return Err(Unavailable::FileSize);
    }
    // A difference is what unshare(CLONE_NEWPID) without a fork leaves; before 4.12 the second link
    // was not there.
    let namespace = |name: &str| std::fs::read_link(format!("/proc/self/ns/{name}"));
    if namespace("pid").ok() != namespace("pid_for_children").ok() {
        return Err(Unavailable::Children);
    }
    let unknown_is_real = fakeroot.is_some_and(|fakeroot| fakeroot.unknown_is_real);
    let maps = IdMaps::read(base.user_namespace, unknown_is_real);
    let kept = Kept::new(policy.level, remembered).map_err(Unavailable::Resources)?;
    let hazards = Hazards::new().map_err(Unavailable::Resources)?;
    // Who is plain, and stays it, is known where nobody sets ids, capabilities, labels or root
    // directories without a word.
    let told = [Class::Identity, Class::Capability, Class::Stat];
    let is_told = told.iter().all(|class| policy.classes.contains(*class));
    let roaming = (is_told && base.label.is_none())
        .then(Roaming::new)
        .transpose()
        .map_err(Unavailable::Resources)?;
    let flags = SockFlag::SOCK_CLOEXEC;
    let (here, there) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
        .map_err(Unavailable::Resources)?;
    // The answer takes a wait for the other process's start.
    let may_be_kept_out = !base.has(Capability::CAP_SYS_PTRACE) || host::forbids_ptrace();
    let own = Pid::this();
    if may_be_kept_out {
        // If nobody may read zroot's file, its memory is closed as well, and the command's is not.
        let _ = set_dumpable(true);
    }
    let watchers = take(watchers);
    let mut keep = vec![there.as_raw_fd(), kept.journal.descriptor()];
    keep.extend(base.descriptors());
    keep.extend(watchers.descriptors());
    detach::detached(|| {
        raise_limits();
        // What ends it is said by the process that waits for it.
        if !keep.contains(&libc::STDERR_FILENO) {
            let _ = nix::unistd::close(libc::STDERR_FILENO);
        }
        detach::hold_nothing_but(&keep);
        if may_be_kept_out {
            let looked = may_look_into(own);
            let errno = looked.err().map_or(0, |errno| errno as i32);
            // Who waits for it learns of its end, too.
            if write(&there, &errno.to_ne_bytes()).is_err() || looked.is_err() {
                return;
            }
        }
        if let Some(listener) = receive_descriptor(&there) {
            // By number: what the closure owned would stay open on this side, too.
            let _ = nix::unistd::close(there.as_raw_fd());
            let sight = Sight {
                listener: Listener::new(listener),
                base,
                callers: Callers::new(roaming),
                hazards,
                is_helper: false,
                // Where setting them is pretended, nobody has others.
                ids_may_differ: !policy.classes.contains(Class::Identity),
            };
            server::serve(Session::new(sight, policy, fakeroot, maps, kept, watchers));
        }
    })
    .map_err(Unavailable::Resources)?;
    drop(there);
    if may_be_kept_out {
        let mut errno = [0; 4];
        let got = loop {
            match read(&here, &mut errno) {
                Err(Errno::EINTR) => {}
                got => break got,
            }
        };
        match (got, i32::from_ne_bytes(errno)) {
            (Ok(4), 0) => {}
            (Ok(4), errno) => return Err(Unavailable::KeptOut(Errno::from_raw(errno))),
            (Ok(_), _) => return Err(Unavailable::Resources(Errno::ESRCH)),
            (Err(errno), _) => return Err(Unavailable::Resources(errno)),
        }
    }
    Ok(Waiting { socket: here })
}

/// Raises this process's soft limits. What a limit still forbids is then an error of the call, and
/// no signal.
fn raise_limits() {
    process::ignore_signal(Signal::SIGXFSZ);
    for limit in LIMITS {
        if let Ok((soft, hard)) = getrlimit(limit) {
            if soft != hard {
                let _ = setrlimit(limit, hard, hard);
            }
        }
    }
}
