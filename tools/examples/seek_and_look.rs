//! Opens a journal, goes to a place in it, and reads registers and memory there.
//!
//!     cargo run --release --example seek_and_look -- boot.dj 1200000000
//!
//! It needs `dejavm-core` and `dejavm-replay`, and nothing of the program `dejavm`.

use dejavm_core::boundary::Images;
use dejavm_core::types::Gpa;
use dejavm_replay::journal::Reader;
use dejavm_replay::session::ReplaySession;
use std::error::Error;
use std::path::Path;

/// What is to be seen at `icount`: RIP and RSP of the vCPU whose turn it is, and the first 8 bytes of
/// physical memory.
pub fn look(journal: &Path, icount: u64) -> Result<String, Box<dyn Error>> {
    // The journal has its images in it; `Images` would bring those that it only refers to.
    let mut session = ReplaySession::open_here(Reader::open(journal)?, Images::default())?;
    // An observer sees progress and output; `()` does not care.
    session.seek(icount, &mut ())?;
    // Forward and back are the same.
    session.seek(icount.saturating_sub(1), &mut ())?;
    session.seek(icount, &mut ())?;
    let position = session.position();
    let machine = session.machine();
    let state = &machine.vcpus()[machine.current_vcpu()].state;
    // Registers are in the order of the encoding, RIP is behind them.
    let (rip, rsp) = (state.regs[16], state.regs[4]);
    let first: Option<u64> = machine.memory().read_phys(Gpa(0));
    Ok(format!(
        "icount={} ns={} rip={rip:#x} rsp={rsp:#x} memory={:#x}",
        position.icount,
        position.now_ns,
        first.unwrap_or_default()
    ))
}

#[allow(dead_code)]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, journal, icount] = arguments.as_slice() else {
        return Err("usage: seek_and_look JOURNAL ICOUNT".into());
    };
    println!("{}", look(Path::new(journal), icount.parse()?)?);
    Ok(())
}
