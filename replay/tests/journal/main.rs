//! The journal's file format: what is written is read, and what is damaged is refused in its
//! place. `FORMAT.md` is the specification.

mod fuzz;
mod golden;
mod hostile;
mod kill;
mod rewrite;
mod round_trip;
mod sample;
