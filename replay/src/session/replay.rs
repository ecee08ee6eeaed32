//! Running a journal again, and checking that it is the same run.

use super::inputs::Inputs;
use super::machine::{RunMachine, cpu_model};
use super::start::machine_at_start;
use super::timeline::Travel;
use super::{Divergence, Mismatch, Observer, SessionError};
use crate::journal::{ChunkEntry, End, EndReason, Ending, EventsChunk, Header, Reader, Start, StateDigest};
use dejavm_core::boundary::{Images, Position};
use dejavm_core::machine::{Accel, Machine, RunLimit, StopReason};
use dejavm_core::types::Icount;
use dejavm_core::vcpu::Engine;
use std::io::{Read, Seek};
use std::sync::OnceLock;
use std::time::Instant;

/// Makes the machine of a journal where its run begins.
pub(super) type Make<M> = Box<dyn FnMut() -> Result<M, SessionError> + Send>;

/// Why a replay stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayStop {
    /// It is where it was to go. Input that came in exactly there is still to come.
    Reached,
    /// The journal ends here.
    Ended,
    /// The observer, or a kick, interrupted it.
    Interrupted,
    /// A stop point of the machine was hit.
    StopPoint,
}

/// What a complete replay has shown: every hash was equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How many hashes were compared.
    pub hashes: usize,
    /// How many events were applied.
    pub events: usize,
    /// Where the run ends.
    pub last: Position,
    /// How the journal ends.
    pub ending: Ending,
}

/// A journal and the machine that replays it.
pub struct ReplaySession<M, F> {
    pub(super) reader: Reader<F>,
    pub(super) chunks: Vec<ChunkEntry>,
    pub(super) make: Make<M>,
    pub(super) machine: M,
    pub(super) cursor: Cursor,
    pub(super) travel: Travel<M>,
}

/// How far a replay is in its journal.
#[derive(Default)]
pub(super) struct Cursor {
    pub next_chunk: usize,
    pub chunk: Option<EventsChunk>,
    pub next_event: usize,
    pub last_good: Position,
    pub end_checked: bool,
    pub hashes: usize,
    /// How many inputs came in since the beginning.
    pub events: usize,
}

impl Cursor {
    /// At the beginning of a journal.
    pub fn at(first: Position) -> Self {
        Self { last_good: first, ..Self::default() }
    }
}

impl<F: Read + Seek> ReplaySession<Engine, F> {
    /// A replay on vCPU threads; `given` are the images, where the journal does not hold them.
    pub fn open(reader: Reader<F>, given: Images) -> Result<Self, SessionError> {
        Self::open_with(reader, given, Accel::Interp)
    }

    /// [`Self::open`], with an engine of choice; the interpreter serves where the host does not
    /// have it.
    pub fn open_with(mut reader: Reader<F>, given: Images, accel: Accel) -> Result<Self, SessionError> {
        let images = reader.read_images(given)?;
        let (header, start) = (reader.header().clone(), reader.read_start()?);
        let make = move || machine_with(&header, &images, start.as_ref(), accel).map(Engine::new);
        Self::with_machine(reader, Box::new(make))
    }
}

/// Nanoseconds of the host since the first call, to measure what translating takes.
pub fn stopwatch_ns() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

impl<F: Read + Seek> ReplaySession<Machine, F> {
    /// The same on the calling thread: for who goes by single instructions, or does several replays
    /// at once.
    pub fn open_here(reader: Reader<F>, given: Images) -> Result<Self, SessionError> {
        Self::open_here_with(reader, given, Accel::Interp)
    }

    /// [`Self::open_here`], with an engine of choice; the interpreter serves where the host does not
    /// have it.
    pub fn open_here_with(mut reader: Reader<F>, given: Images, accel: Accel) -> Result<Self, SessionError> {
        let images = reader.read_images(given)?;
        let (header, start) = (reader.header().clone(), reader.read_start()?);
        let make = move || machine_with(&header, &images, start.as_ref(), accel);
        Self::with_machine(reader, Box::new(make))
    }
}

impl<M: RunMachine, F: Read + Seek> ReplaySession<M, F> {
    /// A replay on the machine that `make` makes of the journal's header and images.
    pub fn with_machine(mut reader: Reader<F>, mut make: Make<M>) -> Result<Self, SessionError> {
        let mut machine = make()?;
        check_machine(reader.header(), &machine.digest())?;
        let chunks: Vec<ChunkEntry> = reader.events_chunks().copied().collect();
        let cursor = Cursor::at(reader.first());
        let inputs = Inputs::read(&mut reader, &chunks)?;
        let travel = Travel::new(&mut machine, inputs, reader.header().identity());
        Ok(Self { reader, chunks, make, machine, cursor, travel })
    }

    /// Leaves the recording: the machine as it stands.
    pub fn into_machine(self) -> M {
        self.machine
    }

    /// The chunks of the journal that cover the run.
    pub(super) fn events_chunks(&self) -> &[ChunkEntry] {
        &self.chunks
    }

    /// What is in one of them.
    pub(super) fn read_events(&mut self, chunk: &ChunkEntry) -> Result<EventsChunk, SessionError> {
        Ok(self.reader.read_events(chunk)?)
    }

    /// The machine, to be looked at.
    pub fn machine(&mut self) -> &mut M {
        &mut self.machine
    }

    /// The journal.
    pub fn journal(&self) -> &Reader<F> {
        &self.reader
    }

    /// Where the replay stands.
    pub fn position(&mut self) -> Position {
        self.machine.position()
    }

    /// The first position of the journal.
    pub fn first(&self) -> Position {
        self.reader.first()
    }

    /// The last position of the journal.
    pub fn last(&self) -> Position {
        self.reader.last()
    }

    /// Replays up to the first position with this icount, before the input there.
    pub fn run_until(
        &mut self,
        icount: Icount,
        observer: &mut dyn Observer,
    ) -> Result<ReplayStop, SessionError> {
        self.run_to(Position { icount, now_ns: 0 }, observer)
    }

    /// Replays up to `until`, or to the end of the journal, which is checked too.
    pub fn run_to(
        &mut self,
        until: Position,
        observer: &mut dyn Observer,
    ) -> Result<ReplayStop, SessionError> {
        let total = self.last().icount;
        self.travel.first = None;
        loop {
            let stop = self.step(until)?;
            self.machine.take_outbound().into_iter().for_each(|event| observer.outbound(event));
            if let Some(stop) = stop {
                return Ok(stop);
            }
            self.checkpoint_if_due(observer);
            if !observer.progress(self.machine.position().icount, total) {
                return Ok(ReplayStop::Interrupted);
            }
        }
    }

    /// Replays all of the journal from its beginning, comparing every hash. None if the observer
    /// interrupted it.
    pub fn verify(&mut self, observer: &mut dyn Observer) -> Result<Option<Verdict>, SessionError> {
        if self.cursor.next_chunk > 0 || self.machine.position() > self.first() {
            self.restart()?;
        }
        let end_of_time = Position { icount: Icount::MAX, now_ns: u64::MAX };
        let pace = self.travel.pace.take();
        let stop = self.run_to(end_of_time, observer);
        self.travel.pace = pace;
        if stop? != ReplayStop::Ended {
            return Ok(None);
        }
        let Cursor { hashes, events, .. } = self.cursor;
        Ok(Some(Verdict { hashes, events, last: self.last(), ending: self.reader.ending().clone() }))
    }

    /// Runs towards the next recorded position for a while; None: there is more to do.
    pub(super) fn step(&mut self, until: Position) -> Result<Option<ReplayStop>, SessionError> {
        let here = self.machine.position();
        if here >= until {
            return Ok(Some(ReplayStop::Reached));
        }
        let Some(target) = self.target()? else {
            self.check_end()?;
            return Ok(Some(ReplayStop::Ended));
        };
        let pause = Position { icount: here.icount.saturating_add(self.step_icount()), now_ns: 0 };
        let goal = target.min(until).min(pause);
        let start = Instant::now();
        let stop = self.machine.run(&RunLimit { until: goal, ..RunLimit::default() });
        let ran = self.machine.position().icount - here.icount;
        if let Some(pace) = &mut self.travel.pace {
            pace.ran(ran, start.elapsed());
        }
        let here = self.machine.position();
        match stop {
            StopReason::Kicked if here <= target => Ok(Some(ReplayStop::Interrupted)),
            StopReason::StopPoint if here <= target => Ok(Some(ReplayStop::StopPoint)),
            _ if until <= here && here <= target => Ok(Some(ReplayStop::Reached)),
            _ if here == target => self.arrive(target).map(|()| None),
            StopReason::Limit if here < target && goal < target => Ok(None),
            _ => Err(self.diverged(Mismatch::Position { recorded: target, stop })),
        }
    }

    /// The position of the next event, or else of the end of the chunk; None after the last.
    fn target(&mut self) -> Result<Option<Position>, SessionError> {
        if self.cursor.chunk.is_none() {
            let Some(entry) = self.chunks.get(self.cursor.next_chunk) else { return Ok(None) };
            self.cursor.chunk = Some(self.reader.read_events(entry)?);
        }
        let event_at = |chunk: &EventsChunk| chunk.events.get(self.cursor.next_event).map(|(at, _)| *at);
        Ok(self.cursor.chunk.as_ref().map(|chunk| event_at(chunk).unwrap_or(chunk.last)))
    }

    /// The machine is settled at the target: applies the event, or compares the hashes.
    fn arrive(&mut self, target: Position) -> Result<(), SessionError> {
        let Some(chunk) = &self.cursor.chunk else { return Ok(()) };
        if let Some((_, event)) = chunk.events.get(self.cursor.next_event) {
            self.machine.apply(event);
            self.cursor.next_event += 1;
            self.cursor.events += 1;
            return Ok(());
        }
        let (recorded, replayed) = (chunk.hash.clone(), self.machine.digest().shorten());
        if recorded != replayed {
            let parts = recorded.differing(&replayed, &self.reader.header().part_names);
            let parts = parts.into_iter().map(str::to_owned).collect();
            let (recorded, replayed) = (recorded.combined().into(), replayed.combined().into());
            return Err(self.diverged(Mismatch::State { recorded, replayed, parts }));
        }
        let Cursor { next_chunk, hashes, events, .. } = self.cursor;
        let (next_chunk, hashes) = (next_chunk + 1, hashes + 1);
        self.cursor = Cursor { next_chunk, last_good: target, hashes, events, ..Cursor::default() };
        Ok(())
    }

    /// Compares the end of a journal that ended cleanly: all 128 bits, and why it ended.
    fn check_end(&mut self) -> Result<(), SessionError> {
        let Ending::Clean(End { hash: recorded, reason, .. }) = self.reader.ending() else { return Ok(()) };
        if self.cursor.end_checked {
            return Ok(());
        }
        let (replayed, reason) = (self.machine.digest(), *reason);
        if *recorded != replayed {
            let pairs = recorded.parts.iter().zip(&replayed.parts);
            let parts = pairs.filter(|(a, b)| a != b).map(|((name, _), _)| name.clone()).collect();
            let (recorded, replayed) = (recorded.combined, replayed.combined);
            return Err(self.diverged(Mismatch::State { recorded, replayed, parts }));
        }
        let until = self.machine.position();
        let stop = self.machine.run(&RunLimit { until, ..RunLimit::default() });
        if !ends_as(stop, reason) {
            return Err(self.diverged(Mismatch::End { recorded: reason, stop }));
        }
        self.cursor.end_checked = true;
        self.cursor.hashes += 1;
        Ok(())
    }

    fn diverged(&mut self, mismatch: Mismatch) -> SessionError {
        let (last_good, seen_at) = (self.cursor.last_good, self.machine.position());
        SessionError::Divergence(Box::new(Divergence { last_good, seen_at, mismatch }))
    }
}

/// The machine of a journal where its run begins, with an engine of choice.
fn machine_with(
    header: &Header,
    images: &Images,
    start: Option<&Start>,
    accel: Accel,
) -> Result<Machine, SessionError> {
    let mut machine = machine_at_start(header, images, start)?;
    if let Err(e) = machine.set_accel(accel) {
        tracing::warn!("{e}; the interpreter serves");
    }
    machine.time_translation(stopwatch_ns);
    Ok(machine)
}

/// Whether a machine that stops for `stop` at the end of a journal does what was recorded.
fn ends_as(stop: StopReason, recorded: EndReason) -> bool {
    match recorded {
        EndReason::PowerOff => stop == StopReason::PowerOff,
        EndReason::DebugExit(code) => stop == StopReason::DebugExit(code),
        // Not of the machine's doing, or (a reset) done by now.
        EndReason::UserQuit
        | EndReason::Limit
        | EndReason::Reset
        | EndReason::Halted
        | EndReason::Crashed => !matches!(stop, StopReason::PowerOff | StopReason::DebugExit(_)),
    }
}

/// Whether this dejavm has the machine of the journal.
fn check_machine(header: &Header, digest: &StateDigest) -> Result<(), SessionError> {
    check_model(header)?;
    if header.part_names != digest.part_names() {
        return other(header, "set of devices", header.part_names.join(", "), digest.part_names().join(", "));
    }
    Ok(())
}

/// Whether this dejavm has the virtual CPU of the journal.
pub(super) fn check_model(header: &Header) -> Result<(), SessionError> {
    let model = cpu_model();
    if header.cpu_model != model {
        let show = |model: &crate::journal::CpuModel| format!("{} version {}", model.name, model.version);
        return other(header, "CPU model", show(&header.cpu_model), show(&model));
    }
    Ok(())
}

fn other(header: &Header, what: &'static str, recorded: String, here: String) -> Result<(), SessionError> {
    let recorded_by = header.dejavm_version.clone();
    Err(SessionError::OtherMachine { recorded_by, what, recorded, here })
}
