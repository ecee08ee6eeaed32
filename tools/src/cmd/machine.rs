//! From options to a machine: configuration and images.

use crate::args::{AccelArgs, AccelName, IdlePolicy, MachineArgs, RtcBase};
use crate::error::Failure;
use dejavm_core::boundary::{Images, MachineConfig};
use dejavm_core::machine::{Accel, Machine};
use dejavm_core::vcpu::Engine;
use dejavm_replay::checkpoint::Spacing;
use dejavm_replay::session;
use std::io::Read as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The configuration that the options describe. What they leave to the host (the time, the
/// seed) is decided here, once, and is part of the configuration from then on.
pub fn config(args: &MachineArgs) -> Result<MachineConfig, Failure> {
    let defaults = MachineConfig::default();
    Ok(MachineConfig {
        vcpus: args.smp,
        ram_bytes: args.memory.bytes,
        command_line: args.append.clone(),
        seed: args.seed.map_or_else(host_seed, Ok)?,
        rtc_start_unix_s: match args.rtc {
            RtcBase::Now => host_time()?,
            RtcBase::Unix(seconds) => seconds,
        },
        quantum_icount: args.quantum.unwrap_or(defaults.quantum_icount),
    })
}

/// The images that the options name.
pub fn images(args: &MachineArgs) -> Result<Images, Failure> {
    let initrd = args.initrd.as_deref().map(read).transpose()?;
    Ok(Images { kernel: read(&args.kernel)?, initrd })
}

/// The whole of a file.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|e| Failure::file("read", path, &e))
}

/// A machine at power-on, on its threads.
pub fn engine(config: &MachineConfig, images: &Images, accel: Accel) -> Result<Engine, Failure> {
    let mut machine = Machine::new(config, images.clone()).map_err(|e| {
        Failure::new(format!("cannot make the machine: {e}"))
            .advice("the kernel must be a bzImage, or an ELF with a PVH note or a 64-bit entry; check -m too")
    })?;
    machine.set_accel(accel).map_err(|e| Failure::new(e.to_string()))?;
    machine.time_translation(session::stopwatch_ns);
    Ok(Engine::new(machine))
}

/// How far apart checkpoints are with an engine.
pub fn spacing(accel: Accel) -> Spacing {
    match accel {
        Accel::Interp => Spacing::default(),
        Accel::Jit => Spacing::FAST,
    }
}

/// The engine that was asked for, or else the translator. Where the host has none, the interpreter;
/// with a word about it to whoever asked for the other.
pub fn accel(args: AccelArgs) -> Accel {
    let unavailable = match args.accel {
        Some(AccelName::Interp) => return Accel::Interp,
        Some(AccelName::Jit) | None => Accel::Jit.available().err(),
    };
    match (unavailable, args.accel) {
        (None, _) => return Accel::Jit,
        (Some(e), Some(_)) => eprintln!("dejavm: no --accel jit here: {e}; the interpreter serves"),
        (Some(e), None) => tracing::info!("the interpreter serves: {e}"),
    }
    Accel::Interp
}

/// What happens while the guest waits: the host waits too if someone may type.
pub fn idle_policy(asked: Option<IdlePolicy>, someone_may_type: bool) -> session::IdlePolicy {
    match asked {
        Some(IdlePolicy::Wait) => session::IdlePolicy::Wait,
        Some(IdlePolicy::Jump) => session::IdlePolicy::Skip,
        None if someone_may_type => session::IdlePolicy::Wait,
        None => session::IdlePolicy::Skip,
    }
}

/// A seed that nobody chose.
pub fn host_seed() -> Result<u64, Failure> {
    let mut seed = [0; 8];
    let path = Path::new("/dev/urandom");
    std::fs::File::open(path)
        .and_then(|mut file| file.read_exact(&mut seed))
        .map_err(|e| Failure::file("read", path, &e).advice("give a seed with --seed N"))?;
    Ok(u64::from_le_bytes(seed))
}

fn host_time() -> Result<i64, Failure> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since.ok().and_then(|d| i64::try_from(d.as_secs()).ok());
    seconds.ok_or_else(|| Failure::new("the host's clock is before 1970").advice("give -rtc base=@SECONDS"))
}
