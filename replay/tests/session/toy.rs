//! A machine in a few lines: a function of its inputs and their positions.

use dejavm_core::boundary::{Inbound, Outbound, Position, ResetCause, StopHits, StopPoints};
use dejavm_core::machine::{RunLimit, StopReason};
use dejavm_replay::checkpoint::{SaveMachine, StateError};
use dejavm_replay::journal::StateDigest;
use dejavm_replay::session::RunMachine;

/// Idles at each multiple of this icount.
pub const IDLE_EVERY: u64 = 10_007;
const IDLE_NS: u64 = 1_000_000;

#[derive(Clone, Debug)]
pub struct Toy {
    pub at: Position,
    pub cpu: u64,
    pub device: u64,
    pub deadline: Option<u64>,
    pub reset: bool,
    pub off: Option<StopReason>,
    pub out: Vec<Outbound>,
    /// Powers off here.
    pub off_at: u64,
    /// Sleeps for ever at each idling, unless something comes in.
    pub no_timer: bool,
    /// Kicks itself when the icount is a multiple of this: a host that interrupts.
    pub kick_every: u64,
    pub kicked_at: u64,
    /// Errs here: one bit of the CPU is flipped.
    pub flip_at: Option<u64>,
}

impl Toy {
    pub fn new() -> Self {
        Self {
            at: Position::default(),
            cpu: 1,
            device: 1,
            deadline: None,
            reset: false,
            off: None,
            out: Vec::new(),
            off_at: 100_000,
            no_timer: false,
            kick_every: u64::MAX,
            kicked_at: 0,
            flip_at: None,
        }
    }

    fn mix(state: u64, with: u64) -> u64 {
        (state ^ with).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    }

    /// All that is due here before instructions.
    fn due(&mut self) {
        if std::mem::take(&mut self.reset) {
            self.cpu = 1;
            self.out.push(Outbound::Reset(ResetCause::Button));
        }
        if self.deadline.is_some_and(|deadline| deadline <= self.at.now_ns) {
            self.deadline = None;
            self.device = Self::mix(self.device, self.at.now_ns);
        }
    }

    fn execute(&mut self) {
        self.at.icount += 1;
        self.at.now_ns += 1;
        let icount = self.at.icount;
        self.cpu = Self::mix(self.cpu, self.device);
        if Some(icount) == self.flip_at {
            self.cpu ^= 1;
        }
        if icount.is_multiple_of(5000) {
            self.out.push(Outbound::Serial { port: 0, byte: self.cpu as u8 });
        }
        if icount.is_multiple_of(IDLE_EVERY) {
            let wakes_ns = self.at.now_ns + IDLE_NS + self.cpu % 1000;
            self.deadline = Some(if self.no_timer { u64::MAX } else { wakes_ns });
        }
        if icount >= self.off_at {
            self.out.push(Outbound::PowerOff);
            self.off = Some(StopReason::PowerOff);
        }
    }

    fn kicked(&mut self) -> bool {
        let kicked = self.at.icount.is_multiple_of(self.kick_every) && self.kicked_at != self.at.icount;
        self.kicked_at = self.at.icount;
        kicked
    }
}

/// A machine without RAM.
impl SaveMachine for Toy {
    fn ram_pages(&mut self) -> u32 {
        0
    }

    fn page(&mut self, _number: u32) -> &[u8] {
        &[]
    }

    fn pages_not_zero(&mut self) -> Vec<u32> {
        Vec::new()
    }

    fn unsaved_pages(&mut self) -> usize {
        0
    }

    fn take_unsaved_pages(&mut self) -> Vec<u32> {
        Vec::new()
    }

    fn save_state(&mut self) -> Vec<u8> {
        assert!(self.out.is_empty(), "what came out would be lost");
        let deadline = self.deadline.map_or([0, 0], |ns| [1, ns]);
        let off = u64::from(self.off.is_some());
        [
            self.at.icount,
            self.at.now_ns,
            self.cpu,
            self.device,
            deadline[0],
            deadline[1],
            self.reset.into(),
            off,
        ]
        .into_iter()
        .flat_map(u64::to_le_bytes)
        .collect()
    }

    fn load_pages(&mut self, _pages: &mut dyn Iterator<Item = (u32, &[u8])>) {}

    fn load_state(&mut self, state: &[u8]) -> Result<(), StateError> {
        let words: Vec<u64> = state.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        let [icount, now_ns, cpu, device, timer, ns, reset, off] = words[..] else {
            return Err(StateError::Encoding("another length".to_owned()));
        };
        self.at = Position { icount, now_ns };
        (self.cpu, self.device, self.deadline) = (cpu, device, (timer == 1).then_some(ns));
        (self.reset, self.off) = (reset == 1, (off == 1).then_some(StopReason::PowerOff));
        self.kicked_at = 0;
        self.out.clear();
        Ok(())
    }
}

impl RunMachine for Toy {
    fn position(&mut self) -> Position {
        self.at
    }

    fn run(&mut self, limit: &RunLimit) -> StopReason {
        loop {
            if let Some(off) = self.off {
                return off;
            }
            self.due();
            if self.at >= limit.until {
                return StopReason::Limit;
            }
            if self.kicked() {
                return StopReason::Kicked;
            }
            let at_icount = self.at.icount == limit.until.icount;
            match self.deadline {
                Some(deadline) => {
                    let deadline_ns = Some(deadline).filter(|ns| *ns != u64::MAX);
                    let until = at_icount.then_some(limit.until.now_ns);
                    let next = deadline_ns.into_iter().chain(until).min();
                    match next {
                        Some(ns) if !limit.stop_when_idle => self.at.now_ns = ns,
                        _ => return StopReason::Idle { deadline_ns },
                    }
                }
                None if at_icount => return StopReason::Limit,
                None => self.execute(),
            }
        }
    }

    fn apply(&mut self, event: &Inbound) {
        let bytes = format!("{event:?}");
        self.device = bytes.bytes().fold(self.device, |device, byte| Self::mix(device, byte.into()));
        self.device = Self::mix(self.device, self.at.now_ns);
        self.deadline = None;
        self.reset |= *event == Inbound::Reset;
    }

    fn take_outbound(&mut self) -> Vec<Outbound> {
        std::mem::take(&mut self.out)
    }

    fn serial_room(&mut self, _port: u8) -> usize {
        16
    }

    fn digest(&mut self) -> StateDigest {
        let parts = [("vcpu0", self.cpu), ("device", self.device), ("clock", self.at.now_ns)];
        let parts: Vec<_> = parts.into_iter().map(|(name, v)| (name.to_owned(), u128::from(v))).collect();
        let combined = parts.iter().fold(0u64, |all, (_, v)| Self::mix(all, *v as u64));
        StateDigest { combined: combined.into(), parts }
    }

    fn set_stop_points(&mut self, _points: &StopPoints) {}

    fn take_stop_hits(&mut self) -> StopHits {
        StopHits::default()
    }
}
