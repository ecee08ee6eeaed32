//! Far RET, and what it shares with IRET (SDM vol. 3, 5.8.6).

use super::{ambiguous_size, check_target, is_64_bit};
use crate::cpu::env::Env;
use crate::cpu::state::{RSP, Segment, Vcpu, seg};
use crate::cpu::system::descriptor::{self, Descriptor, error_code, is_null, rpl};
use crate::cpu::system::load_segment::{
    check_stack_rights, null_inaccessible, null_segment, paragraph_segment,
};
use crate::cpu::system::stack_frame::{Stack, pointer_mask};
use crate::types::{Exception, vector};

/// RETF with operands of `width` bytes that releases `release` bytes of parameters.
///
/// # Errors
/// What the checks or the stack raise.
pub fn far_return(cpu: &mut Vcpu, env: &mut Env<'_>, width: usize, release: usize) -> Result<(), Exception> {
    let stack = Stack::current(cpu);
    let rip = stack.peek(cpu, env, width, 0)?;
    let selector = stack.peek(cpu, env, width, width)? as u16;
    if cpu.paragraph_selectors() {
        let cs = paragraph_segment(cpu, seg::CS, selector);
        if rip > u64::from(cs.limit) {
            return Err(Exception::GP0);
        }
        cpu.segs[seg::CS] = cs;
        cpu.set_rip(rip);
        cpu.regs[RSP] = stack.after(2 * width + release);
    } else {
        let cs = read_return_segment(cpu, env, selector)?;
        check_target(cpu, &cs, rip)?;
        if rpl(selector) == cpu.cpl {
            same_level(cpu, env, cs, selector)?;
            cpu.regs[RSP] = stack.after(2 * width + release);
        } else {
            let sp = stack.peek(cpu, env, width, 2 * width + release)?;
            let ss = stack.peek(cpu, env, width, 3 * width + release)? as u16;
            to_stack(cpu, env, cs, selector, ss, sp.wrapping_add(release as u64))?;
        }
        cpu.set_rip(rip);
    }
    cpu.refresh();
    cpu.leave_block();
    Ok(())
}

/// Reads and checks the code segment that a RET or IRET goes back to.
pub fn read_return_segment(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    selector: u16,
) -> Result<Descriptor, Exception> {
    if is_null(selector) {
        return Err(Exception::GP0);
    }
    let d = descriptor::read(cpu, env, selector, vector::GP, 0)?;
    let target = rpl(selector);
    let level = if d.is_conforming() { d.dpl() <= target } else { d.dpl() == target };
    if target < cpu.cpl || !d.is_code() || !level || ambiguous_size(cpu, &d) {
        return Err(Exception::gp(error_code(selector)));
    }
    if !d.present() {
        return Err(Exception::np(error_code(selector)));
    }
    Ok(d)
}

/// Loads CS; privilege and stack segment stay.
pub fn same_level(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    mut cs: Descriptor,
    selector: u16,
) -> Result<(), Exception> {
    descriptor::mark_accessed(cpu, env, &mut cs)?;
    cpu.segs[seg::CS] = cs.segment(selector);
    Ok(())
}

/// Loads CS, CPL and the stack `ss:sp` that were popped.
pub fn to_stack(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    mut cs: Descriptor,
    selector: u16,
    ss: u16,
    sp: u64,
) -> Result<(), Exception> {
    let cpl = rpl(selector);
    let to_64 = is_64_bit(cpu, &cs);
    let segment = read_return_stack(cpu, env, ss, cpl, to_64)?;
    descriptor::mark_accessed(cpu, env, &mut cs)?;
    let outer = cpl != cpu.cpl;
    cpu.segs[seg::CS] = cs.segment(selector);
    cpu.cpl = cpl;
    cpu.segs[seg::SS] = segment;
    cpu.regs[RSP] = match pointer_mask(&segment) {
        _ if to_64 => sp,
        0xFFFF => cpu.regs[RSP] & !0xFFFF | sp & 0xFFFF,
        mask => sp & mask,
    };
    if outer {
        null_inaccessible(cpu);
    }
    Ok(())
}

fn read_return_stack(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    selector: u16,
    cpl: u8,
    to_64: bool,
) -> Result<Segment, Exception> {
    if is_null(selector) {
        let allowed = to_64 && cpl != 3 && rpl(selector) == cpl;
        return if allowed { Ok(null_segment(selector)) } else { Err(Exception::GP0) };
    }
    let mut d = descriptor::read(cpu, env, selector, vector::GP, 0)?;
    check_stack_rights(&d, selector, cpl, vector::GP, 0)?;
    descriptor::mark_accessed(cpu, env, &mut d)?;
    Ok(d.segment(selector))
}
