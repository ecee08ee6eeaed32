//! CLC, STC, CMC, LAHF, SAHF, on the flags in AX. CLD and STD are interpreted.

use super::{Emitted, Emitter};
use crate::cpu::insn::HIGH_BYTE;
use crate::jit::asm::Rm;
use crate::jit::asm::{Alu, Width, host};
use iced_x86::{Instruction, Mnemonic};

/// AH as a register operand.
const AH: u8 = HIGH_BYTE;
/// SF, ZF, AF, PF, CF.
const IN_AH: u64 = 0xD5;

fn lahf(e: &mut Emitter<'_>) {
    e.asm.rorx(Width::D, host::RDX, host::RAX, 8);
    e.asm.alu_imm(Alu::And, Width::D, Rm::R(host::RDX), IN_AH);
    e.asm.alu_imm(Alu::Or, Width::D, Rm::R(host::RDX), 2);
    e.write(Width::B, AH, host::RDX);
}

fn sahf(e: &mut Emitter<'_>) {
    let from = e.read_sized(Width::B, AH, host::RDX);
    e.asm.load(Width::D, host::RDX, Rm::R(from));
    // MOV AH, DL
    e.asm.put(&[0x88, 0xD4]);
}

/// The family.
pub fn emit(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    let known = [Mnemonic::Clc, Mnemonic::Stc, Mnemonic::Cmc, Mnemonic::Lahf, Mnemonic::Sahf];
    if !known.contains(&i.mnemonic()) {
        return Emitted::No;
    }
    e.spoil_flags();
    match i.mnemonic() {
        // AND AH, not CF; OR AH, CF; XOR AH, CF
        Mnemonic::Clc => e.asm.put(&[0x80, 0xE4, 0xFE]),
        Mnemonic::Stc => e.asm.put(&[0x80, 0xCC, 0x01]),
        Mnemonic::Cmc => e.asm.put(&[0x80, 0xF4, 0x01]),
        Mnemonic::Lahf => lahf(e),
        _ => sahf(e),
    }
    Emitted::Done
}
