//! Targets: where their calls come from and what they are answered with, their memory, and their
//! files as they see them.

pub mod answer;
pub mod base;
pub mod callers;
pub mod files;
pub mod glance;
pub mod listener;
pub mod mark;
mod numbers;
pub mod object;
pub mod proc;
pub mod request;
pub mod running;
mod standing;
mod wake;
mod walk;
