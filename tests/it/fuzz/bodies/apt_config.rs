//! `APT_CONFIG`: whatever the user's own file has is in ours, behind our own settings.

use std::ffi::{CStr, CString, OsStr};
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use nix::sys::memfd::{MFdFlags, memfd_create};
use zroot::internals::launch::apt::config_in_memory;

/// What is in the file that `own` names becomes this.
fn made(own: Option<&CStr>) -> Vec<u8> {
    let path = config_in_memory(own)
        .expect("a configuration")
        .expect("a /proc");
    let path = OsStr::from_bytes(path.to_bytes());
    let contents = fs::read(path).expect("a file");
    let fd = path.to_str().and_then(|path| path.rsplit('/').next());
    let fd: RawFd = fd
        .and_then(|fd| fd.parse().ok())
        .expect("a descriptor's number");
    nix::unistd::close(fd).expect("it is open");
    contents
}

pub fn check(bytes: &[u8]) {
    let memfd = memfd_create(c"own", MFdFlags::MFD_CLOEXEC).expect("a file");
    let mut own = File::from(memfd);
    own.write_all(bytes).expect("memory");
    let path = CString::new(format!("/proc/self/fd/{}", own.as_raw_fd())).expect("no null");
    let settings = made(None);
    let all = made(Some(&path));
    if bytes.starts_with(&settings) {
        assert_eq!(all, bytes);
    } else {
        assert_eq!(all, [&settings, bytes].concat());
    }
    // An enclosing zroot's is not put in front of itself.
    own.set_len(0).expect("a file");
    let mut own = File::create(OsStr::from_bytes(path.to_bytes())).expect("the same file");
    own.write_all(&all).expect("memory");
    assert_eq!(made(Some(&path)), all);
}
