//! What outlives a run at level full.

mod files;
mod images;
mod in_tree;
