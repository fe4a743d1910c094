//! A task's credentials as the kernel has them, for a process that appears to be root where every
//! id is mapped: credentials(7), capabilities(7). Pure: no system call is made.
//! `tests/it/supervisor/credentials.rs` compares every answer with the kernel's.
//!
//! The rules are those of Linux 6.17 without security modules. Earlier kernels differ in three
//! places, which are marked.

#![allow(clippy::missing_errors_doc)] // the manual pages have them

use caps::Capability;
use nix::errno::Errno;

/// The highest capability there is, `CAP_LAST_CAP` in include/uapi/linux/capability.h (Linux 5.9
/// and later).
pub const LAST_CAPABILITY: Capability = Capability::CAP_CHECKPOINT_RESTORE;

/// The set of all capabilities.
pub const ALL_CAPABILITIES: u64 = (bit(LAST_CAPABILITY) << 1) - 1;

/// `CAP_FS_SET` in include/linux/capability.h: what goes and comes with the filesystem uid 0.
const FILESYSTEM_CAPABILITIES: u64 = bit(Capability::CAP_CHOWN)
    | bit(Capability::CAP_DAC_OVERRIDE)
    | bit(Capability::CAP_DAC_READ_SEARCH)
    | bit(Capability::CAP_FOWNER)
    | bit(Capability::CAP_FSETID)
    | bit(Capability::CAP_LINUX_IMMUTABLE)
    | bit(Capability::CAP_MKNOD)
    | bit(Capability::CAP_MAC_OVERRIDE);

/// The id that stands for "leave alone", and which nobody can have.
const NONE: u32 = u32::MAX;

/// `NGROUPS_MAX` in include/uapi/linux/limits.h.
const MOST_GROUPS: usize = 65536;

/// include/uapi/linux/securebits.h. The lock of each bit is the next higher bit.
mod securebits {
    pub const NOROOT: u32 = 1 << 0;
    pub const NO_SETUID_FIXUP: u32 = 1 << 2;
    pub const KEEP_CAPS: u32 = 1 << 4;
    pub const NO_CAP_AMBIENT_RAISE: u32 = 1 << 6;
    const EXEC_RESTRICT_FILE: u32 = 1 << 8;
    const EXEC_DENY_INTERACTIVE: u32 = 1 << 10;
    /// What programs may set for themselves without privileges.
    pub const UNPRIVILEGED: u32 = EXEC_RESTRICT_FILE | EXEC_DENY_INTERACTIVE;
    pub const ALL: u32 = NOROOT | NO_SETUID_FIXUP | KEEP_CAPS | NO_CAP_AMBIENT_RAISE | UNPRIVILEGED;
    pub const LOCKS: u32 = ALL << 1;
}

const fn bit(capability: Capability) -> u64 {
    1 << capability as u8
}

/// The four uids of a task, or its four gids.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Ids {
    /// Whose process it is.
    pub real: u32,
    /// Whose rights it has.
    pub effective: u32,
    /// What the effective id may go back to.
    pub saved: u32,
    /// Whose rights it has on files; follows the effective id but for setfsuid(2).
    pub filesystem: u32,
}

impl Ids {
    /// The same with `change` made to each.
    #[must_use]
    pub fn map(self, change: impl Fn(u32) -> u32) -> Ids {
        Ids {
            real: change(self.real),
            effective: change(self.effective),
            saved: change(self.saved),
            filesystem: change(self.filesystem),
        }
    }

    /// All four the same.
    #[must_use]
    pub const fn all(id: u32) -> Ids {
        Ids {
            real: id,
            effective: id,
            saved: id,
            filesystem: id,
        }
    }

    /// setuid(2) or setgid(2): `__sys_setuid()`, `__sys_setgid()` in kernel/sys.c.
    fn set(self, id: u32, privileged: bool) -> Result<Ids, Errno> {
        match id {
            NONE => Err(Errno::EINVAL),
            _ if privileged => Ok(Ids::all(id)),
            _ if id == self.real || id == self.saved => Ok(Ids {
                effective: id,
                filesystem: id,
                ..self
            }),
            _ => Err(Errno::EPERM),
        }
    }

    /// setreuid(2) or setregid(2): `__sys_setreuid()`, `__sys_setregid()` in kernel/sys.c.
    fn set_two(self, real: u32, effective: u32, privileged: bool) -> Result<Ids, Errno> {
        let may_be_real = [NONE, self.real, self.effective].contains(&real);
        let may_be_effective = [NONE, self.real, self.effective, self.saved].contains(&effective);
        if !(privileged || may_be_real && may_be_effective) {
            return Err(Errno::EPERM);
        }
        let forget = real != NONE || ![NONE, self.real].contains(&effective);
        let (real, effective) = (or(real, self.real), or(effective, self.effective));
        Ok(Ids {
            real,
            effective,
            saved: if forget { effective } else { self.saved },
            filesystem: effective,
        })
    }

    /// setresuid(2) or setresgid(2): `__sys_setresuid()`, `__sys_setresgid()` in kernel/sys.c.
    fn set_three(
        self,
        real: u32,
        effective: u32,
        saved: u32,
        privileged: bool,
    ) -> Result<Ids, Errno> {
        let may_be = |id| [NONE, self.real, self.effective, self.saved].contains(&id);
        if !(privileged || [real, effective, saved].into_iter().all(may_be)) {
            return Err(Errno::EPERM);
        }
        let new = Ids {
            real: or(real, self.real),
            effective: or(effective, self.effective),
            saved: or(saved, self.saved),
            ..self
        };
        // Where there is nothing to do, the filesystem id stays what it is. Before Linux 6.3
        // (5.10.179) it became the effective id.
        Ok(if new == self && effective == NONE {
            self
        } else {
            Ids {
                filesystem: new.effective,
                ..new
            }
        })
    }

    /// setfsuid(2) or setfsgid(2): `__sys_setfsuid()`, `__sys_setfsgid()` in kernel/sys.c. They
    /// tell nobody that they did nothing.
    fn set_filesystem(self, id: u32, privileged: bool) -> Ids {
        let own = [self.real, self.effective, self.saved].contains(&id);
        if id != NONE && (privileged || own) {
            Ids {
                filesystem: id,
                ..self
            }
        } else {
            self
        }
    }

    /// Whether one of the three ids that count is root's.
    fn any_is_root(self) -> bool {
        self.real == 0 || self.effective == 0 || self.saved == 0
    }
}

/// `id`, or `present` if that is to be left alone.
fn or(id: u32, present: u32) -> u32 {
    if id == NONE { present } else { id }
}

/// Who a task is and what it may do: the part of `struct cred` in include/linux/cred.h that
/// programs see. Sets of capabilities have bit N for capability N.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Credentials {
    /// The uids.
    pub uid: Ids,
    /// The gids.
    pub gid: Ids,
    /// The supplementary groups, as getgroups(2) lists them: sorted, doubles kept.
    pub groups: Vec<u32>,
    /// The capabilities that may become effective.
    pub permitted: u64,
    /// The capabilities that count.
    pub effective: u64,
    /// The capabilities that a file may hand on over an execve.
    pub inheritable: u64,
    /// The capabilities that survive execve without being root's; all of them are permitted and
    /// inheritable.
    pub ambient: u64,
    /// The capabilities that an execve may give.
    pub bounding: u64,
    /// The secure bits, `SECBIT_KEEP_CAPS` among them.
    pub securebits: u32,
    /// Whether it has given up what a file may give at an execve (of a task, not of its `cred`).
    pub no_new_privs: bool,
}

/// What the file gives that is executed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct SetId {
    /// Its owner, if it has the set-uid bit.
    pub uid: Option<u32>,
    /// Its group, if it has the set-gid bit, and the group may execute it.
    pub gid: Option<u32>,
    /// The capabilities that it has, if it has any.
    pub capabilities: Option<FileCapabilities>,
    /// Whether somebody without `CAP_SYS_PTRACE` traces who executes it.
    pub is_traced: bool,
}

/// A file's capabilities, capabilities(7).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FileCapabilities {
    /// What everybody gets who executes it.
    pub permitted: u64,
    /// What those get who may hand it on.
    pub inheritable: u64,
    /// Whether they are effective at once, or else the file is not executed.
    pub are_effective: bool,
}

impl FileCapabilities {
    /// In whose user namespaces the attribute counts, if it says that and is right: the user who is
    /// root there (security/commoncap.c, `is_v3header`).
    #[must_use]
    pub fn root(value: &[u8]) -> Option<u32> {
        let value: &[u8; 24] = value.try_into().ok()?;
        let is_3 = matches!(value[..4], [0 | 1, 0, 0, 3]);
        is_3.then(|| u32::from_le_bytes([value[20], value[21], value[22], value[23]]))
    }

    /// What the attribute `security.capability` says (include/uapi/linux/capability.h, `struct
    /// vfs_ns_cap_data`); `None` for nothing that counts for this user namespace's root.
    #[must_use]
    pub fn of(value: &[u8]) -> Option<FileCapabilities> {
        const EFFECTIVE: u32 = 1;
        let word = |at: usize| {
            let bytes = value.get(4 * at..4 * at + 4)?;
            Some(u32::from_le_bytes(bytes.try_into().ok()?))
        };
        let head = word(0)?;
        let (words, high) = match (head >> 24, value.len()) {
            (1, 12) => ([word(1)?, word(2)?], [0, 0]),
            (2, 20) | (3, 24) => ([word(1)?, word(2)?], [word(3)?, word(4)?]),
            _ => return None,
        };
        let set = |i: usize| (u64::from(high[i]) << 32 | u64::from(words[i])) & ALL_CAPABILITIES;
        let is_ours = value.len() < 24 || word(5)? == 0;
        is_ours.then_some(FileCapabilities {
            permitted: set(0),
            inheritable: set(1),
            are_effective: head & EFFECTIVE != 0,
        })
    }
}

impl Credentials {
    /// Root's, with all capabilities.
    #[must_use]
    pub fn root() -> Credentials {
        Credentials {
            uid: Ids::all(0),
            gid: Ids::all(0),
            groups: vec![0],
            permitted: ALL_CAPABILITIES,
            effective: ALL_CAPABILITIES,
            inheritable: 0,
            ambient: 0,
            bounding: ALL_CAPABILITIES,
            securebits: 0,
            no_new_privs: false,
        }
    }

    /// What the kernel says in a `/proc/TID/status`. It does not show the secure bits, which calls
    /// alone change, and those are answered here; and it has `no_new_privs` on for zroot's sake.
    #[must_use]
    pub fn of_status(status: &str) -> Option<Credentials> {
        let field = |name: &str| {
            let mut lines = status.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        };
        let list = |name| -> Option<Vec<u32>> {
            let words = field(name)?.split_whitespace();
            words.map(|word| word.parse().ok()).collect()
        };
        let ids = |name| match list(name)?[..] {
            [real, effective, saved, filesystem] => Some(Ids {
                real,
                effective,
                saved,
                filesystem,
            }),
            _ => None,
        };
        let set = |name| {
            let set = u64::from_str_radix(field(name)?.trim(), 16).ok()?;
            Some(set & ALL_CAPABILITIES)
        };
        Some(Credentials {
            uid: ids("Uid")?,
            gid: ids("Gid")?,
            groups: list("Groups")?,
            permitted: set("CapPrm")?,
            effective: set("CapEff")?,
            inheritable: set("CapInh")?,
            ambient: set("CapAmb")?,
            bounding: set("CapBnd")?,
            securebits: 0,
            no_new_privs: false,
        })
    }

    /// Root's, who has lost what `now` lacks of what he had at first.
    #[must_use]
    pub fn root_since(first: &Credentials, now: &Credentials) -> Credentials {
        let left = |first: u64, now: u64| ALL_CAPABILITIES & !(first & !now);
        Credentials {
            permitted: left(first.permitted, now.permitted),
            effective: left(first.effective, now.effective),
            bounding: left(first.bounding, now.bounding),
            // Groups that are not mapped are nobody's.
            groups: Credentials::root().groups,
            ..now.clone()
        }
    }

    /// Whether `capability` is effective.
    #[must_use]
    pub fn has(&self, capability: Capability) -> bool {
        self.effective & bit(capability) != 0
    }

    /// Whether `gid` is one of the task's groups where files are concerned: `in_group_p()` in
    /// kernel/groups.c.
    #[must_use]
    pub fn is_in_group(&self, gid: u32) -> bool {
        gid == self.gid.filesystem || self.groups.binary_search(&gid).is_ok()
    }

    /// setuid(2).
    pub fn setuid(&mut self, uid: u32) -> Result<(), Errno> {
        self.become_user(self.uid.set(uid, self.has(Capability::CAP_SETUID))?);
        Ok(())
    }

    /// setreuid(2); `u32::MAX` leaves an id alone.
    pub fn setreuid(&mut self, real: u32, effective: u32) -> Result<(), Errno> {
        self.become_user(
            self.uid
                .set_two(real, effective, self.has(Capability::CAP_SETUID))?,
        );
        Ok(())
    }

    /// setresuid(2); `u32::MAX` leaves an id alone.
    pub fn setresuid(&mut self, real: u32, effective: u32, saved: u32) -> Result<(), Errno> {
        self.become_user(self.uid.set_three(
            real,
            effective,
            saved,
            self.has(Capability::CAP_SETUID),
        )?);
        Ok(())
    }

    /// setfsuid(2). Returns the id from before, whether or not it is another now.
    pub fn setfsuid(&mut self, uid: u32) -> u32 {
        let before = self.uid.filesystem;
        self.uid = self
            .uid
            .set_filesystem(uid, self.has(Capability::CAP_SETUID));
        // cap_task_fix_setuid() in security/commoncap.c, LSM_SETID_FS.
        if !self.is_secure(securebits::NO_SETUID_FIXUP) {
            match (before, self.uid.filesystem) {
                (0, 1..) => self.effective &= !FILESYSTEM_CAPABILITIES,
                (1.., 0) => self.effective |= self.permitted & FILESYSTEM_CAPABILITIES,
                _ => {}
            }
        }
        before
    }

    /// setgid(2).
    pub fn setgid(&mut self, gid: u32) -> Result<(), Errno> {
        self.gid = self.gid.set(gid, self.has(Capability::CAP_SETGID))?;
        Ok(())
    }

    /// setregid(2); `u32::MAX` leaves an id alone.
    pub fn setregid(&mut self, real: u32, effective: u32) -> Result<(), Errno> {
        self.gid = self
            .gid
            .set_two(real, effective, self.has(Capability::CAP_SETGID))?;
        Ok(())
    }

    /// setresgid(2); `u32::MAX` leaves an id alone.
    pub fn setresgid(&mut self, real: u32, effective: u32, saved: u32) -> Result<(), Errno> {
        self.gid = self
            .gid
            .set_three(real, effective, saved, self.has(Capability::CAP_SETGID))?;
        Ok(())
    }

    /// setfsgid(2). Returns the id from before, whether or not it is another now.
    pub fn setfsgid(&mut self, gid: u32) -> u32 {
        let before = self.gid.filesystem;
        self.gid = self
            .gid
            .set_filesystem(gid, self.has(Capability::CAP_SETGID));
        before
    }

    /// setgroups(2): `setgroups()` in kernel/groups.c. The kernel refuses a caller without
    /// `CAP_SETGID` before it reads the list.
    pub fn setgroups(&mut self, mut groups: Vec<u32>) -> Result<(), Errno> {
        if !self.has(Capability::CAP_SETGID) {
            return Err(Errno::EPERM);
        }
        if groups.len() > MOST_GROUPS || groups.contains(&NONE) {
            return Err(Errno::EINVAL);
        }
        groups.sort_unstable();
        self.groups = groups;
        Ok(())
    }

    /// capset(2) on oneself: `mk_kernel_cap()` in kernel/capability.c, which ignores capabilities
    /// that do not exist, and `cap_capset()` in security/commoncap.c.
    pub fn capset(
        &mut self,
        effective: u64,
        permitted: u64,
        inheritable: u64,
    ) -> Result<(), Errno> {
        let [effective, permitted, inheritable] =
            [effective, permitted, inheritable].map(|set| set & ALL_CAPABILITIES);
        let within = |set: u64, bounds: u64| set & !bounds == 0;
        if !self.has(Capability::CAP_SETPCAP)
            && !within(inheritable, self.inheritable | self.permitted)
            || !within(inheritable, self.inheritable | self.bounding)
            || !within(permitted, self.permitted)
            || !within(effective, permitted)
        {
            return Err(Errno::EPERM);
        }
        (self.effective, self.permitted, self.inheritable) = (effective, permitted, inheritable);
        self.ambient &= permitted & inheritable;
        Ok(())
    }

    /// prctl(2) with `option` and its arguments as they are in the registers: `cap_task_prctl()` in
    /// security/commoncap.c; and two of kernel/sys.c. `None`: the option is not about credentials.
    pub fn prctl(&mut self, option: i32, args: [u64; 4]) -> Option<Result<u32, Errno>> {
        Some(match option {
            libc::PR_GET_KEEPCAPS => Ok(self.is_secure(securebits::KEEP_CAPS).into()),
            libc::PR_SET_KEEPCAPS => self.set_keep_caps(args[0]),
            libc::PR_GET_SECUREBITS => Ok(self.securebits),
            libc::PR_SET_SECUREBITS => self.set_securebits(args[0]),
            libc::PR_CAPBSET_READ => {
                capability_bit(args[0]).map(|bit| (self.bounding & bit != 0).into())
            }
            libc::PR_CAPBSET_DROP => self.drop_from_bounding(args[0]),
            libc::PR_CAP_AMBIENT => self.ambient(args),
            libc::PR_SET_NO_NEW_PRIVS if args == [1, 0, 0, 0] => {
                self.no_new_privs = true;
                Ok(0)
            }
            libc::PR_GET_NO_NEW_PRIVS if args == [0; 4] => Ok(self.no_new_privs.into()),
            libc::PR_SET_NO_NEW_PRIVS | libc::PR_GET_NO_NEW_PRIVS => Err(Errno::EINVAL),
            _ => return None,
        })
    }

    /// What execve(2) of a file that gives `file` does to them: `bprm_fill_uid()` in fs/exec.c and
    /// `cap_bprm_creds_from_file()` in security/commoncap.c, for a task that shares its directories
    /// with nobody.
    ///
    /// # Errors
    /// `EPERM` if the file has to have more capabilities than it can get; then nothing has changed.
    pub fn execve(&mut self, file: SetId) -> Result<(), Errno> {
        let (mut uid, mut gid) = (self.uid.effective, self.gid.effective);
        if !self.no_new_privs {
            uid = file.uid.unwrap_or(uid);
            gid = file.gid.unwrap_or(gid);
        }
        // get_file_caps()
        let (mut permitted, mut are_effective) = (0, false);
        if let Some(has) = file.capabilities {
            permitted = self.bounding & has.permitted | self.inheritable & has.inheritable;
            are_effective = has.are_effective;
            if has.permitted & !permitted != 0 && are_effective {
                return Err(Errno::EPERM);
            }
        }
        // handle_privileged_root(): a file without capabilities stands for one with all of them
        // when root executes it.
        let is_real = self.uid.real == 0;
        let is_mixed = file.capabilities.is_some() && uid == 0 && !is_real;
        if !self.is_secure(securebits::NOROOT) && !is_mixed {
            if uid == 0 || is_real {
                permitted = self.bounding | self.inheritable;
            }
            are_effective |= uid == 0;
        }
        // An effective gid that is no group of the task's is taken for that of a setgid file.
        // Before Linux 6.17 an effective id other than the real one was.
        let is_set_id = uid != self.uid.effective || !self.is_in_group(gid);
        let is_more = is_set_id || permitted & !self.permitted != 0;
        if is_more && (self.no_new_privs || file.is_traced) {
            if self.no_new_privs || !self.has(Capability::CAP_SETUID) {
                (uid, gid) = (self.uid.real, self.gid.real);
            }
            permitted &= self.permitted;
        }
        if is_set_id || file.capabilities.is_some() {
            self.ambient = 0;
        }
        self.permitted = permitted | self.ambient;
        self.effective = if are_effective {
            self.permitted
        } else {
            self.ambient
        };
        self.securebits &= !securebits::KEEP_CAPS;
        for (ids, effective) in [(&mut self.uid, uid), (&mut self.gid, gid)] {
            *ids = Ids {
                real: ids.real,
                ..Ids::all(effective)
            };
        }
        Ok(())
    }

    /// Sets the uids and has the capabilities follow: `cap_emulate_setxuid()` in
    /// security/commoncap.c.
    fn become_user(&mut self, new: Ids) {
        let old = std::mem::replace(&mut self.uid, new);
        if self.is_secure(securebits::NO_SETUID_FIXUP) {
            return;
        }
        if old.any_is_root() && !new.any_is_root() {
            if !self.is_secure(securebits::KEEP_CAPS) {
                (self.permitted, self.effective) = (0, 0);
            }
            self.ambient = 0;
        }
        match (old.effective, new.effective) {
            (0, 1..) => self.effective = 0,
            (1.., 0) => self.effective = self.permitted,
            _ => {}
        }
    }

    fn is_secure(&self, bit: u32) -> bool {
        self.securebits & bit != 0
    }

    fn set_keep_caps(&mut self, keep: u64) -> Result<u32, Errno> {
        if keep > 1 {
            return Err(Errno::EINVAL);
        }
        if self.is_secure(securebits::KEEP_CAPS << 1) {
            return Err(Errno::EPERM);
        }
        self.securebits &= !securebits::KEEP_CAPS;
        if keep == 1 {
            self.securebits |= securebits::KEEP_CAPS;
        }
        Ok(0)
    }

    fn set_securebits(&mut self, bits: u64) -> Result<u32, Errno> {
        let new = u32::try_from(bits).map_err(|_| Errno::EPERM)?;
        let (locks, changed) = (self.securebits & securebits::LOCKS, self.securebits ^ new);
        let is_locked = changed & (locks >> 1 | locks) != 0;
        let is_unknown = new & !(securebits::ALL | securebits::LOCKS) != 0;
        // Before Linux 6.14 there were no unprivileged bits. To set what is set already needs the
        // capability, too.
        let is_free = changed != 0
            && changed & !(securebits::UNPRIVILEGED | securebits::UNPRIVILEGED << 1) == 0;
        if is_locked || is_unknown || !is_free && !self.has(Capability::CAP_SETPCAP) {
            return Err(Errno::EPERM);
        }
        self.securebits = new;
        Ok(0)
    }

    fn drop_from_bounding(&mut self, number: u64) -> Result<u32, Errno> {
        if !self.has(Capability::CAP_SETPCAP) {
            return Err(Errno::EPERM);
        }
        self.bounding &= !capability_bit(number)?;
        Ok(0)
    }

    /// `PR_CAP_AMBIENT`, whose own option is the first argument.
    fn ambient(&mut self, [option, number, rest @ ..]: [u64; 4]) -> Result<u32, Errno> {
        const IS_SET: u64 = libc::PR_CAP_AMBIENT_IS_SET as u64;
        const RAISE: u64 = libc::PR_CAP_AMBIENT_RAISE as u64;
        const LOWER: u64 = libc::PR_CAP_AMBIENT_LOWER as u64;
        const CLEAR_ALL: u64 = libc::PR_CAP_AMBIENT_CLEAR_ALL as u64;
        if rest != [0, 0] {
            return Err(Errno::EINVAL);
        }
        match option {
            CLEAR_ALL if number == 0 => self.ambient = 0,
            IS_SET => return Ok((self.ambient & capability_bit(number)? != 0).into()),
            RAISE => {
                let bit = capability_bit(number)?;
                if self.permitted & self.inheritable & bit == 0
                    || self.is_secure(securebits::NO_CAP_AMBIENT_RAISE)
                {
                    return Err(Errno::EPERM);
                }
                self.ambient |= bit;
            }
            LOWER => self.ambient &= !capability_bit(number)?,
            _ => return Err(Errno::EINVAL),
        }
        Ok(0)
    }
}

/// The bit of the capability with this number, `cap_valid()` in include/uapi/linux/capability.h.
fn capability_bit(number: u64) -> Result<u64, Errno> {
    if number <= LAST_CAPABILITY as u64 {
        Ok(1 << number)
    } else {
        Err(Errno::EINVAL)
    }
}
