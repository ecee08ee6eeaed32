//! The exit statuses of the program: what a script or a CI job can tell from them.

use std::process::ExitCode;

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: all is well.
    Success,
    /// 3: a replay did not go as it was recorded, or two recordings differ.
    Divergence,
    /// 4: the journal is sound but torn: it was verified up to its last complete chunk.
    Torn,
    /// 5: what was looked for is not in the recording.
    NotFound,
    /// 6: the guest crashed, and what led up to it is kept.
    Crashed,
    /// The guest wrote `code` to its debug-exit port: `(code << 1) | 1`, as QEMU's
    /// isa-debug-exit has it, cut to 8 bits.
    ///
    /// Code 0 (of seven bits) shares its status with [`ERROR`]: scripts know the mapping from
    /// QEMU, so it stays. The other statuses of `run` and `record` are even.
    Guest(u32),
}

/// 1: something went wrong, and the message says what.
pub const ERROR: u8 = 1;
/// 2: the command line is wrong.
pub const USAGE: u8 = 2;

/// For `--help`.
pub const HELP: &str = "\
Exit status:
  0  success: the guest powered off, or the user quit; a verified journal is equal
  1  error: the message says what, where, and what to do
  2  the command line is wrong
  3  divergence: a replay did not go as it was recorded; diff: the recordings differ
  4  verify: equal as far as it goes, but the recording was torn (its recorder was killed)
  5  bisect: the condition holds nowhere in the recording
  6  record --save-on-crash: the guest crashed, and what led up to it is in the journal
  (code << 1) | 1  run, record: the guest wrote `code` to the debug-exit port F4h, as with
     QEMU's isa-debug-exit; of seven bits. Code 0 gives 1, like an error: let guests use
     others (the message on stderr tells them apart). Code 1 gives 3, which run and record
     give for nothing else.";

impl Exit {
    /// The status that the shell sees.
    pub fn status(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Divergence => 3,
            Self::Torn => 4,
            Self::NotFound => 5,
            Self::Crashed => 6,
            Self::Guest(code) => ((code << 1) | 1) as u8,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.status())
    }
}

#[cfg(test)]
mod tests {
    use super::{ERROR, Exit, USAGE};

    #[test]
    fn debug_exit_is_mapped_as_qemu_maps_it() {
        assert_eq!(Exit::Guest(0).status(), 1);
        assert_eq!(Exit::Guest(0x10).status(), 33);
        assert_eq!(Exit::Guest(0x11).status(), 35);
    }

    #[test]
    fn only_debug_exit_0_looks_like_anything_else_that_a_recording_gives() {
        let others = [Exit::Success.status(), ERROR, USAGE];
        let alike: Vec<_> = (0..0x80).filter(|&code| others.contains(&Exit::Guest(code).status())).collect();
        assert_eq!(alike, [0]);
    }
}
