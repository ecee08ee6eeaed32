//! Recordings of the busy guest with random input, and replays of them.

use crate::accel::{chosen, on};
use crate::busy_guest::{config, images, machine};
use crate::rng::Rng;
use dejavm_core::boundary::{Images, Inbound, MachineConfig, Outbound, PortWrite};
use dejavm_core::machine::{Accel, Machine};
use dejavm_replay::checkpoint::{Pace, Spacing};
use dejavm_replay::journal::{Reader, StateDigest};
use dejavm_replay::session::{
    Host, LiveOptions, Observer, RecordOptions, RecordSession, ReplaySession, RunMachine, Waited,
};
use std::io::Cursor;
use std::path::Path;

/// Where the recordings end.
pub const END: u64 = 1_000_000;

/// Checkpoints as dense as the tests are short.
pub const DENSE: Spacing = Spacing { least_icount: 1 << 14, most_icount: 1 << 15, icount_per_page: 64 };

/// Types something now and then.
struct Typist(Rng);

impl Observer for Typist {
    fn outbound(&mut self, _event: Outbound) {}
}

impl Host for Typist {
    fn next_inbound(&mut self, room: &mut dyn FnMut(u8) -> usize) -> Option<Inbound> {
        match self.0.below(5) {
            0 if room(0) > 0 => Some(Inbound::Serial { port: 0, bytes: vec![self.0.below(256) as u8] }),
            1 => Some(Inbound::Nmi),
            2 => Some(Inbound::Keyboard { scan_codes: vec![0x1E, 0x9E] }),
            3 => {
                let port = [0x80, 0x3FF, 0x3F8][self.0.below(3) as usize];
                Some(Inbound::PortWrite(PortWrite { port, size: 1, value: self.0.below(256) as u32 }))
            }
            _ => None,
        }
    }
    fn has_backlog(&self) -> bool {
        true
    }
    fn flush_due(&mut self) -> bool {
        self.0.below(3) == 0
    }
    fn wait(&mut self, _max_ns: Option<u64>) -> Waited {
        Waited::NoMoreInput
    }
}

/// A recording, with the input that `seed` gives and checkpoints in `side_file`.
///
/// # Panics
/// If it cannot be made.
pub fn recorded(vcpus: u32, seed: u64, side_file: Option<&Path>) -> Vec<u8> {
    recorded_on(chosen(), vcpus, seed, side_file)
}

/// [`recorded`], on an engine.
///
/// # Panics
/// If it cannot be made.
pub fn recorded_on(accel: Accel, vcpus: u32, seed: u64, side_file: Option<&Path>) -> Vec<u8> {
    let options = RecordOptions { interval_icount: 200_000, ..RecordOptions::default() };
    let live = LiveOptions { until_icount: Some(END), ..LiveOptions::default() };
    let (machine, config) = (on(accel, machine(vcpus)), config(vcpus));
    let mut session =
        RecordSession::start(machine, &config, &images(), Vec::new(), &options, live).expect("a recording");
    if let Some(path) = side_file {
        session.keep_checkpoints(path, 64 << 20, Pace::fixed(DENSE)).expect("a side file");
    }
    let mut host = Typist(Rng::new(seed));
    while session.ended().is_none() {
        session.step(&mut host).expect("a step");
    }
    session.finish().expect("an end").1
}

/// What comes in at which icount.
pub type Script = [(u64, Inbound)];

/// Gives what it has.
#[derive(Default)]
struct Given(Vec<Inbound>);

impl Observer for Given {}

impl Host for Given {
    fn next_inbound(&mut self, _room: &mut dyn FnMut(u8) -> usize) -> Option<Inbound> {
        (!self.0.is_empty()).then(|| self.0.remove(0))
    }
    fn has_backlog(&self) -> bool {
        false
    }
    fn flush_due(&mut self) -> bool {
        false
    }
    fn wait(&mut self, _max_ns: Option<u64>) -> Waited {
        Waited::NoMoreInput
    }
}

/// A recording of a machine with these images, in which exactly this comes in, up to an icount.
///
/// # Panics
/// If it cannot be made.
pub fn scripted(config: &MachineConfig, images: &Images, script: &Script, until: u64) -> Vec<u8> {
    let options = RecordOptions { interval_icount: 200_000, ..RecordOptions::default() };
    let machine = Machine::new(config, images.clone()).expect("a machine");
    let live = LiveOptions { until_icount: Some(until), ..LiveOptions::default() };
    let mut session =
        RecordSession::start(machine, config, images, Vec::new(), &options, live).expect("a recording");
    let mut host = Given::default();
    for (icount, event) in script {
        while session.machine().position().icount < *icount {
            session.step_until(*icount, &mut host).expect("a step");
        }
        host.0.push(event.clone());
    }
    while session.ended().is_none() {
        session.step(&mut host).expect("a step");
    }
    session.finish().expect("an end").1
}

/// A replay of bytes.
pub type Session<M> = ReplaySession<M, Cursor<Vec<u8>>>;

/// A replay on the calling thread, by the interpreter.
///
/// # Panics
/// If it is no journal.
pub fn replay(journal: &[u8]) -> Session<Machine> {
    replay_on(chosen(), journal)
}

/// [`replay`], on an engine.
///
/// # Panics
/// If it is no journal.
pub fn replay_on(accel: Accel, journal: &[u8]) -> Session<Machine> {
    let mut reader = Reader::new(Cursor::new(journal.to_vec())).expect("a journal");
    let images = reader.read_images(Images::default()).expect("images");
    let config = reader.header().config.clone();
    let make = move || Ok(on(accel, Machine::new(&config, images.clone())?));
    ReplaySession::with_machine(reader, Box::new(make)).expect("a replay")
}

/// The hashes that a straight replay has at `icounts`, ascending.
///
/// # Panics
/// If the replay diverges.
pub fn straight(journal: &[u8], icounts: &[u64]) -> Vec<StateDigest> {
    let mut session = replay(journal);
    session.set_spacing(None);
    let mut at = |&icount| {
        session.run_until(icount, &mut ()).expect("a straight replay");
        session.machine().digest()
    };
    icounts.iter().map(&mut at).collect()
}
