//! What random histories have found, in as few steps as show it.

use super::histories::generate::History;
use super::sample::stage;

/// A file is given away when it is made (its last two words), or nobody may be asked whose it is.
const FOUND: &[(&str, &str)] = &[
    (
        "set-id bits that fall are a change of mode, which only an owner may make",
        "device n0 066600 4000 0/chown 1 n0 6 6/chmod 0 n0 06600/fork/setuid 5/chown 5 n0 -1 -1/end",
    ),
    (
        "that a link has no mode comes before whose it is",
        "link-to n0 a 6 6/fork/setuid 1000/chmod 8 n0 02644/end",
    ),
    (
        "who is none of its group takes the set-gid bit away by giving a file away",
        "file n0 0644 5 9/chmod 0 n0 02644/fork/setgid 5/setgroups/setuid 5/chown 0 n0 -1 5/look/end/look",
    ),
];

#[test]
fn what_was_wrong_once_is_right() {
    let Some(stage) = stage("what_was_wrong_once_is_right", "/tmp", &[]) else {
        return;
    };
    for (what, steps) in FOUND {
        let steps = steps.replace("-1", &u32::MAX.to_string());
        let lines = ["new h"].into_iter().chain(steps.split('/')).chain(["end"]);
        let history: History = lines.map(str::to_owned).collect();
        if let Err(wrong) = stage.compare(&[vec![history]]) {
            panic!("{what}: {wrong}");
        }
    }
}
