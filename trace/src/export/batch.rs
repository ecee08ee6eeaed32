//! Rows that are collected before they are encoded, column by column.

use super::schema::{ColumnType, Schema};
use bytes::Bytes;
use parquet::data_type::ByteArray;
use std::sync::Arc;

/// What a row has in a column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cell {
    /// Nothing.
    #[default]
    Null,
    /// A number or, 0 or 1, a truth.
    Number(u64),
    /// A text that the program knows.
    Name(&'static str),
    /// A text of the run.
    Text(String),
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// The values of a column, without those that are not there.
#[derive(Clone, Debug)]
pub(super) enum Values {
    Bool(Vec<bool>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Bytes(Vec<ByteArray>),
}

/// A column of a batch.
#[derive(Clone, Debug)]
pub(super) struct Buffer {
    pub values: Values,
    /// Of each row, whether it has a value: empty if all have.
    pub levels: Vec<i16>,
    nullable: bool,
}

impl Buffer {
    fn new(kind: ColumnType, nullable: bool) -> Self {
        let values = match kind {
            ColumnType::Bool => Values::Bool(Vec::new()),
            ColumnType::U8 | ColumnType::U16 | ColumnType::U32 => Values::Int32(Vec::new()),
            ColumnType::U64 | ColumnType::I64 => Values::Int64(Vec::new()),
            ColumnType::Text => Values::Bytes(Vec::new()),
        };
        Self { values, levels: Vec::new(), nullable }
    }

    fn push(&mut self, cell: &Cell) {
        let there = *cell != Cell::Null;
        assert!(there || self.nullable, "a row without what all rows have");
        if self.nullable {
            self.levels.push(there.into());
        }
        match (&mut self.values, cell) {
            (_, Cell::Null) => {}
            // The bits are what counts: unsigned ones are stored in signed ones of their width.
            (Values::Int64(values), Cell::Number(number)) => values.push(*number as i64),
            (Values::Int32(values), Cell::Number(number)) => values.push(*number as i32),
            (Values::Bool(values), Cell::Number(number)) => values.push(*number != 0),
            (Values::Bytes(values), Cell::Name(name)) => {
                values.push(Bytes::from_static(name.as_bytes()).into());
            }
            (Values::Bytes(values), Cell::Text(text)) => values.push(text.as_bytes().to_vec().into()),
            (_, cell) => unreachable!("{cell:?} in a column of another type"),
        }
    }

    fn append(&mut self, mut other: Self) {
        self.levels.append(&mut other.levels);
        match (&mut self.values, &mut other.values) {
            (Values::Bool(a), Values::Bool(b)) => a.append(b),
            (Values::Int32(a), Values::Int32(b)) => a.append(b),
            (Values::Int64(a), Values::Int64(b)) => a.append(b),
            (Values::Bytes(a), Values::Bytes(b)) => a.append(b),
            _ => unreachable!("batches of different tables"),
        }
    }
}

/// Rows of a table.
#[derive(Clone, Debug)]
pub struct Batch {
    pub(super) schema: Arc<Schema>,
    pub(super) columns: Vec<Buffer>,
    rows: usize,
}

impl Batch {
    /// Without rows.
    pub fn new(schema: Arc<Schema>) -> Self {
        let columns = schema.columns.iter().map(|c| Buffer::new(c.kind, c.nullable)).collect();
        Self { schema, columns, rows: 0 }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// One row more.
    ///
    /// # Panics
    /// If the row is not one of this table.
    pub fn push(&mut self, row: &[Cell]) {
        assert_eq!(row.len(), self.columns.len(), "a row of another table");
        for (column, cell) in self.columns.iter_mut().zip(row) {
            column.push(cell);
        }
        self.rows += 1;
    }

    /// The rows of another batch of the same table behind its own.
    pub fn append(&mut self, other: Self) {
        self.rows += other.rows;
        for (column, more) in self.columns.iter_mut().zip(other.columns) {
            column.append(more);
        }
    }
}
