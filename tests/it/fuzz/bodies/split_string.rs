//! `-S`: any string is split or refused, and what has been quoted comes out as it was.

use std::ffi::{CStr, CString};

use zroot::internals::cli::{self, Request};

use super::input::Input;
use super::is_well_said;

const SPECIAL: &[u8] = b"\\'\"$#{}_ \t\n\x0b\x0c\rcfnrtvX=-";

fn variable<'a>(name: &str) -> Option<&'a CStr> {
    match name {
        "X" => Some(c"two words '"),
        "EMPTY" => Some(c""),
        _ => None,
    }
}

/// Splits `string`, whose first word is `--`, and returns what comes after that.
fn split(string: &CStr) -> Option<Vec<CString>> {
    match cli::parse(&[c"zroot", c"-S", string], variable, &mut None) {
        Ok(Request::Run(plan)) => {
            let words = plan.command.iter().map(|word| CString::from(&**word));
            Some(words.collect())
        }
        Ok(_) => None,
        Err(failure) => {
            is_well_said(&failure);
            None
        }
    }
}

/// `word` in one of the ways in which it can be written.
fn quoted(input: &mut Input, word: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in word.chunks(input.below(8) + 1) {
        match input.byte() % 3 {
            0 => {
                out.push(b'\'');
                for byte in part {
                    if matches!(byte, b'\\' | b'\'') {
                        out.push(b'\\');
                    }
                    out.push(*byte);
                }
                out.push(b'\'');
            }
            1 => {
                out.push(b'"');
                for byte in part {
                    if matches!(byte, b'\\' | b'"' | b'$') {
                        out.push(b'\\');
                    }
                    out.push(*byte);
                }
                out.push(b'"');
            }
            _ => {
                for byte in part {
                    match byte {
                        b'\t' => out.extend(b"\\t"),
                        b'\n' => out.extend(b"\\n"),
                        b'\r' => out.extend(b"\\r"),
                        0x0b => out.extend(b"\\v"),
                        0x0c => out.extend(b"\\f"),
                        b' ' => out.extend(b"\"\\_\""),
                        b'#' | b'$' | b'"' | b'\'' | b'\\' => out.extend([b'\\', *byte]),
                        byte => out.push(*byte),
                    }
                }
            }
        }
    }
    out
}

pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    // What must not be quoted wrongly: words of what is special in one.
    let mut words = vec![b"command".to_vec()];
    let mut string = b"-- command".to_vec();
    for _ in 0..input.below(4) {
        let len = input.below(12) + 1;
        let word: Vec<u8> = (0..len)
            .map(|_| match input.byte() {
                byte @ 1..128 => byte,
                byte => SPECIAL[usize::from(byte) % SPECIAL.len()],
            })
            .collect();
        string.push(input.pick(b" \t\n"));
        string.extend(quoted(&mut input, &word));
        words.push(word);
    }
    let words: Vec<CString> = words
        .into_iter()
        .map(|word| CString::new(word).expect("no null"))
        .collect();
    let string = CString::new(string).expect("no null");
    assert_eq!(split(&string), Some(words), "{string:?}");
    // Anything.
    let mut string = b"-- ".to_vec();
    while !input.is_empty() {
        match input.byte() {
            byte @ 1..64 => string.push(byte),
            byte @ 64..160 => string.push(SPECIAL[usize::from(byte) % SPECIAL.len()]),
            byte @ 160..192 => string.extend(if byte % 2 == 0 {
                &b"${X}"[..]
            } else {
                b"${EMPTY}"
            }),
            _ => string.extend(input.text(4)),
        }
    }
    let string = CString::new(string).expect("no null");
    split(&string);
    // What begins it may be an option.
    let string = CString::new(&string.as_bytes()[3..]).expect("no null");
    split(&string);
}
