//! A tree without documentation gets it back: a script calls a script, which calls apt-get, which
//! reinstalls what is there.

use std::cell::{LazyCell, RefCell};

use crate::owners;
use crate::suite::{Column, Expect, Suite};
use crate::tree::{Tree, prepared};

const PART: &str = "unminimize";

/// `minimize` leaves documentation out, and `unminimize [PACKAGE...]` brings it back, for all
/// packages if none is named; `$WITH` starts its apt-get.
const SETUP: &str = r#"
cp /etc/dpkg/dpkg.cfg.d/slim /usr/local/etc/slim
cat >/usr/local/sbin/minimize <<'END'
#!/bin/sh -e
cp /usr/local/etc/slim /etc/dpkg/dpkg.cfg.d/slim
rm -rf /usr/share/doc/* /usr/share/man/* /usr/share/locale/*
END
cat >/usr/local/sbin/unminimize <<'END'
#!/bin/sh -e
rm /etc/dpkg/dpkg.cfg.d/slim
$WITH apt-get update
if [ $# = 0 ]; then set -- $(dpkg-query -f '${binary:Package} ' -W); fi
printf '%s\n' "$@" | /usr/local/sbin/reinstall
END
cat >/usr/local/sbin/reinstall <<'END'
#!/bin/sh -e
xargs $WITH apt-get install -y --reinstall --no-install-recommends
END
chmod 755 /usr/local/sbin/*
"#;

/// Name, how it is called, which packages (all: none), whether it is part of the sample.
const CASES: [(&str, &str, &str, bool); 3] = [
    ("a-few", "", "tar sed grep gzip passwd", true),
    (
        "a-few-with-an-empty-environment",
        "env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        "tar sed grep gzip passwd",
        true,
    ),
    ("everything", "", "", false),
];

pub fn cases(suite: &Suite) {
    let base = LazyCell::new(|| prepared(PART, SETUP));
    let real = CASES.map(|_| RefCell::new(None));
    for column in Column::ALL {
        let tree = LazyCell::new(|| {
            (*base)
                .as_ref()
                .map(|base| Tree::copy(base, column))
                .map_err(Clone::clone)
        });
        for ((name, with, packages, quick), real) in CASES.iter().zip(&real) {
            if !suite.full && !quick {
                continue;
            }
            let expect = match column {
                Column::Without => Expect::Fail {
                    saying: "setgroups",
                    cause: "apt cannot become _apt",
                },
                Column::Zero if !with.is_empty() => Expect::Fail {
                    saying: "Could not switch group",
                    cause: "env -i takes away the variable that names apt's configuration, and apt looks whether it has become _apt",
                },
                _ => Expect::Pass,
            };
            if column == Column::RealRoot && !suite.full {
                continue;
            }
            suite.case(PART, name, column, expect, || {
                let tree = (*tree).as_ref().map_err(Clone::clone)?;
                let minimize = "minimize; ! test -e /usr/share/man/man1/tar.1.gz";
                let unminimize = format!("WITH='{with}' unminimize {packages}");
                let check = format!(
                    "test -s /usr/share/man/man1/tar.1.gz; test \"$(stat -c %a /usr/bin/passwd)\" = 4755
                    found=$(dpkg --audit; dpkg --verify {packages} | grep -F missing || :); echo \"$found\"; test -z \"$found\""
                );
                let owners = tree.pass(&[], &[minimize, &unminimize, &check])?;
                owners::same(real, column, owners, expect)
            });
        }
    }
}
