//! What a condition knows of the console: the lines as they come, and which patterns they have
//! matched.

use super::Pattern;
use dejavm_core::boundary::Outbound;

/// Of a line longer than this only its end is looked at.
const MAX_LINE_BYTES: usize = 16 << 10;

/// The lines of the UARTs, as far as they have come.
#[derive(Clone, Debug, Default)]
pub struct ConsoleLines {
    lines: [Vec<u8>; 2],
    matched: Vec<bool>,
}

impl ConsoleLines {
    /// Takes in what the machine gave out, and notes which patterns have matched by now.
    pub fn take(&mut self, event: &Outbound, patterns: &[Pattern]) {
        let Outbound::Serial { port, byte } = event else { return };
        let Some(line) = self.lines.get_mut(usize::from(*port)) else { return };
        self.matched.resize(patterns.len(), false);
        if *byte == b'\n' {
            line.clear();
            return;
        }
        if line.len() >= MAX_LINE_BYTES {
            line.drain(..MAX_LINE_BYTES / 2);
        }
        line.push(*byte);
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        for (pattern, matched) in patterns.iter().zip(&mut self.matched) {
            *matched |= pattern.port == *port && pattern.regex.is_match(text);
        }
    }

    /// Whether a line has matched a pattern so far.
    pub fn matched(&self, pattern: usize) -> bool {
        self.matched.get(pattern).copied().unwrap_or(false)
    }
}
