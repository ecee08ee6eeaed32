//! One turn of a vCPU: what is pending is delivered, then instructions run.

use super::board_pc::Board;
use super::run_loop::{Runner, TargetCache, TripleFault};
use crate::boundary::Position;
use crate::cpu::decode_cache::DecodeCache;
use crate::cpu::state::Shadow;
use crate::cpu::{Clock, Entropy, Env, Vcpu, system};
use crate::jit::Jit;
use crate::mem::Memory;
use crate::types::VcpuId;

/// A run that stopped with an instruction of its turn before it: timers, the turn and the
/// interrupts of this position are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    pub vcpu: VcpuId,
    /// Interrupts may go on without an end, so the slice is one instruction.
    pub single: bool,
}

/// So many interrupts at most come before one instruction: with trap gates and a level-triggered
/// line that nobody has to acknowledge there is no end of them.
const DELIVERIES: u32 = 32;

/// A vCPU with all that it runs against.
pub struct Slice<'a> {
    pub cpu: &'a mut Vcpu,
    pub targets: &'a mut TargetCache,
    pub mem: &'a mut Memory,
    pub board: &'a mut Board,
    pub clock: &'a mut Clock,
    pub entropy: &'a mut Entropy,
    pub code: &'a mut DecodeCache,
    pub jit: Option<&'a mut Jit>,
}

impl Slice<'_> {
    /// Delivers what is pending, unless that was done before a stop, then runs instructions.
    /// Gives what is to be remembered if a stop point ended the slice before the first.
    pub fn run(&mut self, begun: Option<Begun>) -> Result<Option<Begun>, TripleFault> {
        let begun = match begun {
            Some(begun) => {
                self.cpu.sync_tlb(self.mem);
                Some(begun)
            }
            None => self.begin()?,
        };
        if begun.is_some_and(|begun| begun.single) {
            self.clock.limit = self.clock.icount + 1;
        }
        if !self.cpu.stops.must_stop() {
            self.with_runner(|runner| runner.run())?;
        }
        Ok(begun)
    }

    /// Delivers what is due before the next instruction. None: there was nothing.
    pub fn begin(&mut self) -> Result<Option<Begun>, TripleFault> {
        // Before anything is delivered: that stores, too.
        self.cpu.sync_tlb(self.mem);
        self.cpu.stops.in_delivery = true;
        self.stamp_probes();
        let begun = self.deliver();
        self.cpu.stops.in_delivery = false;
        self.board.probes.deliveries_end();
        begun
    }

    /// Tells the chips where they are, and for whom they do what they do.
    fn stamp_probes(&mut self) {
        if self.board.probes.is_on() {
            let here = Position { icount: self.clock.icount, now_ns: self.clock.now_ns() };
            self.board.probes.stamp(here, Some(self.cpu.origin()));
        }
    }

    /// Interrupts and debug traps. None: there were none.
    fn deliver(&mut self) -> Result<Option<Begun>, TripleFault> {
        let (id, mut delivered) = (self.cpu.id, 0);
        while delivered < DELIVERIES {
            let cpu = &mut *self.cpu;
            let vector = if cpu.shadow == Shadow::None && cpu.nmi_pending && !cpu.nmi_masked {
                None
            } else if system::interruptible(cpu) && self.board.interrupt_pending(id) {
                delivered += 1;
                match self.board.acknowledge(id, self.clock.now_ns()) {
                    Some(vector) => Some(vector),
                    None => break,
                }
            } else {
                break;
            };
            delivered += u32::from(vector.is_none());
            self.with_runner(|runner| {
                runner.deliver_debug_trap()?;
                match vector {
                    Some(vector) => runner.deliver_interrupt(vector),
                    None => {
                        runner.cpu.nmi_pending = false;
                        runner.deliver_nmi()
                    }
                }
            })?;
        }
        let trap = self.cpu.pending_debug != 0;
        self.with_runner(|runner| runner.deliver_debug_trap())?;
        let any = delivered > 0 || trap;
        Ok(any.then_some(Begun { vcpu: id, single: delivered == DELIVERIES }))
    }

    fn with_runner<T>(&mut self, f: impl FnOnce(&mut Runner<'_, '_>) -> T) -> T {
        let Self { cpu, targets, mem, board, clock, entropy, code, jit } = self;
        let mut env = Env { mem, io: *board, clock, entropy };
        f(&mut Runner { cpu, env: &mut env, code, targets, jit: jit.as_deref_mut() })
    }
}
