//! dejavm trace.
