//! Scripts for `fixtures/history.c`.

use crate::common::random::Random;

/// What files are called, the three directories that each history begins with among them.
const NAMES: &[&str] = &[
    "a", "b", "a/c", "n0", "n1", "n2", "a/n0", "a/n1", "b/n0", "b/n1", "a/c/n0", "a/c/n1",
];
/// Where links lead.
const TARGETS: &[&str] = &[
    "n0", "n1", "a", "a/n0", "b/n0", "../n0", "../b", "c", "nowhere", ".",
];
const FEW_IDS: &[u32] = &[0, 5, 6, 7];
const IDS: &[u32] = &[
    1,
    33,
    1000,
    64711,
    65534,
    65535,
    65536,
    70_000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fffe,
];
/// Major and minor numbers that no driver has, but for null and zero.
const DEVICES: &[(u32, u32)] = &[(1, 3), (1, 5), (4000, 0), (4001, 70_000), (4095, 0xf_ffff)];
const SAME: u32 = u32::MAX;

/// Makes histories.
pub struct Generator {
    random: Random,
    lines: Vec<String>,
}

/// A history: the lines of a script, from `new` to its `end`.
pub type History = Vec<String>;

impl Generator {
    pub fn new(seed: u64) -> Generator {
        Generator {
            random: Random(seed),
            lines: Vec::new(),
        }
    }

    /// The next one, to be carried out in the directory `name`.
    pub fn history(&mut self, name: &str) -> History {
        self.lines = vec![format!("new {name}")];
        if self.below(3) == 0 {
            for name in [".", "a", "b", "a/c"] {
                let (uid, gid) = self.somebody();
                self.line(&format!("chown 1 {name} {uid} {gid}"));
            }
        }
        let steps = 8 + self.below(40);
        self.steps(steps, 0);
        self.line("end");
        std::mem::take(&mut self.lines)
    }

    fn line(&mut self, line: &str) {
        self.lines.push(line.to_owned());
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random.next() % limit
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        let at = self.below(of.len() as u64);
        of[usize::try_from(at).expect("an index")]
    }

    fn name(&mut self) -> &'static str {
        self.pick(NAMES)
    }

    /// An id of few, so that they meet again, or any.
    fn id(&mut self) -> u32 {
        match self.below(8) {
            0 => self.pick(IDS),
            1 => u32::try_from(self.below(0xffff_ffff)).expect("32 bits"),
            _ => self.pick(FEW_IDS),
        }
    }

    fn id_or_same(&mut self) -> u32 {
        if self.below(4) == 0 { SAME } else { self.id() }
    }

    /// An owner that is not root.
    fn somebody(&mut self) -> (u32, u32) {
        let id = self.id();
        (if id == 0 { 6 } else { id }, self.id())
    }

    /// Whom a new file is given to at once.
    fn give(&mut self) -> String {
        let (uid, gid) = if self.below(4) == 0 {
            (self.id_or_same(), self.id_or_same())
        } else {
            (SAME, SAME)
        };
        format!("{uid} {gid}")
    }

    fn bits(&mut self) -> String {
        let set_ids = [0, 0, 0, 0o4000, 0o2000, 0o6000, 0o1000, 0o7000];
        let bits = self.pick(&set_ids) | self.pick(&[0o755, 0o644, 0o600, 0o711, 0, 0o770, 0o777]);
        format!("0{bits:o}")
    }

    fn steps(&mut self, count: u64, depth: u32) {
        let mut left = count;
        while left > 0 {
            left -= 1;
            if self.below(10) == 0 && depth < 3 {
                let inner = 1 + self.below(12).min(left);
                self.line("fork");
                // Most children become somebody.
                if self.below(4) != 0 {
                    self.identity();
                }
                self.steps(inner, depth + 1);
                self.line("end");
                left = left.saturating_sub(inner);
            } else {
                self.step(depth);
            }
        }
    }

    fn step(&mut self, depth: u32) {
        let step = match self.below(100) {
            0..20 => {
                let (form, name) = (self.below(12), self.name());
                let (uid, gid) = (self.id_or_same(), self.id_or_same());
                format!("chown {form} {name} {uid} {gid}")
            }
            20..30 => {
                let (form, name, bits) = (self.below(9), self.name(), self.bits());
                format!("chmod {form} {name} {bits}")
            }
            30..34 => {
                let (form, name, to) = (self.below(5), self.name(), self.below(1_000_000));
                format!("touch {form} {name} {to}")
            }
            34..42 => self.make(),
            42..48 => {
                let (name, kind) = (self.name(), self.pick(&["02", "06"]));
                let (bits, (major, minor)) = (self.bits(), self.pick(DEVICES));
                format!("device {name} {kind}{:0>4} {major} {minor}", &bits[1..])
            }
            48..52 => format!("link {} {}", self.name(), self.name()),
            52..60 => format!("rename {} {}", self.name(), self.name()),
            60..62 => format!("exchange {} {}", self.name(), self.name()),
            62..66 => format!("unlink {}", self.name()),
            66..68 => format!("rmdir {}", self.name()),
            68..73 => format!("anew {} {}", self.name(), self.give()),
            73..81 => return self.slot(),
            81..83 => format!("umask {}", self.pick(&["0", "022", "0222"])),
            83..86 => "exec".to_owned(),
            _ if depth > 0 => return self.identity(),
            _ => return,
        };
        self.line(&step);
    }

    fn make(&mut self) -> String {
        let (name, give) = (self.name(), self.give());
        match self.below(8) {
            0..3 => format!(
                "file {name} {} {give}",
                self.pick(&["0644", "0600", "0755", "0"])
            ),
            3 => format!(
                "node {name} {} {give}",
                self.pick(&["010644", "0140755", "0100640"])
            ),
            4 => format!("bind {name} 0 {give}"),
            5 => format!("link-to {name} {} {give}", self.pick(TARGETS)),
            _ => format!("directory {name} 0 {give}"),
        }
    }

    /// Something with a descriptor that stays open.
    fn slot(&mut self) {
        let (slot, name) = (self.below(3), self.name());
        let (uid, gid) = (self.id_or_same(), self.id_or_same());
        match self.below(10) {
            0..3 => self.line(&format!("slot open {slot} {name}")),
            3 => self.line(&format!("slot path {slot} {name}")),
            4 => {
                let kind = self.pick(&["unnamed", "unnamed", "memory", "pipe", "socket"]);
                let at = self.pick(&[".", "a", "b"]);
                self.line(&format!("slot {kind} {slot} {at}"));
                // Whose it is of these, unless somebody said so, is not known.
                let (uid, gid) = self.somebody();
                self.line(&format!("slot-chown {slot} {uid} {gid}"));
            }
            5..8 => self.line(&format!("slot-chown {slot} {uid} {gid}")),
            8 => {
                let bits = self.bits();
                self.line(&format!("slot-chmod {slot} {bits}"));
            }
            _ => {
                let end = self.pick(&["slot-link", "slot-close"]);
                self.line(&format!("{end} {slot} {name}"));
            }
        }
    }

    fn identity(&mut self) {
        let three = |this: &mut Generator| {
            let ids = [this.id_or_same(), this.id_or_same(), this.id_or_same()];
            ids.map(|id| id.to_string()).join(" ")
        };
        let step = match self.below(20) {
            0..4 => format!("setuid {}", self.id()),
            4..6 => format!("setgid {}", self.id()),
            6 => format!("setreuid {} {}", self.id_or_same(), self.id_or_same()),
            7 => format!("setregid {} {}", self.id_or_same(), self.id_or_same()),
            8..10 => format!("setresuid {}", three(self)),
            10 => format!("setresgid {}", three(self)),
            11 => format!("setfsuid {}", self.id()),
            12 => format!("setfsgid {}", self.id()),
            13..15 => {
                let groups: Vec<String> =
                    (0..self.below(5)).map(|_| self.id().to_string()).collect();
                format!("setgroups {}", groups.join(" "))
                    .trim_end()
                    .to_owned()
            }
            15 | 16 => format!("keepcaps {}", self.below(5).min(1)),
            17 => format!("securebits {}", self.pick(&[0, 4, 4, 1, 5, 0x10])),
            _ => {
                let all = u32::MAX;
                // CAP_CHOWN, CAP_FOWNER, CAP_FSETID, CAP_SETGID, CAP_SETUID, CAP_SETPCAP, CAP_MKNOD.
                let without = self.pick(&[0, 3, 4, 6, 7, 8, 27]);
                let effective = self.pick(&[all, all & !(1 << without), 1 << without, 0]);
                let permitted = self.pick(&[all, all, all & !(1 << without)]);
                format!("capset {} {permitted} 0", effective & permitted)
            }
        };
        self.line(&step);
    }
}
