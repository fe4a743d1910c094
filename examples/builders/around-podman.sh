#!/bin/sh
# Builds the Dockerfile of the present directory, which knows nothing of zroot, by podman, for a user who has one id only,
# and needs no entry in /etc/passwd. The image stays in STORAGE, as TAG. (podman takes no longer path for it than 46 characters.)
# usage: around-podman.sh STORAGE TAG [OPTION...]
set -eu
storage=$(realpath "$1") tag=$2
shift 2
zroot -c selective -- unshare -m podman --root "$storage" --runroot "$storage/run" --tmpdir "$storage/tmp" \
    build --isolation chroot -t "$tag" "$@" .
