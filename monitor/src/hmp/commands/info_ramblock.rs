//! `info ramblock`: Display system ramblock information.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use std::fmt::Write as _;

pub(crate) const COMMAND: Command =
    Command { names: &["ramblock"], parameters: "", about: "Display system ramblock information", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let memory = context.control.machine().memory();
    let (bytes, host) = (memory.bytes(), memory.ram.slice(0, 1).as_ptr());
    let _ = writeln!(
        context.out,
        "{:>24} {:>8} {:>18} {:>18} {:>18} {:>18} {:>3}",
        "Block Name", "PSize", "Offset", "Used", "Total", "HVA", "RO"
    );
    let _ = writeln!(
        context.out,
        "{:>24} {:>8} {:#018x} {bytes:#018x} {bytes:#018x} {:#018x} {:>3}",
        "pc.ram",
        "4 KiB",
        0,
        host.addr(),
        "rw"
    );
    Ok(())
}
