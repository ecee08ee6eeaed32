//! Symbols: names of addresses, from files or from the memory of a guest.
//!
//! ```
//! use dejavm_trace::linux::Symbols;
//! let symbols = Symbols::from_file(b"ffffffff81000000 T _text\nffffffff81000100 T start\n")?;
//! assert_eq!(symbols.address("start"), Some(0xffff_ffff_8100_0100));
//! assert_eq!(symbols.describe(0xffff_ffff_8100_0104).as_deref(), Some("start+0x4"));
//! # Ok::<(), dejavm_trace::linux::SymbolError>(())
//! ```
//!
//! Of a guest that is Linux nothing is needed but the guest: [`Symbols::of_guest`] reads what its
//! kernel carries with it, at the addresses where it runs. Symbols of a file are where the file
//! says; [`Symbols::fit_to`] moves those of a kernel to where KASLR has put it.

mod file;
pub(super) mod kallsyms;

use super::guest::Guest;
use super::image::{Stretch, stretches};
use super::space::Space;

/// Why there are no symbols.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SymbolError {
    /// A file that is none of those that are known.
    #[error("neither an ELF file nor a System.map")]
    UnknownFile,
    /// An ELF file that cannot be read.
    #[error("the ELF file is damaged: {0}")]
    Elf(String),
    /// An ELF file without a symbol table.
    #[error("the ELF file has no symbol table (it is stripped)")]
    Stripped,
    /// A line of a System.map.
    #[error("line {0} is not of a System.map: ADDRESS KIND NAME is expected")]
    Line(usize),
    /// No Linux is in memory.
    #[error(
        "no Linux kernel with symbols is in the guest's memory at this place \
         (it is another guest, or the kernel has not set up its memory yet)"
    )]
    NotLinux,
    /// The file is of another kernel.
    #[error("the symbols are not of the kernel that is in the guest's memory")]
    OtherKernel,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    address: u64,
    /// Where its name is.
    name: u32,
    length: u16,
    kind: u8,
    /// Index in the list of modules.
    module: u16,
}

/// A symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its address.
    pub address: u64,
    /// What it is, as nm writes it: `T` code, `D` data, `B` zeroed data, `R` read-only data, `A`
    /// absolute, `W` weak; small letters if it is local.
    pub kind: char,
    /// The kernel module that it is of, if it is of one.
    pub module: Option<&'a str>,
}

/// A symbol, and how far an address lies behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located<'a> {
    /// The symbol.
    pub symbol: Symbol<'a>,
    /// Bytes from its beginning.
    pub offset: u64,
}

impl std::fmt::Display for Located<'_> {
    /// `name`, `name+0x12`, or `name+0x12 [module]`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.symbol.name)?;
        if self.offset != 0 {
            write!(f, "+{:#x}", self.offset)?;
        }
        self.symbol.module.map_or(Ok(()), |module| write!(f, " [{module}]"))
    }
}

/// Symbols by name and by address.
#[derive(Clone, Debug)]
pub struct Symbols {
    text: String,
    /// By address; those of one address in the order in which they came.
    entries: Vec<Entry>,
    /// Indices of entries, by name.
    by_name: Vec<u32>,
    modules: Vec<String>,
    /// Where code and data of each module (0: of what is no module) begin and end. An address
    /// outside is of no symbol.
    extents: Vec<(u64, u64)>,
}

impl Default for Symbols {
    fn default() -> Self {
        Self {
            text: String::new(),
            entries: Vec::new(),
            by_name: Vec::new(),
            modules: vec![String::new()],
            extents: Vec::new(),
        }
    }
}

impl Symbols {
    /// Those of an ELF file (its symbol table, or else the dynamic one) or of a System.map (what
    /// `nm` or `/proc/kallsyms` print), given as its content.
    ///
    /// # Errors
    /// If it is neither, or damaged, or has no symbols.
    pub fn from_file(content: &[u8]) -> Result<Self, SymbolError> {
        file::read(content)
    }

    /// Those that the kernel of a Linux guest carries with it (kallsyms), at their addresses
    /// there. Modules come with [`super::Kernel::symbols`].
    ///
    /// # Errors
    /// [`SymbolError::NotLinux`].
    pub fn of_guest(guest: &dyn Guest) -> Result<Self, SymbolError> {
        images(guest).find_map(|(_, image)| kallsyms::find(&image)).ok_or(SymbolError::NotLinux)
    }

    /// Moves the symbols of a kernel's file to where the kernel is in a guest, and tells how far.
    ///
    /// # Errors
    /// If another kernel is there, or none.
    pub fn fit_to(&mut self, guest: &dyn Guest) -> Result<u64, SymbolError> {
        let (Some(text), Some(banner)) = (self.address("_text"), self.address("linux_banner")) else {
            return Err(SymbolError::OtherKernel);
        };
        let mut seen = false;
        for stretch in images(guest).flat_map(|(_, image)| image) {
            seen = true;
            let slide = stretch.address.wrapping_sub(text);
            let at = banner.wrapping_add(slide).wrapping_sub(stretch.address) as usize;
            if stretch.bytes.get(at..).is_some_and(|bytes| bytes.starts_with(b"Linux version ")) {
                self.slide(slide);
                return Ok(slide);
            }
        }
        Err(if seen { SymbolError::OtherKernel } else { SymbolError::NotLinux })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All of them, by address.
    pub fn iter(&self) -> impl Iterator<Item = Symbol<'_>> {
        self.entries.iter().map(|entry| self.symbol(entry))
    }

    /// The address of a name; of several, the lowest.
    pub fn address(&self, name: &str) -> Option<u64> {
        self.named(name).next().map(|symbol| symbol.address)
    }

    /// All symbols of a name, by address.
    pub fn named(&self, name: &str) -> impl Iterator<Item = Symbol<'_>> {
        let first = self.by_name.partition_point(|&n| self.name(&self.entries[n as usize]) < name);
        let named = self.by_name[first..].iter().map(|&n| self.symbol(&self.entries[n as usize]));
        named.take_while(move |symbol| symbol.name == name)
    }

    /// The names that begin so, in order, each once.
    pub fn names_with_prefix(&self, prefix: &str) -> impl Iterator<Item = &str> {
        let first = self.by_name.partition_point(|&n| self.name(&self.entries[n as usize]) < prefix);
        let names = self.by_name[first..].iter().map(|&n| self.name(&self.entries[n as usize]));
        let mut before = None;
        names
            .take_while(move |name| name.starts_with(prefix))
            .filter(move |name| before.replace(*name) != Some(*name))
    }

    /// The symbol that an address belongs to: the last that begins there or before; of several
    /// that begin together, the first. None outside of all code and data that has symbols.
    pub fn lookup(&self, address: u64) -> Option<Located<'_>> {
        let after = self.entries.partition_point(|entry| entry.address <= address);
        let last = self.entries[..after].iter().rposition(|entry| !entry.is_absolute())?;
        let start = self.entries[last].address;
        let first = self.entries[..last].partition_point(|entry| entry.address < start);
        let entry = self.entries[first..=last].iter().find(|entry| !entry.is_absolute())?;
        let (begin, end) = *self.extents.get(usize::from(entry.module))?;
        let inside = (begin..end).contains(&address);
        inside.then(|| Located { symbol: self.symbol(entry), offset: address - start })
    }

    /// An address as `name+0x12`, if it is of a symbol.
    pub fn describe(&self, address: u64) -> Option<String> {
        self.lookup(address).map(|located| located.to_string())
    }

    /// `name+0x12` for `address`, by the symbol that `within` belongs to: a return address may lie
    /// behind the function that it is of.
    pub fn describe_within(&self, address: u64, within: u64) -> Option<String> {
        let located = self.lookup(within)?;
        let offset = address.wrapping_sub(located.symbol.address);
        Some(Located { offset, ..located }.to_string())
    }

    /// Where the symbol of an address ends: where the next one begins.
    pub fn end_of(&self, address: u64) -> Option<u64> {
        let located = self.lookup(address)?;
        let after = self.entries.partition_point(|entry| entry.address <= address);
        let next = self.entries[after..].iter().find(|entry| !entry.is_absolute());
        let module = self.modules.iter().position(|m| Some(m.as_str()) == located.symbol.module).unwrap_or(0);
        let end = self.extents.get(module).map(|(_, end)| *end)?;
        Some(next.map_or(end, |entry| entry.address.min(end)))
    }

    fn name(&self, entry: &Entry) -> &str {
        &self.text[entry.name as usize..][..usize::from(entry.length)]
    }

    fn symbol(&self, entry: &Entry) -> Symbol<'_> {
        let module = (entry.module != 0).then(|| self.modules[usize::from(entry.module)].as_str());
        Symbol { name: self.name(entry), address: entry.address, kind: char::from(entry.kind), module }
    }

    /// Adds one; [`Self::sort`] must follow. What does not fit any more is left out.
    fn add(&mut self, name: &str, address: u64, kind: u8, module: u16) {
        let (Ok(at), Ok(length)) = (u32::try_from(self.text.len()), u16::try_from(name.len())) else {
            return;
        };
        if name.is_empty() {
            return;
        }
        self.text.push_str(name);
        self.entries.push(Entry { address, name: at, length, kind, module });
    }

    /// A list of modules to add symbols of.
    pub(super) fn add_module(&mut self, name: &str) -> Option<u16> {
        let number = u16::try_from(self.modules.len()).ok()?;
        self.modules.push(name.to_owned());
        Some(number)
    }

    /// Adds symbols of a module.
    pub(super) fn add_of_module(&mut self, module: u16, name: &str, address: u64, kind: u8) {
        self.add(name, address, kind, module);
    }

    /// Puts all in order.
    pub(super) fn sort(&mut self) {
        self.entries.sort_by_key(|entry| entry.address);
        let mut by_name: Vec<u32> = (0..self.entries.len() as u32).collect();
        by_name.sort_by_key(|&n| (self.name(&self.entries[n as usize]), n));
        self.by_name = by_name;
        self.extents = vec![(u64::MAX, 0); self.modules.len()];
        for entry in self.entries.iter().filter(|entry| !entry.is_absolute()) {
            let extent = &mut self.extents[usize::from(entry.module)];
            // The last symbol has a page.
            *extent = (extent.0.min(entry.address), extent.1.max(entry.address.saturating_add(4096)));
        }
    }

    fn slide(&mut self, by: u64) {
        for entry in self.entries.iter_mut().filter(|entry| !entry.is_absolute()) {
            entry.address = entry.address.wrapping_add(by);
        }
        self.sort();
    }
}

impl Entry {
    /// It names a number (as offsets of per-CPU variables), not a place.
    fn is_absolute(&self) -> bool {
        matches!(self.kind, b'A' | b'a')
    }
}

/// What may be the kernel's image, by the page tables of each vCPU, and the table that leads there.
pub(super) fn images(guest: &dyn Guest) -> impl Iterator<Item = (u64, Vec<Stretch>)> {
    let mut tables: Vec<u64> = Vec::new();
    for cpu in (0..guest.vcpus()).filter_map(|vcpu| guest.cpu(vcpu)) {
        let Some(space) = Space::of_cpu(guest, cpu) else { continue };
        // With page-table isolation user space has the upper one of two tables.
        for table in [space.table(), space.table() & !0x1000] {
            if !tables.contains(&table) && tables.len() < 4 {
                tables.push(table);
            }
        }
    }
    let image = move |table: u64| (table, stretches(&Space::new(guest, table)));
    tables.into_iter().map(image).filter(|(_, image)| !image.is_empty())
}

#[cfg(test)]
mod tests;
