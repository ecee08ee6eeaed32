//! A replay, as the monitor sees it.

use super::seek::last_hit;
use super::{Driver, FileReplay, Patience, seek};
use crate::cmd::go_live;
use crate::console::{Console, look, marks};
use dejavm_core::boundary::{Change, Inbound, StopCondition, StopHit, StopPoint};
use dejavm_core::machine::Machine;
use dejavm_core::types::Icount;
use dejavm_monitor::control::{
    Arrival, ControlError, Debugging, Door, Execution, Inspect, Marks, Mode, Motion, RunEvent, RunState,
    StopCause, Timeline,
};
use dejavm_replay::checkpoint::Summary;
use dejavm_replay::session::timeline::{Found, Search};
use dejavm_replay::session::{ReplayStop, SessionError};
use std::path::Path;

/// A replay, as the monitor sees it.
pub(super) struct ReplayControl<'a> {
    pub session: &'a mut FileReplay,
    pub console: &'a mut Console,
    pub file: &'a str,
    pub driver: &'a mut Driver,
}

impl ReplayControl<'_> {
    fn go(&mut self, icount: Icount) -> Result<(), ControlError> {
        self.driver.goal = None;
        if std::mem::replace(&mut self.driver.paused, true) {
            self.console.note(RunEvent::Resume);
        }
        (self.driver.started, self.driver.at_end) = (true, false);
        let result = self.travel(icount);
        self.console.note(RunEvent::Stop);
        result
    }

    fn travel(&mut self, icount: Icount) -> Result<(), ControlError> {
        match seek(self.session, icount, Patience::UntilQuit(self.console)) {
            Ok(ReplayStop::Interrupted) => Err(ControlError::Failed("interrupted".into())),
            Ok(ReplayStop::Reached | ReplayStop::Ended | ReplayStop::StopPoint) => {
                look::note_seek(self.session.machine().machine(), &self.console.trace);
                Ok(())
            }
            Err(SessionError::BeyondEnd { last, .. }) => Err(beyond(last)),
            Err(error) => Err(ControlError::Failed(error.to_string())),
        }
    }
}

impl ReplayControl<'_> {
    fn check_goal(&self, icount: Icount) -> Result<(), ControlError> {
        let last = self.session.last().icount;
        if icount > last { Err(beyond(last)) } else { Ok(()) }
    }
}

fn beyond(last: Icount) -> ControlError {
    ControlError::NotNow(format!(
        "cannot seek to the specified instruction count: the recording ends at {last}"
    ))
}

impl Inspect for ReplayControl<'_> {
    fn machine(&mut self) -> &mut Machine {
        self.session.machine().machine()
    }
}

impl Execution for ReplayControl<'_> {
    fn run_state(&self) -> RunState {
        match self.driver {
            Driver { at_end: true, .. } => RunState::Shutdown,
            Driver { paused: false, .. } => RunState::Running,
            Driver { started: false, .. } => RunState::Prelaunch,
            Driver { .. } => RunState::Paused,
        }
    }
    fn stop(&mut self) {
        self.driver.goal = None;
        if !std::mem::replace(&mut self.driver.paused, true) {
            self.console.note(RunEvent::Stop);
        }
    }
    fn resume(&mut self) -> Result<(), ControlError> {
        if self.driver.at_end {
            return Err(ControlError::NotNow("the recording ends here; replay_seek goes back".into()));
        }
        self.console.debugger.disarm();
        if std::mem::replace(&mut self.driver.paused, false) {
            self.console.note(RunEvent::Resume);
        }
        Ok(())
    }
    fn step(&mut self, count: u64) -> Result<(), ControlError> {
        let goal = self.session.position().icount.saturating_add(count);
        self.go(goal)
    }
    fn take_events(&mut self) -> Vec<RunEvent> {
        self.console.take_run_events()
    }
    fn quit(&mut self) {
        self.console.ask_to_quit();
    }
}

impl Timeline for ReplayControl<'_> {
    fn mode(&self) -> Mode {
        Mode::Replay { file: self.file.to_owned() }
    }
    fn seek(&mut self, icount: Icount) -> Result<(), ControlError> {
        self.check_goal(icount)?;
        self.go(icount)?;
        let icount = self.session.position().icount;
        self.console.note(RunEvent::Arrived { icount, why: Arrival::Seek });
        Ok(())
    }
    fn begin_seek(&mut self, icount: Icount) -> Result<(), ControlError> {
        self.check_goal(icount)?;
        self.driver.goal = Some(icount);
        self.driver.at_end = false;
        self.resume()
    }
    fn first_icount(&self) -> Icount {
        self.session.first().icount
    }
    fn last_icount(&self) -> Option<Icount> {
        Some(self.session.last().icount)
    }
    fn last_hit(&mut self, condition: StopCondition) -> Result<Option<StopHit>, ControlError> {
        let points = vec![StopPoint { id: 0, vcpu: None, condition }];
        let (from, to) = (self.session.first().icount, self.session.position().icount);
        let search = Search { points, from, to, delivered: false };
        let found = last_hit(self.session, &search, Patience::UntilQuit(self.console));
        match found.map_err(|error| ControlError::Failed(error.to_string()))? {
            Found::Hit(hit) => self.go(hit.icount).map(|()| Some(hit)),
            Found::Nothing => self.go(to).map(|()| None),
            Found::Interrupted => Err(ControlError::Failed("interrupted".into())),
        }
    }
    fn marks(&mut self) -> Option<&mut Marks> {
        Some(&mut self.driver.marks)
    }
    fn keep_marks(&mut self) -> Result<(), ControlError> {
        marks::keep(Path::new(self.file), &self.driver.marks)
    }
    fn checkpoints(&mut self) -> Option<Summary> {
        Some(self.session.checkpoint_summary())
    }
    fn go_live(&mut self, path: &str) -> Result<(), ControlError> {
        if self.session.machine().machine().off().is_some() {
            return Err(ControlError::NotNow("the machine is off here: it cannot go on".into()));
        }
        // A debugger's stop is within its position, of which no state can be saved.
        if self.session.machine().machine().in_instruction() {
            let icount = self.session.position().icount;
            self.travel(icount)?;
        }
        self.console.debugger.disarm();
        let branch =
            go_live::branch(Path::new(path), false).map_err(|e| ControlError::Failed(e.to_string()))?;
        self.driver.branch = Some(branch);
        Ok(())
    }
    fn set_break(&mut self, icount: Icount) -> Result<(), ControlError> {
        self.driver.breakpoints.insert(icount);
        Ok(())
    }
    fn delete_break(&mut self, icount: Option<Icount>) -> Result<(), ControlError> {
        match icount {
            None => self.driver.breakpoints.clear(),
            Some(icount) if self.driver.breakpoints.remove(&icount) => {}
            Some(icount) => {
                return Err(ControlError::NotNow(format!("there is no replay breakpoint at {icount}")));
            }
        }
        Ok(())
    }
    fn breaks(&self) -> Vec<Icount> {
        self.driver.breakpoints.iter().copied().collect()
    }
}

/// Why a replay refuses to be changed.
fn unchangeable() -> ControlError {
    ControlError::NotNow(
        "a replay is what was recorded, and is not changed; `monitor go_live FILE` leaves it here, for a \
         recording of its own"
            .into(),
    )
}

impl Debugging for ReplayControl<'_> {
    fn set_stop_points(&mut self, points: Vec<StopPoint>) {
        self.console.debugger.set_points(points);
    }
    fn can_go_back(&self) -> bool {
        true
    }
    fn set_out(&mut self, motion: Motion) {
        self.console.debugger.set_out(motion);
        if self.driver.at_end && !motion.backward {
            self.console.debugger.stopped_by(self.session.machine().machine(), StopCause::End);
        } else if std::mem::replace(&mut self.driver.paused, false) {
            self.console.note(RunEvent::Resume);
        }
    }
    fn change(&mut self, _: Change) -> Result<(), ControlError> {
        Err(unchangeable())
    }
    fn serve_gdb(&mut self, device: Option<&str>) -> Result<(), ControlError> {
        self.console.serve_gdb_at(device)
    }
}

impl Door for ReplayControl<'_> {
    fn inject(&mut self, _event: Inbound) -> Result<(), ControlError> {
        Err(ControlError::replay_takes_nothing())
    }
}
