//! A JSON object per line (RFC 8259). Numbers are numbers: readers that keep only 53 bits of
//! them lose the low bits of kernel addresses.

use crate::event::{Value, Values, description};
use dejavm_core::boundary::ProbeRecord;
use std::fmt::Write;

/// Lines.
pub fn encode(records: &[ProbeRecord]) -> Vec<u8> {
    let mut text = String::with_capacity(records.len() * 96);
    for record in records {
        let event = description(record.event.kind());
        // Writing to a string cannot fail.
        let _ = write!(text, "{{\"icount\":{},\"ns\":{}", record.position.icount, record.position.now_ns);
        let _ = match record.vcpu {
            Some(vcpu) => write!(text, ",\"vcpu\":{vcpu},\"event\":\"{}\"", event.name),
            None => write!(text, ",\"vcpu\":null,\"event\":\"{}\"", event.name),
        };
        put_arguments(&mut text, record);
        text.push_str("}\n");
    }
    text.into_bytes()
}

/// The arguments as further members of an object.
pub fn put_arguments(text: &mut String, record: &ProbeRecord) {
    let event = description(record.event.kind());
    for ((name, _), value) in event.arguments.iter().zip(Values::of(&record.event).iter()) {
        // Names and texts are ours: letters, digits and underscores.
        let _ = match value {
            Value::U64(v) => write!(text, ",\"{name}\":{v}"),
            Value::Text(v) => write!(text, ",\"{name}\":\"{v}\""),
        };
    }
}
