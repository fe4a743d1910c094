// System calls that no library makes, by number, of x86-64: ids are a thread's own then.

use std::arch::asm;
use std::{fs, io, process};

const FSTAT: usize = 5;
const FCHOWN: usize = 93;
const CHOWN: usize = 92;
const LCHOWN: usize = 94;
const FCHOWNAT: usize = 260;
const GETUID: usize = 102;
const GETGID: usize = 104;
const SETUID: usize = 105;
const SETGID: usize = 106;
const GETEUID: usize = 107;
const GETEGID: usize = 108;
const GETGROUPS: usize = 115;
const SETGROUPS: usize = 116;
const AT_FDCWD: usize = -100_isize as usize;

fn call(number: usize, arguments: [usize; 5]) -> isize {
    let answer;
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => answer, in("rdi") arguments[0], in("rsi") arguments[1],
            in("rdx") arguments[2], in("r10") arguments[3], in("r8") arguments[4], out("rcx") _, out("r11") _);
    }
    answer
}

fn fail(text: &str) -> ! {
    eprintln!("{text}");
    process::exit(1);
}

fn must(what: &str, number: usize, arguments: [usize; 5]) {
    let answer = call(number, arguments);
    if answer != 0 {
        fail(&format!("{what}: {}", io::Error::from_raw_os_error(-answer as i32)));
    }
}

fn change() {
    let (file, link) = (c"f".as_ptr() as usize, c"l".as_ptr() as usize);
    must("chown", CHOWN, [file, 1, 1, 0, 0]);
    must("lchown", LCHOWN, [link, 1, 1, 0, 0]);
    must("fchownat", FCHOWNAT, [AT_FDCWD, file, 1, 1, 0]);
    must("fchown", FCHOWN, [open(), 1, 1, 0, 0]);
}

fn open() -> usize {
    use std::os::fd::IntoRawFd;
    fs::File::open("f").map(|file| file.into_raw_fd() as usize).unwrap_or_else(|error| fail(&error.to_string()))
}

fn drop() {
    must("setgroups", SETGROUPS, [1, [1_u32].as_ptr() as usize, 0, 0, 0]);
    must("setgid", SETGID, [1, 0, 0, 0, 0]);
    must("setuid", SETUID, [1, 0, 0, 0, 0]);
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("chown") => {
            change();
            println!("changed");
        }
        Some("owner") => {
            change();
            // struct stat: st_uid and st_gid are at 28 and 32.
            let mut stat = [0_u32; 36];
            must("fstat", FSTAT, [open(), stat.as_mut_ptr() as usize, 0, 0, 0]);
            if stat[7..9] != [1, 1] {
                fail(&format!("still {}:{}", stat[7], stat[8]));
            }
            println!("1:1");
        }
        Some("drop") => {
            drop();
            let now = [GETUID, GETEUID, GETGID, GETEGID].map(|number| call(number, [0; 5]));
            if now != [1; 4] {
                fail(&format!("still {}", now[0]));
            }
            let mut groups = [0_u32; 8];
            if call(GETGROUPS, [8, groups.as_mut_ptr() as usize, 0, 0, 0]) != 1 || groups[0] != 1 {
                fail(&format!("groups {groups:?}"));
            }
            if call(SETUID, [0; 5]) == 0 {
                fail("root again");
            }
            println!("dropped");
        }
        _ => {
            drop();
            let child = process::Command::new("id").arg("-u").output().unwrap_or_else(|error| fail(&error.to_string()));
            let uid = String::from_utf8_lossy(&child.stdout).trim().to_owned();
            if uid != "1" {
                fail(&format!("child is {uid}"));
            }
            println!("child is 1");
        }
    }
}
