#!/bin/sh
# Installs packages into the root directory ROOT, and makes an OCI image of it: ROOT.oci, with the tag latest.
# Whose the files are stays in ROOT.state.
# usage: oci.sh ROOT PACKAGE...
set -eu
root=$1
state=$1.state
shift
: >>"$state" # nothing is known the first time
zroot -i "$state" -s "$state" --root "$root" apt-get install -y "$@"
zroot -i "$state" tar --numeric-owner --xattrs --xattrs-include="*" -C "$root" -cf "$root.layer" .
rm -rf "$root.oci"
umoci init --layout "$root.oci"
umoci new --image "$root.oci"
umoci raw add-layer --image "$root.oci" "$root.layer"
rm "$root.layer"
