# perl.sh DIR TEST: one of the tests of attr or acl, of the programs that are installed. One test for each command in
# it, by its line.
cp -r "$1/test" .
# A pipe that should be refused, and is not, is waited for.
timeout 20 perl -w -U test/run "test/$2" >out 2>&1
status=$?
cat out
echo
# By its lines, because what a command says may stand between the command and its verdict.
awk '/^\[[0-9]+\] \$ / { line = $1; gsub(/[][]/, "", line) }
    / -- ok$|^ok$/ && line { print "ok " line; line = "" }
    / -- failed$|^failed$/ && line { print "not ok " line; line = "" }
    END { if (line) print "not ok " line }' out
[ "$status" = 77 ] && echo "skip 0"
[ -s out ] || echo "not ok 0 - nothing was said"
