//! The body of an events chunk: what came in during a stretch of the run, and the state hash
//! at its end.

use super::Step;
use crate::journal::ChunkHash;
use crate::journal::error::{Damage, Place};
use crate::journal::frame::in_order;
use crate::journal::limits::MAX_EVENT_BYTES;
use dejavm_core::boundary::{Inbound, Position};
use serde::{Deserialize, Serialize};

/// An inbound event, and how far it is from the one before (the first: from the chunk's start).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::journal) struct EventRecord {
    pub step: Step,
    pub event: Inbound,
}

/// The body as it is encoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::journal) struct EventsBody {
    pub events: Vec<EventRecord>,
    pub hash: ChunkHash,
}

/// A stretch of a run, as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsChunk {
    /// The chunk that held it.
    pub place: Place,
    /// Where it begins.
    pub first: Position,
    /// Where it ends, and `hash` was taken.
    pub last: Position,
    /// What came in, in order.
    pub events: Vec<(Position, Inbound)>,
    /// The state at `last`, after the events at `last`.
    pub hash: ChunkHash,
}

impl EventsBody {
    /// The body with absolute positions, checked: all events within `first` and `last`.
    pub fn resolve(
        self,
        place: Place,
        first: Position,
        last: Position,
        parts: usize,
    ) -> Result<EventsChunk, Damage> {
        if self.hash.parts.len() != parts {
            return Err(Damage::Value("a state hash with another number of parts than the header names"));
        }
        let mut at = first;
        let mut events = Vec::with_capacity(self.events.len());
        for record in self.events {
            at = record.step.after(at)?;
            if !in_order(at, last) {
                return Err(Damage::Order(at));
            }
            if let Inbound::PortWrite(write) = &record.event
                && !write.is_possible()
            {
                return Err(Damage::Value("a write to a port of a size that no CPU can write"));
            }
            if payload_len(&record.event) > MAX_EVENT_BYTES {
                return Err(Damage::Value("an event with too many bytes"));
            }
            events.push((at, record.event));
        }
        Ok(EventsChunk { place, first, last, events, hash: self.hash })
    }
}

/// How many bytes of any length an event carries.
pub(in crate::journal) fn payload_len(event: &Inbound) -> usize {
    match event {
        Inbound::Serial { port: _, bytes } => bytes.len(),
        Inbound::Keyboard { scan_codes } => scan_codes.len(),
        Inbound::Debugger(write) => write.change.size(),
        Inbound::SerialBreak { port: _ }
        | Inbound::Reset
        | Inbound::PowerButton
        | Inbound::Nmi
        | Inbound::PortWrite(_) => 0,
    }
}
