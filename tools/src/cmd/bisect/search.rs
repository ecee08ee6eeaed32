//! The two ways to search: by halves, where the condition stays once it holds; else by every
//! instruction.

use super::console::Finder;
use crate::console::replay::{Patience, Silently};
use crate::progress::Progress;
use dejavm_core::machine::Machine;
use dejavm_core::types::Icount;
use dejavm_monitor::condition::{Condition, View};
use dejavm_replay::session::{ReplaySession, SessionError};
use std::fs::File;

/// A replay on the calling thread.
pub(super) type HereReplay = ReplaySession<Machine, File>;

/// The instructions between two looks at the progress.
const REPORT_ICOUNT: Icount = 1 << 18;

/// A recording, a condition, and what is known of its console.
pub(super) struct Search<'a> {
    session: HereReplay,
    condition: &'a Condition,
    first_matches: Vec<Option<Icount>>,
}

impl<'a> Search<'a> {
    pub fn new(session: HereReplay, condition: &'a Condition) -> Self {
        Self { session, condition, first_matches: Vec::new() }
    }

    /// The first and the last icount that there is.
    pub fn bounds(&self) -> (Icount, Icount) {
        (self.session.first().icount, self.session.last().icount)
    }

    /// Looks for the patterns of the condition on the console up to `to`.
    pub fn find_patterns(&mut self, to: Icount) -> Result<(), SessionError> {
        let patterns = self.condition.patterns();
        if !patterns.is_empty() {
            self.first_matches = Finder::new(&mut self.session, patterns, to).find(to)?;
        }
        Ok(())
    }

    /// The first icount at which the condition may hold.
    pub fn earliest(&self) -> Option<Icount> {
        self.condition.earliest(&|pattern| self.first_matches[pattern])
    }

    /// The machine at an icount.
    pub fn at(&mut self, icount: Icount) -> Result<&Machine, SessionError> {
        let progress = Progress::icount("seeking", self.session.position().icount, icount);
        let from = self.session.position().icount.min(icount);
        self.session.seek(icount, &mut Silently::new(&progress, from, Patience::Endless))?;
        Ok(self.session.machine())
    }

    /// By halves.
    pub fn halve(&mut self, from: Icount, to: Icount) -> Result<Option<Icount>, SessionError> {
        self.at(from)?;
        if self.holds_here() {
            return Ok(Some(from));
        }
        let (mut no, mut yes) = (from, to);
        while yes - no > 1 {
            let middle = self.session.middle_of(no, yes);
            self.at(middle)?;
            if self.holds_here() { yes = middle } else { no = middle }
        }
        self.at(yes)?;
        Ok(self.holds_here().then_some(yes))
    }

    /// Instruction by instruction.
    pub fn scan(&mut self, from: Icount, to: Icount) -> Result<Option<Icount>, SessionError> {
        self.at(from)?;
        let progress = Progress::icount("scanning", from, to);
        for icount in from..=to {
            self.session.run_until(icount, &mut ())?;
            if self.holds_here() {
                return Ok(Some(icount));
            }
            if icount.is_multiple_of(REPORT_ICOUNT) {
                progress.done(icount - from);
            }
        }
        Ok(None)
    }

    fn holds_here(&mut self) -> bool {
        let Self { session, condition, first_matches } = self;
        let machine = &*session.machine();
        let icount = machine.position().icount;
        let matched = |pattern: usize| first_matches[pattern].is_some_and(|first| icount >= first);
        condition.holds(&View { machine, matched: &matched })
    }
}
