//! `sum`: compute the checksum of a memory region (the one of BSD).

use super::super::Context;
use super::super::arguments::Arguments;
use super::CommandError;
use super::word_value;
use super::{Command, Outcome};
use dejavm_core::types::Gpa;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command {
    names: &["sum"],
    parameters: "addr size",
    about: "compute the checksum of a memory region",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let address = word_value(context, arguments)?;
    let size = word_value(context, arguments)?;
    arguments.end()?;
    if address > u64::from(u32::MAX) || size > u64::from(u32::MAX) {
        return Err(CommandError::Usage("'sum' has failed: integer is for 32-bit values".into()));
    }
    let mut sum = 0u16;
    for offset in 0..size {
        let mut byte = [0];
        // What is not RAM counts as zero.
        context.control.read_physical(Gpa(address + offset), &mut byte);
        sum = sum.rotate_right(1).wrapping_add(byte[0].into());
    }
    let _ = writeln!(context.out, "{sum:05}");
    Ok(())
}
