//! The interpreter under test: one vCPU in ring 3 of long mode, with the mappings of
//! [`crate::layout`].

use crate::image::{Ending, Extent, FxImage, Input, Output, Registers};
use crate::layout::{CODE, CODE_BYTES, CODE_OFFSET, CODE_PAGE, INT3, WINDOW, WINDOW_BYTES};
use dejavm_core::cpu::flags::{self, Flags};
use dejavm_core::cpu::insn::RIP;
use dejavm_core::cpu::state::{CpuState, TableRegister, X87, attr, cr0, cr4, efer, seg};
use dejavm_core::cpu::{Activity, Clock, Entropy, Env, Segment, Vcpu};
use dejavm_core::mem::{IdleBus, Memory};
use dejavm_core::softfloat::F80;
use dejavm_core::types::{Exception, Gpa, vector};

const RAM_BYTES: u64 = 64 << 10;
const PML4: u64 = 0x1000;
const PDPT: u64 = 0x2000;
const DIRECTORY: u64 = 0x3000;
const CODE_TABLE: u64 = 0x4000;
const WINDOW_TABLE: u64 = 0x5000;
const CODE_FRAME: u64 = 0x8000;
const WINDOW_FRAME: u64 = 0x9000;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 2;
const USER: u64 = 4;
const ACCESSED: u64 = 0x20;
const DIRTY: u64 = 0x40;
const NO_EXECUTE: u64 = 1 << 63;

/// No case may take more interpreted steps than this.
const MAX_STEPS: u64 = 1 << 20;

/// A vCPU and the memory it runs in.
pub struct Rig {
    cpu: Vcpu,
    mem: Memory,
    base: CpuState,
}

/// What the interpreter made of a case.
pub enum Interpreted {
    /// It ran.
    Ran(Output),
    /// An instruction has no handler yet.
    NotImplemented,
}

impl Rig {
    /// Maps the pages and puts the vCPU in ring 3.
    pub fn new() -> Self {
        let mut mem = Memory::new(RAM_BYTES).expect("64 KiB of guest RAM");
        let inner = PRESENT | WRITABLE | USER | ACCESSED;
        map(&mut mem, PML4, 0, PDPT | inner);
        map(&mut mem, PDPT, 0, DIRECTORY | inner);
        map(&mut mem, DIRECTORY, CODE_PAGE >> 21, CODE_TABLE | inner);
        map(&mut mem, DIRECTORY, WINDOW >> 21, WINDOW_TABLE | inner);
        let page = PRESENT | USER | ACCESSED | DIRTY;
        map(&mut mem, CODE_TABLE, (CODE_PAGE >> 12) & 511, CODE_FRAME | page);
        for k in 0..WINDOW_BYTES as u64 / 4096 {
            let entry = (WINDOW_FRAME + 4096 * k) | page | WRITABLE | NO_EXECUTE;
            map(&mut mem, WINDOW_TABLE, (WINDOW >> 12) + k & 511, entry);
        }
        mem.write_bytes(Gpa(CODE_FRAME), &[INT3; 4096]);
        let mut cpu = Vcpu::new(0);
        let base = ring3(&cpu.state);
        cpu.load_state(base.clone());
        Self { cpu, mem, base }
    }

    /// Runs a case.
    pub fn run(&mut self, case: &Input) -> Interpreted {
        self.load(case);
        let end = CODE + case.code.len() as u64;
        let (mut io, mut entropy) = (IdleBus, Entropy::new(0));
        let mut clock = Clock { icount: 0, skipped_ns: 0, limit: u64::MAX };
        let mut env = Env { mem: &mut self.mem, io: &mut io, clock: &mut clock, entropy: &mut entropy };
        let mut ending = None;
        for _ in 0..MAX_STEPS {
            if let Err(e) = self.cpu.step(&mut env) {
                ending = Some(self.cpu.ending(e));
                break;
            }
            if case.extent == Extent::SingleStep || self.cpu.rip() == end {
                break;
            }
        }
        if !self.cpu.unimplemented.is_empty() {
            self.cpu.unimplemented.clear();
            return Interpreted::NotImplemented;
        }
        let ending = ending.unwrap_or_else(|| self.normal_ending(case.extent));
        let mut window = Box::new([0; WINDOW_BYTES]);
        window.copy_from_slice(self.mem.ram.slice(WINDOW_FRAME as usize, WINDOW_BYTES));
        Interpreted::Ran(Output { registers: registers(&self.cpu.state), window, ending })
    }

    /// The INT3 after the block, or the trap of the single step.
    fn normal_ending(&mut self, extent: Extent) -> Ending {
        match extent {
            Extent::Block => {
                let rip = self.cpu.rip() + 1;
                self.cpu.set_rip(rip);
                Ending { vector: u64::from(vector::BP), ..Ending::default() }
            }
            Extent::SingleStep => Ending { vector: u64::from(vector::DB), ..Ending::default() },
        }
    }

    fn load(&mut self, case: &Input) {
        let mut code = [INT3; CODE_BYTES];
        code[..case.code.len()].copy_from_slice(&case.code);
        self.mem.write_bytes(Gpa(CODE_FRAME + CODE_OFFSET as u64), &code);
        self.mem.write_bytes(Gpa(WINDOW_FRAME), &case.window[..]);
        let r = &case.registers;
        let mut s = self.base.clone();
        s.regs[..16].copy_from_slice(&r.gpr);
        s.regs[RIP as usize] = r.rip;
        let step = if case.extent == Extent::SingleStep { flags::TF } else { 0 };
        s.flags = Flags::from_bits(r.flags | step);
        s.segs[seg::FS].base = r.fs_base;
        s.segs[seg::GS].base = r.gs_base;
        s.x87 = x87(&r.fx);
        for (i, x) in s.xmm.iter_mut().enumerate() {
            *x = r.fx.xmm(i);
        }
        s.mxcsr = r.fx.mxcsr();
        self.cpu.load_state(s);
    }
}

impl Default for Rig {
    fn default() -> Self {
        Self::new()
    }
}

trait EndingOf {
    fn ending(&self, e: Exception) -> Ending;
}

impl EndingOf for Vcpu {
    fn ending(&self, e: Exception) -> Ending {
        Ending {
            vector: u64::from(e.vector),
            error_code: u64::from(e.error_code.unwrap_or(0)),
            address: if e.vector == vector::PF { self.fault_address } else { 0 },
        }
    }
}

fn map(mem: &mut Memory, table: u64, index: u64, entry: u64) {
    mem.write_bytes(Gpa(table + 8 * index), &entry.to_le_bytes());
}

/// Ring 3 as Linux sets it up.
fn ring3(reset: &CpuState) -> CpuState {
    let mut s = reset.clone();
    let user = attr::P | attr::S | attr::RW | attr::ACCESSED | attr::G | 3 << attr::DPL_SHIFT;
    let data = Segment { selector: 0, base: 0, limit: u32::MAX, attributes: user | attr::DB };
    let null = Segment { attributes: 0, limit: 0, ..data };
    s.segs = [null; 7];
    s.segs[seg::CS] = Segment { selector: 0x33, attributes: user | attr::CODE | attr::L, ..data };
    s.segs[seg::SS] = Segment { selector: 0x2B, ..data };
    s.segs[seg::FLAT] = reset.segs[seg::FLAT];
    s.gdtr = TableRegister { base: 0, limit: 0 };
    s.idtr = TableRegister { base: 0, limit: 0 };
    // Too short for an I/O permission bitmap, as Linux has it for most processes.
    s.tr.limit = 0x66;
    s.cpl = 3;
    s.cr0 = cr0::PE | cr0::MP | cr0::ET | cr0::NE | cr0::WP | cr0::AM | cr0::PG;
    s.cr3 = PML4;
    s.cr4 = cr4::PAE
        | cr4::PGE
        | cr4::OSFXSR
        | cr4::OSXMMEXCPT
        | cr4::UMIP
        | cr4::FSGSBASE
        | cr4::OSXSAVE
        | cr4::SMEP
        | cr4::SMAP;
    s.efer = efer::SCE | efer::LME | efer::LMA | efer::NXE;
    s.xcr0 = 3;
    s.dr[7] = 0x400;
    s.activity = Activity::Running;
    s
}

pub(crate) fn x87(fx: &FxImage) -> X87 {
    let status = fx.u16(2);
    let top = usize::from(status >> 11 & 7);
    let mut x = X87 { control: fx.u16(0), status, valid: fx.0[4], ..X87::default() };
    for i in 0..8 {
        let (significand, sign_exponent) = fx.st(i);
        x.regs[(top + i) & 7] = F80 { significand, sign_exponent };
    }
    x
}

fn registers(s: &CpuState) -> Registers {
    let mut fx = FxImage::new();
    fx.set_u16(0, s.x87.control);
    fx.set_u16(2, s.x87.status);
    fx.0[4] = s.x87.valid;
    fx.0[24..28].copy_from_slice(&s.mxcsr.to_le_bytes());
    let top = usize::from(s.x87.status >> 11 & 7);
    for i in 0..8 {
        let r = s.x87.regs[(top + i) & 7];
        fx.set_st(i, r.significand, r.sign_exponent);
    }
    for (i, x) in s.xmm.iter().enumerate() {
        fx.set_xmm(i, *x);
    }
    let mut gpr = [0; 16];
    gpr.copy_from_slice(&s.regs[..16]);
    Registers {
        fx,
        gpr,
        rip: s.regs[RIP as usize],
        flags: s.flags.bits(),
        fs_base: s.segs[seg::FS].base,
        gs_base: s.segs[seg::GS].base,
    }
}
