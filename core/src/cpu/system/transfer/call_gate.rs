//! JMP and CALL through a call gate (SDM vol. 3, 5.8.3 to 5.8.5).

use super::{Branch, check_target, push_return_address};
use crate::cpu::env::Env;
use crate::cpu::state::{RSP, Segment, Vcpu, attr, seg};
use crate::cpu::system::descriptor::{self, Descriptor, error_code, is_null};
use crate::cpu::system::load_segment::null_segment;
use crate::cpu::system::stack_frame::Stack;
use crate::cpu::system::tss;
use crate::types::{Exception, vector};

/// The gate's privilege has been checked; the rest follows here.
pub fn through(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    branch: Branch,
    mut gate: Descriptor,
    selector: u16,
) -> Result<(), Exception> {
    if !gate.present() {
        return Err(Exception::np(error_code(selector)));
    }
    if cpu.long_mode() {
        descriptor::read_upper(cpu, env, &mut gate, selector)?;
    }
    let width = width_of(cpu, &gate);
    let mut cs = read_code(cpu, env, branch, &gate)?;
    let offset = gate.gate_offset() & super::offset_mask(width);
    check_target(cpu, &cs, offset)?;
    descriptor::mark_accessed(cpu, env, &mut cs)?;
    let inner = branch == Branch::Call && !cs.is_conforming() && cs.dpl() < cpu.cpl;
    let cpl = if inner { cs.dpl() } else { cpu.cpl };
    if inner {
        switch_stack(cpu, env, &gate, cpl, width)?;
    } else if branch == Branch::Call {
        push_return_address(cpu, env, width)?;
    }
    cpu.cpl = cpl;
    cpu.segs[seg::CS] = cs.segment(gate.gate_selector() & !3 | u16::from(cpl));
    cpu.set_rip(offset);
    Ok(())
}

fn width_of(cpu: &Vcpu, gate: &Descriptor) -> usize {
    match (cpu.long_mode(), gate.kind() & 8 != 0) {
        (true, _) => 8,
        (false, true) => 4,
        (false, false) => 2,
    }
}

fn read_code(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    branch: Branch,
    gate: &Descriptor,
) -> Result<Descriptor, Exception> {
    let selector = gate.gate_selector();
    if is_null(selector) {
        return Err(Exception::GP0);
    }
    let d = descriptor::read(cpu, env, selector, vector::GP, 0)?;
    let wrong_level =
        d.dpl() > cpu.cpl || (branch == Branch::Jump && !d.is_conforming() && d.dpl() != cpu.cpl);
    let wrong_size = cpu.long_mode() && (!d.has(attr::L) || d.has(attr::DB));
    if !d.is_code() || wrong_level || wrong_size {
        return Err(Exception::gp(error_code(selector)));
    }
    if !d.present() {
        return Err(Exception::np(error_code(selector)));
    }
    Ok(d)
}

/// Pushes the outer stack pointer, the parameters and the return address onto the inner stack,
/// and makes that the current one.
fn switch_stack(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    gate: &Descriptor,
    cpl: u8,
    width: usize,
) -> Result<(), Exception> {
    let outer = Stack::current(cpu);
    let (stack, ss) = inner_stack(cpu, env, cpl)?;
    let mut frame = [0u64; 35];
    frame[0] = cpu.segs[seg::SS].selector.into();
    frame[1] = cpu.regs[RSP];
    let parameters = if cpu.long_mode() { 0 } else { gate.gate_parameters() };
    for k in 0..parameters {
        frame[2 + k] = outer.peek(cpu, env, width, width * (parameters - 1 - k))?;
    }
    frame[2 + parameters] = cpu.segs[seg::CS].selector.into();
    frame[3 + parameters] = cpu.rip();
    let sp = stack.push(cpu, env, width, &frame[..4 + parameters])?;
    cpu.regs[RSP] = stack.pointer(cpu.regs[RSP], sp);
    cpu.segs[seg::SS] = ss;
    Ok(())
}

fn inner_stack(cpu: &mut Vcpu, env: &mut Env<'_>, cpl: u8) -> Result<(Stack, Segment), Exception> {
    if cpu.long_mode() {
        let sp = tss::rsp(cpu, env, cpl, 0)?;
        return Ok((Stack::flat(cpu, cpl, sp, 0), null_segment(cpl.into())));
    }
    let (ss, sp) = tss::inner_stack(cpu, env, cpl, 0)?;
    Ok((Stack::segmented(cpu, cpl, ss, sp, error_code(ss.selector)), ss))
}
