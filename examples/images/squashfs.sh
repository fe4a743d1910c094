#!/bin/sh
# Installs packages into the root directory ROOT, and makes a squashfs of it: ROOT.squashfs.
# usage: squashfs.sh ROOT PACKAGE...
set -eu
zroot -c full -- sh -euc '
    root=$1; shift
    zroot --root "$root" apt-get install -y "$@"
    mksquashfs "$root" "$root.squashfs" -noappend -quiet -no-progress
' sh "$@"
