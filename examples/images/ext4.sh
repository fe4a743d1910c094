#!/bin/sh
# Installs packages into the root directory ROOT, and makes an ext4 file system of it: ROOT.ext4.
# usage: ext4.sh ROOT PACKAGE...
set -eu
zroot -c full -- sh -euc '
    root=$1; shift
    zroot --root "$root" apt-get install -y "$@"
    # A third more than the files take.
    size=$(du -sk "$root" | cut -f1)
    rm -f "$root.ext4"
    mke2fs -q -t ext4 -d "$root" "$root.ext4" "$((size * 4 / 3 + 8192))k"
' sh "$@"
