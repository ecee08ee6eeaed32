//! `dejavm memhist`: who accessed some bytes.

mod last_store;

use super::stretch::Stretch;
use crate::args::MemhistArgs;
use crate::error::Failure;
use crate::exit::Exit;
use dejavm_core::boundary::{ProbeEvent, ProbeRecord};
use dejavm_trace::analysis::history::Place;
use serde_json::json;

/// Does it.
pub fn execute(args: &MemhistArgs) -> Result<Exit, Failure> {
    let place = Place { address: args.address, bytes: args.size, physical: args.physical, cr3: args.cr3 };
    if let Some(before) = args.before {
        return last_store::execute(args, &place, before);
    }
    let mut stretch = Stretch::open(&args.journal, &args.window)?;
    let looked = stretch.look(
        "looking",
        place.probes(!args.stores),
        &|records, _| records.iter().filter(|r| place.is_touched_by(r)).cloned().collect::<Vec<_>>(),
        &mut |records| {
            records.iter().for_each(|record| say(args, record));
            true
        },
    )?;
    Ok(looked.failed().unwrap_or(Exit::Success))
}

/// Prints an access.
fn say(args: &MemhistArgs, record: &ProbeRecord) {
    let (verb, access) = match &record.event {
        ProbeEvent::Load(access) => ("load", access),
        ProbeEvent::Store(access) => ("store", access),
        _ => return,
    };
    let vcpu = record.vcpu.unwrap_or_default();
    if args.json {
        crate::say!(
            "{}",
            json!({ "icount": record.position.icount, "ns": record.position.now_ns, "vcpu": vcpu,
                    "cpl": record.cpl, "cr3": record.cr3, "access": verb, "address": access.address,
                    "physical": access.physical, "size": access.size, "value": access.value,
                    "value_high": access.high })
        );
        return;
    }
    let value = match access.size {
        0..=8 => format!("{:#x}", access.value),
        _ => format!("{:#x}", u128::from(access.high) << 64 | u128::from(access.value)),
    };
    crate::say!(
        "{} {vcpu} cpl={} cr3={:#x} {verb:<5} {:#x} physical={:#x} size={} value={value}",
        record.position.icount,
        record.cpl,
        record.cr3,
        access.address,
        access.physical,
        access.size,
    );
}
