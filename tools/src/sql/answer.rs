//! The rows that a query gives, written as they come: a table for the eye, CSV, JSON lines, Parquet.

use super::provider::HEX;
use crate::args::AnswerFormat;
use crate::error::Failure;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{
    DataType, Field, SchemaRef, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::WriterProperties;
use std::io::{self, ErrorKind, Write};

/// Columns of a table are as wide as what is in the first so many rows.
const LOOKED_AT_ROWS: usize = 1000;

/// Wider than this is no column by what is in it.
const MOST_WIDE: usize = 60;

type Output = Box<dyn Write + Send>;

/// Writes an answer.
pub struct Answer {
    format: AnswerFormat,
    output: Option<Output>,
    schema: Option<SchemaRef>,
    /// Rows of a table whose widths are not known yet.
    waiting: Vec<Vec<String>>,
    widths: Vec<usize>,
    parquet: Option<ArrowWriter<Output>>,
    rows: u64,
}

impl Answer {
    /// In a format, to `output`.
    pub fn new(format: AnswerFormat, output: Output) -> Self {
        Self {
            format,
            output: Some(output),
            schema: None,
            waiting: Vec::new(),
            widths: Vec::new(),
            parquet: None,
            rows: 0,
        }
    }

    /// Its columns are these.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn begin(&mut self, schema: &SchemaRef) -> Result<(), Failure> {
        self.schema = Some(schema.clone());
        let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        match self.format {
            AnswerFormat::Csv => self.put(&csv_line(names.into_iter().map(Some))).map(drop),
            AnswerFormat::Parquet => {
                let Some(output) = self.output.take() else { return Ok(()) };
                let properties = WriterProperties::builder()
                    .set_created_by("dejavm".to_owned())
                    .set_compression(Compression::ZSTD(Default::default()));
                let writer = ArrowWriter::try_new(output, schema.clone(), Some(properties.build()));
                self.parquet = Some(writer.map_err(|e| unwritten(&e))?);
                Ok(())
            }
            AnswerFormat::Table | AnswerFormat::Json => Ok(()),
        }
    }

    /// Rows more. False: nobody reads any more.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<bool, Failure> {
        self.rows += batch.num_rows() as u64;
        match self.format {
            AnswerFormat::Parquet => {
                let writer = self.parquet.as_mut();
                writer.map_or(Ok(()), |w| w.write(batch)).map(|()| true).map_err(|e| unwritten(&e))
            }
            AnswerFormat::Csv => {
                let rows = rows(batch, false)?;
                self.put(&rows.into_iter().map(csv_line).collect::<String>())
            }
            AnswerFormat::Json => self.put(&json_lines(batch)?),
            AnswerFormat::Table => {
                let lines = rows(batch, true)?.into_iter();
                self.waiting
                    .extend(lines.map(|row| row.into_iter().map(|c| c.unwrap_or("null".into())).collect()));
                if self.waiting.len() < LOOKED_AT_ROWS && self.widths.is_empty() {
                    return Ok(true);
                }
                self.put_waiting()
            }
        }
    }

    /// All rows were there; how many.
    ///
    /// # Errors
    /// If the end cannot be written.
    pub fn finish(mut self) -> Result<u64, Failure> {
        if self.format == AnswerFormat::Table && self.schema.is_some() {
            self.put_waiting()?;
            let rows = self.rows;
            self.put(&format!("({rows} row{})\n", if rows == 1 { "" } else { "s" }))?;
        }
        if let Some(writer) = self.parquet.take() {
            writer.into_inner().map_err(|e| unwritten(&e))?.flush().map_err(|e| failed(&e))?;
        }
        match self.output.take().map(|mut output| output.flush()) {
            Some(Err(error)) if error.kind() != ErrorKind::BrokenPipe => Err(failed(&error)),
            _ => Ok(self.rows),
        }
    }

    fn put_waiting(&mut self) -> Result<bool, Failure> {
        let Some(schema) = self.schema.clone() else { return Ok(true) };
        let mut text = String::new();
        if self.widths.is_empty() {
            let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
            let widest = |n: usize, name: &String| {
                let cells = self.waiting.iter().map(|row| row[n].chars().count());
                cells.max().unwrap_or(0).min(MOST_WIDE).max(name.chars().count())
            };
            self.widths = names.iter().enumerate().map(|(n, name)| widest(n, name)).collect();
            text += &table_line(&names, &self.widths, &schema);
            text += &self.widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>().join("  ");
            text.push('\n');
        }
        for row in std::mem::take(&mut self.waiting) {
            text += &table_line(&row, &self.widths, &schema);
        }
        self.put(&text)
    }

    fn put(&mut self, text: &str) -> Result<bool, Failure> {
        match self.output.as_mut().map(|output| output.write_all(text.as_bytes())) {
            None => Ok(true),
            Some(Ok(())) => Ok(true),
            // Whoever reads has seen enough.
            Some(Err(error)) if error.kind() == ErrorKind::BrokenPipe => {
                self.output = None;
                Ok(false)
            }
            Some(Err(error)) => Err(failed(&error)),
        }
    }
}

fn failed(error: &io::Error) -> Failure {
    Failure::new(format!("the answer cannot be written: {error}"))
}

fn unwritten(error: &dyn std::error::Error) -> Failure {
    Failure::new(format!("the answer cannot be written: {error}"))
}

fn unshown(error: &ArrowError) -> Failure {
    Failure::new(format!("a value cannot be shown: {error}"))
}

/// Each row as texts; None: no value.
fn rows(batch: &RecordBatch, hex: bool) -> Result<Vec<Vec<Option<String>>>, Failure> {
    let options = FormatOptions::default();
    let schema = batch.schema();
    let mut rows = vec![Vec::with_capacity(batch.num_columns()); batch.num_rows()];
    for (array, field) in batch.columns().iter().zip(schema.fields()) {
        let in_hex = hex && field.metadata().contains_key(HEX);
        let formatter = ArrayFormatter::try_new(array, &options).map_err(|e| unshown(&e))?;
        for (n, row) in rows.iter_mut().enumerate() {
            let cell = match unsigned(array, n).filter(|_| in_hex) {
                _ if array.is_null(n) => None,
                Some(number) => Some(format!("{number:#x}")),
                None => Some(formatter.value(n).try_to_string().map_err(|e| unshown(&e))?),
            };
            row.push(cell);
        }
    }
    Ok(rows)
}

fn unsigned(array: &ArrayRef, n: usize) -> Option<u64> {
    match array.data_type() {
        DataType::UInt8 => Some(array.as_primitive::<UInt8Type>().value(n).into()),
        DataType::UInt16 => Some(array.as_primitive::<UInt16Type>().value(n).into()),
        DataType::UInt32 => Some(array.as_primitive::<UInt32Type>().value(n).into()),
        DataType::UInt64 => Some(array.as_primitive::<UInt64Type>().value(n)),
        _ => None,
    }
}

fn table_line(cells: &[String], widths: &[usize], schema: &SchemaRef) -> String {
    let one = |((cell, width), field): ((&String, &usize), &std::sync::Arc<Field>)| {
        if field.data_type().is_numeric() { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
    };
    let cells: Vec<String> = cells.iter().zip(widths).zip(schema.fields()).map(one).collect();
    let mut line = cells.join("  ").trim_end().to_owned();
    line.push('\n');
    line
}

/// RFC 4180, but for the ends of lines.
fn csv_line(cells: impl IntoIterator<Item = Option<String>>) -> String {
    let quoted = |cell: String| match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell,
    };
    let cells: Vec<String> = cells.into_iter().map(|cell| cell.map(quoted).unwrap_or_default()).collect();
    cells.join(",") + "\n"
}

/// Numbers are numbers, all else but truths is text.
fn json_lines(batch: &RecordBatch) -> Result<String, Failure> {
    let schema = batch.schema();
    let mut text = String::new();
    for row in rows(batch, false)? {
        let member = |(cell, field): (Option<String>, &std::sync::Arc<Field>)| {
            let name = serde_json::Value::from(field.name().as_str());
            let value = match cell {
                None => "null".to_owned(),
                Some(cell) if is_json(field.data_type(), &cell) => cell,
                Some(cell) => serde_json::Value::from(cell).to_string(),
            };
            format!("{name}:{value}")
        };
        let members: Vec<String> = row.into_iter().zip(schema.fields()).map(member).collect();
        text += &format!("{{{}}}\n", members.join(","));
    }
    Ok(text)
}

/// Whether the text of a value is JSON; NaN and infinities are not.
fn is_json(kind: &DataType, text: &str) -> bool {
    *kind == DataType::Boolean
        || kind.is_numeric() && text.ends_with(|c: char| c.is_ascii_digit()) && !text.contains("inf")
}
