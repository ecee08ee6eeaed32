//! The terminal in raw mode, and back: on return, on error, on panic, and when a signal ends
//! the process.

use super::{HostEvent, HostEvents};
use rustix::termios::{InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::{Mutex, PoisonError};

/// How the terminal was before, while it is raw.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Raw mode, for as long as this lives.
#[derive(Debug)]
pub struct RawTerminal(());

impl RawTerminal {
    /// Puts the terminal at stdin into raw mode; `None` if stdin is no terminal. With `signals`
    /// ctrl-c still ends the process, without it goes to the guest.
    ///
    /// # Errors
    /// If the host refuses.
    pub fn enter(signals: bool) -> std::io::Result<Option<Self>> {
        let stdin = rustix::stdio::stdin();
        if !rustix::termios::isatty(stdin) {
            return Ok(None);
        }
        let before = rustix::termios::tcgetattr(stdin)?;
        let mut raw = before.clone();
        // Output processing stays as it is: the guest sends its own carriage returns.
        raw.input_modes &= !(InputModes::IGNBRK
            | InputModes::BRKINT
            | InputModes::PARMRK
            | InputModes::ISTRIP
            | InputModes::INLCR
            | InputModes::IGNCR
            | InputModes::ICRNL
            | InputModes::IXON);
        raw.local_modes &= !(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::IEXTEN);
        if !signals {
            raw.local_modes &= !LocalModes::ISIG;
        }
        raw.special_codes[SpecialCodeIndex::VMIN] = 1;
        raw.special_codes[SpecialCodeIndex::VTIME] = 0;
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        rustix::termios::tcsetattr(stdin, OptionalActions::Now, &raw)?;
        Ok(Some(Self(())))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Back to how the terminal was; harmless if it is so already.
pub fn restore() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before {
        // If this fails there is nothing left to do, and nobody to tell.
        let _ = rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &before);
    }
}

/// Restores the terminal before a panic is reported.
pub fn restore_on_panic() {
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        restore();
        previous(panic);
    }));
}

/// SIGTERM, SIGINT and SIGHUP ask for an orderly end; the second one ends the process at once.
///
/// # Errors
/// If the host cannot do it.
pub fn terminate_on_signals(events: HostEvents) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        let mut asked = false;
        for signal in signals.forever() {
            if std::mem::replace(&mut asked, true) || !events.send(HostEvent::Terminate) {
                restore();
                std::process::exit(128 + signal);
            }
        }
    })?;
    Ok(())
}

/// Whether stdin is a terminal.
pub fn stdin_is_terminal() -> bool {
    rustix::termios::isatty(rustix::stdio::stdin())
}

/// Whether stderr is a terminal.
pub fn stderr_is_terminal() -> bool {
    rustix::termios::isatty(rustix::stdio::stderr())
}
