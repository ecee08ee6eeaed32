//! Perfetto's protobuf (perfetto_trace.proto): instant events on a track per vCPU, with the icount
//! and the arguments as debug annotations. Nothing is interned, so that parts can be put together.

use crate::binary::varint::{put as put_varint, put_section};
use crate::event::{Value, Values, description};
use dejavm_core::boundary::ProbeRecord;
use dejavm_core::types::MAX_VCPUS;

/// Numbers of fields in perfetto_trace.proto.
mod field {
    pub const TRACE_PACKET: u64 = 1;
    pub const TIMESTAMP: u64 = 8;
    pub const SEQUENCE_ID: u64 = 10;
    pub const TRACK_EVENT: u64 = 11;
    pub const TRACK_DESCRIPTOR: u64 = 60;
    pub const DESCRIPTOR_UUID: u64 = 1;
    pub const DESCRIPTOR_NAME: u64 = 2;
    pub const EVENT_ANNOTATION: u64 = 4;
    pub const EVENT_TYPE: u64 = 9;
    pub const EVENT_TRACK: u64 = 11;
    pub const EVENT_CATEGORY: u64 = 22;
    pub const EVENT_NAME: u64 = 23;
    pub const ANNOTATION_UINT: u64 = 3;
    pub const ANNOTATION_STRING: u64 = 6;
    pub const ANNOTATION_NAME: u64 = 10;
}

/// TrackEvent.Type: TYPE_INSTANT.
const INSTANT: u64 = 3;
/// All packets are of one writer.
const SEQUENCE: u64 = 1;
/// The track of what happens on no vCPU; that of vCPU n is the n-th after it.
const MACHINE_TRACK: u64 = 1;

/// The tracks.
pub fn begin() -> Vec<u8> {
    let mut out = Vec::new();
    put_track(&mut out, MACHINE_TRACK, "machine");
    for id in 0..MAX_VCPUS as u64 {
        put_track(&mut out, MACHINE_TRACK + 1 + id, &format!("vCPU {id}"));
    }
    out
}

fn put_track(out: &mut Vec<u8>, uuid: u64, name: &str) {
    let mut descriptor = Vec::new();
    put_number(&mut descriptor, field::DESCRIPTOR_UUID, uuid);
    put_bytes(&mut descriptor, field::DESCRIPTOR_NAME, name.as_bytes());
    let mut packet = Vec::new();
    put_number(&mut packet, field::SEQUENCE_ID, SEQUENCE);
    put_bytes(&mut packet, field::TRACK_DESCRIPTOR, &descriptor);
    put_bytes(out, field::TRACE_PACKET, &packet);
}

/// Packets with events.
pub fn encode(records: &[ProbeRecord]) -> Vec<u8> {
    let mut out = Vec::with_capacity(records.len() * 96);
    let (mut event, mut packet, mut annotation) = (Vec::new(), Vec::new(), Vec::new());
    for record in records {
        event.clear();
        packet.clear();
        let about = description(record.event.kind());
        put_number(&mut event, field::EVENT_TYPE, INSTANT);
        let track = record.vcpu.map_or(MACHINE_TRACK, |id| MACHINE_TRACK + 1 + u64::from(id));
        put_number(&mut event, field::EVENT_TRACK, track);
        let category = about.name.split('_').next().unwrap_or_default();
        put_bytes(&mut event, field::EVENT_CATEGORY, category.as_bytes());
        put_bytes(&mut event, field::EVENT_NAME, about.name.as_bytes());
        let values = Values::of(&record.event);
        let arguments = about.arguments.iter().map(|(name, _)| *name).zip(values.iter().copied());
        for (name, value) in [("icount", Value::U64(record.position.icount))].into_iter().chain(arguments) {
            annotation.clear();
            put_bytes(&mut annotation, field::ANNOTATION_NAME, name.as_bytes());
            match value {
                Value::U64(v) => put_number(&mut annotation, field::ANNOTATION_UINT, v),
                Value::Text(v) => put_bytes(&mut annotation, field::ANNOTATION_STRING, v.as_bytes()),
            }
            put_bytes(&mut event, field::EVENT_ANNOTATION, &annotation);
        }
        put_number(&mut packet, field::TIMESTAMP, record.position.now_ns);
        put_number(&mut packet, field::SEQUENCE_ID, SEQUENCE);
        put_bytes(&mut packet, field::TRACK_EVENT, &event);
        put_bytes(&mut out, field::TRACE_PACKET, &packet);
    }
    out
}

fn put_number(out: &mut Vec<u8>, field: u64, value: u64) {
    put_varint(out, field << 3);
    put_varint(out, value);
}

fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(out, field << 3 | 2);
    put_section(out, bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use dejavm_core::boundary::{Position, ProbeEvent};

    #[test]
    fn a_packet() {
        let event = ProbeEvent::DebugExit { code: 300 };
        let bytes = encode(&[ProbeRecord {
            position: Position { icount: 1, now_ns: 2 },
            vcpu: None,
            cpl: 0,
            cr3: 0,
            event,
        }]);
        assert_eq!(bytes[..2], [field::TRACE_PACKET as u8 * 8 + 2, bytes.len() as u8 - 2]);
        assert_eq!(bytes[2..6], [8 * 8, 2, 10 * 8, 1]);
        // uint_value 300, of two bytes, ends it.
        assert_eq!(bytes[bytes.len() - 3..], [3 * 8, 0xAC, 0x02]);
    }
}
