//! Windows crash dumps of 64-bit guests: the full dump that the kernel itself would write
//! (`DUMP_HEADER64`, then the runs of physical memory).
//!
//! Only the guest knows most of the header. Its driver (fwcfg, of virtio-win) puts a header of its
//! making into a note, and tells the vmcoreinfo device where that is. Here it is completed: bug
//! check data, the size, the context of the first processor, and in each processor's block the context with its
//! registers. The guest's memory is not changed; only the dump has the contexts.

use super::file::Output;
use super::paging;
use super::source::Source;
use super::win_context;
use super::{DumpError, Progress};
use dejavm_core::types::{PAGE_OFFSET_MASK, PAGE_SIZE};
use std::collections::BTreeMap;
use std::ops::Range;

/// The head of the note: sizes, type, the name and its padding.
const NOTE_HEAD_BYTES: u64 = 24;
const HEADER_BYTES: usize = 0x2000;
const HEADER32_BYTES: u32 = 0x1000;

/// Offsets in the header.
mod header {
    pub const SIGNATURE: usize = 0;
    pub const DIRECTORY_TABLE: usize = 0x10;
    pub const PFN_DATABASE: usize = 0x18;
    pub const BUG_CHECK: usize = 0x38;
    pub const BUG_CHECK_PARAMETER_1: usize = 0x40;
    pub const DEBUGGER_DATA: usize = 0x80;
    pub const RUN_COUNT: usize = 0x88;
    pub const RUN_COUNT_PADDING: usize = 0x8C;
    pub const PAGE_COUNT: usize = 0x90;
    pub const RUNS: usize = 0x98;
    pub const RUNS_END: usize = 0x348;
    pub const CONTEXT: usize = 0x348;
    pub const CONTEXT_FLAGS: usize = CONTEXT + 0x30;
    pub const DUMP_SPACE: usize = 0xFA0;
}

/// Offsets in the kernel's debugger data block (`KDDEBUGGER_DATA64`).
mod kdbg {
    pub const OWNER_TAG: u64 = 0x10;
    pub const BUG_CHECK_DATA: u64 = 0x88;
    pub const PFN_DATABASE: u64 = 0xC0;
    pub const PROCESSOR_BLOCK: u64 = 0x218;
    pub const CONTEXT_OFFSET: u64 = 0x338;
}

/// The bug check of a system that lives.
const LIVE_SYSTEM_DUMP: u32 = 0x161;
const BUG_CHECK_BYTES: usize = 40;

/// Writes all runs.
pub fn write(source: &dyn Source, file: &mut Output, progress: Progress<'_>) -> Result<(), DumpError> {
    let mut guest = Guest::find(source)?;
    guest.complete_header();
    let runs = guest.runs()?;
    let total: u64 = runs.iter().map(|r| r.end - r.start).sum();
    guest.put(header::DUMP_SPACE, &(HEADER_BYTES as u64 + total).to_le_bytes());
    let contexts = guest.contexts();
    file.write_at(0, &guest.header)?;
    let (mut offset, mut done) = (HEADER_BYTES as u64, 0);
    for page in runs.into_iter().flat_map(|r| r.step_by(PAGE_SIZE as usize)) {
        match (contexts.get(&page), source.page(page)) {
            (Some(patched), _) => file.write_at(offset, patched)?,
            (None, Some(bytes)) => file.write_at(offset, bytes)?,
            (None, None) => {}
        }
        (offset, done) = (offset + PAGE_SIZE, done + PAGE_SIZE);
        progress(done, total);
    }
    file.end_at(offset)?;
    Ok(())
}

/// The guest's kernel, as its header leads to it.
struct Guest<'a> {
    source: &'a dyn Source,
    header: Vec<u8>,
    /// Where the debugger data block is.
    debugger_data: u64,
}

fn no(reason: &str) -> DumpError {
    DumpError::NotWindows(reason.to_owned())
}

impl<'a> Guest<'a> {
    fn find(source: &'a dyn Source) -> Result<Self, DumpError> {
        let place = source.announced().ok_or_else(|| no("the guest has no driver for vmcoreinfo"))?;
        let size = source.read_u32(place.gpa.saturating_add(4));
        match size {
            Some(bytes) if bytes as usize == HEADER_BYTES => {}
            Some(HEADER32_BYTES) => return Err(no("32-bit guests are not supported")),
            _ => return Err(no("invalid vmcoreinfo note size")),
        }
        let mut header = vec![0; HEADER_BYTES];
        if !source.read(place.gpa + NOTE_HEAD_BYTES, &mut header) {
            return Err(no("failed to read the header"));
        }
        if header[header::SIGNATURE..][..8] != *b"PAGEDU64" {
            return Err(no("invalid header, expected 'PAGEDU64'"));
        }
        let mut guest = Self { source, header, debugger_data: 0 };
        guest.debugger_data = guest.find_debugger_data()?;
        Ok(guest)
    }

    /// The header has its address, or, if the system is alive, the bug check's parameter.
    fn find_debugger_data(&self) -> Result<u64, DumpError> {
        let mut places = vec![self.quad(header::DEBUGGER_DATA)];
        if self.bug_check() == LIVE_SYSTEM_DUMP {
            places.push(self.quad(header::BUG_CHECK_PARAMETER_1));
        }
        let found = places.into_iter().find(|&place| {
            let mut tag = [0; 4];
            self.read(place.wrapping_add(kdbg::OWNER_TAG), &mut tag) && tag == *b"KDBG"
        });
        found.ok_or_else(|| no("failed to find the kernel's debugger data"))
    }

    fn complete_header(&mut self) {
        let place = self.debugger_data;
        self.put(header::DEBUGGER_DATA, &place.to_le_bytes());
        self.put(header::RUN_COUNT_PADDING, &[0; 4]);
        if let Some(database) = self.read_quad(self.kdbg(kdbg::PFN_DATABASE)) {
            self.put(header::PFN_DATABASE, &database.to_le_bytes());
        }
        let mut data = [0; BUG_CHECK_BYTES];
        let data_at = self.read_quad(self.kdbg(kdbg::BUG_CHECK_DATA));
        if data_at.is_some_and(|at| self.read(at, &mut data)) {
            self.put(header::BUG_CHECK, &data);
        }
        if self.bug_check() == 0 {
            self.put(header::BUG_CHECK, &LIVE_SYSTEM_DUMP.to_le_bytes());
        }
        let there = u32::from_le_bytes(self.bytes(header::CONTEXT_FLAGS)) & win_context::AMD64 != 0;
        if let Some(first) = self.source.vcpus().first().filter(|_| !there) {
            self.put(header::CONTEXT, &win_context::bytes(first));
        }
    }

    /// Physical memory, as the guest sees it.
    fn runs(&self) -> Result<Vec<Range<u64>>, DumpError> {
        let count = u32::from_le_bytes(self.bytes(header::RUN_COUNT)) as usize;
        let table = &self.header[header::RUNS..header::RUNS_END];
        let runs: Option<Vec<_>> = table
            .chunks_exact(16)
            .take(count)
            .map(|run| {
                let number = |at: usize| u64::from_le_bytes(run[at..at + 8].try_into().expect("eight bytes"));
                let start = number(0).checked_mul(PAGE_SIZE)?;
                let end = start.checked_add(number(8).checked_mul(PAGE_SIZE)?)?;
                (end <= 1 << dejavm_core::mem::PHYSICAL_ADDRESS_BITS).then_some(start..end)
            })
            .collect();
        let runs = runs.filter(|runs| !runs.is_empty() && runs.len() == count);
        let runs = runs.ok_or_else(|| no("invalid runs of physical memory"))?;
        let pages: u64 = runs.iter().map(|r| (r.end - r.start) / PAGE_SIZE).sum();
        let ordered = runs.windows(2).all(|pair| pair[0].end <= pair[1].start);
        if !ordered || pages != self.quad(header::PAGE_COUNT) {
            return Err(no("invalid runs of physical memory"));
        }
        Ok(runs)
    }

    /// The pages that hold the processors' contexts, with their registers in them.
    fn contexts(&self) -> BTreeMap<u64, Vec<u8>> {
        let mut pages = BTreeMap::new();
        for (n, cpu) in self.source.vcpus().iter().enumerate() {
            if let Some(place) = self.context_at(n as u64) {
                self.patch(&mut pages, place, &win_context::bytes(cpu));
            }
        }
        pages
    }

    /// Where the context of processor `n` is.
    fn context_at(&self, n: u64) -> Option<u64> {
        let blocks = self.read_quad(self.kdbg(kdbg::PROCESSOR_BLOCK))?;
        let mut offset = [0; 2];
        if !self.read(self.kdbg(kdbg::CONTEXT_OFFSET), &mut offset) {
            return None;
        }
        let block = self.read_quad(blocks.wrapping_add(8 * n)).filter(|&block| block != 0)?;
        self.read_quad(block.wrapping_add(u16::from_le_bytes(offset).into())).filter(|&place| place != 0)
    }

    /// Writes to virtual addresses, into copies of the pages.
    fn patch(&self, pages: &mut BTreeMap<u64, Vec<u8>>, virt: u64, bytes: &[u8]) {
        for (at, &byte) in (0..).map(|n| virt.wrapping_add(n)).zip(bytes) {
            let Some(gpa) = paging::translate(self.source, self.directory(), at) else { continue };
            let page = gpa & !PAGE_OFFSET_MASK;
            let copy = pages.entry(page).or_insert_with(|| {
                self.source.page(page).map_or_else(|| vec![0; PAGE_SIZE as usize], <[u8]>::to_vec)
            });
            copy[(gpa - page) as usize] = byte;
        }
    }

    fn kdbg(&self, offset: u64) -> u64 {
        self.debugger_data.wrapping_add(offset)
    }

    fn directory(&self) -> u64 {
        self.quad(header::DIRECTORY_TABLE)
    }

    fn bug_check(&self) -> u32 {
        u32::from_le_bytes(self.bytes(header::BUG_CHECK))
    }

    /// Reads by the kernel's page tables.
    fn read(&self, virt: u64, bytes: &mut [u8]) -> bool {
        let mut addresses = (0..).map(|n| virt.wrapping_add(n));
        bytes.iter_mut().all(|byte| {
            let gpa = addresses.next().and_then(|at| paging::translate(self.source, self.directory(), at));
            gpa.is_some_and(|gpa| self.source.read(gpa, std::slice::from_mut(byte)))
        })
    }

    fn read_quad(&self, virt: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read(virt, &mut bytes).then(|| u64::from_le_bytes(bytes))
    }

    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        self.header[at..at + N].try_into().expect("within the header")
    }

    fn quad(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes(at))
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.header[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::Announced;
    use super::super::source::fake::Fake;
    use super::*;
    use crate::dump::{Destination, Format, Request};
    use kdmp_parser::{Context, Gxa as _, KernelDumpParser};
    use std::path::PathBuf;

    const NOTE: u64 = 0x2_0000;
    const KDBG: u64 = 0x3_0000;
    const CONTEXT: u64 = 0x4_0F80;

    /// A guest whose first 2 MiB are mapped where they are, with all that a dump looks at.
    fn windows() -> Fake {
        let mut fake = Fake::new(2 << 20, 0);
        for (gpa, entry) in [(0x1000u64, 0x2003u64), (0x2000, 0x3003), (0x3000, 0x83)] {
            fake.put(gpa, &entry.to_le_bytes());
        }
        let mut header = vec![0; HEADER_BYTES];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"PAGEDU64");
        put(header::DIRECTORY_TABLE, &0x1000u64.to_le_bytes());
        put(header::DEBUGGER_DATA, &KDBG.to_le_bytes());
        put(header::RUN_COUNT, &2u32.to_le_bytes());
        put(header::PAGE_COUNT, &0x1F0u64.to_le_bytes());
        for (n, value) in [0u64, 0x90, 0xA0, 0x160].iter().enumerate() {
            put(header::RUNS + 8 * n, &value.to_le_bytes());
        }
        fake.put(NOTE, &[11, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0]);
        fake.put(NOTE + NOTE_HEAD_BYTES, &header);
        fake.announced = Some(Announced { gpa: NOTE, bytes: 0x2018 });
        fake.put(KDBG + kdbg::OWNER_TAG, b"KDBG");
        for (offset, value) in [
            (kdbg::BUG_CHECK_DATA, 0x3_1000u64),
            (kdbg::PFN_DATABASE, 0x5555),
            (kdbg::PROCESSOR_BLOCK, 0x3_2000),
            (kdbg::CONTEXT_OFFSET, 0x20),
        ] {
            fake.put(KDBG + offset, &value.to_le_bytes());
        }
        fake.put(0x3_2000, &0x3_3000u64.to_le_bytes());
        fake.put(0x3_3020, &CONTEXT.to_le_bytes());
        fake.vcpus[0].regs[16] = 0x1234_5678;
        fake
    }

    fn dump_to_file(fake: &Fake) -> Result<PathBuf, String> {
        let name = format!("dejavm-win-dmp-{}-{:p}", std::process::id(), fake);
        let path = std::env::temp_dir().join(name);
        let request = Request { format: Format::Windows, ..Request::ELF };
        crate::dump::write(fake, &request, Destination::Path(path.clone()), &mut |_, _| {})
            .map_err(|e| e.to_string())?;
        Ok(path)
    }

    fn dump(fake: &Fake) -> Result<Vec<u8>, String> {
        let path = dump_to_file(fake)?;
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        Ok(bytes)
    }

    #[test]
    fn a_full_dump() {
        let fake = windows();
        let dump = dump(&fake).unwrap();
        assert_eq!(dump.len(), HEADER_BYTES + 0x1F_0000);
        let quad = |at: usize| u64::from_le_bytes(dump[at..at + 8].try_into().unwrap());
        assert_eq!(quad(header::BUG_CHECK) as u32, LIVE_SYSTEM_DUMP);
        assert_eq!((quad(header::PFN_DATABASE), quad(header::DUMP_SPACE)), (0x5555, dump.len() as u64));
        assert_eq!(&dump[HEADER_BYTES + KDBG as usize + 0x10..][..4], b"KDBG");
        // The context crosses a page; RIP is on the second one.
        assert_eq!(quad(HEADER_BYTES + CONTEXT as usize + 0xF8), 0x1234_5678);
        assert_eq!(fake.read_u64(CONTEXT + 0xF8), Some(0), "the guest's memory is as it was");
    }

    /// A reader that others wrote goes from the header by the page tables to the list of modules, and by the
    /// debugger's data to the processor's block, whose context must have the registers of the header's.
    #[test]
    fn kdmp_parser_opens_it() {
        const LIST: u64 = 0x3_4000;
        const DRIVER: u64 = 0x3_4100;
        let mut fake = windows();
        for (at, value) in [(0x20, LIST), (0x34, 1), (0xF98, 1)] {
            fake.put(NOTE + NOTE_HEAD_BYTES + at, &value.to_le_bytes());
        }
        let name: Vec<u8> = "\\nt.exe".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let length = name.len() as u64;
        for (at, value) in [
            (LIST, DRIVER),
            (DRIVER, LIST),
            (DRIVER + 0x30, 0xFFFF_F800_0000_0000),
            (DRIVER + 0x40, 0x1000),
            (DRIVER + 0x48, length | length << 16),
            (DRIVER + 0x50, DRIVER + 0x200),
        ] {
            fake.put(at, &value.to_le_bytes());
        }
        fake.put(DRIVER + 0x200, &name);
        fake.vcpus[0].regs[4] = 0xFFFF_F800_1234_0000;
        let path = dump_to_file(&fake).unwrap();
        let parser = KernelDumpParser::new(&path).unwrap();
        assert_eq!(parser.physmem().len(), 0x1F0);
        assert_eq!(parser.headers().bug_check_code, LIVE_SYSTEM_DUMP);
        let of_header = parser.context_record();
        assert_eq!((of_header.rip, of_header.rsp), (0x1234_5678, 0xFFFF_F800_1234_0000));
        let modules: Vec<_> = parser.kernel_modules().collect();
        assert_eq!((modules.len(), modules[0].1), (1, "\\nt.exe"));
        assert_eq!(modules[0].0.start.u64(), 0xFFFF_F800_0000_0000);
        let context: Context = parser.virt_read_struct(CONTEXT.into()).unwrap();
        assert_eq!((context.rip, context.rsp), (of_header.rip, of_header.rsp));
        // Physical memory beyond the hole lies behind what is before it.
        let mut bytes = [0; 8];
        let far = 0xA_0000u64;
        fake.put(far, b"far away");
        parser.phys_read_exact(far.into(), &mut bytes).unwrap();
        assert_eq!(bytes, [0; 8], "the dump was made before");
        std::fs::remove_file(&path).unwrap();
        let path = dump_to_file(&fake).unwrap();
        KernelDumpParser::new(&path).unwrap().phys_read_exact(far.into(), &mut bytes).unwrap();
        assert_eq!(&bytes, b"far away");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_bug_check_is_told() {
        let mut fake = windows();
        fake.put(0x3_1000, &0xD1u64.to_le_bytes());
        fake.put(0x3_1008, &0x77u64.to_le_bytes());
        let dump = dump(&fake).unwrap();
        assert_eq!((dump[header::BUG_CHECK], dump[header::BUG_CHECK_PARAMETER_1]), (0xD1, 0x77));
    }

    #[test]
    fn what_is_no_windows_is_refused() {
        let refused = |change: &dyn Fn(&mut Fake), reason: &str| {
            let mut fake = windows();
            change(&mut fake);
            assert_eq!(dump(&fake), Err(format!("win-dump: {reason}")));
        };
        let at = |offset: usize| NOTE + NOTE_HEAD_BYTES + offset as u64;
        refused(&|f| f.announced = None, "the guest has no driver for vmcoreinfo");
        refused(&|f| f.put(NOTE + 4, &[0, 4]), "invalid vmcoreinfo note size");
        refused(&|f| f.put(NOTE + 4, &[0, 0x10]), "32-bit guests are not supported");
        refused(&|f| f.put(at(4), b"DUMP"), "invalid header, expected 'PAGEDU64'");
        refused(&|f| f.put(KDBG + 0x10, b"X"), "failed to find the kernel's debugger data");
        for (offset, value) in [(header::RUN_COUNT, 44), (header::RUN_COUNT, 0), (header::PAGE_COUNT, 1)] {
            refused(&|f| f.put(at(offset), &[value]), "invalid runs of physical memory");
        }
        refused(&|f| f.put(at(header::RUNS + 8), &[0xFF; 8]), "invalid runs of physical memory");
    }
}
