//! `-S`: one string as arguments, by env(1)'s rules, since a `#!` line passes no more than one.

use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;

use super::args::usage;
use crate::error::{Failure, shown};

/// Whether `-v` stands before `-S`, the string to split, and the arguments after it.
pub(super) type Split<'s, 'a> = (bool, &'a CStr, &'s [&'a CStr]);

/// Finds `-S STRING`, `-SSTRING`, `-vS STRING`, `--split-string=STRING` or `--split-string STRING`
/// where a `#!` line puts it: first.
pub(super) fn argument<'s, 'a>(args: &'s [&'a CStr]) -> Result<Option<Split<'s, 'a>>, Failure> {
    let Some(first) = args.get(1) else {
        return Ok(None);
    };
    let (verbose, attached) = match first.to_bytes() {
        [b'-', b'S', ..] => (false, 2),
        [b'-', b'v', b'S', ..] => (true, 3),
        bytes if bytes.starts_with(b"--split-string=") => (false, b"--split-string=".len()),
        b"--split-string" => (false, b"--split-string".len()),
        _ => return Ok(None),
    };
    // What follows a prefix of a C string is a C string.
    let attached =
        CStr::from_bytes_with_nul(&first.to_bytes_with_nul()[attached..]).unwrap_or_default();
    if !attached.is_empty() || first.to_bytes().ends_with(b"=") {
        return Ok(Some((verbose, attached, &args[2..])));
    }
    match args.get(2) {
        Some(string) => Ok(Some((verbose, string, &args[3..]))),
        None => Err(usage("-S needs a string to split")),
    }
}

/// Splits `string` into arguments by env(1)'s rules for `-S`: blanks separate; single and double
/// quotes; `#` starts a comment at the start of an argument; `${NAME}` is replaced outside single
/// quotes; backslash escapes.
pub(super) fn split<'a>(
    string: &CStr,
    variable: impl Fn(&str) -> Option<&'a CStr>,
) -> Result<Vec<CString>, Failure> {
    let shown = shown(OsStr::from_bytes(string.to_bytes()));
    let error = |what: &str| {
        Failure::new(format!("-S: {what} in {shown}")).hint("the rules are env(1)'s for -S")
    };
    let mut words: Vec<Vec<u8>> = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = string.to_bytes().iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, quote) {
            (b'\'' | b'"', None) => {
                quote = Some(byte);
                word.get_or_insert_default();
            }
            (_, Some(open)) if byte == open => quote = None,
            (b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r', None) => words.extend(word.take()),
            (b'#', None) if word.is_none() => break,
            (b'\\', Some(b'\'')) => {
                // Between single quotes only \\ and \' are escapes.
                let escaped = bytes.next_if(|next| matches!(next, b'\\' | b'\''));
                word.get_or_insert_default().push(escaped.unwrap_or(b'\\'));
            }
            (b'\\', _) => {
                let escaped = match bytes
                    .next()
                    .ok_or_else(|| error("a backslash at the end"))?
                {
                    b'c' if quote.is_some() => return Err(error("\\c inside double quotes")),
                    b'c' => break,
                    b'_' if quote.is_none() => {
                        words.extend(word.take());
                        continue;
                    }
                    b'_' => b' ',
                    b'f' => 0x0c,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'v' => 0x0b,
                    escaped @ (b'#' | b'$' | b'"' | b'\'' | b'\\') => escaped,
                    _ => return Err(error("an unknown escape")),
                };
                word.get_or_insert_default().push(escaped);
            }
            (b'$', None | Some(b'"')) => {
                let mut name = Vec::new();
                let closed = bytes.next() == Some(b'{') && {
                    name.extend(std::iter::from_fn(|| {
                        bytes.next_if(|next| next.is_ascii_alphanumeric() || *next == b'_')
                    }));
                    bytes.next() == Some(b'}')
                };
                if !closed || name.is_empty() || name[0].is_ascii_digit() {
                    return Err(error("a $ that does not begin ${NAME}"));
                }
                let value = std::str::from_utf8(&name).ok().and_then(&variable);
                if let Some(value) = value {
                    word.get_or_insert_default()
                        .extend_from_slice(value.to_bytes());
                }
            }
            _ => word.get_or_insert_default().push(byte),
        }
    }
    if quote.is_some() {
        return Err(error("a quote without its end"));
    }
    words.extend(word);
    words
        .into_iter()
        .map(|word| CString::new(word).map_err(|_| error("a NUL")))
        .collect()
}
