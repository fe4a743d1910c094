#!/bin/sh
# Installs packages into the root directory ROOT, and makes an OCI image of it: ROOT.oci, with the tag latest.
# usage: oci.sh ROOT PACKAGE...
set -eu
zroot -c full -- sh -euc '
    root=$1; shift
    zroot --root "$root" apt-get install -y "$@"
    tar --numeric-owner --xattrs --xattrs-include="*" -C "$root" -cf "$root.layer" .
' sh "$@"
rm -rf "$1.oci"
umoci init --layout "$1.oci"
umoci new --image "$1.oci"
umoci raw add-layer --image "$1.oci" "$1.layer"
rm "$1.layer"
