//! Package managers and other real programs at level zero.

mod apt;
mod programs;
mod rpm;
