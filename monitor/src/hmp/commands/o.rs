//! `o`: I/O port write, by the door: a recording has it in its journal.

use super::super::Context;
use super::super::arguments::Arguments;
use super::super::memory_format::Format;
use super::{Command, Outcome, evaluate, word_value};
use dejavm_core::boundary::{Inbound, PortWrite};

pub(crate) const COMMAND: Command = Command {
    names: &["o"],
    parameters: "/fmt addr value",
    about: "I/O port write (a recording has it in its journal, a replay refuses it)",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let format = arguments.slash().map(Format::parse).transpose()?;
    let port = word_value(context, arguments)? as u16;
    let value = evaluate(context, arguments)? as u32;
    let (_, size) = context.settings.format(format);
    let size = size.min(4) as u8;
    Ok(context.control.inject(Inbound::PortWrite(PortWrite { port, size, value }))?)
}
