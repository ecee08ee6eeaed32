//! BT, BTS, BTR, BTC, BSF, BSR, POPCNT, CRC32 (SDM vol. 2; undefined flags as on Zen 4: the BT
//! family changes CF only, BSF and BSR clear OF SF AF CF and take PF from the result).
//!
//! The virtual CPU has neither BMI nor LZCNT: an F3 prefix before BSF or BSR is ignored, so
//! what decodes as TZCNT is BSF and what decodes as LZCNT is BSR. MOVBE raises #UD.

use super::form::{Shape, by_wide_width, by_width, shape, width, width_of};
use super::invalid;
use super::operand::Operand;
use crate::cpu::env::Env;
use crate::cpu::flags::{ARITHMETIC, ZF, sign_extend};
use crate::cpu::insn::{Exec, Handler, Insn};
use crate::cpu::state::Vcpu;
use iced_x86::{Instruction, Mnemonic};

const TEST: u8 = 0;
const SET: u8 = 1;
const RESET: u8 = 2;
const COMPLEMENT: u8 = 3;

/// What BTS, BTR or BTC makes of a value.
#[inline(always)]
fn change<const OP: u8>(v: u64, bit: u64) -> u64 {
    match OP {
        SET => v | bit,
        RESET => v & !bit,
        COMPLEMENT => v ^ bit,
        _ => v,
    }
}

/// The bit number as operand 1 gives it, not yet reduced.
#[inline(always)]
fn bit_number<const IMM: bool, T: Operand>(cpu: &Vcpu, insn: &Insn) -> u64 {
    if IMM { insn.imm } else { T::get(cpu, insn.r[1]) }
}

fn bt_reg<const OP: u8, const IMM: bool, T: Operand>(cpu: &mut Vcpu, _: &mut Env<'_>, insn: &Insn) -> Exec {
    let bit = 1u64 << (bit_number::<IMM, T>(cpu, insn) % u64::from(T::BITS));
    let v = T::get(cpu, insn.r[0]);
    if OP != TEST {
        T::set(cpu, insn.r[0], change::<OP>(v, bit));
    }
    cpu.state.flags.set_cf(v & bit != 0);
    Ok(())
}

/// A register's bit number is signed and reaches beyond the operand, in steps of its width.
fn bt_mem<const OP: u8, const IMM: bool, T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let number = bit_number::<IMM, T>(cpu, insn);
    let mut ea = cpu.effective_address(insn);
    if !IMM {
        let unit = (sign_extend::<T>(number) as i64) >> T::BITS.trailing_zeros();
        ea = ea.wrapping_add((unit * T::SIZE as i64) as u64) & insn.addr_mask;
    }
    let bit = 1u64 << (number % u64::from(T::BITS));
    let va = cpu.linear_at(insn, insn.seg as usize, ea, T::SIZE, OP != TEST)?;
    let loaded = if OP == TEST { cpu.load::<T>(env, va) } else { cpu.load_for_write::<T>(env, va) };
    let v = loaded.map_err(|e| cpu.fault_of_segment(insn, ea, e))?.widen();
    if OP != TEST {
        cpu.store(env, va, T::narrow(change::<OP>(v, bit)))?;
    }
    cpu.state.flags.set_cf(v & bit != 0);
    Ok(())
}

/// BSF, or BSR if `REVERSE`. A zero source leaves all of the destination as it was.
fn bit_scan<const REVERSE: bool, T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let v = cpu.operand::<T>(env, insn, 1)?;
    if v == 0 {
        cpu.state.flags.set_arithmetic(ZF | parity_of(0));
        return Ok(());
    }
    let r = u64::from(if REVERSE { 63 - v.leading_zeros() } else { v.trailing_zeros() });
    T::set(cpu, insn.r[0], r);
    cpu.state.flags.set_arithmetic(parity_of(r));
    Ok(())
}

/// PF as a flags image for a result.
fn parity_of(r: u64) -> u64 {
    if (r as u8).count_ones() & 1 == 0 { crate::cpu::flags::PF } else { 0 }
}

fn popcnt<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let v = cpu.operand::<T>(env, insn, 1)?;
    T::set(cpu, insn.r[0], v.count_ones().into());
    cpu.state.flags.update_arithmetic(ARITHMETIC, if v == 0 { ZF } else { 0 });
    Ok(())
}

/// The Castagnoli polynomial, bits reversed.
const CASTAGNOLI: u32 = 0x82F6_3B78;

/// The remainder of each byte value.
const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let mut r = n as u32;
        let mut k = 0;
        while k < 8 {
            r = (r >> 1) ^ (if r & 1 != 0 { CASTAGNOLI } else { 0 });
            k += 1;
        }
        table[n] = r;
        n += 1;
    }
    table
};

fn crc32<T: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let data = cpu.operand::<T>(env, insn, 1)?;
    let mut crc = u32::get(cpu, insn.r[0]) as u32;
    for byte in data.to_le_bytes().into_iter().take(T::SIZE) {
        crc = (crc >> 8) ^ CRC_TABLE[usize::from(crc as u8 ^ byte)];
    }
    // The destination may be r64: its upper half is zeroed just the same.
    u32::set(cpu, insn.r[0], crc.into());
    Ok(())
}

fn select_bt<const OP: u8>(i: &Instruction) -> Option<Handler> {
    let bytes = width(i);
    Some(match shape(i)? {
        Shape::RegReg => by_wide_width!(bytes, bt_reg, OP, false),
        Shape::RegImm => by_wide_width!(bytes, bt_reg, OP, true),
        Shape::MemReg => by_wide_width!(bytes, bt_mem, OP, false),
        _ => by_wide_width!(bytes, bt_mem, OP, true),
    })
}

/// The handler of a form of this family.
pub fn select(i: &Instruction) -> Option<Handler> {
    Some(match i.mnemonic() {
        Mnemonic::Bt => return select_bt::<TEST>(i),
        Mnemonic::Bts => return select_bt::<SET>(i),
        Mnemonic::Btr => return select_bt::<RESET>(i),
        Mnemonic::Btc => return select_bt::<COMPLEMENT>(i),
        Mnemonic::Bsf | Mnemonic::Tzcnt => by_wide_width!(width(i), bit_scan, false),
        Mnemonic::Bsr | Mnemonic::Lzcnt => by_wide_width!(width(i), bit_scan, true),
        Mnemonic::Popcnt => by_wide_width!(width(i), popcnt),
        Mnemonic::Crc32 => by_width!(width_of(i, 1), crc32),
        Mnemonic::Movbe => invalid,
        _ => return None,
    })
}
