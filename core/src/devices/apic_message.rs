//! What travels between APICs: IPIs, I/O APIC messages, MSIs (SDM vol. 3, 11.6 and 11.11).

use serde::{Deserialize, Serialize};

/// How a message acts on its target (ICR bits 10:8, I/O APIC entries bits 10:8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliveryMode {
    /// The vector goes to every target.
    Fixed,
    /// The vector goes to the target that does the least important work.
    LowestPriority,
    /// System management interrupt: this machine has no SMM, so nothing happens.
    Smi,
    /// Reserved encoding: nothing happens.
    Reserved,
    /// Non-maskable interrupt.
    Nmi,
    /// Reset of the target to waiting for start-up.
    Init,
    /// Start-up at vector * 4096.
    StartUp,
    /// The vector comes from the 8259.
    ExtInt,
}

impl DeliveryMode {
    /// The mode of a 3-bit field.
    pub fn from_bits(bits: u32) -> Self {
        [
            Self::Fixed,
            Self::LowestPriority,
            Self::Smi,
            Self::Reserved,
            Self::Nmi,
            Self::Init,
            Self::StartUp,
            Self::ExtInt,
        ][bits as usize & 7]
    }
}

/// To whom a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The local APIC with this ID (FFh or FFFF_FFFFh: all).
    Physical(u32),
    /// Those whose logical ID matches.
    Logical(u32),
    /// The sender.
    SelfOnly,
    /// All, the sender included.
    All,
    /// All but the sender.
    Others,
}

/// A message on the APIC bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApicMessage {
    /// The vector.
    pub vector: u8,
    /// How it acts.
    pub mode: DeliveryMode,
    /// To whom it goes.
    pub destination: Destination,
    /// Level-triggered: the EOI must be told to the I/O APIC.
    pub level: bool,
}
