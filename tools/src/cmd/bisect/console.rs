//! Where the patterns of a condition match on the console: looked for in long strides, then in
//! shorter ones, then instruction by instruction.

use super::search::HereReplay;
use crate::progress::Progress;
use dejavm_core::boundary::Outbound;
use dejavm_core::types::Icount;
use dejavm_monitor::condition::{ConsoleLines, Pattern};
use dejavm_replay::session::{Observer, SessionError};

const STRIDES: [Icount; 3] = [1 << 20, 1 << 10, 1];

/// Looks for all patterns at once.
pub(super) struct Finder<'a> {
    session: &'a mut HereReplay,
    patterns: &'a [Pattern],
    progress: Progress,
    lines: ConsoleLines,
    /// Where each is first found.
    first: Vec<Option<Icount>>,
}

/// Takes the console in.
struct Listen<'a> {
    lines: &'a mut ConsoleLines,
    patterns: &'a [Pattern],
}

impl Observer for Listen<'_> {
    fn outbound(&mut self, event: Outbound) {
        self.lines.take(&event, self.patterns);
    }
}

impl<'a> Finder<'a> {
    pub fn new(session: &'a mut HereReplay, patterns: &'a [Pattern], to: Icount) -> Self {
        let progress = Progress::icount("reading the console", session.first().icount, to);
        let first = vec![None; patterns.len()];
        Self { session, patterns, progress, lines: ConsoleLines::default(), first }
    }

    /// The first icount at which each pattern has matched.
    pub fn find(mut self, to: Icount) -> Result<Vec<Option<Icount>>, SessionError> {
        let from = self.session.first().icount;
        self.session.restart()?;
        self.look(from, to, 0)?;
        Ok(self.first)
    }

    /// The session stands at `from`, and `lines` are those of there.
    fn look(&mut self, from: Icount, to: Icount, level: usize) -> Result<(), SessionError> {
        let mut here = from;
        while here < to && self.first.iter().any(Option::is_none) {
            let next = here.saturating_add(STRIDES[level]).min(to);
            let before = self.lines.clone();
            let mut listen = Listen { lines: &mut self.lines, patterns: self.patterns };
            self.session.run_until(next, &mut listen)?;
            let found = |k: usize| self.first[k].is_none() && self.lines.matched(k);
            let new: Vec<usize> = (0..self.patterns.len()).filter(|k| found(*k)).collect();
            if level + 1 == STRIDES.len() {
                new.into_iter().for_each(|k| self.first[k] = Some(next));
            } else if !new.is_empty() {
                let after = std::mem::replace(&mut self.lines, before);
                self.session.seek(here, &mut ())?;
                self.look(here, next, level + 1)?;
                self.lines = after;
            }
            if level == 0 {
                self.progress.done(next - self.session.first().icount);
            }
            here = next;
        }
        Ok(())
    }
}
