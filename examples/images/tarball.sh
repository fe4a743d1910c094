#!/bin/sh
# Installs packages into the root directory ROOT, and packs it as ROOT.tar.
# usage: tarball.sh ROOT PACKAGE...
set -eu
zroot -c full -- sh -euc '
    root=$1; shift
    zroot --root "$root" apt-get install -y "$@"
    tar --numeric-owner --xattrs --xattrs-include="*" -C "$root" -cf "$root.tar" .
' sh "$@"
