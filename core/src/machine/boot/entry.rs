//! The processor states that the boot protocols start in: GDT, page tables, registers.

use super::layout::{GDT, PAGE_TABLES, STACK_END};
use crate::cpu::insn::RIP;
use crate::cpu::state::{CpuState, RBX, RSI, RSP, Segment, TableRegister, Vcpu, attr, cr0, cr4, efer, seg};
use crate::mem::Memory;
use crate::types::Gpa;

/// __BOOT_CS.
const CODE_SELECTOR: u16 = 0x10;
/// __BOOT_DS.
const DATA_SELECTOR: u16 = 0x18;
/// How much the page tables map: 4 GiB in 2 MiB pages.
const MAPPED_GIB: u64 = 4;
const LARGE_PAGE: u64 = 2 << 20;

const CODE: u16 = attr::P | attr::S | attr::CODE | attr::RW | attr::ACCESSED | attr::G;
const DATA: u16 = attr::P | attr::S | attr::RW | attr::ACCESSED | attr::G | attr::DB;

fn flat(selector: u16, attributes: u16) -> Segment {
    Segment { selector, base: 0, limit: u32::MAX, attributes }
}

/// A flat descriptor (SDM vol. 3, figure 3-8).
fn descriptor(attributes: u16) -> u64 {
    0x000F_0000_0000_FFFF | u64::from(attributes) << 40
}

fn put_gdt(mem: &mut Memory, code: u16) -> TableRegister {
    let entries = [0, 0, descriptor(code), descriptor(DATA)];
    mem.write_bytes(Gpa(GDT), &entries.map(u64::to_le_bytes).concat());
    TableRegister { base: GDT, limit: 8 * entries.len() as u16 - 1 }
}

/// Present, writable.
const TABLE_FLAGS: u64 = 3;
/// Present, writable, a large page.
const PAGE_FLAGS: u64 = 0x83;

fn put_page_tables(mem: &mut Memory) {
    let pdpt = PAGE_TABLES + 0x1000;
    let directories = PAGE_TABLES + 0x2000;
    let put = |mem: &mut Memory, at: u64, entry: u64| mem.write_bytes(Gpa(at), &entry.to_le_bytes());
    put(mem, PAGE_TABLES, pdpt | TABLE_FLAGS);
    for gib in 0..MAPPED_GIB {
        put(mem, pdpt + 8 * gib, (directories + 0x1000 * gib) | TABLE_FLAGS);
    }
    for page in 0..512 * MAPPED_GIB {
        put(mem, directories + 8 * page, page * LARGE_PAGE | PAGE_FLAGS);
    }
}

fn start(cpu: &mut Vcpu, gdtr: TableRegister, code: u16, rip: u64) -> CpuState {
    // What firmware left in the MSRs stays.
    let mut state = CpuState { msrs: cpu.msrs, ..CpuState::reset(cpu.id) };
    state.segs[seg::CS] = flat(CODE_SELECTOR, code);
    for n in [seg::DS, seg::ES, seg::SS, seg::FS, seg::GS] {
        state.segs[n] = flat(DATA_SELECTOR, DATA);
    }
    state.gdtr = gdtr;
    state.idtr = TableRegister { base: 0, limit: 0 };
    state.regs[RIP as usize] = rip;
    state.regs[RSP] = STACK_END;
    state
}

/// The 64-bit Linux boot protocol: long mode, identity-mapped, RSI = boot_params.
pub fn long_mode(mem: &mut Memory, cpu: &mut Vcpu, rip: u64, boot_params: u64) {
    put_page_tables(mem);
    let code = CODE | attr::L;
    let gdtr = put_gdt(mem, code);
    let mut state = start(cpu, gdtr, code, rip);
    state.cr0 = cr0::PE | cr0::PG | cr0::ET | cr0::NE;
    state.cr3 = PAGE_TABLES;
    state.cr4 = cr4::PAE;
    state.efer = efer::LME | efer::LMA;
    state.regs[RSI] = boot_params;
    cpu.load_state(state);
}

/// PVH: 32-bit protected mode without paging, EBX = start_info.
pub fn protected_mode(mem: &mut Memory, cpu: &mut Vcpu, rip: u64, start_info: u64) {
    let code = CODE | attr::DB;
    let gdtr = put_gdt(mem, code);
    let mut state = start(cpu, gdtr, code, rip);
    state.cr0 = cr0::PE | cr0::ET;
    state.tr.limit = 0x67;
    state.regs[RBX] = start_info;
    cpu.load_state(state);
}
