//! The options that describe the machine, for `run` and `record`.

use super::{MemorySize, RtcBase, SerialSpec};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// What happens while every vCPU waits for an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum IdlePolicy {
    /// The host waits too, as long as the guest does, or until input comes.
    Wait,
    /// Virtual time jumps to the next timer.
    Jump,
}

/// What executes instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AccelName {
    /// The interpreter: the reference, on any host.
    Interp,
    /// The translator to the host's own instructions, on x86-64 hosts.
    Jit,
}

/// The engine. It changes speed and nothing else: a recording made with one replays with the
/// other, bit for bit.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct AccelArgs {
    /// What executes instructions. Any choice gives the same run; a recording does not remember it.
    /// By default the translator where the host has one, else the interpreter.
    #[arg(long, value_name = "ENGINE", value_enum, env = "DEJAVM_ACCEL", hide_env_values = true)]
    pub accel: Option<AccelName>,
}

/// The machine.
#[derive(Debug, Args)]
pub struct MachineArgs {
    /// The kernel: a bzImage, or an ELF with a PVH note or a 64-bit entry.
    #[arg(long, value_name = "FILE")]
    pub kernel: PathBuf,
    /// The initial RAM disk.
    #[arg(long, value_name = "FILE")]
    pub initrd: Option<PathBuf>,
    /// The kernel command line.
    #[arg(long, value_name = "TEXT", default_value = "", allow_hyphen_values = true, alias = "cmdline")]
    pub append: String,
    /// The size of RAM; without a suffix in MiB.
    #[arg(short = 'm', long = "memory", value_name = "SIZE", default_value = "256M")]
    pub memory: MemorySize,
    /// The number of vCPUs.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = vcpus)]
    pub smp: u32,
    /// Where the serial ports go, COM1 first: mon:stdio (the default for COM1), stdio, file:PATH,
    /// null or none.
    #[arg(long, value_name = "WHERE")]
    pub serial: Vec<SerialSpec>,
    /// Accepted for QEMU's sake: there are no graphics, the console is always here.
    #[arg(long)]
    pub nographic: bool,
    /// End instead of resetting.
    #[arg(long)]
    pub no_reboot: bool,
    /// What the clock shows at power-on: base=utc (now), base=2026-01-31T12:00:00, base=@SECONDS.
    #[arg(long, value_name = "base=TIME", default_value = "base=utc")]
    pub rtc: RtcBase,
    /// Seeds RDRAND, RDSEED and the boot seed (default: from the host, and recorded).
    #[arg(long)]
    pub seed: Option<u64>,
    /// How many instructions a vCPU runs before the next has its turn.
    #[arg(long, value_name = "ICOUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub quantum: Option<u32>,
    /// What happens while the guest waits (default: wait if someone may type, else jump).
    #[arg(long, value_enum)]
    pub idle: Option<IdlePolicy>,
    /// QEMU's `-display none`.
    #[arg(long, hide = true, value_parser = ["none"])]
    pub display: Option<String>,
}

/// What is watched, and what the program says about itself.
#[derive(Debug, Default, Args)]
pub struct ObserveArgs {
    /// Switch on trace events by name or pattern (`info trace-events` in the monitor lists them).
    #[arg(long, value_name = "PATTERN")]
    pub trace: Vec<String>,
    /// Where trace events go (default: stderr).
    #[arg(long, value_name = "FILE")]
    pub trace_file: Option<PathBuf>,
    /// What is logged: off, error, warn, info, debug, trace, or per module.
    #[arg(long, value_name = "FILTER", default_value = "warn")]
    pub log: String,
}

/// `N`, or QEMU's `cpus=N`; sockets and cores are not distinguished.
fn vcpus(text: &str) -> Result<u32, String> {
    let number = text.strip_prefix("cpus=").unwrap_or(text);
    let most = dejavm_core::types::MAX_VCPUS;
    match number.parse::<u32>() {
        Ok(n) if n >= 1 && n as usize <= most => Ok(n),
        _ => Err(format!("the number of vCPUs is 1 to {most}, as in `-smp 4`")),
    }
}
