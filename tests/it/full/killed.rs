//! Supervisor and guard are killed, one or the other, again and again: nothing is forgotten, and no
//! call fails.

use std::io::Write;

use crate::common::{run, zroot};
use crate::supervisor::{Bench, Live, compile};

/// How often each is killed.
const KILLS: usize = 30;

#[test]
fn nothing_is_forgotten_when_one_is_killed() {
    let Some(bench) = Bench::new("nothing_is_forgotten_when_one_is_killed") else {
        return;
    };
    let program = bench.dir.path().join("program");
    compile("full.c", &[], &program).succeeds();
    let program = program.to_str().expect("UTF-8");
    let mut command = bench.command([
        zroot().to_str().expect("UTF-8"),
        "-c",
        "full",
        program,
        "loop",
    ]);
    let mut live = Live::start(&mut command);
    live.says("ready");
    for _ in 0..KILLS {
        bench.kill_each();
    }
    live.stdin
        .as_mut()
        .expect("a pipe")
        .flush()
        .expect("flushed");
    drop(live.stdin.take());
    let mut said = String::new();
    std::io::Read::read_to_string(&mut live.stdout, &mut said).expect("text");
    assert!(
        said.starts_with("made ") && said.ends_with(" wrong 0\n"),
        "{said}"
    );
    assert!(!said.starts_with("made 0 "), "{said}");
    bench.nothing_is_left();
    // The control: what level selective says is wrong at once.
    let control = run(&mut bench.command([
        zroot().to_str().expect("UTF-8"),
        "-c",
        "selective",
        "sh",
        "-c",
        "mkdir control; cd control; mkfifo p; ../program loop <>p",
    ]));
    assert!(
        control.stdout.contains(" is 0:0 and not 11:12"),
        "{control:#?}"
    );
}
