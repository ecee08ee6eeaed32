//! ELF kernels: 64-bit x86-64 executables, loaded by physical address (System V gABI, chapters
//! 4 and 5), with the PVH note of Xen (xen/include/public/elfnote.h).

use super::layout::HIGH_START;
use super::{BootError, require_ram};
use crate::mem::Memory;
use crate::types::Gpa;

/// The first bytes of every ELF file.
pub const MAGIC: &[u8] = b"\x7FELF";

const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;
const EM_X86_64: u16 = 62;
const HEADER_BYTES: u64 = 64;
const PROGRAM_HEADER_BYTES: u64 = 56;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
/// Note type of Xen's: the 32-bit physical entry point.
const XEN_ELFNOTE_PHYS32_ENTRY: u32 = 18;

/// An ELF kernel that lies in RAM.
pub struct ElfKernel {
    /// The physical address of its entry point.
    pub entry: u64,
    /// The entry point for PVH, if it has one.
    pub pvh_entry: Option<u64>,
    /// The end of its highest segment.
    pub end: u64,
}

/// A program header.
struct Segment {
    kind: u32,
    offset: u64,
    vaddr: u64,
    paddr: u64,
    file_bytes: u64,
    mem_bytes: u64,
}

/// Bounds-checked little-endian reads.
struct Reader<'a> {
    image: &'a [u8],
}

impl<'a> Reader<'a> {
    fn bytes(&self, at: u64, len: u64, what: &'static str) -> Result<&'a [u8], BootError> {
        let end = at.saturating_add(len);
        let range = usize::try_from(at).ok().zip(usize::try_from(end).ok());
        range.and_then(|(a, e)| self.image.get(a..e)).ok_or(BootError::Truncated {
            what,
            end,
            len: self.image.len() as u64,
        })
    }

    fn array<const N: usize>(&self, at: u64, what: &'static str) -> Result<[u8; N], BootError> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(at, N as u64, what)?);
        Ok(array)
    }

    fn u16(&self, at: u64) -> Result<u16, BootError> {
        self.array(at, "the ELF header").map(u16::from_le_bytes)
    }

    fn u32(&self, at: u64) -> Result<u32, BootError> {
        self.array(at, "the ELF header").map(u32::from_le_bytes)
    }

    fn u64(&self, at: u64) -> Result<u64, BootError> {
        self.array(at, "the ELF header").map(u64::from_le_bytes)
    }

    fn segment(&self, at: u64) -> Result<Segment, BootError> {
        Ok(Segment {
            kind: self.u32(at)?,
            offset: self.u64(at + 8)?,
            vaddr: self.u64(at + 16)?,
            paddr: self.u64(at + 24)?,
            file_bytes: self.u64(at + 32)?,
            mem_bytes: self.u64(at + 40)?,
        })
    }
}

/// Checks an ELF kernel and loads its segments.
pub fn load(mem: &mut Memory, image: &[u8]) -> Result<ElfKernel, BootError> {
    let reader = Reader { image };
    let segments = parse(&reader)?;
    let mut end = 0;
    let mut pvh_entry = None;
    for s in &segments {
        match s.kind {
            PT_LOAD if s.mem_bytes != 0 => end = end.max(load_segment(mem, &reader, s)?),
            PT_NOTE if pvh_entry.is_none() => pvh_entry = find_pvh_note(&reader, s)?,
            _ => {}
        }
    }
    if end == 0 {
        return Err(BootError::Damaged("it has no segment to load"));
    }
    let entry = physical_entry(reader.u64(24)?, &segments)?;
    Ok(ElfKernel { entry, pvh_entry, end })
}

fn parse(reader: &Reader<'_>) -> Result<Vec<Segment>, BootError> {
    reader.bytes(0, HEADER_BYTES, "the ELF header")?;
    if reader.image[4] != CLASS_64 || reader.image[5] != LITTLE_ENDIAN || reader.u16(18)? != EM_X86_64 {
        return Err(BootError::Unsupported("it is an ELF file, but not a 64-bit x86-64 one"));
    }
    let table = reader.u64(32)?;
    let (entry_bytes, count) = (u64::from(reader.u16(54)?), u64::from(reader.u16(56)?));
    if entry_bytes < PROGRAM_HEADER_BYTES {
        return Err(BootError::Damaged("its program headers are too small"));
    }
    reader.bytes(table, entry_bytes * count, "the program header table")?;
    (0..count).map(|n| reader.segment(table + n * entry_bytes)).collect()
}

/// Copies one segment; gives its end in memory. What lies beyond the file's bytes is zero, as
/// all RAM was before.
fn load_segment(mem: &mut Memory, reader: &Reader<'_>, s: &Segment) -> Result<u64, BootError> {
    if s.file_bytes > s.mem_bytes {
        return Err(BootError::Damaged("a segment is larger in the file than in memory"));
    }
    if s.paddr < HIGH_START {
        return Err(BootError::Unsupported("a segment lies below 1 MiB, where boot data is"));
    }
    let end = s.paddr.checked_add(s.mem_bytes).ok_or(BootError::Damaged("a segment's address overflows"))?;
    require_ram(mem, s.paddr, end)?;
    let bytes = reader.bytes(s.offset, s.file_bytes, "a segment")?;
    mem.write_bytes(Gpa(s.paddr), bytes);
    Ok(end)
}

/// The entry point may be given by physical (Linux) or by linked address.
fn physical_entry(entry: u64, segments: &[Segment]) -> Result<u64, BootError> {
    let within = |base: u64, s: &Segment| entry.checked_sub(base).filter(|&o| o < s.mem_bytes);
    let loads = || segments.iter().filter(|s| s.kind == PT_LOAD);
    if loads().any(|s| within(s.paddr, s).is_some()) {
        return Ok(entry);
    }
    loads()
        .find_map(|s| within(s.vaddr, s).map(|offset| s.paddr + offset))
        .ok_or(BootError::Damaged("its entry point is outside all segments"))
}

/// Looks for the PVH note in a note segment.
fn find_pvh_note(reader: &Reader<'_>, s: &Segment) -> Result<Option<u64>, BootError> {
    let notes = Reader { image: reader.bytes(s.offset, s.file_bytes, "a note segment")? };
    let mut at = 0;
    // A note that does not fit its segment ends the list.
    while let (Ok(name_bytes), Ok(desc_bytes), Ok(kind)) =
        (notes.u32(at), notes.u32(at + 4), notes.u32(at + 8))
    {
        let name_at = at + 12;
        let desc_at = name_at + u64::from(name_bytes).next_multiple_of(4);
        if kind == XEN_ELFNOTE_PHYS32_ENTRY && notes.bytes(name_at, 4, "a note").ok() == Some(b"Xen\0") {
            // The descriptor has the size of the kernel's pointers; the address has 32 bits.
            let entry = u32::from_le_bytes(notes.array(desc_at, "the PVH note")?);
            return Ok((desc_bytes >= 4).then_some(entry.into()));
        }
        at = desc_at + u64::from(desc_bytes).next_multiple_of(4);
    }
    Ok(None)
}
