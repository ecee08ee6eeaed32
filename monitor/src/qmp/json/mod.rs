//! JSON as QMP speaks it: a stream of values in (strings may be in single quotes, values may be
//! spread over lines or share one), ASCII text out.

mod parse;
mod print;
mod stream;

pub use parse::parse;
pub use print::text;
pub use stream::Stream;

/// What is wrong with a text that was to be JSON.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("JSON parse error, {0}")]
pub struct JsonError(pub String);

/// How deep objects and arrays may nest.
pub const MAX_DEPTH: usize = 1024;
