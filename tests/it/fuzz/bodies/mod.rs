//! The bodies of the fuzz targets (`fuzz/`), each a function of bytes that panics where something
//! is wrong. Plain `cargo test` runs them as well, on bytes of a generator ([`super`]).
//!
//! Bytes decide what is tried, but most of what they choose from is taken from the rules: values
//! that something is compared with, and their neighbours. Bytes alone would hardly ever hit one.
#![allow(dead_code)] // each target uses one

pub mod apt_config;
pub mod explain;
mod input;
pub mod journal;
pub mod notification;
pub mod options;
pub mod policy;
pub mod report;
pub mod split_string;
pub mod state;

use zroot::internals::error::{FAILED, Failure};

/// What every error before the command begins must be: one line, of a bounded length, and perhaps
/// one of advice.
fn is_well_said(failure: &Failure) {
    assert_eq!(failure.status, FAILED, "{failure:?}");
    for line in [Some(&failure.message), failure.hint.as_ref()]
        .into_iter()
        .flatten()
    {
        assert!(
            !line.is_empty() && !line.contains(char::is_control) && line.chars().count() <= 1100,
            "{failure:?}"
        );
    }
}
