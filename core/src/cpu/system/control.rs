//! Writes of control registers with their checks (SDM vol. 3, 2.5, 4.1, 9.8.5).

use crate::boundary::{ProbeEvent, ProbeKind};
use crate::cpu::env::Env;
use crate::cpu::state::{BlockEnd, CpuState, Vcpu, attr, cr0, cr4, efer, seg};
use crate::mem::{Memory, PHYSICAL_ADDRESS_BITS};
use crate::types::{Exception, Gpa};

/// CR0 bits that exist.
const CR0_BITS: u64 = cr0::PE
    | cr0::MP
    | cr0::EM
    | cr0::TS
    | cr0::ET
    | cr0::NE
    | cr0::WP
    | cr0::AM
    | cr0::NW
    | cr0::CD
    | cr0::PG;

/// CR4 bits that exist.
const CR4_BITS: u64 = cr4::TSD
    | cr4::DE
    | cr4::PSE
    | cr4::PAE
    | cr4::MCE
    | cr4::PGE
    | cr4::PCE
    | cr4::OSFXSR
    | cr4::OSXMMEXCPT
    | cr4::UMIP
    | cr4::FSGSBASE
    | cr4::PCIDE
    | cr4::OSXSAVE
    | cr4::SMEP
    | cr4::SMAP;

/// Reserved bits of a PDPTE (SDM vol. 3, table 4-8).
const PDPTE_RESERVED: u64 = !((1 << PHYSICAL_ADDRESS_BITS) - 1) | 0x1E6;

/// MOV to CR0.
///
/// # Errors
/// #GP(0) for a value that is not allowed; #GP(0) for reserved bits in PDPTEs.
pub fn write_cr0(cpu: &mut Vcpu, env: &mut Env<'_>, value: u64) -> Result<(), Exception> {
    set_cr0(&mut cpu.state, env.mem, value)?;
    cpu.switch_tlb();
    cpu.refresh();
    cpu.leave_block();
    Ok(())
}

/// What a write of CR0 does to the state.
///
/// # Errors
/// As [`write_cr0`]; nothing has changed then.
pub fn set_cr0(cpu: &mut CpuState, mem: &Memory, value: u64) -> Result<(), Exception> {
    let has = |bit: u64| value & bit != 0;
    if value >> 32 != 0 || (has(cr0::PG) && !has(cr0::PE)) || (has(cr0::NW) && !has(cr0::CD)) {
        return Err(Exception::GP0);
    }
    let value = value & CR0_BITS | cr0::ET;
    let old = cpu.cr0;
    let paging_on = has(cr0::PG) && old & cr0::PG == 0;
    let paging_off = !has(cr0::PG) && old & cr0::PG != 0;
    let long_code = cpu.segs[seg::CS].attributes & attr::L != 0;
    let in_64_bit_mode = cpu.long_mode() && long_code;
    if paging_off && (in_64_bit_mode || cpu.cr4 & cr4::PCIDE != 0) {
        return Err(Exception::GP0);
    }
    let mut new_efer = cpu.efer;
    if paging_on && cpu.efer & efer::LME != 0 {
        if cpu.cr4 & cr4::PAE == 0 || long_code || super::tss::is_tss16(&cpu.tr) {
            return Err(Exception::GP0);
        }
        new_efer |= efer::LMA;
    }
    if paging_off {
        new_efer &= !efer::LMA;
    }
    if uses_pdptes(value, cpu.cr4, new_efer) && (old ^ value) & (cr0::PG | cr0::CD | cr0::NW) != 0 {
        cpu.pdpte = read_pdptes(mem, cpu.cr3)?;
    }
    cpu.efer = new_efer;
    cpu.cr0 = value;
    Ok(())
}

/// MOV to CR3.
///
/// # Errors
/// #GP(0) for reserved bits, in the value or in PDPTEs.
pub fn write_cr3(cpu: &mut Vcpu, env: &mut Env<'_>, value: u64) -> Result<(), Exception> {
    let old = cpu.cr3;
    set_cr3(&mut cpu.state, env.mem, value)?;
    let value = cpu.cr3;
    cpu.note(env, ProbeKind::AddressSpace, || ProbeEvent::AddressSpace { old, value });
    cpu.switch_tlb();
    cpu.end_block(BlockEnd::Elsewhere);
    Ok(())
}

/// What a write of CR3 does to the state.
///
/// # Errors
/// As [`write_cr3`]; nothing has changed then.
pub fn set_cr3(cpu: &mut CpuState, mem: &Memory, value: u64) -> Result<(), Exception> {
    let pcid = cpu.cr4 & cr4::PCIDE != 0;
    // With PCIDs, bit 63 asks to keep translations: of no effect here, and not stored.
    let value = if pcid { value & !(1 << 63) } else { value };
    if cpu.long_mode() && value >> PHYSICAL_ADDRESS_BITS != 0 {
        return Err(Exception::GP0);
    }
    if uses_pdptes(cpu.cr0, cpu.cr4, cpu.efer) {
        cpu.pdpte = read_pdptes(mem, value)?;
    }
    cpu.cr3 = value;
    Ok(())
}

/// MOV to CR4.
///
/// # Errors
/// #GP(0) for a value that is not allowed, or for reserved bits in PDPTEs.
pub fn write_cr4(cpu: &mut Vcpu, env: &mut Env<'_>, value: u64) -> Result<(), Exception> {
    set_cr4(&mut cpu.state, env.mem, value)?;
    cpu.switch_tlb();
    cpu.refresh();
    cpu.leave_block();
    Ok(())
}

/// What a write of CR4 does to the state.
///
/// # Errors
/// As [`write_cr4`]; nothing has changed then.
pub fn set_cr4(cpu: &mut CpuState, mem: &Memory, value: u64) -> Result<(), Exception> {
    let long_mode = cpu.long_mode();
    let changed = cpu.cr4 ^ value;
    let set = changed & value;
    let pae_off_in_long_mode = long_mode && value & cr4::PAE == 0;
    let pcid_too_early = set & cr4::PCIDE != 0 && (!long_mode || cpu.cr3 & 0xFFF != 0);
    if value & !CR4_BITS != 0 || pae_off_in_long_mode || pcid_too_early {
        return Err(Exception::GP0);
    }
    let paging = cr4::PAE | cr4::PSE | cr4::PGE | cr4::SMEP | cr4::SMAP | cr4::PCIDE;
    if changed & paging != 0 && uses_pdptes(cpu.cr0, value, cpu.efer) {
        cpu.pdpte = read_pdptes(mem, cpu.cr3)?;
    }
    cpu.cr4 = value;
    Ok(())
}

/// Whether translation goes through the PDPTE registers.
fn uses_pdptes(cr0: u64, cr4: u64, efer: u64) -> bool {
    cr0 & cr0::PG != 0 && cr4 & cr4::PAE != 0 && efer & efer::LMA == 0
}

/// Loads the PDPTE registers from CR3 if PAE paging is in use.
///
/// # Errors
/// #GP(0) for reserved bits.
pub fn load_pdptes_if_used(cpu: &mut Vcpu, env: &mut Env<'_>) -> Result<(), Exception> {
    if uses_pdptes(cpu.cr0, cpu.cr4, cpu.efer) {
        cpu.pdpte = read_pdptes(env.mem, cpu.cr3)?;
    }
    Ok(())
}

fn read_pdptes(mem: &Memory, cr3: u64) -> Result<[u64; 4], Exception> {
    let table = cr3 & 0xFFFF_FFE0;
    let mut pdptes = [0; 4];
    for (k, p) in pdptes.iter_mut().enumerate() {
        *p = mem.read_phys(Gpa(table + 8 * k as u64)).unwrap_or(u64::MAX);
        if *p & 1 != 0 && *p & PDPTE_RESERVED != 0 {
            return Err(Exception::GP0);
        }
    }
    Ok(pdptes)
}
