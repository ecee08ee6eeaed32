//! Loading what the machine runs: a kernel, its initial RAM disk and command line, and the
//! state in which the boot protocol starts the bootstrap processor.
//!
//! Images come from outside and may be anything; whatever is wrong with one is a [`BootError`].

mod bzimage;
mod elf;
mod entry;
pub mod firmware;
mod linux;
mod loaded;
mod memory_map;
mod pvh;
#[cfg(test)]
mod tests;

pub use loaded::{LoadedImage, loaded_images};

use crate::boundary::{Images, MachineConfig};
use crate::cpu::state::Vcpu;
use crate::machine::board_pc::acpi_tables;
use crate::mem::Memory;
use crate::types::Gpa;
use thiserror::Error;

/// Where things go below 1 MiB.
pub mod layout {
    /// The GDT that the boot protocols ask for.
    pub const GDT: u64 = 0x500;
    /// The PVH start_info, its module list and memory map.
    pub const START_INFO: u64 = 0x5000;
    /// The list of setup_data.
    pub const SETUP_DATA: u64 = 0x6000;
    /// boot_params, the "zero page".
    pub const BOOT_PARAMS: u64 = 0x7000;
    /// The end of a small stack.
    pub const STACK_END: u64 = 0x8FF0;
    /// Identity-mapping page tables, six pages.
    pub const PAGE_TABLES: u64 = 0x9000;
    /// The command line.
    pub const COMMAND_LINE: u64 = 0x2_0000;
    /// The end of usable low memory (the extended BIOS data area follows).
    pub const LOW_END: u64 = 0x9_FC00;
    /// Where memory above the BIOS starts.
    pub const HIGH_START: u64 = 0x10_0000;
}

/// What is wrong with an image or does not fit the machine.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum BootError {
    /// Neither a bzImage nor an ELF.
    #[error("the kernel is neither a bzImage nor an ELF file: give a vmlinuz or an uncompressed vmlinux")]
    NotAKernel,
    /// It is one, of a kind that cannot be started here.
    #[error("this kernel cannot be started: {0}")]
    Unsupported(&'static str),
    /// The file ends before it should.
    #[error("the kernel file is truncated: {what} should end at byte {end}, the file has {len}")]
    Truncated {
        /// What is missing.
        what: &'static str,
        /// Where it should end.
        end: u64,
        /// The size of the file.
        len: u64,
    },
    /// A field contradicts another.
    #[error("the kernel file is damaged: {0}")]
    Damaged(&'static str),
    /// RAM is too small for the kernel, or not where the kernel must be.
    #[error(
        "the kernel needs memory from {start:#x} to {end:#x}, which this machine lacks: give it more RAM"
    )]
    KernelDoesNotFit {
        /// The first address.
        start: u64,
        /// The address after the last.
        end: u64,
    },
    /// No room for the initial RAM disk beside the kernel.
    #[error(
        "the initrd ({bytes} bytes) does not fit between {start:#x} and {end:#x}: give the machine more RAM"
    )]
    InitrdDoesNotFit {
        /// Its size.
        bytes: u64,
        /// The end of the kernel.
        start: u64,
        /// The end of the memory that the kernel accepts for it.
        end: u64,
    },
    /// Longer than the kernel takes.
    #[error("the command line has {len} bytes, the kernel takes at most {limit}: shorten it")]
    CommandLineTooLong {
        /// Its length.
        len: u64,
        /// The limit.
        limit: u64,
    },
    /// A zero byte would end it early.
    #[error("the command line contains a zero byte: remove it")]
    CommandLineHasZero,
}

/// Loads the images into RAM (all zero before) and sets the bootstrap processor up to start
/// them.
///
/// # Errors
/// What is wrong with the images, or why they do not fit. RAM may have been written to then.
pub fn load(
    mem: &mut Memory,
    cpu: &mut Vcpu,
    config: &MachineConfig,
    images: &Images,
) -> Result<(), BootError> {
    // The boot structures below 1 MiB need RAM themselves.
    require_ram(mem, 0, layout::HIGH_START)?;
    mem.write_bytes(Gpa(acpi_tables::ACPI_BASE), &acpi_tables::build(config.vcpus));
    if images.kernel.starts_with(elf::MAGIC) {
        let kernel = elf::load(mem, &images.kernel)?;
        match kernel.pvh_entry {
            Some(entry) => pvh::boot(mem, cpu, config, images, &kernel, entry),
            None => linux::boot_elf(mem, cpu, config, images, &kernel),
        }
    } else {
        let kernel = bzimage::load(mem, &images.kernel)?;
        linux::boot_bzimage(mem, cpu, config, images, kernel)
    }
}

/// A kernel must lie in RAM below the hole.
fn require_ram(mem: &Memory, start: u64, end: u64) -> Result<(), BootError> {
    if start <= end && end <= mem.low_bytes() {
        Ok(())
    } else {
        Err(BootError::KernelDoesNotFit { start, end })
    }
}

/// The longest command line of kernels that do not say (COMMAND_LINE_SIZE - 1).
const COMMAND_LINE_LIMIT: u64 = 2047;

/// Puts the command line, zero-terminated, at its place.
fn put_command_line(mem: &mut Memory, command_line: &str, limit: u64) -> Result<(), BootError> {
    let limit = limit.min(layout::LOW_END - layout::COMMAND_LINE - 1);
    let len = command_line.len() as u64;
    if len > limit {
        return Err(BootError::CommandLineTooLong { len, limit });
    }
    if command_line.contains('\0') {
        return Err(BootError::CommandLineHasZero);
    }
    mem.write_bytes(Gpa(layout::COMMAND_LINE), command_line.as_bytes());
    mem.write_bytes(Gpa(layout::COMMAND_LINE + len), &[0]);
    Ok(())
}

/// Puts the initrd as high as the kernel accepts it, at a page boundary; gives address and
/// size, zeros without one.
fn put_initrd(
    mem: &mut Memory,
    images: &Images,
    kernel_end: u64,
    highest: u64,
) -> Result<(u64, u64), BootError> {
    let Some(initrd) = images.initrd.as_deref().filter(|i| !i.is_empty()) else { return Ok((0, 0)) };
    let bytes = initrd.len() as u64;
    let end = mem.low_bytes().min(highest.saturating_add(1));
    let start = end.checked_sub(bytes).map(|s| s & !crate::types::PAGE_OFFSET_MASK);
    match start.filter(|&s| s >= kernel_end) {
        Some(start) => {
            mem.write_bytes(Gpa(start), initrd);
            Ok((start, bytes))
        }
        None => Err(BootError::InitrdDoesNotFit { bytes, start: kernel_end, end }),
    }
}
