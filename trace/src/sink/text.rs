//! One line per event: icount, name, arguments. Virtual time, never the host's: two runs of one
//! journal give the same lines.

use super::Sink;
use crate::event::{Description, Value};
use dejavm_core::boundary::Position;
use std::fmt::Write as _;
use std::io::Write;

/// Writes events as lines of text.
pub struct TextSink<W> {
    output: W,
}

impl<W: Write> TextSink<W> {
    /// To `output`, one write per line.
    pub fn new(output: W) -> Self {
        Self { output }
    }
}

impl<W: Write + Send> Sink for TextSink<W> {
    fn write(&mut self, event: &Description, at: Position, values: &[Value]) {
        let mut line = text_line(event, at, values);
        line.push('\n');
        // A trace that cannot be written must not stop the run that it watches.
        let _ = self.output.write_all(line.as_bytes());
    }
}

/// An event as a line, without its end.
pub fn text_line(event: &Description, at: Position, values: &[Value]) -> String {
    let mut line = format!("{} {}", at.icount, event.name);
    for ((name, _), value) in event.arguments.iter().zip(values) {
        let _ = match value {
            Value::U64(v) => write!(line, " {name}={v:#x}"),
            Value::Text(v) => write!(line, " {name}={v}"),
        };
    }
    line
}
