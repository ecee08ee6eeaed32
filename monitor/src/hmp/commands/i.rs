//! `i`: I/O port read, of a copy of the machine, so that the guest does not notice.

use super::super::Context;
use super::super::arguments::Arguments;
use super::super::memory_format::Format;
use super::evaluate;
use super::{Command, Outcome};
use dejavm_core::mem::IoBus as _;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command {
    names: &["i"],
    parameters: "/fmt addr",
    about: "I/O port read (of a copy of the machine: it changes nothing)",
    run,
};

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let format = arguments.slash().map(Format::parse).transpose()?;
    let port = evaluate(context, arguments)? as u16;
    let (_, size) = context.settings.format(format);
    let (suffix, size) = match size {
        1 => ('b', 1u8),
        2 => ('w', 2),
        _ => ('l', 4),
    };
    let vcpu = context.settings.vcpu;
    let machine = context.control.machine();
    let now = machine.position().now_ns;
    let value = machine.board_copy().pio_read(vcpu, now, port, size);
    let digits = usize::from(size) * 2;
    let _ = writeln!(context.out, "port{suffix}[{port:#06x}] = {value:#0width$x}", width = digits + 2);
    Ok(())
}
