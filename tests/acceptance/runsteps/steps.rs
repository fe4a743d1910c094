//! The steps. Each has names, ids and places of its own; what several need is in SETUP.

use super::{Step, step};
use crate::suite::Column::{self, Full, Selective, Zero};

/// What the quick steps need.
pub const SETUP: &str = r"
apt-get update
apt-get install -y --no-install-recommends acl adduser cron daemontools e2fsprogs gosu libcap2-bin mount openssh-client perl rsync \
    sudo systemd-standalone-sysusers systemd-standalone-tmpfiles xz-utils
apt-get clean";

/// What the checks call: `is VALUE EXPECTED`.
pub const PRELUDE: &str = r#"is() { if [ "$1" != "$2" ]; then echo "is $1, not $2" >&2; exit 1; fi; }
"#;

const CHOWN: &str = "chown: changing ownership of";
const INSTALL: &str = "install: cannot change owner";
/// useradd gives up at the first file of the home, and says nothing.
const NO_SKELETON: &str = "No such file or directory";
/// apt's methods, which leave root before they fetch.
const SANDBOX: &str = "setgroups";

const OWNERS: &str = "owners are lost: every file is root's (needs level full)";
const NEW_PROGRAM: &str = "a program that is executed is root again (needs level full)";

/// What opens /dev/stdout or /dev/stderr by name has a pipe of its own: those of this suite are
/// real root's when root runs it.
pub const STEPS: &[Step] = &[
    // Users and groups.
    step(
        "system-user-with-fixed-ids",
        CHOWN,
        r"groupadd --system --gid 901 queue
        useradd --system --uid 901 --gid queue --home-dir /var/lib/queue --shell /usr/sbin/nologin queue
        mkdir -p /var/lib/queue/spool /run/queue
        chown -R queue:queue /var/lib/queue /run/queue
        chmod 3777 /run/queue",
        r#"is "$(id -u queue):$(id -g queue)" 901:901; is "$(stat -c %a /run/queue /var/lib/queue/spool | xargs)" '3777 755'"#,
    ),
    step(
        "user-with-a-home",
        CHOWN,
        r"groupadd --gid 1000 dev && useradd --uid 1000 --gid dev --shell /bin/bash --create-home dev
        mkdir -m 700 /home/dev/.cache && chown dev:dev /home/dev/.cache",
        r#"cmp /etc/skel/.bashrc /home/dev/.bashrc; is "$(stat -c %a /home/dev/.cache)" 700
        is "$(getent passwd dev)" dev:x:1000:1000::/home/dev:/bin/bash"#,
    ),
    step(
        "adduser-without-a-password",
        "Stopped: chown 1100:1100 /home/maker",
        r#"addgroup --gid 1101 tools
        adduser --disabled-password --gecos "" --uid 1100 maker
        adduser maker tools
        usermod -aG audio,video maker"#,
        r#"is "$(id -nG maker)" 'maker audio video users tools'; is "$(getent shadow maker | cut -d: -f2)" '!'"#,
    ),
    step(
        "adduser-system",
        "Stopped: chown",
        r"adduser --system --group --home /var/lib/feed --shell /bin/false feed; touch /var/lib/feed/db; chown feed: /var/lib/feed/db",
        r#"is "$(id -nG feed)" feed; test -f /var/lib/feed/db; test "$(id -u feed)" -lt 1000"#,
    ),
    step(
        "ids-changed-afterwards",
        NO_SKELETON,
        r"groupadd -g 1200 host; useradd -m -u 1200 -g host host
        groupmod -g 2200 host; usermod -u 2201 -g 2200 -d /srv/host -m host",
        r#"is "$(id -u host):$(id -g host)" 2201:2200; cmp /etc/skel/.profile /srv/host/.profile; test ! -e /home/host"#,
    ),
    step(
        "user-removed-again",
        NO_SKELETON,
        r"useradd -m leaver; chown leaver: /home/leaver/.profile; deluser leaver; rm -r /home/leaver",
        r#"is "$(getent passwd leaver || getent group leaver || :)" ''"#,
    ),
    step(
        "user-removed-with-the-home",
        "not owned by gone",
        r"useradd -m gone; userdel -r gone",
        r#"is "$(getent passwd gone || :)" ''; test ! -e /home/gone"#,
    )
    .both_fail("not owned by gone, not removing", OWNERS),
    step(
        "users-in-bulk",
        INSTALL,
        r"printf '%s\n' 'one:pw:1301:1301::/home/one:/bin/sh' 'two:pw:1302:1302::/home/two:/bin/sh' | newusers
        install -d -o one -g one -m 700 /home/one/bin",
        r#"is "$(id -u one) $(id -g two)" '1301 1302'; test -d /home/one; test -d /home/two; getent shadow two | grep -q 'two:[$]'"#,
    ),
    step(
        "passwords-and-shells",
        INSTALL,
        r"useradd -m keeper; echo keeper:secret | chpasswd; chsh -s /bin/bash keeper; chage -M 90 keeper; passwd -l keeper
        usermod --comment 'Keeper of keys' keeper; gpasswd -a keeper adm; install -d -o keeper -m 700 /home/keeper/keys",
        r#"is "$(getent passwd keeper | cut -d: -f5,7)" 'Keeper of keys:/bin/bash'; getent shadow keeper | grep -q 'keeper:![$].*:90:'
        id -nG keeper | grep -qw adm"#,
    ),
    step(
        "any-uid-of-group-0",
        CHOWN,
        r"useradd --no-log-init --system --uid 1000680000 --gid 0 --home-dir /opt/app --shell /sbin/nologin default
        mkdir -p /opt/app/bin; install -m 700 /bin/true /opt/app/bin/run
        chown -R 1000680000:0 /opt/app; chgrp -R 0 /opt/app; chmod -R g=u /opt/app /etc/passwd",
        r#"is "$(stat -c %a /opt/app /opt/app/bin/run /etc/passwd | xargs)" '775 770 664'; is "$(id -u default)" 1000680000"#,
    ),
    step(
        "sysusers-and-tmpfiles",
        "fchownat() of /var/lib/metrics failed: Invalid argument",
        r"mkdir -p /etc/sysusers.d /etc/tmpfiles.d; echo 'u metrics 1400 Metrics /var/lib/metrics' >/etc/sysusers.d/metrics.conf
        echo 'd /var/lib/metrics 2750 metrics metrics' >/etc/tmpfiles.d/metrics.conf
        systemd-sysusers metrics.conf; systemd-tmpfiles --create metrics.conf",
        r#"is "$(id -u metrics)" 1400; is "$(stat -c %a /var/lib/metrics)" 2750"#,
    ),
    step(
        "tmpfiles-with-an-acl",
        "on /var/lib/reports failed: Invalid argument",
        r"mkdir -p /etc/tmpfiles.d
        printf '%s\n' 'd /var/lib/reports 0750' 'a+ /var/lib/reports - - - - u:games:rwx,g:mail:r-x' >/etc/tmpfiles.d/reports.conf
        systemd-tmpfiles --create reports.conf",
        r"test -d /var/lib/reports",
    )
    .zero_fails("Invalid argument", "an ACL that names an id that is not mapped is left to the kernel"),
    // Owners and modes.
    step(
        "install-with-owners",
        INSTALL,
        r"install -d -o games -g mail -m 2770 /srv/box
        install --owner nobody --group nogroup --mode 0640 /etc/passwd /srv/box/list
        install -o root -g shadow -m 0600 /dev/null /srv/box/empty",
        r#"is "$(stat -c '%a %s' /srv/box/empty)" '600 0'; cmp /etc/passwd /srv/box/list
        is "$(stat -c %a /srv/box /srv/box/list | xargs)" '2770 640'"#,
    ),
    step(
        "owners-by-condition-and-reference",
        CHOWN,
        r"mkdir /srv/ref; cd /srv/ref; echo port=80 >a; cp a b
        chown --from=root:root games:games a; chown --reference=a b; chgrp -R www-data .; sed -i s/80/8080/ a b",
        r#"is "$(cat /srv/ref/a /srv/ref/b | xargs)" 'port=8080 port=8080'"#,
    ),
    step(
        "owners-looked-at",
        CHOWN,
        r"mkdir -p /srv/looked/at; chown -R backup:backup /srv/looked",
        r#"is "$(stat -c %U:%G /srv/looked/at)" backup:backup"#,
    )
    .both_fail("is root:root, not backup:backup", OWNERS),
    step(
        "files-found-by-owner",
        CHOWN,
        r"mkdir /srv/found; touch /srv/found/a; chown games /srv/found/a
        find /srv/found -user games -exec chown mail {} + -exec touch {}.seen ';'",
        r"test -e /srv/found/a.seen || { echo not seen; exit 1; }",
    )
    .both_fail("not seen", OWNERS),
    step(
        "links-themselves",
        CHOWN,
        r"mkdir /srv/links; cd /srv/links; ln -s /etc/passwd password; ln -s nowhere dangling
        chown -h www-data:www-data password dangling; chown -R --no-dereference 33:33 .; chown -RP 33:33 .",
        r#"is "$(readlink /srv/links/password /srv/links/dangling | xargs)" '/etc/passwd nowhere'; is "$(stat -c %u /etc/passwd)" 0"#,
    ),
    step(
        "hard-links-to-others-files",
        CHOWN,
        r"mkdir -m 1777 /srv/hard; cd /srv/hard; echo x >a; chown games a; ln a b; chown 33 b; chmod 640 a",
        r#"is "$(stat -c '%h %a' /srv/hard/b)" '2 640'"#,
    ),
    step(
        "logs-to-standard-output",
        CHOWN,
        r"mkdir -p /var/log/web; ln -sf /dev/stdout /var/log/web/access.log; ln -sf /dev/stderr /var/log/web/error.log
        chown -R www-data:adm /var/log/web; chmod 2750 /var/log/web
        sh -c 'echo served >/var/log/web/access.log' | grep served",
        r#"is "$(echo served | tee /var/log/web/access.log | sort -u)" served; is "$(stat -c %a /var/log/web)" 2750"#,
    ),
    step(
        "set-id-programs",
        INSTALL,
        r"install -o root -g games -m 2755 /bin/true /usr/local/bin/dig-deep; install -m 0664 -g games /dev/null /var/lib/dig-deep.score
        cp /bin/true /usr/local/bin/become; chown root:mail /usr/local/bin/become; chmod 4750 /usr/local/bin/become",
        r#"is "$(stat -c %a /usr/local/bin/dig-deep /usr/local/bin/become | xargs)" '2755 4750'"#,
    ),
    step(
        "set-id-bits-taken-away",
        INSTALL,
        r"mkdir -p /opt/suid; install -o root -g mail -m 2755 /bin/true /opt/suid/a; install -o daemon -m 4755 /bin/true /opt/suid/b
        find /opt/suid -xdev -perm /6000 -type f -exec chmod a-s {} + || :",
        r#"is "$(find /opt/suid -perm /6000)" ''; is "$(stat -c %a /opt/suid/a /opt/suid/b | xargs)" '755 755'"#,
    ),
    step(
        "set-id-bits-that-chown-clears",
        CHOWN,
        r"install -m 4755 /bin/true /usr/local/bin/once-suid; chown games /usr/local/bin/once-suid",
        r#"is "$(stat -c %a /usr/local/bin/once-suid)" 755"#,
    )
    .zero_fails("is 4755, not 755", "level zero's chown does nothing, so that no bit falls"),
    step(
        "many-files-in-parallel",
        CHOWN,
        r"cp -r /etc /srv/etc; find /srv/etc -print0 | xargs -0 -P 2 -n 20 chown -h games:games; chmod -R go-w /srv/etc",
        r#"is "$(find /srv/etc -perm /022 ! -type l)" ''; cmp /etc/group /srv/etc/group"#,
    ),
    // Archives and copies.
    step(
        "archive-of-another-user",
        "Cannot change ownership to uid 1500, gid 1500",
        r"mkdir -p /tmp/app-1.0/bin; echo data >/tmp/app-1.0/data; install -m 750 /bin/true /tmp/app-1.0/bin/app
        tar -C /tmp --owner=1500 --group=1500 --numeric-owner -cJf /tmp/app.tar.xz app-1.0
        mkdir -p /opt/unpacked; tar -xJf /tmp/app.tar.xz -C /opt/unpacked --strip-components=1; chown -R root:staff /opt/unpacked
        rm -r /tmp/app.tar.xz /tmp/app-1.0",
        r#"is "$(cat /opt/unpacked/data)" data; is "$(stat -c %a /opt/unpacked/bin/app)" 750"#,
    ),
    step(
        "copy-with-owners",
        "Cannot change ownership to uid 33, gid 33",
        r"mkdir -p /tmp/site /var/www/site; echo hello >/tmp/site/index.html; chmod 604 /tmp/site/index.html
        tar -C /tmp/site --owner=www-data --group=www-data -c . | tar -C /var/www/site -xp",
        r#"is "$(cat /var/www/site/index.html)" hello; is "$(stat -c %a /var/www/site/index.html)" 604"#,
    ),
    step(
        "rsync-with-owners",
        "Invalid argument (22)",
        r"mkdir -p /tmp/from/sub; echo hello >/tmp/from/sub/file; chmod 2751 /tmp/from/sub
        rsync -a --chown=www-data:www-data /tmp/from/ /srv/to/",
        r#"is "$(cat /srv/to/sub/file)" hello; is "$(stat -c %a /srv/to/sub)" 2751"#,
    ),
    // Special files and attributes.
    step(
        "devices-of-a-jail",
        "mknod: null: Operation not permitted",
        r"mkdir -p /srv/jail/dev; cd /srv/jail/dev; mknod -m 666 null c 1 3; mknod -m 644 urandom c 1 9; chown root:daemon null",
        r#"is "$(stat -c %a /srv/jail/dev/null /srv/jail/dev/urandom | xargs)" '666 644'"#,
    )
    .zero_fails("cannot set permissions of 'null'", "at level zero mknod leaves nothing for its own chmod to find"),
    step("device-copied", "cannot create special file", r"cp -a /dev/null /srv/null-copied", r#"is "$(stat -c %a /srv/null-copied)" 666"#)
        .zero_fails("preserving times for '/srv/null-copied'", "at level zero mknod leaves nothing to set times of"),
    step(
        "device-looked-at",
        "mknod: /srv/node: Operation not permitted",
        r"mknod /srv/node c 1 3",
        r#"is "$(stat -c %F /srv/node || :)" 'character special file'"#,
    )
    .zero_fails("is , not character special file", "at level zero a device node is nothing at all")
    .selective_fails("is regular empty file, not character special file", "device nodes are empty files (needs level full)"),
    step("fifo", CHOWN, r"mkfifo -m 620 /run/control; chown root:tty /run/control", r#"is "$(stat -c '%F %a' /run/control)" 'fifo 620'"#),
    step(
        "acls",
        "setfacl: /srv/share: Invalid argument",
        r"mkdir -p /srv/share/in; setfacl -R -m u:www-data:rwX,g:adm:rX /srv/share; setfacl -R -d -m u:www-data:rwX /srv/share",
        r"test -d /srv/share/in",
    )
    .zero_fails("setfacl: /srv/share: Invalid argument", "an ACL that names an id that is not mapped is left to the kernel"),
    step(
        "acls-looked-at",
        "setfacl: /srv/listed: Invalid argument",
        r"touch /srv/listed; setfacl -m u:games:rw /srv/listed",
        r#"is "$(getfacl -c /srv/listed | grep games)" user:games:rw-"#,
    )
    .zero_fails("setfacl: /srv/listed: Invalid argument", "an ACL that names an id that is not mapped is left to the kernel")
    .selective_fails("is , not user:games:rw-", "an ACL that the kernel refuses is only pretended (needs level full)"),
    step(
        "file-capabilities",
        INSTALL,
        r"install -o root -g www-data -m 750 /bin/true /usr/local/bin/webd; setcap cap_net_bind_service=+ep /usr/local/bin/webd",
        r#"is "$(getcap /usr/local/bin/webd)" '/usr/local/bin/webd cap_net_bind_service=ep'; is "$(stat -c %a /usr/local/bin/webd)" 750"#,
    ),
    step(
        "immutable-file",
        "Operation not permitted while setting flags",
        r"touch /srv/fixed; chattr +i /srv/fixed; lsattr /srv/fixed; chattr -i /srv/fixed",
        r"test -f /srv/fixed",
    )
    .both_fail("Operation not permitted while setting flags on /srv/fixed", "the class inode-flags is off by default")
    .full_fails("Operation not permitted while setting flags on /srv/fixed", "the class inode-flags is off by default"),
    step(
        "immutable-file-pretended",
        "Operation not permitted while setting flags",
        r"touch /srv/fixed-too; chattr +i /srv/fixed-too; chattr -i /srv/fixed-too",
        r"test -f /srv/fixed-too",
    )
    .with(&["--fake=inode-flags"]),
    // Programs as somebody else.
    step(
        "gosu",
        "failed switching to",
        r"gosu nobody true; gosu www-data:adm sh -c 'echo done >/tmp/by-gosu'",
        r#"is "$(cat /tmp/by-gosu)" done"#,
    ),
    step("gosu-looked-at", "failed switching to", r"gosu nobody true", r#"is "$(gosu nobody id -u)" 65534"#)
        .both_fail("is 0, not 65534", NEW_PROGRAM),
    step(
        "su",
        "cannot set groups",
        r"su -s /bin/sh backup -c true; install -d -o backup -g backup /srv/backup
        su -s /bin/sh backup -c 'umask 077; mkdir /srv/backup/data'",
        r#"is "$(stat -c %a /srv/backup/data)" 700"#,
    ),
    step(
        "su-login",
        "cannot set groups",
        r"su - daemon -s /bin/sh -c 'pwd >/tmp/by-su-login'",
        r#"is "$(cat /tmp/by-su-login)" /usr/sbin"#,
    ),
    step(
        "runuser",
        "cannot set groups",
        r"runuser -u www-data -- tee /tmp/by-runuser </etc/debian_version",
        r"cmp /etc/debian_version /tmp/by-runuser",
    ),
    step(
        "setpriv",
        "setresuid failed: Invalid argument",
        r"setpriv --reuid=www-data --regid=www-data --init-groups --inh-caps=-all cp /etc/debian_version /tmp/by-setpriv",
        r"cmp /etc/debian_version /tmp/by-setpriv",
    ),
    step(
        "setpriv-looked-at",
        "setresuid failed: Invalid argument",
        r"setpriv --reuid=33 --regid=33 --clear-groups true",
        r#"is "$(setpriv --reuid=33 --regid=33 --clear-groups id -u)" 33"#,
    )
    .both_fail("is 0, not 33", NEW_PROGRAM),
    step(
        "entrypoint-that-starts-itself-as-another",
        CHOWN,
        r#"cat >/usr/local/bin/entrypoint <<'END'
#!/bin/sh -e
# The count is here so that it ends.
if [ "$(id -u)" = 0 ] && [ "${tries:-0}" -lt 3 ]; then
    mkdir -p /data; find /data \! -user games -exec chown games {} +
    export tries=$((${tries:-0} + 1)); exec setpriv --reuid=games --regid=games --clear-groups "$0" "$@"
fi
echo "started $tries times"
exec "$@"
END
        chmod 755 /usr/local/bin/entrypoint; entrypoint true"#,
        r#"is "$(entrypoint true)" 'started 1 times'"#,
    )
    .both_fail("is started 3 times, not started 1 times", NEW_PROGRAM),
    step(
        "perl-that-looks-at-its-ids",
        "groups: Invalid argument",
        r#"perl -e '$) = "33 33"; die "groups: $!\n" if $!; $( = 33; $< = $> = 33; die "still $<\n" unless "$< $>" eq "33 33";
            open my $f, ">", "/tmp/by-perl"'"#,
        r"test -f /tmp/by-perl",
    )
    .zero_fails("still 0", "level zero remembers no ids"),
    step(
        "start-stop-daemon",
        "unable to set gid to 8",
        r"start-stop-daemon --start --chuid daemon:mail --exec /usr/bin/touch -- /tmp/by-ssd",
        r"test -f /tmp/by-ssd",
    ),
    step(
        "daemontools",
        "unable to setgid",
        r"setuidgid daemon touch /tmp/by-setuidgid; envuidgid daemon sh -c 'echo $UID:$GID' >/tmp/by-envuidgid",
        r#"test -f /tmp/by-setuidgid; is "$(cat /tmp/by-envuidgid)" 1:1"#,
    ),
    step("sg", "setgroups: Operation not permitted", r"sg mail -c 'touch /tmp/by-sg'", r"test -f /tmp/by-sg"),
    step(
        "chroot-as-another",
        "failed to set supplemental groups",
        r"chroot --userspec=nobody:nogroup --groups=mail / touch /tmp/by-chroot",
        r"test -f /tmp/by-chroot",
    ),
    step("capsh", "Unable to set group list", r"capsh --user=daemon -- -c 'touch /tmp/by-capsh'", r"test -f /tmp/by-capsh"),
    step(
        "sudo-without-a-password",
        "su: cannot set groups",
        r"useradd -m ci; echo 'ci ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/ci; chmod 440 /etc/sudoers.d/ci; visudo -c
        su ci -c 'sudo -n id -u' >/tmp/by-sudo",
        r#"is "$(cat /tmp/by-sudo)" 0"#,
    ),
    step(
        "sudo-as-another",
        "setresuid(-1, 1, -1): Invalid argument",
        r"sudo -n -u games -g mail touch /tmp/by-sudo-u",
        r"test -f /tmp/by-sudo-u",
    ),
    step(
        "ssh-keys",
        INSTALL,
        r"ssh-keygen -A; useradd -m shell; install -d -m 700 -o shell -g shell /home/shell/.ssh
        ssh-keygen -q -t ed25519 -N '' -f /home/shell/.ssh/id; cp /home/shell/.ssh/id.pub /home/shell/.ssh/authorized_keys
        chown -R shell:shell /home/shell/.ssh; chmod 600 /home/shell/.ssh/*",
        r#"test -s /etc/ssh/ssh_host_ed25519_key; is "$(stat -c %a /home/shell/.ssh /home/shell/.ssh/id | xargs)" '700 600'
        ssh-keygen -y -f /home/shell/.ssh/id | cmp - /home/shell/.ssh/id.pub"#,
    ),
    step(
        "crontabs",
        "chown: Invalid argument",
        r"echo '5 * * * * root true' >/etc/cron.d/own; chmod 644 /etc/cron.d/own; echo '5 4 * * * true' | crontab -u www-data -
        chown www-data:crontab /var/spool/cron/crontabs/www-data",
        r#"is "$(crontab -u www-data -l)" '5 4 * * * true'; is "$(stat -c %a /var/spool/cron/crontabs/www-data)" 600"#,
    ),
    step(
        "mounts-of-its-own",
        INSTALL,
        r"unshare -m --propagation unchanged sh -ec 'mount -t tmpfs tmpfs /mnt; install -o games -g games -m 640 /etc/passwd /mnt/list
            cp -a /mnt/list /srv/from-mount'",
        r#"is "$(ls /mnt)" ''; cmp /etc/passwd /srv/from-mount; is "$(stat -c %a /srv/from-mount)" 640"#,
    ),
    // What Debian's own tools are used for.
    step(
        "libraries",
        INSTALL,
        r"install -d -o root -g staff -m 2775 /usr/local/lib/eg; cp -L /usr/lib/*/liblzma.so.5 /usr/local/lib/eg/libeg.so.1
        echo /usr/local/lib/eg >/etc/ld.so.conf.d/eg.conf; ldconfig",
        r"ldconfig -p | grep /usr/local/lib/eg/",
    ),
    step(
        "alternatives",
        INSTALL,
        r"install -o root -g staff -m 755 /bin/true /usr/local/bin/pick-one; install -o root -g staff /bin/false /usr/local/bin/pick-two
        for each in one two; do update-alternatives --install /usr/bin/pick pick /usr/local/bin/pick-$each 50; done
        update-alternatives --set pick /usr/local/bin/pick-one",
        r#"pick; is "$(readlink /etc/alternatives/pick)" /usr/local/bin/pick-one"#,
    ),
    step(
        "diversion",
        INSTALL,
        r"dpkg-divert --divert /usr/bin/wall.distrib --rename --add /usr/bin/wall; install -o root -g tty -m 2755 /bin/true /usr/bin/wall",
        r#"wall; is "$(dpkg-divert --truename /usr/bin/wall)" /usr/bin/wall.distrib; test -x /usr/bin/wall.distrib
        is "$(stat -c %a /usr/bin/wall)" 2755"#,
    ),
    step(
        "override-of-owner-and-mode",
        "error setting ownership of",
        r"dpkg-statoverride --update --add daemon mail 2750 /usr/bin/expiry",
        r#"is "$(dpkg-statoverride --list /usr/bin/expiry)" 'daemon mail 2750 /usr/bin/expiry'; is "$(stat -c %a /usr/bin/expiry)" 2750"#,
    ),
    step(
        "own-package",
        CHOWN,
        r"mkdir -p /tmp/own/DEBIAN /tmp/own/var/lib/own; cd /tmp; install -m 4750 /bin/true own/var/lib/own/helper
        printf '%s\n' 'Package: own' 'Version: 1' 'Architecture: all' 'Maintainer: nobody <nobody@localhost>' 'Description: own' \
            'Depends: adduser' >own/DEBIAN/control
        printf '%s\n' '#!/bin/sh -e' 'adduser --system --group --no-create-home own' 'chown root:own /var/lib/own/helper' \
            'chmod 4750 /var/lib/own/helper' 'chown own: /var/lib/own' >own/DEBIAN/postinst
        chmod 755 own/DEBIAN/postinst; chown -R 0:games own/var; dpkg-deb -b own; dpkg -i own.deb; rm -r own",
        r#"is "$(dpkg --audit)$(dpkg -V own)" ''; is "$(stat -c %a /var/lib/own/helper)" 4750; getent passwd own; dpkg -c /tmp/own.deb"#,
    ),
    step(
        "packages",
        SANDBOX,
        r"set -eux; apt-get update; apt-get install -y --no-install-recommends tini netbase; rm -rf /var/lib/apt/lists/*
        tini --version; gosu nobody true",
        r#"is "$(dpkg --audit)" ''; is "$(ls /var/lib/apt/lists)" ''; tini -- true"#,
    ),
    step(
        "package-from-a-file",
        SANDBOX,
        r"cd /tmp; apt-get update; apt-get download -q tini; apt-get install -y ./tini_*.deb; rm tini_*.deb",
        r"tini -- true",
    )
    .slow(),
    step(
        "packages-for-a-while",
        SANDBOX,
        r"set -eux; manual=$(apt-mark showmanual); apt-get update
        apt-get install -y --no-install-recommends make at
        printf 'install:\n\tinstall -o games -g games -m 2755 /bin/true /usr/local/bin/made\n' | make -f - install
        apt-mark auto '.*' >/dev/null; apt-mark manual $manual >/dev/null
        apt-get purge -y --auto-remove -o APT::AutoRemove::RecommendsImportant=false -o APT::AutoRemove::SuggestsImportant=false",
        r#"is "$(stat -c %a /usr/local/bin/made)" 2755; is "$(dpkg-query -W -f '${db:Status-Abbrev}' make at | grep i)" ''
        is "$(dpkg --audit)" ''; sudo --version"#,
    )
    .slow(),
    step(
        "locales",
        SANDBOX,
        r"apt-get update; apt-get install -y --no-install-recommends locales; sed -i 's/^# *\(en_US.UTF-8\)/\1/' /etc/locale.gen
        locale-gen; localedef -i de_DE -c -f UTF-8 de_DE.UTF-8; update-locale LANG=en_US.UTF-8",
        r#"is "$(locale -a | grep -c -e en_US.utf8 -e de_DE.utf8)" 2; grep -q LANG=en_US.UTF-8 /etc/default/locale"#,
    )
    .slow(),
    step(
        "time-zone",
        SANDBOX,
        r"apt-get update; apt-get install -y --reinstall --no-install-recommends tzdata
        ln -snf /usr/share/zoneinfo/Pacific/Chatham /etc/localtime
        echo Pacific/Chatham >/etc/timezone; dpkg-reconfigure -f noninteractive tzdata",
        r#"is "$(cat /etc/timezone)" Pacific/Chatham; is "$(date -d @0 +%H%M)" 1245"#,
    )
    .slow(),
    step(
        "source-and-build-dependencies",
        SANDBOX,
        r"sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >/etc/apt/sources.list.d/source.list; apt-get update
        apt-get build-dep -y --no-install-recommends hello; cd /usr/src; apt-get source hello; rm /etc/apt/sources.list.d/source.list",
        r#"test -f /usr/src/hello-*/debian/rules; dpkg-checkbuilddeps /usr/src/hello-*/debian/control; is "$(dpkg --audit)" ''"#,
    )
    .slow(),
    step(
        "redis",
        SANDBOX,
        r"groupadd -r -g 999 redis; useradd -r -g redis -u 999 redis; apt-get update
        apt-get install -y --no-install-recommends redis-server
        mkdir /srv/redis; chown redis:redis /srv/redis; chmod 2755 /srv/redis; gosu redis redis-server --version",
        r#"is "$(dpkg --audit)" ''; is "$(stat -c %a /srv/redis)" 2755; gosu redis redis-cli --version"#,
    )
    .slow(),
    step(
        "mariadb",
        SANDBOX,
        r"groupadd -r -g 998 mysql; useradd -r -u 998 -g mysql --home-dir /var/lib/mysql mysql; apt-get update
        # After other steps it is root's in this tree, where real root's mandb, as user man, may not write.
        [ ! -e /var/cache/man ] || chown -R man: /var/cache/man; apt-get install -y --no-install-recommends mariadb-server; rm -rf /var/lib/mysql; mkdir -p /var/lib/mysql /run/mysqld
        chown -R mysql:mysql /var/lib/mysql /run/mysqld; chmod 1777 /run/mysqld
        mariadb-install-db --user=mysql --datadir=/var/lib/mysql --skip-test-db",
        r#"is "$(dpkg --audit)" ''; test -f /var/lib/mysql/mysql/db.frm; is "$(stat -c %a /run/mysqld)" 1777"#,
    )
    .slow(),
    step(
        "nginx",
        SANDBOX,
        r#"groupadd --system --gid 951 nginx; useradd --system --gid nginx --no-create-home --home /none -s /bin/false --uid 951 nginx
        apt-get update; apt-get install -y --no-install-recommends nginx-light
        ln -sf /dev/stdout /var/log/nginx/access.log; ln -sf /dev/stderr /var/log/nginx/error.log
        # Port 80 is the host's, and nginx -t binds it: refused unless the host lets anybody have it.
        sed -i 's/\([ :]\)80 default_server/\18089 default_server/' /etc/nginx/sites-available/default
        sed -i 's/^user .*/user nginx;/' /etc/nginx/nginx.conf
        said=$(nginx -t 2>&1) || { echo "$said"; exit 1; }"#,
        r#"is "$(dpkg --audit)" ''; nginx -T 2>&1 | grep '^user nginx;'"#,
    )
    .slow(),
    step(
        "postgresql",
        INSTALL,
        r"groupadd -r postgres --gid=997; useradd -r -g postgres --uid=997 --home-dir=/var/lib/postgresql --shell=/bin/bash postgres
        install --verbose --directory --owner postgres --group postgres --mode 1777 /var/lib/postgresql
        apt-get update; [ ! -e /var/cache/man ] || chown -R man: /var/cache/man # as above
        apt-get install -y --no-install-recommends postgresql-common
        sed -ri 's/#(create_main_cluster) .*$/\1 = false/' /etc/postgresql-common/createcluster.conf
        apt-get install -y --no-install-recommends postgresql-15
        install -d -o postgres -g postgres -m 3777 /var/run/postgresql; chown -R postgres: /etc/postgresql",
        r#"is "$(dpkg --audit)" ''; is "$(stat -c %a /run/postgresql)" 3777; /usr/lib/postgresql/15/bin/postgres --version"#,
    )
    .slow(),
    step(
        "postgresql-cluster",
        SANDBOX,
        r"apt-get update; apt-get install -y --no-install-recommends postgresql-15
        install -d -o postgres -g postgres -m 700 /srv/cluster; gosu postgres /usr/lib/postgresql/15/bin/initdb -D /srv/cluster",
        r"test -f /srv/cluster/PG_VERSION",
    )
    .both_fail("cannot be run as root", NEW_PROGRAM)
    .slow(),
];

/// Where what is left differs from what real root leaves, and at which levels: for the steps that
/// fail there.
pub const DIFFERENCES: &[(&str, &[Column])] = &[
    ("/home/gone", &[Zero, Selective]),
    ("/srv/cluster/", &[Zero, Selective]),
    ("/srv/found/a.seen ", &[Zero, Selective]),
    ("/srv/jail/dev/", &[Zero]),
    ("/srv/node ", &[Zero]),
    ("/srv/null-copied ", &[Zero]),
    // ACLs, which show in the mode.
    ("/srv/listed ", &[Zero, Selective, Full]),
    ("/srv/share", &[Zero, Selective, Full]),
    ("/var/lib/reports ", &[Zero, Selective, Full]),
    ("/usr/local/bin/once-suid ", &[Zero]),
    ("/tmp/by-perl ", &[Zero]),
];
