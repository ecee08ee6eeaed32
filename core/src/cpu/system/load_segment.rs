//! Loads of segment registers, LDTR and TR with their checks (SDM vol. 3, 5.6, 5.8, 5.13).

use super::descriptor::{self, Descriptor, error_code, is_null, rpl, system_type};
use crate::cpu::access::canonical;
use crate::cpu::env::Env;
use crate::cpu::flags;
use crate::cpu::state::{CodeSize, Segment, Vcpu, attr, seg};
use crate::types::{Exception, vector};

/// Attributes of every segment in virtual-8086 mode: writable data, DPL 3.
const V86_ATTRIBUTES: u16 = attr::P | 3 << attr::DPL_SHIFT | attr::S | attr::RW | attr::ACCESSED;

impl Vcpu {
    /// Whether EFLAGS.VM is set.
    pub fn virtual_8086(&self) -> bool {
        self.flags.system(flags::VM)
    }

    /// Whether selectors are paragraph numbers (real or virtual-8086 mode).
    pub fn paragraph_selectors(&self) -> bool {
        self.real_mode() || self.virtual_8086()
    }
}

/// What a segment register that is loaded with a null selector holds.
pub fn null_segment(selector: u16) -> Segment {
    Segment { selector, base: 0, limit: 0, attributes: 0 }
}

/// A segment as virtual-8086 mode has it.
pub fn v86_segment(selector: u16) -> Segment {
    Segment { selector, base: u64::from(selector) << 4, limit: 0xFFFF, attributes: V86_ATTRIBUTES }
}

/// A segment register loaded in real mode: limit and rights stay as they were, unless there
/// were none.
pub fn real_segment(old: &Segment, selector: u16) -> Segment {
    let base = u64::from(selector) << 4;
    if old.attributes & attr::P == 0 {
        let attributes = attr::P | attr::S | attr::RW | attr::ACCESSED;
        return Segment { selector, base, limit: 0xFFFF, attributes };
    }
    Segment { selector, base, ..*old }
}

/// A paragraph selector for segment register `r` in the mode that has them.
pub fn paragraph_segment(cpu: &Vcpu, r: usize, selector: u16) -> Segment {
    if cpu.virtual_8086() { v86_segment(selector) } else { real_segment(&cpu.segs[r], selector) }
}

/// Reads and checks what `selector` puts into segment register `r` (not CS), as MOV does.
///
/// # Errors
/// #GP, #NP, #SS or #PF; nothing was changed then but accessed bits.
pub fn check_load(cpu: &mut Vcpu, env: &mut Env<'_>, r: usize, selector: u16) -> Result<Segment, Exception> {
    if cpu.paragraph_selectors() {
        return Ok(paragraph_segment(cpu, r, selector));
    }
    if r == seg::SS {
        return check_stack(cpu, env, selector);
    }
    if is_null(selector) {
        return Ok(null_segment(selector));
    }
    let mut d = descriptor::read(cpu, env, selector, vector::GP, 0)?;
    let code = error_code(selector);
    let out_of_reach = !d.is_conforming() && (rpl(selector) > d.dpl() || cpu.cpl > d.dpl());
    if !d.is_readable() || out_of_reach {
        return Err(Exception::gp(code));
    }
    if !d.present() {
        return Err(Exception::np(code));
    }
    descriptor::mark_accessed(cpu, env, &mut d)?;
    Ok(d.segment(selector))
}

fn check_stack(cpu: &mut Vcpu, env: &mut Env<'_>, selector: u16) -> Result<Segment, Exception> {
    if is_null(selector) {
        let allowed = cpu.code_size == CodeSize::Bits64 && cpu.cpl < 3 && rpl(selector) == cpu.cpl;
        return if allowed { Ok(null_segment(selector)) } else { Err(Exception::GP0) };
    }
    let mut d = descriptor::read(cpu, env, selector, vector::GP, 0)?;
    check_stack_rights(&d, selector, cpu.cpl, vector::GP, 0)?;
    descriptor::mark_accessed(cpu, env, &mut d)?;
    Ok(d.segment(selector))
}

/// Whether `d` can be the stack segment at `cpl`.
///
/// # Errors
/// `vector` (#GP for loads and returns, #TS for stacks from a TSS), or #SS if not present.
pub fn check_stack_rights(
    d: &Descriptor,
    selector: u16,
    cpl: u8,
    vector: u8,
    ext: u16,
) -> Result<(), Exception> {
    let code = error_code(selector) | ext;
    if rpl(selector) != cpl || !d.is_writable_data() || d.dpl() != cpl {
        return Err(Exception::with_code(vector, code));
    }
    if !d.present() {
        return Err(Exception::ss(code));
    }
    Ok(())
}

/// LLDT.
///
/// # Errors
/// #GP, #NP or #PF.
pub fn load_ldtr(cpu: &mut Vcpu, env: &mut Env<'_>, selector: u16) -> Result<(), Exception> {
    if is_null(selector) {
        cpu.ldtr = null_segment(selector);
        return Ok(());
    }
    let d = read_system(cpu, env, selector)?;
    if d.is_segment() || d.kind() != system_type::LDT {
        return Err(Exception::gp(error_code(selector)));
    }
    check_system(&d, selector)?;
    cpu.ldtr = d.segment(selector);
    Ok(())
}

/// LTR: the TSS becomes busy.
///
/// # Errors
/// #GP, #NP or #PF.
pub fn load_tr(cpu: &mut Vcpu, env: &mut Env<'_>, selector: u16) -> Result<(), Exception> {
    if is_null(selector) {
        return Err(Exception::GP0);
    }
    let d = read_system(cpu, env, selector)?;
    let available = match d.kind() {
        system_type::TSS => true,
        system_type::TSS16 => !cpu.long_mode(),
        _ => false,
    };
    if d.is_segment() || !available {
        return Err(Exception::gp(error_code(selector)));
    }
    check_system(&d, selector)?;
    descriptor::set_busy(cpu, env, &d, true)?;
    cpu.tr = d.segment(selector);
    cpu.tr.attributes |= system_type::BUSY;
    Ok(())
}

/// Reads a descriptor that must lie in the GDT, with its upper half in long mode.
fn read_system(cpu: &mut Vcpu, env: &mut Env<'_>, selector: u16) -> Result<Descriptor, Exception> {
    if selector & 4 != 0 {
        return Err(Exception::gp(error_code(selector)));
    }
    let mut d = descriptor::read(cpu, env, selector, vector::GP, 0)?;
    if cpu.long_mode() && !d.is_segment() {
        descriptor::read_upper(cpu, env, &mut d, selector)?;
    }
    Ok(d)
}

fn check_system(d: &Descriptor, selector: u16) -> Result<(), Exception> {
    if !d.present() {
        return Err(Exception::np(error_code(selector)));
    }
    if !canonical(d.base()) {
        return Err(Exception::gp(error_code(selector)));
    }
    Ok(())
}

/// After a return to an outer level: data segments that it may not see become null
/// (SDM vol. 3, 5.8.6).
pub fn null_inaccessible(cpu: &mut Vcpu) {
    for r in [seg::ES, seg::FS, seg::GS, seg::DS] {
        let a = cpu.segs[r].attributes;
        let conforming = a & (attr::CODE | attr::DC) == attr::CODE | attr::DC;
        let dpl = (a >> attr::DPL_SHIFT) as u8 & 3;
        if a & attr::P != 0 && !conforming && dpl < cpu.cpl {
            cpu.segs[r] = null_segment(0);
        }
    }
}
