//! A column: the values of one argument, of which only those are stored that a table does not
//! predict.

use super::TraceFileError;
use super::schema::Coding;
use super::varint::{self, Input};

const LEAST_BITS: u32 = 4;
const MOST_BITS: u32 = 14;

/// What both directions keep.
struct Predictor {
    table: Vec<u64>,
    shift: u32,
    before: u64,
    coding: Coding,
}

impl Predictor {
    fn new(coding: Coding, count: usize) -> Self {
        let bits = (usize::BITS - count.leading_zeros()).clamp(LEAST_BITS, MOST_BITS);
        Self { table: vec![0; 1 << bits], shift: 64 - bits, before: 0, coding }
    }

    #[inline(always)]
    fn slot(&self, arguments: &[u64]) -> usize {
        let key = match self.coding.context {
            0 => self.before,
            k => arguments[k as usize - 1] >> self.coding.shift,
        };
        (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> self.shift) as usize
    }

    /// What a value that is not the predicted one is told as a difference from.
    #[inline(always)]
    fn base(&self, predicted: u64) -> u64 {
        if self.coding.context == 0 { self.before } else { predicted }
    }

    #[inline(always)]
    fn minus(&self, arguments: &[u64]) -> u64 {
        match self.coding.minus {
            0 => 0,
            k => arguments[k as usize - 1],
        }
    }
}

/// A column that is written.
pub struct ColumnWriter {
    predictor: Predictor,
    hits: u64,
    bytes: Vec<u8>,
}

impl ColumnWriter {
    /// One of `count` values.
    pub fn new(coding: Coding, count: usize) -> Self {
        Self { predictor: Predictor::new(coding, count), hits: 0, bytes: Vec::new() }
    }

    /// The value of argument `k` of a record with these.
    #[inline(always)]
    pub fn put(&mut self, k: usize, arguments: &[u64]) {
        let p = &mut self.predictor;
        let value = arguments[k].wrapping_sub(p.minus(arguments));
        let slot = p.slot(arguments);
        let predicted = p.table[slot];
        if predicted == value {
            self.hits += 1;
        } else {
            p.table[slot] = value;
            varint::put(&mut self.bytes, self.hits);
            varint::put_signed(&mut self.bytes, value.wrapping_sub(p.base(predicted)));
            self.hits = 0;
        }
        p.before = value;
    }

    /// What is stored.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// A column that is read.
pub struct ColumnReader<'a> {
    predictor: Predictor,
    input: Input<'a>,
    /// So many are as predicted, and then the difference follows; None: all the rest is.
    hits: Option<u64>,
}

impl<'a> ColumnReader<'a> {
    /// One of `count` values.
    pub fn new(coding: Coding, count: usize, mut input: Input<'a>) -> Result<Self, TraceFileError> {
        let hits = next_hits(&mut input)?;
        Ok(Self { predictor: Predictor::new(coding, count), input, hits })
    }

    /// The value of the next argument of a record that has these before it.
    pub fn next(&mut self, arguments: &[u64]) -> Result<u64, TraceFileError> {
        let p = &mut self.predictor;
        let slot = p.slot(arguments);
        let predicted = p.table[slot];
        let value = match &mut self.hits {
            Some(0) => {
                let value = p.base(predicted).wrapping_add(self.input.signed()?);
                self.hits = next_hits(&mut self.input)?;
                value
            }
            Some(hits) => {
                *hits -= 1;
                predicted
            }
            None => predicted,
        };
        p.table[slot] = value;
        p.before = value;
        Ok(value.wrapping_add(p.minus(arguments)))
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
