//! `info roms`: show roms: what is loaded into RAM at power-on and at each reset.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, CommandError, Outcome};
use dejavm_core::machine::boot::loaded_images;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command { names: &["roms"], parameters: "", about: "show roms", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let machine = context.control.machine();
    let images = loaded_images(machine.config(), machine.images());
    for image in images.map_err(|e| CommandError::Refused(format!("Error: {e}")))? {
        let _ = writeln!(
            context.out,
            "addr={:016x} size={:#08x} mem=ram name=\"{}\"",
            image.address, image.bytes, image.name
        );
    }
    Ok(())
}
