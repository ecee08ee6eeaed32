//! What the monitors of one program share besides the run.

use crate::control::{Control, RunEvent};
use dejavm_trace::event::Registry;
use std::cell::RefCell;
use std::sync::Arc;

/// Changes what the program logs about itself.
pub trait LogControl: Send {
    /// Takes a filter in the syntax of `tracing-subscriber` (`info`, `dejavm_core=debug`), or `off`.
    ///
    /// # Errors
    /// What is wrong with the filter.
    fn set_filter(&self, filter: &str) -> Result<(), String>;
    /// The filter now.
    fn filter(&self) -> String;
}

/// What the machine is called, as the user gave it.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Its name (`-name`).
    pub name: Option<String>,
    /// Its UUID (`-uuid`), of 16 bytes; all zero if none was given.
    pub uuid: [u8; 16],
}

impl Identity {
    /// The UUID in its usual groups.
    pub fn uuid_text(&self) -> String {
        let hex: String = self.uuid.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

/// A character device: where a serial port or a monitor is on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chardev {
    /// Its name.
    pub label: String,
    /// What it is, as QEMU writes it.
    pub filename: String,
    /// Whether someone uses it.
    pub open: bool,
}

/// What the monitors of one program share besides the run.
pub struct Services {
    /// The trace events.
    pub trace: Arc<Registry>,
    /// The program's log.
    pub log: Box<dyn LogControl>,
    /// Dumps of guest memory.
    pub dumps: crate::dump::Jobs,
    /// The guest's kernel, if it is Linux.
    pub linux: crate::linux::LinuxGuest,
    /// What the machine is called.
    pub identity: Identity,
    /// Where serial ports and monitors are.
    pub chardevs: RefCell<Vec<Chardev>>,
}

impl Services {
    /// What happened to the run, and beside it, since the last call.
    pub fn take_events(&self, control: &mut dyn Control) -> Vec<RunEvent> {
        let mut events = control.take_events();
        events.extend(self.dumps.take_ended().map(RunEvent::DumpCompleted));
        events
    }

    /// With no character devices yet.
    pub fn new(trace: Arc<Registry>, log: Box<dyn LogControl>, identity: Identity) -> Self {
        Self {
            trace,
            log,
            dumps: Default::default(),
            linux: Default::default(),
            identity,
            chardevs: RefCell::default(),
        }
    }
}
