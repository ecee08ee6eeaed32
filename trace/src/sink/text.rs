//! One line per event: icount, virtual time in ns, vCPU, name, arguments. Nothing of the host is
//! in it: two runs of one journal give the same lines.

use crate::event::{Value, Values, description};
use dejavm_core::boundary::ProbeRecord;
use std::fmt::Write;

/// Lines.
pub fn encode(records: &[ProbeRecord]) -> Vec<u8> {
    let mut text = String::with_capacity(records.len() * 64);
    for record in records {
        put_line(&mut text, record);
        text.push('\n');
    }
    text.into_bytes()
}

/// An event as a line, without its end.
pub fn text_line(record: &ProbeRecord) -> String {
    let mut line = String::new();
    put_line(&mut line, record);
    line
}

fn put_line(line: &mut String, record: &ProbeRecord) {
    let event = description(record.event.kind());
    // Writing to a string cannot fail.
    let _ = write!(line, "{} {} ", record.position.icount, record.position.now_ns);
    let _ = match record.vcpu {
        Some(vcpu) => write!(line, "{vcpu} {}", event.name),
        None => write!(line, "- {}", event.name),
    };
    for ((name, _), value) in event.arguments.iter().zip(Values::of(&record.event).iter()) {
        let _ = match value {
            Value::U64(v) => write!(line, " {name}={v:#x}"),
            Value::Text(v) => write!(line, " {name}={v}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::description;
    use dejavm_core::boundary::{Position, ProbeEvent};

    #[test]
    fn a_line() {
        let position = Position { icount: 7, now_ns: 9 };
        let mut record = ProbeRecord {
            position,
            vcpu: Some(1),
            cpl: 0,
            cr3: 0,
            event: ProbeEvent::SerialOut { port: 0, byte: 65 },
        };
        assert_eq!(text_line(&record), "7 9 1 uart_write port=0x0 byte=0x41");
        record = ProbeRecord { position, vcpu: None, cpl: 0, cr3: 0, event: ProbeEvent::PowerOff };
        assert_eq!(text_line(&record), "7 9 - machine_power_off");
        assert_eq!(description(record.event.kind()).arguments.len(), 0);
    }
}
