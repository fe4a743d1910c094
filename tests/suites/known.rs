//! What real root passes and level full does not, and why: the one list. A test that fails and is
//! not here is wrong, and so is one that is here and passes.

/// Tests of one unit: `1-3 5` for numbers, else their names.
struct Known {
    suite: &'static str,
    unit: &'static str,
    tests: &'static str,
    cause: &'static str,
}

const PERMISSIONS: &str = "What somebody else than root may open, search, make, rename and remove is the kernel's to check, for which every \
    process is the user who started zroot (fs/namei.c, inode_permission and may_delete). In pjdfstest, what comes after such a step has failed as well";
const WAITS: &str = "It comes after a named pipe that somebody else than root should not be able to open, and that is waited for";
const MOUNTS: &str = "It needs a loop device with a file system of its own, which a user namespace cannot mount (fs/super.c, mount_capable)";

/// Numbers are those of the versions in docs/suites.md.
const KNOWN: &[Known] = &[
    known(
        "acl",
        "root/permissions.test",
        "33 57 79 99 112 124 138 178 194 201 203 234 236 238",
        PERMISSIONS,
    ),
    known(
        "acl",
        "root/permissions.test",
        "241-242 244-245 247-248 256-260 263 265 269 272 277-279",
        WAITS,
    ),
    known("coreutils", "rm/fail-2eperm", "rm/fail-2eperm", PERMISSIONS),
    known("coreutils", "rm/no-give-up", "rm/no-give-up", PERMISSIONS),
    known("pjdfstest", "chmod/05.t", "8", PERMISSIONS),
    known("pjdfstest", "chown/05.t", "8-9 11", PERMISSIONS),
    known("pjdfstest", "ftruncate/05.t", "8 10", PERMISSIONS),
    known("pjdfstest", "ftruncate/06.t", "3 6", PERMISSIONS),
    known(
        "pjdfstest",
        "link/00.t",
        "169-172 176 183 190 197 202",
        PERMISSIONS,
    ),
    known("pjdfstest", "link/06.t", "10-11 14 16-18", PERMISSIONS),
    known("pjdfstest", "link/07.t", "10 12 15-17", PERMISSIONS),
    known("pjdfstest", "mkdir/05.t", "7 9", PERMISSIONS),
    known("pjdfstest", "mkdir/06.t", "7 9", PERMISSIONS),
    known("pjdfstest", "mkfifo/05.t", "7 9", PERMISSIONS),
    known("pjdfstest", "mkfifo/06.t", "7 9", PERMISSIONS),
    known("pjdfstest", "mknod/05.t", "7 9", PERMISSIONS),
    known("pjdfstest", "mknod/06.t", "7 9", PERMISSIONS),
    known("pjdfstest", "open/05.t", "7", PERMISSIONS),
    known(
        "pjdfstest",
        "open/06.t",
        "18-19 22-23 26-27 29 31 33 35 37 39 41-43 45-47 49-51 53-55 57-59 61-63 78 82 86 88 90 92 94 96 98 100 102 104 106 108 110 126 128 130 132 134 136 138 140 142",
        PERMISSIONS,
    ),
    known(
        "pjdfstest",
        "open/07.t",
        "6 8 10 12 14 16 18 20 22-23",
        PERMISSIONS,
    ),
    known("pjdfstest", "open/08.t", "2-3", PERMISSIONS),
    known(
        "pjdfstest",
        "rename/00.t",
        "95-97 99 103-105 107-109 111-113 115-117 119-122",
        PERMISSIONS,
    ),
    known("pjdfstest", "rename/04.t", "10-11 14-16 18", PERMISSIONS),
    known("pjdfstest", "rename/05.t", "10 12 14 16-17", PERMISSIONS),
    known(
        "pjdfstest",
        "rename/09.t",
        "300-302 304-305 310-311 316-317 322-323 328-329 334-335 338 342-344 346-347 352-353 358-359 364-365 370-371 376-377 380 674-676 678-679 684-685 690-691 696-697 702-703 708-709 712 716-718 720-721 726-727 732-733 738-739 744-745 750-751 754 1048-1050 1052-1053 1058-1059 1064-1065 1070-1071 1076-1077 1082-1083 1086 1090-1092 1094-1095 1100-1101 1106-1107 1112-1113 1118-1119 1124-1125 1128 1422-1424 1426-1427 1432-1433 1438-1439 1444-1445 1450-1451 1456-1457 1460 1464-1466 1468-1469 1474-1475 1480-1481 1486-1487 1492-1493 1498-1499 1502 1796-1798 1800-1801 1806-1807 1812-1813 1818-1819 1824-1825 1830-1831 1834 1838-1840 1842-1843 1848-1849 1854-1855 1860-1861 1866-1867 1872-1873 1876 2170-2172 2174-2175 2180-2181 2186-2187 2192-2193 2198-2199 2204-2205 2208 2212-2214 2216-2217 2222-2223 2228-2229 2234-2235 2240-2241 2246-2247 2250 2266-2269 2271-2276 2279 2281 2286-2289 2291-2296 2299 2301 2330-2337 2342-2349",
        PERMISSIONS,
    ),
    known(
        "pjdfstest",
        "rename/10.t",
        "271-273 277-278 283-284 289-290 295-296 301-302 305 311-313 317-318 323-324 329-330 335-336 341-342 345 611-613 617-618 623-624 629-630 635-636 641-642 645 651-653 657-658 663-664 669-670 675-676 681-682 685 951-953 957-958 963-964 969-970 975-976 981-982 985 991-993 997-998 1003-1004 1009-1010 1015-1016 1021-1022 1025 1291-1293 1297-1298 1303-1304 1309-1310 1315-1316 1321-1322 1325 1331-1333 1337-1338 1343-1344 1349-1350 1355-1356 1361-1362 1365 1631-1633 1637-1638 1643-1644 1649-1650 1655-1656 1661-1662 1665 1671-1673 1677-1678 1683-1684 1689-1690 1695-1696 1701-1702 1705 1971-1973 1977-1978 1983-1984 1989-1990 1995-1996 2001-2002 2005 2011-2013 2017-2018 2023-2024 2029-2030 2035-2036 2041-2042 2045 2084-2087 2092-2095",
        PERMISSIONS,
    ),
    known("pjdfstest", "rmdir/07.t", "6 8", PERMISSIONS),
    known("pjdfstest", "rmdir/08.t", "6 8", PERMISSIONS),
    known("pjdfstest", "rmdir/11.t", "36-38 43-45", PERMISSIONS),
    known("pjdfstest", "symlink/05.t", "7 9", PERMISSIONS),
    known("pjdfstest", "symlink/06.t", "7 9", PERMISSIONS),
    known("pjdfstest", "truncate/00.t", "18-19", PERMISSIONS),
    known("pjdfstest", "truncate/05.t", "8 10", PERMISSIONS),
    known("pjdfstest", "truncate/06.t", "3 6", PERMISSIONS),
    known(
        "pjdfstest",
        "unlink/00.t",
        "52-54 56-58 60-62 64-66 68-70",
        PERMISSIONS,
    ),
    known("pjdfstest", "unlink/05.t", "6 8", PERMISSIONS),
    known("pjdfstest", "unlink/06.t", "6 8", PERMISSIONS),
    known(
        "pjdfstest",
        "unlink/11.t",
        "39-41 46-48 83-85 90-92 127-129 134-136 171-173 178-180 215-217 222-224 259-261 266-268",
        PERMISSIONS,
    ),
    known("pjdfstest", "utimensat/06.t", "4", PERMISSIONS),
    known("ltp", "chmod06", "chmod06", MOUNTS),
    known("ltp", "chown04", "chown04", MOUNTS),
    known("ltp", "fchmod06", "fchmod06", MOUNTS),
    known("ltp", "fchown04", "fchown04", MOUNTS),
    known("ltp", "fchownat03", "fchownat03", MOUNTS),
    known("ltp", "lchown02", "lchown02", MOUNTS),
    known("ltp", "mknod07", "mknod07", MOUNTS),
    known("ltp", "utime06", "utime06", MOUNTS),
    known("ltp", "utimes01", "utimes01", MOUNTS),
];

const fn known(
    suite: &'static str,
    unit: &'static str,
    tests: &'static str,
    cause: &'static str,
) -> Known {
    Known {
        suite,
        unit,
        tests,
        cause,
    }
}

/// Why `test` of `unit` is known not to pass.
pub fn cause(suite: &str, unit: &str, test: &str) -> Option<&'static str> {
    let of_test = |known: &&Known| {
        (known.suite, known.unit) == (suite, unit)
            && known.tests.split(' ').any(|tests| contains(tests, test))
    };
    Some(KNOWN.iter().find(of_test)?.cause)
}

fn contains(tests: &str, test: &str) -> bool {
    let between = || {
        let (first, last) = tests.split_once('-')?;
        let number: u32 = test.parse().ok()?;
        Some((first.parse().ok()?..=last.parse().ok()?).contains(&number))
    };
    tests == test || between().unwrap_or(false)
}
