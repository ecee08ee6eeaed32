//! A host that follows a script, as capricious as a real one.

use dejavm_core::boundary::{Images, Inbound, MachineConfig, Outbound};
use dejavm_replay::journal::Reader;
use dejavm_replay::session::{
    Host, LiveOptions, Observer, RecordOptions, RecordSession, RunMachine, Step, Waited,
};
use std::collections::VecDeque;
use std::io::Cursor;

/// Gives its events one after the other, at times that a seed decides.
#[derive(Debug)]
pub struct Script {
    pub events: VecDeque<Inbound>,
    pub out: Vec<Outbound>,
    pub random: u64,
    /// How often it has no input though some is left, of 16 times.
    pub lazy: u64,
}

impl Script {
    pub fn new(events: Vec<Inbound>, seed: u64) -> Self {
        Self { events: events.into(), out: Vec::new(), random: seed, lazy: 12 }
    }

    fn random(&mut self, n: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % n
    }
}

impl Observer for Script {
    fn outbound(&mut self, event: Outbound) {
        self.out.push(event);
    }
}

impl Host for Script {
    fn next_inbound(&mut self, room: &mut dyn FnMut(u8) -> usize) -> Option<Inbound> {
        if self.random(16) < self.lazy {
            return None;
        }
        match self.events.front_mut()? {
            Inbound::Serial { port, bytes } => {
                let port = *port;
                let taken: Vec<u8> = bytes.drain(..bytes.len().min(room(port))).collect();
                if bytes.is_empty() {
                    self.events.pop_front();
                }
                (!taken.is_empty()).then_some(Inbound::Serial { port, bytes: taken })
            }
            _ => self.events.pop_front(),
        }
    }

    fn has_backlog(&self) -> bool {
        matches!(self.events.front(), Some(Inbound::Serial { .. }))
    }

    fn flush_due(&mut self) -> bool {
        self.random(4) == 0
    }

    fn wait(&mut self, max_ns: Option<u64>) -> Waited {
        if self.events.is_empty() && max_ns.is_none() {
            return Waited::NoMoreInput;
        }
        let most = max_ns.unwrap_or(1_000_000_000);
        Waited::Elapsed(if self.random(2) == 0 { most } else { self.random(most + 1) })
    }
}

pub fn text(text: &str) -> Inbound {
    Inbound::Serial { port: 0, bytes: text.as_bytes().to_vec() }
}

/// The images of a machine that has none.
pub fn images() -> Images {
    Images { kernel: b"toy".to_vec(), initrd: None }
}

/// A recording of `machine` under `host`, to its end.
pub fn record<M: RunMachine>(
    machine: M,
    images: &Images,
    host: &mut Script,
    options: LiveOptions,
    interval_icount: u64,
) -> Vec<u8> {
    let config = MachineConfig { ram_bytes: 16 << 20, ..MachineConfig::default() };
    let record = RecordOptions { interval_icount, ..RecordOptions::default() };
    let mut session = RecordSession::start(machine, &config, images, Vec::new(), &record, options).unwrap();
    while session.step(host).unwrap() == Step::Running {}
    session.finish().unwrap().1
}

pub fn open(bytes: &[u8]) -> Reader<Cursor<Vec<u8>>> {
    Reader::new(Cursor::new(bytes.to_vec())).unwrap()
}

/// Keeps what comes out.
#[derive(Default)]
pub struct Watch {
    pub out: Vec<Outbound>,
    pub progress: Vec<(u64, u64)>,
    /// Interrupts after so many reports.
    pub patience: Option<usize>,
}

impl Observer for Watch {
    fn outbound(&mut self, event: Outbound) {
        self.out.push(event);
    }

    fn progress(&mut self, icount: u64, total: u64) -> bool {
        self.progress.push((icount, total));
        self.patience.is_none_or(|patience| self.progress.len() < patience)
    }
}
