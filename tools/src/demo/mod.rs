//! The demo: a small guest with a planted race ([`guest`]), and the search for the moment it
//! strikes ([`hunt`]).

pub mod elf;
pub mod guest;
pub mod hunt;
