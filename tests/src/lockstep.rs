//! Two machines with one guest, one interpreted and one translated, run side by side: at every
//! stop, all that a guest or a recording can see must be equal.

use crate::image::Input;
use crate::layout::{CODE_OFFSET, CODE_PAGE, INT3, WINDOW, WINDOW_BYTES};
use crate::rng::Rng;
use dejavm_core::boundary::{Images, MachineConfig, ProbeRecord, ProbeSettings};
use dejavm_core::cpu::flags::Flags;
use dejavm_core::cpu::insn::RIP;
use dejavm_core::cpu::state::{TableRegister, attr, cr0, cr4, efer, seg};
use dejavm_core::cpu::{Activity, CpuState, Segment};
use dejavm_core::jit::Trust;
use dejavm_core::machine::{Accel, Machine, RunLimit, StopReason};
use dejavm_core::types::Gpa;

const PML4: u64 = 0x5000;
const PDPT: u64 = 0x6000;
const DIRECTORY: u64 = 0x7000;
const LOW_TABLE: u64 = 0x8000;
const CODE_TABLE: u64 = 0x9000;
const WINDOW_TABLE: u64 = 0xA000;
const IDT: u64 = 0x1_0000;
const HANDLER: u64 = 0x1_1000;
const TSS: u64 = 0x1_2000;
const GDT: u64 = 0x1_3000;
const KERNEL_STACK: u64 = 0x1_8000;
const CODE_FRAME: u64 = 0x2_0000;
const WINDOW_FRAME: u64 = 0x2_2000;

const USER_TABLE: u64 = 0x27;
const USER_READ: u64 = 0x65;
const USER_WRITE: u64 = 0x67;
const KERNEL_WRITE: u64 = 0x63;

/// The two machines.
pub struct Lockstep {
    machines: [Machine; 2],
    level: Level,
}

/// Where cases run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    User,
    /// At privilege level 0 with SMAP: all pages of a case are user pages.
    Supervisor,
}

/// What is run before a case: stores that make both pages of the window known to the fast path.
fn prologue() -> Vec<u8> {
    let mut code = Vec::new();
    for at in [0, 0, 4096, 4096] {
        // MOV byte [WINDOW + at], 5Ah
        code.extend([0xC6, 0x04, 0x25]);
        code.extend((WINDOW as u32 + at).to_le_bytes());
        code.push(0x5A);
    }
    code
}

impl Lockstep {
    /// Two machines in ring 3 of long mode; every exception ends in HLT.
    ///
    /// # Panics
    /// If the host has no translator.
    pub fn new() -> Self {
        Self::at(Level::User)
    }

    /// Two machines at privilege level 0, where EFLAGS.AC decides whether a case reaches its data.
    ///
    /// # Panics
    /// If the host has no translator.
    pub fn supervisor() -> Self {
        Self::at(Level::Supervisor)
    }

    fn at(level: Level) -> Self {
        let make = |accel| {
            let config = MachineConfig { ram_bytes: 2 << 20, ..MachineConfig::default() };
            let kernel = crate::fuzz::guest::kernel(&[0xF4]);
            let mut machine = Machine::new(&config, Images { kernel, initrd: None }).expect("a good image");
            machine.set_accel(accel).expect("a translator");
            machine.translate_after(1);
            set_up(&mut machine, level);
            machine
        };
        Self { machines: [make(Accel::Interp), make(Accel::Jit)], level }
    }

    /// The same on a host that is trusted with these families alone.
    ///
    /// # Panics
    /// If the host has no translator.
    pub fn trusting(families: Trust) -> Self {
        let mut lockstep = Self::new();
        lockstep.machines[1].trust_host(families);
        lockstep
    }

    /// Switches probes on both: what they see is compared, too.
    pub fn watch(&mut self, settings: &ProbeSettings) {
        self.machines.iter_mut().for_each(|machine| machine.set_probes(settings));
    }

    /// Runs a case on both, with a stop somewhere on the way; what differs.
    pub fn run(&mut self, case: &Input, rng: &mut Rng) -> Option<String> {
        let prologue = prologue();
        // Now and then the code crosses into the second page.
        let at = match rng.below(3) {
            0 => 4096 - rng.below(1 + case.code.len() as u64) as usize,
            _ => CODE_OFFSET,
        };
        let start = CODE_PAGE + (at - prologue.len()) as u64;
        let mut page = vec![INT3; 2 * 4096];
        page[at - prologue.len()..at].copy_from_slice(&prologue);
        page[at..at + case.code.len()].copy_from_slice(&case.code);
        for machine in &mut self.machines {
            machine.load_memory(Gpa(CODE_FRAME), &page);
            machine.load_memory(Gpa(WINDOW_FRAME), &case.window[..]);
            let old = machine.vcpus()[0].state.clone();
            machine.load_vcpu(0, begin(old, case, start, self.level));
        }
        // Twice: with translations that are missing, and with the ones that the first left.
        let stop = 1 + rng.below(4 + 8);
        for ahead in [stop, 60, 400] {
            if let Some(difference) = self.step(ahead) {
                return Some(difference);
            }
        }
        None
    }

    fn step(&mut self, ahead: u64) -> Option<String> {
        let mut reasons = [StopReason::Kicked; 2];
        for (machine, reason) in self.machines.iter_mut().zip(&mut reasons) {
            let mut limit = RunLimit::to_icount(machine.position().icount + ahead);
            limit.stop_when_idle = true;
            *reason = machine.run(&limit);
        }
        let [a, b] = &mut self.machines;
        compare(a, b).or_else(|| compare_records(a, b)).or_else(|| {
            (reasons[0] != reasons[1]).then(|| format!("stopped for {:?} and {:?}", reasons[0], reasons[1]))
        })
    }
}

/// What the probes of two machines saw since the last call, if that differs.
pub fn compare_records(a: &mut Machine, b: &mut Machine) -> Option<String> {
    let (seen, other) = (a.take_probe_records(), b.take_probe_records());
    let same = seen.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let at = |list: &[ProbeRecord]| format!("{:#x?}", &list[same..list.len().min(same + 2)]);
    (seen != other).then(|| {
        format!("record {same} of {} and {}:\n{}\n{}", seen.len(), other.len(), at(&seen), at(&other))
    })
}

/// What two machines differ in, if they do.
pub fn compare(a: &mut Machine, b: &mut Machine) -> Option<String> {
    if a.position() != b.position() {
        return Some(format!("at {:?} and {:?}\n{}", a.position(), b.position(), differing_state(a, b)));
    }
    let (ha, hb) = (a.state_hash(), b.state_hash());
    if ha == hb {
        return None;
    }
    Some(format!("{}{}", differing_state(a, b), differing_memory(a, b)))
}

fn differing_state(a: &Machine, b: &Machine) -> String {
    let mut out = String::new();
    for (id, (x, y)) in a.vcpus().iter().zip(b.vcpus()).enumerate() {
        for (r, (p, q)) in x.regs.iter().zip(&y.regs).enumerate() {
            if p != q {
                out += &format!("vcpu {id} r{r}: {p:#x} {q:#x}\n");
            }
        }
        if x.flags != y.flags {
            out += &format!("vcpu {id} flags: {:#x} {:#x}\n", x.flags.bits(), y.flags.bits());
        }
        let text = |s: &CpuState| format!("{:#?}", s.canonical());
        let (tx, ty) = (text(x), text(y));
        for (p, q) in tx.lines().zip(ty.lines()).filter(|(p, q)| p != q).take(12) {
            out += &format!("vcpu {id}: {} | {}\n", p.trim(), q.trim());
        }
    }
    out
}

fn differing_memory(a: &Machine, b: &Machine) -> String {
    let mut out = String::new();
    let bytes = a.memory().bytes() as usize;
    for page in (0..bytes).step_by(4096) {
        let (x, y) = (a.memory().ram.slice(page, 4096), b.memory().ram.slice(page, 4096));
        if let Some(at) = (0..4096).find(|&k| x[k] != y[k]) {
            out += &format!(
                "memory at {:#x}: {:02x?} {:02x?}\n",
                page + at,
                &x[at..(at + 8).min(4096)],
                &y[at..(at + 8).min(4096)]
            );
        }
    }
    out
}

impl Default for Lockstep {
    fn default() -> Self {
        Self::new()
    }
}

fn set_up(machine: &mut Machine, level: Level) {
    let mut put = |at: u64, value: u64| machine.load_memory(Gpa(at), &value.to_le_bytes());
    put(PML4, PDPT | USER_TABLE);
    put(PDPT, DIRECTORY | USER_TABLE);
    put(DIRECTORY, LOW_TABLE | USER_TABLE);
    put(DIRECTORY + 8 * (CODE_PAGE >> 21), CODE_TABLE | USER_TABLE);
    put(DIRECTORY + 8 * (WINDOW >> 21), WINDOW_TABLE | USER_TABLE);
    for page in 0x10..0x20 {
        put(LOW_TABLE + 8 * page, page << 12 | KERNEL_WRITE);
    }
    put(CODE_TABLE + 8 * (CODE_PAGE >> 12 & 511), CODE_FRAME | USER_READ);
    put(CODE_TABLE + 8 * ((CODE_PAGE >> 12) + 1 & 511), (CODE_FRAME + 4096) | USER_READ);
    for k in 0..WINDOW_BYTES as u64 / 4096 {
        put(WINDOW_TABLE + 8 * ((WINDOW >> 12) + k & 511), (WINDOW_FRAME + 4096 * k) | USER_WRITE);
    }
    for vector in 0..256 {
        // The stack pointer of a supervisor may be anything.
        let stack = u64::from(level == Level::Supervisor);
        let low = HANDLER & 0xFFFF | 8 << 16 | (0xEE00 | stack) << 32 | (HANDLER >> 16) << 48;
        put(IDT + 16 * vector, low);
        put(IDT + 16 * vector + 8, 0);
    }
    put(TSS + 4, KERNEL_STACK);
    put(TSS + 0x24, KERNEL_STACK);
    // 64-bit code and data of ring 0.
    put(GDT + 8, 0x00AF_9B00_0000_FFFF);
    put(GDT + 16, 0x00CF_9300_0000_FFFF);
    machine.load_memory(Gpa(HANDLER), &[0xF4, 0xEB, 0xFD]);
}

fn begin(old: CpuState, case: &Input, rip: u64, level: Level) -> CpuState {
    let r = &case.registers;
    let mut s = CpuState::reset(0);
    s.msrs = old.msrs;
    let user = attr::P | attr::S | attr::RW | attr::ACCESSED | attr::G | 3 << attr::DPL_SHIFT;
    let data = Segment { selector: 0x2B, base: 0, limit: u32::MAX, attributes: user | attr::DB };
    s.segs[..6].fill(data);
    s.segs[seg::CS] = Segment { selector: 0x33, attributes: user | attr::CODE | attr::L, ..data };
    if level == Level::Supervisor {
        let own = user & !(3 << attr::DPL_SHIFT);
        s.segs[seg::SS] = Segment { selector: 0x10, attributes: own | attr::DB, ..data };
        s.segs[seg::CS] = Segment { selector: 8, attributes: own | attr::CODE | attr::L, ..data };
        s.msrs.kernel_gs_base = WINDOW + (r.gs_base & 0x7FF);
    }
    s.segs[seg::FS].base = r.fs_base;
    s.segs[seg::GS].base = r.gs_base;
    s.gdtr = TableRegister { base: GDT, limit: 0x17 };
    s.idtr = TableRegister { base: IDT, limit: 0xFFF };
    s.tr = Segment { selector: 0x18, base: TSS, limit: 0x66, attributes: attr::P | 0xB };
    s.cpl = if level == Level::User { 3 } else { 0 };
    s.cr0 = cr0::PE | cr0::MP | cr0::ET | cr0::NE | cr0::WP | cr0::AM | cr0::PG;
    s.cr3 = PML4;
    s.cr4 = cr4::PAE | cr4::PGE | cr4::OSFXSR | cr4::OSXMMEXCPT | cr4::FSGSBASE | cr4::OSXSAVE;
    if level == Level::Supervisor {
        s.cr4 |= cr4::SMAP;
    }
    s.efer = efer::SCE | efer::LME | efer::LMA | efer::NXE;
    s.xcr0 = 3;
    s.regs[..16].copy_from_slice(&r.gpr);
    s.regs[RIP as usize] = rip;
    s.flags = Flags::from_bits(r.flags);
    for (i, x) in s.xmm.iter_mut().enumerate() {
        *x = r.fx.xmm(i);
    }
    s.mxcsr = r.fx.mxcsr();
    s.x87 = crate::rig::x87(&r.fx);
    s.activity = Activity::Running;
    s
}
