//! The options of `dejavm trace`.

use super::ImageArgs;
use clap::Args;
use dejavm_trace::filter::HELP;
use dejavm_trace::sink::Format;
use std::path::PathBuf;

/// `dejavm trace`
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// The journal.
    #[arg(value_name = "FILE", required_unless_present = "list")]
    pub journal: Option<PathBuf>,
    /// What to look for: NAME or PATTERN with filters (see below), or events=FILE with a list.
    #[arg(short, long, value_name = "EVENT", required_unless_present = "list", allow_hyphen_values = true)]
    pub events: Vec<String>,
    /// The first icount (default: where the journal begins).
    #[arg(long, value_name = "ICOUNT")]
    pub from: Option<u64>,
    /// The first icount that is not wanted any more (default: all to the end).
    #[arg(long, value_name = "ICOUNT")]
    pub to: Option<u64>,
    /// Where the trace goes (default: stdout).
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Its format (see below).
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = format)]
    pub format: Format,
    /// Write over an existing output.
    #[arg(long)]
    pub force: bool,
    /// How many parts are replayed at once (default: as many as there are cores).
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub jobs: Option<u32>,
    /// List all events, with their arguments.
    #[arg(long)]
    pub list: bool,
    /// Where the images are, if not in the journal.
    #[command(flatten)]
    pub images: ImageArgs,
}

fn format(text: &str) -> Result<Format, String> {
    let found = Format::ALL.iter().find(|(_, name, _)| *name == text);
    found.map(|(format, ..)| *format).ok_or_else(|| {
        let names: Vec<&str> = Format::ALL.iter().map(|(_, name, _)| *name).collect();
        format!("there are {}", names.join(", "))
    })
}

/// What stands below the options.
pub(super) fn help() -> String {
    let formats: String =
        Format::ALL.iter().map(|(_, name, about)| format!("  {name:<12} {about}\n")).collect();
    format!(
        "\
Examples:
  dejavm trace boot.dj -e 'cpu_syscall*' --from 900000000 --to 950000000
  dejavm trace boot.dj -e cpu_exception,value=14 -o faults.json --format json
  dejavm trace boot.dj -e memory_store,address=0xffffffff82a0c0d8-0xffffffff82a0c0df
  dejavm trace --list

The recording was made without any of this: events are switched on in its replay. Every event bears
the icount before it, so `dejavm replay FILE --seek ICOUNT` leads to the place. The stretch is cut
where there are checkpoints, and the parts are replayed at once; the output is the same, to the
byte, with any --jobs.

{HELP}

Formats:
{formats}"
    )
}
