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
    // makedumpfile takes the last for the kernel's map of all memory, which is the largest one.
    let largest = maps.iter().enumerate().max_by_key(|(_, m)| m.bytes).map_or(0, |(n, _)| n);
    if let Some(rest) = maps.get_mut(largest..).filter(|rest| !rest.is_empty()) {
        rest.rotate_left(1);
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

#[cfg(test)]
mod tests {
    use super::super::source::fake::Fake;
    use crate::dump::{Destination, Request};
    use dejavm_core::cpu::state::{cr0, cr4, efer};
    use dejavm_core::mem::HIGH_RAM_BASE;

    fn core(fake: &Fake, request: &Request) -> Vec<u8> {
        let path = std::env::temp_dir().join(format!("dejavm-elf-{}-{fake:p}", std::process::id()));
        crate::dump::write(fake, request, Destination::Path(path.clone()), &mut |_, _| {}).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        bytes
    }

    fn number(core: &[u8], at: usize, bytes: usize) -> usize {
        core[at..at + bytes].iter().rev().fold(0, |n, &b| n << 8 | usize::from(b))
    }

    /// Offset, virtual and physical address, size of each segment of a 64-bit file.
    fn segments(core: &[u8]) -> Vec<[usize; 4]> {
        let mut count = number(core, 56, 2);
        if count == 0xFFFF {
            count = number(core, number(core, 40, 8) + 44, 4);
        }
        (0..count).map(|n| [8, 16, 24, 32].map(|field| number(core, 64 + 56 * n + field, 8))).collect()
    }

    #[test]
    fn a_64_bit_core_has_all_ram_once() {
        let mut fake = Fake::new(0x4000, 0x2000);
        fake.vcpus[0].efer = efer::LMA;
        fake.put(0x1234, b"low");
        fake.put(HIGH_RAM_BASE + 0x1FFD, b"end");
        let core = core(&fake, &Request::ELF);
        assert_eq!((&core[..6], number(&core, 18, 2)), (&b"\x7FELF\x02\x01"[..], 62));
        // Notes, low RAM, high RAM; no section header.
        let segments = segments(&core);
        let high = HIGH_RAM_BASE as usize;
        assert_eq!(segments[1..], [[0x1000, 0, 0, 0x4000], [0x5000, high, high, 0x2000]]);
        assert_eq!(number(&core, 40, 8), 0);
        assert_eq!((&core[0x2234..0x2237], &core[core.len() - 3..]), (&b"low"[..], &b"end"[..]));
    }

    #[test]
    fn a_32_bit_guest_has_a_32_bit_core() {
        let mut fake = Fake::new(0x4000, 0);
        fake.put(0x1234, b"low");
        let core = core(&fake, &Request::ELF);
        assert_eq!((core[4], number(&core, 18, 2), number(&core, 28, 4)), (1, 3, 52));
        assert_eq!((number(&core, 40, 2), number(&core, 42, 2), number(&core, 44, 2)), (52, 32, 2));
        let load = 52 + 32;
        let fields = [4, 8, 12, 16, 24].map(|field| number(&core, load + field, 4));
        assert_eq!(fields, [0x1000, 0, 0, 0x4000, 7]);
        assert_eq!(&core[0x2234..0x2237], b"low");
        // RAM beyond 4 GiB does not fit into 32 bits.
        assert_eq!(super::tests::core(&Fake::new(0x4000, 0x1000), &Request::ELF)[4], 2);
    }

    #[test]
    fn a_range_is_cut_to_the_byte() {
        let mut fake = Fake::new(0x4000, 0);
        fake.vcpus[0].efer = efer::LMA;
        fake.put(0x1234, b"low");
        let core = core(&fake, &Request { range: Some((0x1235, 0x1000)), ..Request::ELF });
        let load = segments(&core)[1];
        assert_eq!(load[1..], [0x1235, 0x1235, 0x1000]);
        assert_eq!((load[0] % 0x1000, core.len()), (0x235, load[0] + 0x1000));
        assert_eq!(&core[load[0]..load[0] + 3], b"ow\0");
    }

    #[test]
    fn more_segments_than_the_header_counts() {
        let mut fake = Fake::new(4 << 20, 0);
        let cpu = &mut fake.vcpus[0];
        (cpu.cr0, cpu.cr3, cpu.cr4, cpu.efer) = (cr0::PG | cr0::PE, 0x1000, cr4::PAE, efer::LMA);
        fake.put(0x1000, &0x2003u64.to_le_bytes());
        fake.put(0x2000, &0x3003u64.to_le_bytes());
        // 130 tables that map 512 times the same page each.
        for n in 0..130u64 {
            fake.put(0x3000 + 8 * n, &0x4003u64.to_le_bytes());
        }
        for n in 0..512u64 {
            fake.put(0x4000 + 8 * n, &0x5003u64.to_le_bytes());
        }
        fake.put(0x5000, b"often");
        let core = core(&fake, &Request { paging: true, ..Request::ELF });
        let segments = segments(&core);
        assert_eq!((number(&core, 56, 2), segments.len()), (0xFFFF, 1 + 130 * 512));
        assert!(
            segments[1..].iter().all(|s| s[2..] == [0x5000, 0x1000] && core[s[0]..].starts_with(b"often"))
        );
        assert_eq!(number(&core, 40, 8) + 64, core.len(), "the section header is the end");
    }
}
