//! A live run, recorded or not, as the monitor sees it.

use crate::console::{Console, marks};
use dejavm_core::boundary::{Change, Inbound, StopPoint};
use dejavm_core::machine::Machine;
use dejavm_core::types::Icount;
use dejavm_core::vcpu::Engine;
use dejavm_monitor::control::{
    ControlError, Debugging, Door, Execution, Inspect, Marks, Mode, Motion, RunEvent, RunState, StopCause,
    Timeline,
};
use dejavm_replay::checkpoint::Summary;
use dejavm_replay::session::LiveSession;
use dejavm_replay::session::live::Log;
use std::path::Path;

/// Whether the run goes on.
pub(super) struct Standing {
    /// It stands still.
    pub paused: bool,
    /// It has gone on at some time.
    pub started: bool,
    /// Its named places so far.
    pub marks: Marks,
}

/// A live run, as the monitor sees it.
pub(super) struct LiveControl<'a, L> {
    pub session: &'a mut LiveSession<Engine, L>,
    pub console: &'a mut Console,
    pub mode: &'a Mode,
    pub standing: &'a mut Standing,
}

impl<L: Log> Inspect for LiveControl<'_, L> {
    fn machine(&mut self) -> &mut Machine {
        self.session.machine().machine()
    }
}

impl<L: Log> Execution for LiveControl<'_, L> {
    fn run_state(&self) -> RunState {
        if self.session.ended().is_some() {
            RunState::Shutdown
        } else if self.standing.paused {
            if self.standing.started { RunState::Paused } else { RunState::Prelaunch }
        } else {
            RunState::Running
        }
    }
    fn stop(&mut self) {
        if !std::mem::replace(&mut self.standing.paused, true) {
            self.console.note(RunEvent::Stop);
        }
    }
    fn resume(&mut self) -> Result<(), ControlError> {
        self.standing.started = true;
        self.console.debugger.disarm();
        if std::mem::replace(&mut self.standing.paused, false) {
            self.console.note(RunEvent::Resume);
        }
        Ok(())
    }
    fn step(&mut self, _count: u64) -> Result<(), ControlError> {
        Err(ControlError::NotNow("single steps are for replays: record the run, then replay it".into()))
    }
    fn take_events(&mut self) -> Vec<RunEvent> {
        self.console.take_run_events()
    }
    fn quit(&mut self) {
        self.console.ask_to_quit();
    }
}

impl<L: Log> Timeline for LiveControl<'_, L> {
    fn mode(&self) -> Mode {
        self.mode.clone()
    }
    fn marks(&mut self) -> Option<&mut Marks> {
        matches!(self.mode, Mode::Record { .. }).then_some(&mut self.standing.marks)
    }
    fn keep_marks(&mut self) -> Result<(), ControlError> {
        match self.mode {
            Mode::Record { file } => marks::keep(Path::new(file), &self.standing.marks),
            Mode::Live | Mode::Replay { .. } => Ok(()),
        }
    }
    fn checkpoints(&mut self) -> Option<Summary> {
        self.session.checkpoints().map(|store| store.summary())
    }
    fn seek(&mut self, _icount: Icount) -> Result<(), ControlError> {
        Err(ControlError::NotNow("replay must be enabled to seek".into()))
    }
    fn go_live(&mut self, _path: &str) -> Result<(), ControlError> {
        Err(ControlError::NotNow("the run is live already".into()))
    }
    fn set_break(&mut self, _icount: Icount) -> Result<(), ControlError> {
        Err(ControlError::NotNow("setting the breakpoint is allowed only in play mode".into()))
    }
    fn begin_seek(&mut self, icount: Icount) -> Result<(), ControlError> {
        self.seek(icount)
    }
    fn last_icount(&self) -> Option<Icount> {
        None
    }
    fn delete_break(&mut self, _icount: Option<Icount>) -> Result<(), ControlError> {
        Err(ControlError::NotNow("replay breakpoints are allowed only in play mode".into()))
    }
    fn breaks(&self) -> Vec<Icount> {
        Vec::new()
    }
}

impl<L: Log> Debugging for LiveControl<'_, L> {
    fn set_stop_points(&mut self, points: Vec<StopPoint>) {
        self.console.debugger.set_points(points);
    }
    fn can_go_back(&self) -> bool {
        false
    }
    fn set_out(&mut self, motion: Motion) {
        self.console.debugger.set_out(motion);
        if motion.backward {
            // A replay that was left, and the client does not know.
            self.console.debugger.stopped_by(self.session.machine().machine(), StopCause::Begin);
            return;
        }
        self.standing.started = true;
        if std::mem::replace(&mut self.standing.paused, false) {
            self.console.note(RunEvent::Resume);
        }
    }
    fn change(&mut self, change: Change) -> Result<(), ControlError> {
        // Its watchpoints are not for what the debugger itself writes.
        self.console.debugger.disarm();
        if let Some(why) = self.session.machine().machine().refusal(&change) {
            return Err(ControlError::Failed(why));
        }
        self.session.debug(change, self.console).map_err(|error| ControlError::Failed(error.to_string()))
    }
    fn serve_gdb(&mut self, device: Option<&str>) -> Result<(), ControlError> {
        self.console.serve_gdb_at(device)
    }
}

impl<L: Log> Door for LiveControl<'_, L> {
    fn inject(&mut self, event: Inbound) -> Result<(), ControlError> {
        if event == Inbound::PowerButton {
            self.console.note(RunEvent::Powerdown);
        }
        self.console.request(event);
        Ok(())
    }
}
