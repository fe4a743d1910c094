//! What the arguments of each call of the matrix are, written once: who decodes a call, reports it
//! or explains it reads this.
//!
//! They stand in the order of the registers, which is the same on every ABI. (A 64-bit number takes
//! two registers on some 32-bit ABIs. Of these calls only `sync_file_range` has such, and nobody
//! looks at it.)

use super::table::Sysno;

/// What one argument is, as far as anybody here tells one from another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An open file's descriptor.
    Fd,
    /// The descriptor of the directory that the path which follows starts from, or `AT_FDCWD`.
    Dir,
    /// The address of a path. A symbolic link at its end is followed, unless the call's flags say
    /// otherwise.
    Path,
    /// The address of a path. A symbolic link at its end is meant itself.
    Link,
    /// `AT_*` flags for the path.
    AtFlags,
    /// A uid, or -1.
    Uid,
    /// A gid, or -1.
    Gid,
    /// The address where an id goes.
    IdOut,
    /// How many groups there are, or room for how many.
    Count,
    /// The address of a list of gids.
    Groups,
    /// The address of a capability header (`cap_user_header_t`).
    CapHeader,
    /// The address of capability sets (`cap_user_data_t`).
    CapData,
    /// A file's type and permissions.
    Mode,
    /// A device number, as mknod(2) packs it.
    Dev,
    /// The address of an extended attribute's name.
    Name,
    /// The address of an extended attribute's value.
    Value,
    /// How many bytes there are at the address before.
    Size,
    /// `XATTR_CREATE` or `XATTR_REPLACE`.
    XattrFlags,
    /// The address of a `struct xattr_args`: value, size and flags of an extended attribute.
    XattrArgs,
    /// The address of a `struct utimbuf`: two times in seconds.
    Seconds,
    /// The address of two `struct timeval`, or null.
    Microseconds,
    /// The address of two `struct timespec` as the ABI has them, or null.
    Nanoseconds,
    /// The address of two `struct timespec` of 64 bits on every ABI, or null.
    WideNanoseconds,
    /// The address where a `struct stat`, as the call and the ABI have it, goes
    /// ([`encode`](super::stat::encode)).
    Stat,
    /// The address where a `struct statx`, the same on every ABI, goes.
    Statx,
    /// What is asked for: an ioctl's request, a prctl's option.
    Request,
    /// How open(2) opens a file: `O_*`.
    OpenFlags,
    /// The address of a `struct open_how`: flags, mode and how the path is resolved.
    OpenHow,
    /// Which limit of a process is meant (`RLIMIT_*`).
    Resource,
    /// A socket's descriptor.
    Socket,
    /// Whose option of a socket is meant (`SOL_*`).
    SocketLevel,
    /// Which option of a socket is meant (`SO_*`).
    SocketOption,
    /// The address of a socket's address, whose length follows.
    Address,
    /// The address of another call's arguments, each a `long`.
    Arguments,
    /// A number.
    Number,
    /// The address of something that zroot does not look into, or null.
    Pointer,
}

/// One argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Param {
    /// What messages and reports call it.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
}

/// A call's arguments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signature {
    /// In the order of the registers.
    pub params: &'static [Param],
    /// Whether the call takes or gives ids of 16 bits on ABIs that have them
    /// ([`Abi::has_16bit_ids`](super::abi::Abi::has_16bit_ids)): there it has a twin whose name
    /// ends in 32.
    pub is_old: bool,
}

impl Signature {
    /// Which argument is the first of `kind`, counted from 0.
    #[must_use]
    pub const fn position(&self, kind: Kind) -> Option<u8> {
        let mut i = 0_u8;
        while (i as usize) < self.params.len() {
            if self.params[i as usize].kind as u8 == kind as u8 {
                return Some(i);
            }
            i += 1;
        }
        None
    }
}

/// A signature for each call: `CALL NAME:KIND ...`, with `old` before those with 16-bit ids. A call
/// that is missing here is an error of the compiler's.
macro_rules! signatures {
    (@is_old old) => { true };
    (@is_old) => { false };
    ($([$call:ident $($old:ident)?: $($name:literal $kind:ident),*])+) => {
        impl Sysno {
            /// What the call's arguments are.
            #[must_use]
            pub const fn signature(self) -> &'static Signature {
                match self {
                    $(Sysno::$call => &Signature {
                        params: &[$(Param { name: $name, kind: Kind::$kind }),*],
                        is_old: signatures!(@is_old $($old)?),
                    },)+
                }
            }
        }
    };
}

#[rustfmt::skip]
signatures! {
    [chown old: "path" Path, "uid" Uid, "gid" Gid]
    [fchown old: "fd" Fd, "uid" Uid, "gid" Gid]
    [lchown old: "path" Link, "uid" Uid, "gid" Gid]
    [fchownat: "dirfd" Dir, "path" Path, "uid" Uid, "gid" Gid, "flags" AtFlags]
    [chown32: "path" Path, "uid" Uid, "gid" Gid]
    [fchown32: "fd" Fd, "uid" Uid, "gid" Gid]
    [lchown32: "path" Link, "uid" Uid, "gid" Gid]

    [semctl: "semid" Number, "semnum" Number, "cmd" Number, "arg" Pointer]
    [msgctl: "msqid" Number, "cmd" Number, "buf" Pointer]
    [shmctl: "shmid" Number, "cmd" Number, "buf" Pointer]

    [setuid old: "uid" Uid]
    [setgid old: "gid" Gid]
    [setreuid old: "ruid" Uid, "euid" Uid]
    [setregid old: "rgid" Gid, "egid" Gid]
    [setresuid old: "ruid" Uid, "euid" Uid, "suid" Uid]
    [setresgid old: "rgid" Gid, "egid" Gid, "sgid" Gid]
    [setfsuid old: "uid" Uid]
    [setfsgid old: "gid" Gid]
    [setgroups old: "count" Count, "list" Groups]
    [setuid32: "uid" Uid]
    [setgid32: "gid" Gid]
    [setreuid32: "ruid" Uid, "euid" Uid]
    [setregid32: "rgid" Gid, "egid" Gid]
    [setresuid32: "ruid" Uid, "euid" Uid, "suid" Uid]
    [setresgid32: "rgid" Gid, "egid" Gid, "sgid" Gid]
    [setfsuid32: "uid" Uid]
    [setfsgid32: "gid" Gid]
    [setgroups32: "count" Count, "list" Groups]

    [capget: "header" CapHeader, "data" CapData]
    [capset: "header" CapHeader, "data" CapData]
    [prctl: "option" Request, "arg2" Number, "arg3" Number, "arg4" Number, "arg5" Number]

    [mknod: "path" Link, "mode" Mode, "device number" Dev]
    [mknodat: "dirfd" Dir, "path" Link, "mode" Mode, "device number" Dev]
    [landlock_restrict_self: "ruleset_fd" Number, "flags" Number]

    [kexec_load: "entry" Number, "nr_segments" Number, "segments" Pointer, "flags" Number]

    [getuid old:]
    [geteuid old:]
    [getgid old:]
    [getegid old:]
    [getuid32:]
    [geteuid32:]
    [getgid32:]
    [getegid32:]
    [getresuid old: "ruid" IdOut, "euid" IdOut, "suid" IdOut]
    [getresgid old: "rgid" IdOut, "egid" IdOut, "sgid" IdOut]
    [getgroups old: "count" Count, "list" Groups]
    [getresuid32: "ruid" IdOut, "euid" IdOut, "suid" IdOut]
    [getresgid32: "rgid" IdOut, "egid" IdOut, "sgid" IdOut]
    [getgroups32: "count" Count, "list" Groups]

    [sync:]
    [syncfs: "fd" Fd]
    [fsync: "fd" Fd]
    [fdatasync: "fd" Fd]
    [msync: "addr" Pointer, "length" Number, "flags" Number]
    [sync_file_range: "fd" Fd, "offset" Number, "nbytes" Number, "flags" Number]
    [sync_file_range2: "fd" Fd, "flags" Number, "offset" Number, "nbytes" Number]

    [setxattr: "path" Path, "name" Name, "value" Value, "size" Size, "flags" XattrFlags]
    [lsetxattr: "path" Link, "name" Name, "value" Value, "size" Size, "flags" XattrFlags]
    [fsetxattr: "fd" Fd, "name" Name, "value" Value, "size" Size, "flags" XattrFlags]
    [setxattrat: "dirfd" Dir, "path" Path, "at_flags" AtFlags, "name" Name, "args" XattrArgs, "size" Size]
    [removexattr: "path" Path, "name" Name]
    [lremovexattr: "path" Link, "name" Name]
    [fremovexattr: "fd" Fd, "name" Name]
    [removexattrat: "dirfd" Dir, "path" Path, "at_flags" AtFlags, "name" Name]
    [getxattr: "path" Path, "name" Name, "value" Value, "size" Size]
    [lgetxattr: "path" Link, "name" Name, "value" Value, "size" Size]
    [fgetxattr: "fd" Fd, "name" Name, "value" Value, "size" Size]
    [getxattrat: "dirfd" Dir, "path" Path, "at_flags" AtFlags, "name" Name, "args" XattrArgs, "size" Size]
    [listxattr: "path" Path, "list" Value, "size" Size]
    [llistxattr: "path" Link, "list" Value, "size" Size]
    [flistxattr: "fd" Fd, "list" Value, "size" Size]
    [listxattrat: "dirfd" Dir, "path" Path, "at_flags" AtFlags, "list" Value, "size" Size]

    [chmod: "path" Path, "mode" Mode]
    [fchmod: "fd" Fd, "mode" Mode]
    [fchmodat: "dirfd" Dir, "path" Path, "mode" Mode]
    [fchmodat2: "dirfd" Dir, "path" Path, "mode" Mode, "flags" AtFlags]
    [utime: "path" Path, "times" Seconds]
    [utimes: "path" Path, "times" Microseconds]
    [futimesat: "dirfd" Dir, "path" Path, "times" Microseconds]
    [utimensat: "dirfd" Dir, "path" Path, "times" Nanoseconds, "flags" AtFlags]
    [utimensat_time64: "dirfd" Dir, "path" Path, "times" WideNanoseconds, "flags" AtFlags]

    [ioctl: "fd" Fd, "request" Request, "argument" Pointer]
    [file_setattr: "dirfd" Dir, "path" Path, "attr" Pointer, "size" Size, "at_flags" AtFlags]

    [sethostname: "name" Pointer, "len" Number]
    [setdomainname: "name" Pointer, "len" Number]
    [settimeofday: "tv" Pointer, "tz" Pointer]
    [clock_settime: "clockid" Number, "tp" Pointer]
    [clock_settime64: "clockid" Number, "tp" Pointer]
    [adjtimex: "buf" Pointer]
    [clock_adjtime: "clockid" Number, "buf" Pointer]
    [clock_adjtime64: "clockid" Number, "buf" Pointer]
    [stime: "t" Pointer]

    [nice: "inc" Number]
    [setpriority: "which" Number, "who" Number, "prio" Number]
    [sched_setscheduler: "pid" Number, "policy" Number, "param" Pointer]
    [sched_setparam: "pid" Number, "param" Pointer]
    [sched_setattr: "pid" Number, "attr" Pointer, "flags" Number]
    [ioprio_set: "which" Number, "who" Number, "ioprio" Number]
    [setrlimit: "resource" Resource, "rlim" Pointer]
    [getrlimit: "resource" Resource, "rlim" Pointer]
    [ugetrlimit: "resource" Resource, "rlim" Pointer]
    [prlimit64: "pid" Number, "resource" Resource, "pointer" Pointer, "old_limit" Pointer]

    [mlock: "addr" Pointer, "length" Number]
    [mlock2: "addr" Pointer, "length" Number, "flags" Number]
    [mlockall: "flags" Number]

    [mount: "source" Pointer, "target" Path, "type" Pointer, "flags" Number, "data" Pointer]
    [umount: "target" Path]
    [umount2: "target" Path, "flags" Number]
    [fsopen: "fsname" Pointer, "flags" Number]
    [fsconfig: "fd" Fd, "cmd" Number, "key" Pointer, "value" Pointer, "aux" Number]
    [fsmount: "fd" Fd, "flags" Number, "attr_flags" Number]
    [fspick: "dirfd" Dir, "path" Path, "flags" Number]
    [move_mount: "from_dirfd" Dir, "from_path" Path, "to_dirfd" Number, "to_path" Pointer, "flags" Number]
    [open_tree: "dirfd" Dir, "path" Path, "flags" Number]
    [open_tree_attr: "dirfd" Dir, "path" Path, "flags" Number, "attr" Pointer, "size" Size]
    [mount_setattr: "dirfd" Dir, "path" Path, "flags" AtFlags, "attr" Pointer, "size" Size]

    [chroot: "path" Path]
    [pivot_root: "new_root" Path, "put_old" Pointer]
    [setns: "fd" Fd, "nstype" Number]
    [unshare: "flags" Number]

    [open: "path" Path, "flags" OpenFlags, "mode" Mode]
    [creat: "path" Path, "mode" Mode]
    [openat: "dirfd" Dir, "path" Path, "flags" OpenFlags, "mode" Mode]
    [openat2: "dirfd" Dir, "path" Path, "how" OpenHow, "size" Size]
    [mkdir: "path" Link, "mode" Mode]
    [mkdirat: "dirfd" Dir, "path" Link, "mode" Mode]
    [symlink: "target" Pointer, "path" Link]
    [symlinkat: "target" Pointer, "dirfd" Dir, "path" Link]
    [unlink: "path" Link]
    [unlinkat: "dirfd" Dir, "path" Link, "flags" Number]
    [rmdir: "path" Link]
    [rename: "oldpath" Link, "newpath" Link]
    [renameat: "olddirfd" Dir, "oldpath" Link, "newdirfd" Dir, "newpath" Link]
    [renameat2: "olddirfd" Dir, "oldpath" Link, "newdirfd" Dir, "newpath" Link, "flags" Number]
    [execve: "path" Path, "argv" Pointer, "envp" Pointer]
    [execveat: "dirfd" Dir, "path" Path, "argv" Pointer, "envp" Pointer, "flags" AtFlags]

    [io_uring_setup: "entries" Number, "params" Pointer]

    [oldstat: "path" Path, "statbuf" Stat]
    [oldfstat: "fd" Fd, "statbuf" Stat]
    [oldlstat: "path" Link, "statbuf" Stat]
    [stat: "path" Path, "statbuf" Stat]
    [fstat: "fd" Fd, "statbuf" Stat]
    [lstat: "path" Link, "statbuf" Stat]
    [newfstatat: "dirfd" Dir, "path" Path, "statbuf" Stat, "flags" AtFlags]
    [stat64: "path" Path, "statbuf" Stat]
    [fstat64: "fd" Fd, "statbuf" Stat]
    [lstat64: "path" Link, "statbuf" Stat]
    [fstatat64: "dirfd" Dir, "path" Path, "statbuf" Stat, "flags" AtFlags]
    [statx: "dirfd" Dir, "path" Path, "flags" AtFlags, "mask" Number, "statxbuf" Statx]

    [getsockopt: "sockfd" Socket, "level" SocketLevel, "optname" SocketOption, "optval" Pointer, "optlen" Pointer]
    [connect: "sockfd" Socket, "addr" Address, "addrlen" Number]
    [listen: "sockfd" Socket, "backlog" Number]
    [socketpair: "domain" Number, "type" Number, "protocol" Number, "sv" Pointer]
    [bind: "sockfd" Socket, "addr" Address, "addrlen" Number]
    [socketcall: "call" Request, "args" Arguments]
}
