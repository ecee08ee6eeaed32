//! How far long work is, with its speed and the time left; only where someone looks at it.

use crate::hostio::terminal;
use dejavm_core::types::Icount;
use dejavm_replay::session::Observer;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::fmt::Write;

/// Progress over instructions, on stderr if that is a terminal.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// From `from` to `to`, in instructions.
    pub fn icount(doing: &'static str, from: u64, to: u64) -> Self {
        if !terminal::stderr_is_terminal() {
            return Self::hidden();
        }
        let bar = ProgressBar::with_draw_target(
            Some(to.saturating_sub(from)),
            ProgressDrawTarget::stderr_with_hz(8),
        );
        let style = ProgressStyle::with_template("{msg} [{bar:30}] {percent:>3}% {mips} MIPS, {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ")
            .with_key("mips", |state: &ProgressState, out: &mut dyn Write| {
                let _ = write!(out, "{:.1}", state.per_sec() / 1e6);
            });
        bar.set_style(style);
        bar.set_message(doing);
        Self { bar }
    }

    /// Over bytes, of which [`Self::done_of`] tells how many there are.
    pub fn bytes(doing: &'static str) -> Self {
        if !terminal::stderr_is_terminal() {
            return Self::hidden();
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
        let style =
            ProgressStyle::with_template("{msg} [{bar:30}] {percent:>3}% {bytes_per_sec}, {eta} left")
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> ");
        bar.set_style(style);
        bar.set_message(doing);
        Self { bar }
    }

    /// So much is done of so much.
    pub fn done_of(&self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    /// Shows nothing.
    pub fn hidden() -> Self {
        Self { bar: ProgressBar::hidden() }
    }

    /// So many instructions are done.
    pub fn done(&self, instructions: u64) {
        self.bar.set_position(instructions);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Progress of a replay over a stretch, as its observer.
pub struct ReplayProgress(Progress, Icount);

impl ReplayProgress {
    /// From `from` to `to`.
    pub fn new(doing: &'static str, from: Icount, to: Icount) -> Self {
        Self(Progress::icount(doing, from, to), from)
    }
}

impl Observer for ReplayProgress {
    fn progress(&mut self, icount: Icount, _total: Icount) -> bool {
        self.0.done(icount.saturating_sub(self.1));
        true
    }
}
