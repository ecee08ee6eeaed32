//! CLC, STC, CMC, CLD, STD, LAHF, SAHF, CLAC, STAC (SDM vol. 2). CLI and STI are elsewhere.

use super::operand::Operand;
use crate::cpu::env::Env;
use crate::cpu::flags::{AF, CF, DF, PF, SF, ZF};
use crate::cpu::insn::{Exec, HIGH_BYTE, Handler, Insn};
use crate::cpu::state::Vcpu;
use iced_x86::{Instruction, Mnemonic};

/// AH as a register index.
const AH: u8 = HIGH_BYTE;

fn set_carry<const ON: bool>(cpu: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    cpu.state.flags.set_cf(ON);
    Ok(())
}

fn cmc(cpu: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    let cf = cpu.state.flags.cf();
    cpu.state.flags.set_cf(!cf);
    Ok(())
}

fn set_direction<const DOWN: bool>(cpu: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    cpu.state.flags.set_system(DF, DOWN);
    Ok(())
}

fn lahf(cpu: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    let image = cpu.flags.bits();
    u8::set(cpu, AH, image);
    Ok(())
}

fn sahf(cpu: &mut Vcpu, _: &mut Env<'_>, _: &Insn) -> Exec {
    let image = u8::get(cpu, AH);
    cpu.state.flags.update_arithmetic(SF | ZF | AF | PF | CF, image);
    Ok(())
}

/// The handler of a form of this family.
pub fn select(i: &Instruction) -> Option<Handler> {
    Some(match i.mnemonic() {
        Mnemonic::Clc => set_carry::<false>,
        Mnemonic::Stc => set_carry::<true>,
        Mnemonic::Cmc => cmc,
        Mnemonic::Cld => set_direction::<false>,
        Mnemonic::Std => set_direction::<true>,
        Mnemonic::Lahf => lahf,
        Mnemonic::Sahf => sahf,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::cpu::exec::testing::Rig;
    use crate::cpu::flags::AC;
    use crate::mem::MmuIndex;
    use crate::types::Exception;

    #[test]
    fn stac_and_clac_open_and_close_user_pages() {
        let mut rig = Rig::long();
        rig.cpu.state.cr4 |= crate::cpu::state::cr4::SMAP;
        for (opcode, ac, mmu) in [(0xCB, true, MmuIndex::Kernel), (0xCA, false, MmuIndex::KernelSmap)] {
            rig.run(&[0x0F, 0x01, opcode]).unwrap();
            assert_eq!((rig.cpu.flags.system(AC), rig.cpu.mmu), (ac, mmu));
        }
        rig.cpu.state.cpl = 3;
        assert_eq!(rig.run(&[0x0F, 0x01, 0xCB]), Err(Exception::UD));
    }
}
