//! `dejavm callgraph`: where the instructions of a stretch were executed, by stacks.

use super::stretch::Stretch;
use super::symbol_files::KernelSearch;
use super::{analysis_output, symbol_files};
use crate::args::{CallgraphArgs, CallgraphFormat, ModuleSpec};
use crate::error::Failure;
use crate::exit::Exit;
use dejavm_trace::analysis::callgraph::{CallGraph, Label, probes};
use dejavm_trace::linux::Symbols;
use inferno::flamegraph;
use serde_json::{Value, json};

/// The kernel's symbols are looked for again after so many pieces without them.
const LOOK_AGAIN: u64 = 64;

/// Does it.
pub fn execute(args: &CallgraphArgs) -> Result<Exit, Failure> {
    let program = args.symbols.as_ref().map(symbol_files::of_file).transpose()?;
    let mut stretch = Stretch::open(&args.stretch.journal, &args.stretch.window)?;
    let kernel = KernelSearch::every(LOOK_AGAIN);
    let mut graph = CallGraph::new(stretch.from);
    let looked = stretch.look(
        "following calls",
        probes(),
        &|records, machine| {
            kernel.look(machine);
            records.to_vec()
        },
        &mut |records| {
            graph.add(&records);
            true
        },
    )?;
    if let Some(exit) = looked.failed() {
        return Ok(exit);
    }
    graph.finish(stretch.to);
    let names = Names { kernel: kernel.found(), program: args.symbols.as_ref().zip(program) };
    let lines = graph.folded(&|label| names.of(label));
    let bytes = encode(args, &lines)?;
    analysis_output::write(&args.result, &bytes)?;
    Ok(Exit::Success)
}

struct Names<'a> {
    kernel: Option<Symbols>,
    program: Option<(&'a ModuleSpec, Symbols)>,
}

impl Names<'_> {
    fn of(&self, label: Label) -> String {
        match label {
            Label::Function(address) => self.function(address),
            Label::Vector(vector) => format!("[vector {vector:#x}]"),
            Label::Syscall => "[system call]".to_owned(),
            Label::Program(cr3) => format!("program at CR3 {cr3:#x}"),
            Label::Kernel => "kernel".to_owned(),
        }
    }

    fn function(&self, address: u64) -> String {
        let of_kernel = || self.kernel.as_ref().and_then(|symbols| symbols.describe(address));
        let of_program = || {
            let (spec, symbols) = self.program.as_ref()?;
            symbols.describe(address.wrapping_sub(spec.base))
        };
        of_program().or_else(of_kernel).unwrap_or_else(|| format!("{address:#x}"))
    }
}

fn encode(args: &CallgraphArgs, lines: &[String]) -> Result<Vec<u8>, Failure> {
    let is_svg = args.result.output.as_ref().and_then(|path| path.extension()).is_some_and(|e| e == "svg");
    let by_name = if is_svg { CallgraphFormat::Svg } else { CallgraphFormat::Folded };
    if args.json {
        let stack = |line: &String| {
            let (path, count) = line.rsplit_once(' ')?;
            let frames: Vec<&str> = path.split(';').collect();
            Some(json!({ "stack": frames, "instructions": count.parse::<u64>().ok()? }))
        };
        let stacks: Value = lines.iter().filter_map(stack).collect();
        return Ok(format!("{stacks}\n").into_bytes());
    }
    match args.format.unwrap_or(by_name) {
        CallgraphFormat::Folded => {
            Ok(lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect::<String>().into_bytes())
        }
        CallgraphFormat::Svg => svg(lines),
    }
}

fn svg(lines: &[String]) -> Result<Vec<u8>, Failure> {
    let mut options = flamegraph::Options::default();
    options.title = "Instructions by stack".to_owned();
    options.count_name = "instructions".to_owned();
    options.deterministic = true;
    let mut svg = Vec::new();
    flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut svg)
        .map_err(|e| Failure::new(format!("no flame graph can be drawn: {e}")))?;
    Ok(svg)
}
