//! What outlives a run at level full.

mod files;
mod in_tree;
