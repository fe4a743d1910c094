//! What the supervisor remembers between calls, and what it knows of its user namespace.

pub mod attributes;
mod counted;
pub mod credentials;
pub mod given;
pub mod id_maps;
pub mod owners;
pub mod peers;
pub mod processes;
pub mod remembered;
