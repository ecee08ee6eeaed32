//! The host side of the door: the terminal, its keyboard, where serial output goes,
//! and the sockets of the gdb server.

pub mod gdb;
pub mod keyboard;
pub mod serial;
pub mod terminal;

use crossbeam_channel::Sender;
use dejavm_core::vcpu::Kicker;
use dejavm_monitor::transport::{Incoming, Protocol};
use std::sync::{Arc, Mutex};

/// Something that happened on the host while the machine ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostEvent {
    /// Bytes were typed, or came through a pipe.
    Input(Vec<u8>),
    /// Nothing more will be typed.
    InputEnded,
    /// A call waits: see [`gdb::Calls`].
    Call,
    /// The process was asked to end.
    Terminate,
    /// A dump that was written beside the run has ended.
    DumpEnded,
    /// Something happened at a monitor's socket, where this is spoken.
    Monitor(Protocol, Incoming),
    /// Something has come in for a serial port.
    Serial,
}

/// Tells the one who drives the machine what happened, and makes the machine stop to look.
#[derive(Clone)]
pub struct HostEvents {
    sender: Sender<HostEvent>,
    kicker: Arc<Mutex<Option<Kicker>>>,
}

impl HostEvents {
    /// Events go to `sender`; there is no machine to be kicked yet.
    pub fn new(sender: Sender<HostEvent>) -> Self {
        Self { sender, kicker: Arc::default() }
    }

    /// From now on it is this machine that stops for an event.
    pub fn set_kicker(&self, kicker: Kicker) {
        if let Ok(mut slot) = self.kicker.lock() {
            *slot = Some(kicker);
        }
    }

    /// Reports an event; false if nobody listens any more.
    pub fn send(&self, event: HostEvent) -> bool {
        let sent = self.sender.send(event).is_ok();
        self.kick();
        sent
    }

    /// Makes the machine stop to look.
    pub fn kick(&self) {
        if let Ok(slot) = self.kicker.lock()
            && let Some(kicker) = slot.as_ref()
        {
            kicker.kick();
        }
    }
}
