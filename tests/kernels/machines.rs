//! What there is: architectures as Debian names them, their kernels, what one of each is called by
//! qemu and by the compilers. Data only.

use zroot::internals::arch::Abi;

/// Where a kernel comes from.
#[derive(Clone, Copy)]
pub enum Package {
    /// The package whose dependency is the current version's.
    Image(&'static str),
    /// The installer's netboot images, which are packages for every architecture; the kernel's path
    /// inside.
    Netboot(&'static str, &'static str),
}

#[derive(Clone, Copy)]
pub struct Kernel {
    pub suite: &'static str,
    pub package: Package,
    /// An ABI of the machine that this one does not execute.
    pub lacks: Option<Abi>,
    /// It lets a supervisor return nothing but 0 and errors, so that zroot has to refuse level
    /// selective.
    pub loses_values: bool,
}

impl Kernel {
    /// Whether it is older than 5.14, so that zroot has to refuse level full.
    pub fn is_old_for_full(&self) -> bool {
        self.suite == "bullseye"
    }
}

pub struct Machine {
    /// Debian's name of the architecture.
    pub name: &'static str,
    /// What its kernels execute, the native ABI first.
    pub abis: &'static [Abi],
    pub qemu: &'static str,
    /// Of qemu's.
    pub options: &'static [&'static str],
    /// Whether it takes qemu 10.
    pub needs_qemu_10: bool,
    /// On the kernel's command line.
    pub parameters: &'static str,
    pub kernels: &'static [Kernel],
    /// Of which release its programs are: `None` for the same as the machine's that runs this.
    pub programs: Option<&'static str>,
    /// The whole suite runs all; without --all only these are run, on the newest and the oldest
    /// kernel.
    pub is_fast: bool,
}

const fn image(suite: &'static str, package: &'static str) -> Kernel {
    Kernel {
        suite,
        package: Package::Image(package),
        lacks: None,
        loses_values: false,
    }
}

const fn netboot(suite: &'static str, package: &'static str, path: &'static str) -> Kernel {
    Kernel {
        suite,
        package: Package::Netboot(package, path),
        lacks: None,
        loses_values: false,
    }
}

pub const MACHINES: &[Machine] = &[
    Machine {
        name: "amd64",
        abis: &[Abi::X86_64, Abi::I386, Abi::X32],
        qemu: "qemu-system-x86_64",
        options: &["-M", "q35"],
        needs_qemu_10: false,
        parameters: "console=ttyS0 syscall.x32=y",
        kernels: &[
            image("bullseye", "linux-image-amd64"),
            image("bookworm", "linux-image-amd64"),
            image("sid", "linux-image-amd64"),
        ],
        programs: None,
        is_fast: true,
    },
    Machine {
        name: "i386",
        abis: &[Abi::I386],
        qemu: "qemu-system-i386",
        options: &["-M", "q35"],
        needs_qemu_10: false,
        parameters: "console=ttyS0",
        kernels: &[
            image("bullseye", "linux-image-686"),
            image("bookworm", "linux-image-686"),
        ],
        programs: None,
        is_fast: false,
    },
    Machine {
        name: "arm64",
        abis: &[Abi::Aarch64, Abi::Arm],
        // "max" takes four times as long.
        qemu: "qemu-system-aarch64",
        options: &["-M", "virt", "-cpu", "cortex-a72"],
        needs_qemu_10: false,
        parameters: "console=ttyAMA0",
        kernels: &[
            image("bullseye", "linux-image-arm64"),
            image("bookworm", "linux-image-arm64"),
            image("sid", "linux-image-arm64"),
        ],
        programs: None,
        is_fast: true,
    },
    Machine {
        name: "armhf",
        abis: &[Abi::Arm],
        qemu: "qemu-system-arm",
        options: &["-M", "virt", "-cpu", "cortex-a15"],
        needs_qemu_10: false,
        parameters: "console=ttyAMA0",
        kernels: &[
            image("bullseye", "linux-image-armmp"),
            image("bookworm", "linux-image-armmp"),
            image("sid", "linux-image-armmp"),
        ],
        programs: None,
        is_fast: false,
    },
    Machine {
        name: "ppc64el",
        abis: &[Abi::Ppc64le],
        qemu: "qemu-system-ppc64",
        options: &["-M", "pseries,x-vof=on", "-vga", "none"],
        needs_qemu_10: false,
        parameters: "console=hvc0",
        kernels: &[
            netboot("bullseye", "debian-installer-11-netboot-ppc64el", "vmlinux"),
            image("bookworm", "linux-image-powerpc64le"),
            Kernel {
                loses_values: true,
                ..image("sid", "linux-image-powerpc64le")
            },
        ],
        programs: None,
        is_fast: false,
    },
    Machine {
        name: "s390x",
        abis: &[Abi::S390x, Abi::S390],
        qemu: "qemu-system-s390x",
        options: &["-M", "s390-ccw-virtio"],
        needs_qemu_10: false,
        parameters: "console=ttysclp0",
        kernels: &[
            image("bookworm", "linux-image-s390x"),
            // Without CONFIG_COMPAT.
            Kernel {
                lacks: Some(Abi::S390),
                ..image("sid", "linux-image-s390x")
            },
        ],
        programs: None,
        is_fast: true,
    },
    Machine {
        name: "riscv64",
        abis: &[Abi::Riscv64],
        qemu: "qemu-system-riscv64",
        options: &["-M", "virt"],
        needs_qemu_10: false,
        parameters: "console=ttyS0",
        kernels: &[
            netboot("trixie", "debian-installer-13-netboot-riscv64", "linux"),
            image("sid", "linux-image-riscv64"),
        ],
        programs: Some("sid"),
        is_fast: false,
    },
    Machine {
        name: "loong64",
        abis: &[Abi::Loongarch64],
        qemu: "qemu-system-loongarch64",
        options: &["-M", "virt", "-cpu", "la464"],
        needs_qemu_10: true,
        // Else it waits for a keyboard controller.
        parameters: "console=ttyS0 initcall_blacklist=i8042_init",
        kernels: &[image("sid", "linux-image-loong64")],
        programs: Some("sid"),
        is_fast: false,
    },
    Machine {
        name: "mips64el",
        abis: &[Abi::Mips64el, Abi::Mipsn32el, Abi::Mipsel],
        qemu: "qemu-system-mips64el",
        options: &["-M", "malta", "-cpu", "5KEc"],
        needs_qemu_10: false,
        parameters: "console=ttyS0",
        kernels: &[
            netboot(
                "bullseye",
                "debian-installer-11-netboot-mips64el",
                "vmlinuz",
            ),
            image("bookworm", "linux-image-5kc-malta"),
        ],
        programs: None,
        is_fast: false,
    },
    Machine {
        name: "mipsel",
        abis: &[Abi::Mipsel],
        qemu: "qemu-system-mipsel",
        options: &["-M", "malta", "-cpu", "24Kf"],
        needs_qemu_10: false,
        parameters: "console=ttyS0",
        kernels: &[
            netboot("bullseye", "debian-installer-11-netboot-mipsel", "vmlinuz"),
            image("bookworm", "linux-image-4kc-malta"),
        ],
        programs: None,
        is_fast: false,
    },
];

/// How programs of an ABI are made here.
pub struct Toolchain {
    /// clang's flags that choose it.
    pub clang: &'static [&'static str],
    /// Where the kernel's headers are in linux-libc-dev, which has those of every architecture.
    pub headers: &'static str,
    /// Rust's name, if rustup has a standard library; and what Debian calls the architecture and
    /// the triplet of its C library, which is linked in.
    pub rust: Option<(&'static str, &'static str, &'static str)>,
}

/// The tools for `abi`; riscv32 runs nowhere.
pub fn toolchain(abi: Abi) -> Toolchain {
    let (clang, headers, rust): (&'static [&'static str], _, _) = match abi {
        Abi::X86_64 => (
            &["--target=x86_64-linux-gnu"],
            "x86",
            Some(("x86_64-unknown-linux-gnu", "", "")),
        ),
        Abi::X32 => (&["--target=x86_64-linux-gnux32"], "x86", None),
        Abi::I386 => (
            &["--target=i686-linux-gnu"],
            "x86",
            Some(("i686-unknown-linux-gnu", "i386", "i686-linux-gnu")),
        ),
        Abi::Aarch64 => (
            &["--target=aarch64-linux-gnu"],
            "arm64",
            Some(("aarch64-unknown-linux-gnu", "arm64", "aarch64-linux-gnu")),
        ),
        Abi::Arm => (
            &["--target=arm-linux-gnueabihf"],
            "arm",
            Some((
                "armv7-unknown-linux-gnueabihf",
                "armhf",
                "arm-linux-gnueabihf",
            )),
        ),
        Abi::Ppc64le => (
            &["--target=powerpc64le-linux-gnu"],
            "powerpc",
            Some((
                "powerpc64le-unknown-linux-gnu",
                "ppc64el",
                "powerpc64le-linux-gnu",
            )),
        ),
        Abi::S390x => (
            &["--target=s390x-linux-gnu"],
            "s390",
            Some(("s390x-unknown-linux-gnu", "s390x", "s390x-linux-gnu")),
        ),
        Abi::S390 => (&[], "s390", None),
        Abi::Riscv64 | Abi::Riscv32 => (
            &["--target=riscv64-linux-gnu", "-mno-relax"],
            "riscv",
            Some((
                "riscv64gc-unknown-linux-gnu",
                "riscv64",
                "riscv64-linux-gnu",
            )),
        ),
        Abi::Loongarch64 => (&["--target=loongarch64-linux-gnu"], "loongarch", None),
        Abi::Mips64el => (
            &[
                "--target=mips64el-linux-gnuabi64",
                "-mno-abicalls",
                "-G0",
                "-mips64r2",
            ],
            "mips",
            None,
        ),
        Abi::Mipsn32el => (
            &[
                "--target=mips64el-linux-gnuabin32",
                "-mno-abicalls",
                "-G0",
                "-mips64r2",
            ],
            "mips",
            None,
        ),
        Abi::Mipsel => (
            &[
                "--target=mipsel-linux-gnu",
                "-mno-abicalls",
                "-G0",
                "-mips32r2",
            ],
            "mips",
            None,
        ),
        _ => panic!("{abi} is new: what compiles for it?"),
    };
    Toolchain {
        clang,
        headers,
        rust,
    }
}
