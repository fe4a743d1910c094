//! Level full: owners, devices and identities that are remembered.

mod histories;
mod histories_sample;
