//! dejavm replay.
