//! Random guests: a machine in any mode with tables that mostly hold together, registers that
//! mostly point somewhere, and random code to run.

use super::code::{code, value};
use super::tables;
use crate::rng::Rng;
use dejavm_core::boundary::{Images, MachineConfig};
use dejavm_core::cpu::flags::{self, Flags};
use dejavm_core::cpu::insn::RIP;
use dejavm_core::cpu::state::{RSP, Shadow, TableRegister, attr, cr0, cr4, efer, seg};
use dejavm_core::cpu::{Activity, CpuState, Segment};
use dejavm_core::machine::Machine;
use dejavm_core::types::Gpa;

/// Where things are in guest memory.
pub mod layout {
    /// The GDT.
    pub const GDT: u64 = 0x1_0000;
    /// The IDT, or the interrupt vectors of real mode.
    pub const IDT: u64 = 0x1_1000;
    /// TSSs.
    pub const TSS: u64 = 0x1_2000;
    /// An LDT.
    pub const LDT: u64 = 0x1_3000;
    /// Page tables.
    pub const PAGE_TABLES: u64 = 0x1_4000;
    /// Code.
    pub const CODE: u64 = 0x2_0000;
    /// Its size.
    pub const CODE_BYTES: u64 = 0x3000;
    /// The end of the stacks.
    pub const STACK_END: u64 = 0x3_FF00;
    /// Data.
    pub const DATA: u64 = 0x4_0000;
    /// Where the kernel image is loaded.
    pub const KERNEL: u64 = 0x10_0000;
}

/// The mode that a guest starts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Real mode.
    Real,
    /// Virtual-8086 mode.
    V86,
    /// 16-bit protected mode.
    Protected16,
    /// 32-bit protected mode without paging.
    Protected32,
    /// 32-bit paging.
    Legacy,
    /// PAE paging.
    Pae,
    /// Compatibility mode.
    Compat,
    /// 64-bit mode.
    Long,
}

const MODES: [Mode; 10] = [
    Mode::Real,
    Mode::V86,
    Mode::Protected16,
    Mode::Protected32,
    Mode::Legacy,
    Mode::Pae,
    Mode::Compat,
    Mode::Long,
    Mode::Long,
    Mode::Long,
];

const RAM_BYTES: u64 = 2 << 20;
const PAGE_BYTES: u64 = 0x1000;

/// All that a random guest starts from.
pub struct Guest {
    config: MachineConfig,
    images: Images,
    states: Vec<CpuState>,
    memory: Vec<(u64, Vec<u8>)>,
}

impl Guest {
    /// The guest of a sequence of random numbers.
    pub fn new(rng: &mut Rng) -> Self {
        let mode = rng.pick(&MODES);
        let vcpus = if rng.one_in(2) { 1 } else { 2 + rng.below(3) };
        let config = MachineConfig {
            vcpus: vcpus as u32,
            ram_bytes: RAM_BYTES + PAGE_BYTES * rng.below(64),
            seed: rng.u64(),
            quantum_icount: 1 + rng.below(2000) as u32,
            ..MachineConfig::default()
        };
        let bits = code_bits(mode);
        let memory = vec![
            (layout::GDT, tables::gdt(rng)),
            (layout::IDT, tables::idt(rng, mode)),
            (layout::TSS, tables::tss(rng, mode)),
            (layout::LDT, tables::gdt(rng)),
            (layout::PAGE_TABLES, tables::page_tables(rng)),
            (layout::CODE, code(rng, bits, layout::CODE_BYTES)),
            (layout::DATA, (0..0x800).flat_map(|_| value(rng).to_le_bytes()).collect()),
            (0, (0..256).flat_map(|_| real_vector(rng).to_le_bytes()).collect()),
        ];
        let images = Images { kernel: kernel(&code(rng, 64, PAGE_BYTES)), initrd: None };
        let states = (0..vcpus).map(|id| state(rng, mode, id as usize)).collect();
        Self { config, images, states, memory }
    }

    /// A machine with it.
    ///
    /// # Panics
    /// If the machine does not take it.
    pub fn machine(&self) -> Machine {
        let machine = Machine::new(&self.config, self.images.clone()).expect("a good image");
        let mut machine = crate::accel::on_chosen(machine);
        for (at, bytes) in &self.memory {
            machine.load_memory(Gpa(*at), bytes);
        }
        for (id, state) in self.states.iter().enumerate() {
            machine.load_vcpu(id, state.clone());
        }
        machine
    }
}

fn real_vector(rng: &mut Rng) -> u32 {
    (layout::CODE as u32 >> 4) << 16 | rng.below(layout::CODE_BYTES) as u32
}

fn code_bits(mode: Mode) -> u32 {
    match mode {
        Mode::Real | Mode::V86 | Mode::Protected16 => 16,
        Mode::Long => 64,
        _ => 32,
    }
}

/// An ELF of one segment: what runs after a reset.
pub fn kernel(code: &[u8]) -> Vec<u8> {
    let mut i = b"\x7FELF\x02\x01\x01".to_vec();
    i.resize(64, 0);
    i[16..20].copy_from_slice(&[2, 0, 62, 0]);
    i[24..32].copy_from_slice(&layout::KERNEL.to_le_bytes());
    i[32] = 64;
    i[54] = 56;
    i[56] = 1;
    let len = code.len() as u64;
    i.extend([1u32, 5].into_iter().flat_map(u32::to_le_bytes));
    i.extend([120, layout::KERNEL, layout::KERNEL, len, len, 0].into_iter().flat_map(u64::to_le_bytes));
    i.extend(code);
    i
}

const CODE_RIGHTS: u16 = attr::P | attr::S | attr::CODE | attr::RW | attr::ACCESSED;
const DATA_RIGHTS: u16 = attr::P | attr::S | attr::RW | attr::ACCESSED;

/// A state in which a guest can bring a vCPU.
fn state(rng: &mut Rng, mode: Mode, id: usize) -> CpuState {
    let mut s = CpuState::reset(id);
    let cpl = match mode {
        Mode::Real => 0,
        Mode::V86 => 3,
        _ => rng.pick(&[0, 0, 3]),
    };
    set_control(rng, &mut s, mode);
    set_segments(&mut s, mode, cpl);
    s.cpl = cpl as u8;
    s.gdtr = TableRegister { base: layout::GDT, limit: 0xFF };
    s.idtr = TableRegister { base: layout::IDT, limit: 0xFFF };
    if mode == Mode::Real {
        s.idtr.base = rng.pick(&[0, layout::IDT]);
    }
    let rights = attr::P | if mode == Mode::Protected16 { 3 } else { 0xB };
    s.tr = Segment { selector: 0x48, base: layout::TSS, limit: 0x67, attributes: rights };
    s.ldtr = Segment { selector: 0x60, base: layout::LDT, limit: 0xFF, attributes: attr::P | 2 };
    set_registers(rng, &mut s, mode);
    s.activity = if id == 0 || rng.one_in(2) { Activity::Running } else { Activity::WaitForSipi };
    s.shadow = rng.pick(&[Shadow::None, Shadow::None, Shadow::Sti, Shadow::MovSs]);
    s
}

fn set_control(rng: &mut Rng, s: &mut CpuState, mode: Mode) {
    let mut some = |bits: &[u64]| bits.iter().filter(|_| rng.one_in(2)).fold(0, |a, b| a | b);
    s.cr0 = cr0::ET | some(&[cr0::NE, cr0::MP, cr0::WP, cr0::AM]);
    s.cr4 = some(&[
        cr4::PSE,
        cr4::PGE,
        cr4::OSFXSR,
        cr4::OSXMMEXCPT,
        cr4::FSGSBASE,
        cr4::OSXSAVE,
        cr4::DE,
        cr4::PCE,
    ]);
    s.efer = some(&[efer::SCE, efer::NXE]);
    s.xcr0 = 1 | some(&[2]);
    if mode != Mode::Real {
        s.cr0 |= cr0::PE;
    }
    let paging = matches!(mode, Mode::Legacy | Mode::Pae | Mode::Compat | Mode::Long);
    if paging || (mode == Mode::V86 && rng.one_in(2)) {
        s.cr0 |= cr0::PG;
        s.cr3 = tables::cr3(if paging { mode } else { Mode::Legacy });
        s.pdpte = tables::pdptes(mode);
    }
    if matches!(mode, Mode::Pae | Mode::Compat | Mode::Long) {
        s.cr4 |= cr4::PAE;
    }
    if matches!(mode, Mode::Compat | Mode::Long) {
        s.efer |= efer::LME | efer::LMA;
    }
    if rng.one_in(4) {
        s.cr4 |= rng.pick(&[cr4::SMEP, cr4::SMAP, cr4::SMEP | cr4::SMAP]);
    }
}

fn set_segments(s: &mut CpuState, mode: Mode, cpl: u16) {
    let dpl = cpl << attr::DPL_SHIFT;
    let flat = |selector: u16, attributes: u16| Segment { selector, base: 0, limit: u32::MAX, attributes };
    let wide = attr::G | attr::DB;
    let (code, data) = match mode {
        Mode::Real | Mode::V86 => {
            let real = |base: u64, attributes: u16| Segment {
                selector: (base >> 4) as u16,
                base,
                limit: 0xFFFF,
                attributes: attributes | dpl,
            };
            (real(layout::CODE, CODE_RIGHTS), real(layout::STACK_END & !0xFFFF, DATA_RIGHTS))
        }
        Mode::Protected16 => (
            Segment { base: layout::CODE, limit: 0xFFFF, ..flat(0x20 | cpl, CODE_RIGHTS | dpl) },
            flat(0x10 | cpl, DATA_RIGHTS | dpl | attr::G),
        ),
        Mode::Long => {
            (flat(0x18 | cpl, CODE_RIGHTS | dpl | attr::L | attr::G), flat(0x10, DATA_RIGHTS | dpl | wide))
        }
        _ => (flat(8 | cpl, CODE_RIGHTS | dpl | wide), flat(0x10 | cpl, DATA_RIGHTS | dpl | wide)),
    };
    s.segs[..6].fill(data);
    s.segs[seg::CS] = code;
}

fn set_registers(rng: &mut Rng, s: &mut CpuState, mode: Mode) {
    let bits = code_bits(mode);
    for r in &mut s.regs[..16] {
        *r = value(rng);
    }
    let in_segment = |linear: u64| if bits == 16 { linear & 0xFFFF } else { linear };
    s.regs[RSP] = in_segment(layout::STACK_END - 8 * rng.below(64));
    let start = rng.below(layout::CODE_BYTES);
    s.regs[RIP as usize] = if bits == 16 { start } else { layout::CODE + start };
    let mut f = rng.u64() & (flags::ARITHMETIC | flags::IF | flags::IOPL | flags::DF);
    if rng.one_in(8) {
        f |= rng.pick(&[flags::TF, flags::AC, flags::NT, flags::RF]);
    }
    if mode == Mode::V86 {
        f |= flags::VM;
    }
    s.flags = Flags::from_bits(f);
    for x in &mut s.xmm {
        *x = u128::from(value(rng)) << 64 | u128::from(value(rng));
    }
    for r in &mut s.x87.regs {
        r.significand = value(rng);
        r.sign_exponent = value(rng) as u16;
    }
    s.x87.valid = rng.u64() as u8;
    s.x87.control = 0x37F ^ if rng.one_in(2) { rng.below(0x40) as u16 } else { 0 };
    if rng.one_in(8) {
        s.dr[7] = 0x400 | rng.u64() & 0xFFFF_03FF;
        for n in 0..4 {
            s.dr[n] = value(rng);
        }
    }
    s.msrs.star = 0x0013_0008_0000_0000;
    s.msrs.lstar = layout::CODE + rng.below(layout::CODE_BYTES);
    s.msrs.cstar = s.msrs.lstar;
    s.msrs.sysenter_cs = 8;
    s.msrs.sysenter_eip = s.msrs.lstar;
    s.msrs.sysenter_esp = layout::STACK_END;
}
