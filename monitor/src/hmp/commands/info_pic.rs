//! `info pic`: show PIC state.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, Outcome};
use dejavm_core::machine::board_pc::{Board, layout::IOAPIC_BASE};
use dejavm_core::mem::IoBus as _;
use dejavm_core::types::{Gpa, VirtualNs};
use std::fmt::Write as _;

pub(crate) const COMMAND: Command = Command { names: &["pic"], parameters: "", about: "show PIC state", run };

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    arguments.end()?;
    let machine = context.control.machine();
    let now = machine.position().now_ns;
    let mut board = machine.board_copy();
    ioapic(&mut board, now, &mut context.out);
    for (n, pic) in board.pics().iter().enumerate().rev() {
        let _ = writeln!(
            context.out,
            "pic{n}: irr={:02x} imr={:02x} isr={:02x} hprio={} irq_base={:02x} rr_sel={} elcr={:02x} fnm={}",
            pic.irr,
            pic.imr,
            pic.isr,
            pic.priority_base,
            pic.vector_base,
            u8::from(pic.read_isr),
            pic.elcr,
            u8::from(pic.special_fully_nested),
        );
    }
    Ok(())
}

const PINS: u32 = 24;
const MODES: [&str; 8] = ["fixed", "lowest", "SMI", "...", "NMI", "INIT", "...", "ExtINT"];

fn register(board: &mut Board, now: VirtualNs, index: u32) -> u32 {
    board.mmio_write(0, now, Gpa(IOAPIC_BASE), 4, index.into());
    board.mmio_read(0, now, Gpa(IOAPIC_BASE + 0x10), 4) as u32
}

/// The I/O APIC, a line for each pin.
fn ioapic(board: &mut Board, now: VirtualNs, out: &mut String) {
    let selected = board.mmio_read(0, now, Gpa(IOAPIC_BASE), 4);
    let (id, version) = (register(board, now, 0) >> 24, register(board, now, 1) & 0xFF);
    let _ = write!(out, "ioapic0: ver={version:#x} id={id:#04x} sel={selected:#04x}");
    let _ = match selected {
        0x10..=0x3F => writeln!(out, " (redir[{}])", (selected - 0x10) / 2),
        _ => writeln!(out),
    };
    let mut remote = Vec::new();
    for pin in 0..PINS {
        let low = u64::from(register(board, now, 0x10 + 2 * pin));
        let entry = low | u64::from(register(board, now, 0x11 + 2 * pin)) << 32;
        let flag = |bit: u32, set: &'static str, clear: &'static str| {
            if entry >> bit & 1 != 0 { set } else { clear }
        };
        let _ = writeln!(
            out,
            "  pin {pin:<2} {entry:#018x} dest={:x} vec={:<3} {} {:<5} {:<6} {:<6} {}",
            entry >> 56,
            entry & 0xFF,
            flag(13, "active-lo", "active-hi"),
            flag(15, "level", "edge"),
            flag(16, "masked", ""),
            MODES[(entry >> 8 & 7) as usize],
            flag(11, "logical", "physical"),
        );
        if entry >> 14 & 1 != 0 {
            remote.push(pin.to_string());
        }
    }
    let lines = board.ioapic_lines();
    let asserted: Vec<_> = (0..PINS).filter(|pin| lines >> pin & 1 != 0).map(|pin| pin.to_string()).collect();
    let list = |pins: Vec<String>| if pins.is_empty() { "(none)".to_owned() } else { pins.join(" ") };
    let _ = writeln!(out, "  IRR      {}\n  Remote IRR {}", list(asserted), list(remote));
}
