//! Selectors and descriptors as they lie in the GDT, LDT and IDT (SDM vol. 3, 3.4 and 3.5).

use crate::cpu::env::Env;
use crate::cpu::state::{CpuState, Segment, Vcpu, attr};
use crate::types::Exception;

/// Types of system descriptors (SDM vol. 3, table 3-2).
pub mod system_type {
    /// 16-bit TSS, available.
    pub const TSS16: u16 = 1;
    /// LDT.
    pub const LDT: u16 = 2;
    /// 16-bit TSS, busy.
    pub const TSS16_BUSY: u16 = 3;
    /// 16-bit call gate.
    pub const CALL_GATE16: u16 = 4;
    /// Task gate.
    pub const TASK_GATE: u16 = 5;
    /// 16-bit interrupt gate.
    pub const INTERRUPT_GATE16: u16 = 6;
    /// 16-bit trap gate.
    pub const TRAP_GATE16: u16 = 7;
    /// 32-bit or 64-bit TSS, available.
    pub const TSS: u16 = 9;
    /// 32-bit or 64-bit TSS, busy.
    pub const TSS_BUSY: u16 = 0xB;
    /// 32-bit or 64-bit call gate.
    pub const CALL_GATE: u16 = 0xC;
    /// 32-bit or 64-bit interrupt gate.
    pub const INTERRUPT_GATE: u16 = 0xE;
    /// 32-bit or 64-bit trap gate.
    pub const TRAP_GATE: u16 = 0xF;
    /// The bit that tells a busy TSS from an available one.
    pub const BUSY: u16 = 2;
}

/// The error code that names a selector: without its RPL.
pub fn error_code(selector: u16) -> u16 {
    selector & !3
}

/// Whether a selector is null, whatever its RPL.
pub fn is_null(selector: u16) -> bool {
    selector & !3 == 0
}

/// The requested privilege level of a selector.
pub fn rpl(selector: u16) -> u8 {
    selector as u8 & 3
}

/// A descriptor or gate as read from its table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// The eight bytes that all have.
    pub raw: u64,
    /// The second eight of system descriptors and gates in long mode, else 0.
    pub upper: u64,
    /// Where it lies.
    pub address: u64,
}

impl Descriptor {
    /// Type, S, DPL, P, AVL, L, D/B, G in the layout of [`Segment::attributes`].
    pub fn attributes(&self) -> u16 {
        (self.raw >> 40) as u16 & 0xF0FF
    }

    /// The type field.
    pub fn kind(&self) -> u16 {
        self.attributes() & attr::TYPE
    }

    /// Whether the attribute bits are all set.
    pub fn has(&self, bits: u16) -> bool {
        self.attributes() & bits == bits
    }

    /// The descriptor privilege level.
    pub fn dpl(&self) -> u8 {
        (self.attributes() >> attr::DPL_SHIFT) as u8 & 3
    }

    /// Present.
    pub fn present(&self) -> bool {
        self.has(attr::P)
    }

    /// A code or data segment, not a system descriptor.
    pub fn is_segment(&self) -> bool {
        self.has(attr::S)
    }

    /// A code segment.
    pub fn is_code(&self) -> bool {
        self.has(attr::S | attr::CODE)
    }

    /// A conforming code segment.
    pub fn is_conforming(&self) -> bool {
        self.has(attr::S | attr::CODE | attr::DC)
    }

    /// A writable data segment.
    pub fn is_writable_data(&self) -> bool {
        self.has(attr::S | attr::RW) && !self.has(attr::CODE)
    }

    /// A data segment, or code that may be read.
    pub fn is_readable(&self) -> bool {
        self.is_segment() && (!self.has(attr::CODE) || self.has(attr::RW))
    }

    /// The limit in bytes.
    pub fn limit(&self) -> u32 {
        let limit = (self.raw & 0xFFFF) as u32 | (self.raw >> 32) as u32 & 0xF_0000;
        if self.has(attr::G) { limit << 12 | 0xFFF } else { limit }
    }

    /// The base address, 64 bits of it in a 16-byte descriptor.
    pub fn base(&self) -> u64 {
        (self.raw >> 16 & 0xFF_FFFF) | (self.raw >> 32 & 0xFF00_0000) | self.upper << 32
    }

    /// What a segment register loaded with it holds.
    pub fn segment(&self, selector: u16) -> Segment {
        Segment { selector, base: self.base(), limit: self.limit(), attributes: self.attributes() }
    }

    /// The selector in a gate.
    pub fn gate_selector(&self) -> u16 {
        (self.raw >> 16) as u16
    }

    /// The offset in a gate, 64 bits of it in a 16-byte gate.
    pub fn gate_offset(&self) -> u64 {
        (self.raw & 0xFFFF) | (self.raw >> 32 & 0xFFFF_0000) | self.upper << 32
    }

    /// The parameter count of a call gate.
    pub fn gate_parameters(&self) -> usize {
        (self.raw >> 32) as usize & 0x1F
    }

    /// The stack-table index of a 64-bit interrupt or trap gate.
    pub fn gate_ist(&self) -> u8 {
        (self.raw >> 32) as u8 & 7
    }
}

/// Where the descriptor is that `selector` names; `None` if there is no table, or beyond it.
pub fn place(cpu: &CpuState, selector: u16) -> Option<u64> {
    let (base, limit) = if selector & 4 == 0 {
        (cpu.gdtr.base, u32::from(cpu.gdtr.limit))
    } else if cpu.ldtr.attributes & attr::P != 0 {
        (cpu.ldtr.base, cpu.ldtr.limit)
    } else {
        return None;
    };
    let offset = u32::from(selector & !7);
    (offset + 7 <= limit).then(|| table_address(cpu, base, u64::from(offset)))
}

/// Reads the descriptor that `selector` names from the GDT or LDT.
///
/// # Errors
/// `vector` with the selector's error code if it lies beyond its table; #PF.
pub fn read(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    selector: u16,
    vector: u8,
    ext: u16,
) -> Result<Descriptor, Exception> {
    let beyond = Exception::with_code(vector, error_code(selector) | ext);
    let address = place(cpu, selector).ok_or(beyond)?;
    let raw = cpu.load_system(env, address)?;
    Ok(Descriptor { raw, upper: 0, address })
}

/// Reads the second half of a 16-byte descriptor (long mode) into `d`.
///
/// # Errors
/// #GP with the selector's error code if it lies beyond the table, or its type field is not
/// zero; #PF.
pub fn read_upper(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    d: &mut Descriptor,
    selector: u16,
) -> Result<(), Exception> {
    let bad = Exception::gp(error_code(selector));
    let limit = if selector & 4 == 0 { u32::from(cpu.gdtr.limit) } else { cpu.ldtr.limit };
    if u32::from(selector & !7) + 15 > limit {
        return Err(bad);
    }
    d.upper = cpu.load_system(env, d.address.wrapping_add(8))?;
    if d.upper >> 40 & 0x1F != 0 {
        return Err(bad);
    }
    d.upper &= 0xFFFF_FFFF;
    Ok(())
}

/// Sets the accessed bit of a code or data descriptor, in its table and in `d`.
///
/// # Errors
/// #PF.
pub fn mark_accessed(cpu: &mut Vcpu, env: &mut Env<'_>, d: &mut Descriptor) -> Result<(), Exception> {
    if !d.has(attr::ACCESSED) {
        d.raw |= 1 << 40;
        cpu.store_system(env, d.address.wrapping_add(5), (d.raw >> 40) as u8)?;
    }
    Ok(())
}

/// Sets or clears the busy bit of a TSS descriptor in its table.
///
/// # Errors
/// #PF.
pub fn set_busy(cpu: &mut Vcpu, env: &mut Env<'_>, d: &Descriptor, busy: bool) -> Result<(), Exception> {
    let bit = u64::from(system_type::BUSY) << 40;
    let raw = if busy { d.raw | bit } else { d.raw & !bit };
    cpu.store_system(env, d.address.wrapping_add(5), (raw >> 40) as u8)
}

/// An address in a system table: 32 bits outside long mode.
pub fn table_address(cpu: &CpuState, base: u64, offset: u64) -> u64 {
    let address = base.wrapping_add(offset);
    if cpu.long_mode() { address } else { address & 0xFFFF_FFFF }
}
