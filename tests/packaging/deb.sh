# A fresh Debian tree: /tmp/zroot.deb comes, is used by somebody else, and it goes again. By apparent root.
set -eu
files() { find / -xdev \( -path /var/log -o -path /var/cache -o -path /var/lib/dpkg -o -path /var/lib/apt -o -path /tmp -o -path /run \) -prune -o -print | sort; }
case $1 in
install)
    apt-get install -qq -y --no-install-recommends man-db bash-completion
    files >/tmp/before
    apt-get install -qq -y --no-install-recommends /tmp/zroot.deb
    [ -z "$(dpkg --verify zroot)" ]
    ;;
alternative)
    # The real fakeroot, once it is there, is fakeroot; zroot can be chosen.
    apt-get install -qq -y --no-install-recommends fakeroot
    readlink -f /usr/bin/fakeroot | grep -x /usr/bin/fakeroot-sysv
    update-alternatives --set fakeroot /usr/bin/fakeroot-zroot
    readlink -f /usr/bin/fakeroot | grep -x /usr/bin/zroot
    readlink -f "$(man -w fakeroot)" | grep -x /usr/share/man/man1/zroot.1.gz
    ;;
remove)
    apt-get purge -qq -y zroot
    # Its part is taken over, and goes as well.
    readlink -f /usr/bin/fakeroot | grep -x /usr/bin/fakeroot-sysv
    apt-get purge -qq -y fakeroot libfakeroot
    files >/tmp/after
    diff /tmp/before /tmp/after
    ;;
esac
