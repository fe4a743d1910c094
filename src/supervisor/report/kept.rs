//! What becomes of what is remembered, at the end of the run.

use crate::filter::policy::{Class, ClassSet};

/// Whether it outlives the run, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Kept {
    /// It is forgotten.
    #[default]
    No,
    /// All of it is in a file (`--save`).
    Saved,
    /// It is in the files themselves, as far as they can carry it (`--owners`).
    InTree,
}

impl Kept {
    /// The classes of calls of which nothing is lost that is remembered.
    #[must_use]
    pub fn classes(self) -> ClassSet {
        // Whose a file is, and which device: also where that is said as the file is made.
        let owners = ClassSet::EMPTY
            .with(Class::Owner)
            .with(Class::Device)
            .with(Class::Maker)
            .with(Class::Peer);
        match self {
            Kept::No => ClassSet::EMPTY,
            Kept::Saved => owners.with(Class::Xattr),
            Kept::InTree => owners,
        }
    }

    /// The option that keeps it.
    #[must_use]
    pub fn by(self) -> Option<&'static str> {
        match self {
            Kept::No => None,
            Kept::Saved => Some("--save"),
            Kept::InTree => Some("--owners"),
        }
    }
}
