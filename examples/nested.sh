#!/bin/sh
# Runs COMMAND as apparent root in the root directory ROOT, which has zroot as /usr/bin/zroot, by each of the tools that
# zroot works in or around.
# usage: nested.sh ROOT COMMAND [ARG...]
set -eu
root=$1
shift
zroot --root "$root" /usr/bin/zroot "$@"
bwrap --unshare-user --uid 0 --gid 0 --cap-add ALL --bind "$root" / --dev /dev --proc /proc /usr/bin/zroot "$@"
zroot bwrap --bind "$root" / --dev /dev --proc /proc "$@"
proot -r "$root" -b /proc -b /dev -w / /usr/bin/zroot "$@"
zroot proot -r "$root" -b /proc -b /dev -w / "$@"
fakeroot -- zroot --root "$root" "$@"
