#!/bin/sh
# Builds the image TAG from a Dockerfile whose steps zroot runs, in the present directory, for a user who has one id only.
# BUILDER is buildah or podman. The base may have files of other ids, which no such user can have: they become his own.
# usage: steps.sh BUILDER DOCKERFILE TAG [OPTION...]
set -eu
builder=$1 file=$2 tag=$3
shift 3
cp "$(command -v zroot)" zroot
"$builder" --storage-driver overlay --storage-opt overlay.ignore_chown_errors=true \
    build --format docker --network host -f "$file" -t "$tag" "$@" .
