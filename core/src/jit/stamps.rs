//! Stamps: numbers for the circumstances under which "this linear address has that code" holds.
//!
//! A stamp stands for a vCPU's translations, its rights, and the code that is decoded. While a
//! vCPU's stamp is the same, a target that was found under it is still right. Stamps are never
//! used again, so that nothing has to be cleared.

/// How many circumstances are remembered at most: user and kernel of the address spaces of every
/// vCPU, each in the one place that it may be.
const REMEMBERED: usize = 256;

/// What a stamp depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// The vCPU.
    pub vcpu: usize,
    /// The state of its translations.
    pub translations: u64,
    /// The state of decoded code.
    pub code: u64,
    /// Rights and code size.
    pub rights: u32,
}

impl Circumstances {
    fn place(&self) -> usize {
        let rights = u64::from(self.rights).wrapping_mul(37);
        let mix = self.translations.wrapping_mul(5) ^ rights ^ (self.vcpu as u64).wrapping_mul(67);
        mix as usize % REMEMBERED
    }
}

/// The stamps of the circumstances seen last.
pub struct Stamps {
    known: [(Circumstances, u64); REMEMBERED],
    last: u64,
}

impl Default for Stamps {
    fn default() -> Self {
        Self { known: [(Circumstances::default(), 0); REMEMBERED], last: 0 }
    }
}

impl Stamps {
    /// The stamp for these circumstances; never 0.
    #[inline]
    pub fn stamp(&mut self, now: Circumstances) -> u64 {
        let known = &mut self.known[now.place()];
        if known.1 == 0 || known.0 != now {
            self.last += 1;
            *known = (now, self.last);
        }
        known.1
    }
}
