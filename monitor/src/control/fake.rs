//! A run that is not there: what the monitor's tests talk to.

use super::{Control, ControlError, Mode, RunState};
use dejavm_core::boundary::{Inbound, Position};
use dejavm_core::cpu::CpuState;
use dejavm_core::types::{Gpa, Icount, VcpuId};

/// Remembers what it was told; memory is 64 KiB, the same at physical and virtual addresses.
pub(crate) struct Fake {
    pub state: RunState,
    pub mode: Mode,
    pub icount: Icount,
    pub cpus: Vec<CpuState>,
    pub memory: Vec<u8>,
    pub told: Vec<String>,
}

impl Fake {
    pub fn new(mode: Mode) -> Self {
        Self {
            state: RunState::Paused,
            mode,
            icount: 50,
            cpus: vec![CpuState::reset(0)],
            memory: vec![0; 0x1_0000],
            told: Vec::new(),
        }
    }

    pub fn replay() -> Self {
        Self::new(Mode::Replay { file: "run.dj".into() })
    }
}

impl Control for Fake {
    fn run_state(&self) -> RunState {
        self.state
    }
    fn mode(&self) -> Mode {
        self.mode.clone()
    }
    fn position(&mut self) -> Position {
        Position { icount: self.icount, now_ns: self.icount }
    }
    fn stop(&mut self) {
        self.state = RunState::Paused;
    }
    fn resume(&mut self) -> Result<(), ControlError> {
        self.state = RunState::Running;
        Ok(())
    }
    fn quit(&mut self) {
        self.told.push("quit".into());
    }
    fn step(&mut self, count: u64) -> Result<(), ControlError> {
        self.icount += count;
        Ok(())
    }
    fn seek(&mut self, icount: Icount) -> Result<(), ControlError> {
        if !matches!(self.mode, Mode::Replay { .. }) {
            return Err(ControlError::NotNow("replay must be enabled to seek".into()));
        }
        self.icount = icount;
        Ok(())
    }
    fn set_break(&mut self, icount: Icount) -> Result<(), ControlError> {
        self.told.push(format!("break {icount}"));
        Ok(())
    }
    fn delete_break(&mut self) -> Result<(), ControlError> {
        self.told.push("delete_break".into());
        Ok(())
    }
    fn vcpus(&mut self) -> usize {
        self.cpus.len()
    }
    fn cpu_state(&mut self, vcpu: VcpuId) -> Option<CpuState> {
        self.cpus.get(vcpu).cloned()
    }
    fn read_physical(&mut self, gpa: Gpa, bytes: &mut [u8]) -> bool {
        let Ok(start) = usize::try_from(gpa.0) else { return false };
        let Some(source) = start.checked_add(bytes.len()).and_then(|end| self.memory.get(start..end)) else {
            return false;
        };
        bytes.copy_from_slice(source);
        true
    }
    fn read_virtual(&mut self, _: VcpuId, address: u64, bytes: &mut [u8]) -> bool {
        self.read_physical(Gpa(address), bytes)
    }
    fn inject(&mut self, event: Inbound) -> Result<(), ControlError> {
        self.told.push(format!("{event:?}"));
        Ok(())
    }
}
