#!/bin/sh
# Builds the Dockerfile of the present directory, which knows nothing of zroot, for a user who has one id only: zroot is
# around buildah, and so around every step. All files of the image are root's. It stays in STORAGE, as TAG.
# usage: around-buildah.sh STORAGE TAG [OPTION...]
set -eu
storage=$(realpath "$1") tag=$2
shift 2
zroot -c selective -- unshare -m buildah --root "$storage" --runroot "$storage/run" build --isolation chroot -t "$tag" "$@" .
