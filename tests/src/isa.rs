//! The rows of `tests/isa/*.isa`: which instruction forms a family has, and what is not
//! compared for them. The format is described in `tests/README.md`.

use crate::compare::{FLAG_NAMES, Tolerance};
use iced_x86::{Code, CpuidFeature as F, Mnemonic, OpCodeOperandKind as K};
use std::path::Path;

/// One instruction form (or literal code) to be tested.
#[derive(Clone, Debug)]
pub struct Row {
    /// What is executed.
    pub subject: Subject,
    /// What is not compared.
    pub tolerance: Tolerance,
}

/// What a row executes.
#[derive(Clone, Debug, PartialEq)]
pub enum Subject {
    /// Random encodings of a form.
    Form(Code),
    /// These bytes.
    Bytes(Vec<u8>),
}

/// A family: the contents of one file.
#[derive(Clone, Debug)]
pub struct Family {
    /// The stem of the file's name.
    pub name: String,
    /// Its rows.
    pub rows: Vec<Row>,
}

/// All families, by name.
///
/// # Errors
/// What is wrong with which line of which file.
pub fn families() -> Result<Vec<Family>, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("isa");
    let entries = std::fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut paths: Vec<_> = entries.flatten().map(|e| e.path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "isa"));
    paths.sort();
    paths.iter().map(|p| load(p)).collect()
}

fn load(path: &Path) -> Result<Family, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let rows = parse(&text).map_err(|(line, e)| format!("{}:{line}: {e}", path.display()))?;
    let name = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Family { name, rows })
}

/// Parses the text of a file; an error comes with its line number.
///
/// # Errors
/// The first line that cannot be read, or that selects nothing.
pub fn parse(text: &str) -> Result<Vec<Row>, (usize, String)> {
    let mut rows: Vec<Row> = Vec::new();
    for (k, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            parse_line(line, &mut rows).map_err(|e| (k + 1, e))?;
        }
    }
    Ok(rows)
}

fn parse_line(line: &str, rows: &mut Vec<Row>) -> Result<(), String> {
    let (subject, options) = line.split_once(';').unwrap_or((line, ""));
    let tolerance = tolerance(options)?;
    if let Some(hex) = subject.strip_prefix('=') {
        let bytes: Result<Vec<u8>, _> = hex
            .split_whitespace()
            .map(|b| u8::from_str_radix(b, 16).map_err(|e| format!("{b}: {e}")))
            .collect();
        rows.push(Row { subject: Subject::Bytes(bytes?), tolerance });
        return Ok(());
    }
    for pattern in subject.split_whitespace() {
        if let Some(excluded) = pattern.strip_prefix('!') {
            let before = rows.len();
            rows.retain(|r| !matches!(&r.subject, Subject::Form(c) if glob(excluded, &format!("{c:?}"))));
            if rows.len() == before {
                return Err(format!("{pattern} excludes nothing"));
            }
            continue;
        }
        let found: Vec<Code> = forms().filter(|c| selects(pattern, *c)).collect();
        if found.is_empty() {
            return Err(format!("{pattern} selects no form that ring 3 in 64-bit mode has"));
        }
        for code in found {
            // A later line about a form replaces an earlier one.
            rows.retain(|r| r.subject != Subject::Form(code));
            rows.push(Row { subject: Subject::Form(code), tolerance });
        }
    }
    Ok(())
}

fn tolerance(options: &str) -> Result<Tolerance, String> {
    let mut t = Tolerance::default();
    for option in options.split_whitespace() {
        let (key, value) = option.split_once('=').ok_or_else(|| format!("{option}: not KEY=VALUE"))?;
        let number = || {
            let digits = value.strip_prefix("0x");
            digits
                .map_or_else(|| value.parse(), |d| u64::from_str_radix(d, 16))
                .map_err(|e| format!("{option}: {e}"))
        };
        match key {
            "ignore" => {
                for name in value.split(',') {
                    let flag = FLAG_NAMES.iter().find(|(n, _)| *n == name);
                    t.flags |= flag.ok_or_else(|| format!("{name}: no such flag"))?.1;
                }
            }
            "ignore-x87-status" => t.x87_status = number()? as u16,
            "x87-ulp" => t.x87_ulp = number()?,
            "f32-relative" => t.f32_relative = number()? as u32,
            _ => return Err(format!("{key}: no such option")),
        }
    }
    Ok(t)
}

/// `@FEATURE` selects the forms that CPUID announces so, a pattern those of that name.
fn selects(pattern: &str, code: Code) -> bool {
    match pattern.strip_prefix('@') {
        Some(feature) => code.cpuid_features().iter().any(|f| format!("{f:?}") == feature),
        None => glob(pattern, &format!("{code:?}")),
    }
}

/// Whether `name` matches a pattern in which `*` stands for anything.
pub fn glob(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, rest)) => {
            name.strip_prefix(head).is_some_and(|tail| (0..=tail.len()).any(|k| glob(rest, &tail[k..])))
        }
    }
}

/// Every form that the virtual CPU has, that 64-bit mode has, and whose outcome in ring 3
/// depends on the case alone.
pub fn forms() -> impl Iterator<Item = Code> {
    Code::values().filter(|c| {
        let info = c.op_code();
        info.is_instruction()
            && info.mode64()
            && c.cpuid_features().iter().all(|f| FEATURES.contains(f))
            && !UNTESTABLE.contains(&c.mnemonic())
            && !info.fwait()
            && !loads_segment(*c)
    })
}

/// Whether a form loads a segment register from the kernel's tables.
fn loads_segment(c: Code) -> bool {
    let far = c.is_jmp_far_indirect() || c.is_call_far_indirect();
    let to_segment = matches!(c.op_code().op0_kind(), K::seg_reg | K::fs | K::gs);
    far || (to_segment && c.mnemonic() != Mnemonic::Push)
}

/// What the virtual CPU has and ring 3 can use.
const FEATURES: [F; 33] = [
    F::INTEL8086,
    F::INTEL186,
    F::INTEL286,
    F::INTEL386,
    F::INTEL486,
    F::X64,
    F::CPUID,
    F::CMOV,
    F::CX8,
    F::CMPXCHG16B,
    F::FPU,
    F::FPU287,
    F::FPU387,
    F::FXSR,
    F::MMX,
    F::SSE,
    F::SSE2,
    F::SSE3,
    F::SSSE3,
    F::SSE4_1,
    F::SSE4_2,
    F::POPCNT,
    F::MULTIBYTENOP,
    F::PAUSE,
    F::CLFSH,
    F::PREFETCHW,
    F::FSGSBASE,
    F::MSR,
    F::SEP,
    F::SMAP,
    F::RDPMC,
    F::INVPCID,
    F::SYSCALL,
];

/// Instructions whose outcome is the kernel's or the machine's, not the case's.
const UNTESTABLE: [Mnemonic; 38] = [
    // They enter the kernel.
    Mnemonic::Int,
    Mnemonic::Int1,
    Mnemonic::Int3,
    Mnemonic::Syscall,
    Mnemonic::Sysenter,
    // They load segments from the kernel's tables.
    Mnemonic::Lfs,
    Mnemonic::Lgs,
    Mnemonic::Lss,
    Mnemonic::Lds,
    Mnemonic::Les,
    Mnemonic::Retf,
    Mnemonic::Iret,
    Mnemonic::Iretd,
    Mnemonic::Iretq,
    Mnemonic::Lar,
    Mnemonic::Lsl,
    Mnemonic::Verr,
    Mnemonic::Verw,
    // They tell about the processor, or the kernel emulates them.
    Mnemonic::Cpuid,
    Mnemonic::Sgdt,
    Mnemonic::Sidt,
    Mnemonic::Sldt,
    Mnemonic::Str,
    Mnemonic::Smsw,
    Mnemonic::Rdpmc,
    // Their images differ between vendors by design, and have tests of their own.
    Mnemonic::Fxsave,
    Mnemonic::Fxsave64,
    Mnemonic::Fxrstor,
    Mnemonic::Fxrstor64,
    Mnemonic::Fnsave,
    Mnemonic::Fsave,
    Mnemonic::Fnstenv,
    Mnemonic::Fstenv,
    Mnemonic::Frstor,
    Mnemonic::Fldenv,
    // Privileged and not yet modelled by the harness.
    Mnemonic::Loadall,
    Mnemonic::Rdtsc,
    Mnemonic::Invpcid,
];
