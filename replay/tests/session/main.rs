//! The sessions: what is recorded is replayed, and what differs is told.
//!
//! Most run on a toy machine, which has all that a real one has (timers, idling, kicks, power-off)
//! in a few lines, and which can be made to err; `engine` runs the real one.

mod divergence;
mod engine;
mod record_replay;
mod script;
mod toy;
