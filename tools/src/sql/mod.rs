//! SQL over the tables of a recording, by DataFusion (datafusion.apache.org). A query is planned
//! first, so that only what it needs of the tables is made; then it runs over their files, and its
//! answer is written as it comes.

mod answer;
mod bounds;
mod provider;
mod query;

pub use answer::Answer;
pub use query::{Need, Query, STACK_BYTES};
