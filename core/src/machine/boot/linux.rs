//! The 64-bit Linux boot protocol (Linux Documentation/arch/x86/boot.rst and zero-page.rst).

use super::bzimage::{BzImage, ENTRY_64};
use super::elf::ElfKernel;
use super::layout::{BOOT_PARAMS, COMMAND_LINE, SETUP_DATA};
use super::{BootError, COMMAND_LINE_LIMIT, entry, memory_map, put_command_line, put_initrd};
use crate::boundary::{Images, MachineConfig};
use crate::cpu::state::Vcpu;
use crate::machine::board_pc::acpi_tables::ACPI_BASE;
use crate::mem::Memory;
use crate::types::Entropy;
use crate::types::Gpa;
use linux_loader::loader::bootparam::{boot_e820_entry, boot_params, setup_header};
use vm_memory::ByteValued;

/// "Some other boot loader".
const LOADER_UNDEFINED: u8 = 0xFF;
const BOOT_FLAG: u16 = 0xAA55;
const HEADER_MAGIC: u32 = 0x5372_6448;
/// The highest address for the initrd of kernels that do not say.
pub(super) const INITRD_ADDR_MAX: u32 = 0x7FFF_FFFF;
/// setup_data type: seed of the kernel's random number generator.
const SETUP_RNG_SEED: u32 = 9;
const RNG_SEED_WORDS: usize = 4;
/// Keeps the kernel's seed apart from what RDRAND gives.
const RNG_SEED_STREAM: u64 = 0xB007_5EED;

/// Starts a bzImage at its 64-bit entry point.
pub fn boot_bzimage(
    mem: &mut Memory,
    cpu: &mut Vcpu,
    config: &MachineConfig,
    images: &Images,
    kernel: BzImage,
) -> Result<(), BootError> {
    let mut header = kernel.header;
    header.code32_start = kernel.start as u32;
    put_boot_params(mem, config, images, header, kernel.end)?;
    entry::long_mode(mem, cpu, kernel.start + ENTRY_64, BOOT_PARAMS);
    Ok(())
}

/// Starts an ELF kernel at its entry point, which lacks a header of its own.
pub fn boot_elf(
    mem: &mut Memory,
    cpu: &mut Vcpu,
    config: &MachineConfig,
    images: &Images,
    kernel: &ElfKernel,
) -> Result<(), BootError> {
    let header = setup_header {
        boot_flag: BOOT_FLAG,
        header: HEADER_MAGIC,
        version: 0x020F,
        loadflags: 1,
        initrd_addr_max: INITRD_ADDR_MAX,
        kernel_alignment: 0x20_0000,
        cmdline_size: COMMAND_LINE_LIMIT as u32,
        ..setup_header::default()
    };
    put_boot_params(mem, config, images, header, kernel.end)?;
    entry::long_mode(mem, cpu, kernel.entry, BOOT_PARAMS);
    Ok(())
}

fn put_boot_params(
    mem: &mut Memory,
    config: &MachineConfig,
    images: &Images,
    mut header: setup_header,
    kernel_end: u64,
) -> Result<(), BootError> {
    put_command_line(mem, &config.command_line, header.cmdline_size.into())?;
    let (initrd, initrd_bytes) = put_initrd(mem, images, kernel_end, header.initrd_addr_max.into())?;
    header.type_of_loader = LOADER_UNDEFINED;
    header.cmd_line_ptr = COMMAND_LINE as u32;
    header.ramdisk_image = initrd as u32;
    header.ramdisk_size = initrd_bytes as u32;
    header.setup_data = put_rng_seed(mem, config.seed);
    let mut params = boot_params { hdr: header, acpi_rsdp_addr: ACPI_BASE, ..boot_params::default() };
    let map = memory_map::build(mem);
    params.e820_entries = map.len() as u8;
    for (entry, range) in params.e820_table.iter_mut().zip(map) {
        *entry = boot_e820_entry { addr: range.start, size: range.bytes, r#type: range.kind };
    }
    mem.write_bytes(Gpa(BOOT_PARAMS), params.as_slice());
    Ok(())
}

/// Puts a setup_data node with the kernel's random seed; gives its address.
fn put_rng_seed(mem: &mut Memory, seed: u64) -> u64 {
    let mut entropy = Entropy::new(seed ^ RNG_SEED_STREAM);
    let mut node = Vec::new();
    node.extend(0u64.to_le_bytes());
    node.extend(SETUP_RNG_SEED.to_le_bytes());
    node.extend((8 * RNG_SEED_WORDS as u32).to_le_bytes());
    for _ in 0..RNG_SEED_WORDS {
        node.extend(entropy.next_u64().to_le_bytes());
    }
    mem.write_bytes(Gpa(SETUP_DATA), &node);
    SETUP_DATA
}
