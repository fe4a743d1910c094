#!/bin/sh
# Runs COMMAND as apparent root in the root directory ROOT, which has zroot as /usr/bin/zroot, on a host that forbids user
# namespaces: PRoot, which cannot pretend all that apt asks for, translates the paths, and zroot pretends.
# usage: no-namespaces.sh ROOT COMMAND [ARG...]
set -eu
root=$1
shift
unset TMPDIR # which ROOT lacks
exec proot -r "$root" -b /proc -b /dev -b /etc/resolv.conf -w / /usr/bin/zroot --userns=never -- "$@"
