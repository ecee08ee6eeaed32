//! What can be said of a run by its trace events. Each analysis makes a part of its answer of the
//! records of a piece, on any thread; the parts are put together in the order of the run.

mod address_map;
pub mod callgraph;
mod code;
pub mod coverage;
pub mod history;
pub mod stats;

pub use address_map::AddressMap;
pub use code::Code;
