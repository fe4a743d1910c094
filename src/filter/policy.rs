//! What is faked, and why: classes of system calls, by name. No number, no opcode, no `cfg` here.

use std::fmt;
use std::str::FromStr;

use crate::arch::Sysno;
use crate::arch::signature::Kind;

/// What the filter answers a call with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Action {
    /// The kernel executes the call.
    Allow,
    /// Nothing is done and 0 is returned (`SECCOMP_RET_ERRNO` with errno 0).
    FakeSuccess,
    /// The supervisor answers (`SECCOMP_RET_USER_NOTIF`); the caller waits for it.
    Notify,
    /// Nothing is done and the call fails as if the kernel did not have it (ENOSYS), so that the
    /// caller takes its older way.
    Absent,
}

/// When a rule applies; else the call is allowed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum When {
    /// Always: the number alone decides, which keeps every other number cacheable.
    Always,
    /// The file type in argument `mode` is a character or block device, and it is not the overlay
    /// whiteout: a character device 0:0 in argument `dev`, which the kernel lets anyone make
    /// (fs/namei.c, `vfs_mknod`, since 5.8).
    DeviceNode {
        /// Which argument is the mode, counted from 0.
        mode: u8,
        /// Which argument is the device number.
        dev: u8,
    },
    /// Pointer argument `arg` is not null.
    NonNull {
        /// Which argument, counted from 0.
        arg: u8,
    },
    /// The ioctl request in argument `request` is `FS_IOC_SETFLAGS` or `FS_IOC_FSSETXATTR`.
    SetsInodeFlags {
        /// Which argument is the request, counted from 0.
        request: u8,
    },
    /// The prctl option in argument `option` reads or sets what setuid and execve do to
    /// capabilities: `PR_GET_KEEPCAPS`, `PR_SET_KEEPCAPS`, `PR_GET_SECUREBITS`, `PR_SET_SECUREBITS`
    /// or `PR_CAP_AMBIENT`; or it is `PR_CAPBSET_DROP`, for which one needs a capability.
    CapabilityPrctl {
        /// Which argument is the option, counted from 0.
        option: u8,
    },
    /// The flags of open(2) in argument `flags` have it make a file: `O_CREAT` or `O_TMPFILE`.
    MakesFile {
        /// Which argument are the flags, counted from 0.
        flags: u8,
    },
    /// The prctl option in argument `option` is `PR_SET_NO_NEW_PRIVS` or `PR_GET_NO_NEW_PRIVS`, or
    /// `PR_SET_MM`, which can say that a process executes another file than it does.
    SetIdPrctl {
        /// Which argument is the option, counted from 0.
        option: u8,
    },
    /// One of either: what execve may give.
    PrivilegePrctl {
        /// Which argument is the option, counted from 0.
        option: u8,
    },
    /// The limit in argument `resource` is `RLIMIT_LOCKS`.
    IsLocksLimit {
        /// Which argument is the limit, counted from 0.
        resource: u8,
    },
    /// The limit in argument `resource` is `RLIMIT_LOCKS`, or pointer argument `arg` is not null.
    IsLocksLimitOrNonNull {
        /// Which argument is the limit, counted from 0.
        resource: u8,
        /// Which argument is the pointer, counted from 0.
        arg: u8,
    },
    /// The option in argument `option` has the number of one that tells who is at a socket's other
    /// end: `SO_PEERCRED` or `SO_PEERGROUPS`. Of other levels than `SOL_SOCKET` hardly any is asked
    /// for.
    AsksForPeer {
        /// Which argument is the option, counted from 0.
        option: u8,
    },
    /// The call that is made through another, by its number in argument `call`, is one of those
    /// that have rules by themselves: getsockopt (with any option, which is in memory), connect,
    /// listen, socketpair, bind.
    IsSocketCall {
        /// Which argument is the number, counted from 0.
        call: u8,
    },
}

impl When {
    /// The condition in words, or `None` if there is none.
    #[must_use]
    pub const fn condition(self) -> Option<&'static str> {
        Some(match self {
            When::Always => return None,
            When::DeviceNode { .. } => {
                "it makes a character or block device, and not the whiteout (character device 0:0)"
            }
            When::NonNull { .. } => "the pointer is not null",
            When::SetsInodeFlags { .. } => "the request is FS_IOC_SETFLAGS or FS_IOC_FSSETXATTR",
            When::CapabilityPrctl { .. } => {
                "the option is PR_GET_KEEPCAPS, PR_SET_KEEPCAPS, PR_GET_SECUREBITS, PR_SET_SECUREBITS, PR_CAP_AMBIENT or PR_CAPBSET_DROP"
            }
            When::MakesFile { .. } => "the flags have O_CREAT or O_TMPFILE",
            When::SetIdPrctl { .. } => {
                "the option is PR_SET_MM, PR_SET_NO_NEW_PRIVS or PR_GET_NO_NEW_PRIVS"
            }
            When::PrivilegePrctl { .. } => {
                "the option is PR_GET_KEEPCAPS, PR_SET_KEEPCAPS, PR_GET_SECUREBITS, PR_SET_SECUREBITS, PR_CAP_AMBIENT, PR_CAPBSET_DROP, PR_SET_MM, PR_SET_NO_NEW_PRIVS or PR_GET_NO_NEW_PRIVS"
            }
            When::IsLocksLimit { .. } => "the resource is RLIMIT_LOCKS",
            When::IsLocksLimitOrNonNull { .. } => {
                "the resource is RLIMIT_LOCKS or the pointer is not null"
            }
            When::AsksForPeer { .. } => "the option has the number of SO_PEERCRED or SO_PEERGROUPS",
            When::IsSocketCall { .. } => {
                "the call is getsockopt, connect, listen, socketpair or bind"
            }
        })
    }
}

/// One call and what becomes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// The call.
    pub call: Sysno,
    /// When `action` applies.
    pub when: When,
    /// What is answered then.
    pub action: Action,
}

/// How far the pretence goes. Each level is coherent in itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Level {
    /// The filter alone: what is faked succeeds blindly, and nothing is remembered.
    Zero,
    /// The calls whose blind success breaks programs go to a supervisor, which tries the real thing
    /// first.
    Selective,
    /// Selective, and what was set is remembered: owners, device numbers, identities across
    /// execve(2).
    Full,
}

impl Level {
    /// The name used in options and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Level::Zero => "zero",
            Level::Selective => "selective",
            Level::Full => "full",
        }
    }
}

#[doc(hidden)] // not for other crates
impl Level {
    /// Every level, the cheapest first.
    pub const ALL: [Level; 3] = [Level::Zero, Level::Selective, Level::Full];

    /// Whether a supervisor answers at this level.
    #[must_use]
    pub const fn has_supervisor(self) -> bool {
        match self {
            Level::Zero => false,
            Level::Selective | Level::Full => true,
        }
    }

    /// Whether it remembers whose files are, and who a process is across execve(2).
    #[must_use]
    pub const fn remembers(self) -> bool {
        match self {
            Level::Zero | Level::Selective => false,
            Level::Full => true,
        }
    }

    /// Whether `class` has rules at this level.
    #[must_use]
    pub const fn has(self, class: Class) -> bool {
        let groups = class.groups();
        let mut i = 0;
        while i < groups.len() {
            if groups[i].answer.at(self).is_some() {
                return true;
            }
            i += 1;
        }
        false
    }

    /// The cheapest level at which all of `classes` have rules.
    #[must_use]
    pub fn that_has(classes: ClassSet) -> Level {
        let has = |level: &Level| classes.minus(level.classes()) == ClassSet::EMPTY;
        Level::ALL.into_iter().find(has).unwrap_or(Level::Full)
    }

    /// The classes that have rules at this level.
    #[must_use]
    pub const fn classes(self) -> ClassSet {
        // Looked up in every run, so that it is worked out before.
        const BY_LEVEL: [ClassSet; Level::ALL.len()] = {
            let mut by_level = [ClassSet::EMPTY; Level::ALL.len()];
            let mut level = 0;
            while level < by_level.len() {
                let mut class = 0;
                while class < Class::ALL.len() {
                    if Level::ALL[level].has(Class::ALL[class]) {
                        by_level[level] = by_level[level].with(Class::ALL[class]);
                    }
                    class += 1;
                }
                level += 1;
            }
            by_level
        };
        BY_LEVEL[self as usize]
    }

    /// The classes that are on unless removed.
    #[must_use]
    pub const fn default_classes(self) -> ClassSet {
        match self {
            Level::Zero => ClassSet::DEFAULT,
            Level::Selective => ClassSet::DEFAULT
                .with(Class::Getid)
                .with(Class::Xattr)
                .with(Class::Foreign)
                .with(Class::Limits),
            Level::Full => Level::Selective
                .default_classes()
                .with(Class::Stat)
                .with(Class::Maker)
                .with(Class::Peer)
                .with(Class::SetId),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Calls with their conditions: `CALL if CONDITION; ...`.
macro_rules! calls {
    ($($call:ident if $condition:ident;)+) => {
        const { &[$((Sysno::$call, Condition::$condition.on(Sysno::$call)),)+] }
    };
}

/// All that a filter depends on beside the ABIs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// How calls are answered.
    pub level: Level,
    /// Which calls are.
    pub classes: ClassSet,
    /// Whether somebody wants to see each call: a supervisor gives the answers then, at any level,
    /// the same ones.
    pub is_watched: bool,
    /// Whether what is remembered outlives the run: then it must be seen what is removed.
    pub is_saved: bool,
}

impl Policy {
    /// Level zero with its default classes.
    pub const DEFAULT: Policy = Policy::of(Level::Zero);

    /// Level selective with its default classes.
    pub const SELECTIVE: Policy = Policy::of(Level::Selective);

    /// `level` with its default classes.
    #[must_use]
    pub const fn of(level: Level) -> Policy {
        Policy {
            level,
            classes: level.default_classes(),
            is_watched: false,
            is_saved: false,
        }
    }

    /// The rules of all classes, those of the limit that the supervisor needs for itself, those of
    /// mounts' owners, and those of what is saved. No call has two.
    pub fn rules(self) -> impl Iterator<Item = Rule> {
        let own = move || self.locks_limit().iter().chain(self.set_id_prctl());
        let is_own = move |call: Sysno| own().any(|(own, _)| *own == call);
        let rules = self
            .classes
            .iter()
            .flat_map(move |class| class.rules(self.level))
            .filter(move |rule| !is_own(rule.call))
            .chain(own().map(|&(call, when)| Rule {
                call,
                when,
                action: Action::Notify,
            }));
        let noted = self.ids_of_mounts().iter().chain(self.removals());
        let noted = noted.map(|&(call, when)| Rule {
            call,
            when,
            action: Action::Notify,
        });
        // Who asks for ids after having set them is worth knowing of, whoever answers.
        let seen = (self.is_watched && !self.classes.contains(Class::Getid))
            .then(|| Class::Getid.rules(Level::Selective));
        rules
            .chain(noted)
            .chain(seen.into_iter().flatten())
            .map(move |rule| Rule {
                action: if self.is_watched {
                    Action::Notify
                } else {
                    rule.action
                },
                ..rule
            })
    }

    /// The calls that set RLIMIT_LOCKS or ask for it, wherever a supervisor marks processes with
    /// that limit: what pam_limits sets there would make them others.
    const fn locks_limit(self) -> &'static [(Sysno, When)] {
        let marks = self.classes.contains(Class::Identity)
            || self.classes.contains(Class::Capability)
            || self.classes.contains(Class::Device)
            || self.level.remembers() && self.classes.contains(Class::SetId);
        if self.level.has_supervisor() && marks {
            LOCKS_LIMIT
        } else {
            &[]
        }
    }

    /// The calls that say whose the files of a mount are to be, wherever a supervisor answers for
    /// owners: all else of mounting is real, unless its own class is on.
    const fn ids_of_mounts(self) -> &'static [(Sysno, When)] {
        let is_on = self.level.has_supervisor() && self.classes.contains(Class::Owner);
        if is_on && !self.classes.contains(Class::Mount) {
            calls![mount if Always; fsconfig if Always;]
        } else {
            &[]
        }
    }

    /// The calls by which a file may lose its last name, wherever it must not be saved any more
    /// then.
    const fn removals(self) -> &'static [(Sysno, When)] {
        if self.level.remembers() && self.is_saved {
            calls![
                unlink if Always; unlinkat if Always; rmdir if Always;
                rename if Always; renameat if Always; renameat2 if Always;
            ]
        } else {
            &[]
        }
    }

    /// The call by which a process does without what set-id programs give, or asks whether it does,
    /// wherever they give something.
    const fn set_id_prctl(self) -> &'static [(Sysno, When)] {
        match (
            self.level.remembers() && self.classes.contains(Class::SetId),
            self.classes.contains(Class::Capability),
        ) {
            (false, _) => &[],
            (true, false) => SET_ID_PRCTL,
            (true, true) => SET_ID_PRCTL_AND_OTHERS,
        }
    }
}

/// What prctl is notified of where no class asks for its other options.
const SET_ID_PRCTL: &[(Sysno, When)] = calls![prctl if SetIdPrctl;];

/// The same where class `capability` does: a call has one rule.
const SET_ID_PRCTL_AND_OTHERS: &[(Sysno, When)] = calls![prctl if PrivilegePrctl;];

/// Whoever sets a limit is answered by the supervisor, because class `limits` wants that, and a
/// call has one rule. Where that class is off, the other limits are real.
const LOCKS_LIMIT: &[(Sysno, When)] = calls![
    getrlimit if IsLocksLimit;
    ugetrlimit if IsLocksLimit;
    setrlimit if Always;
    prlimit64 if IsLocksLimitOrNonNull;
];

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.level, self.classes)
    }
}

/// Calls that are answered alike.
struct Group {
    answer: GroupAnswer,
    calls: &'static [(Sysno, When)],
}

/// What a group is answered with, at each level.
#[derive(Clone, Copy)]
enum GroupAnswer {
    /// Success without a look.
    Faked,
    /// Not there.
    Absent,
    /// The supervisor's; success without a look where there is none.
    Asked,
    /// The supervisor's; left alone where there is none, because a blind success would be worse.
    OnlyAsked,
    /// The supervisor's, if it remembers; else left alone: the kernel knows as much.
    OnlyRemembered,
    /// Not there, if what is remembered would not be seen; else left alone.
    AbsentIfRemembered,
}

impl GroupAnswer {
    /// The answer at `level`; `None` where the calls are left alone.
    const fn at(self, level: Level) -> Option<Action> {
        match (self, level.has_supervisor()) {
            (GroupAnswer::Faked, _) | (GroupAnswer::Asked, false) => Some(Action::FakeSuccess),
            (GroupAnswer::Absent, _) => Some(Action::Absent),
            (GroupAnswer::Asked | GroupAnswer::OnlyAsked, true) => Some(Action::Notify),
            (GroupAnswer::OnlyRemembered, _) if level.remembers() => Some(Action::Notify),
            (GroupAnswer::AbsentIfRemembered, _) if level.remembers() => Some(Action::Absent),
            (
                GroupAnswer::OnlyAsked
                | GroupAnswer::OnlyRemembered
                | GroupAnswer::AbsentIfRemembered,
                _,
            ) => None,
        }
    }
}

/// What a group's answer depends on; [`When`] once it is known which arguments of the call that is.
#[derive(Clone, Copy)]
enum Condition {
    Always,
    DeviceNode,
    NonNull,
    SetsInodeFlags,
    CapabilityPrctl,
    MakesFile,
    SetIdPrctl,
    PrivilegePrctl,
    IsLocksLimit,
    IsLocksLimitOrNonNull,
    AsksForPeer,
    IsSocketCall,
}

impl Condition {
    /// The condition on the arguments that `call` has. It is worked out by the compiler.
    const fn on(self, call: Sysno) -> When {
        match self {
            Condition::Always => When::Always,
            Condition::DeviceNode => When::DeviceNode {
                mode: position(call, Kind::Mode),
                dev: position(call, Kind::Dev),
            },
            Condition::NonNull => When::NonNull {
                arg: position(call, Kind::Pointer),
            },
            Condition::SetsInodeFlags => When::SetsInodeFlags {
                request: position(call, Kind::Request),
            },
            Condition::CapabilityPrctl => When::CapabilityPrctl {
                option: position(call, Kind::Request),
            },
            Condition::MakesFile => When::MakesFile {
                flags: position(call, Kind::OpenFlags),
            },
            Condition::SetIdPrctl => When::SetIdPrctl {
                option: position(call, Kind::Request),
            },
            Condition::PrivilegePrctl => When::PrivilegePrctl {
                option: position(call, Kind::Request),
            },
            Condition::IsLocksLimit => When::IsLocksLimit {
                resource: position(call, Kind::Resource),
            },
            Condition::IsLocksLimitOrNonNull => When::IsLocksLimitOrNonNull {
                resource: position(call, Kind::Resource),
                arg: position(call, Kind::Pointer),
            },
            Condition::AsksForPeer => When::AsksForPeer {
                option: position(call, Kind::SocketOption),
            },
            Condition::IsSocketCall => When::IsSocketCall {
                call: position(call, Kind::Request),
            },
        }
    }
}

/// Which argument of `call` is of `kind`, counted from 0.
const fn position(call: Sysno, kind: Kind) -> u8 {
    match call.signature().position(kind) {
        Some(position) => position,
        None => panic!("a condition on an argument that the call lacks"),
    }
}

/// A [`Group`]: `ANSWER: CALL ...`, or `ANSWER: CALL if CONDITION; ...`.
macro_rules! group {
    ($answer:ident: $($call:ident)+) => { group![$answer: $($call if Always;)+] };
    ($answer:ident: $($call:ident if $condition:ident;)+) => {
        Group {
            answer: GroupAnswer::$answer,
            calls: calls![$($call if $condition;)+],
        }
    };
}

/// A set of calls that is switched on and off as one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Class {
    /// Change of a file's owner or group.
    Owner,
    /// Change of the process's ids and groups.
    Identity,
    /// Change of the process's capabilities.
    Capability,
    /// Making a device node.
    Device,
    /// The self-test.
    Probe,
    /// The ids as the process sees them. At level zero switched on by `--userns=never`.
    Getid,
    /// Writing to disk now rather than later.
    Sync,
    /// Extended attributes.
    Xattr,
    /// Mode and times of files that one does not own. Only with a supervisor, because one's own are
    /// to be changed really.
    Foreign,
    /// Inode flags (`chattr`).
    InodeFlags,
    /// Host name and clock.
    Host,
    /// Priorities, resource limits and memory that is to stay in memory.
    Limits,
    /// Mounting.
    Mount,
    /// What stat(2) and its kin say of a file. Only where that is remembered.
    Stat,
    /// Making a file, which belongs to its maker. Only where that is remembered.
    Maker,
    /// Who is at the other end of a socket, and whose a socket's file is. Only where that is
    /// remembered.
    Peer,
    /// What set-id bits of a program give. Only where owners are remembered.
    SetId,
}

impl Class {
    /// The name used in options and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Class::Owner => "owner",
            Class::Identity => "identity",
            Class::Capability => "capability",
            Class::Device => "device",
            Class::Probe => "probe",
            Class::Getid => "getid",
            Class::Sync => "sync",
            Class::Xattr => "xattr",
            Class::Foreign => "foreign",
            Class::InodeFlags => "inode-flags",
            Class::Host => "host",
            Class::Limits => "limits",
            Class::Mount => "mount",
            Class::Stat => "stat",
            Class::Maker => "maker",
            Class::Peer => "peer",
            Class::SetId => "set-id",
        }
    }
}

#[doc(hidden)] // not for other crates
impl Class {
    /// Every class, the ones that are on by default at every level first.
    pub const ALL: [Class; 17] = [
        Class::Owner,
        Class::Identity,
        Class::Capability,
        Class::Device,
        Class::Probe,
        Class::Getid,
        Class::Sync,
        Class::Xattr,
        Class::Foreign,
        Class::InodeFlags,
        Class::Host,
        Class::Limits,
        Class::Mount,
        Class::Stat,
        Class::Maker,
        Class::Peer,
        Class::SetId,
    ];

    /// The class's rules at `level`. A call belongs to one class at most.
    pub fn rules(self, level: Level) -> impl Iterator<Item = Rule> {
        self.groups().iter().flat_map(move |group| {
            let answer = group.answer.at(level).into_iter();
            answer.flat_map(move |action| {
                let rule = move |&(call, when): &(Sysno, When)| Rule {
                    call,
                    // Whose a file is matters of any type there.
                    when: match when {
                        When::DeviceNode { .. } if level.remembers() => When::Always,
                        when => when,
                    },
                    action,
                };
                group.calls.iter().map(rule)
            })
        })
    }

    #[rustfmt::skip]
    const fn groups(self) -> &'static [Group] {
        match self {
            Class::Owner => &[
                group![Asked: chown fchown lchown fchownat chown32 fchown32 lchown32],
                group![OnlyAsked: semctl msgctl shmctl],
            ],
            // setfsuid and setfsgid return the previous id, which at level zero is 0: the same 0 as
            // the others' success.
            // Of the limits see `Policy::locks_limit`.
            Class::Identity => &[group![Asked:
                setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups
                setuid32 setgid32 setreuid32 setregid32 setresuid32 setresgid32 setfsuid32 setfsgid32 setgroups32
            ], group![OnlyAsked:
                getrlimit if IsLocksLimit;
                ugetrlimit if IsLocksLimit;
            ]],
            // What was set is to be read back.
            Class::Capability => &[
                group![Asked: capset],
                group![OnlyAsked: capget],
                group![OnlyAsked: prctl if CapabilityPrctl;],
            ],
            // FIFOs, sockets and regular files stay real: make's jobserver is a FIFO.
            // What Landlock keeps a process from making, the supervisor must not make for it.
            Class::Device => &[group![Asked:
                mknod if DeviceNode;
                mknodat if DeviceNode;
            ], group![OnlyAsked: landlock_restrict_self]],
            // No build needs it and no kernel grants it to a user, so its success proves that the
            // filter answers, and the supervisor if there is one.
            Class::Probe => &[group![Asked: kexec_load]],
            Class::Getid => &[
                group![Asked: getuid geteuid getgid getegid getuid32 geteuid32 getgid32 getegid32],
                // These write to memory, which a filter cannot.
                group![OnlyAsked: getresuid getresgid getgroups getresuid32 getresgid32 getgroups32],
            ],
            Class::Sync => &[group![Faked: sync syncfs fsync fdatasync msync sync_file_range sync_file_range2]],
            Class::Xattr => &[group![Asked:
                setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat
            ], group![OnlyRemembered:
                getxattr lgetxattr fgetxattr getxattrat listxattr llistxattr flistxattr listxattrat
            ]],
            Class::Foreign => &[group![OnlyAsked:
                chmod fchmod fchmodat fchmodat2 utime utimes futimesat utimensat utimensat_time64
            ]],
            Class::InodeFlags => &[group![Faked: file_setattr], group![Faked: ioctl if SetsInodeFlags;]],
            Class::Host => &[group![Faked:
                sethostname setdomainname settimeofday clock_settime clock_settime64 adjtimex clock_adjtime clock_adjtime64 stime
            ]],
            // A filter cannot read the struct that says whether a limit is raised or lowered, so
            // without a supervisor setting one is faked either way; prlimit64 without a new limit
            // is a question and stays real.
            Class::Limits => &[
                group![Asked: nice setpriority sched_setscheduler sched_setparam sched_setattr ioprio_set setrlimit],
                group![Asked: prlimit64 if NonNull;],
                // What may be locked is to be locked.
                group![OnlyAsked: mlock mlock2 mlockall],
            ],
            // A faked 0 from a call that returns a descriptor would be standard input. These are
            // absent instead: libmount then falls back to mount(2), which is faked.
            Class::Mount => &[
                group![Faked: mount umount umount2 fsconfig move_mount mount_setattr],
                group![Absent: fsopen fsmount fspick open_tree open_tree_attr],
            ],
            // Who has changed its root directory or its rights is looked at before each answer.
            Class::Stat => &[group![OnlyRemembered:
                stat lstat fstat newfstatat statx stat64 lstat64 fstat64 fstatat64 oldstat oldlstat oldfstat
            ], group![OnlyRemembered: chroot pivot_root setns unshare],
            // What it asks for passes no filter: statx through a ring would show the kernel's owners.
            group![AbsentIfRemembered: io_uring_setup]],
            // Of mknod see `Class::rules`.
            Class::Maker => &[group![OnlyRemembered:
                open if MakesFile;
                openat if MakesFile;
            ], group![OnlyRemembered: creat openat2 mkdir mkdirat symlink symlinkat]],
            // The kernel keeps who has connected, listened or made a pair: so does the supervisor.
            // Neither call is frequent.
            Class::Peer => &[
                group![OnlyRemembered: getsockopt if AsksForPeer;],
                group![OnlyRemembered: connect listen socketpair bind],
                group![OnlyRemembered: socketcall if IsSocketCall;],
            ],
            // Of prctl see `Policy::set_id_prctl`.
            Class::SetId => &[group![OnlyRemembered: execve execveat]],
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The error of parsing a [`Class`]: no such name.
#[derive(Debug)]
pub struct UnknownClass;

impl fmt::Display for UnknownClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the classes are")?;
        for class in Class::ALL {
            write!(f, " {class}")?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownClass {}

#[doc(hidden)] // not for other crates
impl FromStr for Class {
    type Err = UnknownClass;

    fn from_str(name: &str) -> Result<Class, UnknownClass> {
        Class::ALL
            .into_iter()
            .find(|class| class.name() == name)
            .ok_or(UnknownClass)
    }
}

/// A set of classes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClassSet(u32);

// One bit each.
const _: () = assert!(Class::ALL.len() <= u32::BITS as usize);

impl ClassSet {
    /// The classes that are on unless removed, at every level.
    pub const DEFAULT: ClassSet = ClassSet(0)
        .with(Class::Owner)
        .with(Class::Identity)
        .with(Class::Capability)
        .with(Class::Device)
        .with(Class::Probe);

    /// Every class.
    pub const ALL: ClassSet = ClassSet(u32::MAX >> (u32::BITS as usize - Class::ALL.len()));

    /// No class.
    pub const EMPTY: ClassSet = ClassSet(0);

    /// The set as a number.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The set that [`bits`](ClassSet::bits) is; classes that this zroot does not know are left
    /// out.
    #[must_use]
    pub const fn from_bits(bits: u32) -> ClassSet {
        ClassSet(bits & ClassSet::ALL.0)
    }

    /// The classes of either set.
    #[must_use]
    pub const fn union(self, other: ClassSet) -> ClassSet {
        ClassSet(self.0 | other.0)
    }

    /// The classes of this set that are not in `other`.
    #[must_use]
    pub const fn minus(self, other: ClassSet) -> ClassSet {
        ClassSet(self.0 & !other.0)
    }

    /// The set with `class`.
    #[must_use]
    pub const fn with(self, class: Class) -> ClassSet {
        ClassSet(self.0 | 1 << class as u32)
    }

    /// The set without `class`.
    #[must_use]
    pub const fn without(self, class: Class) -> ClassSet {
        ClassSet(self.0 & !(1 << class as u32))
    }

    /// Whether `class` is in the set.
    #[must_use]
    pub const fn contains(self, class: Class) -> bool {
        self.0 & 1 << class as u32 != 0
    }

    /// The set's classes, in the order of [`Class::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Class> {
        Class::ALL
            .into_iter()
            .filter(move |class| self.contains(*class))
    }
}

impl fmt::Display for ClassSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, class) in self.iter().enumerate() {
            write!(f, "{}{class}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}
