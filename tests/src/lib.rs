//! dejavm tests.
