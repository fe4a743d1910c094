#!/bin/sh
# Builds packages from the Debian source package in the present directory, as dpkg-buildpackage's -rfakeroot does,
# with zroot by the name of fakeroot. Their files have the owners that debian/rules gives them.
# usage: dpkg-buildpackage.sh [OPTION...]
set -eu
bin=$(mktemp -d)
trap 'rm -r "$bin"' EXIT
ln -s "$(command -v zroot)" "$bin/fakeroot"
dpkg-buildpackage -b -us -uc -r"$bin/fakeroot" "$@"
