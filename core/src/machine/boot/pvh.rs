//! The PVH boot protocol (Xen docs/misc/pvh.pandoc, xen/include/public/arch-x86/hvm/start_info.h).

use super::elf::ElfKernel;
use super::layout::{COMMAND_LINE, START_INFO};
use super::{BootError, COMMAND_LINE_LIMIT, entry, memory_map, put_command_line, put_initrd, require_ram};
use crate::boundary::{Images, MachineConfig};
use crate::cpu::state::Vcpu;
use crate::machine::board_pc::acpi_tables::ACPI_BASE;
use crate::mem::Memory;
use crate::types::Gpa;
use linux_loader::loader::elf::start_info::{
    XEN_HVM_START_MAGIC_VALUE, hvm_memmap_table_entry, hvm_modlist_entry, hvm_start_info,
};
use vm_memory::ByteValued;

/// Where the module list is, after the start_info.
const MODULES: u64 = START_INFO + 0x100;
/// Where the memory map is.
const MEMORY_MAP: u64 = START_INFO + 0x200;
/// The initrd stays below 2 GiB, as with the Linux protocol.
const INITRD_ADDR_MAX: u64 = 0x7FFF_FFFF;

/// Starts an ELF kernel at its PVH entry point.
pub fn boot(
    mem: &mut Memory,
    cpu: &mut Vcpu,
    config: &MachineConfig,
    images: &Images,
    kernel: &ElfKernel,
    entry: u64,
) -> Result<(), BootError> {
    require_ram(mem, entry, entry + 1)?;
    put_command_line(mem, &config.command_line, COMMAND_LINE_LIMIT)?;
    let (initrd, initrd_bytes) = put_initrd(mem, images, kernel.end, INITRD_ADDR_MAX)?;
    let module = hvm_modlist_entry { paddr: initrd, size: initrd_bytes, ..Default::default() };
    mem.write_bytes(Gpa(MODULES), module.as_slice());
    let map = memory_map::build(mem);
    for (n, r) in map.iter().enumerate() {
        let entry = hvm_memmap_table_entry { addr: r.start, size: r.bytes, type_: r.kind, reserved: 0 };
        mem.write_bytes(Gpa(MEMORY_MAP + (n * size_of_val(&entry)) as u64), entry.as_slice());
    }
    let info = hvm_start_info {
        magic: XEN_HVM_START_MAGIC_VALUE,
        version: 1,
        nr_modules: u32::from(initrd_bytes != 0),
        modlist_paddr: MODULES,
        cmdline_paddr: COMMAND_LINE,
        rsdp_paddr: ACPI_BASE,
        memmap_paddr: MEMORY_MAP,
        memmap_entries: map.len() as u32,
        ..Default::default()
    };
    mem.write_bytes(Gpa(START_INFO), info.as_slice());
    entry::protected_mode(mem, cpu, entry, START_INFO);
    Ok(())
}
