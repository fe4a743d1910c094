# fakeroot.sh DIR TEST: fakeroot's own test, with $RUN in the place of fakeroot, whose options are not zroot's.
cat >defs <<'END'
me=$(basename "$0")
tmp=$me.dir
trap 'rm -rf "$tmp"' EXIT
LDPRELOADVAR=LD_PRELOAD
run_fakeroot() {
    while [ "$1" != -- ]; do shift; done
    shift
    tmp="$tmp" $RUN "$@"
}
END
export RUN srcdir="$1/test" posixshell=/bin/sh
sh "$1/test/$2" 2>&1
status=$?
case $status in
0) echo "ok $2" ;;
77) echo "skip $2" ;;
*) echo "not ok $2 - exit status $status" ;;
esac
