//! Programs that become others, and what lives longer than the command or the mount.

use super::script;

/// Identities stay across execve, and change by its rules.
#[test]
fn programs_stay_whom_they_have_become() {
    let test = "programs_stay_whom_they_have_become";
    need!(test, "setpriv");
    script(
        test,
        r#"echo >f; setpriv --reuid 5 --regid 5 --clear-groups id; setpriv --ruid 5 id
        setpriv --euid 5 sh -c "id; id -u"
        setpriv --reuid 5 --regid 6 --groups 7,8 sh -c "id -G; chgrp 7 f || chown 5 f || chmod 0 f || echo no" 2>&1
        setpriv --reuid 5 --regid 5 --clear-groups --inh-caps +chown --ambient-caps +chown sh -c "chown 9 f; chmod 0 f || echo no" 2>&1
        stat -c %u:%g:%a f; setpriv --reuid 4294967294 --clear-groups id -u
        setpriv --reuid 65535 --regid 70000 --groups 80000,65536 id"#,
    );
}

#[test]
fn perl_sees_what_it_has_set() {
    let test = "perl_sees_what_it_has_set";
    need!(test, "perl");
    script(
        test,
        r#"echo >f; chown 5:7 f
        perl -e '$< = $> = 5; print "$< $>\n"; print chmod(0600, "f"), "\n"; print chown(9, -1, "f"), " $!\n";
            print join(",", (lstat "f")[4, 5]), "\n"; $> = 0; print "$! $>\n"'
        perl -e 'open F, "<f"; unlink "f"; print join(",", (stat F)[3, 4, 5]), "\n"; open G, ">f";
            print join(",", (stat G)[4, 5], (stat F)[4, 5]), "\n"; chown 8, 8, *G;
            print join(",", (stat "f")[4, 5], (stat F)[4, 5]), "\n"'"#,
    );
}

#[test]
fn owners_are_the_same_in_a_pid_namespace() {
    let test = "owners_are_the_same_in_a_pid_namespace";
    need!(test, "unshare", "setpriv");
    script(
        test,
        r#"echo >f; chown 5:7 f
        unshare --pid --fork --mount-proc sh -c '
            echo $$; stat -c %u:%g f; chown 9 f; stat -c %u f
            setpriv --reuid 6 --regid 6 --clear-groups sh -c "id; chown 6 f || stat -c %u f" 2>&1'
        stat -c %u f"#,
    );
}

/// A file system that is mounted where another was has the same device and inode numbers.
#[test]
fn what_is_mounted_anew_belongs_to_nobody_yet() {
    let test = "what_is_mounted_anew_belongs_to_nobody_yet";
    need!(test, "unshare", "mount");
    script(
        test,
        r"mkdir m; unshare -m sh -ec 'for i in $(seq 60); do mount -t tmpfs none m; echo >m/f
            stat -c %u:%g m m/f; chown 5:7 m m/f; stat -c %u:%g m m/f; umount m; done'",
    );
}

#[test]
fn who_outlives_the_command_sees_owners() {
    let test = "who_outlives_the_command_sees_owners";
    need!(test, "setsid");
    // What it says reaches the pipe that the test reads to its end.
    script(
        test,
        r"echo >f; chown 5:7 f
        setsid sh -c 'while test -e /proc/$0/cwd/.; do :; done; stat -c %u:%g f; chown 8 f; stat -c %u:%g f' $$ &",
    );
}

#[test]
fn who_is_traced_sees_owners() {
    let test = "who_is_traced_sees_owners";
    need!(test, "strace", "setpriv");
    script(
        test,
        r#"echo >f; chown 5:7 f
        strace -f -o /dev/null sh -c "chown 6 f; stat -c %u:%g f
            setpriv --reuid 5 --clear-groups sh -c 'id -u; chown 9 f || echo no'" 2>&1
        stat -c %u:%g f"#,
    );
}
