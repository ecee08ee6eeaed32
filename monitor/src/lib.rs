//! dejavm monitor.
