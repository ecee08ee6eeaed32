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
