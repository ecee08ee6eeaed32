//! A recording as tables in Parquet files: a file per segment of the run, made by replaying it.
//! [`cache`] keeps them beside the journal; [`extract`] makes them, there or elsewhere.

pub mod cache;
pub mod extract;
mod places;
mod tables;

pub use cache::{Cache, Checked};
pub use extract::{Destination, Ended, Extractor};
pub use places::{Place, file_of};
pub use tables::{Tables, TablesError};
