//! The filter: the program, what is said of it, and what the kernel makes of it.

mod dump;
mod explain;
mod kernel;
mod program;
