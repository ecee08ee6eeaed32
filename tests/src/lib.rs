//! dejavm's proofs: the harnesses that the tests of this crate share.
//!
//! The differential tests run the same [`image::Input`] on the interpreter ([`rig`]) and on the
//! host CPU ([`native`]) and compare ([`compare`]). [`isa`] reads what is to be tested,
//! [`generate`] makes cases of it, [`differential`] runs them.

pub mod accel;
pub mod busy_guest;
pub mod cli;
pub mod compare;
pub mod cpio;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod differential;
pub mod fuzz;
pub mod generate;
pub mod image;
pub mod isa;
pub mod ksymtab;
pub mod layout;
pub mod lockstep;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod native;
pub mod recording;
pub mod rig;
pub mod rng;
