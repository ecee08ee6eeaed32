//! Far transfers of control: JMP and CALL (here), RET and IRET (SDM vol. 3, 5.8).

mod call_gate;
mod iret;
mod ret;

pub use iret::interrupt_return;
pub use ret::far_return;

use super::descriptor::{self, Descriptor, error_code, is_null, rpl, system_type};
use super::load_segment::paragraph_segment;
use super::stack_frame::Stack;
use super::task_switch::{self, Cause};
use crate::cpu::access::canonical;
use crate::cpu::env::Env;
use crate::cpu::state::{RSP, Vcpu, attr, seg};
use crate::types::{Exception, vector};

/// Which of the two far branches it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Branch {
    /// JMP.
    Jump,
    /// CALL.
    Call,
}

/// The low bits of an offset that an operand of `width` bytes has.
fn offset_mask(width: usize) -> u64 {
    match width {
        2 => 0xFFFF,
        4 => 0xFFFF_FFFF,
        _ => u64::MAX,
    }
}

/// Far JMP or CALL to `selector:offset` with operands of `width` bytes.
///
/// # Errors
/// What the checks, the stack or the task switch raise.
pub fn far_branch(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    branch: Branch,
    selector: u16,
    offset: u64,
    width: usize,
) -> Result<(), Exception> {
    let offset = offset & offset_mask(width);
    if cpu.paragraph_selectors() {
        paragraph_branch(cpu, env, branch, selector, offset, width)?;
    } else {
        protected_branch(cpu, env, branch, selector, offset, width)?;
    }
    cpu.refresh();
    cpu.leave_block();
    Ok(())
}

fn paragraph_branch(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    branch: Branch,
    selector: u16,
    offset: u64,
    width: usize,
) -> Result<(), Exception> {
    let cs = paragraph_segment(cpu, seg::CS, selector);
    if offset > u64::from(cs.limit) {
        return Err(Exception::GP0);
    }
    if branch == Branch::Call {
        push_return_address(cpu, env, width)?;
    }
    cpu.segs[seg::CS] = cs;
    cpu.set_rip(offset);
    Ok(())
}

fn push_return_address(cpu: &mut Vcpu, env: &mut Env<'_>, width: usize) -> Result<(), Exception> {
    let stack = Stack::current(cpu);
    let sp = stack.push(cpu, env, width, &[cpu.segs[seg::CS].selector.into(), cpu.rip()])?;
    cpu.regs[RSP] = stack.pointer(cpu.regs[RSP], sp);
    Ok(())
}

fn protected_branch(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    branch: Branch,
    selector: u16,
    offset: u64,
    width: usize,
) -> Result<(), Exception> {
    if is_null(selector) {
        return Err(Exception::GP0);
    }
    let d = descriptor::read(cpu, env, selector, vector::GP, 0)?;
    if d.is_segment() {
        return to_code(cpu, env, branch, d, selector, offset, width);
    }
    let code = error_code(selector);
    if d.dpl() < cpu.cpl || d.dpl() < rpl(selector) {
        return Err(Exception::gp(code));
    }
    let long = cpu.long_mode();
    let cause = if branch == Branch::Call { Cause::Call } else { Cause::Jump };
    match d.kind() {
        system_type::CALL_GATE => call_gate::through(cpu, env, branch, d, selector),
        system_type::CALL_GATE16 if !long => call_gate::through(cpu, env, branch, d, selector),
        system_type::TASK_GATE if !long => {
            if !d.present() {
                return Err(Exception::np(code));
            }
            task_switch::switch(cpu, env, d.gate_selector(), cause, None)
        }
        system_type::TSS | system_type::TSS16 if !long => {
            task_switch::switch(cpu, env, selector, cause, None)
        }
        _ => Err(Exception::gp(code)),
    }
}

fn to_code(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    branch: Branch,
    mut d: Descriptor,
    selector: u16,
    offset: u64,
    width: usize,
) -> Result<(), Exception> {
    let code = error_code(selector);
    let reachable =
        if d.is_conforming() { d.dpl() <= cpu.cpl } else { d.dpl() == cpu.cpl && rpl(selector) <= cpu.cpl };
    if !d.is_code() || !reachable || ambiguous_size(cpu, &d) {
        return Err(Exception::gp(code));
    }
    if !d.present() {
        return Err(Exception::np(code));
    }
    check_target(cpu, &d, offset)?;
    descriptor::mark_accessed(cpu, env, &mut d)?;
    if branch == Branch::Call {
        push_return_address(cpu, env, width)?;
    }
    let cpl = u16::from(cpu.cpl);
    cpu.segs[seg::CS] = d.segment(selector & !3 | cpl);
    cpu.set_rip(offset);
    Ok(())
}

/// L and D both set are reserved in long mode.
fn ambiguous_size(cpu: &Vcpu, d: &Descriptor) -> bool {
    cpu.long_mode() && d.has(attr::L | attr::DB)
}

/// Whether code segment `d` is a 64-bit one now.
fn is_64_bit(cpu: &Vcpu, d: &Descriptor) -> bool {
    cpu.long_mode() && d.has(attr::L)
}

/// Whether `offset` lies in code segment `d`.
fn check_target(cpu: &Vcpu, d: &Descriptor, offset: u64) -> Result<(), Exception> {
    let ok = if is_64_bit(cpu, d) { canonical(offset) } else { offset <= u64::from(d.limit()) };
    if ok { Ok(()) } else { Err(Exception::GP0) }
}
