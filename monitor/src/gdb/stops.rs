//! The break- and watchpoints of a client, as it named them, and as stop points of the machine.

use dejavm_core::boundary::{Space, StopCondition, StopPoint, Watch, WatchKind};
use gdbstub::target::ext::breakpoints::WatchKind as GdbWatchKind;
use std::collections::BTreeMap;

/// What gdb calls a break- or watchpoint by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A software breakpoint. It changes no memory here; gdb only wants to be told which.
    Software {
        /// Where.
        address: u64,
    },
    /// A hardware breakpoint.
    Hardware {
        /// Where.
        address: u64,
    },
    /// A watchpoint.
    Watch {
        /// The first byte.
        address: u64,
        /// How many.
        len: u64,
        /// Of which accesses.
        kind: GdbWatchKind,
        /// The address is a physical one.
        physical: bool,
    },
}

impl Point {
    fn condition(&self) -> StopCondition {
        match *self {
            Self::Software { address } | Self::Hardware { address } => StopCondition::Breakpoint { address },
            Self::Watch { address, len, kind, physical } => StopCondition::Watch(Watch {
                space: if physical { Space::Physical } else { Space::Linear },
                start: address,
                len,
                kind: match kind {
                    GdbWatchKind::Read => WatchKind::Read,
                    GdbWatchKind::Write => WatchKind::Write,
                    GdbWatchKind::ReadWrite => WatchKind::Access,
                },
            }),
        }
    }
}

/// The most points that a client may set.
const MOST: usize = 4096;

/// All points of a client.
#[derive(Debug, Default)]
pub struct Points {
    points: BTreeMap<u32, Point>,
    next_id: u32,
}

impl Points {
    /// Adds one; false if there are too many. gdb may set one twice.
    pub fn add(&mut self, point: Point) -> bool {
        if self.points.values().any(|p| *p == point) {
            return true;
        }
        if self.points.len() == MOST {
            return false;
        }
        self.points.insert(self.next_id, point);
        // Ids of stop points that are not the client's begin at the top.
        self.next_id = (self.next_id + 1) & 0x3FFF_FFFF;
        true
    }

    /// Removes one; false if there is none.
    pub fn remove(&mut self, point: &Point) -> bool {
        let before = self.points.len();
        self.points.retain(|_, p| p != point);
        self.points.len() < before
    }

    /// The point with this id.
    pub fn get(&self, id: u32) -> Option<&Point> {
        self.points.get(&id)
    }

    /// As the machine wants them.
    pub fn stop_points(&self) -> Vec<StopPoint> {
        let point = |(&id, p): (&u32, &Point)| StopPoint { id, vcpu: None, condition: p.condition() };
        self.points.iter().map(point).collect()
    }
}
