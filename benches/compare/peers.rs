//! The launchers that are compared.

use std::path::{Path, PathBuf};

use crate::common::{is_root, program, zroot};
use crate::places::text;

/// A launcher: the words before the command.
#[derive(Clone)]
pub struct Peer {
    pub name: &'static str,
    pub prefix: Vec<String>,
    pub root: bool,
    /// Whether it is a library in `LD_PRELOAD`, which works in dynamically linked programs only.
    pub preload: bool,
}

impl Peer {
    fn new(name: &'static str, words: &[&str]) -> Peer {
        let prefix = words.iter().map(|word| (*word).to_owned()).collect();
        Peer {
            name,
            prefix,
            root: false,
            preload: false,
        }
    }

    /// The launcher's words, then the command's.
    pub fn launch<S: AsRef<str>>(&self, command: &[S]) -> Vec<String> {
        self.prefix
            .iter()
            .cloned()
            .chain(command.iter().map(|word| word.as_ref().to_owned()))
            .collect()
    }
}

/// All launchers on this machine, no launcher first. Says which are missing.
pub fn find(enroot: Option<&Path>) -> Vec<Peer> {
    let zroot = text(zroot());
    let mut all = vec![
        Peer::new("native", &[]),
        Peer::new("zroot", &[&zroot]),
        Peer::new("zroot -c selective", &[&zroot, "-c", "selective"]),
        Peer::new("zroot -c full", &[&zroot, "-c", "full"]),
        Peer {
            root: true,
            ..Peer::new("real root", &[])
        },
        Peer::new("unshare -r", &["unshare", "-r"]),
        Peer::new(
            "bwrap",
            &[
                "bwrap",
                "--unshare-user",
                "--uid",
                "0",
                "--gid",
                "0",
                "--dev-bind",
                "/",
                "/",
            ],
        ),
        Peer {
            preload: true,
            ..Peer::new("fakeroot", &["fakeroot"])
        },
        Peer {
            preload: true,
            ..Peer::new("fakechroot+fakeroot", &["fakechroot", "fakeroot"])
        },
        Peer {
            preload: true,
            ..Peer::new("pseudo", &["pseudo"])
        },
        Peer {
            preload: true,
            ..Peer::new("pseudoroot", &["pdr", "--"])
        },
        Peer::new("PRoot -0", &["proot", "-0"]),
    ];
    let enroot: Option<PathBuf> = enroot
        .map(Path::to_owned)
        .or_else(|| program("enroot-nsenter"));
    if let Some(path) = &enroot {
        all.insert(
            3,
            Peer::new("enroot-nsenter", &[&text(path), "--user", "--remap-root"]),
        );
    }
    let there = |peer: &Peer| {
        let command = peer
            .prefix
            .first()
            .is_none_or(|word| program(word).is_some());
        command && (peer.name != "fakechroot+fakeroot" || program("fakeroot").is_some())
    };
    let (found, missing): (Vec<Peer>, Vec<Peer>) = all
        .into_iter()
        .filter(|peer| !peer.root || is_root())
        .partition(there);
    let names = |peers: &[Peer]| {
        peers
            .iter()
            .map(|peer| peer.name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    println!("Found: {}.", names(&found));
    if !missing.is_empty() {
        println!("Not found: {}.", names(&missing));
    }
    if enroot.is_none() {
        println!("No path given: enroot-nsenter.");
    }
    if !is_root() {
        println!("Left out: real root, which only root can be compared with.");
    }
    found
}
