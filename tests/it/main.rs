//! The tests of plain `cargo test`. They are one executable, since linking each takes long.
//! tests/README.md says where a new test goes.

#[macro_use] // need!
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/debian.rs"]
mod debian;
#[path = "../common/sources.rs"]
#[allow(dead_code)] // the suites use the rest
mod sources;

mod api;
mod architecture;
mod cli;
mod documents;
mod fakeroot;
mod filter;
mod full;
mod fuzz;
mod host;
mod packages;
mod pid;
mod report;
mod root;
mod stat_layouts;
mod state;
mod supervisor;
mod table;
mod this_test;

/// The harness's name of the test `name` in the module `module_path`: for tests that run this
/// program once more, with themselves alone.
fn full_name(module_path: &str, name: &str) -> String {
    let (_crate, module) = module_path.split_once("::").expect("not the crate itself");
    format!("{module}::{name}")
}
