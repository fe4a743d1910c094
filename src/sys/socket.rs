//! Descriptors that come over a socket.

#![allow(unsafe_code)] // a number that came in a message becomes an owned descriptor

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

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
