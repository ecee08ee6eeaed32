//! A live run, recorded or not, as the monitor sees it.

use crate::console::Console;
use dejavm_core::boundary::Inbound;
use dejavm_core::machine::Machine;
use dejavm_core::types::Icount;
use dejavm_core::vcpu::Engine;
use dejavm_monitor::control::{ControlError, Door, Execution, Inspect, Mode, RunEvent, RunState, Timeline};
use dejavm_replay::checkpoint::Summary;
use dejavm_replay::session::LiveSession;
use dejavm_replay::session::live::Log;

/// Whether the run goes on.
pub(super) struct Standing {
    /// It stands still.
    pub paused: bool,
    /// It has gone on at some time.
    pub started: bool,
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

impl<L: Log> Door for LiveControl<'_, L> {
    fn inject(&mut self, event: Inbound) -> Result<(), ControlError> {
        if event == Inbound::PowerButton {
            self.console.note(RunEvent::Powerdown);
        }
        self.console.request(event);
        Ok(())
    }
}
