//! A live run, recorded or not, as the monitor sees it.

use crate::console::Console;
use dejavm_core::boundary::Inbound;
use dejavm_core::machine::Machine;
use dejavm_core::types::Icount;
use dejavm_core::vcpu::Engine;
use dejavm_monitor::control::{ControlError, Door, Execution, Inspect, Mode, RunState, Timeline};
use dejavm_replay::session::LiveSession;
use dejavm_replay::session::live::Log;

/// A live run, as the monitor sees it.
pub(super) struct LiveControl<'a, L> {
    pub session: &'a mut LiveSession<Engine, L>,
    pub console: &'a mut Console,
    pub mode: &'a Mode,
    pub paused: &'a mut bool,
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
        } else if *self.paused {
            RunState::Paused
        } else {
            RunState::Running
        }
    }
    fn stop(&mut self) {
        *self.paused = true;
    }
    fn resume(&mut self) -> Result<(), ControlError> {
        *self.paused = false;
        Ok(())
    }
    fn step(&mut self, _count: u64) -> Result<(), ControlError> {
        Err(ControlError::NotNow("single steps are for replays: record the run, then replay it".into()))
    }
    fn quit(&mut self) {
        self.console.ask_to_quit();
    }
}

impl<L: Log> Timeline for LiveControl<'_, L> {
    fn mode(&self) -> Mode {
        self.mode.clone()
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
    fn delete_break(&mut self) -> Result<(), ControlError> {
        Err(ControlError::NotNow("replay breakpoints are allowed only in play mode".into()))
    }
}

impl<L: Log> Door for LiveControl<'_, L> {
    fn inject(&mut self, event: Inbound) -> Result<(), ControlError> {
        self.console.request(event);
        Ok(())
    }
}
