//! The notes of a dump: per vCPU NT_PRSTATUS (Linux, `struct elf_prstatus`) and QEMU's CPU state,
//! and the guest's VMCOREINFO note as it lies in its memory.
//!
//! The "QEMU" note has registers that NT_PRSTATUS lacks (control registers, descriptor tables);
//! crash finds the KASLR offset by it. Layout: version, size, 18 general registers, ten
//! segments, CR0 to CR4, KERNEL_GS_BASE.

use super::vmcoreinfo::Vmcoreinfo;
use dejavm_core::cpu::CpuState;
use dejavm_core::cpu::state::{RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP, Segment, TableRegister, efer, seg};

const RIP: usize = 16;
const NT_PRSTATUS: u32 = 1;
const QEMU_VERSION: u32 = 1;
const QEMU_BYTES: u32 = 440;

/// What the guest's kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// 32 bits.
    I386,
    /// 64 bits.
    X86_64,
}

impl Architecture {
    /// 64 bits as soon as one vCPU is in long mode.
    pub fn of(vcpus: &[CpuState]) -> Self {
        let long = vcpus.iter().any(|cpu| cpu.efer & efer::LMA != 0);
        if long { Self::X86_64 } else { Self::I386 }
    }
}

/// All notes, one behind the other. With them, where the text of VMCOREINFO lies in them.
pub fn build(
    vcpus: &[CpuState],
    architecture: Architecture,
    info: Option<&Vmcoreinfo>,
) -> (Vec<u8>, Option<std::ops::Range<usize>>) {
    let mut notes = Vec::new();
    for (n, cpu) in vcpus.iter().enumerate() {
        let status = match architecture {
            Architecture::X86_64 => prstatus_x86_64(n, cpu),
            Architecture::I386 => prstatus_i386(n, cpu),
        };
        append(&mut notes, "CORE", NT_PRSTATUS, &status);
    }
    for cpu in vcpus {
        append(&mut notes, "QEMU", 0, &qemu(cpu));
    }
    let text = info.map(|info| {
        append(&mut notes, "VMCOREINFO", 0, info.bytes());
        let end = notes.len() - (info.bytes().len().next_multiple_of(4) - info.bytes().len());
        end - info.bytes().len()..end
    });
    (notes, text)
}

/// Name and description each end at a multiple of four (System V gABI, chapter 5).
fn append(notes: &mut Vec<u8>, name: &str, kind: u32, description: &[u8]) {
    for word in [name.len() as u32 + 1, description.len() as u32, kind] {
        notes.extend_from_slice(&word.to_le_bytes());
    }
    notes.extend_from_slice(name.as_bytes());
    notes.push(0);
    notes.resize(notes.len().next_multiple_of(4), 0);
    notes.extend_from_slice(description);
    notes.resize(notes.len().next_multiple_of(4), 0);
}

/// 112 bytes before the registers, the process ID at 32; then `struct user_regs_struct`.
fn prstatus_x86_64(n: usize, cpu: &CpuState) -> Vec<u8> {
    let mut status = vec![0; 112];
    status[32..36].copy_from_slice(&(n as u32 + 1).to_le_bytes());
    let r = &cpu.regs;
    let selector = |n: usize| u64::from(cpu.segs[n].selector);
    let registers = [
        r[15],
        r[14],
        r[13],
        r[12],
        r[RBP],
        r[RBX],
        r[11],
        r[10],
        r[9],
        r[8],
        r[RAX],
        r[RCX],
        r[RDX],
        r[RSI],
        r[RDI],
        // orig_rax: this is no system call.
        u64::MAX,
        r[RIP],
        selector(seg::CS),
        cpu.flags.bits(),
        r[RSP],
        selector(seg::SS),
        cpu.segs[seg::FS].base,
        cpu.segs[seg::GS].base,
        selector(seg::DS),
        selector(seg::ES),
        selector(seg::FS),
        selector(seg::GS),
    ];
    registers.iter().for_each(|value| status.extend_from_slice(&value.to_le_bytes()));
    status.resize(336, 0);
    status
}

/// 72 bytes before the registers, the process ID at 24; then `struct user_regs_struct`.
fn prstatus_i386(n: usize, cpu: &CpuState) -> Vec<u8> {
    let mut status = vec![0; 72];
    status[24..28].copy_from_slice(&(n as u32 + 1).to_le_bytes());
    let r = |n: usize| cpu.regs[n] as u32;
    let selector = |n: usize| u32::from(cpu.segs[n].selector);
    let registers = [
        r(RBX),
        r(RCX),
        r(RDX),
        r(RSI),
        r(RDI),
        r(RBP),
        r(RAX),
        selector(seg::DS),
        selector(seg::ES),
        selector(seg::FS),
        selector(seg::GS),
        // orig_eax: this is no system call.
        u32::MAX,
        r(RIP),
        selector(seg::CS),
        cpu.flags.bits() as u32,
        r(RSP),
        selector(seg::SS),
    ];
    registers.iter().for_each(|value| status.extend_from_slice(&value.to_le_bytes()));
    status.resize(144, 0);
    status
}

fn qemu(cpu: &CpuState) -> Vec<u8> {
    let mut state = Vec::with_capacity(QEMU_BYTES as usize);
    state.extend_from_slice(&QEMU_VERSION.to_le_bytes());
    state.extend_from_slice(&QEMU_BYTES.to_le_bytes());
    let quad = |state: &mut Vec<u8>, value: u64| state.extend_from_slice(&value.to_le_bytes());
    for n in [RAX, RBX, RCX, RDX, RSI, RDI, RSP, RBP, 8, 9, 10, 11, 12, 13, 14, 15, RIP] {
        quad(&mut state, cpu.regs[n]);
    }
    quad(&mut state, cpu.flags.bits());
    for n in [seg::CS, seg::DS, seg::ES, seg::FS, seg::GS, seg::SS] {
        segment(&mut state, &cpu.segs[n]);
    }
    segment(&mut state, &cpu.ldtr);
    segment(&mut state, &cpu.tr);
    table(&mut state, cpu.gdtr);
    table(&mut state, cpu.idtr);
    for value in [cpu.cr0, 0, cpu.cr2, cpu.cr3, cpu.cr4, cpu.msrs.kernel_gs_base] {
        quad(&mut state, value);
    }
    assert_eq!(state.len(), QEMU_BYTES as usize);
    state
}

/// Selector, limit, the attributes where a descriptor's upper half has them, padding, base.
fn segment(state: &mut Vec<u8>, s: &Segment) {
    for word in [u32::from(s.selector), s.limit, u32::from(s.attributes) << 8, 0] {
        state.extend_from_slice(&word.to_le_bytes());
    }
    state.extend_from_slice(&s.base.to_le_bytes());
}

fn table(state: &mut Vec<u8>, t: TableRegister) {
    segment(state, &Segment { selector: 0, base: t.base, limit: t.limit.into(), attributes: 0 });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_places() {
        let mut cpu = CpuState::reset(0);
        cpu.regs[RIP] = 0x1122;
        cpu.cr3 = 0x3344;
        let (notes, text) = build(&[cpu.clone(), cpu], Architecture::X86_64, None);
        assert_eq!(text, None);
        assert_eq!(notes.len(), 2 * (12 + 8 + 336) + 2 * (12 + 8 + 440));
        let quad = |at: usize| u64::from_le_bytes(notes[at..at + 8].try_into().unwrap());
        assert_eq!(quad(20 + 112 + 16 * 8), 0x1122, "RIP");
        assert_eq!(notes[356 + 20 + 32], 2, "the second vCPU is thread 2");
        assert_eq!(quad(712 + 20 + 8 + 18 * 8 + 10 * 24 + 3 * 8), 0x3344, "CR3");
    }

    #[test]
    fn a_32_bit_guest_has_the_32_bit_layout() {
        let mut cpu = CpuState::reset(0);
        cpu.regs[RIP] = 0x1122;
        let (notes, _) = build(&[cpu], Architecture::I386, None);
        assert_eq!(notes.len(), 20 + 144 + 20 + 440);
        assert_eq!(notes[20 + 72 + 12 * 4], 0x22);
    }
}
