//! seccomp(2), the listener's ioctl(2)s (seccomp_unotify(2)) and the calls that prove a filter.

#![allow(unsafe_code)] // no crate has a safe call for any of them

use std::mem::offset_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;

pub use libc::{seccomp_notif, seccomp_notif_resp};

use crate::filter::asm::sock_filter;

/// Room for a notification in shared memory, as large as any kernel's: later ones may have more
/// fields.
pub type NotificationRoom = [AtomicU64; 32];
/// A notification's part that every kernel fills in, as 64-bit words.
const WORDS: usize = size_of::<seccomp_notif>() / 8;

/// An answer, with room for a later kernel's fields.
#[repr(C, align(8))]
struct ResponseRoom {
    response: seccomp_notif_resp,
    more: [u8; 64 - size_of::<seccomp_notif_resp>()],
}

/// Puts `program` on top of the filters that the process has, with `flags`
/// (`SECCOMP_FILTER_FLAG_*`). Returns what seccomp(2) does: with `NEW_LISTENER` a descriptor.
///
/// # Errors
/// seccomp(2)'s.
#[inline]
fn set_mode_filter(program: &[sock_filter], flags: libc::c_ulong) -> Result<RawFd, Errno> {
    /// `struct sock_fprog`, include/uapi/linux/filter.h.
    #[repr(C)]
    struct SockFprog {
        len: libc::c_ushort,
        filter: *const sock_filter,
    }

    let len = libc::c_ushort::try_from(program.len()).map_err(|_| Errno::EINVAL)?;
    let fprog = SockFprog {
        len,
        filter: program.as_ptr(),
    };
    let operation = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: `fprog` and the `len` instructions that it points to outlive the call, which only
    // reads them. A filter changes what later calls return, and never memory.
    let ret = unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, &raw const fprog) };
    Errno::result(ret).map(|fd| RawFd::try_from(fd).unwrap_or(-1))
}

/// Installs `program`.
///
/// # Errors
/// seccomp(2)'s.
#[inline]
pub fn install(program: &[sock_filter], flags: libc::c_ulong) -> Result<(), Errno> {
    set_mode_filter(program, flags & !libc::SECCOMP_FILTER_FLAG_NEW_LISTENER).map(drop)
}

/// Installs `program` and returns the listener to which it hands calls on.
///
/// # Errors
/// seccomp(2)'s; `EBUSY` where there is one above already.
pub fn install_with_listener(
    program: &[sock_filter],
    flags: libc::c_ulong,
) -> Result<OwnedFd, Errno> {
    let fd = set_mode_filter(program, flags | libc::SECCOMP_FILTER_FLAG_NEW_LISTENER)?;
    // SAFETY: with this flag the kernel has just made the descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// kexec_load(2) with arguments that the kernel refuses whoever asks (more segments than
/// `KEXEC_SEGMENT_MAX` and unknown flags: kernel/kexec.c, `kexec_load_check`), and `entry`: only a
/// filter or its supervisor answers it with success.
///
/// # Errors
/// The kernel's, or another filter's.
#[inline]
pub fn kexec_load(entry: usize) -> Result<libc::c_long, Errno> {
    let (segments, flags) = (usize::MAX, usize::MAX);
    let none = ptr::null::<libc::c_void>();
    // SAFETY: the segment pointer is null and the count out of range, so that no memory is touched,
    // whoever answers.
    let ret = unsafe { libc::syscall(libc::SYS_kexec_load, entry, segments, none, flags) };
    Errno::result(ret)
}

/// setgroups(2) with `count` groups and no list. The kernel refuses it, whoever asks, if `count` is
/// above `NGROUPS_MAX` (kernel/groups.c).
///
/// # Errors
/// The kernel's, or another filter's.
pub fn setgroups_without_list(count: usize) -> Result<libc::c_long, Errno> {
    // SAFETY: the pointer is null, so that no memory is touched, whoever answers.
    let ret = unsafe { libc::syscall(libc::SYS_setgroups, count, ptr::null::<libc::gid_t>()) };
    Errno::result(ret)
}

/// Waits for the next notification and puts it into `room`.
///
/// # Errors
/// ioctl(2)'s: `ENOENT` if the caller is gone, `EINTR`.
pub fn receive(listener: BorrowedFd, room: &NotificationRoom) -> Result<(), Errno> {
    // The kernel wants it zeroed (kernel/seccomp.c, seccomp_notify_recv: check_zeroed_user).
    for word in room {
        word.store(0, Ordering::Relaxed);
    }
    let request = libc::SECCOMP_IOCTL_NOTIF_RECV as _;
    // SAFETY: `room` is as large as the kernel's structure, or larger, and atomic, so that whoever
    // else reads it meanwhile sees integers.
    let ret = unsafe { libc::ioctl(listener.as_raw_fd(), request, room.as_ptr()) };
    Errno::result(ret).map(drop)
}

/// The number of the notification that is in `room`, which comes first in it; 0 if there is none.
#[must_use]
pub fn id(room: &NotificationRoom) -> u64 {
    const { assert!(offset_of!(seccomp_notif, id) == 0) };
    room[0].load(Ordering::Acquire)
}

/// Copies the notification that is in `from` to `to`, its number last: it makes it count.
pub fn copy(from: &NotificationRoom, to: &NotificationRoom) {
    for (from, to) in from.iter().zip(to).skip(1) {
        to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
    }
    to[0].store(from[0].load(Ordering::Acquire), Ordering::Release);
}

/// Leaves no notification in `room`.
pub fn clear(room: &NotificationRoom) {
    room[0].store(0, Ordering::Release);
}

/// The notification that is in `room`.
#[must_use]
pub fn notification(room: &NotificationRoom) -> seccomp_notif {
    let words: [u64; WORDS] = std::array::from_fn(|i| room[i].load(Ordering::Relaxed));
    // SAFETY: it is of plain integers, for which any bits are values.
    unsafe { std::mem::transmute::<[u64; WORDS], seccomp_notif>(words) }
}

/// Answers a notification. A signal does not keep it from that.
///
/// # Errors
/// ioctl(2)'s: `ENOENT` if nobody waits for it any more.
pub fn send(listener: BorrowedFd, response: seccomp_notif_resp) -> Result<(), Errno> {
    let more = [0; 64 - size_of::<seccomp_notif_resp>()];
    let mut room = ResponseRoom { response, more };
    let request = libc::SECCOMP_IOCTL_NOTIF_SEND as _;
    uninterrupted(|| {
        // SAFETY: the kernel reads its structure, which is not larger than the room.
        unsafe { libc::ioctl(listener.as_raw_fd(), request, &raw mut room) }
    })
}

/// Gives the caller of notification `id` a descriptor for what is open at `file`; with
/// `is_cloexec`, one that execve(2) closes. Returns its number there. The caller goes on waiting:
/// to give and to answer in one (`SECCOMP_ADDFD_FLAG_SEND`) has it see descriptor 0, if this
/// process is killed meanwhile (kernel/seccomp.c, `seccomp_notify_addfd`).
///
/// # Errors
/// ioctl(2)'s: `EMFILE` if the caller may have no more, `ENOENT` if nobody waits any more.
pub fn add_fd(
    listener: BorrowedFd,
    id: u64,
    file: BorrowedFd,
    is_cloexec: bool,
) -> Result<RawFd, Errno> {
    let flag = if is_cloexec { libc::O_CLOEXEC } else { 0 };
    let request = libc::SECCOMP_IOCTL_NOTIF_ADDFD as _;
    let addition = libc::seccomp_notif_addfd {
        id,
        flags: 0,
        srcfd: u32::try_from(file.as_raw_fd()).map_err(|_| Errno::EBADF)?,
        newfd: 0,
        newfd_flags: u32::try_from(flag).map_err(|_| Errno::EINVAL)?,
    };
    loop {
        // SAFETY: the kernel reads the structure.
        let ret = unsafe { libc::ioctl(listener.as_raw_fd(), request, &raw const addition) };
        match Errno::result(ret) {
            Err(Errno::EINTR) => {}
            number => return number,
        }
    }
}

/// Whether the caller of notification `id` still waits. A signal does not make it look gone.
#[must_use]
pub fn is_valid(listener: BorrowedFd, id: u64) -> bool {
    let request = libc::SECCOMP_IOCTL_NOTIF_ID_VALID as _;
    uninterrupted(|| {
        // SAFETY: the kernel reads eight bytes.
        unsafe { libc::ioctl(listener.as_raw_fd(), request, &raw const id) }
    })
    .is_ok()
}

/// Makes `call` until no signal interrupts it: the ioctls that this is for wait for a mutex
/// (kernel/seccomp.c, `mutex_lock_interruptible`).
fn uninterrupted(mut call: impl FnMut() -> libc::c_int) -> Result<(), Errno> {
    loop {
        match Errno::result(call()) {
            Err(Errno::EINTR) => {}
            result => return result.map(drop),
        }
    }
}

/// Has both sides of `listener` wake each other on the same processor, as a function call would go
/// on there, or wherever the scheduler likes.
///
/// # Errors
/// ioctl(2)'s: the kernel is older than 6.6.
pub fn set_sync_wake_up(listener: BorrowedFd, on: bool) -> Result<(), Errno> {
    /// include/uapi/linux/seccomp.h.
    const SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP: libc::c_ulong = 1;
    let flags = if on {
        SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
    } else {
        0
    };
    let request = libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS as _;
    // SAFETY: this ioctl takes its argument by value.
    let ret = unsafe { libc::ioctl(listener.as_raw_fd(), request, flags) };
    Errno::result(ret).map(drop)
}
