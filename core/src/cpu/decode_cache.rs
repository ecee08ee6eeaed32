//! Decoded code, kept by physical page.
//!
//! A block is a run of instructions within one page, in one code size, up to the first that
//! may change where or how execution goes on. Blocks are found by the RAM offset of their
//! first byte. A store to a line that was decoded drops every block of its page; dropped
//! instructions stay where they are until the whole arena is emptied, so that an index held
//! by the run loop never points at something else.

use super::exec;
use super::insn::Insn;
use super::model;
use super::state::CodeSize;
use crate::mem::Memory;
use crate::types::{PAGE_OFFSET_MASK, PAGE_SHIFT, PAGE_SIZE};
use iced_x86::{Decoder, DecoderError, DecoderOptions, FlowControl, Instruction};
use std::collections::HashMap;

/// A block in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Index of the first instruction.
    pub start: u32,
    /// The number of instructions, at least 1.
    pub len: u32,
}

/// What [`DecodeCache::block_at`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A block.
    Block(Block),
    /// The instruction crosses the end of the page: it must be fetched with both pages.
    Crosses,
}

/// The vendor, and what F3 means where the model lacks TZCNT, LZCNT and WBNOINVD: nothing.
const DECODER_OPTIONS: u32 = DecoderOptions::AMD
    | DecoderOptions::NO_MPFX_0FBC
    | DecoderOptions::NO_MPFX_0FBD
    | DecoderOptions::NO_WBNOINVD;

const ARENA_LIMIT: usize = 1 << 20;
/// The most instructions that a block has.
pub const BLOCK_LIMIT: usize = 64;

/// The decode cache, shared by all vCPUs.
#[derive(Default)]
pub struct DecodeCache {
    arena: Vec<Insn>,
    /// By [`block_key`].
    blocks: HashMap<u64, Found, FixedState>,
    /// The keys of the blocks of each RAM page.
    pages: HashMap<u32, Vec<u64>, FixedState>,
    /// How often the blocks of each RAM page were dropped, as far as any were.
    drops: Vec<u32>,
    /// How often all were.
    clears: u32,
}

/// Makes [`AddressHasher`]s.
pub type FixedState = std::hash::BuildHasherDefault<AddressHasher>;

/// A hasher for addresses, the same on every host: no seed, and a multiplication is enough.
#[derive(Default)]
pub struct AddressHasher(u64);

impl std::hash::Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.write_u64(b.into());
        }
    }
    fn write_u32(&mut self, v: u32) {
        self.write_u64(v.into());
    }
    fn write_u64(&mut self, v: u64) {
        let product = (self.0 ^ v).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = product ^ (product >> 32);
    }
}

fn block_key(ram_offset: usize, size: CodeSize) -> u64 {
    (ram_offset as u64) << 8 | size as u64
}

impl DecodeCache {
    /// The instruction at an index of the arena.
    #[inline(always)]
    pub fn insn(&self, index: usize) -> &Insn {
        &self.arena[index]
    }

    /// The block that starts at `ram_offset`, decoded now if it is new. The page is watched
    /// then: fast stores to it must be dropped before the next store.
    pub fn block_at(&mut self, mem: &mut Memory, ram_offset: usize, size: CodeSize) -> Found {
        let key = block_key(ram_offset, size);
        if let Some(found) = self.blocks.get(&key) {
            return *found;
        }
        if self.arena.len() > ARENA_LIMIT || self.blocks.len() > ARENA_LIMIT {
            self.clear();
        }
        let (found, bytes) = self.decode(mem, ram_offset, size);
        mem.watch_code(ram_offset, bytes);
        self.blocks.insert(key, found);
        self.pages.entry((ram_offset >> PAGE_SHIFT) as u32).or_default().push(key);
        found
    }

    /// Decodes a block; gives it and the number of bytes that it depends on.
    fn decode(&mut self, mem: &Memory, ram_offset: usize, size: CodeSize) -> (Found, usize) {
        let in_page = (PAGE_SIZE - (ram_offset as u64 & PAGE_OFFSET_MASK)) as usize;
        let bytes = mem.ram.slice(ram_offset, in_page);
        let bitness = size as u32;
        let mut decoder = Decoder::with_ip(bitness, bytes, 0, DECODER_OPTIONS);
        let start = self.arena.len();
        let mut used = 0;
        let mut i = Instruction::default();
        while decoder.can_decode() && self.arena.len() - start < BLOCK_LIMIT {
            decoder.decode_out(&mut i);
            if decoder.last_error() == DecoderError::NoMoreBytes {
                break;
            }
            used = decoder.position();
            self.arena.push(flatten(&i, bitness));
            if ends_block(&i) {
                break;
            }
        }
        let len = self.arena.len() - start;
        if len == 0 {
            return (Found::Crosses, in_page);
        }
        (Found::Block(Block { start: start as u32, len: len as u32 }), used)
    }

    /// What was looked up in the page of `ram_offset` holds as long as this is the same.
    #[inline(always)]
    pub fn version(&self, ram_offset: u64) -> u64 {
        let drops = self.drops.get((ram_offset >> PAGE_SHIFT) as usize).copied().unwrap_or(0);
        u64::from(self.clears) << 32 | u64::from(drops)
    }

    /// Has everything looked up again.
    pub fn outdate(&mut self) {
        self.clears += 1;
    }

    /// The instructions of a block.
    pub fn insns(&self, block: Block) -> &[Insn] {
        &self.arena[block.start as usize..][..block.len as usize]
    }

    /// Drops the blocks of a page whose code was overwritten.
    pub fn drop_page(&mut self, ram_page: u32) {
        let page = ram_page as usize;
        if self.drops.len() <= page {
            self.drops.resize(page + 1, 0);
        }
        self.drops[page] = self.drops[page].wrapping_add(1);
        for key in self.pages.remove(&ram_page).unwrap_or_default() {
            self.blocks.remove(&key);
        }
    }

    /// Drops everything. Pages stay watched, which costs a slow store once each.
    pub fn clear(&mut self) {
        self.outdate();
        self.arena.clear();
        self.blocks.clear();
        self.pages.clear();
    }
}

/// A decoder of code at linear address `ip`, of the vendor and with the extensions of the model.
pub fn decoder(bytes: &[u8], size: CodeSize, ip: u64) -> Decoder<'_> {
    Decoder::with_ip(size as u32, bytes, ip, DECODER_OPTIONS)
}

/// Decodes one instruction from bytes that may come from two pages; `None` if they are too few.
pub fn decode_one(bytes: &[u8], size: CodeSize) -> Option<Insn> {
    let mut decoder = Decoder::with_ip(size as u32, bytes, 0, DECODER_OPTIONS);
    let i = decoder.decode();
    (decoder.last_error() != DecoderError::NoMoreBytes).then(|| flatten(&i, size as u32))
}

fn flatten(i: &Instruction, bitness: u32) -> Insn {
    let handler = if i.is_invalid() {
        exec::invalid
    } else if model::supported(i) {
        exec::select(i)
    } else {
        exec::unimplemented_insn
    };
    let mut insn = Insn::new(i, bitness, handler);
    if i.is_invalid() {
        // iced gives 1 to 15 bytes; #UD is a fault, so the length is of no consequence.
        insn.len = insn.len.max(1);
    }
    insn
}

/// Whether execution may go on elsewhere, or the run loop must look around, after this one.
pub fn ends_block(i: &Instruction) -> bool {
    i.is_invalid() || i.flow_control() != FlowControl::Next
}
