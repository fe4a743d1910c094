// The standard library's chown, and setuid of a static libc.

use std::ffi::{c_int, c_uint};
use std::os::unix::fs::{MetadataExt, chown, fchown, lchown};
use std::sync::mpsc::channel;
use std::{fs, io, process, thread};

unsafe extern "C" {
    safe fn getuid() -> c_uint;
    safe fn geteuid() -> c_uint;
    safe fn getgid() -> c_uint;
    safe fn getegid() -> c_uint;
    fn getgroups(size: c_int, list: *mut c_uint) -> c_int;
    fn setgroups(size: usize, list: *const c_uint) -> c_int;
    safe fn setgid(gid: c_uint) -> c_int;
    safe fn setuid(uid: c_uint) -> c_int;
}

fn fail(text: &str) -> ! {
    eprintln!("{text}");
    process::exit(1);
}

fn must(what: &str, answer: c_int) {
    if answer != 0 {
        fail(&format!("{what}: {}", io::Error::last_os_error()));
    }
}

fn change() -> io::Result<()> {
    chown("f", Some(1), Some(1))?;
    fchown(fs::File::open("f")?, Some(1), Some(1))?;
    lchown("l", Some(1), Some(1))
}

fn drop() {
    must("setgroups", unsafe { setgroups(1, [1].as_ptr()) });
    must("setgid", setgid(1));
    must("setuid", setuid(1));
}

fn main() -> io::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("chown") => {
            change()?;
            println!("changed");
        }
        Some("owner") => {
            change()?;
            let now = fs::metadata("f")?;
            if (now.uid(), now.gid()) != (1, 1) {
                fail(&format!("still {}:{}", now.uid(), now.gid()));
            }
            println!("1:1");
        }
        Some("drop") => {
            // A thread that is there already.
            let (go, dropped) = channel::<()>();
            let thread = thread::spawn(move || dropped.recv().map(|()| getuid()));
            drop();
            go.send(()).expect("a thread that waits");
            let seen = thread.join().expect("a thread").expect("its answer");
            if (getuid(), geteuid(), seen) != (1, 1, 1) {
                fail(&format!("still {}, the thread {seen}", getuid()));
            }
            let mut groups = [0; 8];
            let count = unsafe { getgroups(8, groups.as_mut_ptr()) };
            if (getgid(), getegid(), count, groups[0]) != (1, 1, 1, 1) {
                fail(&format!("group {}", getgid()));
            }
            if setuid(0) == 0 {
                fail("root again");
            }
            println!("dropped");
        }
        _ => {
            drop();
            let child = process::Command::new("id").arg("-u").output()?;
            let uid = String::from_utf8_lossy(&child.stdout).trim().to_owned();
            if uid != "1" {
                fail(&format!("child is {uid}"));
            }
            println!("child is 1");
        }
    }
    Ok(())
}
