//! What [`super::load`] puts where, for whoever wants to know.

use super::{BootError, bzimage, elf, linux, put_initrd};
use crate::boundary::{Images, MachineConfig};
use crate::machine::board_pc::acpi_tables::{self, ACPI_BASE};
use crate::mem::Memory;
use crate::types::PAGE_SIZE;

/// Something that is in RAM at power-on, and after each reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadedImage {
    /// What it is.
    pub name: &'static str,
    /// Its first byte's physical address.
    pub address: u64,
    /// Its size.
    pub bytes: u64,
}

/// What is loaded for a machine, found by loading it once more elsewhere.
///
/// # Errors
/// As [`super::load`], as text; or that the host has no memory for that.
pub fn loaded_images(config: &MachineConfig, images: &Images) -> Result<Vec<LoadedImage>, String> {
    let mut mem = Memory::new(config.ram_bytes).map_err(|e| e.to_string())?;
    load_again(&mut mem, config, images).map_err(|e| e.to_string())
}

fn load_again(
    mem: &mut Memory,
    config: &MachineConfig,
    images: &Images,
) -> Result<Vec<LoadedImage>, BootError> {
    let (start, end, highest) = if images.kernel.starts_with(elf::MAGIC) {
        let kernel = elf::load(mem, &images.kernel)?;
        let first = mem.pages_not_zero().next().map_or(0, |(page, _)| u64::from(page) * PAGE_SIZE);
        (first, kernel.end, u64::from(linux::INITRD_ADDR_MAX))
    } else {
        let kernel = bzimage::load(mem, &images.kernel)?;
        (kernel.start, kernel.end, u64::from(kernel.header.initrd_addr_max))
    };
    let tables = acpi_tables::build(config.vcpus).len() as u64;
    let mut list = vec![
        LoadedImage { name: "etc/acpi/tables", address: ACPI_BASE, bytes: tables },
        LoadedImage { name: "kernel", address: start, bytes: end - start },
    ];
    let (address, bytes) = put_initrd(mem, images, end, highest)?;
    if bytes > 0 {
        list.push(LoadedImage { name: "initrd", address, bytes });
    }
    Ok(list)
}
