//! Going to any place of a recorded run, forward and back: restore the nearest checkpoint before it,
//! and run on from there.

mod extract;
mod fill;
mod near;
mod search;
mod seek;
mod worker;

pub use extract::{Encoder, Extraction, PIECE_ICOUNT, Piece, Whole};
pub use search::{Found, Search, SearchStats};

use super::RunMachine;
use super::inputs::Inputs;
use super::trail::binding;
use crate::checkpoint::{DEFAULT_BUDGET_BYTES, Pace, Spacing, Store, Tracker};
use dejavm_core::boundary::Position;
use fill::Filler;
use near::Near;
use std::sync::Arc;
use worker::Worker;

/// What a replay has for going back and forth.
pub(super) struct Travel<M> {
    pub tracker: Tracker,
    pub inputs: Arc<Inputs>,
    /// What run checkpoints must be of.
    pub binding: [u8; 16],
    /// Where checkpoints are taken, if they are.
    pub pace: Option<Pace>,
    pub near: Near,
    /// The machine stands where a seek to its icount leads: at the first position of that icount.
    pub first: Option<Position>,
    /// Further machines, for searches on several threads.
    pub workers: Vec<Worker<M>>,
    /// What the last search through several stretches ran.
    pub search_stats: SearchStats,
    /// Takes checkpoints where there are none, beside all else.
    pub filler: Option<Filler>,
}

impl<M: RunMachine> Travel<M> {
    /// For a machine at the origin of its run.
    pub fn new(machine: &mut M, inputs: Inputs, identity: u128) -> Self {
        let binding = binding(identity, machine);
        let at = machine.position();
        let store = Store::new(machine, at, DEFAULT_BUDGET_BYTES, true);
        Self {
            tracker: Tracker::new(Arc::new(store)),
            inputs: Arc::new(inputs),
            binding,
            pace: Some(Pace::fixed(Spacing::default())),
            near: Near::default(),
            first: None,
            workers: Vec::new(),
            search_stats: SearchStats::default(),
            filler: None,
        }
    }
}
