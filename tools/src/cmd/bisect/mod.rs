//! `dejavm bisect`: the first place of a recording at which a condition holds.

mod console;
mod search;

use super::verify::{open_to_search, session_failure};
use crate::args::BisectArgs;
use crate::console::look;
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::print;
use crate::say;
use dejavm_core::types::Icount;
use dejavm_monitor::condition::Condition;
use dejavm_replay::session::SessionError;
use search::Search;

/// How many instructions are shown at the place.
const INSTRUCTIONS: usize = 4;

/// Does it.
pub fn execute(args: &BisectArgs) -> Result<Exit, Failure> {
    let condition = Condition::parse(&args.when).map_err(|e| {
        Failure::new(format!("--when: {e}")).advice("`dejavm bisect --help` describes expressions")
    })?;
    let session = open_to_search(&args.journal, &args.images, args.accel)?;
    let from = args.from.unwrap_or(session.first().icount);
    let to = args.to.unwrap_or(session.last().icount);
    let mut search = Search::new(session, &condition);
    match find(args, &mut search, from, to) {
        Ok(Some(icount)) => {
            report(args, &mut search, icount).map_err(|e| session_failure(&args.journal, &e))?;
            Ok(Exit::Success)
        }
        Ok(None) => {
            say!("{}: nowhere from icount {from} to {to}", args.journal.display());
            Ok(Exit::NotFound)
        }
        Err(SessionError::Divergence(divergence)) => {
            eprintln!("dejavm: {}: {divergence}", args.journal.display());
            Ok(Exit::Divergence)
        }
        Err(error) => Err(session_failure(&args.journal, &error)),
    }
}

fn find(
    args: &BisectArgs,
    search: &mut Search<'_>,
    from: Icount,
    to: Icount,
) -> Result<Option<Icount>, SessionError> {
    let (first, last) = search.bounds();
    if from < first {
        return Err(SessionError::BeforeStart { icount: from, first });
    }
    if to > last {
        return Err(SessionError::BeyondEnd { icount: to, last });
    }
    search.find_patterns(to)?;
    match search.earliest() {
        // Before that it cannot hold.
        Some(earliest) if earliest <= to => {
            let from = from.max(earliest);
            if args.monotonic { search.halve(from, to) } else { search.scan(from, to) }
        }
        _ => Ok(None),
    }
}

/// The place, and the instruction that led there.
fn report(args: &BisectArgs, search: &mut Search<'_>, icount: Icount) -> Result<(), SessionError> {
    let before = icount.checked_sub(1).filter(|before| *before >= search.bounds().0);
    let maker = match before {
        Some(before) => {
            let machine = search.at(before)?;
            let vcpu = machine.current_vcpu();
            let address = look::instruction_address_of(machine, vcpu);
            Some(look::disassembly_text(machine, vcpu, address, 1))
        }
        None => None,
    };
    let machine = search.at(icount)?;
    let position = machine.position();
    say!("{}: first at icount {icount}, virtual time {} ns", args.journal.display(), position.now_ns);
    if let Some(maker) = maker {
        say!("after       {}", maker.trim_end());
    }
    print(format_args!("{}", look::place_text(machine, INSTRUCTIONS)));
    Ok(())
}
