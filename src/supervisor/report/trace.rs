//! Where lines of the trace go. Its reader may be slow, or have stopped: nobody waits for that.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How much may wait for the reader, in bytes. What is more is only counted.
const MOST: usize = 1 << 20;
/// As much is written to a pipe that has room without waiting (pipe(7), `PIPE_BUF`).
const PIECE: usize = 4096;
/// How long the reader has at the end for each piece, in milliseconds.
const PATIENCE: u16 = 2000;

/// Lines on their way.
#[derive(Debug)]
pub struct Trace {
    output: File,
    waiting: Vec<u8>,
    /// How many lines did not fit.
    lost: u64,
    /// What says how many were lost.
    about_lost: fn(u64) -> String,
}

impl Trace {
    /// To `output`.
    pub fn new(output: File, about_lost: fn(u64) -> String) -> Trace {
        Trace {
            output,
            waiting: Vec::new(),
            lost: 0,
            about_lost,
        }
    }

    /// Writes a line, or keeps it until the reader has room for it.
    pub fn add(&mut self, line: &str) {
        self.write(PollTimeout::ZERO);
        if self.waiting.len() + line.len() > MOST {
            self.lost += 1;
            return;
        }
        if self.lost > 0 {
            let about = (self.about_lost)(self.lost);
            self.waiting.extend(about.as_bytes());
            self.lost = 0;
        }
        self.waiting.extend(line.as_bytes());
        self.write(PollTimeout::ZERO);
    }

    /// Writes what waits. A reader that does not read it now will not read it.
    pub fn finish(&mut self) {
        if self.lost > 0 {
            self.waiting.extend((self.about_lost)(self.lost).as_bytes());
        }
        self.write(PollTimeout::from(PATIENCE));
    }

    /// Writes what waits as long as there is room within `patience`.
    fn write(&mut self, patience: PollTimeout) {
        let mut done = 0;
        while done < self.waiting.len() && has_room(&self.output, patience) {
            let piece = &self.waiting[done..self.waiting.len().min(done + PIECE)];
            match self.output.write(piece) {
                Ok(len) => done += len,
                // There is nobody to be told that it cannot be written.
                Err(_) => done = self.waiting.len(),
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

    use nix::unistd::pipe;

    use super::{MOST, Trace};

    #[test]
    fn what_a_slow_reader_misses_is_counted() {
        let (read, write) = pipe().expect("a pipe");
        let mut trace = Trace::new(File::from(write), |lost| format!("{lost} lost\n"));
        let line = "x".repeat(999) + "\n";
        for _ in 0..MOST / 1000 + 200 {
            trace.add(&line);
        }
        assert!(trace.lost > 0 && trace.waiting.len() <= MOST);
        let reader = std::thread::spawn(move || {
            let mut all = String::new();
            File::from(read).read_to_string(&mut all).expect("text");
            all
        });
        trace.finish();
        drop(trace);
        let all = reader.join().expect("a reader");
        let lines = all.lines().filter(|got| *got == line.trim_end()).count();
        let lost = MOST / 1000 + 200 - lines;
        assert!(lost > 0 && all.ends_with(&format!("\n{lost} lost\n")));
    }
}
