//! dejavm tools.
