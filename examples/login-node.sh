#!/bin/sh
# Makes a squashfs with PACKAGE... of the root directory in ARCHIVE (a tarball), on a login node, without subuids.
# The tree lies in SCRATCH, a file system of the node's own: of many small files NFS is slow, and some homes keep no attributes,
# which --check shows. IMAGE, which may lie in the home, is one file.
# usage: login-node.sh SCRATCH ARCHIVE IMAGE PACKAGE...
set -eu
scratch=$1 archive=$2 image=$3
shift 3
zroot --check -C "$scratch" >&2
mkdir "$scratch/rootfs"
zroot --no-sync tar --numeric-owner -C "$scratch/rootfs" -xpf "$archive"
unset TMPDIR # which the tree lacks
zroot --no-sync --root "$scratch/rootfs" apt-get update
zroot --no-sync --root "$scratch/rootfs" apt-get install -y --no-install-recommends "$@"
zroot mksquashfs "$scratch/rootfs" "$image" -noappend -quiet -no-progress
zroot rm -rf "$scratch/rootfs"
