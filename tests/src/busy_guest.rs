//! A small 64-bit guest that keeps every part of a machine busy, for tests of saved states and of
//! going back and forth in a run.

use dejavm_core::boundary::{Images, MachineConfig};
use dejavm_core::machine::Machine;
use iced_x86::IcedError;
use iced_x86::code_asm::*;

/// Where the guest's code is loaded and entered.
pub const BASE: u64 = 0x10_0000;
const IDT: u64 = 0x20_0000;
const IDT_POINTER: u64 = 0x20_1000;
const LAPIC: u64 = 0xFEE0_0000;
const COM1: u32 = 0x3F8;
/// For the other vCPUs, in real mode at 8000h: again: inc word [4000h]; pause; jmp again.
const OTHERS: u64 = u64::from_le_bytes([0xFF, 0x06, 0x00, 0x40, 0xF3, 0x90, 0xEB, 0xF8]);

/// A guest that uses a bit of everything: a timer (LAPIC, every 50 us) and HLT, the other vCPUs,
/// RDRAND, SSE, the UART, and code that it changes as it goes.
fn guest() -> Result<Vec<u8>, IcedError> {
    let mut a = CodeAssembler::new(64)?;
    let (mut timer, mut again, mut patched, mut pause) =
        (a.create_label(), a.create_label(), a.create_label(), a.create_label());
    a.mov(esp, 0x30_0000)?;
    a.lea(rax, ptr(timer))?;
    a.mov(word_ptr(IDT + 0x300), ax)?;
    a.mov(dword_ptr(IDT + 0x302), 0x8E00_0010u32 as i32)?;
    a.shr(rax, 16)?;
    a.mov(word_ptr(IDT + 0x306), ax)?;
    a.mov(word_ptr(IDT_POINTER), 0xFFF)?;
    a.mov(eax, IDT as u32)?;
    a.mov(qword_ptr(IDT_POINTER + 2), rax)?;
    a.lidt(ptr(IDT_POINTER))?;
    a.mov(rbx, LAPIC)?;
    // Enable; divide by 1; periodic, vector 30h; count; INIT and start-up to all others.
    for (register, value) in
        [(0xF0, 0x1FF), (0x3E0, 0xB), (0x320, 0x2_0030), (0x380, 50_000), (0x300, 0xC_4500)]
    {
        a.mov(dword_ptr(rbx + register), value)?;
    }
    a.mov(rax, OTHERS)?;
    a.mov(qword_ptr(0x8000), rax)?;
    a.mov(dword_ptr(rbx + 0x300), 0xC_4608)?;
    a.mov(rax, cr4)?;
    a.or(eax, 0x600)?;
    a.mov(cr4, rax)?;
    a.mov(edx, COM1 + 3)?;
    a.mov(al, 3)?;
    a.out(dx, al)?;
    a.xor(r12d, r12d)?;
    a.sti()?;
    a.set_label(&mut again)?;
    a.rdrand(rax)?;
    a.movq(xmm1, rax)?;
    a.paddq(xmm0, xmm1)?;
    a.movzx(ecx, r12w)?;
    a.mov(qword_ptr(rcx * 8 + 0x21_0000), rax)?;
    a.lea(rdx, ptr(patched))?;
    a.mov(byte_ptr(rdx + 1), al)?;
    a.set_label(&mut patched)?;
    a.mov(cl, 1)?;
    a.movzx(ecx, cl)?;
    a.set_label(&mut pause)?;
    a.dec(ecx)?;
    a.jns(pause)?;
    a.mov(edx, COM1)?;
    a.out(dx, al)?;
    a.inc(r12)?;
    a.test(r12d, 15)?;
    a.jnz(again)?;
    a.hlt()?;
    a.jmp(again)?;
    a.set_label(&mut timer)?;
    a.mov(dword_ptr(rbx + 0xB0), 0)?;
    a.inc(qword_ptr(IDT_POINTER + 0x100))?;
    a.iretq()?;
    Ok(elf(&a.assemble(BASE)?))
}

/// An ELF executable with one segment at [`BASE`], entered at its start in 64-bit mode.
pub fn elf(code: &[u8]) -> Vec<u8> {
    let mut elf = b"\x7FELF\x02\x01\x01".to_vec();
    elf.resize(120 + code.len(), 0);
    let mut put = |at: usize, bytes: &[u8]| elf[at..at + bytes.len()].copy_from_slice(bytes);
    put(16, &[2, 0, 62, 0]);
    put(24, &BASE.to_le_bytes());
    put(32, &64u64.to_le_bytes());
    put(54, &[56, 0, 1, 0]);
    put(64, &[1, 0, 0, 0, 7, 0, 0, 0]);
    for (at, value) in [(72, 120), (80, BASE), (88, BASE), (96, code.len() as u64), (104, code.len() as u64)]
    {
        put(at, &value.to_le_bytes());
    }
    put(120, code);
    elf
}

/// The size of its machine's RAM.
pub const RAM_BYTES: u64 = 8 << 20;

/// Its images.
///
/// # Panics
/// Never: the guest assembles.
pub fn images() -> Images {
    Images { kernel: guest().expect("it assembles"), initrd: None }
}

/// Its machine.
pub fn config(vcpus: u32) -> MachineConfig {
    MachineConfig { vcpus, ram_bytes: RAM_BYTES, quantum_icount: 5000, seed: 7, ..MachineConfig::default() }
}

/// Its machine at power-on.
///
/// # Panics
/// If the host has no memory for it.
pub fn machine(vcpus: u32) -> Machine {
    crate::accel::on_chosen(Machine::new(&config(vcpus), images()).expect("a machine"))
}
