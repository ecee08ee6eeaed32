//! What the user is told when something fails: what, where, and what to do.

use std::fmt;
use std::path::Path;

/// A failure for the user's eyes.
#[derive(Debug)]
pub struct Failure {
    what: String,
    advice: Option<String>,
}

impl Failure {
    /// Says what failed and where.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), advice: None }
    }

    /// Adds what to do.
    #[must_use]
    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// A file that the host refused.
    pub fn file(doing: &str, path: &Path, error: &std::io::Error) -> Self {
        let failure = Self::new(format!("cannot {doing} {}: {error}", path.display()));
        match error.kind() {
            std::io::ErrorKind::NotFound => failure.advice("check the path"),
            std::io::ErrorKind::PermissionDenied => {
                failure.advice("check the permissions of the file and its folder")
            }
            _ => failure,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.advice {
            Some(advice) => write!(f, "\n  to do: {advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}
