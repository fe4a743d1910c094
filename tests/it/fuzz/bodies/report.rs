//! What a journal has of the report: any record is a change of the numbers, or none.

use std::rc::Rc;

use zroot::internals::arch::Sysno;
use zroot::internals::filter::{Class, Level};
use zroot::internals::supervisor::recovery::journal::{Journal, Table};
use zroot::internals::supervisor::report::{Report, Watchers};

use super::input::Input;

/// One part of a record.
fn part(input: &mut Input) -> Vec<u8> {
    const WORDS: [&str; 12] = [
        "calls",
        "owner",
        "more of",
        "device",
        "more devices",
        "checked",
        "0",
        "1",
        "-1",
        "4294967295",
        "4294967296",
        "",
    ];
    match input.byte() % 6 {
        0..=2 => input.pick(&WORDS).into(),
        3 => input.pick(&Class::ALL).name().into(),
        4 => input.pick(Sysno::ALL).name().into(),
        _ => input.text(40),
    }
}

pub fn check(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let journal = Rc::new(Journal::new().expect("a journal"));
    while !input.is_empty() {
        let parts = 1 + input.below(6);
        let record: Vec<Vec<u8>> = (0..parts).map(|_| part(&mut input)).collect();
        journal.append(Table::Report, &record.join(&b"\0"[..]));
    }
    let mut report = Report::new(Level::Selective, Watchers::default(), journal);
    report.take_over();
    report.take_over();
}
