//! The registry of trace events: name, typed arguments, on or off.
//!
//! An event that is off costs one relaxed load; its arguments are not even computed.

use crate::filter::glob_matches;
use crate::sink::Sink;
use dejavm_core::boundary::Position;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// The type of an argument of a trace event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentType {
    /// An unsigned number.
    U64,
    /// Text.
    Text,
}

/// The value of an argument of a trace event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// An unsigned number.
    U64(u64),
    /// Text.
    Text(String),
}

/// What an event is called and what comes with it.
#[derive(Debug)]
pub struct Description {
    /// The name, as `trace-event NAME on` has it.
    pub name: &'static str,
    /// Its arguments, in order.
    pub arguments: &'static [(&'static str, ArgumentType)],
    /// When it happens.
    pub about: &'static str,
}

/// The events that exist: the index into [`DESCRIPTIONS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum EventId {
    /// `cpu_exception`
    CpuException,
    /// `cpu_interrupt`
    CpuInterrupt,
    /// `cpu_nmi`
    CpuNmi,
    /// `inbound_event`
    InboundEvent,
    /// `uart_write`
    UartWrite,
    /// `debug_console_write`
    DebugConsoleWrite,
    /// `guest_panic`
    GuestPanic,
    /// `machine_reset`
    MachineReset,
    /// `machine_power_off`
    MachinePowerOff,
    /// `debug_exit`
    DebugExit,
}

/// All events, in the order of [`EventId`].
pub const DESCRIPTIONS: &[Description] = &[
    Description {
        name: "cpu_exception",
        arguments: &[
            ("vcpu", ArgumentType::U64),
            ("vector", ArgumentType::U64),
            ("error_code", ArgumentType::U64),
            ("rip", ArgumentType::U64),
            ("address", ArgumentType::U64),
        ],
        about: "an exception is delivered",
    },
    Description {
        name: "cpu_interrupt",
        arguments: &[("vcpu", ArgumentType::U64), ("vector", ArgumentType::U64), ("rip", ArgumentType::U64)],
        about: "an external interrupt is delivered before the instruction at rip",
    },
    Description {
        name: "cpu_nmi",
        arguments: &[("vcpu", ArgumentType::U64), ("rip", ArgumentType::U64)],
        about: "a non-maskable interrupt is delivered before the instruction at rip",
    },
    Description {
        name: "inbound_event",
        arguments: &[("class", ArgumentType::Text), ("size_bytes", ArgumentType::U64)],
        about: "something came in through the door",
    },
    Description {
        name: "uart_write",
        arguments: &[("port", ArgumentType::U64), ("byte", ArgumentType::U64)],
        about: "a UART sent a byte, in the stretch of the run that ends here",
    },
    Description {
        name: "debug_console_write",
        arguments: &[("byte", ArgumentType::U64)],
        about: "a byte was written to port E9h",
    },
    Description {
        name: "guest_panic",
        arguments: &[("events", ArgumentType::U64)],
        about: "the guest's kernel said that it panicked: bit 0, or bit 1 if a crash kernel takes over",
    },
    Description {
        name: "machine_reset",
        arguments: &[("cause", ArgumentType::Text)],
        about: "the machine was reset",
    },
    Description { name: "machine_power_off", arguments: &[], about: "the machine went off" },
    Description {
        name: "debug_exit",
        arguments: &[("code", ArgumentType::U64)],
        about: "the guest ended the run through the debug-exit port",
    },
];

/// No event of that name or pattern.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown event \"{0}\"")]
pub struct UnknownEvent(pub String);

/// Which events are on, and where they are written.
pub struct Registry {
    enabled: Vec<AtomicBool>,
    sink: Mutex<Box<dyn Sink>>,
}

impl Registry {
    /// All events off, to be written to `sink` once they are on.
    pub fn new(sink: Box<dyn Sink>) -> Self {
        let enabled = DESCRIPTIONS.iter().map(|_| AtomicBool::new(false)).collect();
        Self { enabled, sink: Mutex::new(sink) }
    }

    /// Whether an event is on.
    #[inline]
    pub fn enabled(&self, id: EventId) -> bool {
        self.enabled[id as usize].load(Ordering::Relaxed)
    }

    /// Name and state of the events that match a pattern; all of them without one.
    ///
    /// # Errors
    /// If a name without `*` or `?` is no event.
    pub fn list(&self, pattern: Option<&str>) -> Result<Vec<(&'static str, bool)>, UnknownEvent> {
        let matching = self.matching(pattern.unwrap_or("*"))?;
        Ok(matching.into_iter().map(|i| (DESCRIPTIONS[i].name, self.state(i))).collect())
    }

    /// Switches the events that match a pattern.
    ///
    /// # Errors
    /// If a name without `*` or `?` is no event.
    pub fn set(&self, pattern: &str, on: bool) -> Result<(), UnknownEvent> {
        for i in self.matching(pattern)? {
            self.enabled[i].store(on, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Writes an event if it is on; `arguments` is called only then.
    #[inline]
    pub fn emit(&self, id: EventId, at: Position, arguments: impl FnOnce() -> Vec<Value>) {
        if self.enabled(id) {
            self.write(id, at, &arguments());
        }
    }

    fn write(&self, id: EventId, at: Position, values: &[Value]) {
        let description = &DESCRIPTIONS[id as usize];
        assert_eq!(values.len(), description.arguments.len(), "arguments of {}", description.name);
        if let Ok(mut sink) = self.sink.lock() {
            sink.write(description, at, values);
        }
    }

    fn state(&self, index: usize) -> bool {
        self.enabled[index].load(Ordering::Relaxed)
    }

    fn matching(&self, pattern: &str) -> Result<Vec<usize>, UnknownEvent> {
        let found: Vec<usize> =
            (0..DESCRIPTIONS.len()).filter(|&i| glob_matches(pattern, DESCRIPTIONS[i].name)).collect();
        if found.is_empty() && !pattern.contains(['*', '?']) {
            return Err(UnknownEvent(pattern.to_owned()));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[derive(Default, Clone)]
    struct Lines(Arc<Mutex<Vec<String>>>);
    impl Sink for Lines {
        fn write(&mut self, event: &Description, at: Position, values: &[Value]) {
            self.0.lock().unwrap().push(crate::sink::text_line(event, at, values));
        }
    }

    #[test]
    fn only_events_that_are_on_compute_their_arguments() {
        let lines = Lines::default();
        let registry = Registry::new(Box::new(lines.clone()));
        let at = Position { icount: 7, now_ns: 9 };
        registry.emit(EventId::UartWrite, at, || panic!("computed though off"));
        registry.set("uart_*", true).unwrap();
        registry.emit(EventId::UartWrite, at, || vec![Value::U64(0), Value::U64(65)]);
        assert_eq!(*lines.0.lock().unwrap(), ["7 uart_write port=0x0 byte=0x41"]);
    }

    #[test]
    fn an_unknown_name_is_an_error_and_an_empty_pattern_match_is_not() {
        let registry = Registry::new(Box::new(Lines::default()));
        assert_eq!(registry.set("nosuch", true), Err(UnknownEvent("nosuch".into())));
        assert_eq!(registry.set("nosuch*", true), Ok(()));
        assert_eq!(registry.list(Some("uart_write")).unwrap(), [("uart_write", false)]);
        assert_eq!(registry.list(None).unwrap().len(), DESCRIPTIONS.len());
    }

    #[test]
    fn ids_and_descriptions_are_in_the_same_order() {
        assert_eq!(DESCRIPTIONS[EventId::InboundEvent as usize].name, "inbound_event");
        assert_eq!(DESCRIPTIONS[EventId::MachineReset as usize].name, "machine_reset");
        assert_eq!(DESCRIPTIONS[EventId::DebugExit as usize].name, "debug_exit");
        assert_eq!(DESCRIPTIONS.len(), EventId::DebugExit as usize + 1);
    }
}
