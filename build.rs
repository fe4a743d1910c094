//! Warns when the executable will not be static; downloads, generates and probes nothing.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // A RUSTFLAGS variable replaces the rustflags of .cargo/config.toml without a word, and `cargo install` from a
    // registry never sees that file. A dynamic zroot cannot run inside a root directory that has another libc.
    let features = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    let release = env::var("PROFILE").as_deref() == Ok("release");
    if release && !features.split(',').any(|f| f == "crt-static") {
        println!(
            "cargo::warning=zroot will be linked dynamically: add `-C target-feature=+crt-static` to RUSTFLAGS for a static executable"
        );
    }
}
