//! Traces as tables: columns with types, written as Parquet (parquet.apache.org, format 2).
//!
//! A [`Table`] says which probes it is made of and how a record becomes rows. Rows are collected
//! in [`Batch`]es, encoded as row groups ([`Encoded`]) by whichever thread saw them, and put into
//! files by a [`TableWriter`]. What a file holds depends on the run alone, not on who encoded what.
//!
//! The schema is told in `docs/sql.md`.

mod batch;
mod console;
mod encode;
mod file;
mod linux;
mod schema;
mod segment;
mod table;

pub use batch::{Batch, Cell};
pub use console::{ConsoleByte, ConsoleLines};
pub use encode::{Encoded, ExportError, Group};
pub use file::{TableWriter, rows_of};
pub use linux::LinuxRows;
pub use schema::{Column, ColumnType, Schema};
pub use segment::{SEGMENT_ICOUNT, Segments};
pub use table::{Table, TableRows};
