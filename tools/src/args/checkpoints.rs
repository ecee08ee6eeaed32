//! `--checkpoints`: whether, and for how much, places in a run are kept to go to at once.

use super::MemorySize;
use clap::Args;
use dejavm_replay::checkpoint::DEFAULT_BUDGET_BYTES;
use std::str::FromStr;

/// The option.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct CheckpointArgs {
    /// What checkpoints may take on the disk: they are in FILE.djc beside FILE.dj, thinned out when
    /// they exceed this, and can be deleted at any time; `none`: keep no file.
    #[arg(long, value_name = "SIZE|none", default_value_t = CheckpointBudget::default())]
    pub checkpoints: CheckpointBudget,
}

/// What checkpoints may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointBudget {
    /// No file is kept.
    None,
    /// So many bytes.
    Bytes(u64),
}

impl Default for CheckpointBudget {
    fn default() -> Self {
        Self::Bytes(DEFAULT_BUDGET_BYTES)
    }
}

impl std::fmt::Display for CheckpointBudget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Bytes(bytes) => write!(f, "{}M", bytes >> 20),
        }
    }
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
        assert_eq!(CheckpointBudget::default().to_string().parse(), Ok(CheckpointBudget::default()));
        assert!("some".parse::<CheckpointBudget>().is_err());
    }
}
