//! Sets of pages that forget nothing and may claim too much: what a stretch of a run stored to, or fetched
//! from, in a few kilobytes however much that was.

use crate::types::PAGE_SHIFT;

const BITS_SHIFT: u32 = 17;
const WORDS: usize = (1 << BITS_SHIFT) / 64;
/// 2^64 divided by the golden ratio: spreads neighbours far apart.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// A set of page numbers, as a Bloom filter of 2^17 bits of which each page has two.
#[derive(Clone, PartialEq, Eq)]
pub struct PageFilter(Box<[u64; WORDS]>);

impl Default for PageFilter {
    fn default() -> Self {
        Self(Box::new([0; WORDS]))
    }
}

impl PageFilter {
    /// The size of [`Self::to_bytes`].
    pub const BYTES: usize = WORDS * 8;

    /// The two bits of a page: bits 47 to 63, and 30 to 46, of its product with [`SPREAD`].
    #[inline]
    fn bits(page: u64) -> [usize; 2] {
        let spread = page.wrapping_mul(SPREAD);
        [(spread >> 47) as usize, (spread >> 30) as usize % (1 << BITS_SHIFT)]
    }

    /// Puts a page in.
    #[inline]
    pub fn insert(&mut self, page: u64) {
        let [first, second] = Self::bits(page);
        self.0[first / 64] |= 1 << (first % 64);
        self.0[second / 64] |= 1 << (second % 64);
    }

    /// Puts all pages in.
    pub fn insert_all(&mut self) {
        self.0.fill(u64::MAX);
    }

    /// Whether a page may be in the set; if not, it is not.
    pub fn may_have(&self, page: u64) -> bool {
        Self::bits(page).into_iter().all(|bit| self.0[bit / 64] >> (bit % 64) & 1 != 0)
    }

    /// Puts in all that another set has.
    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0.iter()).for_each(|(to, from)| *to |= from);
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.0.fill(0);
    }

    /// Its bits, from the lowest of the first byte on.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// From what [`Self::to_bytes`] gave; `None` if there are not as many.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, []) = bytes.as_chunks() else { return None };
        let words: Box<[u64]> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        Some(Self(words.try_into().ok()?))
    }
}

/// What vCPUs did to pages of linear addresses: at least what is in here may have happened, and nothing
/// else did.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Touched {
    /// The pages that were stored to, by number.
    pub stores: PageFilter,
    /// The pages that code was fetched from, or was to be.
    pub fetches: PageFilter,
}

impl Touched {
    /// Notes a store of so many bytes.
    #[inline]
    pub(crate) fn note_store(&mut self, va: u64, bytes: usize) {
        let (first, last) = (va >> PAGE_SHIFT, va.saturating_add(bytes as u64 - 1) >> PAGE_SHIFT);
        self.stores.insert(first);
        if last != first {
            self.stores.insert(last);
        }
    }

    /// Puts in all that another has.
    pub fn add(&mut self, other: &Self) {
        self.stores.add(&other.stores);
        self.fetches.add(&other.fetches);
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.stores.clear();
        self.fetches.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_forgotten_and_little_is_claimed() {
        let pages: Vec<u64> =
            (0..3000).map(|n| n * 7 + if n % 2 == 0 { 0 } else { 0xF_FFFF_8000_0000 }).collect();
        let (mut first, mut second) = (PageFilter::default(), PageFilter::default());
        pages[..1500].iter().for_each(|&page| first.insert(page));
        pages[1500..].iter().for_each(|&page| second.insert(page));
        first.add(&second);
        assert!(pages.iter().all(|&page| first.may_have(page)));
        let claimed = (0..10_000).filter(|n| first.may_have(n * 7 + 3)).count();
        assert!(claimed < 200, "{claimed} of 10,000 that are not there");
        first.clear();
        assert!(!first.may_have(pages[0]));
        first.insert_all();
        assert!(first.may_have(12345));
    }

    #[test]
    fn bytes_are_as_the_format_says() {
        let mut filter = PageFilter::default();
        filter.insert(1);
        let bytes = filter.to_bytes();
        let bit = |n: usize| bytes[n / 8] >> (n % 8) & 1;
        assert_eq!((bit(0x9E37_79B9 >> 15), bit(0x79B9_7F4A_7C15_usize >> 30)), (1, 1));
        assert_eq!(bytes.iter().map(|byte| byte.count_ones()).sum::<u32>(), 2);
        assert!(PageFilter::from_bytes(&bytes) == Some(filter));
        assert!(PageFilter::from_bytes(&bytes[1..]).is_none());
    }
}
