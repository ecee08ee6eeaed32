//! VMCOREINFO: what a Linux kernel says of itself for those who read its dumps (Linux,
//! Documentation/admin-guide/kdump/vmcoreinfo.rst).
//!
//! It is an ELF note in the guest's memory. Its place comes from the vmcoreinfo device, if the
//! guest has a driver for it; else memory is searched, and what is found is checked against the
//! kernel's own name and version in memory.

use super::source::Source;
use dejavm_core::types::PAGE_SIZE;

const NAME: &[u8] = b"VMCOREINFO\0";
/// Header and name, padded.
const HEAD_BYTES: usize = 24;
/// More text than this is none: Linux has one page for it.
const MAX_TEXT_BYTES: u32 = 1 << 16;
/// Where x86-64 Linux maps its image (`__START_KERNEL_map`).
const KERNEL_MAP: u64 = 0xFFFF_FFFF_8000_0000;
/// Where 32-bit Linux maps low memory (`PAGE_OFFSET`).
const LOWMEM_MAP: u64 = 0xC000_0000;
/// The fields of `struct new_utsname`, each this long.
const UTS_FIELD_BYTES: usize = 65;

/// The description of a VMCOREINFO note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vmcoreinfo {
    bytes: Vec<u8>,
}

/// What the kernel is called: `uname -a`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uts {
    /// Linux.
    pub sysname: String,
    /// The host name.
    pub nodename: String,
    /// As OSRELEASE.
    pub release: String,
    /// The build.
    pub version: String,
    /// As `x86_64`.
    pub machine: String,
    /// The NIS domain.
    pub domainname: String,
}

impl Vmcoreinfo {
    /// What the guest has, if it has any.
    pub fn of(source: &dyn Source) -> Option<Self> {
        let announced = source.announced().and_then(|place| {
            // The size that was announced is that of the whole note; the note knows better.
            at(source, place.gpa).filter(|info| info.bytes.len() <= place.bytes as usize)
        });
        announced.or_else(|| search(source))
    }

    /// The text, as it is in the guest.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The value of a key, as `OSRELEASE` or `NUMBER(phys_base)`.
    pub fn value(&self, key: &str) -> Option<&str> {
        let text = str::from_utf8(&self.bytes).ok()?;
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    }

    /// `SYMBOL(name)`.
    fn symbol(&self, name: &str) -> Option<u64> {
        u64::from_str_radix(self.value(&format!("SYMBOL({name})"))?, 16).ok()
    }

    /// Where the kernel's image lies, less its virtual address: decimal in the text.
    pub fn phys_base(&self) -> Option<i64> {
        self.value("NUMBER(phys_base)")?.parse().ok()
    }

    /// The kernel's name and version, read by its symbols.
    pub fn uts(&self, source: &dyn Source) -> Option<Uts> {
        let symbol = self.symbol("init_uts_ns")?;
        let base = if symbol >= KERNEL_MAP {
            symbol.wrapping_sub(KERNEL_MAP).wrapping_add_signed(self.phys_base()?)
        } else {
            symbol.checked_sub(LOWMEM_MAP)?
        };
        let name: u64 = self.value("OFFSET(uts_namespace.name)")?.parse().ok()?;
        let mut bytes = [0; 6 * UTS_FIELD_BYTES];
        if !source.read(base.checked_add(name)?, &mut bytes) {
            return None;
        }
        let field = |n: usize| {
            let field = &bytes[n * UTS_FIELD_BYTES..][..UTS_FIELD_BYTES];
            let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
            String::from_utf8_lossy(&field[..end]).into_owned()
        };
        Some(Uts {
            sysname: field(0),
            nodename: field(1),
            release: field(2),
            version: field(3),
            machine: field(4),
            domainname: field(5),
        })
    }

    /// Whether it speaks of the kernel that is in memory.
    fn is_of_the_kernel(&self, source: &dyn Source) -> bool {
        self.uts(source).is_some_and(|uts| Some(&*uts.release) == self.value("OSRELEASE"))
    }
}

/// The note at `gpa`, if a sound one is there.
fn at(source: &dyn Source, gpa: u64) -> Option<Vmcoreinfo> {
    let mut head = [0; HEAD_BYTES];
    if !source.read(gpa, &mut head) || !is_head(&head) {
        return None;
    }
    let length = u32::from_le_bytes(head[4..8].try_into().expect("four bytes"));
    if length > MAX_TEXT_BYTES {
        return None;
    }
    let mut bytes = vec![0; length as usize];
    let read = source.read(gpa.checked_add(HEAD_BYTES as u64)?, &mut bytes);
    (read && is_text(&bytes)).then_some(Vmcoreinfo { bytes })
}

/// Sizes and type of the note, and its name.
fn is_head(head: &[u8]) -> bool {
    head[0..4] == (NAME.len() as u32).to_le_bytes() && head[8..12] == [0; 4] && head[12..23] == *NAME
}

/// Lines of key and value, the first of which is the kernel's release.
fn is_text(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    text.starts_with("OSRELEASE=") && text.lines().all(|line| line.contains('='))
}

/// Looks through all of memory. A note of the kernel that is there is preferred to one that
/// cannot be checked (a dump file in the guest's page cache may hold a note as well).
fn search(source: &dyn Source) -> Option<Vmcoreinfo> {
    let mut doubtful = None;
    for page in source.ram().iter().flat_map(|r| r.clone().step_by(PAGE_SIZE as usize)) {
        let Some(bytes) = source.page(page) else { continue };
        for offset in names_in(bytes) {
            // The name lies 12 bytes into the note, which may begin on the page before.
            let Some(info) = (page + offset as u64).checked_sub(12).and_then(|gpa| at(source, gpa)) else {
                continue;
            };
            if info.is_of_the_kernel(source) {
                return Some(info);
            }
            doubtful.get_or_insert(info);
        }
    }
    doubtful
}

/// Where the name, which is aligned as notes are, begins on a page.
fn names_in(page: &[u8]) -> impl Iterator<Item = usize> {
    let words = page.chunks_exact(4).enumerate();
    words.filter(|(_, word)| *word == &NAME[..4]).map(|(n, _)| 4 * n)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::source::Announced;
    use super::super::source::fake::Fake;
    use super::*;

    /// A note with this text.
    pub fn note(text: &str) -> Vec<u8> {
        let mut note = vec![11, 0, 0, 0];
        note.extend_from_slice(&(text.len() as u32).to_le_bytes());
        note.extend_from_slice(b"\0\0\0\0VMCOREINFO\0\0");
        note.extend_from_slice(text.as_bytes());
        note
    }

    /// A kernel that is called `release`, at 1 MiB, with its note at `gpa`.
    pub fn put_kernel(fake: &mut Fake, release: &str, gpa: u64) {
        let text = format!(
            "OSRELEASE={release}\nPAGESIZE=4096\nSYMBOL(init_uts_ns)=ffffffff81000100\n\
             OFFSET(uts_namespace.name)=4\nNUMBER(phys_base)=-15728640\n"
        );
        fake.put(gpa, &note(&text));
        for (n, field) in ["Linux", "guest", release, "#1", "x86_64", ""].iter().enumerate() {
            fake.put(0x10_0104 + 65 * n as u64, field.as_bytes());
        }
    }

    #[test]
    fn it_is_found_without_help() {
        let mut fake = Fake::new(4 << 20, 0);
        put_kernel(&mut fake, "6.1.0", 0x2_0FFC);
        let info = Vmcoreinfo::of(&fake).unwrap();
        assert_eq!(info.value("OSRELEASE"), Some("6.1.0"));
        assert_eq!(info.phys_base(), Some(-15 << 20));
        let uts = info.uts(&fake).unwrap();
        assert_eq!((&*uts.nodename, &*uts.machine, &*uts.version), ("guest", "x86_64", "#1"));
    }

    #[test]
    fn the_kernel_that_is_in_memory_wins() {
        let mut fake = Fake::new(4 << 20, 0);
        fake.put(0x1000, &note("OSRELEASE=5.0\nPAGESIZE=4096\n"));
        assert_eq!(Vmcoreinfo::of(&fake).unwrap().value("OSRELEASE"), Some("5.0"));
        put_kernel(&mut fake, "6.1.0", 0x3_0000);
        assert_eq!(Vmcoreinfo::of(&fake).unwrap().value("OSRELEASE"), Some("6.1.0"));
    }

    #[test]
    fn the_device_is_believed_if_a_note_is_there() {
        let mut fake = Fake::new(4 << 20, 0);
        put_kernel(&mut fake, "6.1.0", 0x3_0000);
        fake.put(0x5000, &note("OSRELEASE=5.0\n"));
        fake.announced = Some(Announced { gpa: 0x5000, bytes: 4096 });
        assert_eq!(Vmcoreinfo::of(&fake).unwrap().value("OSRELEASE"), Some("5.0"));
        for gpa in [0x6000, 0x1_0000_0000, u64::MAX] {
            fake.announced = Some(Announced { gpa, bytes: 4096 });
            assert_eq!(Vmcoreinfo::of(&fake).unwrap().value("OSRELEASE"), Some("6.1.0"));
        }
    }

    #[test]
    fn what_only_looks_like_it_is_none() {
        for text in ["VERSION=1\n", "OSRELEASE=1\nnonsense\n", "OSRELEASE=\u{7}\nx\n"] {
            let mut fake = Fake::new(1 << 20, 0);
            fake.put(0x1000, &note(text));
            assert_eq!(Vmcoreinfo::of(&fake), None, "{text}");
        }
        let mut fake = Fake::new(0x2000, 0);
        fake.put(0x1FF4, b"VMCOREINFO\0\0");
        assert_eq!(Vmcoreinfo::of(&fake), None);
        fake.put(0x1FE8, &[11, 0, 0, 0, 200]);
        assert_eq!(Vmcoreinfo::of(&fake), None, "it would end behind RAM");
    }
}
