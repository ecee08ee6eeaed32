//! A run that goes nowhere: what the monitor's tests talk to.

use super::{
    ControlError, Debugging, Door, Execution, Inspect, Marks, Mode, Motion, RunEvent, RunState, Timeline,
};
use dejavm_core::boundary::{
    Change, DebuggerWrite, Images, Inbound, MachineConfig, Position, StopCondition, StopHit, StopPoint,
};
use dejavm_core::cpu::CpuState;
use dejavm_core::machine::Machine;
use dejavm_core::types::{Gpa, Icount};
use std::collections::BTreeSet;

/// RAM from address 0 up to here is there.
pub(crate) const RAM_BYTES: u64 = 8 << 20;

/// Where its recording ends.
pub(crate) const LAST_ICOUNT: Icount = 1_000_000;

/// Remembers what it was told. Its machine is one with vCPUs as after a reset.
pub(crate) struct Fake {
    pub state: RunState,
    pub mode: Mode,
    pub icount: Icount,
    pub machine: Machine,
    pub told: Vec<String>,
    pub breaks: BTreeSet<Icount>,
    pub events: Vec<RunEvent>,
    pub marks: Marks,
    /// What a search backward finds.
    pub hit: Option<StopHit>,
}

impl Fake {
    pub fn new(mode: Mode) -> Self {
        Self::with_vcpus(mode, 1)
    }

    pub fn with_vcpus(mode: Mode, vcpus: u32) -> Self {
        let mut fake = Self::booted(mode, vcpus);
        for id in 0..vcpus as usize {
            fake.machine.load_vcpu(id, CpuState::reset(id));
        }
        fake
    }

    /// With vCPU 0 where the kernel is entered, in 64-bit mode.
    pub fn booted(mode: Mode, vcpus: u32) -> Self {
        let config = MachineConfig { ram_bytes: RAM_BYTES, vcpus, ..MachineConfig::default() };
        let images = Images { kernel: kernel(), initrd: None };
        let machine = Machine::new(&config, images).expect("a machine of 8 MiB");
        Self {
            state: RunState::Paused,
            mode,
            icount: 50,
            machine,
            told: Vec::new(),
            breaks: BTreeSet::new(),
            events: Vec::new(),
            marks: Marks::new(),
            hit: None,
        }
    }

    pub fn replay() -> Self {
        Self::new(Mode::Replay { file: "run.dj".into() })
    }

    pub fn change_cpu(&mut self, change: impl FnOnce(&mut CpuState)) {
        let mut state = self.machine.vcpus()[0].state.clone();
        change(&mut state);
        self.machine.load_vcpu(0, state);
    }

    pub fn write(&mut self, gpa: u64, bytes: &[u8]) {
        self.machine.load_memory(Gpa(gpa), bytes);
    }
}

/// An ELF executable of one instruction at 1 MiB.
fn kernel() -> Vec<u8> {
    const AT: u64 = 1 << 20;
    let words = |words: &[u64]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
    let mut file = b"\x7FELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3E\0\x01\0\0\0".to_vec();
    file.extend(words(&[AT, 64, 0]));
    file.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 0, 0, 0, 0]);
    file.extend([1, 0, 0, 0, 7, 0, 0, 0]);
    file.extend(words(&[120, AT, AT, 1, 4096, 4096]));
    file.push(0xF4);
    file
}

impl Inspect for Fake {
    fn machine(&mut self) -> &mut Machine {
        &mut self.machine
    }
    fn position(&mut self) -> Position {
        Position { icount: self.icount, now_ns: self.icount }
    }
}

impl Execution for Fake {
    fn run_state(&self) -> RunState {
        self.state
    }
    fn stop(&mut self) {
        self.state = RunState::Paused;
    }
    fn resume(&mut self) -> Result<(), ControlError> {
        self.state = RunState::Running;
        Ok(())
    }
    fn step(&mut self, count: u64) -> Result<(), ControlError> {
        self.icount += count;
        Ok(())
    }
    fn take_events(&mut self) -> Vec<RunEvent> {
        std::mem::take(&mut self.events)
    }
    fn quit(&mut self) {
        self.told.push("quit".into());
    }
}

impl Timeline for Fake {
    fn mode(&self) -> Mode {
        self.mode.clone()
    }
    fn seek(&mut self, icount: Icount) -> Result<(), ControlError> {
        if !matches!(self.mode, Mode::Replay { .. }) {
            return Err(ControlError::NotNow("replay must be enabled to seek".into()));
        }
        self.icount = icount;
        Ok(())
    }
    fn go_live(&mut self, path: &str) -> Result<(), ControlError> {
        self.told.push(format!("go live {path}"));
        Ok(())
    }
    fn begin_seek(&mut self, icount: Icount) -> Result<(), ControlError> {
        self.seek(icount)
    }
    fn last_icount(&self) -> Option<Icount> {
        matches!(self.mode, Mode::Replay { .. }).then_some(LAST_ICOUNT)
    }
    fn set_break(&mut self, icount: Icount) -> Result<(), ControlError> {
        if !matches!(self.mode, Mode::Replay { .. }) {
            return Err(ControlError::NotNow("setting the breakpoint is allowed only in play mode".into()));
        }
        if icount < self.icount {
            return Err(ControlError::NotNow("cannot set breakpoint at the instruction in the past".into()));
        }
        self.breaks.insert(icount);
        Ok(())
    }
    fn delete_break(&mut self, icount: Option<Icount>) -> Result<(), ControlError> {
        if !matches!(self.mode, Mode::Replay { .. }) {
            return Err(ControlError::NotNow("replay breakpoints are allowed only in play mode".into()));
        }
        match icount {
            None => self.breaks.clear(),
            Some(icount) if self.breaks.remove(&icount) => {}
            Some(icount) => {
                return Err(ControlError::NotNow(format!("there is no replay breakpoint at {icount}")));
            }
        }
        Ok(())
    }
    fn last_hit(&mut self, condition: StopCondition) -> Result<Option<StopHit>, ControlError> {
        self.told.push(format!("{condition:?}"));
        self.icount = self.hit.map_or(self.icount, |hit| hit.icount);
        Ok(self.hit)
    }
    fn marks(&mut self) -> Option<&mut Marks> {
        (self.mode != Mode::Live).then_some(&mut self.marks)
    }
    fn breaks(&self) -> Vec<Icount> {
        self.breaks.iter().copied().collect()
    }
}

impl Debugging for Fake {
    fn set_stop_points(&mut self, points: Vec<StopPoint>) {
        self.told.push(format!("{} stop points", points.len()));
    }
    fn can_go_back(&self) -> bool {
        matches!(self.mode, Mode::Replay { .. })
    }
    fn set_out(&mut self, motion: Motion) {
        self.told.push(format!("{motion:?}"));
    }
    fn change(&mut self, change: Change) -> Result<(), ControlError> {
        if matches!(self.mode, Mode::Replay { .. }) {
            return Err(ControlError::NotNow("a replay is not changed".into()));
        }
        if let Some(why) = self.machine.refusal(&change) {
            return Err(ControlError::Failed(why));
        }
        self.machine.apply(&Inbound::Debugger(DebuggerWrite { begun: false, change }));
        Ok(())
    }
    fn serve_gdb(&mut self, device: Option<&str>) -> Result<(), ControlError> {
        self.told.push(format!("gdb at {}", device.unwrap_or("none")));
        match device {
            Some("nowhere") => Err(ControlError::Failed("there is no such place".into())),
            _ => Ok(()),
        }
    }
}

impl Door for Fake {
    fn inject(&mut self, event: Inbound) -> Result<(), ControlError> {
        if matches!(self.mode, Mode::Replay { .. }) {
            return Err(ControlError::replay_takes_nothing());
        }
        self.told.push(format!("{event:?}"));
        Ok(())
    }
}
