//! Address spaces: what is mapped where, by the page tables that CR3 leads to (SDM vol. 3, 4.5:
//! four levels). Who only looks asks for no right and sets no accessed bit.

use super::guest::Guest;
use dejavm_core::cpu::CpuState;
use dejavm_core::cpu::quiet_walk::pieces;
use dejavm_core::cpu::state::efer;

const PRESENT: u64 = 1;
const LARGE: u64 = 1 << 7;
/// Bits 51:12 of an entry.
const FRAME: u64 = 0x000F_FFFF_FFFF_F000;
const ENTRIES: u64 = 512;

/// An address space of a guest.
#[derive(Clone, Copy)]
pub struct Space<'a> {
    guest: &'a dyn Guest,
    table: u64,
}

impl std::fmt::Debug for Space<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Space({:#x})", self.table)
    }
}

/// A stretch of addresses that is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// The first linear address.
    pub address: u64,
    /// Where it is.
    pub physical: u64,
    /// How many bytes.
    pub bytes: u64,
}

impl<'a> Space<'a> {
    /// The one whose top table lies at a physical address; further bits, as CR3 has them, are no
    /// matter.
    pub fn new(guest: &'a dyn Guest, table: u64) -> Self {
        Self { guest, table: table & FRAME }
    }

    /// The one that a vCPU is in; None outside long mode.
    pub fn of_cpu(guest: &'a dyn Guest, cpu: &CpuState) -> Option<Self> {
        (cpu.efer & efer::LMA != 0).then(|| Self::new(guest, cpu.cr3))
    }

    /// The guest that it is of.
    pub fn guest(&self) -> &'a dyn Guest {
        self.guest
    }

    /// The physical address of its top table.
    pub fn table(&self) -> u64 {
        self.table
    }

    /// The physical address of a linear one, if it is mapped.
    pub fn translate(&self, address: u64) -> Option<u64> {
        self.walk(address).ok().map(|(physical, _)| physical)
    }

    /// The physical address, and how many bytes are mapped together from there on; or how many
    /// are not.
    fn walk(&self, address: u64) -> Result<(u64, u64), u64> {
        if (address << 16) as i64 >> 16 != address as i64 {
            return Err(1);
        }
        let mut table = self.table;
        for level in (0..4).rev() {
            let shift = 12 + 9 * level;
            let span = 1u64 << shift;
            let rest = span - (address & (span - 1));
            let entry = self.entry(table, address >> shift & (ENTRIES - 1)).ok_or(rest)?;
            if entry & PRESENT == 0 {
                return Err(rest);
            }
            if level == 0 || (level < 3 && entry & LARGE != 0) {
                return Ok(((entry & FRAME & !(span - 1)) | (address & (span - 1)), rest));
            }
            table = entry & FRAME;
        }
        Err(1)
    }

    fn entry(&self, table: u64, index: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.guest.read_physical(table + 8 * index, &mut bytes).then(|| u64::from_le_bytes(bytes))
    }

    /// What is mapped from `first` to before `end`, in ascending order.
    pub fn mapped(&self, first: u64, end: u64) -> impl Iterator<Item = Mapped> {
        let mut at = Some(first);
        let space = *self;
        std::iter::from_fn(move || {
            loop {
                let address = at.filter(|at| *at < end)?;
                let step = match space.walk(address) {
                    Ok((physical, bytes)) => {
                        let bytes = bytes.min(end - address);
                        at = address.checked_add(bytes);
                        return Some(Mapped { address, physical, bytes });
                    }
                    Err(step) => step,
                };
                at = address.checked_add(step);
            }
        })
    }

    /// Reads; false if not all of it is mapped to RAM.
    pub fn read(&self, address: u64, bytes: &mut [u8]) -> bool {
        pieces(address, bytes).all(|(address, piece)| {
            self.translate(address).is_some_and(|physical| self.guest.read_physical(physical, piece))
        })
    }

    /// A number of `size` bytes (at most 8), little-endian.
    pub fn number(&self, address: u64, size: usize) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read(address, bytes.get_mut(..size)?).then(|| u64::from_le_bytes(bytes))
    }

    /// Eight bytes.
    pub fn u64(&self, address: u64) -> Option<u64> {
        self.number(address, 8)
    }

    /// Four bytes.
    pub fn u32(&self, address: u64) -> Option<u32> {
        self.number(address, 4).map(|value| value as u32)
    }

    /// Four bytes with a sign.
    pub fn i32(&self, address: u64) -> Option<i32> {
        self.u32(address).map(|value| value as i32)
    }

    /// So many bytes.
    pub fn bytes(&self, address: u64, count: usize) -> Option<Vec<u8>> {
        // Nothing is reserved for what cannot be there.
        if count as u64 > self.guest.ram_bytes() {
            return None;
        }
        let mut bytes = vec![0; count];
        self.read(address, &mut bytes).then_some(bytes)
    }

    /// The bytes before the first zero, of at most `most`; what follows an address that is not
    /// mapped is left out. None if nothing can be read.
    pub fn c_string(&self, address: u64, most: usize) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        let mut buffer = [0; 64];
        while text.len() < most {
            let at = address.wrapping_add(text.len() as u64);
            // Up to the next multiple, so that no read crosses into a page that is not there.
            let length = (64 - (at % 64) as usize).min(most - text.len());
            let piece = &mut buffer[..length];
            if !self.read(at, piece) {
                return (!text.is_empty()).then_some(text);
            }
            match piece.iter().position(|byte| *byte == 0) {
                Some(end) => {
                    text.extend_from_slice(&piece[..end]);
                    break;
                }
                None => text.extend_from_slice(piece),
            }
        }
        Some(text)
    }
}
