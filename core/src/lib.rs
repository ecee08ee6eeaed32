//! dejavm core.
