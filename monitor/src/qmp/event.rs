//! Events as QMP tells them.

use super::commands::dump;
use super::schema::{Member, Type, optional, required};
use crate::control::{Arrival, RunEvent};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// The events that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The machine stands still.
    Stop,
    /// The machine goes on.
    Resume,
    /// The run ends.
    Shutdown,
    /// The machine was reset.
    Reset,
    /// The power button was pressed.
    Powerdown,
    /// The guest's kernel says that it panicked.
    GuestPanicked,
    /// A dump of guest memory is complete, or has failed.
    DumpCompleted,
    /// A replay came to a place and stands there.
    ReplayArrived,
}

/// All of them.
pub const EVENTS: &[EventKind] = &[
    EventKind::Stop,
    EventKind::Resume,
    EventKind::Shutdown,
    EventKind::Reset,
    EventKind::Powerdown,
    EventKind::GuestPanicked,
    EventKind::DumpCompleted,
    EventKind::ReplayArrived,
];

const CAUSE: &[Member] = &[
    required("guest", Type::Bool),
    required(
        "reason",
        Type::Enum(&[
            "host-qmp-quit",
            "host-qmp-system-reset",
            "host-signal",
            "host-ui",
            "guest-shutdown",
            "guest-reset",
            "guest-panic",
        ]),
    ),
];

const ARRIVAL: &[Member] =
    &[required("icount", Type::Int), required("reason", Type::Enum(&["seek", "breakpoint", "end"]))];

const PANIC: &[Member] = &[required("action", Type::Enum(&["run"]))];

const DUMP: &[Member] = &[required("result", dump::STATUS), optional("error", Type::Str)];

impl EventKind {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stop => "STOP",
            Self::Resume => "RESUME",
            Self::Shutdown => "SHUTDOWN",
            Self::Reset => "RESET",
            Self::Powerdown => "POWERDOWN",
            Self::GuestPanicked => "GUEST_PANICKED",
            Self::DumpCompleted => "DUMP_COMPLETED",
            Self::ReplayArrived => "REPLAY_ARRIVED",
        }
    }

    /// The members of its data.
    pub fn data(self) -> &'static [Member] {
        match self {
            Self::Stop | Self::Resume | Self::Powerdown => &[],
            Self::Shutdown | Self::Reset => CAUSE,
            Self::DumpCompleted => DUMP,
            Self::ReplayArrived => ARRIVAL,
            Self::GuestPanicked => PANIC,
        }
    }
}

/// The kind of an event, and its data.
pub fn describe(event: &RunEvent) -> (EventKind, Option<Value>) {
    match event {
        RunEvent::Stop => (EventKind::Stop, None),
        RunEvent::Resume => (EventKind::Resume, None),
        RunEvent::Powerdown => (EventKind::Powerdown, None),
        RunEvent::GuestPanicked => (EventKind::GuestPanicked, Some(json!({"action": "run"}))),
        RunEvent::Shutdown { guest, reason } => {
            (EventKind::Shutdown, Some(json!({"guest": guest, "reason": reason})))
        }
        RunEvent::Reset { guest, reason } => {
            (EventKind::Reset, Some(json!({"guest": guest, "reason": reason})))
        }
        RunEvent::DumpCompleted(status) => {
            let mut data = json!({"result": dump::status(status)});
            if let Some(error) = &status.error {
                data["error"] = json!(error);
            }
            (EventKind::DumpCompleted, Some(data))
        }
        RunEvent::Arrived { icount, why } => {
            let reason = match why {
                Arrival::Seek => "seek",
                Arrival::Breakpoint => "breakpoint",
                Arrival::End => "end",
            };
            (EventKind::ReplayArrived, Some(json!({"icount": icount, "reason": reason})))
        }
    }
}

/// The event as it is sent, with the time of now.
pub fn message(event: &RunEvent) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (kind, data) = describe(event);
    let mut message = json!({
        "timestamp": {"seconds": now.as_secs(), "microseconds": now.subsec_micros()},
        "event": kind.name(),
    });
    if let Some(data) = data {
        message["data"] = data;
    }
    message
}

#[cfg(test)]
mod tests {
    use super::super::schema::check_arguments;
    use super::*;
    use crate::dump::Status;

    #[test]
    fn data_is_what_the_schema_says() {
        for event in [
            RunEvent::Stop,
            RunEvent::GuestPanicked,
            RunEvent::Shutdown { guest: false, reason: "host-qmp-quit" },
            RunEvent::Reset { guest: true, reason: "guest-reset" },
            RunEvent::DumpCompleted(Status { error: Some("full".into()), ..Status::default() }),
            RunEvent::Arrived { icount: 5, why: Arrival::Breakpoint },
        ] {
            let (kind, data) = describe(&event);
            let data = data.unwrap_or_else(|| json!({}));
            assert_eq!(check_arguments(kind.data(), data.as_object().unwrap()), Ok(()), "{event:?}");
        }
    }
}
