//! The options of `dejavm trace`.

use super::WindowArgs;
use clap::Args;
use dejavm_trace::filter::HELP;
use dejavm_trace::sink::Format;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// `dejavm trace`
#[derive(Debug, Args)]
pub struct TraceArgs {
    /// The journal; or traces that were written with --format djt, in the order of the run.
    #[arg(value_name = "FILE", required_unless_present = "list")]
    pub files: Vec<PathBuf>,
    /// What to look for: NAME or PATTERN with filters (see below), or events=FILE with a list. Of a
    /// trace: what of it is wanted (default: all).
    #[arg(short, long, value_name = "EVENT", allow_hyphen_values = true)]
    pub events: Vec<String>,
    /// Where the trace goes (default: stdout).
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Its format, see below (default: text, or what the name of the output ends with).
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    pub format: Option<TraceFormat>,
    /// Write over an existing output.
    #[arg(long)]
    pub force: bool,
    /// Only part K of N of the stretch.
    #[arg(long, value_name = "K/N")]
    pub segment: Option<Segment>,
    /// List all events, with their arguments.
    #[arg(long)]
    pub list: bool,
    /// The stretch.
    #[command(flatten)]
    pub window: WindowArgs,
}

/// What a trace is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceFormat {
    /// One stream of records.
    Stream(Format),
    /// A folder of tables, a file per segment of the run.
    Parquet,
}

impl TraceArgs {
    /// The format, by its name or by that of the output.
    pub fn format(&self) -> TraceFormat {
        let extension = self.output.as_deref().and_then(Path::extension).and_then(|e| e.to_str());
        let by_name = || match extension? {
            "djt" => Some(TraceFormat::Stream(Format::Binary)),
            "json" | "jsonl" => Some(TraceFormat::Stream(Format::Json)),
            "pftrace" | "perfetto-trace" => Some(TraceFormat::Stream(Format::Perfetto)),
            "ctf" => Some(TraceFormat::Stream(Format::Ctf)),
            "parquet" => Some(TraceFormat::Parquet),
            _ => None,
        };
        self.format.or_else(by_name).unwrap_or(TraceFormat::Stream(Format::Text))
    }
}

/// Part `k` of `of`, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Which.
    pub k: u32,
    /// Of how many.
    pub of: u32,
}

impl FromStr for Segment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(k, of)| Some((k.parse().ok()?, of.parse().ok()?)));
        match parsed {
            Some((k, of)) if k >= 1 && k <= of && of <= 1 << 20 => Ok(Self { k, of }),
            _ => Err("a segment is K/N with K from 1 to N, as in 1/4".to_owned()),
        }
    }
}

/// The format that is no stream.
const PARQUET: (&str, &str) = ("parquet", "tables for SQL engines: a folder, with a file per segment");

fn format(text: &str) -> Result<TraceFormat, String> {
    if text == PARQUET.0 {
        return Ok(TraceFormat::Parquet);
    }
    let found = Format::ALL.iter().find(|(_, name, _)| *name == text);
    found.map(|(format, ..)| TraceFormat::Stream(*format)).ok_or_else(|| {
        let names: Vec<&str> = Format::ALL.iter().map(|(_, name, _)| *name).collect();
        format!("there are {}, {}", names.join(", "), PARQUET.0)
    })
}

/// What stands below the options.
pub(super) fn help() -> String {
    let formats = Format::ALL.iter().map(|(_, name, about)| (*name, *about)).chain([PARQUET]);
    let formats: String = formats.map(|(name, about)| format!("  {name:<12} {about}\n")).collect();
    format!(
        "\
Examples:
  dejavm trace boot.dj -e 'cpu_syscall*' --from 900000000 --to 950000000
  dejavm trace boot.dj -e cpu_exception,value=14 -o faults.json
  dejavm trace boot.dj -e memory_store,address=0xffffffff82a0c0d8-0xffffffff82a0c0df
  dejavm trace boot.dj -e cpu_instruction -o all.djt
  dejavm trace all.djt --from 5000000 --to 5001000        a window of it, as text
  dejavm trace all.djt --format ctf -o all.ctf            the same events for babeltrace2
  dejavm trace --list

The recording was made without any of this: events are switched on in its replay. Every event bears
the icount before it, so `dejavm replay FILE --seek ICOUNT` leads to the place. The stretch is cut
where there are checkpoints, and the parts are replayed at once; the output is the same, to the
byte, with any --jobs, and with any --accel.

Several machines can share the work, each with a copy of the journal:
  dejavm trace boot.dj -e 'memory_*' --segment 1/2 -o 1.djt
  dejavm trace boot.dj -e 'memory_*' --segment 2/2 -o 2.djt
  dejavm trace 1.djt 2.djt -o all.djt
gives the very file that one run without --segment writes. Segments in a format of lines or packets
(text, json, chrome, perfetto, simpletrace) are put together by `cat`.

{HELP}

Formats:
{formats}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_counted_from_one() {
        assert_eq!("2/3".parse(), Ok(Segment { k: 2, of: 3 }));
        for wrong in ["0/3", "4/3", "1", "a/b", "1/0", "-1/2"] {
            assert!(wrong.parse::<Segment>().is_err(), "{wrong}");
        }
    }
}
