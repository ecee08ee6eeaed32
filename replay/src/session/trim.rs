//! A stretch of a recording as a journal of its own.

use super::machine::RunMachine;
use super::{Observer, ReplaySession, ReplayStop, SessionError};
use crate::journal::{End, EndReason, Ending, Start, Writer};
use dejavm_core::boundary::{Images, Position};
use dejavm_core::types::Icount;
use dejavm_core::vcpu::Engine;
use std::io::{Read, Seek, Write};

/// What a trimmed journal holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trimmed {
    /// Where it begins.
    pub first: Position,
    /// Where it ends.
    pub last: Position,
}

/// Writes a journal of the run from icount `from` to `to`, complete in itself: it begins with the
/// state at `from`, and positions are those of the whole run. The stretch is replayed, so that
/// what is written is known to be right. None if the observer interrupted it.
///
/// # Errors
/// If `from` is not before `to` or not in the recording, the replay diverges, or `out` cannot
/// be written.
pub fn trim<F: Read + Seek, W: Write>(
    session: &mut ReplaySession<Engine, F>,
    images: &Images,
    (from, to): (Icount, Icount),
    out: W,
    observer: &mut dyn Observer,
) -> Result<Option<Trimmed>, SessionError> {
    let whole = session.last().icount;
    if from >= to {
        return Err(SessionError::EmptyStretch { from, to });
    }
    if to > whole {
        return Err(SessionError::BeyondEnd { icount: to, last: whole });
    }
    if session.seek(from, observer)? == ReplayStop::Interrupted {
        return Ok(None);
    }
    let first = session.position();
    let mut header = session.journal().header().clone();
    header.images.iter_mut().for_each(|image| image.embedded = true);
    let mut writer = if first == Position::default() {
        Writer::new(out, &header, images)?
    } else {
        let machine = session.machine().machine();
        Writer::from_state(out, &header, images, &Start::of(machine))?
    };
    copy_stretch(session, &mut writer, first, to)?;
    let end_of_time = Position { icount: Icount::MAX, now_ns: u64::MAX };
    let until = if to == whole { end_of_time } else { Position { icount: to, now_ns: 0 } };
    if session.run_to(until, observer)? == ReplayStop::Interrupted {
        return Ok(None);
    }
    let end = match session.journal().ending() {
        Ending::Clean(end) if to == whole => end.clone(),
        _ => {
            let (position, hash) = (session.position(), session.machine().digest());
            End { reason: EndReason::Limit, position, hash }
        }
    };
    writer.finish(&end)?;
    Ok(Some(Trimmed { first, last: end.position }))
}

/// Copies what comes in between, and the hashes.
fn copy_stretch<F: Read + Seek, W: Write>(
    session: &mut ReplaySession<Engine, F>,
    writer: &mut Writer<W>,
    first: Position,
    to: Icount,
) -> Result<(), SessionError> {
    let whole = session.last().icount;
    let within = |at: Position| at.icount < to || to == whole;
    for entry in session.events_chunks().to_vec() {
        // What came in at the very position where the stretch begins is still to come there.
        if entry.last < first || !within(entry.first) {
            continue;
        }
        let chunk = session.read_events(&entry)?;
        for (at, event) in chunk.events.iter().filter(|(at, _)| *at >= first && within(*at)) {
            writer.append(*at, event)?;
        }
        if chunk.last > first && within(chunk.last) {
            writer.end_chunk_short(chunk.last, chunk.hash)?;
        }
    }
    Ok(())
}
