//! Level full: owners, devices and identities that are remembered.

mod identity;
mod shows;
