//! What `x` and `xp` share: memory as units or as instructions.

use super::super::Context;
use super::super::arguments::Arguments;
use super::super::memory_format::{Format, FormatLetter, line_bytes, unit_text};
use super::super::registers::code_size;
use super::{Outcome, current_cpu, evaluate};
use crate::disassembly::{MAX_INSN_BYTES, disassemble};
use dejavm_core::machine::Machine;
use dejavm_core::machine::board_pc::layout::{
    CHIP_BYTES, ECAM_BASE, ECAM_BYTES, HPET_BASE, IOAPIC_BASE, LAPIC_BASE,
};
use dejavm_core::mem::IoBus as _;
use dejavm_core::types::Gpa;
use std::fmt::Write as _;

/// Which addresses are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    /// Those of the current vCPU's page tables.
    Virtual,
    /// Physical ones.
    Physical,
}

/// Dumps memory as the arguments say.
pub(super) fn dump(context: &mut Context<'_>, arguments: &mut Arguments<'_>, space: Space) -> Outcome {
    let format = arguments.slash().map(Format::parse).transpose()?;
    let count = format.map_or(1, |format| format.count);
    let address = evaluate(context, arguments)?;
    let (letter, size) = context.settings.format(format);
    if letter == FormatLetter::Instruction {
        return instructions(context, space, address, count);
    }
    let size = if letter == FormatLetter::Character { 1 } else { size };
    units(context, space, address, count, size, letter);
    Ok(())
}

fn units(
    context: &mut Context<'_>,
    space: Space,
    mut address: u64,
    count: u64,
    size: usize,
    letter: FormatLetter,
) {
    let mut left = count as usize * size;
    while left > 0 {
        let mut line = vec![0; left.min(line_bytes(size))];
        let _ = write!(context.out, "{address:016x}:");
        if !read(context, space, address, &mut line) {
            context.out.push_str(" Cannot access memory\n");
            return;
        }
        for unit in line.chunks(size) {
            let value = unit.iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte));
            let _ = write!(context.out, " {}", unit_text(value, size, letter));
        }
        context.out.push('\n');
        left -= line.len();
        address = address.wrapping_add(line.len() as u64);
    }
}

fn instructions(context: &mut Context<'_>, space: Space, mut address: u64, count: u64) -> Outcome {
    let code_size = code_size(&current_cpu(context)?);
    for n in 0..count {
        let mut bytes = [0; MAX_INSN_BYTES];
        let length = (0..bytes.len())
            .find(|&i| !read(context, space, address.wrapping_add(i as u64), &mut bytes[i..=i]))
            .unwrap_or(bytes.len());
        let Some(line) = disassemble(address, &bytes[..length], code_size) else {
            let _ = writeln!(context.out, "{address:#010x}: unable to read memory");
            break;
        };
        // Names come where there are some: before the code of a symbol, and behind an instruction that
        // leads to one.
        let symbols = context.services.names.loaded().filter(|_| space == Space::Virtual);
        if let Some(place) = symbols.as_ref().and_then(|s| s.lookup(address))
            && (place.offset == 0 || n == 0)
        {
            let _ = writeln!(context.out, "{place}:");
        }
        context.out.push_str(&line.text);
        if let Some(name) = line.target.and_then(|target| symbols.as_ref()?.describe(target)) {
            let _ = write!(context.out, "  <{name}>");
        }
        context.out.push('\n');
        address = address.wrapping_add(line.length as u64);
    }
    Ok(())
}

fn read(context: &mut Context<'_>, space: Space, address: u64, bytes: &mut [u8]) -> bool {
    match space {
        Space::Virtual => context.control.read_virtual(context.settings.vcpu, address, bytes),
        Space::Physical => {
            context.control.read_physical(Gpa(address), bytes)
                || read_chip(context.control.machine(), address, bytes)
        }
    }
}

/// Reads the registers of a chip, from a copy of it: 32 bits at a time, as chips want it.
fn read_chip(machine: &mut Machine, address: u64, bytes: &mut [u8]) -> bool {
    let Some(end) = address.checked_add(bytes.len() as u64) else { return false };
    let chips = [
        (ECAM_BASE, ECAM_BYTES),
        (IOAPIC_BASE, CHIP_BYTES),
        (HPET_BASE, CHIP_BYTES),
        (LAPIC_BASE, CHIP_BYTES),
    ];
    if !chips.iter().any(|&(base, size)| base <= address && end <= base + size) {
        return false;
    }
    let now = machine.position().now_ns;
    let mut board = machine.board_copy();
    for (at, byte) in (address..end).zip(bytes) {
        let word = board.mmio_read(0, now, Gpa(at & !3), 4);
        *byte = (word >> (8 * (at & 3))) as u8;
    }
    true
}
