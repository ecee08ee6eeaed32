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
    /// The word for it in HMP and QMP.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
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
}

/// Dumps, one at a time. Dropping it waits for the one that is being written.
#[derive(Default)]
pub struct Jobs {
    shared: Arc<Mutex<Shared>>,
    thread: Option<JoinHandle<()>>,
}

impl Jobs {
    /// Dumps `source`. A detached dump goes on when this returns.
    ///
    /// # Errors
    /// If another one is being written, if the request makes no sense, or (unless detached) if
    /// writing fails.
    pub fn start(
        &mut self,
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
        };
        match std::thread::Builder::new().name("dump".into()).spawn(work) {
            Ok(thread) => self.thread = Some(thread),
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

    /// The dump that has ended since the last call, for those who announce it.
    pub fn take_ended(&mut self) -> Option<Status> {
        let mut shared = lock(&self.shared);
        std::mem::take(&mut shared.news).then(|| shared.status.clone())
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
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
