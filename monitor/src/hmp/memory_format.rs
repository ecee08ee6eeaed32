//! `/fmt` of `x`, `xp` and `print`: count, format letter, unit size; and memory as text.

use super::commands::CommandError;
use std::fmt::Write as _;

/// How a value is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FormatLetter {
    /// `x`
    Hex,
    /// `d`
    Decimal,
    /// `u`
    Unsigned,
    /// `o`
    Octal,
    /// `c`
    Character,
    /// `i`
    Instruction,
}

/// What a `/fmt` says; what it leaves out stays as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pub count: u64,
    pub letter: Option<FormatLetter>,
    pub size: Option<usize>,
}

/// The most that one command shows.
const MAX_COUNT: u64 = 1 << 16;

impl Format {
    /// Reads what follows the slash.
    pub fn parse(text: &str) -> Result<Self, CommandError> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let count = match &text[..digits] {
            "" => 1,
            number => number.parse().unwrap_or(MAX_COUNT).min(MAX_COUNT),
        };
        let mut format = Self { count, letter: None, size: None };
        for c in text[digits..].chars() {
            format.apply(c)?;
        }
        Ok(format)
    }

    fn apply(&mut self, c: char) -> Result<(), CommandError> {
        match c {
            'x' => self.letter = Some(FormatLetter::Hex),
            'd' => self.letter = Some(FormatLetter::Decimal),
            'u' => self.letter = Some(FormatLetter::Unsigned),
            'o' => self.letter = Some(FormatLetter::Octal),
            'c' => self.letter = Some(FormatLetter::Character),
            'i' => self.letter = Some(FormatLetter::Instruction),
            'b' => self.size = Some(1),
            'h' => self.size = Some(2),
            'w' => self.size = Some(4),
            'g' | 'L' => self.size = Some(8),
            other => return Err(CommandError::Usage(format!("invalid char in format: '{other}'"))),
        }
        Ok(())
    }
}

/// Bytes per line of a dump in units of `size`.
pub(crate) fn line_bytes(size: usize) -> usize {
    if size == 1 { 8 } else { 16 }
}

/// A unit in a dump: as wide as the widest of its size, so that columns line up.
pub(crate) fn unit_text(value: u64, size: usize, letter: FormatLetter) -> String {
    let bits = size * 8;
    match letter {
        FormatLetter::Hex => format!("0x{value:0width$x}", width = bits / 4),
        FormatLetter::Octal => format!("{:>width$}", octal(value), width = bits.div_ceil(3)),
        FormatLetter::Decimal if size == 8 => {
            format!("{:>width$}", value as i64, width = (bits * 10).div_ceil(33))
        }
        FormatLetter::Decimal | FormatLetter::Unsigned => {
            format!("{value:>width$}", width = (bits * 10).div_ceil(33))
        }
        FormatLetter::Character => character(value as u8),
        FormatLetter::Instruction => unreachable!("instructions are not units"),
    }
}

/// A value as `print` shows it.
pub(crate) fn value_text(value: u64, letter: FormatLetter) -> String {
    match letter {
        FormatLetter::Hex => format!("{value:#x}"),
        FormatLetter::Octal => octal(value),
        FormatLetter::Unsigned => value.to_string(),
        FormatLetter::Decimal | FormatLetter::Instruction => (value as i64).to_string(),
        FormatLetter::Character => character(value as u8),
    }
}

fn octal(value: u64) -> String {
    if value == 0 { "0".into() } else { format!("0{value:o}") }
}

fn character(byte: u8) -> String {
    let mut text = String::from("'");
    match byte {
        b'\'' => text.push_str("\\'"),
        b'\\' => text.push_str("\\\\"),
        b'\n' => text.push_str("\\n"),
        b'\r' => text.push_str("\\r"),
        0x20..=0x7E => text.push(char::from(byte)),
        _ => {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text.push('\'');
    text
}
