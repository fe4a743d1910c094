#!/bin/sh
# Builds the Dockerfile of the present directory under zroot's filter, without zroot in the image, for a user who has one id only.
# BUILDER is buildah or podman. apt, which looks whether it has dropped root, is told not to.
# usage: seccomp.sh BUILDER TAG [OPTION...]
set -eu
builder=$1 tag=$2
shift 2
zroot --dump-filter=oci >seccomp.json
echo 'APT::Sandbox::User "root";' >apt.conf
"$builder" --storage-driver overlay --storage-opt overlay.ignore_chown_errors=true build --network host \
    --security-opt seccomp="$PWD/seccomp.json" -v "$PWD/apt.conf:/etc/apt/apt.conf.d/zz-sandbox:ro" -t "$tag" "$@" .
