//! What must survive the process that serves: records of several tables, in memory that its
//! successor shares.

use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileExt, MetadataExt};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// The journal begins with where its records start and end, 8 bytes each. A record counts once the
/// end says so.
const HEADER: u64 = 16;

/// Whose a record is. The number goes into the journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Table {
    /// Which credentials which process has set.
    Processes = 1,
    /// What was pretended.
    Report = 2,
}

/// A list of records that grows at its end: length and table, 4 bytes each, then the record.
pub struct Journal {
    file: File,
}

impl Journal {
    /// An empty one.
    ///
    /// # Errors
    /// memfd_create(2)'s.
    pub fn new() -> Result<Journal, Errno> {
        let file = File::from(memfd_create(c"zroot-journal", MFdFlags::MFD_CLOEXEC)?);
        Ok(Journal { file })
    }

    /// The descriptor that must stay open.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Every record of `table`, the oldest first. They are read one by one: some are large.
    pub fn records(&self, table: Table) -> impl Iterator<Item = Vec<u8>> {
        let own = move |tag| tag == table as u32;
        self.those(own).map(|(_, record)| record)
    }

    /// Every record whose table's number is `wanted`, with that.
    fn those(&self, wanted: impl Fn(u32) -> bool) -> impl Iterator<Item = (u32, Vec<u8>)> {
        let (mut at, end) = self.bounds();
        let mut read = move || -> Option<(u32, Option<Vec<u8>>)> {
            let mut head = [0; 8];
            let start = at + 8;
            if start > end {
                return None;
            }
            self.file.read_exact_at(&mut head, at).ok()?;
            let (len, tag) = head.split_at(4);
            let [len, tag] =
                [len, tag].map(|word| u32::from_ne_bytes(word.try_into().unwrap_or_default()));
            at = start + u64::from(len);
            if at > end {
                return None;
            }
            if !wanted(tag) {
                return Some((tag, None));
            }
            let mut record = vec![0; len as usize];
            self.file.read_exact_at(&mut record, start).ok()?;
            Some((tag, Some(record)))
        };
        std::iter::from_fn(move || {
            loop {
                if let (tag, Some(record)) = read()? {
                    return Some((tag, record));
                }
            }
        })
    }

    /// Adds one to `table`. Where memory is short it is lost; only a successor would notice.
    pub fn append(&self, table: Table, record: &[u8]) {
        let (start, end) = self.bounds();
        if let Some(end) = self.write(end, table as u32, record) {
            self.set_bounds(start, end);
        }
    }

    /// Puts `records` in the place of all that `table` has. Those of other tables stay.
    pub fn replace(&self, table: Table, records: impl Iterator<Item = Vec<u8>>) {
        let others = self.those(|tag| tag != table as u32);
        let records = others.chain(records.map(|record| (table as u32, record)));
        let (old_start, start) = self.bounds();
        let mut end = start;
        for (tag, record) in records {
            match self.write(end, tag, &record) {
                Some(next) => end = next,
                None => return, // the old ones stay
            }
        }
        self.set_bounds(start, end);
        // Give the memory of the old ones back.
        if let (Ok(at), Ok(len)) = (old_start.try_into(), (start - old_start).try_into()) {
            let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            let _ = fallocate(&self.file, hole, at, len);
        }
    }

    fn write(&self, at: u64, tag: u32, record: &[u8]) -> Option<u64> {
        let len = u32::try_from(record.len()).ok()?;
        let head = [len.to_ne_bytes(), tag.to_ne_bytes()];
        self.file.write_all_at(head.as_flattened(), at).ok()?;
        self.file.write_all_at(record, at + 8).ok()?;
        Some(at + 8 + u64::from(len))
    }

    fn bounds(&self) -> (u64, u64) {
        let mut header = [0; 16];
        // It comes with the first record.
        if self.file.read_exact_at(&mut header, 0).is_err() {
            return (HEADER, HEADER);
        }
        let (start, end) = header.split_at(8);
        let start = u64::from_ne_bytes(start.try_into().unwrap_or_default());
        let end = u64::from_ne_bytes(end.try_into().unwrap_or_default());
        // Processes of the same user can write to it. What cannot be is no journal: a new one
        // begins. Nor is what has no memory behind it, which could be as long as anybody likes.
        let (len, memory) = self
            .file
            .metadata()
            .map_or((0, 0), |about| (about.len(), about.blocks() * 512));
        if (HEADER..=end).contains(&start) && end <= len && end - start <= memory {
            (start, end)
        } else {
            (HEADER, HEADER)
        }
    }

    fn set_bounds(&self, start: u64, end: u64) {
        let bounds = [start.to_ne_bytes(), end.to_ne_bytes()];
        let _ = self.file.write_all_at(bounds.as_flattened(), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::{Journal, Table};

    /// A table that zroot does not have yet, as a later level's.
    const OTHER: u32 = 1000;

    #[test]
    fn a_journal_that_cannot_be_is_empty() {
        let journal = Journal::new().expect("a journal");
        journal.append(Table::Processes, b"one");
        for (start, end) in [
            (0, 20),
            (16, u64::MAX),
            (u64::MAX, 0),
            (30, 20),
            (16, 1 << 40),
        ] {
            journal.set_bounds(start, end);
            assert_eq!(journal.records(Table::Processes).count(), 0);
        }
        // Zeroes that nobody has written are records without contents.
        journal.file.set_len(1 << 50).expect("a hole");
        journal.set_bounds(16, 1 << 50);
        assert_eq!(journal.records(Table::Processes).count(), 0);
        journal.append(Table::Processes, b"two");
        assert!(journal.records(Table::Processes).eq([b"two"]));
    }

    #[test]
    fn replacing_one_tables_records_leaves_the_others() {
        let journal = Journal::new().expect("a journal");
        journal.append(Table::Processes, b"old");
        let (start, end) = journal.bounds();
        let end = journal.write(end, OTHER, b"another's").expect("a record");
        journal.set_bounds(start, end);
        journal.append(Table::Processes, b"older");
        journal.replace(Table::Processes, [b"new".to_vec()].into_iter());
        assert!(journal.records(Table::Processes).eq([b"new"]));
        let others: Vec<_> = journal.those(|tag| tag == OTHER).collect();
        assert_eq!(others, [(OTHER, b"another's".to_vec())]);
        journal.append(Table::Processes, b"newer");
        let records: Vec<_> = journal.records(Table::Processes).collect();
        assert_eq!(records, [b"new".to_vec(), b"newer".to_vec()]);
    }
}
