//! Driving a replay: the console of the recorded run again, the monitor, seeking.

mod control;
mod driver;
mod reverse;
mod seek;

pub use seek::{Patience, Silently, seek};

use super::monitors::Monitors;
use super::{Console, marks};
use control::ReplayControl;
use dejavm_core::types::Icount;
use dejavm_core::vcpu::Engine;
use dejavm_monitor::control::StopCause;
use dejavm_monitor::profile::Site;
use dejavm_replay::session::{ReplaySession, SessionError};
use driver::Driver;
use std::fs::File;
use std::path::{Path, PathBuf};

/// A replay of a journal file on vCPU threads.
pub type FileReplay = ReplaySession<Engine, File>;

/// A journal that a replay goes on into when it is left.
#[derive(Debug)]
pub struct Branch {
    /// Its path.
    pub path: PathBuf,
    /// It, still empty.
    pub file: File,
}

/// How a driven replay ended.
#[derive(Debug)]
pub enum Ended {
    /// It came to the end of the journal.
    AtEnd,
    /// It came to the icount where it was to end.
    AtLimit,
    /// The user ended it.
    ByUser,
    /// The user leaves the recording here, to go on live.
    GoLive(Branch),
}

/// Replays until `until`, the end of the journal (where the monitor stays, if it is open), or
/// the user's wish.
///
/// # Errors
/// If the journal cannot be read or the replay diverges.
pub fn drive(
    session: &mut FileReplay,
    console: &mut Console,
    monitors: &mut Monitors,
    file: &str,
    until: Option<Icount>,
    start_paused: bool,
) -> Result<Ended, SessionError> {
    let started = session.position() > session.first();
    let marks = marks::load(Path::new(file));
    let mut driver = Driver::new(start_paused || console.in_monitor(), started, marks);
    let ended = run(session, console, monitors, file, until, &mut driver);
    if !matches!(ended, Ok(Ended::GoLive(_))) {
        console.dismiss_debugger();
        monitors.close(console);
    }
    ended
}

fn run(
    session: &mut FileReplay,
    console: &mut Console,
    monitors: &mut Monitors,
    file: &str,
    until: Option<Icount>,
    driver: &mut Driver,
) -> Result<Ended, SessionError> {
    if console.in_monitor() {
        console.greet();
    }
    loop {
        console.pump();
        console.drop_input();
        while let Some(line) = console.next_command() {
            let mut run = ReplayControl { session, console, file, driver };
            let text = monitors.execute(&line, &mut run);
            console.print(&text);
            if let Some(branch) = driver.branch.take() {
                return Ok(Ended::GoLive(branch));
            }
            if !console.quit_asked() {
                console.prompt();
            }
        }
        let incoming = console.take_incoming();
        let more = monitors.serve(&mut ReplayControl { session, console, file, driver }, incoming);
        console.answer_calls(|console, request| {
            monitors.answer(request, &mut ReplayControl { session, console, file, driver })
        });
        if let Some(branch) = driver.branch.take() {
            return Ok(Ended::GoLive(branch));
        }
        if console.quit_asked() {
            return Ok(Ended::ByUser);
        }
        if driver.paused {
            console.debugger.stopped_by(session.machine().machine(), StopCause::Interrupted);
            if !console.input_open() {
                return Ok(Ended::ByUser);
            }
            if !more {
                console.pause();
            }
            continue;
        }
        let profile = console.profile.clone();
        if let Some(ended) = profile.time(Site::Run, || driver.go_on(session, console, until))? {
            return Ok(ended);
        }
    }
}
