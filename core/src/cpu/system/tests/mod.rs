//! Tests of the system side: a rig with GDT, IDT and TSS over the rig of the instruction
//! families. Expected values are those of the SDM vol. 3 and the APM vol. 2.

mod compatibility;
mod delivery;
mod model;
mod returns;
mod segments;
mod tasks;

use super::{Delivery, interrupt, raise};
use crate::cpu::env::Env;
use crate::cpu::exec::testing::{CODE, Rig, STACK};
use crate::cpu::insn::Exec;
use crate::cpu::state::{RSP, Segment, TableRegister, Vcpu, attr, seg};
use crate::mem::IdleBus;
use crate::types::{Entropy, Exception, Gpa};

const GDT: u64 = 0x3000;
const IDT: u64 = 0x4000;
const TSS: u64 = 0x5000;
const TSS2: u64 = 0x5800;
const HANDLER: u64 = 0x6000;
const STACK0: u64 = 0x9000;
const IST1: u64 = 0xA000;

/// Selectors of the rig's GDT.
mod sel {
    pub const CODE0: u16 = 0x08;
    pub const DATA0: u16 = 0x10;
    pub const CODE3: u16 = 0x18;
    pub const DATA3: u16 = 0x20;
    pub const CODE64: u16 = 0x28;
    pub const CODE64_3: u16 = 0x30;
    pub const CONFORMING: u16 = 0x38;
    pub const ABSENT_DATA: u16 = 0x40;
    pub const ABSENT_CODE: u16 = 0x48;
    /// 16 bytes in long mode.
    pub const TSS: u16 = 0x50;
    pub const TSS2: u16 = 0x60;
    /// 16 bytes in long mode.
    pub const GATE: u16 = 0x68;
    pub const DATA16: u16 = 0x78;
    pub const CODE16: u16 = 0x80;
    pub const READ_ONLY: u16 = 0x88;
    pub const TASK_GATE: u16 = 0x90;
    pub const LAST: u16 = 0x90;
}

const DATA: u16 = attr::P | attr::S | attr::RW | attr::ACCESSED;
const CODE_KIND: u16 = DATA | attr::CODE;
const DPL3: u16 = 3 << attr::DPL_SHIFT;
const BIG: u16 = attr::G | attr::DB;

/// A descriptor: base, limit field, attributes.
fn descriptor(base: u64, limit: u64, attributes: u16) -> u64 {
    (limit & 0xFFFF)
        | (base & 0xFF_FFFF) << 16
        | u64::from(attributes) << 40
        | (limit >> 16 & 0xF) << 48
        | (base >> 24 & 0xFF) << 56
}

/// The first eight bytes of a gate.
fn gate(selector: u16, offset: u64, kind: u16, dpl: u16, low_bits: u64) -> u64 {
    (offset & 0xFFFF)
        | u64::from(selector) << 16
        | low_bits << 32
        | u64::from(kind | attr::P | dpl << attr::DPL_SHIFT) << 40
        | (offset >> 16 & 0xFFFF) << 48
}

struct System {
    rig: Rig,
}

impl System {
    fn new(rig: Rig) -> Self {
        let mut s = Self { rig };
        let flat = 0xF_FFFF;
        let rows = [
            (sel::CODE0, descriptor(0, flat, CODE_KIND | BIG)),
            (sel::DATA0, descriptor(0, flat, DATA | BIG)),
            (sel::CODE3, descriptor(0, flat, CODE_KIND | BIG | DPL3)),
            (sel::DATA3, descriptor(0, flat, DATA | BIG | DPL3)),
            (sel::CODE64, descriptor(0, flat, CODE_KIND | attr::G | attr::L)),
            (sel::CODE64_3, descriptor(0, flat, CODE_KIND | attr::G | attr::L | DPL3)),
            (sel::CONFORMING, descriptor(0, flat, CODE_KIND | BIG | attr::DC)),
            (sel::ABSENT_DATA, descriptor(0, flat, (DATA | BIG) & !attr::P)),
            (sel::ABSENT_CODE, descriptor(0, flat, (CODE_KIND | BIG) & !attr::P)),
            (sel::TSS, descriptor(TSS, 0x2FF, attr::P | 9)),
            (sel::TSS2, descriptor(TSS2, 0x67, attr::P | 9)),
            (sel::DATA16, descriptor(0, 0xFFFF, DATA)),
            (sel::CODE16, descriptor(0, 0xFFFF, CODE_KIND)),
            (sel::READ_ONLY, descriptor(0, flat, (DATA | BIG) & !attr::RW)),
            (sel::TASK_GATE, gate(sel::TSS2, 0, 5, 0, 0)),
        ];
        for (selector, raw) in rows {
            s.rig.put(GDT + u64::from(selector), raw);
        }
        s.rig.cpu.gdtr = TableRegister { base: GDT, limit: sel::LAST + 7 };
        s.rig.cpu.idtr = TableRegister { base: IDT, limit: 0xFFF };
        s.rig.cpu.tr = Segment { selector: sel::TSS, base: TSS, limit: 0x2FF, attributes: attr::P | 0xB };
        s
    }

    /// 64-bit mode at CPL 0.
    fn long() -> Self {
        let mut s = Self::new(Rig::long());
        s.rig.put(TSS + 4, STACK0);
        s.rig.put(TSS + 36, IST1);
        s.segments(sel::CODE64, 0);
        s
    }

    /// 32-bit protected mode at CPL 0.
    fn protected() -> Self {
        let mut s = Self::new(Rig::protected());
        s.rig.put(TSS + 4, STACK0 | u64::from(sel::DATA0) << 32);
        s.segments(sel::CODE0, sel::DATA0);
        s
    }

    fn long_user() -> Self {
        let mut s = Self::long();
        s.segments(sel::CODE64_3 | 3, sel::DATA3 | 3);
        s
    }

    fn protected_user() -> Self {
        let mut s = Self::protected();
        s.segments(sel::CODE3 | 3, sel::DATA3 | 3);
        s
    }

    /// Loads CS and SS from the GDT as they are there, and CPL from CS.
    fn segments(&mut self, cs: u16, ss: u16) {
        for (r, selector) in [(seg::CS, cs), (seg::SS, ss)] {
            let raw = self.rig.at(GDT + u64::from(selector & !7));
            let d = super::descriptor::Descriptor { raw, upper: 0, address: 0 };
            self.rig.cpu.segs[r] = d.segment(selector);
        }
        self.rig.cpu.cpl = cs as u8 & 3;
        self.rig.cpu.regs[RSP] = STACK;
        self.rig.cpu.refresh();
        self.rig.cpu.set_rip(CODE);
    }

    /// An IDT entry; in long mode `low_bits` is the stack-table index.
    fn idt(&mut self, vector: u8, selector: u16, kind: u16, dpl: u16, low_bits: u64) {
        let size = if self.rig.cpu.long_mode() { 16 } else { 8 };
        let at = IDT + u64::from(vector) * size;
        self.rig.put(at, gate(selector, HANDLER, kind, dpl, low_bits));
    }

    fn with<R>(&mut self, f: impl FnOnce(&mut Vcpu, &mut Env<'_>) -> R) -> R {
        let mut entropy = Entropy::new(1);
        let mut io = IdleBus;
        let rig = &mut self.rig;
        let mut env = Env { mem: &mut rig.mem, io: &mut io, clock: &mut rig.clock, entropy: &mut entropy };
        f(&mut rig.cpu, &mut env)
    }

    fn raise(&mut self, e: Exception) -> Delivery {
        self.with(|cpu, env| raise(cpu, env, e))
    }

    fn interrupt(&mut self, vector: u8) -> Delivery {
        self.with(|cpu, env| interrupt(cpu, env, vector))
    }

    fn run(&mut self, code: &[u8]) -> Exec {
        self.rig.run(code)
    }

    fn cs(&self) -> u16 {
        self.rig.cpu.segs[seg::CS].selector
    }

    fn ss(&self) -> u16 {
        self.rig.cpu.segs[seg::SS].selector
    }

    fn rsp(&self) -> u64 {
        self.rig.cpu.regs[RSP]
    }

    /// `n` values of `width` bytes from the stack pointer up.
    fn frame(&self, width: u64, n: u64) -> Vec<u64> {
        let mut values = Vec::new();
        for k in 0..n {
            let mut bytes = [0; 8];
            let at = (self.rsp() + width * k) as usize;
            bytes[..width as usize].copy_from_slice(self.rig.mem.ram.slice(at, width as usize));
            values.push(u64::from_le_bytes(bytes));
        }
        values
    }

    /// Puts values of `width` bytes on the stack, the first one on top.
    fn put_frame(&mut self, width: u64, values: &[u64]) {
        let rsp = self.rsp() - width * values.len() as u64;
        for (k, v) in values.iter().enumerate() {
            let bytes = v.to_le_bytes();
            self.rig.mem.write_bytes(Gpa(rsp + width * k as u64), &bytes[..width as usize]);
        }
        self.rig.cpu.regs[RSP] = rsp;
    }
}
