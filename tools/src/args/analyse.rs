//! The options of the commands that analyse a recording: `stats`, `coverage`, `callgraph`, `memhist`.

use super::{StretchArgs, WindowArgs};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// What stands below the options of `dejavm stats`.
pub(super) const STATS_EXAMPLES: &str = "\
Examples:
  dejavm stats boot.dj --from 900000000 --to 910000000
  dejavm stats boot.dj --only events,pages --json

Blocks begin behind branches and deliveries. Pages are physical ones, of 4 KiB. Instructions are read
from memory a few 100,000 instructions after they were executed: those of a program that is gone by
then are counted as unreadable.

All of it together watches every instruction and access, which takes many times as long as a replay:
choose a stretch, or with --only what is wanted.";

/// What stands below the options of `dejavm coverage`.
pub(super) const COVERAGE_EXAMPLES: &str = "\
Examples:
  dejavm coverage boot.dj -o boot.drcov                     for Lighthouse, dragondance, bncov
  dejavm coverage boot.dj --format lcov -o boot.info        the kernel, by its own symbols
  dejavm coverage run.dj --module prog@0x555555554000 --cpl 3 --format lcov -o prog.info
  dejavm coverage boot.dj --json | jq '.blocks | length'

A --module is an ELF file at the address that it was loaded to (0, or left out: where it was linked
to). drcov gets a module for it, and lcov the functions of its symbol table; without one, drcov has a
module for each GiB in which something ran, and lcov the symbols that a Linux guest's kernel carries.
A function's line in lcov is its number in the order of addresses.";

/// What stands below the options of `dejavm callgraph`.
pub(super) const CALLGRAPH_EXAMPLES: &str = "\
Examples:
  dejavm callgraph boot.dj --from 900000000 --to 950000000 -o boot.svg
  dejavm callgraph boot.dj --format folded | grep tcp_
  dejavm callgraph run.dj --symbols prog -o prog.svg

The width of a frame is how many instructions were executed in it, exactly: nothing is sampled. Calls
and returns are followed by the stack pointer, so each thread, task and interrupt has its own stack; what
a system call or interrupt of a program leads to stands on the program's frames. Functions that were
jumped to are part of their caller. Kernel functions are named by the symbols that a Linux guest
carries, others by --symbols.";

/// What stands below the options of `dejavm memhist`.
pub(super) const MEMHIST_EXAMPLES: &str = "\
Examples:
  dejavm memhist boot.dj 0xffffffff82a0c0d8                    all stores and loads of 8 bytes there
  dejavm memhist boot.dj 0x1000 --size 16 --physical --stores
  dejavm memhist boot.dj 0x7ffd1000 --cr3 0x5a3c000
  dejavm memhist boot.dj 0xffffffff82a0c0d8 --before 950000000  only the last store before that

Each line has the icount: `dejavm replay FILE --seek ICOUNT` stands before the instruction. --before
answers from an index beside the journal (FILE.djm), which is made of the run stretch by stretch, from
the place asked about backwards, when it is needed first; the next answer takes a few milliseconds. It
has some bytes for each store of the run; it may be deleted. --no-index looks without one, by a replay.";

/// Parts of the statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatsPart {
    /// Events by name, without those of instructions and memory.
    Events,
    /// Instructions by mnemonic.
    Mix,
    /// The blocks that took most instructions.
    Blocks,
    /// The physical pages with most accesses.
    Pages,
}

/// `dejavm stats`
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// The recording.
    #[command(flatten)]
    pub stretch: StretchArgs,
    /// Only these parts.
    #[arg(long, value_name = "PART", value_enum, value_delimiter = ',')]
    pub only: Vec<StatsPart>,
    /// How many lines of each list.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub top: usize,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// Where a result goes.
#[derive(Debug, Args)]
pub struct ResultArgs {
    /// Where it goes (default: stdout).
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write over an existing output.
    #[arg(long)]
    pub force: bool,
}

/// A format of coverage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CoverageFormat {
    /// DynamoRIO's, version 2: blocks.
    Drcov,
    /// lcov's: functions.
    Lcov,
}

/// `dejavm coverage`
#[derive(Debug, Args)]
pub struct CoverageArgs {
    /// The recording.
    #[command(flatten)]
    pub stretch: StretchArgs,
    /// An ELF file, and where it was loaded: FILE or FILE@ADDRESS.
    #[arg(long, value_name = "FILE[@ADDRESS]", value_parser = module)]
    pub module: Option<ModuleSpec>,
    /// Only what ran at this privilege level: 0 the kernel, 3 programs.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=3))]
    pub cpl: Option<u8>,
    /// Only what ran in this address space.
    #[arg(long, value_name = "CR3", value_parser = number)]
    pub cr3: Option<u64>,
    /// The format of the output.
    #[arg(long, value_enum, default_value = "drcov", conflicts_with = "json")]
    pub format: CoverageFormat,
    /// The output.
    #[command(flatten)]
    pub result: ResultArgs,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// A file, and where it was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleSpec {
    /// The file.
    pub path: PathBuf,
    /// What is added to its addresses.
    pub base: u64,
}

/// A format of a call graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CallgraphFormat {
    /// A flame graph.
    Svg,
    /// A line for each stack: `root;function;function instructions`.
    Folded,
}

/// `dejavm callgraph`
#[derive(Debug, Args)]
pub struct CallgraphArgs {
    /// The recording.
    #[command(flatten)]
    pub stretch: StretchArgs,
    /// The symbols of a program: an ELF file, and where it was loaded.
    #[arg(long, value_name = "FILE[@ADDRESS]", value_parser = module)]
    pub symbols: Option<ModuleSpec>,
    /// The format (default: svg if the output ends with .svg, else folded).
    #[arg(long, value_enum, conflicts_with = "json")]
    pub format: Option<CallgraphFormat>,
    /// The output.
    #[command(flatten)]
    pub result: ResultArgs,
    /// As JSON: a list of stacks with their instructions.
    #[arg(long)]
    pub json: bool,
}

/// `dejavm memhist`
#[derive(Debug, Args)]
pub struct MemhistArgs {
    /// The journal.
    #[arg(value_name = "FILE")]
    pub journal: PathBuf,
    /// The address: linear, unless --physical.
    #[arg(value_name = "ADDRESS", value_parser = number)]
    pub address: u64,
    /// How many bytes from there.
    #[arg(short, long, value_name = "BYTES", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub size: u64,
    /// The address is a physical one.
    #[arg(short, long)]
    pub physical: bool,
    /// Only accesses in this address space.
    #[arg(long, value_name = "CR3", value_parser = number)]
    pub cr3: Option<u64>,
    /// Only stores.
    #[arg(long)]
    pub stores: bool,
    /// Only the last store before this icount.
    #[arg(long, value_name = "ICOUNT", conflicts_with_all = ["from", "to"])]
    pub before: Option<u64>,
    /// Answer --before by a replay; neither read nor write the index.
    #[arg(long, requires = "before")]
    pub no_index: bool,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
    /// The stretch.
    #[command(flatten)]
    pub window: WindowArgs,
}

fn number(text: &str) -> Result<u64, String> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map_err(|_| format!("'{text}' is no number (decimal, or hexadecimal with 0x)"))
}

fn module(text: &str) -> Result<ModuleSpec, String> {
    match text.rsplit_once('@') {
        Some((path, base)) => Ok(ModuleSpec { path: path.into(), base: number(base)? }),
        None => Ok(ModuleSpec { path: text.into(), base: 0 }),
    }
}
