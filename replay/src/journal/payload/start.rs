//! The start state: where a journal begins that does not begin at power-on.
//!
//! The first chunk of it says what it is, the others hold the pieces of a checkpoint.

use crate::checkpoint::FullCheckpoint;
use crate::journal::StateDigest;
use crate::journal::error::Damage;
use dejavm_core::boundary::Position;
use dejavm_core::machine::STATE_VERSION;
use serde::{Deserialize, Serialize};

/// The state that a run goes on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// All of it, and where it is.
    pub checkpoint: FullCheckpoint,
    /// Its hash.
    pub hash: StateDigest,
}

/// The body of the first chunk.
#[derive(Serialize, Deserialize)]
pub(in crate::journal) struct StartBody {
    state_version: u32,
    combined: [u8; 16],
    parts: Vec<[u8; 16]>,
    pieces: u32,
}

impl StartBody {
    /// The body, and the pieces that go into the chunks after it.
    pub fn split(start: &Start) -> (Self, Vec<Vec<u8>>) {
        let pieces: Vec<_> = start.checkpoint.pieces().collect();
        let body = Self {
            state_version: STATE_VERSION,
            combined: start.hash.combined.to_le_bytes(),
            parts: start.hash.parts.iter().map(|(_, part)| part.to_le_bytes()).collect(),
            pieces: pieces.len() as u32,
        };
        (body, pieces)
    }

    /// How many chunks follow.
    pub fn pieces(&self) -> usize {
        self.pieces as usize
    }

    /// Refuses a state that another dejavm laid out.
    pub fn check_version(&self) -> Result<(), Damage> {
        match self.state_version {
            STATE_VERSION => Ok(()),
            found => Err(Damage::StateVersion { found, supported: STATE_VERSION }),
        }
    }

    pub fn resolve(
        self,
        position: Position,
        checkpoint: FullCheckpoint,
        names: &[String],
    ) -> Result<Start, Damage> {
        if self.parts.len() != names.len() {
            return Err(Damage::Value("a state hash with another number of parts than the header names"));
        }
        if checkpoint.at != position {
            return Err(Damage::Value("a start state of another position than its chunk"));
        }
        let parts = names.iter().cloned().zip(self.parts.into_iter().map(u128::from_le_bytes)).collect();
        let hash = StateDigest { combined: u128::from_le_bytes(self.combined), parts };
        Ok(Start { checkpoint, hash })
    }
}
