//! The options of the commands that work on recordings.

use super::{AccelArgs, ImageArgs};
use clap::Args;
use std::path::PathBuf;

/// `dejavm pack`
#[derive(Debug, Args)]
pub struct PackArgs {
    /// The journal.
    #[arg(value_name = "FILE")]
    pub journal: PathBuf,
    /// Write here, and leave FILE as it is.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write over an existing output.
    #[arg(long)]
    pub force: bool,
    /// Where the images are (default: beside the journal, under their recorded names).
    #[command(flatten)]
    pub images: ImageArgs,
}

/// `dejavm unpack`
#[derive(Debug, Args)]
pub struct UnpackArgs {
    /// The journal.
    #[arg(value_name = "FILE")]
    pub journal: PathBuf,
    /// Write the journal without images here, and leave FILE as it is.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Where the images go (default: beside the journal).
    #[arg(short, long, value_name = "FOLDER")]
    pub directory: Option<PathBuf>,
    /// Only extract the images; they stay in the journal too.
    #[arg(long, conflicts_with = "output")]
    pub keep: bool,
    /// Write over existing files.
    #[arg(long)]
    pub force: bool,
}

/// `dejavm trim`
#[derive(Debug, Args)]
pub struct TrimArgs {
    /// The journal.
    #[arg(value_name = "FILE")]
    pub journal: PathBuf,
    /// Where the stretch begins (default: where the journal does).
    #[arg(long, value_name = "ICOUNT")]
    pub from: Option<u64>,
    /// Where it ends (default: where the journal does).
    #[arg(long, value_name = "ICOUNT")]
    pub to: Option<u64>,
    /// The journal of the stretch.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Write over an existing output.
    #[arg(long)]
    pub force: bool,
    /// The engine.
    #[command(flatten)]
    pub accel: AccelArgs,
    /// Where the images are, if not in the journal.
    #[command(flatten)]
    pub images: ImageArgs,
}

/// `dejavm bisect`
#[derive(Debug, Args)]
pub struct BisectArgs {
    /// The journal.
    #[arg(value_name = "FILE")]
    pub journal: PathBuf,
    /// What to look for (see below).
    #[arg(long, value_name = "EXPR", allow_hyphen_values = true)]
    pub when: String,
    /// Once it holds it keeps holding: search by halves, which is fast.
    #[arg(long)]
    pub monotonic: bool,
    /// Where to begin (default: where the journal does).
    #[arg(long, value_name = "ICOUNT")]
    pub from: Option<u64>,
    /// Where to end (default: where the journal does).
    #[arg(long, value_name = "ICOUNT")]
    pub to: Option<u64>,
    /// The engine.
    #[command(flatten)]
    pub accel: AccelArgs,
    /// Where the images are, if not in the journal.
    #[command(flatten)]
    pub images: ImageArgs,
}

/// `dejavm diff`
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// A journal.
    #[arg(value_name = "A")]
    pub a: PathBuf,
    /// Another of the same machine and images.
    #[arg(value_name = "B")]
    pub b: PathBuf,
    /// Parts of the machine that are not to be compared.
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    pub ignore: Vec<String>,
    /// The engine.
    #[command(flatten)]
    pub accel: AccelArgs,
    /// Where the images are, if not in the journals.
    #[command(flatten)]
    pub images: ImageArgs,
}

/// What stands below the options of `bisect`.
pub(super) fn bisect_help() -> String {
    format!(
        "\
Examples:
  dejavm bisect boot.dj --when 'console ~ /Kernel panic/'
  dejavm bisect boot.dj --when '[0xffffffff82a0c0d8]:4 != 0' --monotonic
  dejavm bisect boot.dj --when 'rip == 0xffffffff81001000 && rdi == 0' --from 900000000

Without --monotonic every instruction from --from to --to is looked at: bound them. What the console
shows is found fast in any case, and a condition that demands it of the console ('... && ...') is
looked for only from there on.

{}

The exit status is 5 if it holds nowhere.",
        dejavm_monitor::condition::HELP
    )
}
