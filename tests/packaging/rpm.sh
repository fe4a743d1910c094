# A tree of Debian's programs in which rpm is the only package manager: /tmp/zroot.rpm comes, is used by somebody else, and
# goes again. By apparent root.
set -eu
# Debian's rpm keeps its database in the home directory.
rpm() { command rpm --dbpath /var/lib/rpm "$@"; }
files() { find / -xdev \( -path /var/log -o -path /var/cache -o -path /var/lib/rpm -o -path /tmp -o -path /run \) -prune -o -print | sort; }
case $1 in
install)
    apt-get install -qq -y --no-install-recommends man-db bash-completion rpm
    # dpkg and apt go. update-alternatives stays: the distributions of rpm have one as well.
    find /usr/bin \( -name 'dpkg*' -o -name 'apt*' \) -delete
    rm -rf /var/lib/dpkg/[!a]* /var/lib/apt
    rpm -i /tmp/base.rpm
    files >/tmp/before
    rpm -i /tmp/zroot.rpm
    rpm -V zroot
    rpm -qa
    ;;
alternative)
    update-alternatives --display fakeroot
    readlink -f /usr/bin/fakeroot | grep -x /usr/bin/zroot
    readlink -f "$(man -w fakeroot)" | grep -x /usr/share/man/man1/zroot.1.gz
    # An upgrade takes nothing away.
    rpm -U --force /tmp/zroot.rpm
    readlink -f /usr/bin/fakeroot | grep -x /usr/bin/zroot
    ;;
remove)
    rpm -e zroot
    files >/tmp/after
    diff /tmp/before /tmp/after
    ;;
esac
