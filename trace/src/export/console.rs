//! What the guest's serial ports say, as lines.

use super::batch::{Batch, Cell};
use dejavm_core::boundary::{Position, ProbeEvent, ProbeRecord};

/// A line is cut where it gets so long.
const MOST_BYTES: usize = 4096;

/// A byte that a port sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsoleByte {
    at: Position,
    vcpu: Option<u8>,
    /// None: the debug console.
    port: Option<u8>,
    byte: u8,
}

impl ConsoleByte {
    /// That of a record, if it is one.
    pub fn of(record: &ProbeRecord) -> Option<Self> {
        let (port, byte) = match record.event {
            ProbeEvent::SerialOut { port, byte } => (Some(port), byte),
            ProbeEvent::DebugConsole { byte } => (None, byte),
            _ => return None,
        };
        Some(Self { at: record.position, vcpu: record.vcpu, port, byte })
    }
}

/// A line that is not over yet.
#[derive(Clone, Debug)]
struct Line {
    first: ConsoleByte,
    last: Position,
    bytes: Vec<u8>,
}

/// Makes lines of bytes, by port.
#[derive(Clone, Debug, Default)]
pub struct ConsoleLines {
    open: Vec<Line>,
}

impl ConsoleLines {
    /// One byte more; a line that it ends goes to `rows`.
    pub fn add(&mut self, byte: ConsoleByte, rows: &mut Batch) {
        let known = self.open.iter().position(|line| line.first.port == byte.port);
        let n = known.unwrap_or_else(|| {
            self.open.push(Line { first: byte, last: byte.at, bytes: Vec::new() });
            self.open.len() - 1
        });
        let line = &mut self.open[n];
        line.last = byte.at;
        if byte.byte != b'\n' {
            line.bytes.push(byte.byte);
        }
        if byte.byte == b'\n' || line.bytes.len() >= MOST_BYTES {
            put(self.open.remove(n), rows);
        }
    }

    /// Lines that never ended go to `rows`, in the order in which they began.
    pub fn finish(self, rows: &mut Batch) {
        for line in self.open {
            put(line, rows);
        }
    }
}

fn put(line: Line, rows: &mut Batch) {
    let text = String::from_utf8_lossy(&line.bytes);
    rows.push(&[
        line.first.at.icount.into(),
        line.first.at.now_ns.into(),
        line.last.icount.into(),
        line.first.vcpu.map(u64::from).into(),
        line.first.port.map(u64::from).into(),
        Cell::Text(text.trim_end_matches('\r').to_owned()),
    ]);
}
