//! Loading of good, odd and hostile images.

use super::*;
use crate::cpu::state::{CodeSize, RBX, RSI, cr0};

fn machine(ram_mib: u64) -> (Memory, Vcpu, MachineConfig) {
    let config = MachineConfig { ram_bytes: ram_mib << 20, ..MachineConfig::default() };
    (Memory::new(config.ram_bytes).unwrap(), Vcpu::new(0), config)
}

fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

/// A bzImage with four setup sectors and 1 KiB of protected-mode code.
fn bzimage() -> Vec<u8> {
    let mut i = vec![0; 5 * 512 + 1024];
    i[0x1F1] = 4;
    put(&mut i, 0x1F4, &64u32.to_le_bytes());
    put(&mut i, 0x201, &[0x6A]);
    put(&mut i, 0x202, b"HdrS");
    put(&mut i, 0x206, &0x020Fu16.to_le_bytes());
    i[0x211] = 1;
    put(&mut i, 0x22C, &0x7FFF_FFFFu32.to_le_bytes());
    put(&mut i, 0x230, &0x20_0000u32.to_le_bytes());
    i[0x234] = 1;
    put(&mut i, 0x236, &1u16.to_le_bytes());
    put(&mut i, 0x238, &2047u32.to_le_bytes());
    put(&mut i, 0x258, &0x100_0000u64.to_le_bytes());
    put(&mut i, 0x260, &0x10_0000u32.to_le_bytes());
    i[5 * 512..].fill(0xCC);
    i
}

/// An ELF64 with one segment of 16 bytes at `paddr`, and a note segment if `pvh`.
fn elf(paddr: u64, entry: u64, pvh: bool) -> Vec<u8> {
    let mut i = vec![0; 0x200];
    put(&mut i, 0, b"\x7FELF\x02\x01\x01");
    put(&mut i, 16, &[2, 0, 62, 0]);
    put(&mut i, 24, &entry.to_le_bytes());
    put(&mut i, 32, &64u64.to_le_bytes());
    put(&mut i, 54, &[56, 0, if pvh { 2 } else { 1 }, 0]);
    let header = |kind: u32, offset: u64, vaddr: u64, paddr: u64, file: u64, mem: u64| {
        let mut h = [kind, 5].map(u32::to_le_bytes).concat();
        h.extend([offset, vaddr, paddr, file, mem, 0].map(u64::to_le_bytes).concat());
        h
    };
    put(&mut i, 64, &header(1, 0x100, 0xFFFF_FFFF_8010_0000, paddr, 16, 0x3000));
    put(&mut i, 120, &header(4, 0x180, 0, 0, 24, 24));
    i[0x100..0x110].fill(0xAB);
    let mut note = [4u32, 8, 18].map(u32::to_le_bytes).concat();
    note.extend(b"Xen\0");
    note.extend(0x10_0010u64.to_le_bytes());
    put(&mut i, 0x180, &note);
    i
}

fn try_load(ram_mib: u64, kernel: Vec<u8>) -> Result<(), BootError> {
    let (mut mem, mut cpu, config) = machine(ram_mib);
    load(&mut mem, &mut cpu, &config, &Images { kernel, initrd: None })
}

fn read<const N: usize>(mem: &Memory, at: u64) -> [u8; N] {
    mem.ram.slice(at as usize, N).try_into().unwrap()
}

#[test]
fn bzimage_starts_in_long_mode_with_boot_params() {
    let (mut mem, mut cpu, mut config) = machine(64);
    config.command_line = "console=ttyS0".into();
    let images = Images { kernel: bzimage(), initrd: Some(vec![7; 5000]) };
    load(&mut mem, &mut cpu, &config, &images).unwrap();
    assert_eq!((cpu.rip(), cpu.regs[RSI]), (0x100_0200, layout::BOOT_PARAMS));
    assert_eq!((cpu.code_size, cpu.cr0 & cr0::PG != 0), (CodeSize::Bits64, true));
    assert_eq!(read(&mem, 0x100_0000), [0xCC; 16]);
    assert_eq!(&read::<14>(&mem, layout::COMMAND_LINE), b"console=ttyS0\0");
    let initrd = u32::from_le_bytes(read(&mem, 0x7218));
    assert_eq!((initrd, u32::from_le_bytes(read(&mem, 0x721C))), ((64 << 20) - 8192, 5000));
    assert_eq!(read(&mem, initrd.into()), [7; 8]);
    assert_eq!(u64::from_le_bytes(read(&mem, 0x7070)), 0xE_0000);
    assert_eq!(&read::<8>(&mem, 0xE_0000), b"RSD PTR ");
    let e820: Vec<_> = (0..u64::from(read::<1>(&mem, 0x71E8)[0]))
        .map(|n| u64::from_le_bytes(read(&mem, 0x72D0 + 20 * n)))
        .collect();
    assert_eq!(e820, [0, 0x9_FC00, 0xE_0000, 0x10_0000, 0xE000_0000]);
}

#[test]
fn page_tables_map_four_gib_to_themselves() {
    let (mut mem, mut cpu, config) = machine(64);
    load(&mut mem, &mut cpu, &config, &Images { kernel: bzimage(), initrd: None }).unwrap();
    let access =
        crate::mem::Access { kind: crate::mem::AccessKind::Read, index: crate::mem::MmuIndex::Kernel };
    for va in [0u64, 0x100_0000, 0xFEE0_0000, 0xFFFF_F000] {
        let t = crate::mem::walk(&mut mem, &cpu.paging_regs(), va, access, &mut vec![]);
        assert_eq!(t.ok().map(|t| t.frame), Some(Gpa(va)));
    }
}

#[test]
fn a_small_machine_gets_a_relocatable_kernel_lower() {
    let (mut mem, mut cpu, config) = machine(8);
    load(&mut mem, &mut cpu, &config, &Images { kernel: bzimage(), initrd: None }).unwrap();
    assert_eq!(cpu.rip(), 0x20_0200);
    let mut fixed = bzimage();
    fixed[0x234] = 0;
    let error = BootError::KernelDoesNotFit { start: 0x100_0000, end: 0x110_0000 };
    assert_eq!(try_load(8, fixed), Err(error));
}

#[test]
fn pvh_note_starts_in_protected_mode() {
    let (mut mem, mut cpu, config) = machine(64);
    let images = Images { kernel: elf(0x10_0000, 0x10_0000, true), initrd: Some(vec![1]) };
    load(&mut mem, &mut cpu, &config, &images).unwrap();
    assert_eq!((cpu.rip(), cpu.regs[RBX]), (0x10_0010, layout::START_INFO));
    assert_eq!((cpu.code_size, cpu.cr0), (CodeSize::Bits32, cr0::PE | cr0::ET));
    assert_eq!(u32::from_le_bytes(read(&mem, layout::START_INFO)), 0x336E_C578);
}

#[test]
fn elf_without_note_starts_in_long_mode_at_the_physical_entry() {
    for entry in [0x10_0004, 0xFFFF_FFFF_8010_0004] {
        let (mut mem, mut cpu, config) = machine(64);
        let images = Images { kernel: elf(0x10_0000, entry, false), initrd: None };
        load(&mut mem, &mut cpu, &config, &images).unwrap();
        assert_eq!((cpu.rip(), cpu.code_size), (0x10_0004, CodeSize::Bits64));
    }
}

#[test]
fn errors_say_what_is_wrong() {
    assert_eq!(try_load(64, b"#!/bin/sh".to_vec()), Err(BootError::NotAKernel));
    assert_eq!(try_load(64, vec![]), Err(BootError::NotAKernel));
    let cut = bzimage()[..5 * 512 + 100].to_vec();
    assert!(matches!(try_load(64, cut), Err(BootError::Truncated { .. })));
    let cut = elf(0x10_0000, 0x10_0000, false)[..0x108].to_vec();
    assert!(matches!(try_load(64, cut), Err(BootError::Truncated { what: "a segment", .. })));
    let beyond = elf(0x4000_0000, 0x4000_0000, false);
    assert!(matches!(try_load(64, beyond), Err(BootError::KernelDoesNotFit { .. })));
    let outside = elf(0x10_0000, 0x66, false);
    assert!(matches!(try_load(64, outside), Err(BootError::Damaged(_))));
    assert!(matches!(try_load(0, bzimage()), Err(BootError::KernelDoesNotFit { .. })));
}

#[test]
fn command_line_and_initrd_have_limits() {
    let (mut mem, mut cpu, mut config) = machine(64);
    config.command_line = "x".repeat(2048);
    let mut images = Images { kernel: bzimage(), initrd: None };
    let error = load(&mut mem, &mut cpu, &config, &images);
    assert_eq!(error, Err(BootError::CommandLineTooLong { len: 2048, limit: 2047 }));
    config.command_line.clear();
    images.initrd = Some(vec![0; 60 << 20]);
    let error = load(&mut mem, &mut cpu, &config, &images);
    assert!(matches!(error, Err(BootError::InitrdDoesNotFit { .. })));
}

/// Every byte of the headers at several extreme values: an answer, never a panic.
#[test]
fn mutated_headers_do_not_panic() {
    let (mut mem, mut cpu, config) = machine(32);
    let images = [bzimage(), elf(0x10_0000, 0x10_0000, true), elf(0x10_0000, 0x10_0000, false)];
    let mut refused = 0;
    for image in images {
        for at in (0..0x1A0).chain(0x1F0..0x270).filter(|&at| at < image.len()) {
            for value in [0x00, 0x01, 0x7F, 0x80, 0xFF] {
                let mut kernel = image.clone();
                let end = (at + 4).min(kernel.len());
                kernel[at..end].fill(value);
                refused +=
                    u32::from(load(&mut mem, &mut cpu, &config, &Images { kernel, initrd: None }).is_err());
            }
        }
    }
    assert!(refused > 100);
}

#[test]
fn every_processor_starts_with_the_memory_types_of_firmware_and_its_own_tsc() {
    let (mut mem, mut cpu, config) = machine(64);
    firmware::set_up(&mut cpu.msrs);
    cpu.msrs.tsc_offset = 5;
    let msrs = cpu.msrs;
    // 3 GiB to 4 GiB, uncacheable.
    assert_eq!(msrs.mtrr_variable[0], [0xC000_0000, 0xFF_C000_0800]);
    for kernel in [bzimage(), elf(0x10_0000, 0x10_0000, true)] {
        load(&mut mem, &mut cpu, &config, &Images { kernel, initrd: None }).unwrap();
        assert_eq!(cpu.msrs, msrs);
    }
}

#[test]
fn what_is_loaded_is_where_it_is_loaded() {
    let config = MachineConfig { ram_bytes: 64 << 20, ..MachineConfig::default() };
    let images = Images { kernel: bzimage(), initrd: Some(vec![7; 5000]) };
    let list = loaded_images(&config, &images).unwrap();
    let names: Vec<_> = list.iter().map(|image| image.name).collect();
    assert_eq!(names, ["etc/acpi/tables", "kernel", "initrd"]);
    assert_eq!((list[2].address, list[2].bytes), ((64 << 20) - 8192, 5000));
    let images = Images { kernel: elf(0x10_0000, 0x10_0000, false), initrd: None };
    assert_eq!(loaded_images(&config, &images).unwrap()[1].address, 0x10_0000);
    assert!(loaded_images(&config, &Images::default()).unwrap_err().contains("neither a bzImage nor an ELF"));
}
