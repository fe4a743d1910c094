#!/bin/sh
# The same as around-buildah.sh, with an image in which every file has the owner that the steps gave it: TAG, as the OCI image DIR.
# The storage driver has to be vfs: an overlay shows owners on inodes of its own, and a layer is packed from others.
# usage: owners-buildah.sh STORAGE TAG [OPTION...]
set -eu
storage=$(realpath "$1") tag=$2
shift 2
zroot -c full -- unshare -m buildah --storage-driver vfs --root "$storage" --runroot "$storage/run" build --isolation chroot -t "$tag" "$@" .
