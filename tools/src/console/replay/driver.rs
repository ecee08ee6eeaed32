//! One stretch of a replay after the other, up to where it is to stop.

use super::{Branch, Ended, FileReplay};
use crate::console::{Console, look, trace_inbound};
use dejavm_core::boundary::{Inbound, Position};
use dejavm_core::types::Icount;
use dejavm_replay::session::{ReplayStop, SessionError};
use dejavm_trace::probe;

/// What the one who drives remembers.
pub(super) struct Driver {
    pub paused: bool,
    pub started: bool,
    pub at_end: bool,
    pub breakpoint: Option<Icount>,
    /// The user leaves the recording here.
    pub branch: Option<Branch>,
    /// What came in during the recorded run, for trace events.
    pub inbound: Vec<(Position, Inbound)>,
}

/// The instructions between two looks at the probes.
const STRETCH_ICOUNT: Icount = 1 << 22;

impl Driver {
    /// One stretch of the replay.
    pub fn go_on(
        &mut self,
        session: &mut FileReplay,
        console: &mut Console,
        until: Option<Icount>,
    ) -> Result<Option<Ended>, SessionError> {
        let goal = [self.breakpoint, until].into_iter().flatten().min().unwrap_or(Icount::MAX);
        self.started = true;
        let from = session.position();
        console.set_position(from);
        look::set_probes(session.machine().machine(), &console.trace);
        let stretch = goal.min(from.icount.saturating_add(STRETCH_ICOUNT));
        let stop = session.run_until(stretch, console);
        self.write_trace(session, console, from, matches!(stop, Ok(ReplayStop::Ended)));
        match stop? {
            ReplayStop::Interrupted | ReplayStop::StopPoint => Ok(None),
            ReplayStop::Reached if stretch < goal => Ok(None),
            ReplayStop::Reached if Some(goal) == self.breakpoint => {
                self.breakpoint = None;
                self.paused = true;
                self.announce(session, console);
                Ok(None)
            }
            ReplayStop::Reached => Ok(Some(Ended::AtLimit)),
            ReplayStop::Ended if console.in_monitor() => {
                (self.paused, self.at_end) = (true, true);
                self.announce(session, console);
                Ok(None)
            }
            ReplayStop::Ended => Ok(Some(Ended::AtEnd)),
        }
    }

    /// Writes what the probes saw since `from`, and what came in, in the order of the run. Input
    /// at the position where the replay stands is still to come, unless the journal has ended.
    fn write_trace(&mut self, session: &mut FileReplay, console: &Console, from: Position, ended: bool) {
        let to = session.position();
        let mut inbound = self
            .inbound
            .iter()
            .filter(|(at, _)| *at >= from && (*at < to || (ended && *at == to)))
            .peekable();
        for record in session.machine().machine().take_probe_records() {
            while let Some((at, event)) = inbound.next_if(|(at, _)| *at <= record.position) {
                trace_inbound(&console.trace, *at, event);
            }
            probe::emit(&console.trace, &record);
        }
        inbound.for_each(|(at, event)| trace_inbound(&console.trace, *at, event));
    }

    fn announce(&self, session: &mut FileReplay, console: &mut Console) {
        let at = session.position().icount;
        let what = if self.at_end { "end of the recording" } else { "replay breakpoint" };
        console.print(&format!("\n{what}: instruction count = {at}\n"));
        if !console.in_monitor() {
            console.mux.focus_monitor(true);
            console.greet();
        } else {
            console.prompt();
        }
    }
}
