//! Rows as the bytes of a row group, so that threads can encode what they saw before it is its
//! turn in the file.

use super::batch::{Batch, Buffer, Values};
use bytes::Bytes;
use parquet::column::writer::{ColumnCloseResult, ColumnWriter, get_column_writer};
use parquet::errors::ParquetError;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};

/// From so many rows on a batch is a row group of its own.
pub(super) const GROUP_ROWS: usize = 1 << 16;

/// Rows could not be encoded or written.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ExportError(#[from] ParquetError);

/// Rows on their way into a file.
pub enum Encoded {
    /// Few: to be encoded together with what comes before and after.
    Few(Batch),
    /// Many: encoded.
    Many(Group),
}

impl Encoded {
    /// Encodes a batch if it is worth it.
    ///
    /// # Errors
    /// If the library says so; there is nothing in a batch that could be wrong.
    pub fn of(batch: Batch) -> Result<Self, ExportError> {
        if batch.rows() < GROUP_ROWS { Ok(Self::Few(batch)) } else { Ok(Self::Many(Group::of(&batch)?)) }
    }
}

/// An encoded row group.
pub struct Group {
    pub(super) columns: Vec<(Bytes, ColumnCloseResult)>,
    pub(super) rows: u64,
}

impl Group {
    /// The rows of a batch.
    ///
    /// # Errors
    /// As [`Encoded::of`].
    pub fn of(batch: &Batch) -> Result<Self, ExportError> {
        let column = |(n, buffer): (usize, &Buffer)| column(batch, n, buffer);
        let columns = batch.columns.iter().enumerate().map(column).collect::<Result<_, _>>()?;
        Ok(Self { columns, rows: batch.rows() as u64 })
    }
}

fn column(batch: &Batch, n: usize, buffer: &Buffer) -> Result<(Bytes, ColumnCloseResult), ParquetError> {
    let schema = &batch.schema;
    let mut bytes = TrackedWrite::new(Vec::new());
    let pages = Box::new(SerializedPageWriter::new(&mut bytes));
    let mut writer = get_column_writer(schema.descriptor.column(n), schema.properties.clone(), pages);
    let levels = schema.columns[n].nullable.then_some(buffer.levels.as_slice());
    match (&mut writer, &buffer.values) {
        (ColumnWriter::BoolColumnWriter(w), Values::Bool(values)) => w.write_batch(values, levels, None)?,
        (ColumnWriter::Int32ColumnWriter(w), Values::Int32(values)) => w.write_batch(values, levels, None)?,
        (ColumnWriter::Int64ColumnWriter(w), Values::Int64(values)) => w.write_batch(values, levels, None)?,
        (ColumnWriter::ByteArrayColumnWriter(w), Values::Bytes(values)) => {
            w.write_batch(values, levels, None)?
        }
        _ => unreachable!("a writer of another type than its column"),
    };
    let closed = writer.close()?;
    Ok((bytes.into_inner()?.into(), closed))
}
