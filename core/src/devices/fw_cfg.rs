//! The firmware configuration device (QEMU, docs/specs/fw_cfg.rst) with one file, etc/vmcoreinfo
//! (docs/specs/vmcoreinfo.rst): a Linux guest with its driver says there where its VMCOREINFO note
//! lies, for dumps of its memory.
//!
//! An item is chosen by a selector and read byte by byte, or copied by DMA. The guest writes by
//! DMA only: it puts the address of a command into a register, and the machine lets the chip have
//! the memory before the next instruction.

use crate::mem::{DmaAccess, Memory};
use crate::types::Gpa;
use serde::{Deserialize, Serialize};

const SIGNATURE_KEY: u16 = 0;
const FEATURES_KEY: u16 = 1;
const DIRECTORY_KEY: u16 = 0x19;
/// The first key of files.
const VMCOREINFO_KEY: u16 = 0x20;
/// Item 1: the traditional interface, and DMA.
const FEATURES: u32 = 1 | 2;
/// What the DMA address reads as, so that a guest can tell that it is there.
const DMA_SIGNATURE: [u8; 8] = *b"QEMU CFG";
/// Reads past the end of an item give this.
const NOTHING: u8 = 0;

const DMA_ERROR: u32 = 1;
const DMA_READ: u32 = 2;
const DMA_SKIP: u32 = 4;
const DMA_SELECT: u32 = 8;
const DMA_WRITE: u32 = 16;
/// Control, length, address, all big-endian.
const COMMAND_BYTES: usize = 16;

/// host_format and guest_format: ELF notes.
const FORMAT_ELF: u16 = 1;
/// host_format, guest_format (16 bits each), size (32 bits), address (64 bits), little-endian.
const VMCOREINFO_BYTES: usize = 16;

/// Where the guest says that its VMCOREINFO note lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmcoreinfoNote {
    /// The address.
    pub gpa: Gpa,
    /// The size of the note, in bytes.
    pub bytes: u32,
}

/// The device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FwCfg {
    selector: u16,
    offset: u32,
    dma_address: [u8; 8],
    dma_pending: bool,
    vmcoreinfo: [u8; VMCOREINFO_BYTES],
}

impl Default for FwCfg {
    fn default() -> Self {
        let mut vmcoreinfo = [0; VMCOREINFO_BYTES];
        vmcoreinfo[..2].copy_from_slice(&FORMAT_ELF.to_le_bytes());
        Self { selector: 0, offset: 0, dma_address: [0; 8], dma_pending: false, vmcoreinfo }
    }
}

/// What a DMA command says.
struct Command {
    control: u32,
    length: u32,
    address: u64,
}

impl FwCfg {
    /// Chooses an item; reading starts at its beginning.
    pub fn select(&mut self, key: u16) {
        self.selector = key;
        self.offset = 0;
    }

    /// Reads the next byte of the item.
    pub fn read_data(&mut self) -> u8 {
        let byte = self.item().get(self.offset as usize).copied().unwrap_or(NOTHING);
        self.offset = self.offset.saturating_add(1);
        byte
    }

    /// Reads byte `n` (0 to 7) of the DMA address.
    pub fn read_dma_address(&self, n: u16) -> u8 {
        DMA_SIGNATURE[usize::from(n)]
    }

    /// Writes byte `n` (0 to 7) of the DMA address, which is big-endian; with the last one, the
    /// command there is to be carried out.
    pub fn write_dma_address(&mut self, n: u16, value: u8) {
        self.dma_address[usize::from(n)] = value;
        self.dma_pending = usize::from(n) == self.dma_address.len() - 1;
    }

    /// Whether [`Self::run_dma`] has something to do.
    #[inline]
    pub fn dma_pending(&self) -> bool {
        self.dma_pending
    }

    /// Carries out the command that waits; gives the accesses that it made. One that does not lie in
    /// RAM is dropped.
    pub fn run_dma(&mut self, mem: &mut Memory) -> Vec<DmaAccess> {
        let mut accesses = Vec::new();
        if !std::mem::take(&mut self.dma_pending) {
            return accesses;
        }
        let at = u64::from_be_bytes(std::mem::take(&mut self.dma_address));
        let Some(command) = Command::read(mem, at) else { return accesses };
        accesses.push(DmaAccess { gpa: Gpa(at), len: COMMAND_BYTES as u64, write: false });
        if command.control & DMA_SELECT != 0 {
            self.select((command.control >> 16) as u16);
        }
        let done = self.transfer(&command, mem);
        if done && let Some(access) = command.access() {
            accesses.push(access);
        }
        let result = if done { 0 } else { DMA_ERROR };
        mem.write_bytes(Gpa(at), &result.to_be_bytes());
        accesses.push(DmaAccess { gpa: Gpa(at), len: size_of_val(&result) as u64, write: true });
        accesses
    }

    /// Where the guest's note lies, if it has said so.
    pub fn vmcoreinfo(&self) -> Option<VmcoreinfoNote> {
        let v = &self.vmcoreinfo;
        let gpa = Gpa(u64::from_le_bytes([v[8], v[9], v[10], v[11], v[12], v[13], v[14], v[15]]));
        let bytes = u32::from_le_bytes([v[4], v[5], v[6], v[7]]);
        (u16::from_le_bytes([v[2], v[3]]) == FORMAT_ELF).then_some(VmcoreinfoNote { gpa, bytes })
    }

    /// The item that is selected; empty if there is none.
    fn item(&self) -> Vec<u8> {
        match self.selector {
            SIGNATURE_KEY => b"QEMU".to_vec(),
            FEATURES_KEY => FEATURES.to_le_bytes().to_vec(),
            DIRECTORY_KEY => directory(),
            VMCOREINFO_KEY => self.vmcoreinfo.to_vec(),
            _ => Vec::new(),
        }
    }

    /// Reads, writes or skips; false if that cannot be done.
    fn transfer(&mut self, command: &Command, mem: &mut Memory) -> bool {
        let offset = self.offset as usize;
        let length = command.length as usize;
        if command.control & (DMA_READ | DMA_WRITE) != 0 && !command.is_in_ram(mem) {
            return false;
        }
        if command.control & DMA_READ != 0 {
            let item = self.item();
            let rest = item.get(offset..).unwrap_or_default();
            let copied = rest.len().min(length);
            mem.write_bytes(Gpa(command.address), &rest[..copied]);
            zero(mem, command.address + copied as u64, length - copied);
        } else if command.control & DMA_WRITE != 0 {
            let end = offset.saturating_add(length);
            if self.selector != VMCOREINFO_KEY || end > VMCOREINFO_BYTES {
                return false;
            }
            read(mem, command.address, &mut self.vmcoreinfo[offset..end]);
        } else if command.control & DMA_SKIP == 0 {
            return true;
        }
        self.offset = self.offset.saturating_add(command.length);
        true
    }
}

impl Command {
    fn read(mem: &Memory, at: u64) -> Option<Self> {
        if !is_in_ram(mem, at, COMMAND_BYTES as u64) {
            return None;
        }
        let mut b = [0; COMMAND_BYTES];
        read(mem, at, &mut b);
        Some(Self {
            control: u32::from_be_bytes([b[0], b[1], b[2], b[3]]),
            length: u32::from_be_bytes([b[4], b[5], b[6], b[7]]),
            address: u64::from_be_bytes([b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]]),
        })
    }

    fn is_in_ram(&self, mem: &Memory) -> bool {
        is_in_ram(mem, self.address, self.length.into())
    }

    /// The access to the guest's buffer that it makes, if it is carried out.
    fn access(&self) -> Option<DmaAccess> {
        let moves = self.control & (DMA_READ | DMA_WRITE) != 0 && self.length > 0;
        let write = self.control & DMA_READ != 0;
        moves.then_some(DmaAccess { gpa: Gpa(self.address), len: self.length.into(), write })
    }
}

/// The one file: its size, its key, its name in 56 bytes.
fn directory() -> Vec<u8> {
    let mut d = 1u32.to_be_bytes().to_vec();
    d.extend_from_slice(&(VMCOREINFO_BYTES as u32).to_be_bytes());
    d.extend_from_slice(&VMCOREINFO_KEY.to_be_bytes());
    d.extend_from_slice(&[0; 2]);
    d.extend_from_slice(b"etc/vmcoreinfo");
    d.resize(4 + 64, 0);
    d
}

/// Whether a range is all RAM, in one piece.
fn is_in_ram(mem: &Memory, at: u64, bytes: u64) -> bool {
    let Some(last) = at.checked_add(bytes.saturating_sub(1)) else { return false };
    match (mem.ram_offset(Gpa(at)), mem.ram_offset(Gpa(last))) {
        (Some(first), Some(end)) => (end - first) as u64 == last - at,
        _ => false,
    }
}

/// Reads a range that is RAM.
fn read(mem: &Memory, at: u64, bytes: &mut [u8]) {
    let offset = mem.ram_offset(Gpa(at)).expect("the caller has looked");
    bytes.copy_from_slice(mem.ram.slice(offset, bytes.len()));
}

/// Zeroes a range that is RAM.
fn zero(mem: &mut Memory, at: u64, bytes: usize) {
    const CHUNK: usize = 4096;
    for start in (0..bytes).step_by(CHUNK) {
        mem.write_bytes(Gpa(at + start as u64), &[NOTHING; CHUNK][..CHUNK.min(bytes - start)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMAND: u64 = 0x1000;
    const BUFFER: u64 = 0x2000;

    /// Carries out a command; gives its control word afterwards.
    fn dma(chip: &mut FwCfg, mem: &mut Memory, control: u32, length: u32, address: u64) -> u32 {
        let words = [control.to_be_bytes(), length.to_be_bytes()].concat();
        mem.write_bytes(Gpa(COMMAND), &[&words[..], &address.to_be_bytes()].concat());
        for (n, byte) in COMMAND.to_be_bytes().into_iter().enumerate() {
            assert!(!chip.dma_pending());
            chip.write_dma_address(n as u16, byte);
        }
        assert!(chip.dma_pending());
        chip.run_dma(mem);
        u32::from_be_bytes(mem.ram.slice(COMMAND as usize, 4).try_into().unwrap())
    }

    fn select(key: u16) -> u32 {
        DMA_SELECT | u32::from(key) << 16
    }

    #[test]
    fn items_are_read_byte_by_byte() {
        let mut chip = FwCfg::default();
        let mut read = |key, n: usize| {
            chip.select(key);
            (0..n).map(|_| chip.read_data()).collect::<Vec<_>>()
        };
        assert_eq!(read(0, 6), b"QEMU\0\0");
        assert_eq!(read(1, 4), [3, 0, 0, 0]);
        let directory = read(0x19, 70);
        assert_eq!(directory[..12], [0, 0, 0, 1, 0, 0, 0, 16, 0, 0x20, 0, 0]);
        assert_eq!(&directory[12..27], b"etc/vmcoreinfo\0");
        assert_eq!(read(0x20, 3), [1, 0, 0]);
        assert_eq!(read(0x21, 2), [0, 0]);
        assert_eq!([0, 7].map(|n| chip.read_dma_address(n)), *b"QG");
    }

    #[test]
    fn the_guest_says_where_its_note_is() {
        let (mut chip, mut mem) = (FwCfg::default(), Memory::new(1 << 20).unwrap());
        assert_eq!(chip.vmcoreinfo(), None);
        let note = [0, 0, 1, 0, 0, 4, 0, 0, 0, 0x50, 0x34, 0x12, 1, 0, 0, 0];
        mem.write_bytes(Gpa(BUFFER), &note);
        assert_eq!(dma(&mut chip, &mut mem, select(0x20) | DMA_WRITE, 16, BUFFER), 0);
        let expected = VmcoreinfoNote { gpa: Gpa(0x1_1234_5000), bytes: 1024 };
        assert_eq!(chip.vmcoreinfo(), Some(expected));
        assert_eq!(dma(&mut chip, &mut mem, select(0x20) | DMA_READ, 16, BUFFER + 64), 0);
        assert_eq!(mem.ram.slice(BUFFER as usize + 64, 16), note);
    }

    #[test]
    fn reads_go_on_and_end_in_zeros() {
        let (mut chip, mut mem) = (FwCfg::default(), Memory::new(1 << 20).unwrap());
        mem.write_bytes(Gpa(BUFFER), &[9; 8]);
        assert_eq!(dma(&mut chip, &mut mem, select(0) | DMA_SKIP, 1, 0), 0);
        assert_eq!(dma(&mut chip, &mut mem, DMA_READ, 2, BUFFER), 0);
        assert_eq!(dma(&mut chip, &mut mem, DMA_READ, 4, BUFFER + 2), 0);
        assert_eq!(mem.ram.slice(BUFFER as usize, 8), b"EMU\0\0\0\x09\x09");
    }

    #[test]
    fn what_cannot_be_done_is_an_error() {
        let (mut chip, mut mem) = (FwCfg::default(), Memory::new(1 << 20).unwrap());
        for (control, length, address) in [
            (select(0) | DMA_WRITE, 4, BUFFER),
            (select(0x20) | DMA_WRITE, 17, BUFFER),
            (select(0x20) | DMA_WRITE, 16, 1 << 30),
            (select(0) | DMA_READ, 2, (1 << 20) - 1),
            (select(0) | DMA_READ, u32::MAX, 0),
            (select(0) | DMA_READ, 4, u64::MAX - 1),
        ] {
            assert_eq!(dma(&mut chip, &mut mem, control, length, address), DMA_ERROR, "{control:#x}");
        }
        assert_eq!(chip.vmcoreinfo(), None);
        // A command outside RAM has no place for its result.
        chip.write_dma_address(0, 0xFF);
        chip.write_dma_address(7, 0);
        chip.run_dma(&mut mem);
        assert!(!chip.dma_pending());
    }
}
