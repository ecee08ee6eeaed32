//! QEMU's simpletrace, version 4 (docs/devel/tracing.rst there): a header, a record that names each
//! event, then the events. All numbers are little-endian.
//!
//! Each event has two arguments before its own: `icount`, and `vcpu` (all ones: none). The reader
//! wants a file that describes the events: [`events_file`].

use crate::event::{ArgumentType, Value, Values, all};
use dejavm_core::boundary::ProbeRecord;
use std::fmt::Write;

const HEADER_ID: u64 = u64::MAX;
const MAGIC: u64 = 0xF2B1_77CB_0AA4_29B4;
const VERSION: u64 = 4;
const MAPPING: u64 = 0;
const EVENT: u64 = 1;
/// Event, time, length and process of a record.
const RECORD_HEADER_BYTES: usize = 24;

/// The header and the names.
pub fn begin() -> Vec<u8> {
    let mut out = Vec::new();
    for number in [HEADER_ID, MAGIC, VERSION] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    for (id, event) in (0u64..).zip(all()) {
        out.extend_from_slice(&MAPPING.to_le_bytes());
        out.extend_from_slice(&id.to_le_bytes());
        put_text(&mut out, &event.name);
    }
    out
}

/// Event records.
pub fn encode(records: &[ProbeRecord]) -> Vec<u8> {
    let mut out = Vec::with_capacity(records.len() * 64);
    for record in records {
        let mut arguments = Vec::with_capacity(80);
        arguments.extend_from_slice(&record.position.icount.to_le_bytes());
        arguments.extend_from_slice(&record.vcpu.map_or(u64::MAX, u64::from).to_le_bytes());
        for value in Values::of(&record.event).iter() {
            match value {
                Value::U64(v) => arguments.extend_from_slice(&v.to_le_bytes()),
                Value::Text(v) => put_text(&mut arguments, v),
            }
        }
        out.extend_from_slice(&EVENT.to_le_bytes());
        out.extend_from_slice(&(record.event.kind().index() as u64).to_le_bytes());
        out.extend_from_slice(&record.position.now_ns.to_le_bytes());
        out.extend_from_slice(&((RECORD_HEADER_BYTES + arguments.len()) as u32).to_le_bytes());
        out.extend_from_slice(&0u32.to_le_bytes());
        out.extend_from_slice(&arguments);
    }
    out
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// The description of all events that simpletrace.py wants, in the syntax of QEMU's trace-events.
pub fn events_file() -> String {
    let mut text = String::new();
    for event in all() {
        let mut parameters = String::from("uint64_t icount, uint64_t vcpu");
        for (name, kind) in event.arguments {
            // Writing to a string cannot fail.
            let _ = match kind {
                ArgumentType::U64 => write!(parameters, ", uint64_t {name}"),
                ArgumentType::Text => write!(parameters, ", const char *{name}"),
            };
        }
        let _ = writeln!(text, "{}({parameters}) \"\"", event.name);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use dejavm_core::boundary::{InboundClass, Position, ProbeEvent, ProbeKind};

    fn u64_at(bytes: &[u8], at: usize) -> u64 {
        u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
    }

    #[test]
    fn a_record_is_as_long_as_it_says() {
        let event = ProbeEvent::Inbound { class: InboundClass::Nmi, size: 5 };
        let bytes = encode(&[ProbeRecord {
            position: Position { icount: 3, now_ns: 4 },
            vcpu: None,
            cpl: 0,
            cr3: 0,
            event,
        }]);
        assert_eq!(u64_at(&bytes, 0), EVENT);
        assert_eq!(u64_at(&bytes, 8), ProbeKind::Inbound.index() as u64);
        assert_eq!(u64_at(&bytes, 16), 4);
        assert_eq!(u32::from_le_bytes(bytes[24..28].try_into().unwrap()) as usize, bytes.len() - 8);
        assert_eq!((u64_at(&bytes, 32), u64_at(&bytes, 40)), (3, u64::MAX));
        assert_eq!(&bytes[48..55], b"\x03\0\0\0nmi");
        assert_eq!(u64_at(&bytes, 55), 5);
        assert!(events_file().contains("inbound_event(uint64_t icount, uint64_t vcpu, const char *class, "));
    }
}
