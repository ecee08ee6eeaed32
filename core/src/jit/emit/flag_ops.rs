//! CLC, STC, CMC, LAHF, SAHF, on the flags in AX; CLD and STD; CLAC and STAC at privilege level 0, where
//! they choose the table of translations.

use super::{Emitted, Emitter};
use crate::codemem::{field, rights};
use crate::cpu::flags::{AC, DF};
use crate::cpu::insn::HIGH_BYTE;
use crate::jit::asm::{Alu, Mem, Rm, Width, host};
use crate::mem::MmuIndex;
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

/// Sets or clears one of the flags that are in the vCPU.
fn set_system(e: &mut Emitter<'_>, flag: u64, on: bool) {
    e.asm.load(Width::Q, host::RCX, Rm::M(Mem::at(host::RSP, field::SYSTEM_FLAGS)));
    let (op, operand) = if on { (Alu::Or, flag) } else { (Alu::And, !flag & 0xFFFF_FFFF) };
    e.asm.alu_imm(op, Width::D, Rm::M(Mem::at(host::RCX, 0)), operand);
}

/// CLAC, STAC. The one accesses user pages from here on, the other no longer.
fn set_ac(e: &mut Emitter<'_>, on: bool) -> Emitted {
    e.spoil_flags();
    e.need_rights(rights::SMAP);
    e.forget_checks();
    set_system(e, AC, on);
    let (table, index) = match on {
        true => (field::TLB_OPEN, MmuIndex::Kernel),
        false => (field::TLB_CLOSED, MmuIndex::KernelSmap),
    };
    e.asm.load(Width::Q, host::RCX, Rm::M(Mem::at(host::RSP, field::MMU)));
    e.asm.store_imm(Width::B, Rm::M(Mem::at(host::RCX, 0)), index as u64);
    e.asm.load(Width::Q, host::RDX, Rm::M(Mem::at(host::RSP, table)));
    e.asm.store(Width::Q, Rm::M(Mem::at(host::RSP, field::TLB)), host::RDX);
    e.asm.store(Width::Q, Rm::M(Mem::at(host::RSP, field::TLB_IN_USE)), host::RDX);
    e.asm.wrgsbase(host::RDX);
    Emitted::Done
}

/// The family.
pub fn emit(e: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    match i.mnemonic() {
        Mnemonic::Cld | Mnemonic::Std => {
            e.spoil_flags();
            set_system(e, DF, i.mnemonic() == Mnemonic::Std);
            return Emitted::Done;
        }
        Mnemonic::Clac | Mnemonic::Stac => return set_ac(e, i.mnemonic() == Mnemonic::Stac),
        _ => {}
    }
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
