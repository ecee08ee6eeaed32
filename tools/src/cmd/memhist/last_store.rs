//! The last store to some bytes before a place: from the index beside the journal, which is made where
//! it is not there yet; or by a replay.

use super::say;
use crate::args::{MemhistArgs, WindowArgs};
use crate::cmd::stretch::{Looked, Stretch};
use crate::cmd::verify::{journal_failure, reader};
use crate::error::Failure;
use crate::exit::Exit;
use dejavm_core::boundary::ProbeRecord;
use dejavm_replay::session::timeline::Extraction;
use dejavm_trace::analysis::history::Place;
use dejavm_trace::history::{History, Piece, SPAN_ICOUNT, Span, probes};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Pieces of an extraction are those of the index.
const _: () = assert!(dejavm_trace::history::PIECE_ICOUNT == dejavm_replay::session::timeline::PIECE_ICOUNT);

/// So many spans are made at once, so that all cores have work.
const MOST_AT_ONCE: u64 = 16;

/// Does it.
pub fn execute(args: &MemhistArgs, place: &Place, before: u64) -> Result<Exit, Failure> {
    let mut journal = reader(&args.journal)?;
    let (first, last) = (journal.first().icount, journal.last().icount);
    let binding = journal.run_binding().map_err(|e| journal_failure(&args.journal, &e))?;
    drop(journal);
    let before = before.min(last.saturating_add(1));
    let history = match args.no_index {
        true => None,
        false => open(&args.journal, binding),
    };
    let found = match history {
        Some(history) => indexed(args, place, first, before, history)?,
        None => replayed(args, place, first, before)?,
    };
    match found {
        Answer::Found(record) => say(args, &record),
        Answer::Nothing if args.json => crate::say!("null"),
        Answer::Nothing => crate::say!("nothing was stored there between icount {first} and {before}"),
        Answer::Failed(exit) => return Ok(exit),
    }
    Ok(Exit::Success)
}

enum Answer {
    Found(ProbeRecord),
    Nothing,
    Failed(Exit),
}

/// The index, if it is of use.
fn open(journal: &Path, binding: [u8; 16]) -> Option<History> {
    let path = index_path(journal);
    match History::open(&path, binding) {
        Ok(history) => Some(history),
        Err(error) => {
            tracing::info!(path = %path.display(), %error, "there is no index of stores");
            None
        }
    }
}

/// `F.djm` beside `F.dj`.
fn index_path(journal: &Path) -> PathBuf {
    journal.with_extension("djm")
}

fn indexed(
    args: &MemhistArgs,
    place: &Place,
    first: u64,
    before: u64,
    mut history: History,
) -> Result<Answer, Failure> {
    let (mut at_once, mut stretch) = (1, None);
    let Some(newest) = before.checked_sub(1).filter(|last| *last >= first) else {
        return Ok(Answer::Nothing);
    };
    for number in (first / SPAN_ICOUNT..=newest / SPAN_ICOUNT).rev() {
        if !history.has(number) {
            if !history.is_writable() {
                // Somebody else makes it.
                return replayed(args, place, first, before);
            }
            let oldest = number.saturating_sub(at_once - 1).max(first / SPAN_ICOUNT);
            let missing = (oldest..number).rev().find(|other| history.has(*other)).map_or(oldest, |n| n + 1);
            at_once = (at_once * 2).min(MOST_AT_ONCE);
            match make(args, &mut stretch, missing..=number, &mut history)? {
                Looked::Diverged => return Ok(Answer::Failed(Exit::Divergence)),
                Looked::Stopped => return replayed(args, place, first, before),
                Looked::Whole => {}
            }
        }
        match history.last_store(number, place, before) {
            Ok(Some(record)) => return Ok(Answer::Found(record)),
            Ok(None) => {}
            Err(error) => {
                eprintln!(
                    "dejavm: {} is of no use ({error}); looking without it",
                    index_path(&args.journal).display()
                );
                return replayed(args, place, first, before);
            }
        }
    }
    Ok(Answer::Nothing)
}

/// Makes `wanted` spans, and adds them to the index. Stopped: it cannot be written. The recording is opened
/// by the first.
fn make(
    args: &MemhistArgs,
    opened: &mut Option<Stretch>,
    wanted: RangeInclusive<u64>,
    history: &mut History,
) -> Result<Looked, Failure> {
    let (from, to) = wanted.into_inner();
    let stretch = match opened {
        Some(stretch) => stretch,
        None => opened.insert(Stretch::open(&args.journal, &whole(args))?),
    };
    stretch.waiting = Extraction::MANY_WAITING;
    stretch.narrow(from * SPAN_ICOUNT, (to + 1).saturating_mul(SPAN_ICOUNT));
    let mut number = from;
    let mut span = Span::new(number);
    let mut add = |span: &Span| match history.add(span) {
        Ok(()) => true,
        Err(error) => {
            tracing::info!(%error, "the index of stores cannot be written");
            false
        }
    };
    let looked =
        stretch.look("indexing stores", probes(), &|records, _| Piece::of(records), &mut |piece| {
            let Some(piece) = piece else { return true };
            while number < piece.span() {
                number += 1;
                if !add(&std::mem::replace(&mut span, Span::new(number))) {
                    return false;
                }
            }
            span.add(piece);
            true
        })?;
    if looked != Looked::Whole {
        return Ok(looked);
    }
    let added = add(&span) && (number + 1..=to).map(Span::new).all(|span| add(&span));
    Ok(if added { Looked::Whole } else { Looked::Stopped })
}

/// All of the recording.
fn whole(args: &MemhistArgs) -> WindowArgs {
    WindowArgs { from: None, to: None, images: args.window.images.clone(), ..args.window }
}

/// Looks by a replay in which only the pages in question are watched.
fn replayed(args: &MemhistArgs, place: &Place, first: u64, before: u64) -> Result<Answer, Failure> {
    if before <= first {
        return Ok(Answer::Nothing);
    }
    let mut stretch = Stretch::open(&args.journal, &whole(args))?;
    stretch.narrow(first, before);
    let mut last = None;
    let looked = stretch.look(
        "looking",
        place.probes(false),
        &|records, _| records.iter().rev().find(|record| place.is_touched_by(record)).cloned(),
        &mut |found| {
            last = found.or(last.take());
            true
        },
    )?;
    Ok(match (looked.failed(), last) {
        (Some(exit), _) => Answer::Failed(exit),
        (None, Some(record)) => Answer::Found(record),
        (None, None) => Answer::Nothing,
    })
}
