//! `dejavm stats`: what a stretch of a run consists of.

use super::stretch::Stretch;
use crate::args::{StatsArgs, StatsPart};
use crate::error::Failure;
use crate::exit::Exit;
use dejavm_core::boundary::{ProbeKind, ProbeSettings};
use dejavm_replay::session::timeline::Extraction;
use dejavm_trace::analysis::stats::Stats;
use serde_json::{Map, Value, json};

const ALL: [StatsPart; 4] = [StatsPart::Events, StatsPart::Mix, StatsPart::Blocks, StatsPart::Pages];

/// Does it.
pub fn execute(args: &StatsArgs) -> Result<Exit, Failure> {
    let parts = if args.only.is_empty() { ALL.to_vec() } else { args.only.clone() };
    let mut stretch = Stretch::open(&args.stretch.journal, &args.stretch.window)?;
    stretch.waiting = Extraction::MANY_WAITING;
    let mut stats = Stats::default();
    let looked = stretch.look(
        "counting",
        probes(&parts),
        &|records, machine| Stats::of(records, machine),
        &mut |part| {
            stats.add(part);
            true
        },
    )?;
    if let Some(exit) = looked.failed() {
        return Ok(exit);
    }
    if args.json {
        crate::say!("{}", as_json(&stats, &parts, args.top));
    } else {
        print(&stats, &parts, args.top);
    }
    Ok(Exit::Success)
}

/// The events that are wanted for some parts.
fn probes(parts: &[StatsPart]) -> ProbeSettings {
    let wanted = |kind: &ProbeKind| {
        parts.iter().any(|part| match (part, kind) {
            (StatsPart::Pages, kind) => matches!(kind, ProbeKind::Load | ProbeKind::Store),
            (StatsPart::Mix, kind) => *kind == ProbeKind::Instruction,
            (StatsPart::Blocks, kind) => matches!(kind, ProbeKind::Instruction | ProbeKind::Block),
            (StatsPart::Events, kind) => !matches!(
                kind,
                ProbeKind::Instruction | ProbeKind::Block | ProbeKind::Load | ProbeKind::Store
            ),
        })
    };
    ProbeSettings::of(ProbeKind::all().filter(wanted))
}

fn print(stats: &Stats, parts: &[StatsPart], top: usize) {
    if parts.contains(&StatsPart::Events) {
        crate::say!("{:>14}  event", "count");
        stats.events().iter().for_each(|(name, count)| crate::say!("{count:>14}  {name}"));
    }
    if parts.contains(&StatsPart::Mix) {
        let (mix, unreadable) = stats.mix();
        let total = (mix.iter().map(|(_, count)| count).sum::<u64>() + unreadable).max(1);
        crate::say!("\n{:>14}  {:>6}  instruction", "count", "share");
        let line = |name: &str, count: u64| {
            crate::say!("{count:>14}  {:>5.2}%  {name}", count as f64 * 100.0 / total as f64);
        };
        mix.iter().take(top).for_each(|(name, count)| line(name, *count));
        if unreadable != 0 {
            line("(unreadable by now)", unreadable);
        }
    }
    if parts.contains(&StatsPart::Blocks) {
        crate::say!("\n{:>14}  {:>14}  {:>18}  block", "instructions", "runs", "cr3");
        for ((address, cr3), count) in stats.blocks().iter().take(top) {
            let space = if *cr3 == 0 { "-".to_owned() } else { format!("{cr3:#x}") };
            crate::say!("{:>14}  {:>14}  {space:>18}  {address:#x}", count.instructions, count.runs);
        }
    }
    if parts.contains(&StatsPart::Pages) {
        crate::say!("\n{:>14}  {:>14}  page", "loads", "stores");
        for (page, count) in stats.pages().iter().take(top) {
            crate::say!("{:>14}  {:>14}  {:#x}", count.loads, count.stores, page << 12);
        }
    }
}

fn as_json(stats: &Stats, parts: &[StatsPart], top: usize) -> Value {
    let mut all = Map::new();
    for part in parts {
        match part {
            StatsPart::Events => {
                let events = stats.events().into_iter().map(|(name, count)| (name.to_owned(), count.into()));
                all.insert("events".into(), Value::Object(events.collect()));
            }
            StatsPart::Mix => {
                let (mix, unreadable) = stats.mix();
                let mix = mix.into_iter().map(|(name, count)| (name.to_owned(), count.into()));
                all.insert("mix".into(), Value::Object(mix.collect()));
                all.insert("unreadable".into(), unreadable.into());
            }
            StatsPart::Blocks => {
                let blocks = stats.blocks().into_iter().take(top).map(|((address, cr3), count)| {
                    json!({ "address": address, "cr3": cr3, "runs": count.runs,
                            "instructions": count.instructions })
                });
                all.insert("blocks".into(), blocks.collect());
            }
            StatsPart::Pages => {
                let pages = stats.pages().into_iter().take(top).map(|(page, count)| {
                    json!({ "physical": page << 12, "loads": count.loads, "stores": count.stores })
                });
                all.insert("pages".into(), pages.collect());
            }
        }
    }
    Value::Object(all)
}
