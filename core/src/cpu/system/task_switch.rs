//! Hardware task switches (SDM vol. 3, 7.3): legacy protected mode only.

use super::deliver::Event;
use super::descriptor::{self, Descriptor, error_code, is_null, rpl, system_type};
use super::load_segment::{null_segment, v86_segment};
use super::stack_frame::Stack;
use super::tss::is_tss16;
use crate::boundary::{ProbeEvent, ProbeKind};
use crate::cpu::env::Env;
use crate::cpu::flags::{self, Flags};
use crate::cpu::insn::RIP;
use crate::cpu::state::{RAX, RSP, Segment, Vcpu, cr0, seg};
use crate::types::{Exception, vector};

/// What makes a task switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// JMP.
    Jump,
    /// CALL.
    Call,
    /// An interrupt or exception through a task gate.
    Event,
    /// IRET with NT set.
    Return,
}

/// Where a TSS keeps what (SDM vol. 3, figures 7-2 and 7-10).
struct Layout {
    width: usize,
    min_limit: u32,
    ip: u64,
    registers: u64,
    selectors: u64,
    selector_count: usize,
    ldt: u64,
}

const LAYOUT32: Layout =
    Layout { width: 4, min_limit: 0x67, ip: 32, registers: 40, selectors: 72, selector_count: 6, ldt: 96 };
const LAYOUT16: Layout =
    Layout { width: 2, min_limit: 0x2B, ip: 14, registers: 18, selectors: 34, selector_count: 4, ldt: 42 };

fn layout(tr: &Segment) -> &'static Layout {
    if is_tss16(tr) { &LAYOUT16 } else { &LAYOUT32 }
}

/// What a task starts with.
#[derive(Default)]
struct Incoming {
    cr3: u64,
    rip: u64,
    flags: u64,
    registers: [u64; 8],
    selectors: [u16; 6],
    ldt: u16,
    trap: bool,
}

/// An event through a task gate.
///
/// # Errors
/// As [`switch`].
pub fn through_gate(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    selector: u16,
    event: &Event,
    ext: u16,
) -> Result<(), Exception> {
    cpu.flags.set_system(event.pushed_flags, true);
    switch_with(cpu, env, selector, Cause::Event, event.error_code, ext)
}

/// IRET with NT set: to the task that the link field names.
///
/// # Errors
/// As [`switch`].
pub fn back(cpu: &mut Vcpu, env: &mut Env<'_>) -> Result<(), Exception> {
    let link: u16 = cpu.load_system(env, cpu.tr.base)?;
    switch(cpu, env, link, Cause::Return, None)
}

/// Switches to the task whose TSS `selector` names. A fault found in the new task's state is
/// delivered in the new task.
///
/// # Errors
/// #GP, #TS, #NP or #PF found before the switch; nothing has changed then.
pub fn switch(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    selector: u16,
    cause: Cause,
    error: Option<u16>,
) -> Result<(), Exception> {
    switch_with(cpu, env, selector, cause, error, 0)
}

fn switch_with(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    selector: u16,
    cause: Cause,
    error: Option<u16>,
    ext: u16,
) -> Result<(), Exception> {
    let d = read_tss(cpu, env, selector, cause, ext)?;
    let new = Segment { attributes: d.attributes() | system_type::BUSY, ..d.segment(selector) };
    let incoming = read_state(cpu, env, &new)?;
    let old = cpu.tr;
    let nested = matches!(cause, Cause::Call | Cause::Event);
    save_state(cpu, env, cause)?;
    if nested {
        cpu.store_system(env, new.base, old.selector)?;
    } else {
        let mut od = descriptor::read(cpu, env, old.selector, vector::GP, ext)?;
        od.raw |= u64::from(system_type::BUSY) << 40;
        descriptor::set_busy(cpu, env, &od, false)?;
    }
    if cause != Cause::Return {
        descriptor::set_busy(cpu, env, &d, true)?;
    }
    cpu.tr = new;
    commit(cpu, env, &incoming, nested);
    if let Err(e) = load_segments(cpu, env, &incoming).and_then(|()| push_error(cpu, env, error)) {
        cpu.refresh();
        let _shut_down_if_triple = super::raise(cpu, env, e);
    }
    cpu.refresh();
    cpu.leave_block();
    Ok(())
}

fn read_tss(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    selector: u16,
    cause: Cause,
    ext: u16,
) -> Result<Descriptor, Exception> {
    let wrong = if cause == Cause::Return { vector::TS } else { vector::GP };
    let code = error_code(selector) | ext;
    if selector & 4 != 0 || is_null(selector) {
        return Err(Exception::with_code(wrong, code));
    }
    let d = descriptor::read(cpu, env, selector, wrong, ext)?;
    let free = matches!(d.kind(), system_type::TSS | system_type::TSS16);
    let busy = matches!(d.kind(), system_type::TSS_BUSY | system_type::TSS16_BUSY);
    let usable = if cause == Cause::Return { busy } else { free };
    if d.is_segment() || !usable {
        return Err(Exception::with_code(wrong, code));
    }
    if !d.present() {
        return Err(Exception::np(code));
    }
    if d.limit() < layout(&d.segment(selector)).min_limit {
        return Err(Exception::ts(code));
    }
    Ok(d)
}

fn load_field(cpu: &mut Vcpu, env: &mut Env<'_>, width: usize, at: u64) -> Result<u64, Exception> {
    Ok(if width == 2 {
        cpu.load_system::<u16>(env, at)?.into()
    } else {
        cpu.load_system::<u32>(env, at)?.into()
    })
}

fn read_state(cpu: &mut Vcpu, env: &mut Env<'_>, tr: &Segment) -> Result<Incoming, Exception> {
    let l = layout(tr);
    let w = l.width;
    let mut s = Incoming {
        rip: load_field(cpu, env, w, tr.base + l.ip)?,
        flags: load_field(cpu, env, w, tr.base + l.ip + w as u64)?,
        ldt: cpu.load_system(env, tr.base + l.ldt)?,
        cr3: cpu.cr3,
        ..Incoming::default()
    };
    for k in 0..8 {
        s.registers[k] = load_field(cpu, env, w, tr.base + l.registers + (w * k) as u64)?;
    }
    for k in 0..l.selector_count {
        s.selectors[k] = cpu.load_system(env, tr.base + l.selectors + (w * k) as u64)?;
    }
    if w == 4 {
        s.trap = cpu.load_system::<u16>(env, tr.base + 100)? & 1 != 0;
        if cpu.cr0 & cr0::PG != 0 {
            s.cr3 = cpu.load_system::<u32>(env, tr.base + 28)?.into();
        }
    }
    Ok(s)
}

fn save_state(cpu: &mut Vcpu, env: &mut Env<'_>, cause: Cause) -> Result<(), Exception> {
    let tr = cpu.tr;
    let l = layout(&tr);
    let w = l.width as u64;
    let image = cpu.flags.bits() & !if cause == Cause::Return { flags::NT } else { 0 };
    let mut fields = vec![(l.ip, cpu.rip()), (l.ip + w, image)];
    fields.extend((0..8u64).map(|k| (l.registers + w * k, cpu.regs[RAX + k as usize])));
    let selectors = 0..l.selector_count;
    fields.extend(selectors.map(|k| (l.selectors + w * k as u64, u64::from(cpu.segs[k].selector))));
    let size = (l.selectors + w * l.selector_count as u64 - l.ip) as usize;
    let index = cpu.system_index();
    cpu.probe_as(env, tr.base + l.ip, size, crate::mem::AccessKind::Write, index)?;
    for (at, v) in fields {
        if w == 2 {
            cpu.store_system(env, tr.base + at, v as u16)?;
        } else {
            cpu.store_system(env, tr.base + at, v as u32)?;
        }
    }
    Ok(())
}

/// The new task's state, its segment registers without their descriptors yet.
fn commit(cpu: &mut Vcpu, env: &mut Env<'_>, s: &Incoming, nested: bool) {
    cpu.cr0 |= cr0::TS;
    cpu.dr[7] &= !0x155;
    if s.cr3 != cpu.cr3 {
        let old = std::mem::replace(&mut cpu.cr3, s.cr3);
        cpu.note(env, ProbeKind::AddressSpace, || ProbeEvent::AddressSpace { old, value: s.cr3 });
        cpu.switch_tlb();
    }
    cpu.regs[RIP as usize] = s.rip;
    cpu.regs[..8].copy_from_slice(&s.registers);
    cpu.flags = Flags::from_bits(s.flags | if nested { flags::NT } else { 0 });
    for (r, &selector) in s.selectors.iter().enumerate() {
        cpu.segs[r] = null_segment(selector);
    }
    cpu.ldtr = null_segment(s.ldt);
    let v86 = cpu.virtual_8086();
    cpu.cpl = if v86 { 3 } else { rpl(s.selectors[seg::CS]) };
    if s.trap {
        cpu.pending_debug |= 1 << 15;
    }
}

fn load_segments(cpu: &mut Vcpu, env: &mut Env<'_>, s: &Incoming) -> Result<(), Exception> {
    super::control::load_pdptes_if_used(cpu, env)?;
    if !is_null(s.ldt) {
        let code = Exception::ts(error_code(s.ldt));
        if s.ldt & 4 != 0 {
            return Err(code);
        }
        let d = descriptor::read(cpu, env, s.ldt, vector::TS, 0)?;
        if d.is_segment() || d.kind() != system_type::LDT || !d.present() {
            return Err(code);
        }
        cpu.ldtr = d.segment(s.ldt);
    }
    if cpu.virtual_8086() {
        for (r, &selector) in s.selectors.iter().enumerate() {
            cpu.segs[r] = v86_segment(selector);
        }
    } else {
        load_code(cpu, env, s.selectors[seg::CS])?;
        load_stack(cpu, env, s.selectors[seg::SS])?;
        for r in [seg::ES, seg::DS, seg::FS, seg::GS] {
            load_data(cpu, env, r, s.selectors[r])?;
        }
    }
    cpu.refresh();
    if s.rip > u64::from(cpu.segs[seg::CS].limit) { Err(Exception::GP0) } else { Ok(()) }
}

fn load_code(cpu: &mut Vcpu, env: &mut Env<'_>, selector: u16) -> Result<(), Exception> {
    let code = error_code(selector);
    if is_null(selector) {
        return Err(Exception::ts(code));
    }
    let mut d = descriptor::read(cpu, env, selector, vector::TS, 0)?;
    let level = if d.is_conforming() { d.dpl() <= rpl(selector) } else { d.dpl() == rpl(selector) };
    if !d.is_code() || !level {
        return Err(Exception::ts(code));
    }
    if !d.present() {
        return Err(Exception::np(code));
    }
    descriptor::mark_accessed(cpu, env, &mut d)?;
    cpu.segs[seg::CS] = d.segment(selector);
    Ok(())
}

fn load_stack(cpu: &mut Vcpu, env: &mut Env<'_>, selector: u16) -> Result<(), Exception> {
    if is_null(selector) {
        return Err(Exception::ts(error_code(selector)));
    }
    let mut d = descriptor::read(cpu, env, selector, vector::TS, 0)?;
    super::load_segment::check_stack_rights(&d, selector, cpu.cpl, vector::TS, 0)?;
    descriptor::mark_accessed(cpu, env, &mut d)?;
    cpu.segs[seg::SS] = d.segment(selector);
    Ok(())
}

fn load_data(cpu: &mut Vcpu, env: &mut Env<'_>, r: usize, selector: u16) -> Result<(), Exception> {
    if is_null(selector) {
        return Ok(());
    }
    let code = error_code(selector);
    let mut d = descriptor::read(cpu, env, selector, vector::TS, 0)?;
    let hidden = !d.is_conforming() && (d.dpl() < cpu.cpl || d.dpl() < rpl(selector));
    if !d.is_readable() || hidden {
        return Err(Exception::ts(code));
    }
    if !d.present() {
        return Err(Exception::np(code));
    }
    descriptor::mark_accessed(cpu, env, &mut d)?;
    cpu.segs[r] = d.segment(selector);
    Ok(())
}

/// Pushes the error code of the event that made the switch, onto the new task's stack.
fn push_error(cpu: &mut Vcpu, env: &mut Env<'_>, error: Option<u16>) -> Result<(), Exception> {
    let Some(code) = error else { return Ok(()) };
    let stack = Stack::current(cpu);
    let width = layout(&cpu.tr).width;
    let sp = stack.push(cpu, env, width, &[code.into()])?;
    cpu.regs[RSP] = stack.pointer(cpu.regs[RSP], sp);
    Ok(())
}
