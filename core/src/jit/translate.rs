//! From a place in guest RAM to a translated block.
//!
//! A block goes on over branches that are not taken, as long as it stays in its page. It
//! depends on no byte outside that page, so a store to it drops all that there is to drop. An
//! instruction that crosses the end of a page is a block of its own.

use super::emit::Emitter;
use super::{BLOCK_ROOM, Entry, ExitPoint, Jit, Link, Site};
use crate::cpu::decode_cache::{BLOCK_LIMIT, DecodeCache, Found, decode_one, decoder, ends_block};
use crate::cpu::state::CodeSize;
use crate::cpu::step::MAX_INSN_BYTES;
use crate::mem::Memory;
use crate::types::{PAGE_OFFSET_MASK, PAGE_SIZE};
use iced_x86::Instruction;

/// The most decoded blocks that one translated block is made of.
const PARTS: usize = 8;

impl Jit {
    /// Translates the code at `ram_offset` as it runs at `linear`. `None` if its first
    /// instruction crosses the end of the page.
    pub fn translate(
        &mut self,
        mem: &mut Memory,
        code: &mut DecodeCache,
        ram_offset: u64,
        linear: u64,
    ) -> Option<Entry> {
        if self.region.room() < BLOCK_ROOM {
            self.clear();
        }
        let mut part =
            |mem: &mut Memory, offset: u64| match code.block_at(mem, offset as usize, CodeSize::Bits64) {
                Found::Block(block) => Some(code.insns(block).to_vec()),
                Found::Crosses => None,
            };
        let mut insns = part(mem, ram_offset)?;
        let origin = self.region.next();
        let (first_site, first_exit) = (self.tables.sites.len() as u32, self.exits.len() as u32);
        let thunks = self.thunks;
        let mut e = Emitter::new(origin, &thunks, &[(linear, ram_offset)], first_site, first_exit, &insns[0]);
        e.trust = self.trust;
        let mut at = 0;
        let mut i = Instruction::default();
        for n in 0.. {
            let offset = ram_offset + at;
            let in_page = (PAGE_SIZE - (offset & PAGE_OFFSET_MASK)) as usize;
            let bytes = mem.ram.slice(offset as usize, in_page).to_vec();
            let mut decoder = decoder(&bytes, CodeSize::Bits64, linear.wrapping_add(at));
            let mut goes_on = true;
            for insn in &insns {
                decoder.decode_out(&mut i);
                let ends = ends_block(&i);
                goes_on = e.instruction(&i, insn, linear.wrapping_add(at), ends);
                at += u64::from(insn.len);
            }
            if !goes_on {
                break;
            }
            let next_page = (ram_offset + at) & PAGE_OFFSET_MASK == 0;
            let more = if next_page || n + 1 == PARTS { None } else { part(mem, ram_offset + at) };
            match more {
                Some(more) => insns = more,
                None => {
                    e.fall_through(linear.wrapping_add(at));
                    break;
                }
            }
        }
        e.finish();
        Some(self.publish(&e, (ram_offset, linear), None, at))
    }

    /// Translates the instruction at `ram_offset` that crosses the end of its page and goes on at
    /// `second`, the RAM offset of a page. `None` if there is no such instruction.
    pub fn translate_crossing(
        &mut self,
        mem: &mut Memory,
        ram_offset: u64,
        second: u64,
        linear: u64,
    ) -> Option<Entry> {
        if self.region.room() < BLOCK_ROOM {
            self.clear();
        }
        let in_page = (PAGE_SIZE - (ram_offset & PAGE_OFFSET_MASK)) as usize;
        let first_part = in_page.min(MAX_INSN_BYTES);
        let mut bytes = mem.ram.slice(ram_offset as usize, first_part).to_vec();
        bytes.extend_from_slice(mem.ram.slice(second as usize, MAX_INSN_BYTES - first_part));
        let insn = decode_one(&bytes, CodeSize::Bits64)?;
        let i = decoder(&bytes, CodeSize::Bits64, linear).decode();
        let rest = usize::from(insn.len).checked_sub(in_page).filter(|rest| *rest > 0)?;
        mem.watch_code(ram_offset as usize, in_page);
        mem.watch_code(second as usize, rest);
        let origin = self.region.next();
        let (first_site, first_exit) = (self.tables.sites.len() as u32, self.exits.len() as u32);
        let thunks = self.thunks;
        let places = [(linear, ram_offset), (linear.wrapping_add(in_page as u64), second)];
        let mut e = Emitter::new(origin, &thunks, &places, first_site, first_exit, &insn);
        e.trust = self.trust;
        let behind = linear.wrapping_add(u64::from(insn.len));
        if e.instruction(&i, &insn, linear, ends_block(&i)) {
            e.fall_through(behind);
        }
        e.finish();
        Some(self.publish(&e, (ram_offset, linear), Some(second), u64::from(insn.len)))
    }

    fn publish(
        &mut self,
        e: &Emitter<'_>,
        (ram_offset, linear): (u64, u64),
        second: Option<u64>,
        guest_bytes: u64,
    ) -> Entry {
        let origin = self.region.append(&e.asm.bytes);
        let count = e.count();
        self.tables.sites.extend(e.sites.iter().map(|s| Site {
            insn: s.insn,
            rip: s.rip,
            rest: count - s.number,
            ends: s.ends,
            always: s.always,
        }));
        for x in &e.exits {
            let exit = self.exits.len() as u32;
            let link = x.link.as_ref().map(|l| Link {
                exit,
                at: origin + l.at,
                stub: origin + l.stub,
                checked: l.checked,
            });
            self.exits.push(ExitPoint { rip: x.rip, starved: x.starved, link });
        }
        let entry = Entry { known: e.known_entry() as u64, checked: origin as u64, second };
        self.keep(ram_offset, linear, entry);
        self.tables.stats.blocks += 1;
        self.tables.stats.guest_instructions += u64::from(count);
        self.tables.stats.guest_bytes += guest_bytes;
        self.tables.stats.host_bytes += e.asm.bytes.len() as u64;
        entry
    }
}

const _: () = assert!(PARTS * BLOCK_LIMIT * 200 < BLOCK_ROOM);
