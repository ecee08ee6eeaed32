//! What MMX and SSE families share: availability checks, operands, the common shapes of
//! handlers, and lanes of a vector.

mod lanes;
mod ready;
mod shapes;

pub use lanes::{Lane, add_bytes, equal_bytes, min_bytes, pack, pairs, sub_bytes, unpack, zip};
pub use ready::{mmx_enter, mmx_ready, sse_ready};
pub use shapes::{
    BinaryImmOp, BinaryOp, from_memory, load_vector, mmx_binary, mmx_binary_imm, store_vector,
    wants_alignment, xmm_binary, xmm_binary_imm,
};
pub(super) use shapes::{
    binary_imm_ops, binary_ops, mmx_imm_table, mmx_table, table, xmm_imm_table, xmm_table,
};
