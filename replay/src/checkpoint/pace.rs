//! How far apart checkpoints are to be, as the host shows it: so far that running from one to the next
//! takes a blink of an eye, and so few that copying pages takes a small part of the run.
//!
//! It is time that counts, not instructions: where a guest forks processes, a translator runs a
//! twentieth of what it does in a loop, and instructions measured over a second say nothing of the
//! next tenth.
//!
//! The host's time decides where checkpoints lie, and so how fast things are; what comes out does not
//! depend on where they lie.

use super::spacing::Spacing;
use super::store::Store;
use dejavm_core::types::Icount;
use std::time::Duration;

/// Running from a checkpoint to the next one takes so long, where few pages are written.
const STRETCH_S: f64 = 0.04;
/// Copying pages, and taking them in beside the run, may take this part of it.
const PAGE_SHARE: f64 = 0.03;
/// Copying pages alone, for which the run stands still, may take this part of it: what it costs to note the
/// first store to each page again comes on top.
const COPY_SHARE: f64 = 0.02;
/// Where many pages are written, checkpoints are so many times farther apart at most, if they can be copied
/// in that share of the time.
const MOST_STRETCHES: u32 = 4;
/// So many times farther apart at most, whatever it costs.
const LAST_STRETCHES: u32 = 6;
/// Between two that are there already, another one is taken only where running from the one before
/// takes so many stretches. Whoever is a little slower than those before would else take some
/// everywhere, and wait for them.
const CLOSE_STRETCHES: u32 = 2 * MOST_STRETCHES;
/// What is older counts half as much.
const REMEMBERED_S: f64 = 1.0;
/// Before so much was measured, what was assumed holds.
const ENOUGH_S: f64 = 0.02;
/// Whatever is measured, they lie within these bounds: a host that is busy with other things makes no
/// more of them than one that is slow.
const BOUNDS_ICOUNT: (Icount, Icount) = (1 << 22, 15 << 24);
/// What is farther apart than this has lost those between.
const LOST_ICOUNT: Icount = 1 << 28;

/// Decides how far apart checkpoints are: as told, or by what it is told of the run.
#[derive(Clone, Debug)]
pub struct Pace {
    spacing: Spacing,
    measures: bool,
    run: Sum,
    copied: Sum,
    kept: Sum,
    /// The last checkpoint, or where the run was taken up.
    from: Icount,
    /// How long it has run since.
    since: Duration,
}

/// So much was done in so much time, lately.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    amount: f64,
    seconds: f64,
}

impl Sum {
    fn add(&mut self, amount: f64, time: Duration) {
        if self.seconds > REMEMBERED_S {
            self.amount /= 2.0;
            self.seconds /= 2.0;
        }
        self.amount += amount;
        self.seconds += time.as_secs_f64();
    }

    /// The seconds that one took, if any was measured.
    fn per_unit(&self) -> f64 {
        if self.amount >= 1.0 { self.seconds / self.amount } else { 0.0 }
    }
}

impl Pace {
    /// They are as far apart as `spacing` says, always.
    pub fn fixed(spacing: Spacing) -> Self {
        Self {
            spacing,
            measures: false,
            run: Sum::default(),
            copied: Sum::default(),
            kept: Sum::default(),
            from: 0,
            since: Duration::ZERO,
        }
    }

    /// They are as far apart as `spacing` says until the speed of the run is known, and then follow
    /// that.
    pub fn measured(spacing: Spacing) -> Self {
        Self { measures: true, ..Self::fixed(spacing) }
    }

    /// How far apart they are to be now.
    pub fn spacing(&self) -> Spacing {
        self.spacing
    }

    /// There is a checkpoint here, or the run is taken up here.
    pub fn begin_at(&mut self, icount: Icount) {
        (self.from, self.since) = (icount, Duration::ZERO);
    }

    /// Whether a checkpoint is due at `here`, after all that there are, with so many pages to be saved.
    pub fn is_due(&self, here: Icount, unsaved_pages: usize) -> bool {
        let ran = here.saturating_sub(self.from);
        if !self.knows_speed() {
            return self.spacing.is_due(ran, unsaved_pages);
        }
        let (least, most) = BOUNDS_ICOUNT;
        let since = self.since.as_secs_f64();
        let pages = unsaved_pages as f64;
        let cheap = pages * self.page_s() <= since * PAGE_SHARE;
        let affordable = pages * self.copied.per_unit() <= since * COPY_SHARE;
        let long = self.ran_stretches(LAST_STRETCHES)
            || (self.ran_stretches(MOST_STRETCHES) && affordable)
            || (self.ran_stretches(1) && cheap);
        ran >= most || (ran >= least && long)
    }

    /// Whether a checkpoint is due at `here`, among those of `store`, with so many pages to be saved.
    pub fn is_due_among(&mut self, here: Icount, unsaved_pages: usize, store: &Store) -> bool {
        let (before, after) = store.around(here);
        if before > self.from {
            self.begin_at(before);
        }
        let Some(after) = after else { return self.is_due(here, unsaved_pages) };
        if !self.measures {
            let crowded = after - before <= self.spacing.close_icount();
            return !crowded && self.spacing.is_due(here - before, unsaved_pages);
        }
        if after - before > LOST_ICOUNT {
            return self.is_due(here, unsaved_pages);
        }
        let least = BOUNDS_ICOUNT.0;
        here - before >= least && after - here >= least && self.ran_stretches(CLOSE_STRETCHES)
    }

    fn ran_stretches(&self, count: u32) -> bool {
        self.since.as_secs_f64() >= STRETCH_S * f64::from(count)
    }

    fn knows_speed(&self) -> bool {
        self.measures && self.run.seconds >= ENOUGH_S && self.run.amount >= 1.0
    }

    /// What a page costs, in seconds.
    fn page_s(&self) -> f64 {
        self.copied.per_unit() + self.kept.per_unit()
    }

    /// The machine ran so many instructions in this time.
    pub fn ran(&mut self, icount: Icount, time: Duration) {
        if self.measures {
            self.since += time;
            self.run.add(icount as f64, time);
            self.update();
        }
    }

    /// A checkpoint with so many pages was copied in this time.
    pub fn copied(&mut self, pages: usize, time: Duration) {
        if self.measures {
            self.copied.add(pages as f64, time);
            self.update();
        }
    }

    /// So many pages were hashed, compressed and written in this time, by another thread.
    pub fn kept(&mut self, pages: usize, time: Duration) {
        if self.measures && pages > 0 {
            self.kept.add(pages as f64, time);
            self.update();
        }
    }

    fn update(&mut self) {
        if !self.knows_speed() {
            return;
        }
        let speed = self.run.amount / self.run.seconds;
        let (low, high) = BOUNDS_ICOUNT;
        let least_icount = ((speed * STRETCH_S).round() as Icount).clamp(low, high);
        self.spacing.least_icount = least_icount;
        self.spacing.most_icount = least_icount * u64::from(MOST_STRETCHES);
        let page_s = self.page_s();
        if page_s > 0.0 {
            self.spacing.icount_per_page = ((speed * page_s / PAGE_SHARE).round() as Icount).max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_faster_run_has_them_farther_apart() {
        let mut pace = Pace::measured(Spacing::default());
        assert_eq!(pace.spacing(), Spacing::default());
        (0..100).for_each(|_| pace.ran(1_000_000, ms(4)));
        let slow = pace.spacing();
        assert_eq!((slow.least_icount, slow.most_icount), (10_000_000, 40_000_000));
        // Another engine, or another phase of the guest: soon forgotten what was before.
        (0..3000).for_each(|_| pace.ran(1_000_000, ms(1)));
        assert!((39_000_000..=40_000_000).contains(&pace.spacing().least_icount), "{pace:?}");
    }

    #[test]
    fn pages_that_are_dear_to_copy_make_them_rarer() {
        let mut pace = Pace::measured(Spacing::default());
        (0..100).for_each(|_| pace.ran(1_000_000, ms(5)));
        pace.copied(1000, ms(3));
        // 3 us each, which are 600 instructions; 3 % of the run is one page each 20,000.
        assert_eq!(pace.spacing().icount_per_page, 20_000);
        // Another thread's 7 us for each count as well.
        let mut both = pace.clone();
        both.kept(1000, ms(7));
        assert_eq!(both.spacing().icount_per_page, 66_667);
        let Spacing { least_icount, .. } = pace.spacing();
        assert!(pace.spacing().is_due(least_icount, 100) && !pace.spacing().is_due(least_icount, 1000));
    }

    #[test]
    fn bounds_hold_whatever_the_clock_says() {
        for (icount, time) in [(0, ms(100)), (1, ms(10_000)), (u64::MAX, ms(30)), (5, Duration::ZERO)] {
            let mut pace = Pace::measured(Spacing::default());
            (0..10).for_each(|_| pace.ran(icount, time));
            pace.copied(0, ms(5));
            pace.copied(usize::MAX, Duration::ZERO);
            let least = pace.spacing().least_icount;
            assert!((1 << 22..=15 << 24).contains(&least), "{least}");
        }
    }

    #[test]
    fn time_counts_and_not_instructions() {
        let mut pace = Pace::measured(Spacing::default());
        (0..1000).for_each(|_| pace.ran(1_000_000, ms(1)));
        pace.copied(1000, ms(3));
        // From a loop at 1000 MIPS to something at 100 MIPS: due when the time is over, not the
        // instructions of before.
        pace.begin_at(1_000_000_000);
        pace.ran(3_900_000, ms(39));
        assert!(!pace.is_due(1_003_900_000, 0));
        pace.ran(1_000_000, ms(10));
        assert!(pace.is_due(1_004_900_000, 400), "3 us for each page are less than 3 % of 49 ms");
        assert!(!pace.is_due(1_004_900_000, 600));
        pace.ran(11_100_000, ms(111));
        assert!(pace.is_due(1_016_000_000, 1000), "160 ms apart, if copying takes no more than 2 % of them");
        assert!(!pace.is_due(1_016_000_000, 2000));
        pace.ran(8_000_000, ms(80));
        assert!(pace.is_due(1_024_000_000, 1_000_000), "no more than 240 ms apart, whatever it costs");
        pace.begin_at(1_016_000_000);
        pace.ran(4_000_000, ms(1000));
        assert!(!pace.is_due(1_020_000_000, 0), "too few instructions, however busy the host is");
        assert!(pace.is_due(1_016_000_000 + (15 << 24), 1_000_000));
    }

    #[test]
    fn what_is_fixed_stays() {
        let mut pace = Pace::fixed(Spacing::FAST);
        pace.ran(1_000_000_000, ms(500));
        pace.copied(1000, ms(500));
        assert_eq!(pace.spacing(), Spacing::FAST);
    }
}
