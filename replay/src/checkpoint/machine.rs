//! The machine as checkpoints see it: RAM page by page, and the rest as bytes.

use super::error::StateError;
use dejavm_core::boundary::ProbeEvent;
use dejavm_core::machine::{Machine, MachineState};
use dejavm_core::mem::Touched;
use dejavm_core::types::{Gpa, PAGE_SHIFT, PAGE_SIZE};
use dejavm_core::vcpu::Engine;

/// The size of a page of RAM.
pub const PAGE_BYTES: usize = PAGE_SIZE as usize;

/// The longest encoded state: a machine with the most vCPUs stays far below.
const MAX_STATE_BYTES: usize = 16 << 20;

/// What checkpoints need of a machine. It must be settled (run to where it stands), and what it
/// gave out must have been taken.
pub trait SaveMachine {
    /// The number of pages of its RAM.
    fn ram_pages(&mut self) -> u32;
    /// A page of RAM.
    fn page(&mut self, number: u32) -> &[u8];
    /// The numbers of the pages that are not zero, ascending.
    fn pages_not_zero(&mut self) -> Vec<u32>;
    /// How many pages [`Self::take_unsaved_pages`] would give.
    fn unsaved_pages(&mut self) -> usize;
    /// The pages written since the last call, ascending; the first time, since power-on.
    fn take_unsaved_pages(&mut self) -> Vec<u32>;
    /// All of its state but RAM.
    fn save_state(&mut self) -> Vec<u8>;
    /// Overwrites pages of RAM.
    fn load_pages(&mut self, pages: &mut dyn Iterator<Item = (u32, &[u8])>);
    /// Takes over what [`Self::save_state`] gave; RAM keeps what it has.
    ///
    /// # Errors
    /// If the state is of another machine; nothing has changed then.
    fn load_state(&mut self, state: &[u8]) -> Result<(), StateError>;
    /// What was stored to and fetched from, by linear address, since the last call or since power-on, or
    /// more than that; None if the machine does not know.
    fn take_touched(&mut self) -> Option<Touched> {
        None
    }
    /// The page of RAM at a physical address.
    fn ram_page(&mut self, _gpa: u64) -> Option<u32> {
        None
    }
    /// Tells its probes of a checkpoint with so many pages.
    fn note_checkpoint(&mut self, _pages: u64) {}
}

impl SaveMachine for Machine {
    fn ram_pages(&mut self) -> u32 {
        (self.memory().bytes() / PAGE_SIZE) as u32
    }

    fn page(&mut self, number: u32) -> &[u8] {
        self.memory().page(number)
    }

    fn pages_not_zero(&mut self) -> Vec<u32> {
        self.memory().pages_not_zero().map(|(number, _)| number).collect()
    }

    fn unsaved_pages(&mut self) -> usize {
        Machine::unsaved_pages(self)
    }

    fn take_unsaved_pages(&mut self) -> Vec<u32> {
        Machine::take_unsaved_pages(self)
    }

    fn save_state(&mut self) -> Vec<u8> {
        encode(&self.save_but_ram())
    }

    fn load_pages(&mut self, pages: &mut dyn Iterator<Item = (u32, &[u8])>) {
        Machine::load_pages(self, pages);
    }

    fn load_state(&mut self, state: &[u8]) -> Result<(), StateError> {
        let state = decode(state)?;
        self.load_over(state).map_err(StateError::Fit)
    }

    fn take_touched(&mut self) -> Option<Touched> {
        Some(Machine::take_touched(self))
    }

    fn ram_page(&mut self, gpa: u64) -> Option<u32> {
        self.memory().ram_offset(Gpa(gpa)).map(|offset| (offset >> PAGE_SHIFT) as u32)
    }

    fn note_checkpoint(&mut self, pages: u64) {
        self.note(ProbeEvent::Checkpoint { pages });
    }
}

impl SaveMachine for Engine {
    fn ram_pages(&mut self) -> u32 {
        self.machine().ram_pages()
    }

    fn page(&mut self, number: u32) -> &[u8] {
        self.machine().page(number)
    }

    fn pages_not_zero(&mut self) -> Vec<u32> {
        self.machine().pages_not_zero()
    }

    fn unsaved_pages(&mut self) -> usize {
        SaveMachine::unsaved_pages(self.machine())
    }

    fn take_unsaved_pages(&mut self) -> Vec<u32> {
        SaveMachine::take_unsaved_pages(self.machine())
    }

    fn save_state(&mut self) -> Vec<u8> {
        self.machine().save_state()
    }

    fn load_pages(&mut self, pages: &mut dyn Iterator<Item = (u32, &[u8])>) {
        SaveMachine::load_pages(self.machine(), pages);
    }

    fn load_state(&mut self, state: &[u8]) -> Result<(), StateError> {
        self.machine().load_state(state)
    }

    fn take_touched(&mut self) -> Option<Touched> {
        SaveMachine::take_touched(self.machine())
    }

    fn ram_page(&mut self, gpa: u64) -> Option<u32> {
        self.machine().ram_page(gpa)
    }

    fn note_checkpoint(&mut self, pages: u64) {
        self.machine().note_checkpoint(pages);
    }
}

fn config() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<MAX_STATE_BYTES>()
}

fn encode(state: &MachineState) -> Vec<u8> {
    bincode::serde::encode_to_vec(state, config()).expect("a state without RAM is small and plain")
}

fn decode(bytes: &[u8]) -> Result<MachineState, StateError> {
    let (state, used): (MachineState, usize) = bincode::serde::decode_from_slice(bytes, config())
        .map_err(|e| StateError::Encoding(e.to_string()))?;
    if used != bytes.len() || !state.ram.is_empty() {
        return Err(StateError::Encoding("it has another length than states have".to_owned()));
    }
    Ok(state)
}
