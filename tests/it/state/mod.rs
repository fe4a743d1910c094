//! What outlives a run at level full.

mod files;
