//! `info pci`: show PCI info.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use crate::pci;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command { names: &["pci"], parameters: "", about: "show PCI info", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    for device in pci::devices(context.control) {
        let pci::Device { slot, vendor, device: id, class, .. } = device;
        let class = device.class_name().map_or_else(|| format!("Class {class:04x}"), str::to_owned);
        let _ = writeln!(context.out, "  Bus  0, device {slot:3}, function 0:");
        let _ = writeln!(context.out, "    {class}: PCI device {vendor:04x}:{id:04x}");
    }
    Ok(())
}
