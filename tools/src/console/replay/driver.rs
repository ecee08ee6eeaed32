//! One stretch of a replay after the other, up to where it is to stop.

use super::{Branch, Ended, FileReplay, Patience, reverse, seek};
use crate::console::{Console, look};
use dejavm_core::types::Icount;
use dejavm_monitor::control::{Arrival, Marks, Motion, RunEvent, StopCause, Stopped};
use dejavm_monitor::hub::arrival_text;
use dejavm_replay::session::{ReplayStop, SessionError};
use std::collections::BTreeSet;

/// What the one who drives remembers.
pub(super) struct Driver {
    pub paused: bool,
    pub started: bool,
    pub at_end: bool,
    /// Where the run stops, whenever it comes there.
    pub breakpoints: BTreeSet<Icount>,
    /// Where it is on its way to, without showing the console.
    pub goal: Option<Icount>,
    /// Named places.
    pub marks: Marks,
    /// The user leaves the recording here.
    pub branch: Option<Branch>,
}

/// The instructions between two looks at the probes.
const STRETCH_ICOUNT: Icount = 1 << 22;

impl Driver {
    pub fn new(paused: bool, started: bool, marks: Marks) -> Self {
        Self { paused, started, at_end: false, breakpoints: BTreeSet::new(), goal: None, marks, branch: None }
    }

    /// One stretch of the replay.
    pub fn go_on(
        &mut self,
        session: &mut FileReplay,
        console: &mut Console,
        until: Option<Icount>,
    ) -> Result<Option<Ended>, SessionError> {
        if let Some(goal) = self.goal {
            return self.go_to(goal, session, console);
        }
        if let Some(motion @ Motion { backward: true, .. }) = console.debugger.motion() {
            let stopped = reverse::go_back(session, console, motion)?;
            (self.started, self.at_end) = (true, false);
            self.stop_for_debugger(stopped, console);
            return Ok(None);
        }
        let from = session.position();
        let breakpoint = self.breakpoints.range(from.icount + 1..).next().copied();
        let goal = [breakpoint, until].into_iter().flatten().min().unwrap_or(Icount::MAX);
        self.started = true;
        look::set_probes(session.machine().machine(), &console.trace);
        console.debugger.arm(session.machine().machine());
        let stretch = goal.min(from.icount.saturating_add(STRETCH_ICOUNT));
        let stop = session.run_until(stretch, console);
        look::write_probes(session.machine().machine(), &console.trace);
        match stop? {
            ReplayStop::Interrupted => Ok(None),
            ReplayStop::StopPoint => {
                if let Some(stopped) = console.debugger.take_stop(session.machine().machine()) {
                    self.stop_for_debugger(stopped, console);
                }
                Ok(None)
            }
            ReplayStop::Reached if stretch < goal => Ok(None),
            ReplayStop::Reached if Some(goal) == breakpoint => {
                self.arrive(Arrival::Breakpoint, session, console);
                Ok(None)
            }
            ReplayStop::Reached => Ok(Some(Ended::AtLimit)),
            ReplayStop::Ended if console.has_monitor() => {
                self.at_end = true;
                self.arrive(Arrival::End, session, console);
                Ok(None)
            }
            ReplayStop::Ended => Ok(Some(Ended::AtEnd)),
        }
    }

    /// A stretch of the way to where a monitor sent it.
    fn go_to(
        &mut self,
        goal: Icount,
        session: &mut FileReplay,
        console: &mut Console,
    ) -> Result<Option<Ended>, SessionError> {
        self.started = true;
        match seek(session, goal, Patience::Little(console))? {
            ReplayStop::Interrupted | ReplayStop::StopPoint => {}
            ReplayStop::Reached | ReplayStop::Ended => {
                self.goal = None;
                look::note_seek(session.machine().machine(), &console.trace);
                self.arrive(Arrival::Seek, session, console);
            }
        }
        Ok(None)
    }

    /// The run stands where a debugger wanted it to.
    fn stop_for_debugger(&mut self, stopped: Stopped, console: &mut Console) {
        self.paused = true;
        console.note(RunEvent::Stop);
        console.debugger.stopped(stopped);
    }

    /// The run stands where it was to stop; everyone is told.
    fn arrive(&mut self, why: Arrival, session: &mut FileReplay, console: &mut Console) {
        self.paused = true;
        let cause = if why == Arrival::End { StopCause::End } else { StopCause::Interrupted };
        console.debugger.stopped_by(session.machine().machine(), cause);
        let icount = session.position().icount;
        console.note(RunEvent::Stop);
        console.note(RunEvent::Arrived { icount, why });
        console.announce(&arrival_text(icount, why));
    }
}
