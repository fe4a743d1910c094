# coreutils.sh DIR TEST: coreutils' own test, of the coreutils that are installed. What its build would have made is
# made here: src with the programs, install under its name there, and the numbers that getlimits(1) prints of this
# machine's C types.
ln -s "$1/tests" "$1/init.cfg" .
mkdir src
for name in cat chcon chgrp chmod chown chroot comm cp cut dd echo env expr head id ls mkdir mv printf rm rmdir seq sort stat \
    sync tail test touch tr true truncate wc; do
    ln -s "$(PATH=/usr/sbin:/usr/bin:/sbin:/bin which "$name")" "src/$name"
done
ln -s "$(which install)" src/ginstall
cat >src/getlimits <<'END'
#!/bin/sh
echo "INT_MAX=2147483647 INT_OFLOW=2147483648 UID_T_MAX=4294967295 UID_T_OFLOW=4294967296 GID_T_MAX=4294967295 GID_T_OFLOW=4294967296"
END
chmod 755 src/getlimits
echo "#define HAVE_CAP 1" >config.h
PACKAGE_VERSION=$(rm --version | sed -n '1s/.* //p')
export srcdir=. top_srcdir=. abs_srcdir="$PWD" abs_top_srcdir="$PWD" abs_top_builddir="$PWD" built_programs="$(echo $(ls src))" \
    PERL=perl AWK=awk EGREP="grep -E" host_os=linux-gnu CONFIG_HEADER="$PWD/config.h" PACKAGE_VERSION fail=0 TMPDIR="$PWD" SHELL=/bin/sh PATH="$PWD/src:$PATH"
# 9: where init.sh says why a test is skipped.
sh "tests/$2.sh" 9>&2 2>&1
status=$?
case $status in
0) echo "ok $2" ;;
77) echo "skip $2" ;;
*) echo "not ok $2 - exit status $status" ;;
esac
