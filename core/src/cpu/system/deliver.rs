//! Delivery of one interrupt or exception through the IVT or IDT (SDM vol. 3, chapter 6).

use super::descriptor::{self, Descriptor, error_code, is_null, system_type, table_address};
use super::load_segment::{null_segment, real_segment};
use super::stack_frame::Stack;
use super::{task_switch, tss};
use crate::cpu::access::canonical;
use crate::cpu::breakpoint::DEBUGCTL_BTF;
use crate::cpu::env::Env;
use crate::cpu::flags;
use crate::cpu::state::{BlockEnd, CodeSize, RSP, Segment, Shadow, Vcpu, attr, seg};
use crate::types::{Exception, vector};

/// Where an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An exception, an external interrupt, NMI or INT1: gate privilege is not checked.
    Hardware,
    /// INT n, INT3, INTO.
    Software,
}

/// An event to be delivered.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// Its vector.
    pub vector: u8,
    /// The error code to be pushed.
    pub error_code: Option<u16>,
    /// Where it comes from.
    pub source: Source,
    /// Flags set in the image that is pushed (RF of faults).
    pub pushed_flags: u64,
}

impl Event {
    /// An event without an error code.
    pub fn plain(vector: u8, source: Source) -> Self {
        Self { vector, error_code: None, source, pushed_flags: 0 }
    }

    /// The EXT bit of error codes about this delivery.
    fn ext(&self) -> u16 {
        u16::from(self.source == Source::Hardware)
    }

    /// The error code that names the event's gate.
    fn gate_code(&self) -> u16 {
        u16::from(self.vector) << 3 | 2 | self.ext()
    }
}

/// Enters the handler of an event; RIP as it is now is where it will return to.
///
/// # Errors
/// The exception that the delivery itself raises; nothing has changed then.
pub fn deliver(cpu: &mut Vcpu, env: &mut Env<'_>, event: Event) -> Result<(), Exception> {
    if cpu.real_mode() {
        real(cpu, env, event)?;
    } else if cpu.long_mode() {
        long(cpu, env, event)?;
    } else {
        legacy(cpu, env, event)?;
    }
    cpu.shadow = Shadow::None;
    cpu.entered_handler = true;
    if event.vector == vector::DB && event.source == Source::Hardware {
        cpu.dr[7] &= !(1 << 13);
        cpu.msrs.debugctl &= !DEBUGCTL_BTF;
    }
    cpu.refresh();
    cpu.end_block(BlockEnd::Elsewhere);
    Ok(())
}

fn real(cpu: &mut Vcpu, env: &mut Env<'_>, event: Event) -> Result<(), Exception> {
    let offset = u64::from(event.vector) * 4;
    if offset + 3 > u64::from(cpu.idtr.limit) {
        return Err(Exception::gp(event.gate_code()));
    }
    let entry: u32 = cpu.load_system(env, table_address(cpu, cpu.idtr.base, offset))?;
    let image = (cpu.flags.bits() | event.pushed_flags) & 0xFFFF;
    let stack = Stack::current(cpu);
    let sp = stack.push(cpu, env, 2, &[image, cpu.segs[seg::CS].selector.into(), cpu.rip()])?;
    cpu.regs[RSP] = stack.pointer(cpu.regs[RSP], sp);
    cpu.flags.set_system(flags::IF | flags::TF | flags::AC | flags::RF, false);
    cpu.segs[seg::CS] = real_segment(&cpu.segs[seg::CS], (entry >> 16) as u16);
    cpu.set_rip(u64::from(entry as u16));
    Ok(())
}

/// Reads the gate of an event and checks what all modes check.
fn read_gate(cpu: &mut Vcpu, env: &mut Env<'_>, event: &Event, size: u64) -> Result<Descriptor, Exception> {
    let bad = Exception::gp(event.gate_code());
    let offset = u64::from(event.vector) * size;
    if offset + size - 1 > u64::from(cpu.idtr.limit) {
        return Err(bad);
    }
    let address = table_address(cpu, cpu.idtr.base, offset);
    let raw = cpu.load_system(env, address)?;
    let upper = if size == 16 { u64::from(cpu.load_system::<u32>(env, address.wrapping_add(8))?) } else { 0 };
    let gate = Descriptor { raw, upper, address };
    let known = match gate.kind() {
        system_type::INTERRUPT_GATE | system_type::TRAP_GATE => true,
        system_type::INTERRUPT_GATE16 | system_type::TRAP_GATE16 | system_type::TASK_GATE => size == 8,
        _ => false,
    };
    if gate.is_segment() || !known || (event.source == Source::Software && gate.dpl() < cpu.cpl) {
        return Err(bad);
    }
    if !gate.present() {
        return Err(Exception::np(event.gate_code()));
    }
    Ok(gate)
}

/// Reads and checks the code segment that a gate leads to.
fn read_handler_segment(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    gate: &Descriptor,
    ext: u16,
) -> Result<Descriptor, Exception> {
    let selector = gate.gate_selector();
    if is_null(selector) {
        return Err(Exception::gp(ext));
    }
    let d = descriptor::read(cpu, env, selector, vector::GP, ext)?;
    let code = error_code(selector) | ext;
    let wrong_size = cpu.long_mode() && (!d.has(attr::L) || d.has(attr::DB));
    if !d.is_code() || d.dpl() > cpu.cpl || wrong_size {
        return Err(Exception::gp(code));
    }
    if !d.present() {
        return Err(Exception::np(code));
    }
    Ok(d)
}

/// What every handler in protected mode starts with.
fn enter_handler(cpu: &mut Vcpu, gate: &Descriptor, cs: &Descriptor, cpl: u8) {
    let interrupt_gate = gate.kind() & 1 == 0;
    let cleared = flags::TF | flags::NT | flags::VM | flags::RF;
    cpu.flags.set_system(cleared | if interrupt_gate { flags::IF } else { 0 }, false);
    cpu.cpl = cpl;
    cpu.segs[seg::CS] = cs.segment(gate.gate_selector() & !3 | u16::from(cpl));
}

fn long(cpu: &mut Vcpu, env: &mut Env<'_>, event: Event) -> Result<(), Exception> {
    let ext = event.ext();
    let gate = read_gate(cpu, env, &event, 16)?;
    let mut cs = read_handler_segment(cpu, env, &gate, ext)?;
    let cpl = if cs.is_conforming() { cpu.cpl } else { cs.dpl() };
    let switches = cpl != cpu.cpl;
    let sp = match gate.gate_ist() {
        0 if switches => tss::rsp(cpu, env, cpl, ext)?,
        0 => cpu.regs[RSP] & if cpu.code_size == CodeSize::Bits64 { u64::MAX } else { 0xFFFF_FFFF },
        n => tss::interrupt_stack(cpu, env, n, ext)?,
    };
    if !canonical(sp) {
        return Err(Exception::ss(ext));
    }
    if !canonical(gate.gate_offset()) {
        return Err(Exception::gp(ext));
    }
    let stack = Stack::flat(cpu, cpl, sp & !15, ext);
    let image = cpu.flags.bits() | event.pushed_flags;
    let frame = [
        cpu.segs[seg::SS].selector.into(),
        cpu.regs[RSP],
        image,
        cpu.segs[seg::CS].selector.into(),
        cpu.rip(),
        event.error_code.unwrap_or(0).into(),
    ];
    let n = if event.error_code.is_some() { 6 } else { 5 };
    descriptor::mark_accessed(cpu, env, &mut cs)?;
    let sp = stack.push(cpu, env, 8, &frame[..n])?;
    if switches {
        cpu.segs[seg::SS] = null_segment(cpl.into());
    }
    cpu.regs[RSP] = sp;
    enter_handler(cpu, &gate, &cs, cpl);
    cpu.set_rip(gate.gate_offset());
    Ok(())
}

fn legacy(cpu: &mut Vcpu, env: &mut Env<'_>, event: Event) -> Result<(), Exception> {
    let ext = event.ext();
    let gate = read_gate(cpu, env, &event, 8)?;
    if gate.kind() == system_type::TASK_GATE {
        return task_switch::through_gate(cpu, env, gate.gate_selector(), &event, ext);
    }
    let mut cs = read_handler_segment(cpu, env, &gate, ext)?;
    let cpl = if cs.is_conforming() { cpu.cpl } else { cs.dpl() };
    let code = error_code(gate.gate_selector()) | ext;
    if cpu.virtual_8086() && cpl != 0 {
        return Err(Exception::gp(code));
    }
    let width = if gate.kind() & 8 != 0 { 4 } else { 2 };
    let offset = gate.gate_offset() & if width == 4 { 0xFFFF_FFFF } else { 0xFFFF };
    if offset > u64::from(cs.limit()) {
        return Err(Exception::gp(ext));
    }
    let (stack, new_ss) = if cpl == cpu.cpl {
        (Stack { error_code: ext, ..Stack::current(cpu) }, None)
    } else {
        let (ss, sp) = tss::inner_stack(cpu, env, cpl, ext)?;
        (Stack::segmented(cpu, cpl, ss, sp, error_code(ss.selector) | ext), Some(ss))
    };
    let mut frame = LegacyFrame::default();
    frame.fill(cpu, &event, new_ss.is_some());
    descriptor::mark_accessed(cpu, env, &mut cs)?;
    let sp = stack.push(cpu, env, width, &frame.values[..frame.len])?;
    cpu.regs[RSP] = stack.pointer(cpu.regs[RSP], sp);
    if let Some(ss) = new_ss {
        cpu.segs[seg::SS] = ss;
    }
    if cpu.virtual_8086() {
        for r in [seg::ES, seg::DS, seg::FS, seg::GS] {
            cpu.segs[r] = null_segment(0);
        }
    }
    enter_handler(cpu, &gate, &cs, cpl);
    cpu.set_rip(offset);
    Ok(())
}

/// The frame of a delivery outside long mode.
#[derive(Default)]
struct LegacyFrame {
    values: [u64; 10],
    len: usize,
}

impl LegacyFrame {
    fn add(&mut self, v: u64) {
        self.values[self.len] = v;
        self.len += 1;
    }

    fn fill(&mut self, cpu: &Vcpu, event: &Event, switches: bool) {
        let selector = |s: &Segment| u64::from(s.selector);
        if cpu.virtual_8086() {
            for r in [seg::GS, seg::FS, seg::DS, seg::ES] {
                self.add(selector(&cpu.segs[r]));
            }
        }
        if switches {
            self.add(selector(&cpu.segs[seg::SS]));
            self.add(cpu.regs[RSP]);
        }
        self.add(cpu.flags.bits() | event.pushed_flags);
        self.add(selector(&cpu.segs[seg::CS]));
        self.add(cpu.rip());
        if let Some(code) = event.error_code {
            self.add(code.into());
        }
    }
}
