//! How far apart checkpoints are.

use dejavm_core::types::Icount;

/// When the next checkpoint is due; where the host cannot keep up, fewer are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spacing {
    /// They are at least so far apart.
    pub least_icount: Icount,
    /// They are no farther apart than this, whatever they cost.
    pub most_icount: Icount,
    /// Between the two, one is taken when so many instructions ran for each page to be saved.
    pub icount_per_page: Icount,
}

impl Default for Spacing {
    /// An interpreter runs some 2^23 instructions in 40 ms, and the host copies a page in the time
    /// of some 200: that is 3 %, and more only where every instruction soils a page.
    fn default() -> Self {
        Self { least_icount: 1 << 23, most_icount: 1 << 25, icount_per_page: 1 << 13 }
    }
}

impl Spacing {
    /// For a translator, which runs some five times as many instructions in the same time.
    pub const FAST: Self = Self { least_icount: 1 << 25, most_icount: 1 << 27, icount_per_page: 1 << 15 };

    /// No more are taken between two that are no farther apart than this. Who measures another speed
    /// than those before would else take some in every stretch, and wait for them.
    pub fn close_icount(&self) -> Icount {
        self.most_icount.saturating_mul(2)
    }

    /// Whether one is due, `since` instructions after the last, with so many pages to be saved.
    pub fn is_due(&self, since: Icount, unsaved_pages: usize) -> bool {
        since >= self.most_icount
            || (since >= self.least_icount && since / self.icount_per_page >= unsaved_pages as u64)
    }
}
