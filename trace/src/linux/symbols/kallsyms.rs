//! kallsyms: the symbol table that a Linux kernel carries in its read-only data, found and read
//! without any symbol (Linux, scripts/kallsyms.c and kernel/kallsyms.c, 6.1 to 6.12).
//!
//! Names are compressed: a name is the count of its tokens and their numbers, and the token
//! table has the text of each of the 256. That table is recognised, as the tokens of the digits
//! stand for themselves; the index behind it says whether it is one. Before it lie the markers
//! (where every 256th name begins), before them the names, before them their number; Linux 6.2 to 6.4
//! has the order of the names between. The
//! addresses (32-bit offsets and the base that they are from) lie before the number of names up
//! to Linux 6.4, and behind the token index since.

use super::super::image::{KERNEL_MAP, Stretch};
use super::Symbols;
use memchr::memmem;

/// The tokens `0` to `9`, as no text has them.
const DIGITS: &[u8] = b"0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00";

/// A marker for every so many names.
const PER_MARKER: usize = 256;

/// The order of names takes so many bytes for each.
const ORDER_BYTES: usize = 3;

/// More symbols than this has no kernel.
const MOST_SYMBOLS: usize = 1 << 21;

/// A name with its kind has no more bytes (`KSYM_NAME_LEN` is 512).
const MOST_NAME_BYTES: usize = 1024;

/// The symbols in the image of a kernel, if it has any.
pub fn find(image: &[Stretch]) -> Option<Symbols> {
    image.iter().find_map(|stretch| {
        memmem::find_iter(&stretch.bytes, DIGITS).find_map(|at| Tables::at(&stretch.bytes, at)?.read())
    })
}

/// Where the tables are, as offsets into what they are in.
struct Tables<'a> {
    bytes: &'a [u8],
    tokens: Vec<&'a [u8]>,
    /// Behind the token index.
    behind: usize,
    /// The number of names, which lies before them.
    count_at: usize,
    count: usize,
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let mut number = [0; 8];
    number[..N].copy_from_slice(bytes.get(at..at.checked_add(N)?)?);
    Some(u64::from_le_bytes(number))
}

/// The text of a token: up to the zero.
fn token(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let rest = bytes.get(at..)?;
    let rest = &rest[..rest.len().min(PER_MARKER)];
    rest.iter().position(|byte| *byte == 0).map(|end| &rest[..end])
}

impl<'a> Tables<'a> {
    /// If the digits at `digits` are of a token table.
    fn at(bytes: &'a [u8], digits: usize) -> Option<Self> {
        let mut end = digits;
        for _ in b'0'..=255 {
            end += token(bytes, end)?.len() + 1;
        }
        let index = end.next_multiple_of(8);
        let entry = |n: usize| number::<2>(bytes, index + 2 * n).map(|offset| offset as usize);
        let start = digits.checked_sub(entry(usize::from(b'0'))?)?;
        let mut tokens = Vec::with_capacity(256);
        let mut offset = 0;
        for n in 0..256 {
            let text = token(bytes, start + offset)?;
            if entry(n)? != offset {
                return None;
            }
            offset += text.len() + 1;
            tokens.push(text);
        }
        let (count_at, count) = names_before(bytes, start)?;
        Some(Self { bytes, tokens, behind: index + 512, count_at, count })
    }

    fn read(&self) -> Option<Symbols> {
        let addresses = self.addresses()?;
        let mut symbols = Symbols::default();
        let mut at = self.count_at + 8;
        let mut name = Vec::new();
        for address in addresses {
            let (from, length) = name_at(self.bytes, at)?;
            name.clear();
            for token in self.bytes.get(from..from + length)? {
                name.extend_from_slice(self.tokens[usize::from(*token)]);
            }
            at = from + length;
            // The first character is the kind, as nm writes it.
            if let (Some((kind, name)), true) = (name.split_first(), name.len() <= MOST_NAME_BYTES) {
                symbols.add(&String::from_utf8_lossy(name), address, *kind, 0);
            }
        }
        symbols.sort();
        Some(symbols)
    }

    /// The addresses of all symbols.
    fn addresses(&self) -> Option<Vec<u64>> {
        let table = (4 * self.count).next_multiple_of(8);
        let before = || {
            let base = self.count_at.checked_sub(8)?;
            self.addresses_at(base.checked_sub(table)?, base)
        };
        before().or_else(|| self.addresses_at(self.behind, self.behind + table))
    }

    /// As the offsets at `offsets` and the base at `base` give them, if that is what is there.
    fn addresses_at(&self, offsets: usize, base: usize) -> Option<Vec<u64>> {
        let base = number::<8>(self.bytes, base).filter(|base| *base >= KERNEL_MAP)?;
        let words = self.bytes.get(offsets..offsets + 4 * self.count)?.chunks_exact(4);
        let offsets: Vec<u32> = words.map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]])).collect();
        if offsets.is_sorted() && offsets.last().is_none_or(|last| i32::try_from(*last).is_ok()) {
            return Some(offsets.iter().map(|offset| base.wrapping_add(u64::from(*offset))).collect());
        }
        // With CONFIG_KALLSYMS_ABSOLUTE_PERCPU: those that are not negative are addresses.
        let address = |offset: &u32| match *offset as i32 {
            absolute @ 0.. => absolute as u64,
            relative => base.wrapping_sub(1).wrapping_add_signed(-i64::from(relative)),
        };
        let addresses: Vec<u64> = offsets.iter().map(address).collect();
        addresses.is_sorted().then_some(addresses)
    }
}

/// Where a name's tokens begin, and how many there are: its length is one byte, or two if it has
/// more than 127 tokens.
fn name_at(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let low = usize::from(*bytes.get(at)?);
    if low & 0x80 == 0 {
        return Some((at + 1, low));
    }
    let high = usize::from(*bytes.get(at + 1)?);
    Some((at + 2, low & 0x7F | high << 7))
}

/// The number of the names that lie before a token table, and where it is. Between them and the
/// table Linux 6.2 to 6.4, and what has this from there, have the order of the names, in 3 bytes
/// for each.
fn names_before(bytes: &[u8], tokens: usize) -> Option<(usize, usize)> {
    (0..=ORDER_BYTES * MOST_SYMBOLS)
        .step_by(8)
        .map_while(|order| Some((order, tokens.checked_sub(order)?)))
        .find_map(|(order, end)| {
            let (markers, markers_at) = markers_before(bytes, end)?;
            let agrees = |count: usize| order == 0 || order == (ORDER_BYTES * count).next_multiple_of(8);
            // Before the search, which takes longer.
            let blocks = (order / ORDER_BYTES).div_ceil(PER_MARKER);
            let plausible = order == 0 || blocks.abs_diff(markers.len()) <= 1;
            let names = plausible.then(|| names_of(bytes, &markers, markers_at))?;
            names.filter(|(_, count)| agrees(*count))
        })
}

/// The number of the names that lie before their markers, and where it is.
fn names_of(bytes: &[u8], markers: &[usize], markers_at: usize) -> Option<(usize, usize)> {
    let last = *markers.last()?;
    let blocks = markers.len();
    let fits = |count: usize| count > (blocks - 1) * PER_MARKER && count <= blocks * PER_MARKER;
    // The names reach as far as the last marker says, and one block more.
    let nearest = markers_at.checked_sub(last + 8)? & !7;
    let farthest = nearest.saturating_sub(PER_MARKER * MOST_NAME_BYTES);
    (farthest..=nearest).rev().filter(|at| at % 8 == 0).find_map(|at| {
        let count = number::<4>(bytes, at)? as usize;
        (fits(count) && names_agree(bytes, at + 8, count, markers, markers_at)).then_some((at, count))
    })
}

/// The markers that end at `end`, and where they begin.
fn markers_before(bytes: &[u8], end: usize) -> Option<(Vec<usize>, usize)> {
    let mut at = end.checked_sub(4)?;
    // They end at a multiple of 8.
    if number::<4>(bytes, at)? == 0 {
        at = at.checked_sub(4)?;
    }
    let mut markers = Vec::new();
    loop {
        let marker = number::<4>(bytes, at)? as usize;
        if markers.last().is_some_and(|after| marker >= *after) || markers.len() >= MOST_SYMBOLS / PER_MARKER
        {
            return None;
        }
        markers.push(marker);
        if marker == 0 {
            markers.reverse();
            return Some((markers, at));
        }
        at = at.checked_sub(4)?;
    }
}

/// Whether so many names from `at` on lie where the markers say, and end before `end`.
fn names_agree(bytes: &[u8], names: usize, count: usize, markers: &[usize], end: usize) -> bool {
    let mut at = names;
    for n in 0..count {
        if n % PER_MARKER == 0 && markers[n / PER_MARKER] != at - names {
            return false;
        }
        match name_at(bytes, at) {
            Some((from, length)) if length > 0 && from + length <= end => at = from + length,
            _ => return false,
        }
    }
    at.next_multiple_of(8) == end
}
