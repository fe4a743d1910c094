#!/bin/sh
# Installs packages into the root directory ROOT, and packs it as ROOT.tar.
# Whose the files are stays in ROOT.state.
# usage: tarball.sh ROOT PACKAGE...
set -eu
root=$1
state=$1.state
shift
: >>"$state" # nothing is known the first time
zroot -i "$state" -s "$state" --root "$root" apt-get install -y "$@"
zroot -i "$state" tar --numeric-owner --xattrs --xattrs-include="*" -C "$root" -cf "$root.tar" .
