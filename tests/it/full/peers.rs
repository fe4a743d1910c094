//! Who is at a socket's other end, whose a socket's file is, and whose a process.

use super::{as_real_root, script};
use crate::supervisor::oracle::{Fixture, has_oracle};

/// A part of `fixtures/peers.c`, as this machine's program and as i386's, which makes all calls
/// by socketcall(2).
#[track_caller]
fn part(test: &str, part: &str) -> Option<String> {
    let mut said = None;
    let is_64bit = cfg!(all(target_arch = "x86_64", target_pointer_width = "64"));
    let builds: &[&[&str]] = if is_64bit { &[&[], &["-m32"]] } else { &[&[]] };
    for options in builds {
        let fixture = Fixture::new(test, "peers.c", options)?;
        let now = as_real_root(&fixture, &[part]);
        if let Some(before) = said.replace(now) {
            assert_eq!(said, Some(before), "{options:?}");
        }
    }
    said
}

#[test]
fn peers_are_told_as_there_is_room() {
    let test = "peers_are_told_as_there_is_room";
    if let Some(said) = part(test, "truncation") {
        assert!(
            said.contains("17, room for 11: 0, 11: 11 11 11 11 06 00 00 00 05 00 00 aa"),
            "{said}"
        );
        assert!(said.contains("59, room for 7: ERANGE, 8: aa"), "{said}");
    }
}

/// The kernel keeps who a process was when it connected, listened or made a pair.
#[test]
fn peers_are_who_they_were() {
    part("peers_are_who_they_were", "when");
}

#[test]
fn peers_are_seen_from_other_namespaces() {
    part("peers_are_seen_from_other_namespaces", "views");
}

#[test]
fn sockets_belong_to_who_binds_them() {
    let test = "sockets_belong_to_who_binds_them";
    if let Some(said) = part(test, "binds") {
        for line in [
            "root\ns: 0, that name of 4, 140750 0:0",
            "set-gid/s: 0, that name of 12, 140750 0:77",
            "a group's\ns: 0, that name of 4, 140750 0:9",
            "a user's\ns: 0, that name of 4, 140750 6:5",
            "set-gid/s: 0, that name of 12, 140750 6:77",
            "/in: 0, that name of 6, 140750 6:5",
        ] {
            assert!(said.contains(line), "no {line} in {said}");
        }
    }
}

/// Where a path goes through links that are each process's own, the kernel binds.
#[test]
fn sockets_are_bound_through_magic_links() {
    let test = "sockets_are_bound_through_magic_links";
    if let Some(fixture) = Fixture::new(test, "peers.c", &[]) {
        let said = fixture.at_level("full", &["magic"]);
        assert_eq!(said, fixture.at_level("selective", &["magic"]));
        assert_eq!(said.matches(": 0, ").count(), 3, "{said}");
        if has_oracle(test) {
            assert_eq!(said, fixture.as_root(&["magic"]));
        }
    }
}

/// What programs take for a process's user that look at its directory in `/proc`. (Those that read
/// its `status` find root.)
#[test]
fn processes_belong_to_who_they_have_become() {
    let test = "processes_belong_to_who_they_have_become";
    need!(
        test,
        "setpriv",
        "start-stop-daemon",
        "top",
        "busybox",
        "perl"
    );
    script(
        test,
        r#"setpriv --reuid 33 --regid 34 --clear-groups sleep 100 & p=$!
        setpriv --ruid 33 --rgid 34 --clear-groups sleep 100 & q=$!
        setpriv --euid 33 --egid 34 --clear-groups sleep 100 & r=$!
        until grep -q sleep /proc/$p/comm /proc/$q/comm && grep -q sleep /proc/$q/comm && grep -q sleep /proc/$r/comm; do :; done
        for n in $p $q $r; do { (cd /proc/$n; stat -c '%n %u:%g %a' . status stat fd ns task task/$n task/$n/status attr fdinfo net exe)
            stat -c %u:%g /proc/$n /proc/$n/ /proc/$n/../$n /proc/$n/task/$n/comm; } | sed "s/$n/N/g"; done
        top -b -n1 -p $p | tail -1 | awk '{print $2}'
        busybox ps -o pid,user | awk -v p=$p -v q=$q -v r=$r '$1 == p || $1 == q || $1 == r { print $2 }'
        start-stop-daemon --status --user 33 --exec "$(command -v sleep)" && echo running
        start-stop-daemon --status --user 35 --exec "$(command -v sleep)" || echo "none of 35's"
        cd /proc/$p/task; stat -c %u:%g ../status $p .; cd /
        kill $p $q $r; wait || :
        perl -e '$) = "5 5"; $( = 5; $< = $> = 6; for (qw(/proc/self /proc/self/status /proc/self/fd /proc/thread-self)) { print join(":", (stat)[4, 5]), "\n" }
            exec "sh", "-c", "stat -Lc %u:%g /proc/self /proc/self/status /proc/\$\$/fd"'"#,
    );
}

/// A bus that asks who its clients are, and tells others.
#[test]
fn a_bus_knows_its_clients() {
    let test = "a_bus_knows_its_clients";
    need!(test, "dbus-daemon", "dbus-send", "setpriv");
    let said = script(
        test,
        r#"chmod 755 .; cat >bus <<END
<busconfig><type>session</type><listen>unix:path=$PWD/socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>
END
        dbus-daemon --config-file="$PWD/bus" --nofork --nopidfile & bus=$!
        until test -S socket; do :; done; chmod 777 socket
        n=0; for id in 33 0 65534; do
            setpriv --reuid $id --regid $id --clear-groups dbus-send --bus=unix:path=$PWD/socket --print-reply=literal --dest=org.freedesktop.DBus \
                /org/freedesktop/DBus org.freedesktop.DBus.GetConnectionUnixUser string::1.$n; n=$((n + 1))
        done; kill $bus; wait || :"#,
    );
    assert!(said.contains("uint32 33"), "{said}");
}
