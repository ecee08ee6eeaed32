//! Kernel modules (Linux, include/linux/module.h).

use super::btf::{Field, Types};
use super::kernel::{LinuxError, View};
use super::symbols::Symbols;

/// `MODULE_NAME_LEN` is 64 less a pointer.
const NAME_BYTES: usize = 56;
/// An ELF symbol: name, info, other, section, value, size.
const SYMBOL_BYTES: usize = 24;
/// No module has more symbols.
const MOST_SYMBOLS: usize = 1 << 20;

/// Where a module has what.
#[derive(Debug)]
pub(super) struct ModuleLayout {
    size: u64,
    list: Field,
    name: Field,
    /// The parts of it in memory: where the address and the size of each are.
    parts: Vec<(u64, Field)>,
    symbols: Option<SymbolLayout>,
    /// `num_orcs`, `orc_unwind_ip`, `orc_unwind`.
    orc: Option<[Field; 3]>,
}

#[derive(Debug)]
struct SymbolLayout {
    kallsyms: Field,
    table: Field,
    count: Field,
    text: Field,
    kinds: Option<Field>,
}

impl ModuleLayout {
    pub fn new(types: &Types) -> Option<Self> {
        let field = |path: &str| types.field("module", path);
        let parts = match types.array("module", "mem") {
            // Since 6.4: an array of parts.
            Some((count, size)) => {
                let base = field("mem")?.offset + types.field("module_memory", "base")?.offset;
                let length = types.field("module_memory", "size")?;
                let offset = types.field("module_memory", "base")?.offset;
                let part = |n: u64| {
                    let start = base + n * size;
                    (start, Field { offset: start - offset + length.offset, ..length })
                };
                (0..count.min(16)).map(part).collect()
            }
            None => vec![(field("core_layout.base")?.offset, field("core_layout.size")?)],
        };
        let kallsyms = |path: &str| types.field("mod_kallsyms", path);
        let symbols = || {
            Some(SymbolLayout {
                kallsyms: field("kallsyms")?,
                table: kallsyms("symtab")?,
                count: kallsyms("num_symtab")?,
                text: kallsyms("strtab")?,
                kinds: kallsyms("typetab"),
            })
        };
        let orc = || Some([field("arch.num_orcs")?, field("arch.orc_unwind_ip")?, field("arch.orc_unwind")?]);
        Some(Self {
            size: types.size("module")?,
            list: field("list")?,
            name: field("name")?,
            parts,
            symbols: symbols(),
            orc: orc(),
        })
    }
}

/// A module that is in the kernel at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its name.
    pub name: String,
    /// The address of its `struct module`.
    pub address: u64,
    /// Where its parts are, code first: address and size in bytes.
    pub parts: Vec<(u64, u64)>,
}

impl Module {
    /// The address of its code.
    pub fn base(&self) -> u64 {
        self.parts.first().map_or(0, |part| part.0)
    }

    /// The bytes of all its parts.
    pub fn size(&self) -> u64 {
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(part.1))
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: u64) -> bool {
        self.parts.iter().any(|(base, size)| address.wrapping_sub(*base) < *size)
    }
}

impl View<'_> {
    /// The modules, the last loaded first.
    ///
    /// # Errors
    /// If the list cannot be read.
    pub fn modules(&self) -> Result<Vec<Module>, LinuxError> {
        let layout = self.kernel.modules.as_ref().ok_or_else(|| LinuxError::NoField("module".into()))?;
        let mut complete = true;
        let nodes = self.list(self.kernel.address("modules")?, layout.size, &mut complete);
        let modules =
            nodes.iter().filter_map(|node| self.module(layout, node.wrapping_sub(layout.list.offset)));
        let modules: Vec<Module> = modules.collect();
        if complete { Ok(modules) } else { Err(LinuxError::Unsound("list of modules")) }
    }

    fn module(&self, layout: &ModuleLayout, address: u64) -> Option<Module> {
        let name = self.space.c_string(address.wrapping_add(layout.name.offset), NAME_BYTES)?;
        let part = |(base, size): &(u64, Field)| {
            let size = self.space.number(address.wrapping_add(size.offset), size.size as usize)?;
            Some((self.space.u64(address.wrapping_add(*base))?, size))
        };
        let parts = layout.parts.iter().filter_map(part).filter(|(_, size)| *size != 0).collect();
        Some(Module { name: String::from_utf8_lossy(&name).into_owned(), address, parts })
    }

    /// The symbols of the kernel and of the modules that are in it here.
    ///
    /// # Errors
    /// If the list of modules cannot be read.
    pub fn symbols(&self) -> Result<Symbols, LinuxError> {
        let mut symbols = self.kernel.symbols().clone();
        for module in self.modules()? {
            // A module without symbols is still a module.
            let _ = self.add_symbols(&mut symbols, &module);
        }
        symbols.sort();
        Ok(symbols)
    }

    fn add_symbols(&self, symbols: &mut Symbols, module: &Module) -> Option<()> {
        let layout = self.kernel.modules.as_ref()?.symbols.as_ref()?;
        let tables = self.space.u64(module.address.wrapping_add(layout.kallsyms.offset))?;
        let number =
            |field: &Field| self.space.number(tables.wrapping_add(field.offset), field.size as usize);
        let count = usize::try_from(number(&layout.count)?).ok().filter(|count| *count <= MOST_SYMBOLS)?;
        let table = self.space.bytes(number(&layout.table)?, count * SYMBOL_BYTES)?;
        let text = number(&layout.text)?;
        let kinds = layout.kinds.as_ref().and_then(|kinds| self.space.bytes(number(kinds)?, count));
        let id = symbols.add_module(&module.name)?;
        for (n, symbol) in table.chunks_exact(SYMBOL_BYTES).enumerate() {
            let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|n| symbol[at + n]));
            let (name, section, address) = (word(0) as u32, (word(0) >> 48) as u16, word(8));
            if section == 0 || !module.contains(address) {
                continue;
            }
            let name = self.space.c_string(text.wrapping_add(name.into()), 512)?;
            let kind = kinds.as_ref().map_or(b't', |kinds| kinds[n]);
            symbols.add_of_module(id, &String::from_utf8_lossy(&name), address, kind);
        }
        Some(())
    }

    /// Number of entries, addresses and entries of a module's ORC.
    pub(super) fn module_orc(&self, module: &Module) -> Option<(u64, u64, u64)> {
        let [count, addresses, entries] = self.kernel.modules.as_ref()?.orc.as_ref()?;
        let number = |field: &Field| {
            self.space.number(module.address.wrapping_add(field.offset), field.size.min(8) as usize)
        };
        Some((number(count)?, number(addresses)?, number(entries)?))
    }
}
