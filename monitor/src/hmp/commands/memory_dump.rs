//! What `x` and `xp` share: memory as units or as instructions.

use super::super::Context;
use super::super::arguments::Arguments;
use super::super::memory_format::{Format, FormatLetter, line_bytes, unit_text};
use super::super::registers::code_size;
use super::{Outcome, current_cpu, evaluate};
use crate::disassembly::{MAX_INSN_BYTES, disassemble};
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
    let format = format.unwrap_or(Format { count: 1, letter: None, size: None });
    let letter = format.letter.unwrap_or(context.settings.format);
    let address = evaluate(context, arguments)?;
    context.settings.format = letter;
    if letter == FormatLetter::Instruction {
        return instructions(context, space, address, format.count);
    }
    let size = format.size.unwrap_or(context.settings.size);
    context.settings.size = size;
    let size = if letter == FormatLetter::Character { 1 } else { size };
    units(context, space, address, format.count, size, letter);
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
    for _ in 0..count {
        let mut bytes = [0; MAX_INSN_BYTES];
        let length = (0..bytes.len())
            .find(|&i| !read(context, space, address.wrapping_add(i as u64), &mut bytes[i..=i]))
            .unwrap_or(bytes.len());
        let Some(line) = disassemble(address, &bytes[..length], code_size) else {
            let _ = writeln!(context.out, "{address:#010x}: unable to read memory");
            break;
        };
        let _ = writeln!(context.out, "{}", line.text);
        address = address.wrapping_add(line.length as u64);
    }
    Ok(())
}

fn read(context: &mut Context<'_>, space: Space, address: u64, bytes: &mut [u8]) -> bool {
    match space {
        Space::Virtual => context.control.read_virtual(context.settings.vcpu, address, bytes),
        Space::Physical => context.control.read_physical(Gpa(address), bytes),
    }
}
