//! `dejavm coverage`: which code ran, as drcov or lcov.

use super::stretch::Stretch;
use super::symbol_files::KernelSearch;
use super::{analysis_output, symbol_files};
use crate::args::{CoverageArgs, CoverageFormat, ModuleSpec};
use crate::error::Failure;
use crate::exit::Exit;
use dejavm_core::boundary::{ProbeFilter, ProbeKind, ProbeRule, ProbeSettings};
use dejavm_core::machine::Machine;
use dejavm_replay::session::timeline::Extraction;
use dejavm_trace::analysis::coverage::{Coverage, CoveredBlock, Module, drcov, lcov};
use dejavm_trace::linux::Symbols;
use serde_json::json;

/// Does it.
pub fn execute(args: &CoverageArgs) -> Result<Exit, Failure> {
    let mut symbols = args.module.as_ref().map(symbol_files::of_file).transpose()?;
    let mut stretch = Stretch::open(&args.stretch.journal, &args.stretch.window)?;
    stretch.waiting = Extraction::MANY_WAITING;
    let rule = ProbeRule {
        filter: ProbeFilter { privilege: args.cpl, cr3: args.cr3, ..ProbeFilter::default() },
        ..ProbeRule::default()
    };
    let kinds = [ProbeKind::Instruction, ProbeKind::Block];
    let probes = ProbeSettings { on: kinds.into_iter().map(|kind| (kind, rule)).collect() };
    let kernel = KernelSearch::every(1);
    let wants_kernel = args.format == CoverageFormat::Lcov && symbols.is_none() && !args.json;
    let mut coverage = Coverage::default();
    let looked = stretch.look(
        "covering",
        probes,
        &|records, machine: &Machine| {
            if wants_kernel {
                kernel.look(machine);
            }
            Coverage::of(records, machine)
        },
        &mut |part| {
            coverage.add(part);
            true
        },
    )?;
    if let Some(exit) = looked.failed() {
        return Ok(exit);
    }
    if coverage.unread() != 0 {
        eprintln!(
            "dejavm: {} instructions could not be read any more; they count as one byte each",
            coverage.unread()
        );
    }
    if wants_kernel {
        symbols = kernel.found();
    }
    let blocks = within(coverage.blocks(), args.module.as_ref(), symbols.as_ref());
    let bytes = encode(args, &blocks, symbols)?;
    analysis_output::write(&args.result, &bytes)?;
    Ok(Exit::Success)
}

/// Blocks by the addresses of the module's file, and only those in it.
fn within(
    blocks: Vec<CoveredBlock>,
    module: Option<&ModuleSpec>,
    symbols: Option<&Symbols>,
) -> Vec<CoveredBlock> {
    let (Some(spec), Some(symbols)) = (module, symbols) else { return blocks };
    let moved = blocks.into_iter().map(|b| CoveredBlock { address: b.address.wrapping_sub(spec.base), ..b });
    moved.filter(|block| symbols.lookup(block.address).is_some()).collect()
}

fn encode(
    args: &CoverageArgs,
    blocks: &[CoveredBlock],
    symbols: Option<Symbols>,
) -> Result<Vec<u8>, Failure> {
    if args.json {
        let blocks: Vec<_> = blocks
            .iter()
            .map(|b| json!({ "address": b.address, "bytes": b.bytes, "count": b.count }))
            .collect();
        return Ok(format!("{}\n", json!({ "blocks": blocks })).into_bytes());
    }
    let name = args.module.as_ref().map_or("vmlinux".to_owned(), |spec| spec.path.display().to_string());
    match (args.format, symbols) {
        (CoverageFormat::Drcov, symbols) => {
            let extent = symbols.filter(|_| args.module.is_some()).and_then(|symbols| extent_of(&symbols));
            let known = extent.map(|(base, end)| Module { path: name, base, end });
            Ok(drcov(blocks, known.as_slice()))
        }
        (CoverageFormat::Lcov, Some(symbols)) => Ok(lcov(blocks, &symbols, &name).into_bytes()),
        (CoverageFormat::Lcov, None) => Err(Failure::new("there are no symbols to count functions by")
            .advice("give an ELF file with --module; the symbols of a Linux kernel are found once it has booted that far")),
    }
}

/// From the first symbol's address, at the beginning of its page, to behind the last.
fn extent_of(symbols: &Symbols) -> Option<(u64, u64)> {
    let code = || symbols.iter().filter(|symbol| matches!(symbol.kind, 'T' | 't' | 'W' | 'w'));
    let (first, last) = (code().next()?.address, code().last()?.address);
    Some((first & !0xFFF, symbols.end_of(last).unwrap_or(last + 1)))
}
