//! Looking at a stretch of a recording with probes on, in parallel: what all commands of analysis
//! begin with.

use super::verify::{open_to_search, session_failure};
use crate::args::WindowArgs;
use crate::error::Failure;
use crate::exit::Exit;
use crate::progress::ReplayProgress;
use dejavm_core::boundary::{ProbeRecord, ProbeSettings};
use dejavm_core::machine::Machine;
use dejavm_core::types::Icount;
use dejavm_replay::session::timeline::{Encoder, Extraction, Piece, Whole};
use dejavm_replay::session::{ReplaySession, SessionError};
use std::fs::File;
use std::path::{Path, PathBuf};

/// A recording that is open, and a stretch of it.
pub struct Stretch {
    /// Its journal.
    pub session: ReplaySession<Machine, File>,
    journal: PathBuf,
    /// The first icount.
    pub from: Icount,
    /// The first that is not wanted any more.
    pub to: Icount,
    /// How many machines at most replay parts of it at once.
    pub machines: usize,
    /// About so many records may wait for those of the parts before theirs, as they were encoded.
    pub waiting: u64,
}

/// How a look ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// All was seen.
    Whole,
    /// Whoever took it wanted no more.
    Stopped,
    /// The run is not the one that was recorded; the user was told.
    Diverged,
}

impl Looked {
    /// The exit status, if it is not that all was seen.
    pub fn failed(self) -> Option<Exit> {
        (self == Self::Diverged).then_some(Exit::Divergence)
    }
}

impl Stretch {
    /// Opens the journal, with its checkpoints.
    ///
    /// # Errors
    /// If it cannot be, or the stretch is not in it.
    pub fn open(journal: &Path, window: &WindowArgs) -> Result<Self, Failure> {
        let session = open_to_search(journal, &window.images, window.accel)?;
        let (first, last) = (session.first().icount, session.last().icount);
        let from = window.from.unwrap_or(first).max(first);
        let to = window.to.map_or(last.saturating_add(1), |to| to.min(last.saturating_add(1)));
        if from > last {
            let error = SessionError::BeyondEnd { icount: from, last };
            return Err(session_failure(journal, &error));
        }
        if from >= to {
            let error = SessionError::EmptyStretch { from, to: window.to.unwrap_or(to) };
            return Err(session_failure(journal, &error));
        }
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let machines = window.jobs.map_or(cores, |jobs| jobs as usize);
        let waiting = Extraction::FEW_WAITING;
        Ok(Self { session, journal: journal.to_owned(), from, to, machines, waiting })
    }

    /// Only what of the run lies from `from` to before `to` from now on.
    pub fn narrow(&mut self, from: Icount, to: Icount) {
        self.from = from.max(self.session.first().icount);
        self.to = to.min(self.session.last().icount.saturating_add(1));
    }

    /// Hands what `encode` makes of the records, and of the machine at the end of each piece, to
    /// `take`, in the order of the run; `take` says whether to go on.
    ///
    /// # Errors
    /// If the stretch cannot be replayed.
    pub fn look<T: Send>(
        &mut self,
        doing: &'static str,
        probes: ProbeSettings,
        encode: &(dyn Fn(&[ProbeRecord], &Machine) -> T + Sync),
        take: &mut dyn FnMut(T) -> bool,
    ) -> Result<Looked, Failure> {
        self.look_by(doing, probes, &Whole(encode), take)
    }

    /// [`Self::look`], by something that is given the records as they come.
    ///
    /// # Errors
    /// As there.
    pub fn look_by<E: Encoder<Machine>>(
        &mut self,
        doing: &'static str,
        probes: ProbeSettings,
        encoder: &E,
        take: &mut dyn FnMut(E::Encoded) -> bool,
    ) -> Result<Looked, Failure> {
        let &mut Self { from, to, machines, waiting, .. } = self;
        let mut progress = ReplayProgress::new(doing, from, to);
        let mut take_piece = |piece: Piece<E::Encoded>| take(piece.encoded);
        let extraction = Extraction { probes, from, to, machines, waiting };
        match self.session.extract_by(&extraction, encoder, &mut take_piece, &mut progress) {
            Ok(true) => Ok(Looked::Whole),
            Ok(false) => Ok(Looked::Stopped),
            Err(error) => self.ended(error),
        }
    }

    /// What an error of the replay ends with: a divergence is told here.
    ///
    /// # Errors
    /// For any other.
    pub fn ended(&self, error: SessionError) -> Result<Looked, Failure> {
        match error {
            SessionError::Divergence(divergence) => {
                eprintln!("dejavm: {}: {divergence}", self.journal.display());
                Ok(Looked::Diverged)
            }
            error => Err(session_failure(&self.journal, &error)),
        }
    }
}
