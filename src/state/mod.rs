//! What is remembered of files, from one run to the next: a file in the format of fakeroot(1).

mod file;
mod text;

pub use file::{Saver, load};
pub use text::{read, write};
