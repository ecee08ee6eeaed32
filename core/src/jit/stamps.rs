//! Stamps: numbers for the circumstances under which "this linear address has that code" holds.
//!
//! A stamp stands for a vCPU's translations, its rights, and the code that is decoded. While a
//! vCPU's stamp is the same, a target that was found under it is still right. Stamps are never
//! used again, so that nothing has to be cleared.

/// How many circumstances are remembered: user and kernel of some address spaces.
const REMEMBERED: usize = 16;

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

/// The stamps of the circumstances seen last.
pub struct Stamps {
    known: [(Circumstances, u64); REMEMBERED],
    next: usize,
    last: u64,
}

impl Default for Stamps {
    fn default() -> Self {
        Self { known: [(Circumstances::default(), 0); REMEMBERED], next: 0, last: 0 }
    }
}

impl Stamps {
    /// The stamp for these circumstances; never 0.
    #[inline]
    pub fn stamp(&mut self, now: Circumstances) -> u64 {
        match self.known.iter().find(|(known, stamp)| *known == now && *stamp != 0) {
            Some((_, stamp)) => *stamp,
            None => {
                self.last += 1;
                self.known[self.next] = (now, self.last);
                self.next = (self.next + 1) % REMEMBERED;
                self.last
            }
        }
    }
}
