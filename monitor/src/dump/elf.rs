//! ELF cores (System V gABI, chapters 4 and 5): notes, then all RAM once. Program headers say
//! which addresses lie where.
//!
//! They follow the ELF header at once, since makedumpfile looks for them there. If there are too
//! many for the header's field, one section header has their number, behind everything else.

use super::file::Output;
use super::notes::{self, Architecture};
use super::paging::{self, Mapping};
use super::source::Source;
use super::vmcoreinfo::Vmcoreinfo;
use super::{DumpError, Progress, total};
use dejavm_core::types::PAGE_SIZE;
use std::ops::Range;

const ET_CORE: u16 = 4;
const EM_386: u16 = 3;
const EM_X86_64: u16 = 62;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
/// So many program headers: see the section header.
const PN_XNUM: u16 = 0xFFFF;
/// Where the bytes of RAM begin is a multiple of this.
const ALIGNMENT: u64 = PAGE_SIZE;

/// The two sizes of ELF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Elf32,
    Elf64,
}

impl Class {
    fn header_bytes(self) -> u64 {
        if self == Self::Elf64 { 64 } else { 52 }
    }
    fn program_header_bytes(self) -> u64 {
        if self == Self::Elf64 { 56 } else { 32 }
    }
    fn section_header_bytes(self) -> u64 {
        if self == Self::Elf64 { 64 } else { 40 }
    }
    /// Appends a number that is as wide as the class.
    fn word(self, out: &mut Vec<u8>, value: u64) {
        match self {
            Self::Elf64 => out.extend_from_slice(&value.to_le_bytes()),
            Self::Elf32 => out.extend_from_slice(&(value as u32).to_le_bytes()),
        }
    }
}

/// A program header.
#[derive(Clone, Copy)]
struct Segment {
    kind: u32,
    offset: u64,
    virt: u64,
    phys: u64,
    bytes: u64,
}

/// Writes `ram`.
pub fn write(
    source: &dyn Source,
    ram: &[Range<u64>],
    virtual_addresses: bool,
    file: &mut Output,
    progress: Progress<'_>,
) -> Result<(), DumpError> {
    let architecture = Architecture::of(source.vcpus());
    let info = Vmcoreinfo::of(source);
    let (notes, _) = notes::build(source.vcpus(), architecture, info.as_ref());
    let mut maps = if virtual_addresses { paging::mappings(source, ram)? } else { Vec::new() };
    // makedumpfile takes the first for the kernel's map of all memory, which is the largest one.
    let largest = maps.iter().enumerate().max_by_key(|(_, m)| m.bytes).map_or(0, |(n, _)| n);
    if let Some(upto) = maps.get_mut(..=largest) {
        upto.rotate_right(1);
    }
    if maps.is_empty() {
        let physical = |r: &Range<u64>| Mapping { virt: r.start, phys: r.start, bytes: r.end - r.start };
        maps = ram.iter().map(physical).collect();
    }
    let small = architecture == Architecture::I386 && ram.iter().all(|r| r.end <= 1 << 32);
    let class = if small { Class::Elf32 } else { Class::Elf64 };
    let layout = Layout::new(class, ram, notes.len() as u64, maps.len() as u64 + 1);

    let machine = if architecture == Architecture::X86_64 { EM_X86_64 } else { EM_386 };
    let mut head = layout.header(machine);
    let note = Segment { kind: PT_NOTE, offset: layout.notes, virt: 0, phys: 0, bytes: notes.len() as u64 };
    program_header(class, &mut head, &note);
    for m in &maps {
        let offset = layout.offset_of(ram, m.phys);
        let load = Segment { kind: PT_LOAD, offset, virt: m.virt, phys: m.phys, bytes: m.bytes };
        program_header(class, &mut head, &load);
    }
    head.extend_from_slice(&notes);
    file.write_at(0, &head)?;
    write_ram(source, ram, layout.ram, file, progress)?;
    if layout.many() {
        file.write_at(layout.sections, &layout.section_header())?;
    }
    file.end_at(layout.end())?;
    Ok(())
}

/// Writes the pages that are not zero; the others stay holes.
pub(super) fn write_ram(
    source: &dyn Source,
    ram: &[Range<u64>],
    mut offset: u64,
    file: &mut Output,
    progress: Progress<'_>,
) -> Result<(), DumpError> {
    let (mut done, total) = (0, total(ram));
    for range in ram {
        let mut at = range.start;
        while at < range.end {
            let page = at & !(PAGE_SIZE - 1);
            let end = range.end.min(page + PAGE_SIZE);
            if let Some(bytes) = source.page(page) {
                file.write_at(offset, &bytes[(at - page) as usize..(end - page) as usize])?;
            }
            (offset, done) = (offset + (end - at), done + (end - at));
            at = end;
            progress(done, total);
        }
    }
    Ok(())
}

/// Where things are in the file.
struct Layout {
    class: Class,
    segments: u64,
    notes: u64,
    ram: u64,
    sections: u64,
}

impl Layout {
    fn new(class: Class, ram: &[Range<u64>], notes_bytes: u64, segments: u64) -> Self {
        let notes = class.header_bytes() + segments * class.program_header_bytes();
        // The file offset and the address agree in what they are beyond a page.
        let first = ram.first().map_or(0, |r| r.start % ALIGNMENT);
        let start = (notes + notes_bytes).next_multiple_of(ALIGNMENT) + first;
        Self { class, segments, notes, ram: start, sections: start + total(ram) }
    }

    /// Where the byte at a physical address is.
    fn offset_of(&self, ram: &[Range<u64>], phys: u64) -> u64 {
        let before: u64 = ram.iter().map(|r| r.end.min(phys).saturating_sub(r.start)).sum();
        self.ram + before
    }

    /// Whether there are more segments than the header can count.
    fn many(&self) -> bool {
        self.segments >= PN_XNUM.into()
    }

    fn end(&self) -> u64 {
        self.sections + if self.many() { self.class.section_header_bytes() } else { 0 }
    }

    fn header(&self, machine: u16) -> Vec<u8> {
        let class = self.class;
        let mut h = b"\x7FELF".to_vec();
        h.extend_from_slice(&[if class == Class::Elf64 { 2 } else { 1 }, 1, 1]);
        h.resize(16, 0);
        let half = |h: &mut Vec<u8>, value: u16| h.extend_from_slice(&value.to_le_bytes());
        half(&mut h, ET_CORE);
        half(&mut h, machine);
        h.extend_from_slice(&1u32.to_le_bytes());
        class.word(&mut h, 0);
        class.word(&mut h, class.header_bytes());
        class.word(&mut h, if self.many() { self.sections } else { 0 });
        h.extend_from_slice(&0u32.to_le_bytes());
        half(&mut h, class.header_bytes() as u16);
        half(&mut h, class.program_header_bytes() as u16);
        half(&mut h, if self.many() { PN_XNUM } else { self.segments as u16 });
        half(&mut h, class.section_header_bytes() as u16);
        half(&mut h, self.many().into());
        half(&mut h, 0);
        h
    }

    /// Section 0: its `sh_info` is the number of program headers.
    fn section_header(&self) -> Vec<u8> {
        let mut s = vec![0; self.class.section_header_bytes() as usize];
        let info = if self.class == Class::Elf64 { 44 } else { 28 };
        s[info..info + 4].copy_from_slice(&(self.segments as u32).to_le_bytes());
        s
    }
}

fn program_header(class: Class, out: &mut Vec<u8>, s: &Segment) {
    // Memory is readable, writable and executable, for all that is known here.
    let flags: u32 = if s.kind == PT_LOAD { 7 } else { 0 };
    out.extend_from_slice(&s.kind.to_le_bytes());
    if class == Class::Elf64 {
        out.extend_from_slice(&flags.to_le_bytes());
    }
    for value in [s.offset, s.virt, s.phys, s.bytes, s.bytes] {
        class.word(out, value);
    }
    if class == Class::Elf32 {
        out.extend_from_slice(&flags.to_le_bytes());
    }
    class.word(out, 0);
}
