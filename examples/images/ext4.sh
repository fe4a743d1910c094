#!/bin/sh
# Installs packages into the root directory ROOT, and makes an ext4 file system of it: ROOT.ext4.
# Whose the files are stays in ROOT.state.
# usage: ext4.sh ROOT PACKAGE...
set -eu
root=$1
state=$1.state
shift
: >>"$state" # nothing is known the first time
zroot -i "$state" -s "$state" --root "$root" apt-get install -y "$@"
# A third more than the files take.
size=$(($(du -sk "$root" | cut -f1) * 4 / 3 + 8192))
rm -f "$root.ext4"
zroot -i "$state" mke2fs -q -t ext4 -d "$root" "$root.ext4" "${size}k"
