#!/bin/sh
# Installs packages into the root directory ROOT, and makes a squashfs of it: ROOT.squashfs.
# Whose the files are stays in ROOT.state.
# usage: squashfs.sh ROOT PACKAGE...
set -eu
root=$1
state=$1.state
shift
: >>"$state" # nothing is known the first time
zroot -i "$state" -s "$state" --root "$root" apt-get install -y "$@"
zroot -i "$state" mksquashfs "$root" "$root.squashfs" -noappend -quiet -no-progress
