#!/bin/sh
#SBATCH --time=0:30:00
# A Slurm job that changes an image, and runs what was installed: unpacks IMAGE (of login-node.sh) on the node, installs
# PACKAGE as apparent root, and runs COMMAND in it as the user, who sees the directory that the job was started in.
# usage: sbatch slurm-job.sh IMAGE PACKAGE COMMAND [ARG...]
set -eu
image=$1 package=$2
shift 2
place=$(mktemp -d)
trap 'zroot rm -rf "$place"' EXIT
unset TMPDIR # which the tree lacks
zroot --no-sync unsquashfs -quiet -no-progress -d "$place/rootfs" "$image"
zroot --no-sync --root "$place/rootfs" apt-get install -y --no-install-recommends "$package"
bwrap --bind "$place/rootfs" / --dev /dev --proc /proc --bind "$PWD" /mnt --chdir /mnt "$@"
