//! Where the guest's arithmetic flags are: in AX, in the host's flags, or in both.

use super::Emitter;
use super::lazy::Redo;

/// Which guest flags are in the host's flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// None of them.
    None,
    /// All but OF.
    NoOf,
    /// All six.
    All,
}

/// Where the guest's arithmetic flags are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FlagState {
    /// In AX.
    pub(super) ax: bool,
    /// Which of them are in the host's flags.
    pub(super) host: Host,
    /// How to make them again.
    pub(super) redo: Option<Redo>,
}

impl FlagState {
    /// They are in AX alone.
    pub(super) const SAVED: Self = Self { ax: true, host: Host::None, redo: None };
}

impl Emitter<'_> {
    /// Makes AX hold the flags.
    pub(super) fn save_flags(&mut self) {
        if !self.flags.ax {
            if self.flags.host != Host::All {
                let redo = self.flags.redo.expect("flags are saved, or can be made again, or nobody asks");
                redo.emit(&mut self.asm);
            }
            self.asm.save_flags();
            self.flags.ax = true;
        }
    }

    /// Host flags may be overwritten from here on.
    pub fn spoil_flags(&mut self) {
        self.save_flags();
        self.flags.host = Host::None;
    }

    /// The guest's flags were all made anew in AX.
    pub fn flags_made(&mut self) {
        self.flags = FlagState::SAVED;
    }

    /// Guest flags in the host's flags.
    pub fn need_flags(&mut self, need: Host) {
        if self.flags.host >= need {
            return;
        }
        debug_assert!(self.flags.ax);
        if need == Host::NoOf {
            self.asm.sahf();
            self.flags.host = Host::NoOf;
        } else {
            self.asm.restore_flags();
            self.flags.ax = false;
            self.flags.host = Host::All;
        }
    }

    /// The last host instruction left all guest flags in the host's.
    pub fn flags_written(&mut self) {
        self.flags = FlagState { ax: false, host: Host::All, redo: None };
    }

    /// From AX to the state that the code behind expects.
    pub(super) fn restore_as(&mut self, want: FlagState) {
        match want.host {
            Host::None => {}
            Host::NoOf => self.asm.sahf(),
            Host::All => {
                self.asm.restore_flags();
                if want.ax {
                    // AH is as it was.
                    self.asm.put(&[0x0F, 0x90, 0xC0]);
                }
            }
        }
    }
}

/// What of the flags condition `cc` depends on.
pub fn needs_of(cc: u8) -> Host {
    match cc >> 1 {
        1 | 2 | 3 | 4 | 5 => Host::NoOf,
        _ => Host::All,
    }
}
