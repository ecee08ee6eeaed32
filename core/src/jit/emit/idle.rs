//! NOP, fences, prefetches, ENDBR: nothing but an icount. Those that wait are interpreted.

use super::{Emitted, Emitter};
use iced_x86::{Instruction, Mnemonic};

/// The family.
pub fn emit(_: &mut Emitter<'_>, i: &Instruction) -> Emitted {
    match i.mnemonic() {
        Mnemonic::Nop
        | Mnemonic::Lfence
        | Mnemonic::Mfence
        | Mnemonic::Sfence
        | Mnemonic::Prefetchw
        | Mnemonic::Prefetchnta
        | Mnemonic::Prefetcht0
        | Mnemonic::Prefetcht1
        | Mnemonic::Prefetcht2
        | Mnemonic::Endbr32
        | Mnemonic::Endbr64 => Emitted::Done,
        _ => Emitted::No,
    }
}
