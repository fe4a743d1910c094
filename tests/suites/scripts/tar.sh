# tar.sh DIR TEST: tests of GNU tar's with this keyword, of the tar that is installed. What its build would have made
# is made here: two files with the places of things, and as much of genfile(1) as these tests use.
cat >atconfig <<END
at_testdir=tests abs_builddir='$PWD' at_srcdir='$1/tests' abs_srcdir='$1/tests' at_top_srcdir='$1' abs_top_srcdir='$1'
at_top_build_prefix='$PWD/' abs_top_builddir='$PWD' EXEEXT= AUTOTEST_PATH=bin SHELL=/bin/sh
END
sed "s,^PATH=.*,PATH=$PWD/bin:\$PATH," "$1/tests/atlocal.in" >atlocal
mkdir bin
cat >bin/genfile <<'END'
#!/bin/sh
[ "$1" = --file ] && : >"$2"
END
chmod 755 bin/genfile
sh "$1/tests/testsuite" -k "$2" >out 2>&1
cat out tests/testsuite.dir/*/testsuite.log testsuite.dir/*/testsuite.log 2>/dev/null
if grep -q "were successful\|was successful" out; then
    echo "ok $2"
elif grep -q "was skipped\|were skipped\|skipped" out; then
    echo "skip $2"
else
    echo "not ok $2"
fi
