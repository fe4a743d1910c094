#!/bin/sh
# Runs COMMAND as apparent root in a job of a CI runner that gives it no privileges: with a user namespace where the runner
# allows one, else without. What the runner forbids, and what to change for it, is in zroot-check.txt, to be kept with the job.
# usage: ci-runner.sh COMMAND [ARG...]
set -eu
userns=auto
zroot --check >zroot-check.txt || userns=never
echo "ci-runner.sh: --userns=$userns" >&2
exec zroot --userns="$userns" -- "$@"
