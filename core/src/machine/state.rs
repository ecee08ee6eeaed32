//! The state of the whole machine as a plain value: what a checkpoint holds.
//!
//! Configuration and images are not part of it: a state is loaded into a machine that was made
//! with the same ones. Caches (translations, decoded code) are not either: they follow.

use super::board_pc::{BoardState, MachineRequest};
use super::limit::StopReason;
use super::pc::Machine;
use super::run_loop::drop_pages;
use super::schedule::Schedule;
use crate::cpu::state::CpuState;
use crate::cpu::{Clock, Entropy};
use crate::mem::Touched;
use crate::types::{Gpa, PAGE_SHIFT, PAGE_SIZE};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Goes up whenever the encoding of [`MachineState`] changes: a field, its type, or its place. (What
/// a state means changes with the CPU model's version.)
pub const STATE_VERSION: u32 = 2;

/// All that decides how a machine goes on, given its configuration and images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineState {
    /// Each vCPU.
    pub vcpus: Vec<CpuState>,
    /// The chips.
    pub board: BoardState,
    /// What the guest asked of the machine with its last instruction, if it has not happened yet.
    pub request: Option<MachineRequest>,
    /// A triple fault has not led to its reset yet.
    pub triple_fault: bool,
    /// Whether the machine is off, and why.
    pub off: Option<StopReason>,
    /// Where the run is.
    pub clock: Clock,
    /// What RDRAND and RDSEED give next.
    pub entropy: Entropy,
    /// Whose turn it is.
    pub schedule: Schedule,
    /// The pages of RAM that are not zero, in ascending order.
    pub ram: Vec<RamPage>,
}

/// A page of RAM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RamPage {
    /// Its number, counted in RAM: pages from 4 GiB on follow those below without a gap.
    pub number: u32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A state does not fit the machine.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum LoadError {
    /// It is of a machine with another number of vCPUs.
    #[error("the state is of {state} vCPUs, the machine has {machine}")]
    VcpuCount {
        /// How many the state has.
        state: usize,
        /// How many the machine has.
        machine: usize,
    },
    /// It gives the turn to a vCPU that is not there.
    #[error("the state says that vCPU {current} has its turn, which is not there")]
    Schedule {
        /// The vCPU.
        current: usize,
    },
    /// A page of it lies beyond the machine's RAM, or has another size than pages have.
    #[error("page {number} of the state, with {len} bytes, does not fit the machine's RAM")]
    Page {
        /// The page.
        number: u32,
        /// The number of its bytes.
        len: usize,
    },
}

impl Machine {
    /// The state here and now. Saving changes nothing.
    ///
    /// # Panics
    /// If [`Self::take_outbound`] has something to give: it would be lost. If the machine stands
    /// within an instruction ([`Self::in_instruction`]).
    pub fn save(&self) -> MachineState {
        let page = |(number, bytes): (u32, &[u8])| RamPage { number, bytes: bytes.to_vec() };
        MachineState { ram: self.mem.pages_not_zero().map(page).collect(), ..self.save_but_ram() }
    }

    /// The state here and now without RAM, for who keeps RAM page by page:
    /// [`Self::take_unsaved_pages`] tells which pages changed since.
    ///
    /// # Panics
    /// If [`Self::take_outbound`] has something to give: it would be lost. If the machine stands
    /// within an instruction ([`Self::in_instruction`]).
    pub fn save_but_ram(&self) -> MachineState {
        assert!(self.outbound.is_empty());
        assert!(!self.in_instruction());
        let (board, request) = self.board.save();
        MachineState {
            vcpus: self.vcpus.iter().map(|cpu| cpu.state.canonical()).collect(),
            board,
            request,
            triple_fault: self.triple_fault,
            off: self.off,
            // The limit is of the slice that was, and means nothing to the next.
            clock: Clock { limit: 0, ..self.clock },
            entropy: self.entropy,
            schedule: self.schedule,
            ram: Vec::new(),
        }
    }

    /// How many pages were written since [`Self::take_unsaved_pages`].
    pub fn unsaved_pages(&self) -> usize {
        self.mem.unsaved_pages()
    }

    /// The pages (by RAM page number, ascending) written since the last call, by the guest, by a
    /// load, or from outside. The first call gives all that were written since power-on.
    pub fn take_unsaved_pages(&mut self) -> Vec<u32> {
        self.mem.take_unsaved_pages()
    }

    /// What may have been stored to and fetched from, by linear address, since the last call, or since
    /// power-on: no less than what stop points would have seen. It costs as much as it is called often: the
    /// soft TLBs must see the first access to each page anew.
    pub fn take_touched(&mut self) -> Touched {
        let mut touched = Touched::default();
        self.vcpus.iter_mut().for_each(|cpu| cpu.tlb.take_touched(&mut touched));
        touched
    }

    /// Takes over a state, which was saved from a machine of the same configuration and images.
    /// What the machine has given to the outside so far and nobody took is dropped.
    ///
    /// # Errors
    /// If the state does not fit; the machine is as it was then.
    pub fn load(&mut self, state: MachineState) -> Result<(), LoadError> {
        self.check(&state)?;
        self.mem.clear();
        self.load_pages(state.ram.iter().map(|page| (page.number, &page.bytes[..])));
        self.load_but_ram(state);
        Ok(())
    }

    /// As [`Self::load`], but RAM keeps what it has, except for the pages of `state`.
    ///
    /// # Errors
    /// If the state does not fit; the machine is as it was then.
    pub fn load_over(&mut self, state: MachineState) -> Result<(), LoadError> {
        self.check(&state)?;
        self.load_pages(state.ram.iter().map(|page| (page.number, &page.bytes[..])));
        self.load_but_ram(state);
        Ok(())
    }

    fn load_but_ram(&mut self, state: MachineState) {
        for (cpu, saved) in self.vcpus.iter_mut().zip(state.vcpus) {
            cpu.load_state(saved);
            cpu.yielded = false;
        }
        self.board.load(state.board, state.request, state.clock.icount);
        self.clock = state.clock;
        self.entropy = state.entropy;
        self.schedule = state.schedule;
        self.triple_fault = state.triple_fault;
        self.off = state.off;
        self.outbound.clear();
        self.forget_stop();
    }

    fn check(&self, state: &MachineState) -> Result<(), LoadError> {
        let machine = self.vcpus.len();
        for count in [state.vcpus.len(), state.board.vcpus()] {
            if count != machine {
                return Err(LoadError::VcpuCount { state: count, machine });
            }
        }
        if state.schedule.current >= machine {
            return Err(LoadError::Schedule { current: state.schedule.current });
        }
        let pages = self.mem.bytes() >> PAGE_SHIFT;
        let fits = |page: &RamPage| u64::from(page.number) < pages && page.bytes.len() as u64 == PAGE_SIZE;
        match state.ram.iter().find(|page| !fits(page)) {
            Some(page) => Err(LoadError::Page { number: page.number, len: page.bytes.len() }),
            None => Ok(()),
        }
    }

    /// Overwrites whole pages of RAM, by RAM page number, between runs. Who does so answers for
    /// what becomes of the run: it is half of a restore.
    ///
    /// # Panics
    /// If a page lies beyond RAM, or is not as long as a page.
    pub fn load_pages<'a>(&mut self, pages: impl IntoIterator<Item = (u32, &'a [u8])>) {
        for (number, bytes) in pages {
            assert_eq!(bytes.len() as u64, PAGE_SIZE);
            let gpa: Gpa = self.mem.gpa_of((number as usize) << PAGE_SHIFT);
            self.mem.write_bytes(gpa, bytes);
        }
        drop_pages(&mut self.mem, &mut self.code, self.jit.as_deref_mut());
    }
}
