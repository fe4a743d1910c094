//! Descriptors that come over a socket; sockets that have a path.

#![allow(unsafe_code)] // a number that came in a message becomes an owned descriptor; bind(2)

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, UnixAddr, getpeername, getsockname, recvmsg,
    sendmsg,
};

/// Sends a copy of `fd` over `socket`.
///
/// # Errors
/// sendmsg(2)'s: `EPIPE` if nobody receives.
pub fn send_descriptor(socket: impl AsFd, fd: impl AsFd) -> Result<(), Errno> {
    let fds = [fd.as_fd().as_raw_fd()];
    let data = [IoSlice::new(b"fd")];
    let message = [ControlMessage::ScmRights(&fds)];
    let to = socket.as_fd().as_raw_fd();
    sendmsg::<()>(to, &data, &message, MsgFlags::MSG_NOSIGNAL, None).map(drop)
}

/// Waits for a descriptor that comes over `socket`; `None` if the other end is closed instead.
pub fn receive_descriptor(socket: impl AsFd) -> Option<OwnedFd> {
    let mut text = [0; 16];
    let mut data = [IoSliceMut::new(&mut text)];
    let mut space = nix::cmsg_space!([RawFd; 1]);
    let from = socket.as_fd().as_raw_fd();
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(from, &mut data, Some(&mut space), flags).ok()?;
    message.cmsgs().ok()?.find_map(|message| match message {
        ControlMessageOwned::ScmRights(fds) => {
            let fd = *fds.first()?;
            // SAFETY: the kernel has just made the descriptor for us.
            Some(unsafe { OwnedFd::from_raw_fd(fd) })
        }
        _ => None,
    })
}

/// The path that `socket`, of `AF_UNIX`, is bound to, empty if it is not bound; `None` for another
/// kind of socket or address.
#[must_use]
pub fn path_of(socket: impl AsFd) -> Option<Vec<u8>> {
    path_in(getsockname(socket.as_fd().as_raw_fd()))
}

/// The same of the other end of `socket`; empty also if there is none.
#[must_use]
pub fn path_of_peer(socket: impl AsFd) -> Option<Vec<u8>> {
    match getpeername(socket.as_fd().as_raw_fd()) {
        Err(Errno::ENOTCONN) => Some(Vec::new()),
        address => path_in(address),
    }
}

fn path_in(address: Result<UnixAddr, Errno>) -> Option<Vec<u8>> {
    let address = address.ok()?;
    if address.is_unnamed() {
        return Some(Vec::new());
    }
    Some(address.path()?.as_os_str().as_bytes().to_vec())
}

/// bind(2) to a path, which may fill all the room that there is for one.
///
/// # Errors
/// bind(2)'s; `ENAMETOOLONG`.
pub fn bind_to_path(socket: impl AsFd, path: &[u8]) -> Result<(), Errno> {
    let mut address = libc::sockaddr_un {
        sun_family: libc::AF_UNIX.try_into().map_err(|_| Errno::EINVAL)?,
        sun_path: [0; 108],
    };
    let room = address.sun_path.get_mut(..path.len());
    for (to, from) in room.ok_or(Errno::ENAMETOOLONG)?.iter_mut().zip(path) {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    let (fd, from) = (socket.as_fd().as_raw_fd(), (&raw const address).cast());
    let len = size_of_val(&address)
        .try_into()
        .map_err(|_| Errno::EINVAL)?;
    // SAFETY: the kernel reads one struct sockaddr_un.
    Errno::result(unsafe { libc::bind(fd, from, len) }).map(drop)
}
