//! The options of the commands that know Linux guests.

use super::{AccelArgs, ImageArgs};
use clap::Args;
use dejavm_core::types::VcpuId;
use std::path::PathBuf;

/// A place of a recorded run.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// The journal.
    #[arg(value_name = "FILE")]
    pub journal: PathBuf,
    /// The position before this instruction (default: the end of the recording).
    #[arg(long, value_name = "ICOUNT")]
    pub at: Option<u64>,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
    /// Where the images are, if not in the journal.
    #[command(flatten)]
    pub images: ImageArgs,
}

/// `dejavm ps`
#[derive(Debug, Args)]
pub struct PsArgs {
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The threads of each process, too.
    #[arg(short = 'T', long)]
    pub threads: bool,
}

/// `dejavm bt`
#[derive(Debug, Args)]
pub struct BtArgs {
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Of what this vCPU executes (default: of the one whose turn it is).
    #[arg(long, value_name = "N", conflicts_with_all = ["pid", "all"])]
    pub vcpu: Option<VcpuId>,
    /// Of the thread with this pid.
    #[arg(long, value_name = "PID", conflicts_with = "all")]
    pub pid: Option<i32>,
    /// Of all threads.
    #[arg(short, long)]
    pub all: bool,
    /// The program's symbols: an ELF file, or what nm prints, at the addresses that it runs at.
    #[arg(long, value_name = "FILE")]
    pub user_symbols: Option<PathBuf>,
}

/// `dejavm modules`
#[derive(Debug, Args)]
pub struct ModulesArgs {
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// `dejavm symbols`
#[derive(Debug, Args)]
pub struct SymbolsArgs {
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Only these: names, or addresses as 0xffffffff81000000 (default: all symbols).
    #[arg(value_name = "NAME|ADDRESS")]
    pub wanted: Vec<String>,
    /// Take them from a file instead, moved to where the kernel is: vmlinux or System.map.
    #[arg(long, value_name = "FILE")]
    pub symbols: Option<PathBuf>,
}

/// `dejavm syscalls`
#[derive(Debug, Args)]
pub struct SyscallsArgs {
    /// The journal.
    #[arg(value_name = "FILE")]
    pub journal: PathBuf,
    /// The first icount (default: where the journal begins).
    #[arg(long, value_name = "ICOUNT")]
    pub from: Option<u64>,
    /// The first icount that is not wanted any more (default: all to the end).
    #[arg(long, value_name = "ICOUNT")]
    pub to: Option<u64>,
    /// Only of this process, or thread; several times for several.
    #[arg(short, long, value_name = "PID")]
    pub pid: Vec<i32>,
    /// Only of threads whose name matches, as 'sh' or 'kworker*'; several times for several.
    #[arg(short, long, value_name = "PATTERN")]
    pub comm: Vec<String>,
    /// Only calls whose name matches, as 'openat' or 'clone*'; several times for several.
    #[arg(short = 'e', long, value_name = "PATTERN")]
    pub name: Vec<String>,
    /// Only those that failed.
    #[arg(short = 'Z', long)]
    pub failed: bool,
    /// One JSON object per line.
    #[arg(long)]
    pub json: bool,
    /// Where the images are, if not in the journal.
    #[command(flatten)]
    pub images: ImageArgs,
    /// The engine.
    #[command(flatten)]
    pub accel: AccelArgs,
}

pub(super) const PS_EXAMPLES: &str = "\
Examples:
  dejavm ps boot.dj --at 1200000000
  dejavm ps boot.dj --threads --json | jq '.[] | select(.comm == \"sh\")'

The guest does nothing for it: its kernel says in memory where its symbols are (kallsyms), and how its
structures are laid out (BTF). Without BTF (CONFIG_DEBUG_INFO_BTF; distributions have it) there is no list.";

pub(super) const BT_EXAMPLES: &str = "\
Examples:
  dejavm bt boot.dj --at 1200000000             what the vCPU whose turn it is executes
  dejavm bt boot.dj --at 1200000000 --pid 42    where a thread waits
  dejavm bt boot.dj --at 1200000000 --all       all threads

A frame of the kernel is found by ORC, one of user space by frame pointers. Programs are often compiled
without them: then return addresses are taken from the stack, and each is marked with '?'.";

pub(super) const SYMBOLS_EXAMPLES: &str = "\
Examples:
  dejavm symbols boot.dj                               all, as /proc/kallsyms has them
  dejavm symbols boot.dj vfs_read 0xffffffff81234567   address of a name, name of an address
  dejavm symbols boot.dj --symbols System.map vfs_read

They are those of the kernel in the guest's memory, at the addresses where KASLR has put it, with those of the
modules that are loaded there.";

pub(super) const SYSCALLS_EXAMPLES: &str = "\
Examples:
  dejavm syscalls boot.dj                               all calls of all processes
  dejavm syscalls boot.dj --comm ls -e 'open*'
  dejavm syscalls boot.dj --from 900000000 --to 950000000 --json | jq .name

A line is: icount of the instruction that made the call, pid, name of the thread, the call as strace shows it. It
comes when the call returns; those that have not returned come last, with '= ?'. `dejavm replay FILE --seek ICOUNT`
leads to the call. A call that was made before --from is left out.";
