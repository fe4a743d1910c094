//! Programs in forms that others take: text, bytes, C, and the profile of a container runtime.
//! Pure.

use std::fmt::Write;

use crate::VERSION;
use crate::arch::{Abi, Endian, Sysno};
use crate::error::Failure;
use crate::filter::asm::{AsmError, Program};
use crate::filter::codegen::{self, Compare};
use crate::filter::policy::{Action, Policy};
use crate::filter::{build, disasm};

/// Which form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// A listing for people.
    Asm,
    /// The bytes of `struct sock_filter[]`, as `bwrap --seccomp` and `setpriv --seccomp-filter`
    /// read them.
    Raw,
    /// A C array.
    C,
    /// `linux.seccomp` of the OCI runtime specification.
    Oci,
}

impl Format {
    /// Every format, the default first.
    pub const ALL: [Format; 4] = [Format::Asm, Format::Raw, Format::C, Format::Oci];

    /// The name used in options.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Format::Asm => "asm",
            Format::Raw => "raw",
            Format::C => "c",
            Format::Oci => "oci",
        }
    }
}

/// What [`dump`] gives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dumped {
    /// What was asked for.
    pub contents: Vec<u8>,
    /// What a user of it should know, one line each.
    pub notes: Vec<String>,
}

/// The program that answers as `policy` says on each of `kernels` (the ABI that comes first there),
/// in the form `format`.
///
/// # Errors
/// [`Failure`] where the form cannot express it.
pub fn dump(format: Format, kernels: &[Abi], policy: Policy) -> Result<Dumped, Failure> {
    let programs = |abi: &Abi| build(abi.family(), policy).map(|program| (*abi, program));
    let programs: Vec<(Abi, Program)> = kernels
        .iter()
        .map(programs)
        .collect::<Result<_, AsmError>>()
        .map_err(|error| {
            Failure::new(format!("cannot build the filter: {error}")) // a mistake in the generator
        })?;
    let (contents, notes) = match (format, kernels) {
        (Format::Asm, _) => (asm(&programs, policy).into_bytes(), Vec::new()),
        (Format::C, _) => (c(&programs, policy).into_bytes(), Vec::new()),
        (Format::Raw, [_]) => (
            programs
                .iter()
                .flat_map(|(abi, program)| raw(*abi, program))
                .collect(),
            Vec::new(),
        ),
        (Format::Oci, [abi]) => {
            let (text, notes) = oci(*abi, policy)?;
            (text.into_bytes(), notes)
        }
        (Format::Raw | Format::Oci, _) => {
            let failure = Failure::new(format!(
                "--dump-filter={}: one kernel's filter is all that fits",
                format.name()
            ));
            return Err(
                failure.hint("name one: --arch=x86_64, for example; asm and c can show all")
            );
        }
    };
    Ok(Dumped { contents, notes })
}

/// What a program is, in one line.
fn title(abi: Abi, program: &Program, policy: Policy) -> String {
    let family: Vec<&str> = abi.family().iter().map(|abi| abi.name()).collect();
    format!(
        "zroot {VERSION}, {abi} kernel ({}), level {policy}: {} instructions",
        family.join(" "),
        program.len()
    )
}

/// Listings, each under its title where there are several: a single one has as many lines as
/// instructions.
fn asm(programs: &[(Abi, Program)], policy: Policy) -> String {
    let mut out = String::new();
    for (i, (abi, program)) in programs.iter().enumerate() {
        if programs.len() > 1 {
            out.push_str(if i == 0 { "" } else { "\n" });
            // Writing to a String cannot fail.
            let _ = writeln!(out, "# {}", title(*abi, program, policy));
        }
        out.push_str(&disasm::text(program, abi.family()));
    }
    out
}

/// The bytes of `struct sock_filter` (include/uapi/linux/filter.h: `__u16 code; __u8 jt, jf; __u32
/// k;`) in a kernel's byte order.
fn raw(abi: Abi, program: &Program) -> Vec<u8> {
    let mut bytes = Vec::new();
    for insn in program {
        let (code, k) = match abi.endian() {
            Endian::Little => (insn.code.to_le_bytes(), insn.k.to_le_bytes()),
            Endian::Big => (insn.code.to_be_bytes(), insn.k.to_be_bytes()),
        };
        bytes.extend(code);
        bytes.extend([insn.jt, insn.jf]);
        bytes.extend(k);
    }
    bytes
}

/// C source with an array for each program.
fn c(programs: &[(Abi, Program)], policy: Policy) -> String {
    let mut out = String::from("#include <linux/filter.h>\n");
    for (abi, program) in programs {
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "\n/* {} */\nstruct sock_filter zroot_filter_{abi}[] = {{\n",
            title(*abi, program, policy)
        );
        for ((at, insn), line) in program
            .iter()
            .enumerate()
            .zip(disasm::lines(program, abi.family()))
        {
            let _ = writeln!(
                out,
                "\t{{ {:#04x}, {:3}, {:3}, {:#010x} }}, /* {at:4}  {line} */",
                insn.code, insn.jt, insn.jf, insn.k
            );
        }
        out.push_str("};\n");
    }
    out
}

/// The runtime specification's name of an ABI (config-linux.md, "Seccomp"), if it has one.
const fn runtime_arch(abi: Abi) -> Option<&'static str> {
    Some(match abi {
        Abi::X86_64 => "SCMP_ARCH_X86_64",
        Abi::X32 => "SCMP_ARCH_X32",
        Abi::I386 => "SCMP_ARCH_X86",
        Abi::Aarch64 => "SCMP_ARCH_AARCH64",
        Abi::Arm => "SCMP_ARCH_ARM",
        Abi::Ppc64le => "SCMP_ARCH_PPC64LE",
        Abi::S390x => "SCMP_ARCH_S390X",
        Abi::S390 => "SCMP_ARCH_S390",
        Abi::Riscv64 => "SCMP_ARCH_RISCV64",
        Abi::Riscv32 => return None,
        Abi::Loongarch64 => "SCMP_ARCH_LOONGARCH64",
        Abi::Mips64el => "SCMP_ARCH_MIPSEL64",
        Abi::Mipsn32el => "SCMP_ARCH_MIPSEL64N32",
        Abi::Mipsel => "SCMP_ARCH_MIPSEL",
    })
}

/// libseccomp's names of `call`. Runtimes leave out what theirs does not know.
fn runtime_names(call: Sysno) -> impl Iterator<Item = &'static str> {
    // Arm's header has an older name for it.
    let older = (call == Sysno::sync_file_range2).then_some("arm_sync_file_range");
    std::iter::once(call.name()).chain(older)
}

/// The condition on the arguments, if there is one, and the error number.
type Answer = (Option<String>, u32);

/// A profile for the kernel whose first ABI is `native`, and notes on it.
fn oci(native: Abi, policy: Policy) -> Result<(String, Vec<String>), Failure> {
    let family = native.family();
    // By when and what is answered.
    let mut groups: Vec<(Answer, Vec<&str>)> = Vec::new();
    let mut notes = Vec::new();
    for rule in policy
        .rules()
        .filter(|rule| family.iter().any(|abi| rule.call.nr(*abi).is_some()))
    {
        let errno = match codegen::errno_of(codegen::ret_value(native, rule.action)) {
            Some(errno) => errno,
            None if rule.action == Action::Allow => continue,
            None => {
                let failure = Failure::new(format!(
                    "--dump-filter=oci: level {} cannot be a profile: zroot itself is the supervisor",
                    policy.level
                ));
                return Err(failure
                    .hint("-c zero can; asm, c and raw can show the program of either level"));
            }
        };
        let alternatives = codegen::comparisons(family, rule.when);
        let conditions: Vec<Option<String>> = match alternatives.len() {
            0 => vec![None],
            _ => alternatives
                .iter()
                .map(|all| Some(all.iter().map(compare).collect::<Vec<_>>().join(", ")))
                .collect(),
        };
        for condition in conditions {
            let key = (condition, errno);
            match groups.iter_mut().find(|(known, _)| *known == key) {
                Some((_, names)) => names.extend(runtime_names(rule.call)),
                None => groups.push((key, runtime_names(rule.call).collect())),
            }
        }
    }
    let archs: Vec<String> = family
        .iter()
        .filter_map(|abi| runtime_arch(*abi))
        .map(|name| format!("\"{name}\""))
        .collect();
    for abi in family.iter().filter(|abi| runtime_arch(**abi).is_none()) {
        notes.push(format!(
            "the runtime specification has no name for {abi}: a runtime kills programs of that ABI"
        ));
    }
    let entries: Vec<String> = groups
        .into_iter()
        .map(|((condition, errno), names)| {
            let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
            let args = condition.map_or(String::new(), |condition| format!(",\n      \"args\": [{condition}]"));
            format!(
                "    {{\n      \"names\": [{}],\n      \"action\": \"SCMP_ACT_ERRNO\",\n      \"errnoRet\": {errno}{args}\n    }}",
                names.join(", ")
            )
        })
        .collect();
    let text = format!(
        "{{\n  \"defaultAction\": \"SCMP_ACT_ALLOW\",\n  \"architectures\": [{}],\n  \"syscalls\": [\n{}\n  ]\n}}\n",
        archs.join(", "),
        entries.join(",\n")
    );
    Ok((text, notes))
}

/// An element of `args`. With `SCMP_CMP_MASKED_EQ`, `value` is the mask and `valueTwo` what the
/// masked argument is compared with.
fn compare(compare: &Compare) -> String {
    match *compare {
        Compare::NotEqual { arg, value } => {
            format!("{{ \"index\": {arg}, \"value\": {value}, \"op\": \"SCMP_CMP_NE\" }}")
        }
        Compare::MaskedEqual { arg, mask, value } => {
            format!(
                "{{ \"index\": {arg}, \"value\": {mask}, \"valueTwo\": {value}, \"op\": \"SCMP_CMP_MASKED_EQ\" }}"
            )
        }
    }
}
