//! What the program spends the host's time on, for `info profile`, and where the thread that owns the
//! machine waits, for `sync-profile`. It looks at the host only: the machine knows nothing of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Where time is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// The vCPU threads execute instructions, and their owner waits for them.
    Run,
    /// No vCPU can run: their owner waits for a timer or for input.
    Idle,
    /// The machine stands still: its owner waits for a command.
    Paused,
    /// Commands of monitors are carried out.
    Monitor,
}

/// The time at one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// In all.
    pub time: Duration,
    /// In so many pieces.
    pub count: u64,
}

impl Spent {
    fn add(&mut self, time: Duration) {
        self.time += time;
        self.count += 1;
    }
}

impl Site {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Run, Self::Idle, Self::Paused, Self::Monitor];

    /// Whether somebody waits there: what it waits at (a type and an object), and where.
    pub fn wait(self) -> Option<(&'static str, &'static str, &'static str)> {
        match self {
            Self::Run => Some(("channel", "vcpus", "run")),
            Self::Idle => Some(("channel", "host-events", "idle")),
            Self::Paused => Some(("channel", "host-events", "paused")),
            Self::Monitor => None,
        }
    }
}

/// The time of a run so far.
#[derive(Debug)]
pub struct Profile {
    since: Instant,
    all: Mutex<[Spent; 4]>,
    /// Since synchronization is profiled.
    synchronization: Mutex<[Spent; 4]>,
    profiles_synchronization: AtomicBool,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            all: Mutex::default(),
            synchronization: Mutex::default(),
            profiles_synchronization: AtomicBool::new(false),
        }
    }
}

impl Profile {
    /// So much was spent at `site`.
    pub fn note(&self, site: Site, time: Duration) {
        lock(&self.all)[site as usize].add(time);
        if self.profiles_synchronization.load(Ordering::Relaxed) {
            lock(&self.synchronization)[site as usize].add(time);
        }
    }

    /// Does something that is spent at `site`, but for what it notes at [`Site::Idle`].
    pub fn time<T>(&self, site: Site, act: impl FnOnce() -> T) -> T {
        let (start, idle_before) = (Instant::now(), self.spent(Site::Idle).time);
        let result = act();
        let idle = self.spent(Site::Idle).time - idle_before;
        self.note(site, start.elapsed().saturating_sub(idle));
        result
    }

    /// What was spent at `site` since the program began.
    pub fn spent(&self, site: Site) -> Spent {
        lock(&self.all)[site as usize]
    }

    /// How long the program runs.
    pub fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    /// Whether synchronization is profiled.
    pub fn synchronization_is_on(&self) -> bool {
        self.profiles_synchronization.load(Ordering::Relaxed)
    }

    /// Profiles it, or does not any more; what is known stays.
    pub fn profile_synchronization(&self, on: bool) {
        self.profiles_synchronization.store(on, Ordering::Relaxed);
    }

    /// Forgets what is known of it.
    pub fn reset_synchronization(&self) {
        *lock(&self.synchronization) = Default::default();
    }

    /// Where somebody has waited while it was profiled.
    pub fn waits(&self) -> Vec<(Site, Spent)> {
        let all = lock(&self.synchronization);
        let waits = Site::ALL.into_iter().filter(|site| site.wait().is_some());
        waits.map(|site| (site, all[site as usize])).filter(|(_, spent)| spent.count > 0).collect()
    }
}

fn lock(spent: &Mutex<[Spent; 4]>) -> MutexGuard<'_, [Spent; 4]> {
    spent.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_no_running_time() {
        let profile = Profile::default();
        let second = Duration::from_secs(1);
        profile.time(Site::Run, || profile.note(Site::Idle, second));
        assert_eq!(profile.spent(Site::Idle), Spent { time: second, count: 1 });
        assert_eq!(profile.spent(Site::Run), Spent { time: Duration::ZERO, count: 1 });
    }

    #[test]
    fn waits_are_known_while_they_are_profiled() {
        let profile = Profile::default();
        let second = Duration::from_secs(1);
        profile.note(Site::Paused, second);
        assert_eq!(profile.waits(), []);
        profile.profile_synchronization(true);
        profile.note(Site::Paused, second);
        profile.note(Site::Monitor, second);
        profile.profile_synchronization(false);
        profile.note(Site::Paused, second);
        assert_eq!(profile.waits(), [(Site::Paused, Spent { time: second, count: 1 })]);
        profile.reset_synchronization();
        assert_eq!(profile.waits(), []);
        assert_eq!(profile.spent(Site::Paused).count, 3);
    }
}
