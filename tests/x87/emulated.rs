//! One instruction on the virtual x87 unit, in 32-bit protected mode without paging.

use crate::cases::{State, WINDOW};
use dejavm_core::cpu::decode_cache::decode_one;
use dejavm_core::cpu::state::{CodeSize, RCX, attr, cr0, seg};
use dejavm_core::cpu::{Clock, Entropy, Env, Insn, Vcpu};
use dejavm_core::mem::{IdleBus, Memory};
use dejavm_core::types::{Exception, Gpa};
use std::collections::HashMap;

pub struct Emulated {
    pub cpu: Vcpu,
    pub mem: Memory,
    decoded: HashMap<Vec<u8>, Insn>,
}

const IMAGE_IN: u64 = 0x1000;
const IMAGE_OUT: u64 = 0x2000;
const OPERAND: u64 = 0x3000;
/// FRSTOR [ecx], FNSAVE [ecx]
const LOAD: [u8; 2] = [0xDD, 0x21];
const STORE: [u8; 2] = [0xDD, 0x31];

impl Emulated {
    pub fn new() -> Self {
        let mut cpu = Vcpu::new(0);
        cpu.state.cr0 = cr0::PE | cr0::NE | cr0::ET;
        let flat = cpu.segs[seg::FLAT];
        let code = attr::P | attr::S | attr::CODE | attr::RW | attr::DB | attr::G;
        cpu.state.segs = [flat; 7];
        cpu.state.segs[seg::CS].attributes = code;
        cpu.refresh();
        Self { cpu, mem: Memory::new(1 << 21).expect("memory"), decoded: HashMap::new() }
    }

    pub fn run(&mut self, bytes: &[u8], before: &State) -> State {
        self.mem.write_bytes(Gpa(IMAGE_IN), &before.image);
        self.mem.write_bytes(Gpa(OPERAND), &before.memory);
        self.cpu.state.regs[0] = before.rax;
        self.cpu.state.flags.set_arithmetic(before.flags);
        self.execute(&LOAD, IMAGE_IN);
        self.execute(bytes, OPERAND);
        self.execute(&STORE, IMAGE_OUT);
        let mut after = before.clone();
        after.image.copy_from_slice(self.mem.ram.slice(IMAGE_OUT as usize, 108));
        after.memory.copy_from_slice(self.mem.ram.slice(OPERAND as usize, WINDOW));
        after.rax = self.cpu.regs[0];
        after.flags = self.cpu.flags.arithmetic();
        after
    }

    fn execute(&mut self, bytes: &[u8], rcx: u64) {
        self.cpu.state.regs[RCX] = rcx;
        assert_eq!(self.attempt(bytes), Ok(()), "{bytes:02x?}");
    }

    /// Executes an instruction, whose exception is the result.
    pub fn attempt(&mut self, bytes: &[u8]) -> Result<(), Exception> {
        let insn = *self
            .decoded
            .entry(bytes.to_vec())
            .or_insert_with(|| decode_one(bytes, CodeSize::Bits32).expect("a whole instruction"));
        let (mut clock, mut entropy) = (Clock::default(), Entropy::default());
        let mut env = Env { mem: &mut self.mem, io: &mut IdleBus, clock: &mut clock, entropy: &mut entropy };
        self.cpu.execute(&mut env, &insn)
    }
}
