//! What must survive the supervisor: records in memory that its standby shares.

use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// The journal begins with where its records start and end, 8 bytes each; each record with its
/// length, 4 bytes. A record counts once the end says so.
const HEADER: u64 = 16;

/// A list of records that grows at its end.
pub struct Journal {
    file: File,
}

impl Journal {
    /// An empty one.
    ///
    /// # Errors
    /// memfd_create(2)'s.
    pub fn new() -> Result<Journal, Errno> {
        Ok(Journal {
            file: File::from(memfd_create(c"zroot-journal", MFdFlags::MFD_CLOEXEC)?),
        })
    }

    /// The descriptor that must stay open.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// The same journal, held once more.
    ///
    /// # Errors
    /// [`std::io::Error`] where there is no descriptor to be had.
    pub fn try_clone(&self) -> std::io::Result<Journal> {
        Ok(Journal {
            file: self.file.try_clone()?,
        })
    }

    /// Every record, the oldest first.
    #[must_use]
    pub fn records(&self) -> Vec<Vec<u8>> {
        let (start, end) = self.bounds();
        let mut bytes = vec![0; usize::try_from(end - start).unwrap_or_default()];
        if self.file.read_exact_at(&mut bytes, start).is_err() {
            return Vec::new();
        }
        let mut records = Vec::new();
        let mut rest = &bytes[..];
        while let Some((len, after)) = rest.split_first_chunk::<4>() {
            let Some((record, after)) = after.split_at_checked(u32::from_ne_bytes(*len) as usize)
            else {
                break;
            };
            records.push(record.to_vec());
            rest = after;
        }
        records
    }

    /// Adds one. Where memory is short it is lost, but only for a supervisor that takes over.
    pub fn append(&self, record: &[u8]) {
        let (start, end) = self.bounds();
        if let Some(end) = self.write(end, record) {
            self.set_bounds(start, end);
        }
    }

    /// Puts `records` in the place of all that there are.
    pub fn rewrite(&self, records: impl Iterator<Item = Vec<u8>>) {
        let (old_start, start) = self.bounds();
        let mut end = start;
        for record in records {
            match self.write(end, &record) {
                Some(next) => end = next,
                None => return, // the old ones stay
            }
        }
        self.set_bounds(start, end);
        // Where they were there is a hole now, which takes no memory.
        if let (Ok(at), Ok(len)) = (old_start.try_into(), (start - old_start).try_into()) {
            let _ = fallocate(
                &self.file,
                FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE,
                at,
                len,
            );
        }
    }

    fn write(&self, at: u64, record: &[u8]) -> Option<u64> {
        let len = u32::try_from(record.len()).ok()?;
        self.file
            .write_all_at(&[&len.to_ne_bytes(), record].concat(), at)
            .ok()?;
        Some(at + 4 + u64::from(len))
    }

    fn bounds(&self) -> (u64, u64) {
        let mut header = [0; 16];
        // It comes with the first record.
        if self.file.read_exact_at(&mut header, 0).is_err() {
            return (HEADER, HEADER);
        }
        let (start, end) = header.split_at(8);
        (
            u64::from_ne_bytes(start.try_into().unwrap_or_default()),
            u64::from_ne_bytes(end.try_into().unwrap_or_default()),
        )
    }

    fn set_bounds(&self, start: u64, end: u64) {
        let _ = self
            .file
            .write_all_at([start.to_ne_bytes(), end.to_ne_bytes()].as_flattened(), 0);
    }
}
