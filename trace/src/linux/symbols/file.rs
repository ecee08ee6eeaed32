//! Symbols of files: ELF (System V ABI, chapter 4), and the lines that `nm` and `/proc/kallsyms`
//! print and System.map holds.

use super::{SymbolError, Symbols};
use object::read::elf::{ElfFile32, ElfFile64};
use object::{Object, ObjectSymbol, SectionKind, SymbolKind};

/// The symbols of a file of either kind.
pub fn read(content: &[u8]) -> Result<Symbols, SymbolError> {
    let symbols = match content {
        [0x7F, b'E', b'L', b'F', 1, ..] => {
            elf(&ElfFile32::<object::Endianness>::parse(content).map_err(bad)?)?
        }
        [0x7F, b'E', b'L', b'F', ..] => elf(&ElfFile64::<object::Endianness>::parse(content).map_err(bad)?)?,
        _ => map(content)?,
    };
    Ok(symbols)
}

fn bad(error: object::Error) -> SymbolError {
    SymbolError::Elf(error.to_string())
}

fn elf<'data>(file: &impl Object<'data>) -> Result<Symbols, SymbolError> {
    let mut symbols = Symbols::default();
    add_all(&mut symbols, file, file.symbols());
    if symbols.is_empty() {
        add_all(&mut symbols, file, file.dynamic_symbols());
    }
    symbols.sort();
    if symbols.is_empty() { Err(SymbolError::Stripped) } else { Ok(symbols) }
}

fn add_all<'data, O: Object<'data>, S: ObjectSymbol<'data>>(
    symbols: &mut Symbols,
    file: &O,
    table: impl Iterator<Item = S>,
) {
    for symbol in table.filter(ObjectSymbol::is_definition) {
        if let (Ok(name), Some(kind)) = (symbol.name(), kind(file, &symbol)) {
            symbols.add(name, symbol.address(), kind, 0);
        }
    }
}

/// The letter that nm would write; None for what is no symbol of code or data.
fn kind<'data, O: Object<'data>, S: ObjectSymbol<'data>>(file: &O, symbol: &S) -> Option<u8> {
    use object::ObjectSection;
    if matches!(symbol.kind(), SymbolKind::File | SymbolKind::Section | SymbolKind::Tls) {
        return None;
    }
    let section = symbol.section_index().and_then(|index| file.section_by_index(index).ok());
    let letter = match section.map(|section| section.kind()) {
        None => b'A',
        Some(SectionKind::Text) => b'T',
        Some(SectionKind::ReadOnlyData | SectionKind::ReadOnlyString) => b'R',
        Some(SectionKind::UninitializedData) => b'B',
        Some(_) if symbol.kind() == SymbolKind::Text => b'T',
        Some(_) => b'D',
    };
    let weak = if symbol.is_weak() { b'W' } else { letter };
    Some(if symbol.is_global() { weak } else { letter.to_ascii_lowercase() })
}

fn map(content: &[u8]) -> Result<Symbols, SymbolError> {
    let text = str::from_utf8(content).map_err(|_| SymbolError::UnknownFile)?;
    let mut symbols = Symbols::default();
    for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let (address, kind, name) = fields(line).ok_or(match symbols.is_empty() {
            true => SymbolError::UnknownFile,
            false => SymbolError::Line(n + 1),
        })?;
        symbols.add(name, address, kind, 0);
    }
    symbols.sort();
    if symbols.is_empty() { Err(SymbolError::UnknownFile) } else { Ok(symbols) }
}

/// What may follow (the module, in /proc/kallsyms) is left out.
fn fields(line: &str) -> Option<(u64, u8, &str)> {
    let mut words = line.split_ascii_whitespace();
    let address = u64::from_str_radix(words.next()?, 16).ok()?;
    let [kind] = words.next()?.as_bytes() else { return None };
    let name = words.next()?;
    kind.is_ascii_alphabetic().then_some((address, *kind, name))
}
