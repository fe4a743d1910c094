#!/bin/sh
# The same as around-podman.sh, into the storage in the user's home, where podman finds the image afterwards. podman takes
# itself for one that has made its user namespace already. It looks up the user in /etc/passwd.
# usage: around-podman-home.sh TAG [OPTION...]
set -eu
tag=$1
shift
export _CONTAINERS_USERNS_CONFIGURED=done _CONTAINERS_ROOTLESS_UID="$(id -u)" _CONTAINERS_ROOTLESS_GID="$(id -g)"
zroot -c selective -- unshare -m podman build --isolation chroot -t "$tag" "$@" .
