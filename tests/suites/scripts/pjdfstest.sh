# pjdfstest.sh DIR TEST: prints what the test prints, which is TAP.
exec sh "$1/tests/$2"
