#!/usr/bin/zroot -S --no-sync -- /bin/sh -e
# An install script that wants root, and has it from its first line: no sudo, and nothing that whoever starts it has to know.
# usage: install.sh PREFIX
prefix=$1
install -d -o root -g root -m 755 "$prefix/bin" "$prefix/share"
install -o root -g root -m 4755 /bin/true "$prefix/bin/tool"
install -d -o daemon -g daemon -m 750 "$prefix/share/spool"
chown -R root:mail "$prefix/share"
