//! Where lines of a report go. Their reader may be slow, or have stopped: nobody waits for that
//! while the command runs.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How much of a trace may wait for the reader, in bytes. What is more is only counted.
const MOST: usize = 1 << 20;
/// As much is written to a pipe that has room without waiting (pipe(7), `PIPE_BUF`).
const PIECE: usize = 4096;
/// How long the reader has at the end for each piece if zroot does not wait for it, in
/// milliseconds.
const PATIENCE: u16 = 2000;

/// Lines on their way.
#[derive(Debug)]
pub struct Outlet {
    output: File,
    waiting: Vec<u8>,
    /// How many lines did not fit.
    lost: u64,
    /// Why it takes nothing any more.
    error: Option<Errno>,
}

impl Outlet {
    /// To `output`.
    pub fn new(output: File) -> Outlet {
        Outlet {
            output,
            waiting: Vec::new(),
            lost: 0,
            error: None,
        }
    }

    /// Writes a line, or keeps it until the reader has room for it. `about_lost` says how many did
    /// not fit before.
    pub fn add(&mut self, line: &str, about_lost: fn(u64) -> String) {
        self.write(PollTimeout::ZERO);
        if self.waiting.len() + line.len() > MOST {
            self.lost += 1;
            return;
        }
        self.end_gap(about_lost);
        self.push(line);
    }

    /// Says how many lines did not fit, if there are any.
    pub fn end_gap(&mut self, about_lost: fn(u64) -> String) {
        if self.lost > 0 {
            let about = about_lost(std::mem::take(&mut self.lost));
            self.waiting.extend(about.as_bytes());
        }
    }

    /// Writes `text`, or keeps it until the reader has room for it.
    pub fn push(&mut self, text: &str) {
        self.waiting.extend(text.as_bytes());
        self.write(PollTimeout::ZERO);
    }

    /// The output, if something waits for it to have room.
    pub fn waits(&self) -> Option<BorrowedFd<'_>> {
        (!self.waiting.is_empty()).then(|| self.output.as_fd())
    }

    /// Writes what there is room for.
    pub fn go_on(&mut self) {
        self.write(PollTimeout::ZERO);
    }

    /// Writes what waits, as long as it takes while the process behind `patient` is there. After
    /// that, a reader that does not read it at once will not read it.
    pub fn finish(&mut self, patient: Option<BorrowedFd>) {
        if let Some(patient) = patient {
            while let Some(output) = self.waits() {
                let mut fds = [
                    PollFd::new(output, PollFlags::POLLOUT),
                    PollFd::new(patient, PollFlags::empty()),
                ];
                if poll(&mut fds, PollTimeout::NONE) == Err(Errno::EINTR) {
                    continue;
                }
                if fds[1].any() != Some(false) {
                    break;
                }
                self.write(PollTimeout::ZERO);
            }
        }
        self.write(PollTimeout::from(PATIENCE));
        if !self.waiting.is_empty() {
            self.error.get_or_insert(Errno::EAGAIN);
        }
    }

    /// What has kept lines from being written.
    pub fn error(&self) -> Option<Errno> {
        self.error
    }

    /// Writes what waits as long as there is room within `patience`.
    fn write(&mut self, patience: PollTimeout) {
        let mut done = 0;
        while done < self.waiting.len() && has_room(&self.output, patience) {
            let piece = &self.waiting[done..self.waiting.len().min(done + PIECE)];
            match self.output.write(piece) {
                Ok(len) => done += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    done = self.waiting.len();
                    let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
                    self.error.get_or_insert(errno);
                }
            }
        }
        self.waiting.drain(..done);
    }
}

fn has_room(output: &File, patience: PollTimeout) -> bool {
    let mut fds = [PollFd::new(output.as_fd(), PollFlags::POLLOUT)];
    poll(&mut fds, patience).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsFd;

    use nix::unistd::pipe;

    use super::{MOST, Outlet};

    fn about(lost: u64) -> String {
        format!("{lost} lost\n")
    }

    #[test]
    fn what_a_slow_reader_misses_is_counted() {
        let (read, write) = pipe().expect("a pipe");
        let mut outlet = Outlet::new(File::from(write));
        let line = "x".repeat(999) + "\n";
        for _ in 0..MOST / 1000 + 200 {
            outlet.add(&line, about);
        }
        assert!(outlet.lost > 0 && outlet.waiting.len() <= MOST);
        let reader = std::thread::spawn(move || {
            let mut all = String::new();
            File::from(read).read_to_string(&mut all).expect("text");
            all
        });
        // Whoever is patient is there for ever.
        let (patient, _other) = pipe().expect("a pipe");
        outlet.end_gap(about);
        outlet.finish(Some(patient.as_fd()));
        assert_eq!(outlet.error(), None);
        drop(outlet);
        let all = reader.join().expect("a reader");
        let lines = all.lines().filter(|got| *got == line.trim_end()).count();
        let lost = MOST / 1000 + 200 - lines;
        assert!(lost > 0 && all.ends_with(&format!("\n{lost} lost\n")));
    }

    #[test]
    fn what_takes_nothing_is_known() {
        let full = File::options().write(true).open("/dev/full");
        let mut outlet = Outlet::new(full.expect("/dev/full"));
        outlet.push("text\n");
        assert_eq!(outlet.error(), Some(nix::errno::Errno::ENOSPC));
    }
}
