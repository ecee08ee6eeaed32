//! FNSTENV FLDENV FNSAVE FRSTOR: the images of the environment in memory, 16 or 32 bits wide,
//! for protected or for real-address mode (SDM vol. 1, 8.1.10).

use super::control::reset;
use super::source::f80_at;
use super::state::{EXCEPTIONS, available, wait};
use crate::cpu::env::Env;
use crate::cpu::flags;
use crate::cpu::insn::{Exec, Insn};
use crate::cpu::state::{Vcpu, X87};
use crate::mem::AccessKind;

const REGISTERS: usize = 80;
const LARGEST: usize = 28 + REGISTERS;

/// The seven fields of an image, in order.
fn fields(x87: &X87, segmented_real: bool, wide: bool) -> [u32; 7] {
    let high = if wide { 0xFFFF_0000 } else { 0 };
    let words = [x87.control, x87.status, x87.tag_word()].map(|w| u32::from(w) | high);
    let opcode = u32::from(x87.opcode & 0x7FF);
    let rest = if segmented_real {
        let linear = |selector: u16, offset: u64| (u32::from(selector) << 4).wrapping_add(offset as u32);
        let ip = linear(x87.instruction_selector, x87.instruction_pointer);
        let dp = linear(x87.data_selector, x87.data_pointer);
        let upper = |v: u32| if wide { v >> 16 << 12 } else { (v >> 16 & 0xF) << 12 };
        [ip & 0xFFFF | high, upper(ip) | opcode, dp & 0xFFFF | high, upper(dp)]
    } else {
        let code = u32::from(x87.instruction_selector) | if wide { opcode << 16 } else { 0 };
        let data = u32::from(x87.data_selector) | high;
        [x87.instruction_pointer as u32, code, x87.data_pointer as u32, data]
    };
    [words[0], words[1], words[2], rest[0], rest[1], rest[2], rest[3]]
}

fn set_fields(x87: &mut X87, f: &[u32; 7], segmented_real: bool, wide: bool) {
    x87.status = f[1] as u16;
    x87.set_control(f[0] as u16);
    x87.set_tag_word(f[2] as u16);
    if segmented_real {
        let linear = |low: u32, high: u32| {
            let mask = if wide { 0xFFFF } else { 0xF };
            u64::from(low & 0xFFFF | (high >> 12 & mask) << 16)
        };
        x87.opcode = f[4] as u16 & 0x7FF;
        x87.instruction_pointer = linear(f[3], f[4]);
        x87.data_pointer = linear(f[5], f[6]);
        x87.instruction_selector = 0;
        x87.data_selector = 0;
    } else {
        x87.opcode = if wide { (f[4] >> 16) as u16 & 0x7FF } else { 0 };
        x87.instruction_pointer = u64::from(f[3]);
        x87.instruction_selector = f[4] as u16;
        x87.data_pointer = u64::from(f[5]);
        x87.data_selector = f[6] as u16;
    }
}

fn segmented_real(cpu: &Vcpu) -> bool {
    cpu.real_mode() || cpu.flags.system(flags::VM)
}

const fn environment_size(wide: bool) -> usize {
    if wide { 28 } else { 14 }
}

fn write_image(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn, wide: bool, registers: bool) -> Exec {
    let mut image = [0u8; LARGEST];
    let field = environment_size(wide) / 7;
    for (k, v) in fields(&cpu.x87, segmented_real(cpu), wide).iter().enumerate() {
        image[k * field..(k + 1) * field].copy_from_slice(&v.to_le_bytes()[..field]);
    }
    let mut size = 7 * field;
    if registers {
        for i in 0..8 {
            image[size..size + 10].copy_from_slice(&cpu.x87.st(i).bits().to_le_bytes()[..10]);
            size += 10;
        }
    }
    let va = cpu.linear(insn, size, true)?;
    cpu.probe(env, va, size, AccessKind::Write)?;
    for (k, pair) in image[..size].chunks_exact(2).enumerate() {
        cpu.store(env, cpu.further(va, 2 * k as u64), u16::from_le_bytes([pair[0], pair[1]]))?;
    }
    Ok(())
}

fn read_image(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn, wide: bool, registers: bool) -> Exec {
    let mut image = [0u8; LARGEST];
    let size = environment_size(wide) + if registers { REGISTERS } else { 0 };
    let va = cpu.linear(insn, size, false)?;
    for k in 0..size / 2 {
        let v: u16 = cpu.load(env, cpu.further(va, 2 * k as u64))?;
        image[2 * k..2 * k + 2].copy_from_slice(&v.to_le_bytes());
    }
    let field = environment_size(wide) / 7;
    let mut f = [0u32; 7];
    for (k, v) in f.iter_mut().enumerate() {
        let mut bytes = [0; 4];
        bytes[..field].copy_from_slice(&image[k * field..(k + 1) * field]);
        *v = u32::from_le_bytes(bytes);
    }
    let real = segmented_real(cpu);
    set_fields(&mut cpu.x87, &f, real, wide);
    if registers {
        for i in 0..8 {
            let p = (cpu.x87.top() + i) & 7;
            cpu.x87.regs[p] = f80_at(&image[7 * field + 10 * i..]);
        }
    }
    Ok(())
}

/// FNSTENV; all exceptions are masked afterwards.
pub fn store_environment<const WIDE: bool>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    available(cpu)?;
    write_image(cpu, env, insn, WIDE, false)?;
    let control = cpu.x87.control | EXCEPTIONS;
    cpu.x87.set_control(control);
    Ok(())
}

/// FLDENV.
pub fn load_environment<const WIDE: bool>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    read_image(cpu, env, insn, WIDE, false)
}

/// FNSAVE; the unit is initialised afterwards.
pub fn save<const WIDE: bool>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    available(cpu)?;
    write_image(cpu, env, insn, WIDE, true)?;
    reset(cpu);
    Ok(())
}

/// FRSTOR.
pub fn restore<const WIDE: bool>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    wait(cpu)?;
    read_image(cpu, env, insn, WIDE, true)
}
