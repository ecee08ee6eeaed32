//! `--checkpoints`: whether, and for how much, places in a run are kept to go to at once.

use super::MemorySize;
use clap::Args;
use dejavm_replay::checkpoint::{DEFAULT_BUDGET_BYTES, noted_budget};
use std::path::Path;
use std::str::FromStr;

/// The option.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct CheckpointArgs {
    /// What checkpoints may take on the disk: they are in FILE.djc beside FILE.dj, thinned out when
    /// they exceed this, and can be deleted at any time; `none`: keep no file, and take none in the
    /// background.
    /// Without this, what was said last for this file, or 512M, or what is there already.
    #[arg(long, value_name = "SIZE|none")]
    pub checkpoints: Option<CheckpointBudget>,
}

impl CheckpointArgs {
    /// Whether any are wanted.
    pub fn wanted(&self) -> bool {
        self.checkpoints != Some(CheckpointBudget::None)
    }

    /// What they may take in `side_file`; None: no file is kept.
    pub fn budget(&self, side_file: &Path) -> Option<u64> {
        match self.checkpoints {
            Some(CheckpointBudget::None) => None,
            Some(CheckpointBudget::Bytes(bytes)) => Some(bytes),
            None => {
                let there = std::fs::metadata(side_file).map_or(0, |file| file.len());
                Some(noted_budget(side_file).unwrap_or_else(|| DEFAULT_BUDGET_BYTES.max(there)))
            }
        }
    }
}

/// What checkpoints may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointBudget {
    /// No file is kept.
    None,
    /// So many bytes.
    Bytes(u64),
}

impl FromStr for CheckpointBudget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            size => {
                let size: MemorySize = size.parse().map_err(|_| "give 8M to 512G, or none".to_owned())?;
                Ok(Self::Bytes(size.bytes))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_none() {
        assert_eq!("none".parse(), Ok(CheckpointBudget::None));
        assert_eq!("2G".parse(), Ok(CheckpointBudget::Bytes(2 << 30)));
        let given = |checkpoints| CheckpointArgs { checkpoints }.budget(Path::new("/nowhere"));
        assert_eq!(given(None), Some(DEFAULT_BUDGET_BYTES));
        assert_eq!(given(Some(CheckpointBudget::None)), None);
        assert!("some".parse::<CheckpointBudget>().is_err());
    }
}
