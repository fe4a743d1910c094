//! From the command line to execve: finding the command, apt's configuration, and staying beside
//! the command where something is to be said after its end.

pub mod apt;
pub mod exec;
pub mod wait;
