//! Going to a place in a replay.

use super::FileReplay;
use crate::console::{Console, look};
use crate::progress::Progress;
use dejavm_core::boundary::StopPoints;
use dejavm_core::types::Icount;
use dejavm_replay::session::timeline::{Found, Search};
use dejavm_replay::session::{Observer, ReplayStop, SessionError};

/// What ends a seek before it is there.
pub enum Patience<'a> {
    /// Nothing.
    Endless,
    /// The end of the program.
    UntilQuit(&'a mut Console),
    /// Anything that a monitor asks; the seek is then taken up again.
    Little(&'a mut Console),
}

/// Shows progress, and lets nothing through to the console.
pub struct Silently<'a> {
    progress: &'a Progress,
    from: Icount,
    patience: Patience<'a>,
}

impl<'a> Silently<'a> {
    /// Reports to `progress`.
    pub fn new(progress: &'a Progress, from: Icount, patience: Patience<'a>) -> Self {
        Self { progress, from, patience }
    }
}

impl Observer for Silently<'_> {
    fn progress(&mut self, icount: Icount, _total_icount: Icount) -> bool {
        self.progress.done(icount.saturating_sub(self.from));
        match &mut self.patience {
            Patience::Endless => true,
            Patience::UntilQuit(console) => {
                console.pump();
                !console.quit_asked()
            }
            Patience::Little(console) => !console.wants_attention(),
        }
    }
}

/// Looks backward for the last hit.
///
/// # Errors
/// If the replay diverges.
pub fn last_hit(
    session: &mut FileReplay,
    search: &Search,
    patience: Patience<'_>,
) -> Result<Found, SessionError> {
    look::clear_probes(session.machine().machine());
    let progress = Progress::icount("searching backward", search.from, search.to);
    session.last_hit(search, &mut Silently::new(&progress, search.from, patience))
}

/// Goes to an icount without showing the console on the way.
///
/// # Errors
/// If it is beyond the journal, or the replay diverges.
pub fn seek(
    session: &mut FileReplay,
    icount: Icount,
    patience: Patience<'_>,
) -> Result<ReplayStop, SessionError> {
    let here = session.position().icount;
    let from = if icount < here { session.first().icount } else { here };
    // Nobody watches on the way.
    let machine = session.machine().machine();
    look::clear_probes(machine);
    machine.set_stop_points(&StopPoints::default());
    let progress = Progress::icount("seeking", from, icount);
    session.seek(icount, &mut Silently::new(&progress, from, patience))
}
