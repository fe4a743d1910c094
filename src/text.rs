//! Names and other bytes of strangers as parts of a line, a message or a JSON text.

use std::fmt::Write;

/// `text` on one line, at most 1024 characters of it.
#[must_use]
pub fn printable(text: &str) -> String {
    const LONGEST: usize = 1024;
    let mut out: String = text
        .chars()
        .take(LONGEST)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        out.push_str("...");
    }
    out
}

/// A JSON string.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out + "\""
}

/// A JSON array of strings.
pub fn list_of<'a>(strings: impl IntoIterator<Item = &'a String>) -> String {
    let strings: Vec<String> = strings.into_iter().map(|text| quoted(text)).collect();
    format!("[{}]", strings.join(","))
}
