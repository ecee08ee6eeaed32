//! `info pci`: show PCI info.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use dejavm_core::machine::board_pc::{Board, layout::ECAM_BASE};
use dejavm_core::mem::IoBus as _;
use dejavm_core::types::Gpa;
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command { names: &["pci"], parameters: "", about: "show PCI info", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let machine = context.control.machine();
    let now = machine.position().now_ns;
    let mut board = machine.board_copy();
    for device in 0..32u64 {
        let word = |board: &mut Board, offset: u64| {
            board.mmio_read(0, now, Gpa(ECAM_BASE + (device << 15) + offset), 4)
        };
        let id = word(&mut board, 0);
        if id & 0xFFFF == 0xFFFF {
            continue;
        }
        let class = match word(&mut board, 8) >> 16 {
            0x0600 => "Host bridge".to_owned(),
            class => format!("Class {class:04x}"),
        };
        let _ = writeln!(context.out, "  Bus  0, device {device:3}, function 0:");
        let _ = writeln!(context.out, "    {class}: PCI device {:04x}:{:04x}", id & 0xFFFF, id >> 16);
    }
    Ok(())
}
