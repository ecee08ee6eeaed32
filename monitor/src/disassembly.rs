//! Instructions as text, in the AT&T syntax and the columns of QEMU's `x/i`.

use dejavm_core::cpu::state::CodeSize;
use iced_x86::{Decoder, DecoderOptions, Formatter, GasFormatter, Instruction};
use std::fmt::Write as _;

/// The longest instruction, in bytes.
pub const MAX_INSN_BYTES: usize = 15;
/// How many bytes of an instruction stand in one line.
const BYTES_PER_LINE: usize = 8;

/// One decoded instruction: its line (or lines) and its length in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The text, without a line end.
    pub text: String,
    /// The length of the instruction, in bytes.
    pub length: usize,
    /// Where it jumps or calls to, if it says so itself; or else the place of its operand, if that is
    /// relative to the instruction.
    pub target: Option<u64>,
}

/// Disassembles the instruction that `bytes` start with; `None` if they are too few for it.
pub fn disassemble(address: u64, bytes: &[u8], code_size: CodeSize) -> Option<Line> {
    let mut decoder = Decoder::with_ip(code_size as u32, bytes, address, DecoderOptions::AMD);
    let insn = decoder.decode();
    let length = insn.len();
    if length == 0 || (insn.is_invalid() && decoder.last_error() == iced_x86::DecoderError::NoMoreBytes) {
        return None;
    }
    let mut text = format!("{address:#010x}: ");
    for group in bytes[..length].chunks(BYTES_PER_LINE).enumerate() {
        push_bytes(&mut text, address, group);
        if group.0 == 0 {
            let padding = 3 * (BYTES_PER_LINE - group.1.len()) + 2;
            let _ = write!(text, "{:padding$}{}", "", instruction_text(&insn));
        }
    }
    let branch = insn.near_branch_target();
    let target = if branch != 0 {
        Some(branch)
    } else {
        insn.is_ip_rel_memory_operand().then(|| insn.ip_rel_memory_address())
    };
    Some(Line { text, length, target })
}

fn push_bytes(text: &mut String, address: u64, (index, bytes): (usize, &[u8])) {
    if index > 0 {
        let _ = write!(text, "\n{:#010x}: ", address + (index * BYTES_PER_LINE) as u64);
    }
    for byte in bytes {
        let _ = write!(text, " {byte:02x}");
    }
}

/// Only the instruction: mnemonic and operands.
pub fn instruction_text(insn: &Instruction) -> String {
    let mut formatter = GasFormatter::new();
    let options = formatter.options_mut();
    options.set_first_operand_char_index(9);
    options.set_space_after_operand_separator(true);
    options.set_gas_show_mnemonic_size_suffix(true);
    options.set_uppercase_hex(false);
    options.set_branch_leading_zeros(false);
    options.set_show_branch_size(false);
    let mut text = String::new();
    formatter.format(insn, &mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(address: u64, bytes: &[u8], code_size: CodeSize) -> String {
        disassemble(address, bytes, code_size).unwrap().text
    }

    #[test]
    fn columns_are_those_of_qemu() {
        assert_eq!(
            line(0xffff_ffff_b58c_f801, &[0x48, 0x89, 0x83, 0xC0, 9, 0, 0], CodeSize::Bits64),
            "0xffffffffb58cf801:  48 89 83 c0 09 00 00     movq     %rax, 0x9c0(%rbx)"
        );
        assert_eq!(
            line(0xffff_ffff_b58c_f808, &[0xF6, 0x41, 0x2C, 2], CodeSize::Bits64),
            "0xffffffffb58cf808:  f6 41 2c 02              testb    $2, 0x2c(%rcx)"
        );
        assert_eq!(
            line(0xffff_ffff_b58c_f80c, &[0x75, 0x6A], CodeSize::Bits64),
            "0xffffffffb58cf80c:  75 6a                    jne      0xffffffffb58cf878"
        );
    }

    #[test]
    fn a_long_instruction_takes_two_lines() {
        let bytes = [0x48, 0xB8, 1, 2, 3, 4, 5, 6, 7, 8];
        let text = line(0x1000, &bytes, CodeSize::Bits64);
        assert_eq!(
            text,
            "0x00001000:  48 b8 01 02 03 04 05 06  movabsq  $0x807060504030201, %rax\n0x00001008:  07 08"
        );
    }

    #[test]
    fn too_few_bytes_are_no_instruction() {
        assert_eq!(disassemble(0, &[0x48, 0x89], CodeSize::Bits64), None);
        assert_eq!(disassemble(0, &[], CodeSize::Bits64), None);
    }
}
