//! The command line: anything is read or refused.

use std::ffi::CString;
use std::sync::OnceLock;

use zroot::internals::arch::Abi;
use zroot::internals::cli::{self, Request};
use zroot::internals::filter::Class;

use super::input::Input;
use super::is_well_said;

/// The options as they are defined, and values that some of them take.
fn words() -> &'static [String] {
    static WORDS: OnceLock<Vec<String>> = OnceLock::new();
    WORDS.get_or_init(|| {
        let mut words: Vec<String> = [
            "--", "-", "-v", "-C", "-c", "-S", "-vS", "-vC", "=", "", "/", "/tmp", "true", "all",
            "none", "a:b", "/a:/b:ro", "a:b:rw", "1", "0x10", "-1", "08", "chown", "'", "${X}",
        ]
        .map(String::from)
        .to_vec();
        for arg in cli::definition().get_arguments() {
            words.extend(arg.get_long().map(|name| format!("--{name}")));
            words.extend(arg.get_short().map(|name| format!("-{name}")));
            let values = arg.get_possible_values().into_iter();
            words.extend(values.map(|value| value.get_name().to_owned()));
        }
        words.extend(Class::ALL.map(|class| class.name().to_owned()));
        words.extend(Abi::ALL.map(|abi| abi.name().to_owned()));
        words
    })
}

/// A word that may make sense, or two joined, or any bytes.
fn argument(input: &mut Input) -> CString {
    let words = words();
    let word = |input: &mut Input| words[input.below(words.len())].clone().into_bytes();
    let mut arg = word(input);
    match input.byte() % 8 {
        0..=3 => {}
        4 => arg.extend([&b"="[..], &word(input)].concat()),
        5 => arg.extend([&b","[..], &word(input)].concat()),
        6 => arg.extend(input.text(20)),
        _ => arg = input.text(2000),
    }
    CString::new(arg).expect("no null")
}

pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut args = vec![c"zroot".to_owned()];
    while !input.is_empty() && args.len() < 20 {
        args.push(argument(&mut input));
    }
    let args: Vec<_> = args.iter().map(|arg| &**arg).collect();
    match cli::parse(&args, |_| None, &mut None) {
        Ok(Request::Run(plan)) => assert!(!plan.command.is_empty()),
        Ok(Request::Print(text)) => assert!(text.ends_with('\n')),
        Ok(_) => {}
        Err(failure) => is_well_said(&failure),
    }
}
