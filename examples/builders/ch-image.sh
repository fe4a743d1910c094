#!/bin/sh
# Builds the image TAG by Charliecloud's ch-image from a Dockerfile of the present directory whose steps zroot runs.
# usage: ch-image.sh DOCKERFILE TAG [OPTION...]
set -eu
file=$1 tag=$2
shift 2
cp "$(command -v zroot)" zroot
ch-image build -f "$file" -t "$tag" "$@" .
