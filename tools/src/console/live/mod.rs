//! Driving a run with input from outside, recorded or not.

mod control;

use super::crash::AFTERMATH_ICOUNT;
use super::monitors::Monitors;
use super::{Console, look};
use crate::error::Failure;
use control::{LiveControl, Standing};
use dejavm_core::boundary::{Inbound, Outbound};
use dejavm_core::types::Icount;
use dejavm_core::vcpu::Engine;
use dejavm_monitor::control::{Marks, Mode, RunEvent, StopCause};
use dejavm_monitor::profile::Site;
use dejavm_replay::journal::EndReason;
use dejavm_replay::session::live::Log;
use dejavm_replay::session::{Host, LiveSession, Observer, Step, Waited};
use std::time::{Duration, Instant};

impl Observer for Console {
    fn outbound(&mut self, event: Outbound) {
        self.show(&event);
    }

    fn progress(&mut self, _icount: Icount, _total_icount: Icount) -> bool {
        !self.wants_attention()
    }
}

impl Host for Console {
    fn next_inbound(&mut self, room: &mut dyn FnMut(u8) -> usize) -> Option<Inbound> {
        self.pump();
        self.next_for_machine(room)
    }

    fn has_backlog(&self) -> bool {
        Console::has_backlog(self)
    }

    fn flush_due(&mut self) -> bool {
        self.flushed_at.elapsed() >= super::FLUSH_AFTER
    }

    fn flushed(&mut self) {
        self.flushed_at = Instant::now();
    }

    fn wait(&mut self, max_ns: Option<u64>) -> Waited {
        self.pump();
        if self.wants_attention() || !self.requests.is_empty() {
            return Waited::Elapsed(0);
        }
        // A guest that crashed may wait for ever.
        if self.crash().is_some() || (!self.input_open() && !Console::has_backlog(self)) {
            return Waited::NoMoreInput;
        }
        let start = Instant::now();
        self.block(max_ns.map(Duration::from_nanos));
        self.profile.note(Site::Idle, start.elapsed());
        Waited::Elapsed(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

/// What monitors give to a machine that stands still; what is typed waits until it goes on.
struct Requests<'a>(&'a mut Console);

impl Observer for Requests<'_> {
    fn outbound(&mut self, event: Outbound) {
        self.0.show(&event);
    }
}

impl Host for Requests<'_> {
    fn next_inbound(&mut self, _: &mut dyn FnMut(u8) -> usize) -> Option<Inbound> {
        self.0.requests.pop_front()
    }
    fn has_backlog(&self) -> bool {
        false
    }
    fn flush_due(&mut self) -> bool {
        Host::flush_due(self.0)
    }
    fn flushed(&mut self) {
        Host::flushed(self.0);
    }
    fn wait(&mut self, _: Option<u64>) -> Waited {
        Waited::Elapsed(0)
    }
}

/// Runs until the guest ends the run (the reason), or the user does (`None`).
///
/// # Errors
/// If the journal cannot be written.
pub fn drive<L: Log>(
    session: &mut LiveSession<Engine, L>,
    console: &mut Console,
    monitors: &mut Monitors,
    mode: &Mode,
    start_paused: bool,
) -> Result<Option<EndReason>, Failure> {
    console.events().set_kicker(session.machine().kicker());
    let marks = Marks::new();
    let mut standing = Standing { paused: start_paused, started: !start_paused, marks };
    let ended = run(session, console, monitors, mode, &mut standing);
    console.dismiss_debugger();
    monitors.close(console);
    ended
}

fn run<L: Log>(
    session: &mut LiveSession<Engine, L>,
    console: &mut Console,
    monitors: &mut Monitors,
    mode: &Mode,
    standing: &mut Standing,
) -> Result<Option<EndReason>, Failure> {
    let mut crash_ends = None;
    if console.in_monitor() {
        console.greet();
    }
    loop {
        console.pump();
        while let Some(line) = console.next_command() {
            let mut run = LiveControl { session, console, mode, standing };
            let text = monitors.execute(&line, &mut run);
            console.print(&text);
            if !console.quit_asked() {
                console.prompt();
            }
        }
        let incoming = console.take_incoming();
        let mut control = LiveControl { session, console, mode, standing };
        let more = monitors.serve(&mut control, incoming);
        console.answer_calls(|console, request| {
            monitors.answer(request, &mut LiveControl { session, console, mode, standing })
        });
        if console.quit_asked() {
            return Ok(None);
        }
        if standing.paused && !console.requests.is_empty() {
            // What a monitor does to a machine is done when it answers.
            session.admit(&mut Requests(console)).map_err(|e| Failure::new(e.to_string()))?;
            if let Some(reason) = session.ended() {
                console.part_from_debugger();
                return Ok(Some(reason));
            }
            continue;
        }
        if standing.paused {
            console.debugger.stopped_by(session.machine().machine(), StopCause::Interrupted);
            if !console.input_open() {
                return Ok(None);
            }
            if !more {
                console.pause();
            }
            continue;
        }
        if more {
            // Whoever still has something to ask is not to wait until the machine is idle.
            console.events().kick();
        }
        let trace = console.trace.clone();
        let machine = session.machine().machine();
        look::set_probes(machine, &trace);
        console.debugger.arm(machine);
        let profile = console.profile.clone();
        let step =
            profile.time(Site::Run, || session.step(console)).map_err(|e| Failure::new(e.to_string()))?;
        look::write_probes(session.machine().machine(), &trace);
        if let Some(stopped) = console.debugger.take_stop(session.machine().machine()) {
            standing.paused = true;
            console.note(RunEvent::Stop);
            console.debugger.stopped(stopped);
        }
        if let Step::Ended(reason) = step {
            let status = if let EndReason::DebugExit(code) = reason { code as u8 } else { 0 };
            console.debugger.stopped_by(session.machine().machine(), StopCause::Exited(status));
            console.part_from_debugger();
            return Ok(Some(reason));
        }
        if let Some(sign) = console.crash() {
            let here = session.machine().machine().position().icount;
            let aftermath = if sign.has_aftermath() { AFTERMATH_ICOUNT } else { 0 };
            if here >= *crash_ends.get_or_insert(here + aftermath) {
                session.end(EndReason::Crashed);
                return Ok(Some(EndReason::Crashed));
            }
        }
    }
}
