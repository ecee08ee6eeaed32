//! Going to a place in a replay.

use super::FileReplay;
use crate::console::{Console, look};
use crate::progress::Progress;
use dejavm_core::types::Icount;
use dejavm_replay::session::{Observer, ReplayStop, SessionError};

/// Shows progress, and lets nothing through to the console.
pub struct Silently<'a> {
    progress: &'a Progress,
    from: Icount,
    console: Option<&'a mut Console>,
}

impl<'a> Silently<'a> {
    /// Reports to `progress`; `console` may interrupt.
    pub fn new(progress: &'a Progress, from: Icount, console: Option<&'a mut Console>) -> Self {
        Self { progress, from, console }
    }
}

impl Observer for Silently<'_> {
    fn progress(&mut self, icount: Icount, _total_icount: Icount) -> bool {
        self.progress.done(icount.saturating_sub(self.from));
        let Some(console) = &mut self.console else { return true };
        console.pump();
        !console.quit_asked()
    }
}

/// Goes to an icount without showing the console on the way.
///
/// # Errors
/// If it is beyond the journal, or the replay diverges.
pub fn seek(
    session: &mut FileReplay,
    icount: Icount,
    console: Option<&mut Console>,
) -> Result<ReplayStop, SessionError> {
    let here = session.position().icount;
    let from = if icount < here { session.first().icount } else { here };
    // Nobody watches on the way.
    look::clear_probes(session.machine().machine());
    let progress = Progress::icount("seeking", from, icount);
    session.seek(icount, &mut Silently::new(&progress, from, console))
}
