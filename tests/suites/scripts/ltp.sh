# ltp.sh DIR TEST: DIR is a tree in which the test has been built, or one in which LTP is installed.
for program in "$1"/testcases/kernel/syscalls/*/"$2" "$1/testcases/bin/$2"; do
    [ -x "$program" ] && break
done
PATH=$PATH:${program%/*}
export TMPDIR="$PWD"
"$program" 2>&1
status=$?
# The bits of an exit status: lib/tst_res_flags.h, TFAIL 1, TBROK 2, TWARN 4, TCONF 32. That a test cannot lower
# oom_score_adj, which no user may (fs/proc/base.c, __set_oom_adj), is a warning of the library's.
case $((status & ~4)) in
0) echo "ok $2" ;;
32) echo "skip $2" ;;
*) echo "not ok $2 - exit status $status" ;;
esac
