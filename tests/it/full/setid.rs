//! Set-id programs: who executes one is told the ids that real root would have.

use std::io::Read;
use std::process::Command;

use super::script;
use crate::common::{keep, plain, run, zroot, zroot_with};
use crate::debian::Root;
use crate::supervisor::oracle::{Fixture, has_oracle};
use crate::supervisor::{Bench, Live, SUPERVISOR, compile};

/// Copies of the program `$P`: one that gives nothing, and others whose ids are 5 and 7, 0, and a
/// group's only. `user` is how to become one.
const FILES: &str = r#"
chmod 755 .; for f in plain ids root group; do cp $P $f; done
chown 5:7 ids; chmod 6755 ids; chown 0:0 root; chmod 4755 root; chown 0:42 group; chmod 2755 group
echo garbage >garbage; chown 5:7 garbage; chmod 6755 garbage; ln -s ids link
user() { setpriv --reuid 1000 --regid 1000 --groups 1000,27 "$@"; }
"#;

/// What a script says that has these files: at level full, and real root's the same.
#[track_caller]
fn says(test: &str, text: &str) -> Option<String> {
    let fixture = Fixture::new(test, "setid.c", &[])?;
    let program = fixture.program().display().to_string();
    Some(script(test, &format!("P={program}\n{FILES}\n{text}")))
}

#[test]
fn a_program_has_its_owners_ids() {
    const TEST: &str = "a_program_has_its_owners_ids";
    need!(TEST, "setpriv");
    let said = says(
        TEST,
        "for as in '' user; do for file in plain ids root group ./link; do $as ./$file say $file; done; done
        user ./root say one ./ids say two ./plain say three ./group say four; ./ids say one ./plain say two ./root say three
        cp $P without; chown 5:42 without; chmod 6745 without; user ./without say 'no set-gid without the group'
        chmod 4711 root; user ./root say 'not to be read'; ln ids hard; user ./hard say hard; PATH=.:$PATH; user ids say 'from PATH'",
    );
    let line = "ids: 1000 5 5 5, 1000 7 7 7, no_new_privs 0\n";
    assert!(said.is_none_or(|said| said.contains(line)));
}

#[test]
fn of_a_script_the_interpreter_counts() {
    const TEST: &str = "of_a_script_the_interpreter_counts";
    need!(TEST, "setpriv");
    says(
        TEST,
        r"printf '#!%s/plain\n' $PWD >script; chown 5:7 script; chmod 6755 script; ./script; user ./script
        printf '#! \t%s/ids x\n' $PWD >script2; chmod 755 script2; ./script2; user ./script2
        printf '#!./script2\n' >script3; chmod 755 script3; user ./script3
        printf '#!nothing\n' >script4; chown 5:7 script4; chmod 6755 script4; user ./plain say it ./script4 || echo no",
    );
}

#[test]
fn what_fails_gives_nothing() {
    const TEST: &str = "what_fails_gives_nothing";
    need!(TEST, "setpriv");
    says(
        TEST,
        "for as in '' user; do for file in ids root; do $as ./plain fails ./$file ./garbage; done; done",
    );
}

#[test]
fn it_may_be_executed_by_a_descriptor() {
    const TEST: &str = "it_may_be_executed_by_a_descriptor";
    need!(TEST, "setpriv");
    says(
        TEST,
        "./plain descriptors ids; user ./plain descriptors ids",
    );
}

#[test]
fn ids_go_on_to_children_and_come_back() {
    const TEST: &str = "ids_go_on_to_children_and_come_back";
    need!(TEST, "setpriv");
    says(
        TEST,
        "for as in '' user; do for file in ids root; do $as ./plain chain ./$file 5; $as ./$file back; done; done",
    );
}

#[test]
fn any_thread_may_execute_it() {
    const TEST: &str = "any_thread_may_execute_it";
    need!(TEST, "setpriv");
    says(
        TEST,
        "for as in '' user; do for file in ids root; do $as ./plain threads ./$file; done; done",
    );
}

#[test]
fn who_wants_no_new_privileges_gets_none() {
    const TEST: &str = "who_wants_no_new_privileges_gets_none";
    need!(TEST, "setpriv");
    says(
        TEST,
        "user ./ids say without; user --no-new-privs ./ids say with ./root say still; setpriv --no-new-privs ./ids say root
        setpriv --no-new-privs sh -c './ids say child'; sh -c './ids say other'
        setpriv --euid 5 --no-new-privs ./plain say half ./root say more; setpriv --regid 7 --clear-groups --no-new-privs ./group say group",
    );
}

#[test]
fn a_mount_may_keep_it_from_counting() {
    const TEST: &str = "a_mount_may_keep_it_from_counting";
    need!(TEST, "setpriv", "unshare", "mount");
    says(
        TEST,
        r"mkdir m; for options in nosuid suid; do export options; unshare -m sh -ec '
            mount -t tmpfs -o $options none m; cp ids m; chown 5:7 m/ids; chmod 6755 m/ids; m/ids say $options
            setpriv --reuid 1000 --clear-groups m/ids say $options; mount --bind . m; m/ids say bound'; done
        unshare -U ./ids say elsewhere | sed 's/65534/0/g; s/no_new_privs.*//'",
    );
}

#[test]
fn who_may_not_execute_it_gets_nothing() {
    const TEST: &str = "who_may_not_execute_it_gets_nothing";
    need!(TEST, "setpriv");
    // Otherwise than real root's user, who hears that it may not.
    let text = "chmod 6750 ids; chown 5:27 ids; chmod 6750 ids; chmod 4750 root; user ./plain say user ./ids say member
        user ./plain say user ./root say '' | sed '/^: 1000 1000 /d'";
    says(TEST, text);
}

#[test]
fn who_is_traced_gets_no_more_than_the_tracer_has() {
    const TEST: &str = "who_is_traced_gets_no_more_than_the_tracer_has";
    need!(TEST, "setpriv", "strace");
    says(
        TEST,
        "user strace -f -o /dev/null ./ids say traced ./root say still; strace -f -o /dev/null ./ids say 'traced by root'
        strace -u games -f -o /dev/null ./root say 'as strace -u has it' ./ids say then",
    );
}

/// What is executed is another file than what was found a moment before: it never has what that
/// gives.
#[test]
fn a_file_in_its_place_gives_nothing_of_it() {
    const TEST: &str = "a_file_in_its_place_gives_nothing_of_it";
    need!(TEST, "setpriv");
    says(
        TEST,
        "chmod 777 .; cp $P one; cp $P other; chown 5:7 one; chmod 4755 one; user ./plain swap 200 2>/dev/null; ./plain swap 200 2>/dev/null
        chown 9:9 other; chmod 4755 other; user ./plain swap 200 2>/dev/null; ./plain swap 200 2>/dev/null; user ./ids say last",
    );
}

/// Who makes a file makes no other user's of it.
#[test]
fn what_a_user_makes_gives_nothing() {
    const TEST: &str = "what_a_user_makes_gives_nothing";
    need!(TEST, "setpriv");
    let said = says(
        TEST,
        "chmod 777 .; user sh -c 'cp $0 own; chmod 6755 own; ./own say own; chmod 4755 own; sh -c \"./own say again\"' $P; user ./ids say other",
    );
    assert!(said.is_none_or(|said| said.contains("own: 1000 1000 1000 1000")));
}

/// Thousands of executions leave the supervisor as large as it was.
#[test]
fn executions_are_forgotten() {
    const TEST: &str = "executions_are_forgotten";
    let Some(bench) = Bench::new(TEST) else {
        return;
    };
    let mut live = Live::start(&mut looping(&bench, "1500"));
    live.says("ready");
    let size = || {
        let status = format!("/proc/{}/status", bench.one(SUPERVISOR));
        let status = std::fs::read_to_string(status).expect("a status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        number.expect("kB")
    };
    let mut turn = || {
        live.enter();
        live.says("turn");
        size()
    };
    let (before, after) = (turn(), turn());
    assert!(after < before + 400, "{before} kB, then {after} kB");
    end(live);
    bench.nothing_is_left();
}

/// The program of `fixtures/setid.c`, which executes set-id files as a user as long as it is let;
/// with a number in `turn`, as many each time.
fn looping(bench: &Bench, turn: &str) -> Command {
    let program = bench.dir.path().join("program");
    compile("setid.c", &[], &program).succeeds();
    let zroot = zroot().to_str().expect("UTF-8");
    let text = format!(
        "P=./program; {FILES} exec setpriv --reuid 1000 --regid 1000 --clear-groups ./plain loop ./root {turn}"
    );
    bench.command([zroot, "-c", "full", "sh", "-ec", &text])
}

/// Lets it end, which must have been right each time.
#[track_caller]
fn end(mut live: Live) {
    drop(live.stdin.take());
    let mut said = String::new();
    live.stdout.read_to_string(&mut said).expect("text");
    let is_right = said.starts_with("executed ") && said.ends_with(" wrong 0\n");
    assert!(is_right && !said.starts_with("executed 0 "), "{said}");
}

/// How often each is killed.
const KILLS: usize = 40;

#[test]
fn what_is_announced_outlives_a_supervisor() {
    let Some(bench) = Bench::new("what_is_announced_outlives_a_supervisor") else {
        return;
    };
    let mut live = Live::start(&mut looping(&bench, ""));
    live.says("ready");
    for _ in 0..KILLS {
        bench.kill_each();
    }
    end(live);
    bench.nothing_is_left();
}

const INSTALL: &str = "apt-get install -y --no-download --no-install-recommends -o Dpkg::Options::=--force-unsafe-io sudo cron at gosu >/dev/null 2>&1";
const USERS: &str = r#"
useradd -m u; useradd -m v; echo 'u ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/u; echo 127.0.0.1 $(hostname) >>/etc/hosts
stat -c '%u:%G %a' /usr/bin/sudo /usr/bin/crontab /usr/bin/at /usr/bin/chage /usr/bin/passwd /bin/su
su - u -c 'sudo -n id; sudo -n -u games id; sudo -n -u v sudo -n true 2>&1; sudo -n sh -c "id -u; echo \$SUDO_USER; su v -c id; sudo -n id -un"'
su v -c 'sudo -n id' 2>&1; su v -c 'su -c id </dev/null' 2>/dev/null || echo refused
su - u -c 'echo "5 5 * * * true" | crontab -; crontab -l; id -un'; crontab -u u -l; crontab -l 2>&1; su v -c 'crontab -l' 2>&1
su u -c 'chage -l u >/dev/null && echo own; chage -l v' 2>&1; su u -c 'passwd -S' | cut -c1-3
sed -i '/^auth/s/^/auth sufficient pam_permit.so\n/' /etc/pam.d/chsh; su - u -c 'chsh -s /bin/dash'; getent passwd root u | cut -d: -f1,7
su u -c 'gosu v true' 2>/dev/null || echo no; echo 'root:secret' | chpasswd; echo secret | su u -c 'su -c id' 2>/dev/null"#;

/// In a Debian tree: what a user does by way of set-id programs.
#[test]
fn users_of_a_tree_use_set_id_programs() {
    const TEST: &str = "users_of_a_tree_use_set_id_programs";
    let Some(root) = Root::copy(TEST) else {
        return;
    };
    let script = format!("{INSTALL}\n{USERS}");
    let at = |level: &str| {
        let mut command = zroot_with(["-c", level, "--no-sync", "--root"]);
        command.arg(root.path()).args(["--", "sh", "-c", &script]);
        run(command.env("HOME", "/root")).stdout
    };
    let said = at("full");
    assert!(
        said.contains("uid=5(games) gid=60(games) groups=60(games)\n"),
        "{said}"
    );
    if has_oracle(TEST) {
        let enter = r#"cp -a --no-preserve=ownership -T "$1" "$0"
            mount --rbind /sys "$0/sys"; mount --rbind /dev "$0/dev"; mount -t proc proc "$0/proc"; exec chroot "$0" sh -c "$2""#;
        let place = tempfile::tempdir_in("/tmp").expect("a temporary directory");
        let mut command: Command = plain("unshare");
        command.args(["-mpf", "sh", "-ec", enter]).arg(place.path());
        command.arg(keep().join("debian")).arg(&script);
        let real = run(command.env("HOME", "/root"));
        assert_eq!(said, real.stdout, "{real:#?}");
    }
}
