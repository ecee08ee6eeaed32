//! The options of commands that look at a stretch of a recording.

use super::{AccelArgs, ImageArgs};
use clap::Args;
use std::path::PathBuf;

/// The stretch, and how it is looked at.
#[derive(Debug, Default, Args)]
pub struct WindowArgs {
    /// The first icount (default: where the journal begins).
    #[arg(long, value_name = "ICOUNT")]
    pub from: Option<u64>,
    /// The first icount that is not wanted any more (default: all to the end).
    #[arg(long, value_name = "ICOUNT")]
    pub to: Option<u64>,
    /// How many parts are replayed at once (default: as many as there are cores).
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub jobs: Option<u32>,
    /// The engine.
    #[command(flatten)]
    pub accel: AccelArgs,
    /// Where the images are, if not in the journal.
    #[command(flatten)]
    pub images: ImageArgs,
}

/// A recording and the stretch.
#[derive(Debug, Args)]
pub struct StretchArgs {
    /// The journal.
    #[arg(value_name = "FILE")]
    pub journal: PathBuf,
    /// The stretch.
    #[command(flatten)]
    pub window: WindowArgs,
}
