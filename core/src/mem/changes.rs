//! What happened to page tables and page flags, in order, so that every soft TLB can catch up.

/// Something that soft TLBs must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Entries `first..=last` of a page of 8-byte entries that map one page each were
    /// overwritten, at least one of them after it was used.
    Entries {
        /// The RAM page of the table.
        table: u32,
        /// The first entry.
        first: u16,
        /// The last entry.
        last: u16,
    },
    /// A used entry of any other table was overwritten.
    Directory {
        /// The RAM page of the table.
        table: u32,
    },
    /// Stores to a RAM page must be seen from now on.
    Watched {
        /// The RAM page.
        page: u32,
    },
    /// Stores to many pages must be seen from now on.
    Everything,
}

const KEPT: usize = 256;

/// The latest changes, numbered without end.
#[derive(Default)]
pub struct ChangeLog {
    /// The number of the first one in `latest`.
    first: u64,
    latest: Vec<Change>,
}

impl ChangeLog {
    /// Adds one.
    pub fn push(&mut self, change: Change) {
        if self.latest.len() == KEPT {
            self.first += KEPT as u64;
            self.latest.clear();
        }
        self.latest.push(change);
    }

    /// The number that the next change will get.
    #[inline]
    pub fn next(&self) -> u64 {
        self.first + self.latest.len() as u64
    }

    /// The changes from number `from` on; `None` if some of them are no longer known.
    pub fn since(&self, from: u64) -> Option<&[Change]> {
        self.latest.get(usize::try_from(from.checked_sub(self.first)?).ok()?..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_who_is_too_late_is_told_so() {
        let mut log = ChangeLog::default();
        assert_eq!(log.since(0), Some(&[][..]));
        for page in 0..KEPT as u32 {
            log.push(Change::Watched { page });
        }
        assert_eq!(log.since(0).map(<[_]>::len), Some(KEPT));
        log.push(Change::Everything);
        assert_eq!(log.since(KEPT as u64 - 1), None);
        assert_eq!(log.since(KEPT as u64), Some(&[Change::Everything][..]));
        assert_eq!(log.next(), KEPT as u64 + 1);
    }
}
