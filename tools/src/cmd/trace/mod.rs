//! `dejavm trace`: events of a recorded run, switched on afterwards; and traces into other formats.

mod convert;
mod output;
mod parquet;

use super::setup::event_specs;
use super::stretch::{Looked, Stretch};
use crate::args::{Segment, TraceArgs, TraceFormat};
use crate::error::Failure;
use crate::exit::Exit;
use dejavm_core::boundary::{ProbeRecord, ProbeSettings};
use dejavm_core::machine::Machine;
use dejavm_core::types::Icount;
use dejavm_replay::session::timeline::{Encoder, Extraction, PIECE_ICOUNT};
use dejavm_trace::binary::is_trace;
use dejavm_trace::event::{ArgumentType, Description, all, of_the_engine};
use dejavm_trace::sink::{Encoded, Ends, Format, Preparation, events_file};
use output::Output;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Does it.
pub fn execute(args: &TraceArgs) -> Result<Exit, Failure> {
    let format = args.format();
    let Some(first) = args.files.first().filter(|_| !args.list) else {
        list(format);
        return Ok(Exit::Success);
    };
    let mut probes = ProbeSettings::default();
    for spec in event_specs(&args.events)? {
        spec.apply(&mut probes).map_err(|e| Failure::new(e.to_string()))?;
    }
    let asked = !probes.on.is_empty();
    probes.on.retain(|kind, _| !kind.is_of_the_engine());
    if asked && probes.on.is_empty() {
        return Err(Failure::new("these events tell what dejavm does, which is no part of the recording")
            .advice("switch them on while it does: `dejavm replay FILE --trace EVENT`, or trace-event in the monitor"));
    }
    if begins_like_a_trace(first)? {
        if args.segment.is_some() {
            return Err(Failure::new("--segment is for a recording, not for a trace"));
        }
        let TraceFormat::Stream(format) = format else {
            return Err(Failure::new("Parquet is made of a recording, not of a trace")
                .advice("give the journal, or read JSON of the trace (--format json) with the engine"));
        };
        return convert::execute(args, format, (!args.events.is_empty()).then_some(&probes));
    }
    if args.files.len() > 1 {
        return Err(Failure::new("one journal at a time").advice("several FILEs must all be traces (*.djt)"));
    }
    if probes.on.is_empty() {
        let why = match args.events.as_slice() {
            [] => "no event is switched on: say which with --events".to_owned(),
            given => format!("no event is switched on by {}", given.join(" ")),
        };
        return Err(Failure::new(why).advice("`dejavm trace --list` lists all events"));
    }
    match format {
        TraceFormat::Stream(format) => extract(args, first, format, probes),
        TraceFormat::Parquet => parquet::execute(args, first, &probes),
    }
}

/// Writes pieces in a format.
struct InFormat(Format);

impl Encoder<Machine> for InFormat {
    type Draft = Preparation;
    type Encoded = Encoded;

    fn add(&self, draft: &mut Preparation, records: &mut Vec<ProbeRecord>) {
        self.0.add(draft, records);
    }

    fn finish(&self, draft: &mut Preparation, _: &Machine) -> Encoded {
        self.0.finish(draft)
    }
}

fn extract(args: &TraceArgs, journal: &Path, format: Format, probes: ProbeSettings) -> Result<Exit, Failure> {
    let mut stretch = Stretch::open(journal, &args.window)?;
    if format == Format::Binary {
        stretch.waiting = Extraction::MANY_WAITING;
    }
    let mut ends = Ends::BOTH;
    if let Some(segment) = args.segment {
        (stretch.from, stretch.to) = part(segment, stretch.from, stretch.to);
        ends = Ends { opening: segment.k == 1, closing: segment.k == segment.of };
    }
    let mut output = Output::create(args, format, ends)?;
    if stretch.from < stretch.to {
        let mut take = |encoded: Encoded| output.write(encoded);
        match stretch.look_by("tracing", probes, &InFormat(format), &mut take)? {
            Looked::Diverged => return Ok(Exit::Divergence),
            Looked::Whole | Looked::Stopped => {}
        }
    }
    output.finish()
}

/// Part of a stretch; parts end where pieces of an extraction do, so that formats made of chunks are
/// cut at the same places.
fn part(Segment { k, of }: Segment, from: Icount, to: Icount) -> (Icount, Icount) {
    let end = |n: u32| {
        let at = from + (u128::from(to - from) * u128::from(n) / u128::from(of)) as Icount;
        if n == 0 || n == of { at } else { at.div_ceil(PIECE_ICOUNT).saturating_mul(PIECE_ICOUNT).min(to) }
    };
    (end(k - 1), end(k))
}

fn begins_like_a_trace(path: &Path) -> Result<bool, Failure> {
    let mut beginning = Vec::new();
    let file = File::open(path).map_err(|e| Failure::file("open", path, &e))?;
    file.take(8).read_to_end(&mut beginning).map_err(|e| Failure::file("read", path, &e))?;
    Ok(is_trace(&beginning))
}

fn list(format: TraceFormat) {
    if format == TraceFormat::Stream(Format::Simpletrace) {
        crate::output::print(format_args!("{}", events_file()));
        return;
    }
    for Description { name, arguments, about, .. } in all().iter().chain(of_the_engine()) {
        let of = |&(name, kind): &(&'static str, ArgumentType)| match kind {
            ArgumentType::U64 => name.to_owned(),
            ArgumentType::Text => format!("{name}:text"),
        };
        let arguments: Vec<String> = arguments.iter().map(of).collect();
        crate::say!("{name:<24} {about} ({})", arguments.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_meet_and_cover_the_stretch() {
        for (from, to) in [(0, 10 * PIECE_ICOUNT), (12_345, 9_876_543), (5, 6), (7, u64::MAX)] {
            for of in [1, 2, 3, 7, 64] {
                let parts: Vec<_> = (1..=of).map(|k| part(Segment { k, of }, from, to)).collect();
                assert_eq!((parts[0].0, parts[of as usize - 1].1), (from, to));
                assert!(parts.iter().all(|(from, to)| from <= to));
                assert!(parts.windows(2).all(|two| two[0].1 == two[1].0), "{parts:?}");
            }
        }
    }
}
