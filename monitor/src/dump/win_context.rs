//! A vCPU's registers as Windows keeps them (`CONTEXT` of x64, winnt.h).

use dejavm_core::cpu::CpuState;
use dejavm_core::cpu::state::{RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP, seg};

/// The flag of every context of this kind.
pub const AMD64: u32 = 0x10_0000;
const RIP: usize = 16;
const BYTES: usize = 0x4D0;
/// x64: control, integer, segments, floating point, debug registers.
const FLAGS: u32 = AMD64 | 0x1F;
const MXCSR_MASK: u32 = 0xFFFF;

/// The structure.
pub fn bytes(cpu: &CpuState) -> Vec<u8> {
    let mut c = vec![0; BYTES];
    let mut put = |at: usize, bytes: &[u8]| c[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x30, &FLAGS.to_le_bytes());
    put(0x34, &cpu.mxcsr.to_le_bytes());
    for (n, s) in [seg::CS, seg::DS, seg::ES, seg::FS, seg::GS, seg::SS].into_iter().enumerate() {
        put(0x38 + 2 * n, &cpu.segs[s].selector.to_le_bytes());
    }
    put(0x44, &(cpu.flags.bits() as u32).to_le_bytes());
    for (n, r) in [0, 1, 2, 3, 6, 7].into_iter().enumerate() {
        put(0x48 + 8 * n, &cpu.dr[r].to_le_bytes());
    }
    let order = [RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, 8, 9, 10, 11, 12, 13, 14, 15, RIP];
    for (n, r) in order.into_iter().enumerate() {
        put(0x78 + 8 * n, &cpu.regs[r].to_le_bytes());
    }
    // As FXSAVE lays it out, without pointers to the last instruction.
    put(0x100, &cpu.x87.control.to_le_bytes());
    put(0x102, &cpu.x87.status.to_le_bytes());
    put(0x104, &[cpu.x87.valid]);
    put(0x118, &cpu.mxcsr.to_le_bytes());
    put(0x11C, &MXCSR_MASK.to_le_bytes());
    let top = usize::from(cpu.x87.status >> 11 & 7);
    for n in 0..8 {
        let st = cpu.x87.regs[(top + n) % 8];
        put(0x120 + 16 * n, &st.significand.to_le_bytes());
        put(0x128 + 16 * n, &st.sign_exponent.to_le_bytes());
    }
    for (n, xmm) in cpu.xmm.iter().enumerate() {
        put(0x1A0 + 16 * n, &xmm.to_le_bytes());
    }
    c
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_where_windows_has_them() {
        let mut cpu = CpuState::reset(0);
        (cpu.regs[RSP], cpu.regs[15], cpu.xmm[15]) = (0x11, 0x22, 0x33);
        cpu.segs[seg::SS].selector = 0x44;
        let c = bytes(&cpu);
        assert_eq!((c[0x98], c[0xF0], c[0x290], c[0x42]), (0x11, 0x22, 0x33, 0x44));
    }
}
