//! How a guest's crash is noticed: its kernel says so (pvpanic), a triple fault, or what it prints.

use dejavm_core::boundary::{Outbound, ResetCause};
use dejavm_core::types::Icount;
use dejavm_monitor::condition::{ConsoleLines, Pattern};
use regex::bytes::{Regex, RegexBuilder};

/// How long the guest goes on after it crashed, so that it can print why.
pub const AFTERMATH_ICOUNT: Icount = 50_000_000;

/// What Linux prints when it panics.
pub const PANIC_REGEX: &str = "Kernel panic - not syncing";

/// How large a pattern may become.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// What showed a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashSign {
    /// The guest's kernel told the machine.
    Pvpanic,
    /// A vCPU could not even deliver its double fault.
    TripleFault,
    /// A line of the console.
    Console,
}

impl CrashSign {
    /// For messages.
    pub fn text(self) -> &'static str {
        match self {
            Self::Pvpanic => "its kernel panicked (pvpanic)",
            Self::TripleFault => "triple fault",
            Self::Console => "the console says so",
        }
    }

    /// Whether the guest still has something to say.
    pub fn has_aftermath(self) -> bool {
        self != Self::TripleFault
    }
}

/// Looks for crashes in what a machine gives out.
#[derive(Debug)]
pub struct CrashWatch {
    patterns: Vec<Pattern>,
    lines: ConsoleLines,
    sign: Option<CrashSign>,
}

impl CrashWatch {
    /// Besides pvpanic and triple faults, a line of any UART that matches one of these tells of a
    /// crash.
    pub fn new(regexes: &[Regex]) -> Self {
        let pattern = |port| move |regex: &Regex| Pattern { port, regex: regex.clone() };
        let patterns = regexes.iter().map(pattern(0)).chain(regexes.iter().map(pattern(1))).collect();
        Self { patterns, lines: ConsoleLines::default(), sign: None }
    }

    /// Sees what the machine gave out.
    pub fn see(&mut self, event: &Outbound) {
        let sign = match event {
            Outbound::GuestPanic(_) => Some(CrashSign::Pvpanic),
            Outbound::Reset(ResetCause::TripleFault) => Some(CrashSign::TripleFault),
            Outbound::Serial { .. } => {
                self.lines.take(event, &self.patterns);
                (0..self.patterns.len()).any(|k| self.lines.matched(k)).then_some(CrashSign::Console)
            }
            Outbound::Reset(_) | Outbound::DebugConsole(_) | Outbound::PowerOff | Outbound::DebugExit(_) => {
                None
            }
        };
        self.sign = self.sign.or(sign);
    }

    /// The first sign of a crash.
    pub fn sign(&self) -> Option<CrashSign> {
        self.sign
    }
}

/// A regex for lines of the console.
///
/// # Errors
/// What is wrong with it.
pub fn line_regex(text: &str) -> Result<Regex, String> {
    RegexBuilder::new(text).size_limit(MAX_REGEX_BYTES).unicode(false).build().map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(events: &[Outbound]) -> Option<CrashSign> {
        let mut watch = CrashWatch::new(&[line_regex(PANIC_REGEX).unwrap()]);
        events.iter().for_each(|event| watch.see(event));
        watch.sign()
    }

    fn printed(port: u8, text: &str) -> Vec<Outbound> {
        text.bytes().map(|byte| Outbound::Serial { port, byte }).collect()
    }

    #[test]
    fn signs_of_a_crash() {
        assert_eq!(sign(&printed(0, "[ 1.0] Kernel panic - not syncing: no init")), Some(CrashSign::Console));
        assert_eq!(sign(&printed(1, "Kernel panic - not syncing")), Some(CrashSign::Console));
        assert_eq!(sign(&printed(0, "Kernel panic - not\n syncing")), None);
        assert_eq!(sign(&[Outbound::GuestPanic(1)]), Some(CrashSign::Pvpanic));
        assert_eq!(sign(&[Outbound::Reset(ResetCause::TripleFault)]), Some(CrashSign::TripleFault));
        assert_eq!(sign(&[Outbound::Reset(ResetCause::Button), Outbound::PowerOff]), None);
    }
}
