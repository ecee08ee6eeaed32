//! `info registers` and `$register`: the state of a vCPU as text, in QEMU's layout.

use dejavm_core::cpu::state::{Activity, RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP, Shadow, attr, cr0, seg};
use dejavm_core::cpu::state::{CodeSize, efer};
use dejavm_core::cpu::{CpuState, Segment};
use dejavm_core::cpu::{flags, insn::RIP};
use dejavm_core::types::VcpuId;
use std::fmt::Write as _;

const SEGMENT_NAMES: [(&str, usize); 6] =
    [("ES", seg::ES), ("CS", seg::CS), ("SS", seg::SS), ("DS", seg::DS), ("FS", seg::FS), ("GS", seg::GS)];

/// How code is decoded in this state.
pub fn code_size(cpu: &CpuState) -> CodeSize {
    let cs = cpu.segs[seg::CS].attributes;
    if cpu.efer & efer::LMA != 0 && cs & attr::L != 0 {
        CodeSize::Bits64
    } else if cs & attr::DB != 0 {
        CodeSize::Bits32
    } else {
        CodeSize::Bits16
    }
}

/// The linear address of the next instruction.
pub fn instruction_address(cpu: &CpuState) -> u64 {
    let rip = cpu.regs[RIP as usize];
    match code_size(cpu) {
        CodeSize::Bits64 => rip,
        _ => cpu.segs[seg::CS].base.wrapping_add(rip) & 0xFFFF_FFFF,
    }
}

/// The value of a register by its name (without `$`).
pub(crate) fn value(cpu: &CpuState, name: &str) -> Option<u64> {
    const LEGACY: [(&str, usize); 8] = [
        ("ax", RAX),
        ("cx", RCX),
        ("dx", RDX),
        ("bx", RBX),
        ("sp", RSP),
        ("bp", RBP),
        ("si", RSI),
        ("di", RDI),
    ];
    let name = name.to_ascii_lowercase();
    let without_width = name.strip_prefix(['r', 'e']).unwrap_or(&name);
    if let Some((_, index)) = LEGACY.iter().find(|(n, _)| *n == without_width) {
        return Some(cpu.regs[*index]);
    }
    if let Some(number) = name.strip_prefix('r').and_then(|n| n.parse::<usize>().ok()) {
        return (8..16).contains(&number).then(|| cpu.regs[number]);
    }
    match name.as_str() {
        "rip" | "eip" => Some(cpu.regs[RIP as usize]),
        "pc" => Some(instruction_address(cpu)),
        "eflags" | "rflags" => Some(cpu.flags.bits()),
        "cr0" => Some(cpu.cr0),
        "cr2" => Some(cpu.cr2),
        "cr3" => Some(cpu.cr3),
        "cr4" => Some(cpu.cr4),
        "efer" => Some(cpu.efer),
        "fs_base" => Some(cpu.segs[seg::FS].base),
        "gs_base" => Some(cpu.segs[seg::GS].base),
        _ => {
            let (_, index) = SEGMENT_NAMES.iter().find(|(n, _)| n.eq_ignore_ascii_case(&name))?;
            Some(u64::from(cpu.segs[*index].selector))
        }
    }
}

/// The names that [`value`] knows, those of 64 bits where there are several.
pub(crate) fn names() -> Vec<String> {
    const NAMES: &str = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15 rip pc rflags cr0 cr2 \
                         cr3 cr4 efer fs_base gs_base es cs ss ds fs gs";
    NAMES.split_whitespace().map(str::to_owned).collect()
}

/// All registers of a vCPU.
pub fn registers_text(vcpu: VcpuId, cpu: &CpuState) -> String {
    let wide = code_size(cpu) == CodeSize::Bits64;
    let mut out = format!("\nCPU#{vcpu}\n");
    push_general(&mut out, cpu, wide);
    for (name, index) in SEGMENT_NAMES {
        push_segment(&mut out, name, &cpu.segs[index], cpu, wide);
    }
    push_segment(&mut out, "LDT", &cpu.ldtr, cpu, wide);
    push_segment(&mut out, "TR", &cpu.tr, cpu, wide);
    push_control(&mut out, cpu, wide);
    push_fpu(&mut out, cpu);
    push_xmm(&mut out, cpu, wide);
    out
}

fn push_general(out: &mut String, cpu: &CpuState, wide: bool) {
    let r = &cpu.regs;
    let rows = [
        [("AX", r[RAX]), ("BX", r[RBX]), ("CX", r[RCX]), ("DX", r[RDX])],
        [("SI", r[RSI]), ("DI", r[RDI]), ("BP", r[RBP]), ("SP", r[RSP])],
    ];
    let letter = if wide { 'R' } else { 'E' };
    for row in rows {
        let cells: Vec<String> =
            row.iter().map(|(name, v)| format!("{letter}{name}={}", address(*v, wide))).collect();
        let _ = writeln!(out, "{}", cells.join(" "));
    }
    if wide {
        for first in [8, 12] {
            let cells: Vec<String> =
                (first..first + 4).map(|i| format!("{:<3}={:016x}", format!("R{i}"), r[i])).collect();
            let _ = writeln!(out, "{}", cells.join(" "));
        }
    }
    let _ = writeln!(
        out,
        "{letter}IP={} {letter}FL={:08x} [{}] CPL={} II={} A20=1 SMM=0 HLT={}",
        address(r[RIP as usize], wide),
        cpu.flags.bits(),
        flag_letters(cpu.flags.bits()),
        cpu.cpl,
        u8::from(cpu.shadow != Shadow::None),
        u8::from(cpu.activity == Activity::Halted),
    );
}

fn flag_letters(bits: u64) -> String {
    let flags = [
        (flags::DF, 'D'),
        (flags::OF, 'O'),
        (flags::SF, 'S'),
        (flags::ZF, 'Z'),
        (flags::AF, 'A'),
        (flags::PF, 'P'),
        (flags::CF, 'C'),
    ];
    flags.iter().map(|&(mask, letter)| if bits & mask != 0 { letter } else { '-' }).collect()
}

fn address(value: u64, wide: bool) -> String {
    if wide { format!("{value:016x}") } else { format!("{:08x}", value as u32) }
}

fn push_segment(out: &mut String, name: &str, segment: &Segment, cpu: &CpuState, wide: bool) {
    let _ = write!(
        out,
        "{name:<3}={:04x} {} {:08x} {:08x}",
        segment.selector,
        address(segment.base, wide),
        segment.limit,
        u32::from(segment.attributes) << 8
    );
    if cpu.cr0 & cr0::PE != 0 && segment.attributes & attr::P != 0 {
        let dpl = (segment.attributes >> attr::DPL_SHIFT) & 3;
        let _ = write!(out, " DPL={dpl} {}", descriptor_text(segment.attributes, cpu.efer & efer::LMA != 0));
    }
    out.push('\n');
}

fn descriptor_text(attributes: u16, long_mode: bool) -> String {
    let letter = |mask: u16, c: char| if attributes & mask != 0 { c } else { '-' };
    if attributes & attr::S == 0 {
        return system_name(attributes & attr::TYPE, long_mode).to_owned();
    }
    let (name, direction, access) = if attributes & attr::CODE != 0 {
        let size = match (attributes & attr::L != 0, attributes & attr::DB != 0) {
            (true, _) => "CS64",
            (false, true) => "CS32",
            (false, false) => "CS16",
        };
        (size, letter(attr::DC, 'C'), letter(attr::RW, 'R'))
    } else {
        let size = if attributes & attr::DB != 0 || long_mode { "DS  " } else { "DS16" };
        (size, letter(attr::DC, 'E'), letter(attr::RW, 'W'))
    };
    format!("{name} [{direction}{access}{}]", letter(attr::ACCESSED, 'A'))
}

/// The types of system descriptors (SDM vol. 3, table 3-2).
fn system_name(kind: u16, long_mode: bool) -> &'static str {
    match (kind, long_mode) {
        (0, true) => "<hiword>",
        (1, false) => "TSS16-avl",
        (2, _) => "LDT",
        (3, false) => "TSS16-busy",
        (4, false) => "CallGate16",
        (5, false) => "TaskGate",
        (6, false) => "IntGate16",
        (7, false) => "TrapGate16",
        (9, false) => "TSS32-avl",
        (9, true) => "TSS64-avl",
        (11, false) => "TSS32-busy",
        (11, true) => "TSS64-busy",
        (12, false) => "CallGate32",
        (12, true) => "CallGate64",
        (14, false) => "IntGate32",
        (14, true) => "IntGate64",
        (15, false) => "TrapGate32",
        (15, true) => "TrapGate64",
        _ => "Reserved",
    }
}

fn push_control(out: &mut String, cpu: &CpuState, wide: bool) {
    for (name, table) in [("GDT", cpu.gdtr), ("IDT", cpu.idtr)] {
        let _ = writeln!(out, "{name}=     {} {:08x}", address(table.base, wide), table.limit);
    }
    let _ = writeln!(
        out,
        "CR0={:08x} CR2={} CR3={} CR4={:08x}",
        cpu.cr0,
        address(cpu.cr2, wide),
        address(cpu.cr3, wide),
        cpu.cr4
    );
    for i in 0..4 {
        let _ = write!(out, "DR{i}={:016x} ", cpu.dr[i]);
    }
    let _ = writeln!(out, "\nDR6={:016x} DR7={:016x}", cpu.dr[6], cpu.dr[7]);
    let _ = writeln!(out, "EFER={:016x}", cpu.efer);
}

fn push_fpu(out: &mut String, cpu: &CpuState) {
    let x87 = &cpu.x87;
    let _ = writeln!(
        out,
        "FCW={:04x} FSW={:04x} [ST={}] FTW={:02x} MXCSR={:08x}",
        x87.control,
        x87.status,
        (x87.status >> 11) & 7,
        x87.valid,
        cpu.mxcsr
    );
    for (i, r) in x87.regs.iter().enumerate() {
        let end = if i % 2 == 0 { ' ' } else { '\n' };
        let _ = write!(out, "FPR{i}={:016x} {:04x}{end}", r.significand, r.sign_exponent);
    }
}

fn push_xmm(out: &mut String, cpu: &CpuState, wide: bool) {
    let count = if wide { 16 } else { 8 };
    for (i, v) in cpu.xmm[..count].iter().enumerate() {
        let end = if i % 2 == 0 { ' ' } else { '\n' };
        let _ = write!(out, "XMM{i:02}={:016x} {:016x}{end}", (v >> 64) as u64, *v as u64);
    }
}
