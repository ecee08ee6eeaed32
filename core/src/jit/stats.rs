//! What the translator did, for whoever wants to know.

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
