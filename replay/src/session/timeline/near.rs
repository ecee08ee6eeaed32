//! Checkpoints in memory, the closer together the nearer to where the replay stands: going back
//! step by step takes a few thousand instructions each time, not millions.

use crate::checkpoint::Target;
use dejavm_core::types::Icount;

/// How far before the goal of a seek they are taken.
const DISTANCES: [Icount; 6] = [1 << 21, 1 << 18, 1 << 15, 1 << 12, 1 << 9, 1 << 6];

/// So many are kept. Together they hold the pages written since the stored checkpoints before
/// them, each page once for each time that it was written between two of them.
const MOST: usize = 24;

/// Those that there are, by position.
#[derive(Default)]
pub struct Near(Vec<Target>);

impl Near {
    /// The last whose icount is below `icount`.
    pub fn last_before(&self, icount: Icount) -> Option<&Target> {
        self.0[..self.count_before(icount)].last()
    }

    fn count_before(&self, icount: Icount) -> usize {
        self.0.partition_point(|target| target.head.at.icount < icount)
    }

    /// Where one should be taken on the way from `here` to `goal`.
    pub fn next_stop(here: Icount, goal: Icount) -> Option<Icount> {
        DISTANCES.iter().filter_map(|distance| goal.checked_sub(*distance)).find(|stop| *stop > here)
    }

    /// Takes one in; if there are too many, the one farthest from it goes.
    pub fn add(&mut self, target: Target) {
        let icount = target.head.at.icount;
        let at = self.count_before(icount);
        if self.0.get(at).is_some_and(|other| other.head.at.icount == icount) {
            return;
        }
        self.0.insert(at, target);
        if self.0.len() > MOST {
            let distance = |k: usize| self.0[k].head.at.icount.abs_diff(icount);
            let farthest = if distance(0) > distance(self.0.len() - 1) { 0 } else { self.0.len() - 1 };
            self.0.remove(farthest);
        }
    }

    /// Drops one that turned out to be damaged.
    pub fn drop_at(&mut self, icount: Icount) {
        self.0.retain(|target| target.head.at.icount != icount);
    }
}
