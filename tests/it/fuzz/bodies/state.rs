//! A state file, which may come from anywhere: it is read or refused, and what was read is written
//! and read again as it was.

use zroot::internals::state::{read, write};
use zroot::internals::supervisor::memory::owners::Owners;
use zroot::internals::supervisor::memory::remembered::Remembered;

use super::input::Input;

/// A small table. Its memory stays, so that there is one, and another for what is read again.
fn table() -> (Owners, Remembered) {
    let owners = Owners::with(1 << 10, 1 << 4).expect("memory");
    (owners, Remembered::of_table(owners).expect("memory"))
}

/// It, with nothing in it any more.
fn empty((owners, all): &(Owners, Remembered)) -> Remembered {
    let mut inodes = Vec::new();
    all.each(|file| inodes.push(file.inode));
    for inode in inodes {
        owners.forget(inode);
    }
    *all
}

fn written(all: &Remembered) -> Vec<u8> {
    let mut text = Vec::new();
    write(all, true, &mut text).expect("memory");
    text
}

/// Lines that are right, or nearly.
fn text(input: &mut Input) -> Vec<u8> {
    let mut text = Vec::new();
    let mut lines = 0;
    while !input.is_empty() && text.len() < 1 << 16 {
        let inode = format!("dev={:x},ino={}", input.byte() % 4, input.byte() % 8);
        let (number, other) = (input.near(&[0, 5, 0x1ff, 1 << 32]), input.byte());
        let line = match input.byte() % 8 {
            0 | 1 => {
                let zero = if other % 2 == 0 { "dev=0" } else { "dev=" };
                let inode = inode.replacen("dev=", zero, 1);
                let kind = u32::from(other % 16) << 12;
                let mode = kind | u32::from(other) << 3;
                format!("{inode},mode={mode:o},uid={number},gid={other},nlink=1,rdev={number}\n")
            }
            2 => format!("zroot-seen {inode},born={number:x},shown={}\n", other % 2),
            3 => format!("zroot-xattr {inode},name=user.%{other:02x},value={number:016x}\n"),
            4 => format!("zroot-gone {inode},name=trusted.{other}\n"),
            5 => format!("zroot-end lines={lines}\n"),
            6 => "\n".into(),
            _ => {
                text.extend(input.bytes(other.into()));
                continue;
            }
        };
        lines += 1;
        text.extend(line.as_bytes());
    }
    text
}

pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let text = if input.byte() % 4 == 0 {
        input.rest().to_vec()
    } else {
        text(&mut input)
    };
    thread_local!(static TABLES: [(Owners, Remembered); 2] = [table(), table()]);
    let [all, again] = TABLES.with(|tables| tables.each_ref().map(empty));
    if read(&text[..], &all).is_err() {
        return;
    }
    let once = written(&all);
    read(&once[..], &again).expect("it is one of ours");
    assert!(
        written(&again) == once,
        "{}",
        String::from_utf8_lossy(&once)
    );
}
