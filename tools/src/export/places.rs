//! Where the files of a table lie: `segment=N/TABLE.parquet`, as engines know partitions from
//! Hive, or `TABLE.parquet` for a table that is made of the whole run.

use std::path::{Path, PathBuf};

/// What of a table a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A segment, by its number.
    Segment(u64),
    /// The whole run.
    Whole,
}

/// The file of a table below `folder`.
pub fn file_of(folder: &Path, table: &str, place: Place) -> PathBuf {
    let name = format!("{table}.parquet");
    match place {
        Place::Segment(number) => folder.join(format!("segment={number}")).join(name),
        Place::Whole => folder.join(name),
    }
}
