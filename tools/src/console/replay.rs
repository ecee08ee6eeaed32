//! Driving a replay: the console of the recorded run again, the monitor, seeking.

use super::{Console, control, trace_inbound};
use crate::progress::Progress;
use dejavm_core::boundary::{Inbound, Position};
use dejavm_core::cpu::CpuState;
use dejavm_core::types::{Gpa, Icount, VcpuId};
use dejavm_core::vcpu::Engine;
use dejavm_monitor::control::{Control, ControlError, Mode, RunState};
use dejavm_monitor::hmp::Hmp;
use dejavm_replay::journal::Reader;
use dejavm_replay::session::{Observer, ReplaySession, ReplayStop, SessionError};
use dejavm_trace::probe;
use std::fs::File;
use std::path::Path;

/// A replay of a journal file on vCPU threads.
pub type FileReplay = ReplaySession<Engine, File>;

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
    let from = if icount < here { 0 } else { here };
    // Nobody watches on the way.
    control::clear_probes(session.machine().machine());
    let progress = Progress::icount("seeking", from, icount);
    session.seek(icount, &mut Silently::new(&progress, from, console))
}

/// How a driven replay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It came to the end of the journal.
    AtEnd,
    /// It came to the icount where it was to end.
    AtLimit,
    /// The user ended it.
    ByUser,
}

/// What the one who drives remembers.
struct Driver {
    paused: bool,
    started: bool,
    at_end: bool,
    breakpoint: Option<Icount>,
    /// What came in during the recorded run, for trace events.
    inbound: Vec<(Position, Inbound)>,
}

/// The instructions between two looks at the probes.
const STRETCH_ICOUNT: Icount = 1 << 22;

/// Replays until `until`, the end of the journal (where the monitor stays, if it is open), or
/// the user's wish.
///
/// # Errors
/// If the journal cannot be read or the replay diverges.
pub fn drive(
    session: &mut FileReplay,
    console: &mut Console,
    hmp: &mut Hmp,
    file: &str,
    until: Option<Icount>,
) -> Result<Ended, SessionError> {
    let in_monitor = console.in_monitor();
    let inbound = recorded_inbound(Path::new(file))?;
    let started = session.position() > Position::default();
    let mut driver = Driver { paused: in_monitor, started, at_end: false, breakpoint: None, inbound };
    if in_monitor {
        console.greet();
    }
    loop {
        console.pump();
        console.typed.clear();
        while let Some(line) = console.next_command() {
            let mut run = ReplayControl { session, console, file, driver: &mut driver };
            let text = hmp.execute(&line, &mut run);
            console.print(&text);
            if !console.quit_asked() {
                console.prompt();
            }
        }
        if console.quit_asked() {
            return Ok(Ended::ByUser);
        }
        if driver.paused {
            if !console.input_open() {
                return Ok(Ended::ByUser);
            }
            console.block(None);
            continue;
        }
        if let Some(ended) = driver.go_on(session, console, until)? {
            return Ok(ended);
        }
    }
}

/// All that came in during a recorded run.
fn recorded_inbound(journal: &Path) -> Result<Vec<(Position, Inbound)>, SessionError> {
    let mut reader = Reader::open(journal)?;
    let chunks: Vec<_> = reader.events_chunks().copied().collect();
    let mut events = Vec::new();
    for chunk in &chunks {
        events.extend(reader.read_events(chunk)?.events);
    }
    Ok(events)
}

impl Driver {
    /// One stretch of the replay.
    fn go_on(
        &mut self,
        session: &mut FileReplay,
        console: &mut Console,
        until: Option<Icount>,
    ) -> Result<Option<Ended>, SessionError> {
        let goal = [self.breakpoint, until].into_iter().flatten().min().unwrap_or(Icount::MAX);
        self.started = true;
        let from = session.position();
        console.set_position(from);
        control::set_probes(session.machine().machine(), &console.trace);
        let stretch = goal.min(from.icount.saturating_add(STRETCH_ICOUNT));
        let stop = session.run_until(stretch, console);
        self.write_trace(session, console, from, matches!(stop, Ok(ReplayStop::Ended)));
        match stop? {
            ReplayStop::Interrupted => Ok(None),
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

/// A replay, as the monitor sees it.
struct ReplayControl<'a> {
    session: &'a mut FileReplay,
    console: &'a mut Console,
    file: &'a str,
    driver: &'a mut Driver,
}

impl ReplayControl<'_> {
    fn go(&mut self, icount: Icount) -> Result<(), ControlError> {
        (self.driver.paused, self.driver.started, self.driver.at_end) = (true, true, false);
        match seek(self.session, icount, Some(self.console)) {
            Ok(ReplayStop::Interrupted) => Err(ControlError::Failed("interrupted".into())),
            Ok(ReplayStop::Reached | ReplayStop::Ended) => Ok(()),
            Err(SessionError::BeyondEnd { last, .. }) => Err(ControlError::NotNow(format!(
                "cannot seek to the specified instruction count: the recording ends at {last}"
            ))),
            Err(error) => Err(ControlError::Failed(error.to_string())),
        }
    }
}

impl Control for ReplayControl<'_> {
    fn run_state(&self) -> RunState {
        match self.driver {
            Driver { at_end: true, .. } => RunState::Shutdown,
            Driver { paused: false, .. } => RunState::Running,
            Driver { started: false, .. } => RunState::Prelaunch,
            Driver { .. } => RunState::Paused,
        }
    }
    fn mode(&self) -> Mode {
        Mode::Replay { file: self.file.to_owned() }
    }
    fn position(&mut self) -> Position {
        self.session.position()
    }
    fn stop(&mut self) {
        self.driver.paused = true;
    }
    fn resume(&mut self) -> Result<(), ControlError> {
        if self.driver.at_end {
            return Err(ControlError::NotNow("the recording ends here; replay_seek goes back".into()));
        }
        self.driver.paused = false;
        Ok(())
    }
    fn quit(&mut self) {
        self.console.ask_to_quit();
    }
    fn step(&mut self, count: u64) -> Result<(), ControlError> {
        let goal = self.session.position().icount.saturating_add(count);
        self.go(goal)
    }
    fn seek(&mut self, icount: Icount) -> Result<(), ControlError> {
        self.go(icount)
    }
    fn set_break(&mut self, icount: Icount) -> Result<(), ControlError> {
        self.driver.breakpoint = Some(icount);
        Ok(())
    }
    fn delete_break(&mut self) -> Result<(), ControlError> {
        self.driver.breakpoint = None;
        Ok(())
    }
    fn vcpus(&mut self) -> usize {
        self.session.machine().machine().vcpus().len()
    }
    fn cpu_state(&mut self, vcpu: VcpuId) -> Option<CpuState> {
        control::cpu_state(self.session.machine().machine(), vcpu)
    }
    fn read_physical(&mut self, gpa: Gpa, bytes: &mut [u8]) -> bool {
        control::read_physical(self.session.machine().machine(), gpa, bytes)
    }
    fn read_virtual(&mut self, vcpu: VcpuId, address: u64, bytes: &mut [u8]) -> bool {
        control::read_virtual(self.session.machine().machine(), vcpu, address, bytes)
    }
    fn inject(&mut self, _event: Inbound) -> Result<(), ControlError> {
        Err(ControlError::NotNow("a replay takes nothing in but what its journal holds".into()))
    }
}
