//! The journal, which others of the same user can write to: whatever is in it is read to its end,
//! or is no journal, and a new one begins.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::rc::Rc;

use zroot::internals::supervisor::memory::id_maps::IdMaps;
use zroot::internals::supervisor::memory::processes::Processes;
use zroot::internals::supervisor::recovery::journal::{Journal, Table};

use super::input::Input;

/// Where the first record begins.
const HEADER: u64 = 16;

/// A journal with these bytes, and its file.
fn filled(bytes: &[u8]) -> (Journal, File) {
    let mut input = Input::new(bytes);
    let journal = Journal::new().expect("a journal");
    let path = format!("/proc/self/fd/{}", journal.descriptor());
    let file = File::options()
        .read(true)
        .write(true)
        .open(path)
        .expect("the same file");
    let mut choices = Input::new(input.bytes(64));
    let kind = choices.byte() % 4;
    let rest = match kind {
        0 => return (journal, file),
        // Whatever it is.
        1 => input.rest().to_vec(),
        // Records of sizes that make sense, or nearly.
        _ => {
            let mut rest = vec![0; 16];
            while !input.is_empty() && rest.len() < 1 << 16 {
                let len = if kind == 2 {
                    input.below(400)
                } else {
                    usize::from(input.byte()) * 8
                };
                let mut record = input.bytes(len).to_vec();
                record.resize(len, 0);
                // Whose records begin with a small number.
                if let Some(first) = record.first_chunk_mut() {
                    *first = u64::from(input.byte() % 4).to_ne_bytes();
                }
                let said = (input.near(&[len as u64]) & 0xffff_ffff) as u32;
                let tag = (input.near(&[1, 2]) & 0xffff_ffff) as u32;
                rest.extend(said.to_ne_bytes());
                rest.extend(tag.to_ne_bytes());
                rest.extend(record);
            }
            let end = rest.len() as u64;
            let start = choices.near(&[HEADER, HEADER, end]);
            let end = choices.near(&[end, end / 2, 1 << 40]);
            rest[..8].copy_from_slice(&start.to_ne_bytes());
            rest[8..16].copy_from_slice(&end.to_ne_bytes());
            rest
        }
    };
    file.write_all_at(&rest, 0).expect("memory");
    // A file may be longer than what it takes.
    if choices.byte() % 2 == 0 {
        let len = choices.near(&[rest.len() as u64, 1 << 62]) >> 1;
        file.set_len(len).unwrap_or_default();
    }
    (journal, file)
}

pub fn check(bytes: &[u8]) {
    let (journal, file) = filled(bytes);
    let read = |journal: &Journal| {
        let (mut count, mut size) = (0_u64, 0_u64);
        // What the file has not, no record has.
        let most = file.metadata().expect("a file").blocks() * 512;
        for record in journal
            .records(Table::Processes)
            .chain(journal.records(Table::Report))
        {
            count += 1;
            size += record.len() as u64;
        }
        assert!(
            count * 8 <= most && size <= most,
            "{count} records, {size} bytes"
        );
    };
    read(&journal);
    let journal = Rc::new(journal);
    thread_local!(static MAPS: IdMaps = IdMaps::read(0, false));
    let mut processes =
        MAPS.with(|maps| Processes::new(Rc::clone(&journal), |_, _| None, maps, None));
    processes.reload();
    // It goes on.
    journal.append(Table::Processes, b"the last one");
    read(&journal);
    let own = || [b"one".to_vec(), b"two".to_vec()];
    journal.replace(Table::Report, own().into_iter());
    assert!(journal.records(Table::Report).eq(own()));
    journal.append(Table::Report, b"three");
    assert_eq!(
        journal.records(Table::Report).last().as_deref(),
        Some(&b"three"[..])
    );
}
