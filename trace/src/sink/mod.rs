//! Where trace events go. For now: lines of text.

mod text;

pub use text::{TextSink, text_line};

use crate::event::{Description, Value};
use dejavm_core::boundary::Position;

/// Takes trace events.
pub trait Sink: Send {
    /// Takes one event; `values` are those of `event.arguments`, in order.
    fn write(&mut self, event: &Description, at: Position, values: &[Value]);
}
