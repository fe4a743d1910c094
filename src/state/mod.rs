//! What is remembered of files, from one run to the next: in a file in the format of fakeroot(1),
//! or in attributes of the files themselves.

pub mod child;
mod file;
pub mod in_tree;
pub mod override_stat;
mod text;
mod walk;

pub use file::{Saver, load};
pub use text::{Wrong, read, write};
