//! From a place in guest RAM to a translated block.
//!
//! A block goes on over branches that are not taken, and behind jumps, as long as it stays in its page.
//! It depends on no byte outside that page, so a store to it drops all that there is to drop. An
//! instruction that crosses the end of a page is a block of its own.

use super::emit::{Emitter, LOOP_LIMIT, loop_end};
use super::hooks::Step;
use super::{BLOCK_ENTRY_BYTES, BLOCK_ROOM, Entry, ExitPoint, Jit, KEPT_BYTES, Key, Link, Site, windows};
use crate::cpu::Insn;
use crate::cpu::decode_cache::{BLOCK_LIMIT, DecodeCache, Found, decode_one, decoder, ends_block};
use crate::cpu::state::CodeSize;
use crate::cpu::step::MAX_INSN_BYTES;
use crate::mem::Memory;
use crate::types::{PAGE_OFFSET_MASK, PAGE_SIZE};
use iced_x86::{Code, Instruction};

/// The most decoded blocks that one translated block is made of.
pub(super) const PARTS: usize = 8;

impl Jit {
    /// Translates the block `key`. `None` if its first instruction crosses the end of the page.
    pub fn translate(&mut self, mem: &mut Memory, code: &mut DecodeCache, key: Key) -> Option<Entry> {
        if self.is_full() {
            self.clear();
        }
        let (insns, decoded) = read_block(mem, code, key, !self.hooks.any())?;
        let end = loop_end(&decoded).filter(|_| !self.hooks.any());
        let plan = match key.plain || self.hooks.any() {
            true => windows::Plan::default(),
            false => windows::plan(&decoded, end),
        };
        let origin = self.region.next();
        let (first_site, first_exit) = (self.tables.sites.len() as u32, self.exits.len() as u32);
        let thunks = self.thunks;
        let places = [(key.linear, mem.ram.host_address() + key.ram_offset)];
        let mut e = Emitter::new(
            origin,
            &thunks,
            &places,
            first_site,
            first_exit,
            &insns[0],
            &decoded,
            &plan.accesses,
        );
        if let Some(end) = end {
            e.set_loop(end, plan.invariant);
        }
        e.trust = self.trust;
        e.instrument(self.hooks, self.tables.notes.steps.len() as u32);
        let mut goes_on = true;
        for (n, (i, insn)) in decoded.iter().zip(&insns).enumerate() {
            e.followed = n + 1 < decoded.len();
            goes_on = e.instruction(i, insn, i.ip(), ends_block(i));
            if !goes_on {
                break;
            }
        }
        if goes_on {
            e.fall_through(e.next_rip());
        }
        e.second_form(&decoded, &insns);
        e.finish();
        let bytes = insns.iter().map(|insn| u64::from(insn.len)).sum();
        Some(self.publish(&e, key, None, bytes))
    }

    /// Translates the instruction at `key` that crosses the end of its page and goes on at
    /// `second`, the RAM offset of a page. `None` if there is no such instruction.
    pub fn translate_crossing(&mut self, mem: &mut Memory, key: Key, second: u64) -> Option<Entry> {
        let Key { ram_offset, linear, .. } = key;
        if self.is_full() {
            self.clear();
        }
        let in_page = (PAGE_SIZE - (ram_offset & PAGE_OFFSET_MASK)) as usize;
        let first_part = in_page.min(MAX_INSN_BYTES);
        let mut bytes = mem.ram.slice(ram_offset as usize, first_part).to_vec();
        bytes.extend_from_slice(mem.ram.slice(second as usize, MAX_INSN_BYTES - first_part));
        let insn = decode_one(&bytes, CodeSize::Bits64)?;
        let i = decoder(&bytes, CodeSize::Bits64, linear).decode();
        let decoded = [i];
        let rest = usize::from(insn.len).checked_sub(in_page).filter(|rest| *rest > 0)?;
        mem.watch_code(ram_offset as usize, in_page);
        mem.watch_code(second as usize, rest);
        let origin = self.region.next();
        let (first_site, first_exit) = (self.tables.sites.len() as u32, self.exits.len() as u32);
        let thunks = self.thunks;
        let ram = mem.ram.host_address();
        let places = [(linear, ram + ram_offset), (linear.wrapping_add(in_page as u64), ram + second)];
        let mut e = Emitter::new(origin, &thunks, &places, first_site, first_exit, &insn, &decoded, &[]);
        e.trust = self.trust;
        e.instrument(self.hooks, self.tables.notes.steps.len() as u32);
        let behind = linear.wrapping_add(u64::from(insn.len));
        if e.instruction(&i, &insn, linear, ends_block(&i)) {
            e.fall_through(behind);
        }
        e.finish();
        Some(self.publish(&e, key, Some(second), u64::from(insn.len)))
    }

    /// Whether no other block may be kept.
    fn is_full(&self) -> bool {
        let used = self.region.used() - self.thunk_bytes;
        (used > 0 && used + BLOCK_ROOM > self.limit)
            || self.region.room() < BLOCK_ROOM
            || used + self.table_bytes() > KEPT_BYTES
    }

    /// What the tables about the code take, in bytes.
    fn table_bytes(&self) -> usize {
        self.tables.sites.len() * size_of::<Site>()
            + self.exits.len() * size_of::<ExitPoint>()
            + self.tables.notes.steps.len() * size_of::<Step>()
            + self.blocks.len() * BLOCK_ENTRY_BYTES
    }

    fn publish(&mut self, e: &Emitter<'_>, key: Key, second: Option<u64>, guest_bytes: u64) -> Entry {
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
            let plain = x.link.as_ref().is_some_and(|l| l.plain);
            self.exits.push(ExitPoint { rip: x.rip, starved: x.starved, plain, link });
        }
        let entry = Entry { known: e.known_entry() as u64, checked: origin as u64, second };
        self.tables.notes.steps.extend(e.steps.iter().map(|s| Step {
            rip: s.rip,
            rest: count - s.number,
            bytes: s.bytes,
        }));
        self.keep(key, entry);
        e.decoded.iter().take(count as usize).for_each(|i| self.tables.translated.count(i.code()));
        self.tables.stats.blocks += 1;
        self.tables.stats.guest_instructions += u64::from(count);
        self.tables.stats.guest_bytes += guest_bytes;
        self.tables.stats.host_bytes += e.asm.bytes.len() as u64;
        entry
    }
}

/// The instructions of a block, in both forms: decoded blocks as long as branches that are not taken
/// lie between them, or jumps, if those are `followed`.
fn read_block(
    mem: &mut Memory,
    code: &mut DecodeCache,
    key: Key,
    followed: bool,
) -> Option<(Vec<Insn>, Vec<Instruction>)> {
    let mut insns = Vec::with_capacity(BLOCK_LIMIT);
    let mut decoded: Vec<Instruction> = Vec::with_capacity(BLOCK_LIMIT);
    let page = key.ram_offset & !PAGE_OFFSET_MASK;
    let (mut at, mut jumped) = (key.linear, false);
    'parts: for _ in 0..PARTS {
        let offset = page | (at & PAGE_OFFSET_MASK);
        let Found::Block(block) = code.block_at(mem, offset as usize, CodeSize::Bits64) else { break };
        let part = code.insns(block);
        let in_page = (PAGE_SIZE - (offset & PAGE_OFFSET_MASK)) as usize;
        let bytes = mem.ram.slice(offset as usize, in_page);
        let mut decoder = decoder(bytes, CodeSize::Bits64, at);
        for insn in part {
            // What the block has already is a loop, or soon has a block of its own.
            if jumped && decoded.iter().any(|i| i.ip() == at) {
                break 'parts;
            }
            decoded.push(decoder.decode());
            insns.push(*insn);
            at = at.wrapping_add(u64::from(insn.len));
        }
        let Some(last) = decoded.last() else { break };
        match jump_within_page(last).filter(|_| followed) {
            Some(target) => (at, jumped) = (target, true),
            None if ends_block(last) && !last.is_jcc_short_or_near() => break,
            None => {}
        }
        if (at ^ key.linear) & !PAGE_OFFSET_MASK != 0 {
            break;
        }
    }
    (!insns.is_empty()).then_some((insns, decoded))
}

/// Where an unconditional jump of 64-bit code goes, if that is in its own page.
fn jump_within_page(i: &Instruction) -> Option<u64> {
    let jump = matches!(i.code(), Code::Jmp_rel8_64 | Code::Jmp_rel32_64);
    let target = i.near_branch_target();
    (jump && (target ^ i.ip()) & !PAGE_OFFSET_MASK == 0).then_some(target)
}

const _: () = assert!((PARTS * BLOCK_LIMIT + LOOP_LIMIT) * 200 < BLOCK_ROOM);
