//! The little of an ELF header that messages need (elf(5)).

use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

use crate::arch::{Abi, Endian};

/// What the kernel has refused to run.
pub struct Elf<'a> {
    head: &'a [u8],
    is_64bit: bool,
    big_endian: bool,
}

/// `e_type` of what is no program.
const ET_REL: u64 = 1;
const ET_CORE: u64 = 4;

impl<'a> Elf<'a> {
    /// Of the first bytes of a file.
    #[must_use]
    pub fn parse(head: &'a [u8]) -> Option<Elf<'a>> {
        let ident = head.strip_prefix(b"\x7fELF")?;
        Some(Elf {
            head,
            is_64bit: *ident.first()? == 2,
            big_endian: *ident.get(1)? == 2,
        })
    }

    /// The number of `size` bytes at `at`.
    fn number(&self, at: usize, size: usize) -> Option<u64> {
        let bytes = self.head.get(at..at.checked_add(size)?)?;
        let fold = |number, byte: &u8| number << 8 | u64::from(*byte);
        Some(if self.big_endian {
            bytes.iter().fold(0, fold)
        } else {
            bytes.iter().rev().fold(0, fold)
        })
    }

    /// Where the program headers begin, how long one is, and how many there are.
    fn headers(&self) -> Option<(u64, u64, u64)> {
        Some(if self.is_64bit {
            (
                self.number(32, 8)?,
                self.number(54, 2)?,
                self.number(56, 2)?,
            )
        } else {
            (
                self.number(28, 4)?,
                self.number(42, 2)?,
                self.number(44, 2)?,
            )
        })
    }

    /// Why no kernel runs the file, which has `len` bytes; `None` if another machine's may.
    #[must_use]
    pub fn fault(&self, len: u64) -> Option<&'static str> {
        const DAMAGED: &str = "it is a damaged executable, cut off or overwritten: get it anew";
        let is_whole = || {
            let (start, size, count) = self.headers()?;
            // None at all is what a file of zeros behind its beginning says.
            (count > 0 && start.checked_add(size * count)? <= len).then_some(())
        };
        match self.number(16, 2) {
            Some(ET_REL) => return Some("it is an object file, not a program: link it first"),
            Some(ET_CORE) => return Some("it is a core dump, not a program"),
            _ => {}
        }
        (is_whole().is_none() || self.is_native()).then_some(DAMAGED)
    }

    /// Whether it is for the machine that this executable is for, which runs.
    fn is_native(&self) -> bool {
        self.number(18, 2) == Some(Abi::NATIVE.elf_machine().into())
            && self.is_64bit == Abi::NATIVE.has_64bit_registers()
            && self.big_endian == (Abi::NATIVE.endian() == Endian::Big)
    }

    /// What it is for.
    #[must_use]
    pub fn machine(&self) -> String {
        let bits = if self.is_64bit { "64" } else { "32" };
        let name = match self.number(18, 2).unwrap_or(0) {
            3 => "i386",
            62 if self.is_64bit => "x86-64",
            62 => "x32",
            40 => "arm",
            183 => "aarch64",
            21 => "ppc64",
            22 => "s390x",
            243 => return format!("riscv{bits}"),
            258 => "loongarch64",
            8 => "mips",
            20 => "powerpc",
            2 | 43 => "sparc",
            machine => return format!("ELF machine {machine}"),
        };
        name.into()
    }

    /// PT_INTERP's string, wherever in the file `path` it is.
    #[must_use]
    pub fn interpreter(&self, path: &CStr) -> Option<CString> {
        const PT_INTERP: u64 = 3;
        let (phoff, phentsize, phnum) = self.headers()?;
        for i in 0..phnum {
            let header = usize::try_from(phoff.checked_add(i * phentsize)?).ok()?;
            if self.number(header, 4)? == PT_INTERP {
                let (offset, size) = if self.is_64bit {
                    (self.number(header + 8, 8)?, self.number(header + 32, 8)?)
                } else {
                    (self.number(header + 4, 4)?, self.number(header + 16, 4)?)
                };
                let mut name = vec![0; usize::try_from(size.min(4096)).ok()?];
                File::open(OsStr::from_bytes(path.to_bytes()))
                    .ok()?
                    .read_exact_at(&mut name, offset)
                    .ok()?;
                name.retain(|byte| *byte != 0);
                return CString::new(name).ok();
            }
        }
        None
    }
}
