//! A rig for tests of handlers: one vCPU in flat 64-bit, 32-bit or 16-bit mode, code at
//! [`CODE`], a stack below [`STACK`], no devices.

use crate::cpu::env::{Clock, Env};
use crate::cpu::insn::Exec;
use crate::cpu::state::{RSP, Vcpu, attr, cr0, cr4, efer, seg};
use crate::mem::{IdleBus, Memory};
use crate::types::{Entropy, Gpa};

/// Where code is put.
pub const CODE: u64 = 0x1000;
/// The initial stack pointer.
pub const STACK: u64 = 0x8000;
/// Free memory for data.
pub const DATA: u64 = 0x2_0000;

const PML4: u64 = 0x10_0000;
const PDPT: u64 = 0x10_1000;
const PD: u64 = 0x10_2000;
const PT: u64 = 0x10_3000;

/// A vCPU with memory and a clock of its own.
pub struct Rig {
    /// The vCPU.
    pub cpu: Vcpu,
    /// 2 MiB of RAM, mapped one to one.
    pub mem: Memory,
    /// Its clock; the limit is far away.
    pub clock: Clock,
}

impl Rig {
    fn new(code_attributes: u16) -> Self {
        let mut cpu = Vcpu::new(0);
        let mem = Memory::new(2 << 20).expect("2 MiB");
        for s in 0..6 {
            cpu.segs[s].base = 0;
            cpu.segs[s].limit = u32::MAX;
            cpu.segs[s].attributes |= attr::G | code_attributes & attr::DB;
        }
        cpu.segs[seg::CS].attributes |= code_attributes;
        cpu.regs[RSP] = STACK;
        cpu.cr0 |= cr0::PE;
        Self { cpu, mem, clock: Clock { limit: u64::MAX, ..Clock::default() } }
    }

    /// 64-bit mode, CPL 0, 4-KiB pages.
    pub fn long() -> Self {
        let mut rig = Self::new(attr::L);
        let mut entry =
            |table: u64, n: u64, v: u64| rig.mem.write_bytes(Gpa(table + 8 * n), &v.to_le_bytes());
        entry(PML4, 0, PDPT | 7);
        entry(PDPT, 0, PD | 7);
        entry(PD, 0, PT | 7);
        for page in 0..512 {
            entry(PT, page, page << 12 | 7);
        }
        rig.cpu.cr3 = PML4;
        rig.cpu.cr4 |= cr4::PAE;
        rig.cpu.efer |= efer::LME | efer::LMA;
        rig.cpu.cr0 |= cr0::PG;
        rig.cpu.refresh();
        rig
    }

    /// 32-bit protected mode without paging.
    pub fn protected() -> Self {
        let mut rig = Self::new(attr::DB);
        rig.cpu.refresh();
        rig
    }

    /// Real mode with flat segments.
    pub fn real() -> Self {
        let mut rig = Self::new(0);
        rig.cpu.cr0 &= !cr0::PE;
        rig.cpu.refresh();
        rig
    }

    /// Makes a page not present (64-bit mode).
    pub fn unmap(&mut self, va: u64) {
        self.mem.write_bytes(Gpa(PT + 8 * (va >> 12)), &0u64.to_le_bytes());
        self.cpu.flush_tlb();
    }

    /// Steps once through code put at [`CODE`].
    pub fn run(&mut self, code: &[u8]) -> Exec {
        self.mem.write_bytes(Gpa(CODE), code);
        self.cpu.set_rip(CODE);
        self.step()
    }

    /// Steps once.
    pub fn step(&mut self) -> Exec {
        let mut entropy = Entropy::new(1);
        let mut env =
            Env { mem: &mut self.mem, io: &mut IdleBus, clock: &mut self.clock, entropy: &mut entropy };
        self.cpu.step(&mut env)
    }

    /// Puts a value into memory.
    pub fn put(&mut self, at: u64, v: u64) {
        self.mem.write_bytes(Gpa(at), &v.to_le_bytes());
    }

    /// A value from memory.
    pub fn at(&self, at: u64) -> u64 {
        self.mem.read_phys(Gpa(at)).expect("RAM")
    }
}
