//! Row groups as a file.

use super::batch::Batch;
use super::encode::{Encoded, ExportError, GROUP_ROWS, Group};
use super::schema::Schema;
use parquet::file::metadata::KeyValue;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;

/// How many rows a file has.
///
/// # Errors
/// If it is no Parquet.
pub fn rows_of(file: File) -> Result<u64, ExportError> {
    let rows = SerializedFileReader::new(file)?.metadata().file_metadata().num_rows();
    Ok(rows.max(0) as u64)
}

/// Writes a file of a table. What comes is cut into row groups by how many rows there are, so the
/// same rows in the same batches make the same bytes.
pub struct TableWriter<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    few: Batch,
    rows: u64,
}

impl<W: Write + Send> TableWriter<W> {
    /// To `output`; `about` are names and values to be kept in the file's metadata.
    ///
    /// # Errors
    /// Of the output.
    pub fn new(output: W, schema: &Arc<Schema>, about: &[(&str, String)]) -> Result<Self, ExportError> {
        let mut writer = SerializedFileWriter::new(output, schema.root.clone(), schema.properties.clone())?;
        for (key, value) in about {
            writer.append_key_value_metadata(KeyValue::new((*key).to_owned(), value.clone()));
        }
        Ok(Self { writer, few: Batch::new(schema.clone()), rows: 0 })
    }

    /// Rows more.
    ///
    /// # Errors
    /// Of the output.
    pub fn add(&mut self, encoded: Encoded) -> Result<(), ExportError> {
        match encoded {
            Encoded::Few(batch) => self.few.append(batch),
            Encoded::Many(group) => {
                self.flush()?;
                self.put(group)?;
            }
        }
        if self.few.rows() >= GROUP_ROWS { self.flush() } else { Ok(()) }
    }

    /// Closes the file; gives the output back, and how many rows there are.
    ///
    /// # Errors
    /// Of the output.
    pub fn finish(mut self) -> Result<(W, u64), ExportError> {
        self.flush()?;
        Ok((self.writer.into_inner()?, self.rows))
    }

    fn flush(&mut self) -> Result<(), ExportError> {
        if self.few.rows() == 0 {
            return Ok(());
        }
        let schema = self.few.schema.clone();
        let batch = std::mem::replace(&mut self.few, Batch::new(schema));
        self.put(Group::of(&batch)?)
    }

    fn put(&mut self, group: Group) -> Result<(), ExportError> {
        self.rows += group.rows;
        let mut row_group = self.writer.next_row_group()?;
        for (bytes, closed) in group.columns {
            row_group.append_column(&bytes, closed)?;
        }
        row_group.close()?;
        Ok(())
    }
}
