//! What is on the PCI bus, read from a copy of the configuration space (PCI Local Bus Specification
//! 3.0, section 6.1).

use crate::control::Control;
use dejavm_core::machine::board_pc::{Board, layout::ECAM_BASE};
use dejavm_core::mem::IoBus as _;
use dejavm_core::types::Gpa;

/// A device on bus 0, function 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its number on the bus.
    pub slot: u64,
    /// Who made it.
    pub vendor: u64,
    /// What the vendor calls it.
    pub device: u64,
    /// Class and subclass.
    pub class: u64,
    /// INTA# to INTD# as 1 to 4; 0: it has no interrupt.
    pub interrupt_pin: u64,
}

impl Device {
    /// What the class is called, if it has a name here.
    pub fn class_name(&self) -> Option<&'static str> {
        (self.class == 0x0600).then_some("Host bridge")
    }
}

/// The devices that answer.
pub fn devices(control: &mut dyn Control) -> Vec<Device> {
    let machine = control.machine();
    let now = machine.position().now_ns;
    let mut board = machine.board_copy();
    (0..32).filter_map(|slot| device(&mut board, now, slot)).collect()
}

fn device(board: &mut Board, now: u64, slot: u64) -> Option<Device> {
    let mut word = |offset: u64| board.mmio_read(0, now, Gpa(ECAM_BASE + (slot << 15) + offset), 4);
    let id = word(0);
    (id & 0xFFFF != 0xFFFF).then(|| Device {
        slot,
        vendor: id & 0xFFFF,
        device: id >> 16,
        class: word(8) >> 16,
        interrupt_pin: word(0x3C) >> 8 & 0xFF,
    })
}
