//! The command line: what it may say, as clap derives it. QEMU's spellings are rewritten first
//! (see [`qemu_spelling`]), so that `-kernel` is `--kernel`.

mod analyse;
mod checkpoints;
mod dump;
mod gdb;
mod linux;
mod machine;
mod monitor;
pub mod qemu_spelling;
mod recordings;
mod ring;
mod rtc;
mod serial;
mod size;
mod sql;
mod trace;
mod window;

pub use analyse::{
    CallgraphArgs, CallgraphFormat, CoverageArgs, CoverageFormat, MemhistArgs, ModuleSpec, ResultArgs,
    StatsArgs, StatsPart,
};
pub use checkpoints::{CheckpointArgs, CheckpointBudget};
pub use dump::DumpArgs;
pub use gdb::{GdbArgs, GdbSpec};
pub use linux::{BtArgs, ModulesArgs, PlaceArgs, PsArgs, SymbolsArgs, SyscallsArgs};
pub use machine::{AccelArgs, AccelName, IdlePolicy, MachineArgs, ObserveArgs};
pub use monitor::{MonitorArgs, MonitorPlaces, MonitorSpec, TerminalMonitor};
pub use recordings::{BisectArgs, DiffArgs, PackArgs, TrimArgs, UnpackArgs};
pub use ring::RingSpec;
pub use rtc::RtcBase;
pub use serial::SerialSpec;
pub use size::MemorySize;
pub use sql::{AnswerFormat, SqlArgs, schema, type_name};

pub use trace::{Segment, TraceArgs, TraceFormat};
pub use window::{StretchArgs, WindowArgs};

use crate::console::crash;
use clap::{Args, Parser, Subcommand};
use regex::bytes::Regex;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  See what it is for, with nothing to download:
    dejavm demo
  Boot a kernel, record all that happens, type into it, leave with ctrl-a x:
    dejavm record -o boot.dj -kernel vmlinuz -initrd initrd.gz -append 'console=ttyS0' -m 512M
  The same run again, the same console to the byte:
    dejavm replay boot.dj
  Stand at one instruction of it, with registers, disassembly and a monitor:
    dejavm replay boot.dj --seek 1200000000
  Check every state hash of it (for CI), see what is in it:
    dejavm verify boot.dj
    dejavm info boot.dj
    dejavm events boot.dj
  The guest's memory at that instruction, for crash or gdb:
    dejavm dump boot.dj --at 1200000000 -o vmcore

On the console, ctrl-a h lists the keys; ctrl-a c opens the monitor, ctrl-a x ends.
";

/// Record a PC, replay it bit for bit, go to any instruction of it.
#[derive(Debug, Parser)]
#[command(name = "dejavm", version, about, after_help = help_end(), arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

fn help_end() -> String {
    format!("{EXAMPLES}\n{}", crate::exit::HELP)
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a guest without recording it.
    #[command(after_help = "\
Example:
  dejavm run -kernel vmlinuz -initrd initrd.gz -append 'console=ttyS0' -m 512M -smp 2")]
    Run(RunArgs),
    /// Run a guest and record it into a journal.
    #[command(after_help = "\
Example:
  dejavm record -o boot.dj -kernel vmlinuz -initrd initrd.gz -append 'console=ttyS0'

The kernel and the initrd are stored in the journal, which is then all that a replay needs, on
any machine. A recording that is killed can be replayed up to its last second.

A flight recorder, which keeps only what led up to a crash:
  dejavm record -o crash.dj --ring 30s --save-on-crash -kernel vmlinuz -initrd initrd.gz

A crash is what the guest's kernel reports through pvpanic, a triple fault, or a line of the console
that matches --save-on-crash-regex (default: Linux's \"Kernel panic - not syncing\"). The recording
ends shortly after it, with status 6.")]
    Record(RecordArgs),
    /// Replay a journal; go to a place in it.
    #[command(after_help = "\
Examples:
  dejavm replay boot.dj                        the whole run, checked against its state hashes
  dejavm replay boot.dj --seek 1000000         stand before instruction 1000000, open the monitor
  dejavm replay boot.dj --until 1000000        the console up to there, then the registers
  dejavm replay boot.dj --seek 1000000 </dev/null   registers and disassembly, then exit
  dejavm replay boot.dj -S -qmp unix:q.sock,server=on,wait=off    under the control of a program
  dejavm replay boot.dj -s                     wait for gdb: `target remote :1234`, then
                                               reverse-continue, reverse-stepi and the others
  dejavm replay boot.dj --seek 1000000 --go-live -o branch.dj   go on from there, with other input

--go-live leaves the recording: from that place on the machine takes input again, and what happens
is a new recording, which begins with the state there. (In the monitor: go_live FILE.)")]
    Replay(ReplayArgs),
    /// Say what a journal holds.
    Info(InfoArgs),
    /// Replay a journal, compare every state hash in it; the exit status is the answer.
    Verify(VerifyArgs),
    /// List what came in from outside, with icount and time.
    Events(EventsArgs),
    /// Write the guest's memory at a place of a journal for crash, gdb, drgn or makedumpfile.
    #[command(after_help = dump::EXAMPLES)]
    Dump(DumpArgs),
    /// Put kernel and initrd into a journal that only refers to them.
    #[command(after_help = "\
Examples:
  dejavm pack boot.dj                          the images are found beside the journal
  dejavm pack boot.dj --kernel vmlinuz --initrd initrd.gz -o whole.dj

The journal is replaced only when the new one is complete and was read back. Everything but the
images stays as it is: a packed journal replays as before.")]
    Pack(PackArgs),
    /// Take kernel and initrd out of a journal, into files.
    #[command(after_help = "\
Examples:
  dejavm unpack boot.dj                        images beside the journal, which shrinks
  dejavm unpack boot.dj --keep -d images       only extract them
  dejavm unpack boot.dj -o small.dj -d images

The journal keeps the SHA-256 of its images. A replay finds them beside it, or by --kernel and
--initrd; `dejavm pack` takes them in again.")]
    Unpack(UnpackArgs),
    /// Make a journal of a stretch of a recording.
    #[command(after_help = "\
Example:
  dejavm trim long.dj --from 9000000000 --to 9200000000 -o crash.dj

The new journal is complete in itself: it holds the images and the state of the machine at its
beginning, so that nothing before has to be run again. Instructions keep their numbers: what was
at icount 9100000000 still is. The stretch is replayed on the way, and its state hashes compared.")]
    Trim(TrimArgs),
    /// Find the first instruction after which something holds.
    #[command(after_help = recordings::bisect_help())]
    Bisect(BisectArgs),
    /// Find where two recordings part, and in what.
    #[command(after_help = "\
Examples:
  dejavm diff good.dj bad.dj
  dejavm diff good.dj bad.dj --ignore rtc_cmos,entropy

It tells the first different input, the first icount at which the machines differ, the instruction
before it, and the registers, device registers and pages of memory that differ. Parts that differ
from the beginning (as memory does where seeds differ) are left out, and named. The exit status is
0 if all is equal, 3 if not.")]
    Diff(DiffArgs),
    /// Ask a recording with SQL.
    #[command(after_help = sql::help())]
    Sql(SqlArgs),
    /// Write the trace events of a recorded run, or of a stretch of it.
    #[command(after_help = trace::help())]
    Trace(TraceArgs),
    /// List the processes of a Linux guest at a place.
    #[command(after_help = linux::PS_EXAMPLES)]
    Ps(PsArgs),
    /// Show who called whom at a place of a Linux guest: kernel and user space.
    #[command(after_help = linux::BT_EXAMPLES)]
    Bt(BtArgs),
    /// List the kernel modules of a Linux guest at a place.
    Modules(ModulesArgs),
    /// List or look up the kernel symbols of a Linux guest at a place.
    #[command(after_help = linux::SYMBOLS_EXAMPLES)]
    Symbols(SymbolsArgs),
    /// Show the system calls of a Linux guest, as strace does for one process.
    #[command(after_help = linux::SYSCALLS_EXAMPLES)]
    Syscalls(SyscallsArgs),
    /// Count events, instructions, blocks and accessed pages of a recorded run.
    #[command(after_help = analyse::STATS_EXAMPLES)]
    Stats(StatsArgs),
    /// Write which code of a recorded run was executed, as drcov or lcov.
    #[command(after_help = analyse::COVERAGE_EXAMPLES)]
    Coverage(CoverageArgs),
    /// Write where the instructions of a recorded run were executed, as a flame graph or folded stacks.
    #[command(after_help = analyse::CALLGRAPH_EXAMPLES)]
    Callgraph(CallgraphArgs),
    /// Tell who accessed some bytes of memory, or who stored there last.
    #[command(after_help = analyse::MEMHIST_EXAMPLES)]
    Memhist(MemhistArgs),
    /// Record a guest with a planted race, replay the run that fails, find the moment.
    Demo(DemoArgs),
}

/// `dejavm run`
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The machine.
    #[command(flatten)]
    pub machine: MachineArgs,
    /// Where monitors are.
    #[command(flatten)]
    pub monitors: MonitorArgs,
    /// The engine.
    #[command(flatten)]
    pub accel: AccelArgs,
    /// What is watched.
    #[command(flatten)]
    pub observe: ObserveArgs,
    /// Debugging with gdb.
    #[command(flatten)]
    pub gdb: GdbArgs,
    /// Stop at this icount.
    #[arg(long, value_name = "ICOUNT")]
    pub until: Option<u64>,
}

/// `dejavm record`
#[derive(Debug, Args)]
pub struct RecordArgs {
    /// The journal to write.
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Write over an existing journal.
    #[arg(long)]
    pub force: bool,
    /// Leave kernel and initrd out of the journal: only their hashes are kept, and a replay
    /// needs the files.
    #[arg(long)]
    pub reference_images: bool,
    /// What is kept to go back in time.
    #[command(flatten)]
    pub checkpoints: CheckpointArgs,
    /// Keep only the last stretch: so much of the guest's time (30s, 5min), or so many bytes on
    /// disk (500M, 2G).
    #[arg(long, value_name = "SIZE")]
    pub ring: Option<RingSpec>,
    /// Keep the journal only if the guest crashes, and end there.
    #[arg(long)]
    pub save_on_crash: bool,
    /// A line of the console that means a crash; may be given several times.
    #[arg(long, value_name = "REGEX", requires = "save_on_crash", value_parser = crash::line_regex,
          default_value = crash::PANIC_REGEX)]
    pub save_on_crash_regex: Vec<Regex>,
    /// The machine.
    #[command(flatten)]
    pub machine: MachineArgs,
    /// Where monitors are.
    #[command(flatten)]
    pub monitors: MonitorArgs,
    /// The engine.
    #[command(flatten)]
    pub accel: AccelArgs,
    /// What is watched.
    #[command(flatten)]
    pub observe: ObserveArgs,
    /// Debugging with gdb.
    #[command(flatten)]
    pub gdb: GdbArgs,
    /// Stop at this icount.
    #[arg(long, value_name = "ICOUNT")]
    pub until: Option<u64>,
}

/// The images of a journal that only refers to them.
#[derive(Clone, Debug, Default, Args)]
pub struct ImageArgs {
    /// The kernel, where the journal does not hold it.
    #[arg(long, value_name = "FILE")]
    pub kernel: Option<PathBuf>,
    /// The initial RAM disk, where the journal does not hold it.
    #[arg(long, value_name = "FILE")]
    pub initrd: Option<PathBuf>,
}

/// `dejavm replay`
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The journal.
    #[arg(value_name = "FILE")]
    pub journal: PathBuf,
    /// Go to the position before this instruction, without showing the console on the way, and
    /// open the monitor there if stdin is a terminal.
    #[arg(long, value_name = "ICOUNT")]
    pub seek: Option<u64>,
    /// Replay up to this instruction, show registers and disassembly, and end.
    #[arg(long, value_name = "ICOUNT")]
    pub until: Option<u64>,
    /// Leave the recording at --seek, or else at its end: go on live, as a new recording.
    #[arg(long, requires = "output", conflicts_with = "until")]
    pub go_live: bool,
    /// End instead of resetting, once live.
    #[arg(long)]
    pub no_reboot: bool,
    /// The journal of what happens after --go-live.
    #[arg(short, long, value_name = "FILE", requires = "go_live")]
    pub output: Option<PathBuf>,
    /// Write over an existing output.
    #[arg(long, requires = "output")]
    pub force: bool,
    /// Where the serial ports go: stdio, mon:stdio, file:PATH, null or none.
    #[arg(long, value_name = "WHERE")]
    pub serial: Vec<SerialSpec>,
    /// Where monitors are.
    #[command(flatten)]
    pub monitors: MonitorArgs,
    /// What is kept to go back in time.
    #[command(flatten)]
    pub checkpoints: CheckpointArgs,
    /// Where the images are, if not in the journal.
    #[command(flatten)]
    pub images: ImageArgs,
    /// The engine.
    #[command(flatten)]
    pub accel: AccelArgs,
    /// What is watched.
    #[command(flatten)]
    pub observe: ObserveArgs,
    /// Debugging with gdb.
    #[command(flatten)]
    pub gdb: GdbArgs,
    /// As the terminal has no graphics, this changes nothing.
    #[arg(long, hide = true)]
    pub nographic: bool,
}

/// `dejavm info`
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// The journal.
    #[arg(value_name = "FILE")]
    pub journal: PathBuf,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// `dejavm verify`
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The journal.
    #[arg(value_name = "FILE")]
    pub journal: PathBuf,
    /// Say nothing but errors.
    #[arg(short, long)]
    pub quiet: bool,
    /// Where the images are, if not in the journal.
    #[command(flatten)]
    pub images: ImageArgs,
    /// The engine.
    #[command(flatten)]
    pub accel: AccelArgs,
}

/// `dejavm events`
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// The journal.
    #[arg(value_name = "FILE")]
    pub journal: PathBuf,
}

/// `dejavm demo`
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Where to leave the journal of the failing run.
    #[arg(short, long, value_name = "FILE", default_value = "demo.dj")]
    pub output: PathBuf,
    /// The seed of the first run (default: from the clock, so that each demo differs).
    #[arg(long)]
    pub seed: Option<u64>,
}

#[cfg(test)]
mod tests;
