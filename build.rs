//! Builds the default filters of each ABI, so that a run of zroot need not (see `filter::program`),
//! and hands start.ld to the linker. Downloads and probes nothing.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

// The generator itself, compiled for the machine that builds; it is pure, so it gives the same
// there.
#[allow(dead_code)]
#[path = "src/arch/mod.rs"]
mod arch;
#[allow(dead_code)]
#[path = "src/filter"]
mod filter {
    pub mod asm;
    pub mod codegen;
    pub mod policy;
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/arch");
    println!("cargo::rerun-if-changed=src/filter");
    let out = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    fs::write(
        Path::new(&out).join("default_filters.rs"),
        default_filters(),
    )
    .expect("OUT_DIR can be written to");

    println!("cargo::rerun-if-changed=start.ld");
    // On glibc it gains nothing: the library's own start touches twenty other places.
    let release = env::var("PROFILE").as_deref() == Ok("release");
    if release && env::var("CARGO_CFG_TARGET_ENV").as_deref() == Ok("musl") && reads_scripts() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("start.ld");
        let map = Path::new(&out).join("start.map"); // for tests/startup.rs
        // rust-lld is called as it is, the others by way of a C compiler.
        let linker = env::var("RUSTC_LINKER").unwrap_or_default();
        let (through, before) = if linker.ends_with("lld") {
            ("", "=")
        } else {
            ("-Wl,", ",")
        };
        for (option, path) in [("--script", script), ("-Map", map)] {
            println!(
                "cargo::rustc-link-arg-bins={through}{option}{before}{}",
                path.display()
            );
        }
    }
}

/// Whether the linker takes a script beside its own, as GNU ld and lld do, which are the defaults.
fn reads_scripts() -> bool {
    let told =
        ["CARGO_ENCODED_RUSTFLAGS", "RUSTC_LINKER"].map(|name| env::var(name).unwrap_or_default());
    !["mold", "gold", "wild"]
        .into_iter()
        .any(|name| told.iter().any(|told| told.contains(name)))
}

/// An array expression with each ABI's default programs, in the order of `Abi::ALL`, and of
/// `Level::ALL` inside.
fn default_filters() -> String {
    let mut text = String::from("[");
    for abi in arch::Abi::ALL {
        text.push('[');
        for level in filter::policy::Level::ALL {
            let program = filter::codegen::build(abi.family(), filter::policy::Policy::of(level))
                .expect("a filter");
            text.push_str("&[");
            for filter::asm::sock_filter { code, jt, jf, k } in program {
                write!(
                    text,
                    "sock_filter {{ code: {code}, jt: {jt}, jf: {jf}, k: {k} }},"
                )
                .expect("a String takes all");
            }
            text.push_str("],");
        }
        text.push_str("],");
    }
    text + "]"
}
