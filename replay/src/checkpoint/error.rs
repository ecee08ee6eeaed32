//! What can be wrong with a checkpoint. Nothing of it is fatal: a run can always be replayed
//! from an earlier one, or from power-on.

use dejavm_core::machine::LoadError;

/// A state that the machine does not take.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The bytes are no state of this dejavm's machine.
    #[error("the machine's state cannot be decoded: {0}")]
    Encoding(String),
    /// It is of another machine.
    #[error(transparent)]
    Fit(LoadError),
}

/// A checkpoint that cannot be taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Its state.
    #[error("checkpoint: {0}")]
    State(#[from] StateError),
    /// Its pages.
    #[error("checkpoint: {0}")]
    Store(#[from] super::store::StoreError),
    /// Something else of it.
    #[error("checkpoint is damaged: {0}")]
    Damaged(&'static str),
}
