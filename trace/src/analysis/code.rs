//! The instructions of a guest at the end of a piece, by CR3 and linear address. Code that the guest
//! took away or overwrote since it ran is not seen as it was; what cannot be read is told.

use super::AddressMap;
use crate::linux::{Guest, Space};
use dejavm_core::cpu::CpuState;
use dejavm_core::cpu::state::{attr, cr0, efer, seg};
use iced_x86::{Decoder, DecoderOptions, Instruction};

const PAGE_BYTES: usize = 4096;
const LONGEST: usize = 15;

/// Reads instructions.
pub struct Code<'a> {
    guest: &'a dyn Guest,
    pages: AddressMap<(u64, u64), Option<Box<[u8; PAGE_BYTES]>>>,
}

impl<'a> Code<'a> {
    /// Of a guest where it stands.
    pub fn new(guest: &'a dyn Guest) -> Self {
        Self { guest, pages: AddressMap::default() }
    }

    /// The instruction at a linear address of an address space, as a vCPU would execute it now.
    pub fn instruction(&mut self, vcpu: u8, cr3: u64, address: u64) -> Option<Instruction> {
        let cpu = self.guest.cpu(vcpu.into())?;
        let (bits, paging) = (code_bits(cpu), cpu.cr0 & cr0::PG != 0);
        let mut bytes = [0; LONGEST];
        let mut len = 0;
        while len < LONGEST {
            let at = address.wrapping_add(len as u64);
            let Some(page) = self.page(cr3, at, paging) else { break };
            let offset = at as usize % PAGE_BYTES;
            let count = (PAGE_BYTES - offset).min(LONGEST - len);
            bytes[len..len + count].copy_from_slice(&page[offset..offset + count]);
            len += count;
        }
        let instruction = Decoder::with_ip(bits, &bytes[..len], address, DecoderOptions::AMD).decode();
        (!instruction.is_invalid()).then_some(instruction)
    }

    fn page(&mut self, cr3: u64, address: u64, paging: bool) -> Option<&[u8; PAGE_BYTES]> {
        let page = address & !(PAGE_BYTES as u64 - 1);
        // Kernels are in all address spaces at the same addresses.
        let space = if page >> 63 == 1 { 0 } else { cr3 };
        let guest = self.guest;
        let read = || {
            let physical = match paging {
                true => Space::new(guest, cr3).translate(page)?,
                false => page,
            };
            let mut bytes = Box::new([0; PAGE_BYTES]);
            guest.read_physical(physical, bytes.as_mut_slice()).then_some(bytes)
        };
        self.pages.entry((space, page)).or_insert_with(read).as_deref()
    }
}

fn code_bits(cpu: &CpuState) -> u32 {
    let cs = cpu.segs[seg::CS].attributes;
    match (cpu.efer & efer::LMA != 0 && cs & attr::L != 0, cs & attr::DB != 0) {
        (true, _) => 64,
        (false, true) => 32,
        (false, false) => 16,
    }
}
