# What is tried wherever a package of zroot is installed, by a user without rights. /srv/rootfs is a Debian tree of that user's.
set -eu
cd /tmp

echo "== zroot --check"
zroot --check

echo "== a change of owner"
touch file
if chown 5:7 file 2>/dev/null; then echo "this is no plain user" && exit 1; fi
zroot -- sh -c 'chown 5:7 file && id -un' | grep -x root
zroot -c full -- sh -c 'chown 5:7 file && stat -c %u:%g file' | grep -x 5:7

echo "== manuals"
for page in zroot fakeroot; do
    man $page >page
    head -n 4 page
    grep -q 'AS FAKEROOT' page
done

echo "== completion, by the Tab key"
# Nothing else would make `--chec` an option. It is typed into a terminal.
printf 'zroot --chec\t\nexit\n' | script -qec 'bash -il' /dev/null >typed
tail -n 5 typed
grep -q '^level zero: works' typed

echo "== zroot --root ./rootfs apt-get install gcc"
cd /srv
[ ! -e rootfs/usr/bin/gcc ]
zroot --root ./rootfs apt-get install -y --no-install-recommends gcc libc6-dev >/tmp/log 2>&1 || { tail /tmp/log && exit 1; }
tail -n 2 /tmp/log
zroot --root ./rootfs gcc --version | head -n 1

echo "== fakeroot"
readlink -f /usr/bin/fakeroot
cd /tmp
fakeroot -- sh -c 'chown 5:7 file && stat -c %u:%g file' | grep -x 5:7
