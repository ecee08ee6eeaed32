//! Calls a function for each trace event of a stretch of a recording. The stretch is replayed in parts
//! on all cores, where there are checkpoints; the function gets its events one by one, in the order of
//! the run.
//!
//!     cargo run --release --example on_each_event -- boot.dj 'cpu_syscall*' 900000000 950000000
//!
//! It needs `dejavm-core`, `dejavm-replay` and `dejavm-trace`, and nothing of the program `dejavm`.

use dejavm_core::boundary::{Images, ProbeRecord};
use dejavm_replay::journal::Reader;
use dejavm_replay::session::ReplaySession;
use dejavm_replay::session::timeline::Extraction;
use dejavm_trace::event::settings_of;
use dejavm_trace::sink::text_line;
use std::error::Error;
use std::path::Path;

/// Calls `act` for each event that `pattern` means, from icount `from` to before `to`, until it says
/// false. A pattern may have filters, as `dejavm trace --help` describes them.
pub fn on_each_event(
    journal: &Path,
    pattern: &str,
    (from, to): (u64, u64),
    act: &mut dyn FnMut(&ProbeRecord) -> bool,
) -> Result<(), Box<dyn Error>> {
    let mut session = ReplaySession::open_here(Reader::open(journal)?, Images::default())?;
    // Without its side file the session would have to begin at power-on; read it, add nothing.
    let _ = session.use_side_file(&journal.with_extension("djc"), 0);
    let (probes, waiting) = (settings_of([pattern])?, Extraction::FEW_WAITING);
    let extraction = Extraction { probes, from, to, machines: 2, waiting };
    // What the first function makes of a piece, on any thread, the second gets, in order.
    session.extract(
        &extraction,
        &|records| records.to_vec(),
        &mut |piece| piece.encoded.iter().all(&mut *act),
        &mut (),
    )?;
    Ok(())
}

#[allow(dead_code)]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, journal, pattern, from, to] = arguments.as_slice() else {
        return Err("usage: on_each_event JOURNAL PATTERN FROM TO".into());
    };
    on_each_event(Path::new(journal), pattern, (from.parse()?, to.parse()?), &mut |record| {
        println!("{}", text_line(record));
        true
    })
}
