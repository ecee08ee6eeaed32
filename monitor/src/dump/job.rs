//! The dump that is being written, or was last: what `info dump` and `query-dump` tell.
//!
//! A detached dump is made of a copy of memory that is taken at once, while the machine stands
//! still; it is written by a thread of its own, and the machine goes on.

use super::source::{Snapshot, Source};
use super::{Destination, DumpError, Request};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// How far a dump is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// There was none yet.
    #[default]
    None,
    /// It is being written.
    Active,
    /// It is complete.
    Completed,
    /// It failed, and there is no file.
    Failed,
}

impl State {
    /// The words for them in HMP and QMP.
    pub const NAMES: [&'static str; 4] = ["none", "active", "completed", "failed"];

    /// The word for it.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// The latest dump.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// How far it is.
    pub state: State,
    /// Bytes of guest memory that are done.
    pub completed: u64,
    /// Bytes of guest memory in all.
    pub total: u64,
    /// Why it failed.
    pub error: Option<String>,
}

#[derive(Default)]
struct Shared {
    status: Status,
    /// The end of the latest dump has not been taken notice of.
    news: bool,
    /// Hears of the end of a detached dump.
    on_end: Option<Arc<dyn Fn() + Send + Sync>>,
}

/// Dumps, one at a time. Dropping it waits for the one that is being written.
#[derive(Default)]
pub struct Jobs {
    shared: Arc<Mutex<Shared>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Jobs {
    /// Dumps `source`. A detached dump goes on when this returns.
    ///
    /// # Errors
    /// If another one is being written, if the request makes no sense, or (unless detached) if
    /// writing fails.
    pub fn start(
        &self,
        source: &dyn Source,
        request: &Request,
        destination: Destination,
        detach: bool,
    ) -> Result<(), DumpError> {
        if self.status().state == State::Active {
            return Err(DumpError::Busy);
        }
        let ram = request.check(source)?;
        let output = super::file::Output::open(destination)?;
        lock(&self.shared).status =
            Status { state: State::Active, total: super::total(&ram), ..Status::default() };
        if !detach {
            return run(&self.shared, source, request, output);
        }
        let (snapshot, request) = (Snapshot::of(source), request.clone());
        let shared = Arc::clone(&self.shared);
        let work = move || {
            // The error is in the status.
            let _ = run(&shared, &snapshot, &request, output);
            let on_end = lock(&shared).on_end.clone();
            if let Some(on_end) = on_end {
                on_end();
            }
        };
        match std::thread::Builder::new().name("dump".into()).spawn(work) {
            Ok(thread) => *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread),
            Err(error) => {
                let error = DumpError::Write(error);
                finish(&self.shared, Some(error.to_string()));
                return Err(error);
            }
        }
        Ok(())
    }

    /// The latest dump.
    pub fn status(&self) -> Status {
        lock(&self.shared).status.clone()
    }

    /// Calls `on_end` whenever a detached dump has ended, from another thread.
    pub fn on_end(&self, on_end: impl Fn() + Send + Sync + 'static) {
        lock(&self.shared).on_end = Some(Arc::new(on_end));
    }

    /// The dump that has ended since the last call, for those who announce it.
    pub fn take_ended(&self) -> Option<Status> {
        let mut shared = lock(&self.shared);
        std::mem::take(&mut shared.news).then(|| shared.status.clone())
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            // If it panicked, it has said so.
            let _ = thread.join();
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run(
    shared: &Mutex<Shared>,
    source: &dyn Source,
    request: &Request,
    output: super::file::Output,
) -> Result<(), DumpError> {
    let mut progress = |completed, total| {
        let status = &mut lock(shared).status;
        (status.completed, status.total) = (completed, total);
    };
    let result = super::write_to(source, request, output, &mut progress);
    finish(shared, result.as_ref().err().map(ToString::to_string));
    result
}

fn finish(shared: &Mutex<Shared>, error: Option<String>) {
    let mut shared = lock(shared);
    shared.news = true;
    shared.status.state = if error.is_some() { State::Failed } else { State::Completed };
    shared.status.error = error;
}

#[cfg(test)]
mod tests {
    use super::super::source::fake::Fake;
    use super::*;
    use std::io::Read as _;

    #[test]
    fn a_detached_dump_is_of_the_moment_when_it_was_asked_for() {
        let mut fake = Fake::new(0x2000, 0);
        fake.put(0x1000, b"before");
        let (mut reader, writer) = std::io::pipe().unwrap();
        let jobs = Jobs::default();
        assert_eq!(jobs.status(), Status::default());
        let writer = std::fs::File::from(std::os::fd::OwnedFd::from(writer));
        jobs.start(&fake, &Request::ELF, Destination::Open(writer), true).unwrap();
        fake.put(0x1000, b"after!");
        // A pipe takes less than the whole dump before somebody reads.
        let mut core = Vec::new();
        reader.read_to_end(&mut core).unwrap();
        assert!(core.windows(6).any(|w| w == b"before") && !core.windows(6).any(|w| w == b"after!"));
        while jobs.status().state == State::Active {
            std::thread::yield_now();
        }
        let expected = Status { state: State::Completed, completed: 0x2000, total: 0x2000, error: None };
        assert_eq!(jobs.status(), expected);
        assert_eq!(jobs.take_ended(), Some(expected));
        assert_eq!(jobs.take_ended(), None);
    }

    #[test]
    fn one_at_a_time() {
        let mut fake = Fake::new(1 << 20, 0);
        fake.put(0xF_FFFF, b"x");
        let (mut reader, writer) = std::io::pipe().unwrap();
        let jobs = Jobs::default();
        let open = |file| Destination::Open(std::fs::File::from(std::os::fd::OwnedFd::from(file)));
        jobs.start(&fake, &Request::ELF, open(writer), true).unwrap();
        assert_eq!(jobs.status().state, State::Active);
        let second = jobs.start(&fake, &Request::ELF, Destination::Path("/dev/null".into()), false);
        assert!(matches!(second, Err(DumpError::Busy)));
        std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
    }

    #[test]
    fn a_full_disk_is_a_failure() {
        let mut fake = Fake::new(1 << 20, 0);
        fake.put(0x1000, b"x");
        let jobs = Jobs::default();
        let full = || Destination::Path("/dev/full".into());
        let error = jobs.start(&fake, &Request::ELF, full(), false).unwrap_err().to_string();
        assert_eq!(error, "dump: failed to save memory: No space left on device");
        assert_eq!((jobs.status().state, jobs.status().error), (State::Failed, Some(error)));
        // What makes no sense is refused, and is no dump.
        let empty = Request { range: Some((1 << 40, 4096)), ..Request::ELF };
        assert!(matches!(jobs.start(&fake, &empty, full(), true), Err(DumpError::NoMemory)));
        assert_eq!(jobs.status().state, State::Failed);
    }
}
