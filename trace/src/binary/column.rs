//! A column: the values of one argument, of which only those are stored that a table does not
//! predict.

use super::TraceFileError;
use super::schema::Coding;
use super::varint::{self, Input};

const LEAST_BITS: u32 = 4;
const MOST_BITS: u32 = 14;

/// The place in the table of a key.
#[inline(always)]
fn place(key: u64, shift: u32) -> usize {
    (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> shift) as usize
}

/// By how much keys are shifted in a column of `count` values.
fn shift_for(count: usize) -> u32 {
    64 - (usize::BITS - count.leading_zeros()).clamp(LEAST_BITS, MOST_BITS)
}

/// A table for a shift.
fn clear(table: &mut Vec<u64>, shift: u32) {
    table.clear();
    table.resize(1 << (64 - shift), 0);
}

/// What writing columns needs, to be used again.
#[derive(Default)]
pub struct ColumnWriter {
    table: Vec<u64>,
    pairs: Pairs,
}

impl ColumnWriter {
    /// The column of argument `k`, of which all arguments are given.
    pub fn encode(&mut self, coding: Coding, k: usize, arguments: &[Vec<u64>]) -> &[u8] {
        // What is in the table at first is predicted throughout.
        if coding.minus == 0 && arguments[k].iter().all(|value| *value == 0) {
            return &[];
        }
        let of = |n: u8| usize::from(n).checked_sub(1).map(|n| arguments[n].iter());
        let values = arguments[k].iter();
        match (of(coding.context), of(coding.minus)) {
            (None, None) => self.after_another(values.copied()),
            (None, Some(minus)) => self.after_another(values.zip(minus).map(|(v, m)| v.wrapping_sub(*m))),
            (Some(keys), None) => self.by_key(keys.map(|key| key >> coding.shift).zip(values.copied())),
            (Some(keys), Some(minus)) => {
                let values = values.zip(minus).map(|(v, m)| v.wrapping_sub(*m));
                self.by_key(keys.map(|key| key >> coding.shift).zip(values));
            }
        }
        &self.pairs.bytes[..self.pairs.used]
    }

    /// Values that are predicted by the one before.
    fn after_another(&mut self, values: impl ExactSizeIterator<Item = u64>) {
        let shift = shift_for(values.len());
        clear(&mut self.table, shift);
        self.pairs.begin();
        let mut before = 0;
        for value in values {
            let predicted = &mut self.table[place(before, shift)];
            if *predicted == value {
                self.pairs.hits += 1;
            } else {
                *predicted = value;
                self.pairs.put(value.wrapping_sub(before));
            }
            before = value;
        }
    }

    /// Values that are predicted by keys.
    fn by_key(&mut self, values: impl ExactSizeIterator<Item = (u64, u64)>) {
        let shift = shift_for(values.len());
        clear(&mut self.table, shift);
        self.pairs.begin();
        for (key, value) in values {
            let predicted = &mut self.table[place(key, shift)];
            if *predicted == value {
                self.pairs.hits += 1;
            } else {
                self.pairs.put(value.wrapping_sub(*predicted));
                *predicted = value;
            }
        }
    }
}

/// The pairs of a column that is written.
#[derive(Default)]
struct Pairs {
    hits: u64,
    /// What is stored, and room for more.
    bytes: Vec<u8>,
    used: usize,
}

impl Pairs {
    fn begin(&mut self) {
        (self.hits, self.used) = (0, 0);
    }

    /// A value that was not predicted, and differs so much.
    #[inline(always)]
    fn put(&mut self, difference: u64) {
        if self.bytes.len() - self.used < 2 * varint::LONGEST {
            self.bytes.resize(2 * self.bytes.len() + 4096, 0);
        }
        let room = &mut self.bytes[self.used..];
        let first = varint::write(room, std::mem::take(&mut self.hits));
        self.used += first + varint::write(&mut room[first..], varint::zigzag(difference));
    }
}

/// A column that is read.
pub struct ColumnReader<'a> {
    coding: Coding,
    table: Vec<u64>,
    shift: u32,
    before: u64,
    input: Input<'a>,
    /// So many are as predicted, and then the difference follows; None: all the rest is.
    hits: Option<u64>,
}

impl<'a> ColumnReader<'a> {
    /// One of `count` values.
    pub fn new(coding: Coding, count: usize, mut input: Input<'a>) -> Result<Self, TraceFileError> {
        let hits = next_hits(&mut input)?;
        let shift = shift_for(count);
        let mut table = Vec::new();
        clear(&mut table, shift);
        Ok(Self { coding, table, shift, before: 0, input, hits })
    }

    /// The value of the next argument of a record that has these before it.
    pub fn next(&mut self, arguments: &[u64]) -> Result<u64, TraceFileError> {
        let of = |n: u8| usize::from(n).checked_sub(1).map(|k| arguments[k]);
        let key = of(self.coding.context).map(|context| context >> self.coding.shift);
        let predicted = &mut self.table[place(key.unwrap_or(self.before), self.shift)];
        let value = match &mut self.hits {
            Some(0) => {
                let base = if key.is_none() { self.before } else { *predicted };
                let value = base.wrapping_add(self.input.signed()?);
                self.hits = next_hits(&mut self.input)?;
                value
            }
            Some(hits) => {
                *hits -= 1;
                *predicted
            }
            None => *predicted,
        };
        *predicted = value;
        self.before = value;
        Ok(value.wrapping_add(of(self.coding.minus).unwrap_or(0)))
    }

    /// That is all.
    pub fn finish(self) -> Result<(), TraceFileError> {
        match self.hits {
            None => Ok(()),
            Some(_) => Err(TraceFileError::Malformed("a column with more values than records")),
        }
    }
}

fn next_hits(input: &mut Input<'_>) -> Result<Option<u64>, TraceFileError> {
    if input.is_empty() { Ok(None) } else { input.number().map(Some) }
}
