//! System V objects.

use nix::errno::Errno;

use crate::arch::{Abi, Sysno};

/// Room for what any of the calls reads: `struct semid64_ds`, `msqid64_ds`, `shmid64_ds`
/// (include/uapi/asm-generic), of which the longest has 120 bytes.
pub type Structure = [u64; 32];

/// How much of the structure counts for `call`, in bytes.
#[must_use]
pub fn size(call: Sysno) -> usize {
    match call {
        // Nothing else of it is set (ipc/sem.c, `semctl_down`).
        Sysno::semctl => size_of::<libc::ipc_perm>(),
        Sysno::msgctl => size_of::<libc::msqid_ds>(),
        _ => size_of::<libc::shmid_ds>(),
    }
}

/// `call`, which is one of semctl(2), msgctl(2) and shmctl(2), for `id`, with `command`, which is
/// `IPC_SET`.
///
/// # Errors
/// The call's.
pub fn set(call: Sysno, id: i32, command: i32, structure: &Structure) -> Result<(), Errno> {
    let number = call.nr(Abi::NATIVE).ok_or(Errno::ENOSYS)?;
    let at = structure.as_ptr();
    #[allow(clippy::unnecessary_fallible_conversions)] // elsewhere a long has 32 bits
    let number = libc::c_long::try_from(number).map_err(|_| Errno::ENOSYS)?;
    // SAFETY: the kernel reads a structure, which is not larger than the room.
    #[allow(unsafe_code)]
    let ret = unsafe {
        match call {
            Sysno::semctl => libc::syscall(number, id, 0, command, at),
            _ => libc::syscall(number, id, command, at),
        }
    };
    Errno::result(ret).map(drop)
}
