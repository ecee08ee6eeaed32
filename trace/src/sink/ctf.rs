//! CTF 1.8, the Common Trace Format: a folder with `metadata`, which describes the events in TSDL, and
//! a stream of packets. The clock is the guest's virtual time; each event has its icount and its vCPU
//! (-1: none) as context.

use crate::event::{ArgumentType, Value, Values, all};
use dejavm_core::boundary::ProbeRecord;
use std::fmt::Write;

const MAGIC: u32 = 0xC1FC_1FC1;
const STREAM: u32 = 0;
/// Magic, stream, first and last time, length of the content and of the packet.
const PACKET_HEADER_BYTES: usize = 40;

const TYPES: &str = "\
/* CTF 1.8 */
typealias integer { size = 16; align = 8; signed = false; } := uint16_t;
typealias integer { size = 16; align = 8; signed = true; } := int16_t;
typealias integer { size = 32; align = 8; signed = false; } := uint32_t;
typealias integer { size = 64; align = 8; signed = false; } := uint64_t;
typealias integer { size = 64; align = 8; signed = false; base = 16; } := hex64_t;

trace {
    major = 1;
    minor = 8;
    byte_order = le;
    packet.header := struct { uint32_t magic; uint32_t stream_id; };
};

env { tracer_name = \"dejavm\"; };

clock {
    name = guest;
    description = \"virtual time\";
    freq = 1000000000;
};

typealias integer { size = 64; align = 8; signed = false; map = clock.guest.value; } := guest_time_t;

stream {
    id = 0;
    packet.context := struct {
        guest_time_t timestamp_begin;
        guest_time_t timestamp_end;
        uint64_t content_size;
        uint64_t packet_size;
    };
    event.header := struct { uint16_t id; guest_time_t timestamp; };
    event.context := struct { uint64_t _icount; int16_t _vcpu; };
};
";

/// The file `metadata` of the folder.
pub fn metadata() -> String {
    let mut text = TYPES.to_owned();
    for (id, event) in all().iter().enumerate() {
        // Writing to a string cannot fail. Readers take the underscore off, which keeps names that
        // are words of TSDL apart from these.
        let _ =
            write!(text, "\nevent {{\n    name = \"{}\";\n    id = {id};\n    stream_id = 0;\n", event.name);
        text.push_str("    fields := struct {");
        for (name, kind) in event.arguments {
            let kind = match kind {
                ArgumentType::U64 => "hex64_t",
                ArgumentType::Text => "string",
            };
            let _ = write!(text, " {kind} _{name};");
        }
        text.push_str(" };\n};\n");
    }
    text
}

/// A packet of the stream.
pub fn encode(records: &[ProbeRecord]) -> Vec<u8> {
    let (Some(first), Some(last)) = (records.first(), records.last()) else { return Vec::new() };
    let mut out = Vec::with_capacity(PACKET_HEADER_BYTES + records.len() * 40);
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.extend_from_slice(&STREAM.to_le_bytes());
    out.extend_from_slice(&first.position.now_ns.to_le_bytes());
    out.extend_from_slice(&last.position.now_ns.to_le_bytes());
    out.extend_from_slice(&[0; 16]);
    for record in records {
        put_event(&mut out, record);
    }
    let bits = (out.len() as u64 * 8).to_le_bytes();
    out[24..32].copy_from_slice(&bits);
    out[32..40].copy_from_slice(&bits);
    out
}

fn put_event(out: &mut Vec<u8>, record: &ProbeRecord) {
    out.extend_from_slice(&(record.event.kind().index() as u16).to_le_bytes());
    out.extend_from_slice(&record.position.now_ns.to_le_bytes());
    out.extend_from_slice(&record.position.icount.to_le_bytes());
    out.extend_from_slice(&record.vcpu.map_or(-1, i16::from).to_le_bytes());
    for value in Values::of(&record.event).iter() {
        match value {
            Value::U64(number) => out.extend_from_slice(&number.to_le_bytes()),
            Value::Text(text) => {
                out.extend_from_slice(text.as_bytes());
                out.push(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dejavm_core::boundary::{Position, ProbeEvent};

    #[test]
    fn a_packet_is_as_long_as_it_says() {
        let event = ProbeEvent::SerialOut { port: 0, byte: 65 };
        let record =
            ProbeRecord { position: Position { icount: 7, now_ns: 9 }, vcpu: None, cpl: 0, cr3: 0, event };
        let bytes = encode(&[record]);
        assert_eq!(bytes[..4], MAGIC.to_le_bytes());
        assert_eq!(bytes[32..40], (bytes.len() as u64 * 8).to_le_bytes());
        assert_eq!(bytes.len(), PACKET_HEADER_BYTES + 2 + 8 + 8 + 2 + 16);
        assert_eq!(bytes[PACKET_HEADER_BYTES + 18..][..2], [0xFF, 0xFF], "no vCPU");
        assert!(metadata().contains("string _class; hex64_t _size_bytes;"));
    }
}
