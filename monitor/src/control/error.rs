//! What a run answers if it does not do what it was told.

/// Why the run did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// It can be done, but not with this run or at this moment.
    #[error("{0}")]
    NotNow(String),
    /// It was tried and failed.
    #[error("{0}")]
    Failed(String),
}

impl ControlError {
    /// The answer of a replay to what would come in from outside: what to do instead.
    pub fn replay_takes_nothing() -> Self {
        Self::NotNow(
            "a replay takes nothing in but what its journal holds; `go_live FILE` leaves the recording \
             here, for a new one that takes it"
                .into(),
        )
    }
}
