//! IRET in all modes (SDM vol. 2, IRET).

use super::check_target;
use super::ret::{read_return_segment, same_level, to_stack};
use crate::boundary::{ProbeEvent, ProbeKind};
use crate::cpu::env::Env;
use crate::cpu::flags::{self, Flags};
use crate::cpu::state::{BlockEnd, CodeSize, RSP, Vcpu, seg};
use crate::cpu::system::descriptor::rpl;
use crate::cpu::system::load_segment::{paragraph_segment, v86_segment};
use crate::cpu::system::stack_frame::Stack;
use crate::cpu::system::task_switch;
use crate::types::Exception;

/// Flags that IRET always loads.
const ALWAYS: u64 = flags::ARITHMETIC | flags::TF | flags::DF | flags::NT;

/// IRET with operands of `width` bytes.
///
/// # Errors
/// What the checks, the stack or the task switch raise.
pub fn interrupt_return(cpu: &mut Vcpu, env: &mut Env<'_>, width: usize) -> Result<(), Exception> {
    if cpu.paragraph_selectors() {
        paragraph(cpu, env, width)?;
    } else if cpu.flags.system(flags::NT) {
        if cpu.long_mode() {
            return Err(Exception::GP0);
        }
        task_switch::back(cpu, env)?;
    } else {
        protected(cpu, env, width)?;
    }
    cpu.nmi_masked = false;
    cpu.refresh();
    cpu.end_block(BlockEnd::Elsewhere);
    let (rip, cpl) = (cpu.rip(), cpu.cpl);
    cpu.note(env, ProbeKind::InterruptReturn, || ProbeEvent::InterruptReturn { rip, cpl });
    Ok(())
}

/// Loads the flags in `mask`, of those that the operand size reaches.
fn load_flags(cpu: &mut Vcpu, width: usize, mask: u64, image: u64) {
    let mask = if width == 2 { mask & 0xFFFF } else { mask };
    cpu.flags = Flags::from_bits(cpu.flags.bits() & !mask | image & mask);
}

fn paragraph(cpu: &mut Vcpu, env: &mut Env<'_>, width: usize) -> Result<(), Exception> {
    if cpu.virtual_8086() && cpu.flags.iopl() < 3 {
        return Err(Exception::GP0);
    }
    let stack = Stack::current(cpu);
    let rip = stack.peek(cpu, env, width, 0)?;
    let selector = stack.peek(cpu, env, width, width)? as u16;
    let image = stack.peek(cpu, env, width, 2 * width)?;
    let cs = paragraph_segment(cpu, seg::CS, selector);
    if rip > u64::from(cs.limit) {
        return Err(Exception::GP0);
    }
    let iopl = if cpu.virtual_8086() { 0 } else { flags::IOPL };
    load_flags(cpu, width, ALWAYS | flags::IF | flags::RF | flags::AC | flags::ID | iopl, image);
    cpu.segs[seg::CS] = cs;
    cpu.set_rip(rip);
    cpu.regs[RSP] = stack.after(3 * width);
    Ok(())
}

fn protected(cpu: &mut Vcpu, env: &mut Env<'_>, width: usize) -> Result<(), Exception> {
    let stack = Stack::current(cpu);
    let rip = stack.peek(cpu, env, width, 0)?;
    let selector = stack.peek(cpu, env, width, width)? as u16;
    let image = stack.peek(cpu, env, width, 2 * width)?;
    if width == 4 && image & flags::VM != 0 && cpu.cpl == 0 && !cpu.long_mode() {
        return to_v86(cpu, env, &stack, rip, selector, image);
    }
    let cs = read_return_segment(cpu, env, selector)?;
    check_target(cpu, &cs, rip)?;
    let mut mask = ALWAYS | flags::RF | flags::AC | flags::ID;
    if cpu.cpl <= cpu.flags.iopl() {
        mask |= flags::IF;
    }
    if cpu.cpl == 0 {
        mask |= flags::IOPL;
    }
    if rpl(selector) == cpu.cpl && cpu.code_size != CodeSize::Bits64 {
        same_level(cpu, env, cs, selector)?;
        cpu.regs[RSP] = stack.after(3 * width);
    } else {
        let sp = stack.peek(cpu, env, width, 3 * width)?;
        let ss = stack.peek(cpu, env, width, 4 * width)? as u16;
        to_stack(cpu, env, cs, selector, ss, sp)?;
    }
    load_flags(cpu, width, mask, image);
    cpu.set_rip(rip);
    Ok(())
}

fn to_v86(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    stack: &Stack,
    rip: u64,
    selector: u16,
    image: u64,
) -> Result<(), Exception> {
    let mut popped = [0u64; 6];
    for (k, v) in popped.iter_mut().enumerate() {
        *v = stack.peek(cpu, env, 4, 12 + 4 * k)?;
    }
    if rip > 0xFFFF {
        return Err(Exception::GP0);
    }
    let [sp, ss, es, ds, fs, gs] = popped;
    load_flags(cpu, 4, u64::from(u32::MAX), image);
    cpu.cpl = 3;
    cpu.segs[seg::CS] = v86_segment(selector);
    for (r, v) in [(seg::SS, ss), (seg::ES, es), (seg::DS, ds), (seg::FS, fs), (seg::GS, gs)] {
        cpu.segs[r] = v86_segment(v as u16);
    }
    cpu.regs[RSP] = sp;
    cpu.set_rip(rip);
    Ok(())
}
