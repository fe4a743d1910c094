//! Ids of threads and children, and calls that signals interrupt: `fixtures/identities.c`.

use super::oracle::{Fixture, has_oracle};

/// What `identities.c` prints for `what`.
fn identities(test: &str, what: &str) -> Option<(String, Option<String>)> {
    let fixture = Fixture::new(test, "identities.c", &[])?;
    let zroot = fixture.at_level("selective", &[what]);
    Some((zroot, has_oracle(test).then(|| fixture.as_root(&[what]))))
}

/// Each line's value after a colon.
fn values(text: &str) -> Vec<(&str, &str)> {
    text.lines()
        .map(|line| line.rsplit_once(": ").unwrap_or((line, "")))
        .collect()
}

#[test]
fn each_thread_has_its_own_ids() {
    let Some((zroot, real)) = identities("each_thread_has_its_own_ids", "threads") else {
        return;
    };
    // The one intended difference: a thread that changed alone hands its ids on to nobody, because
    // nothing says who started whom.
    let alike = |text: &str| {
        text.lines()
            .filter(|line| !line.contains(" of the one: "))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let expected = [
        "first thread: 0, its new thread: 0, its child: 0",
        "thread 0: 1000, alone 0",
        "thread 1: 1000, alone 0",
        "thread 2: 1000, alone 1002",
        "thread 3: 1000, alone 0",
    ];
    assert_eq!(alike(&zroot), expected);
    let of_the_one = |text: &str| {
        values(text)
            .into_iter()
            .filter(|(who, _)| who.ends_with(" of the one"))
            .map(|(_, id)| id.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(of_the_one(&zroot), ["0", "0"]);
    if let Some(real) = real {
        assert_eq!(alike(&real), expected);
        assert_eq!(of_the_one(&real), ["1002", "1002"]);
    }
}

#[test]
fn the_first_thread_changes_alone() {
    let Some((zroot, real)) = identities("the_first_thread_changes_alone", "first") else {
        return;
    };
    assert_eq!(
        zroot,
        "first thread alone: 1003, the other: 0, new thread: 1003, child: 1003\n"
    );
    assert_eq!(real.unwrap_or_else(|| zroot.clone()), zroot);
}

#[test]
fn children_have_the_ids_and_new_programs_are_root() {
    let test = "children_have_the_ids_and_new_programs_are_root";
    let Some((zroot, real)) = identities(test, "children") else {
        return;
    };
    let programs = ["vfork", "posix_spawn", "exec", "without ASLR", "and again"];
    for (who, id) in values(&zroot) {
        assert_eq!(
            id,
            if programs.contains(&who) { "0" } else { "1000" },
            "{who} in {zroot}"
        );
    }
    for program in programs {
        assert!(zroot.contains(program), "{program} in {zroot}");
    }
    if let Some(real) = real {
        assert!(
            values(&real).into_iter().all(|(_, id)| id == "1000"),
            "{real}"
        );
    }
    let Some((zroot, real)) = identities(test, "vforked") else {
        return;
    };
    assert_eq!(zroot, "parent of a vforked child: 0\n");
    assert_eq!(real.unwrap_or_else(|| zroot.clone()), zroot);
}

#[test]
fn signals_disturb_nothing() {
    let Some((zroot, real)) = identities("signals_disturb_nothing", "storm") else {
        return;
    };
    assert_eq!(
        zroot,
        "storm, no flags: all well\nstorm, SA_RESTART: all well\n"
    );
    assert_eq!(real.unwrap_or_else(|| zroot.clone()), zroot);
}

#[test]
fn the_killed_disturb_nobody() {
    let Some((zroot, real)) = identities("the_killed_disturb_nobody", "killed") else {
        return;
    };
    assert_eq!(zroot, "killed: all well\n");
    assert_eq!(real.unwrap_or_else(|| zroot.clone()), zroot);
}
