//! What the translator did, for whoever wants to know.

use iced_x86::Code;

/// Counts since the machine was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JitStats {
    /// Blocks translated.
    pub blocks: u64,
    /// Guest instructions in them.
    pub guest_instructions: u64,
    /// Guest bytes in them.
    pub guest_bytes: u64,
    /// Host bytes made of them.
    pub host_bytes: u64,
    /// Blocks that are kept now.
    pub cached_blocks: u64,
    /// Bytes of host code that are kept now, or were and are in the way until all is forgotten.
    pub cached_bytes: u64,
    /// Nanoseconds of host time spent translating, if somebody lent a clock.
    pub translating_ns: u64,
    /// Blocks forgotten because their page was overwritten.
    pub dropped: u64,
    /// Times that all was forgotten.
    pub flushes: u64,
    /// Jumps linked from block to block.
    pub links: u64,
    /// Times that generated code was entered.
    pub entries: u64,
    /// Times that it was left for want of budget.
    pub starved: u64,
    /// Times that it was left by a jump whose target was not known.
    pub unlinked: u64,
    /// Times that it was left behind an interpreted instruction: a fault, an event, a device.
    pub left: u64,
    /// Instructions that generated code had interpreted.
    pub interpreted: u64,
    /// Those of them that could not have been translated.
    pub untranslated: u64,
}

/// Counts of instructions by form.
pub struct FormCounts(Vec<u64>);

impl Default for FormCounts {
    fn default() -> Self {
        Self(vec![0; Code::values().len()])
    }
}

impl FormCounts {
    /// One more.
    #[inline]
    pub fn count(&mut self, code: Code) {
        self.0[code as usize] += 1;
    }

    /// The forms that were, the most frequent first.
    pub fn forms(&self) -> Vec<(Code, u64)> {
        let counts = Code::values().zip(self.0.iter().copied());
        let mut forms: Vec<_> = counts.filter(|(_, n)| *n != 0).collect();
        forms.sort_by_key(|(code, n)| (std::cmp::Reverse(*n), *code as usize));
        forms
    }
}
