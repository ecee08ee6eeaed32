//! What the monitors of one program share besides the run.

use crate::chardev::Chardevs;
use crate::control::{Control, RunEvent};
use crate::descriptors::Descriptors;
use crate::hmp::Words;
use crate::names::Names;
use crate::profile::Profile;
use dejavm_trace::event::Registry;
use std::cell::{Cell, RefCell};
use std::path::Path;
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
    /// Writes the log, and the trace events that go with it, into a file from now on; to stderr
    /// without one.
    ///
    /// # Errors
    /// If the file cannot be made; then all stays as it was.
    fn set_file(&self, path: Option<&Path>) -> Result<(), String>;
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
    pub chardevs: Arc<Chardevs>,
    /// What clients passed.
    pub descriptors: RefCell<Descriptors>,
    /// Names of addresses.
    pub names: Names,
    /// Where the host's time goes.
    pub profile: Arc<Profile>,
    /// What a watchdog would do.
    pub watchdog_action: RefCell<String>,
    /// What lines are completed with.
    pub words: Arc<Words>,
    /// The trace events that `log` has switched on.
    pub logged_events: RefCell<Vec<&'static str>>,
    /// A translator is there that `one-insn-per-tb` has put to rest.
    pub translator_rests: Cell<bool>,
}

impl Services {
    /// What happened to the run, and beside it, since the last call.
    pub fn take_events(&self, control: &mut dyn Control) -> Vec<RunEvent> {
        let names = control.marks().map(|marks| marks.keys().cloned().collect());
        self.words.take(names.unwrap_or_default(), self.names.loaded());
        let mut events = control.take_events();
        events.extend(self.dumps.take_ended().map(RunEvent::DumpCompleted));
        events
    }

    /// With no character devices yet, and no file descriptors.
    pub fn new(trace: Arc<Registry>, log: Box<dyn LogControl>, identity: Identity) -> Self {
        let chardevs: Arc<Chardevs> = Arc::default();
        Self {
            trace,
            log,
            dumps: Default::default(),
            linux: Default::default(),
            identity,
            words: Arc::new(Words::new(chardevs.clone())),
            chardevs,
            descriptors: RefCell::default(),
            names: Names::default(),
            profile: Arc::default(),
            watchdog_action: RefCell::new("reset".into()),
            logged_events: RefCell::default(),
            translator_rests: Cell::new(false),
        }
    }
}
