//! `--explain`: every name and every argument is answered or refused.

use zroot::internals::arch::{Abi, Sysno, others};
use zroot::internals::filter::explain::explain;
use zroot::internals::filter::{ClassSet, Level, Policy};

use super::input::Input;
use super::is_well_said;

/// The name of a call, or something like one.
fn name(input: &mut Input) -> String {
    let own = Sysno::ALL.iter().map(|call| call.name());
    let names: Vec<&str> = own.chain(others::names()).collect();
    let mut name = input.pick(&names).as_bytes().to_vec();
    match input.byte() % 8 {
        0..=3 => {}
        4 => drop(name.pop()),
        5 => {
            let (one, other) = (input.below(name.len()), input.below(name.len()));
            name.swap(one, other);
        }
        6 => name = name.repeat(input.below(50)),
        _ => name = input.text(1000),
    }
    String::from_utf8_lossy(&name).into_owned()
}

pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let name = name(&mut input);
    let policy = Policy {
        level: input.pick(&Level::ALL),
        classes: ClassSet::from_bits(input.word()),
        is_watched: false,
        is_saved: false,
    };
    let kernel = input.pick(&Abi::ALL);
    let args =
        [(); 6].map(|()| (input.byte() % 2 == 1).then(|| input.near(&[0, 10, 0o20_000, u64::MAX])));
    match explain(&name, args, Some(kernel), policy) {
        Ok(text) => {
            let lines: Vec<&str> = text.lines().collect();
            assert!(lines[0].starts_with(&format!("{name}: ")) && text.ends_with('\n'));
            assert!(lines.len() == 1 || lines.len() == 1 + kernel.family().len());
            assert!(lines.iter().all(|line| line.len() < 400), "{text}");
        }
        Err(failure) => is_well_said(&failure),
    }
}
