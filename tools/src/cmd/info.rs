//! `dejavm info`: what a journal holds.

use super::verify::{journal_failure, reader};
use crate::args::{CheckpointArgs, InfoArgs};
use crate::error::Failure;
use crate::exit::Exit;
use crate::output::print;
use crate::say;
use dejavm_replay::checkpoint::{SideSummary, inspect, side_path};
use dejavm_replay::journal::Ending;
use dejavm_replay::journal::frame::{CHUNK_HEADER_LEN, ChunkKind};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// All that `info` says, as JSON has it.
#[derive(Debug, Serialize)]
struct Info {
    file_bytes: u64,
    /// What the images take in the file, compressed.
    images_bytes: u64,
    /// What events and state hashes take in the file, compressed.
    events_bytes: u64,
    recorded_by: String,
    cpu_model: String,
    machine: MachineInfo,
    images: Vec<ImageInfo>,
    /// Where the run begins: after 0 if the journal begins with a state.
    first_icount: u64,
    first_ns: u64,
    /// What the state that the run begins with takes in the file, compressed.
    start_bytes: u64,
    /// Where it ends.
    last_icount: u64,
    length_icount: u64,
    length_ns: u64,
    state_hashes: usize,
    events: BTreeMap<&'static str, ClassInfo>,
    clean: bool,
    ending: String,
    /// What is in the file beside it, if there is one.
    checkpoints: Option<CheckpointsInfo>,
}

#[derive(Debug, Serialize)]
struct CheckpointsInfo {
    count: usize,
    bytes: u64,
    /// What they may take, if a replay is told nothing else.
    budget_bytes: u64,
    first_icount: u64,
    last_icount: u64,
}

impl CheckpointsInfo {
    /// Those of the journal at `path`.
    fn beside(path: &Path) -> Option<Self> {
        let side_file = side_path(path);
        let SideSummary { bytes, count, range, .. } = inspect(&side_file).ok()?;
        let budget_bytes = CheckpointArgs::default().budget(&side_file)?;
        let (first_icount, last_icount) = range.unwrap_or_default();
        Some(Self { count, bytes, budget_bytes, first_icount, last_icount })
    }
}

#[derive(Debug, Serialize)]
struct MachineInfo {
    vcpus: u32,
    ram_bytes: u64,
    command_line: String,
    seed: u64,
    rtc_start_unix_s: i64,
    quantum_icount: u32,
}

#[derive(Debug, Serialize)]
struct ImageInfo {
    role: String,
    file_name: String,
    hash: String,
    embedded: bool,
}

#[derive(Debug, Default, Serialize)]
struct ClassInfo {
    count: usize,
    payload_bytes: usize,
}

/// Does it.
pub fn execute(args: &InfoArgs) -> Result<Exit, Failure> {
    let info = collect(&args.journal)?;
    if args.json {
        let json = serde_json::to_string_pretty(&info).map_err(|e| Failure::new(e.to_string()))?;
        say!("{json}");
    } else {
        print(format_args!("{}", text(&args.journal, &info)));
    }
    Ok(Exit::Success)
}

fn collect(path: &Path) -> Result<Info, Failure> {
    let file_bytes = std::fs::metadata(path).map_err(|e| Failure::file("read", path, &e))?.len();
    let mut reader = reader(path)?;
    let chunks: Vec<_> = reader.events_chunks().copied().collect();
    let mut events: BTreeMap<&'static str, ClassInfo> = BTreeMap::new();
    for chunk in &chunks {
        let chunk = reader.read_events(chunk).map_err(|e| journal_failure(path, &e))?;
        for (_, event) in &chunk.events {
            let (class, size) = event.class_and_size();
            let class = class.name();
            let entry = events.entry(class).or_default();
            entry.count += 1;
            entry.payload_bytes += size;
        }
    }
    let stored = |kind: ChunkKind| {
        let of_kind = reader.chunks().iter().filter(|chunk| chunk.kind == kind);
        of_kind.map(|chunk| u64::from(chunk.stored_len) + CHUNK_HEADER_LEN as u64).sum()
    };
    let (images_bytes, events_bytes) = (stored(ChunkKind::Image), stored(ChunkKind::Events));
    let header = reader.header();
    let (clean, ending) = match reader.ending() {
        Ending::Clean(end) => (true, end.reason.to_string()),
        Ending::Unclean { torn: Some(place), .. } => {
            (false, format!("torn: {place} is incomplete; the run is known up to the chunk before"))
        }
        Ending::Unclean { torn: None, .. } => (false, "torn: no end was recorded".to_owned()),
    };
    let config = header.config.clone();
    Ok(Info {
        file_bytes,
        images_bytes,
        events_bytes,
        recorded_by: format!("dejavm {}", header.dejavm_version),
        cpu_model: format!("{} version {}", header.cpu_model.name, header.cpu_model.version),
        machine: MachineInfo {
            vcpus: config.vcpus,
            ram_bytes: config.ram_bytes,
            command_line: config.command_line,
            seed: config.seed,
            rtc_start_unix_s: config.rtc_start_unix_s,
            quantum_icount: config.quantum_icount,
        },
        images: header
            .images
            .iter()
            .map(|image| ImageInfo {
                role: image.role.to_string(),
                file_name: image.file_name.clone(),
                hash: image.hash.to_string(),
                embedded: image.embedded,
            })
            .collect(),
        first_icount: reader.first().icount,
        first_ns: reader.first().now_ns,
        start_bytes: stored(ChunkKind::Start),
        last_icount: reader.last().icount,
        length_icount: reader.last().icount - reader.first().icount,
        length_ns: reader.last().now_ns - reader.first().now_ns,
        state_hashes: chunks.len() + usize::from(clean),
        events,
        clean,
        ending,
        checkpoints: CheckpointsInfo::beside(path),
    })
}

fn text(path: &Path, info: &Info) -> String {
    let machine = &info.machine;
    let mut lines = vec![
        format!(
            "journal     {}: {} bytes, of which images {}, events and hashes {}",
            path.display(),
            info.file_bytes,
            info.images_bytes,
            info.events_bytes
        ),
        format!("recorded by {}, CPU model {}", info.recorded_by, info.cpu_model),
        format!(
            "machine     {} vCPU{}, {} MiB RAM, seed {:#x}, RTC starts at {} (Unix), quantum {}",
            machine.vcpus,
            if machine.vcpus == 1 { "" } else { "s" },
            machine.ram_bytes >> 20,
            machine.seed,
            machine.rtc_start_unix_s,
            machine.quantum_icount,
        ),
        format!("append      {}", machine.command_line),
    ];
    for image in &info.images {
        let place = if image.embedded { "in the journal" } else { "not in the journal" };
        lines.push(format!("{:<11} {}, SHA-256 {}, {place}", image.role, image.file_name, image.hash));
    }
    if info.start_bytes > 0 {
        lines.push(format!(
            "begins      at icount {}, {} of virtual time, with the state there ({} bytes)",
            info.first_icount,
            seconds(info.first_ns),
            info.start_bytes
        ));
    }
    lines.push(format!(
        "length      {} instructions, {} of virtual time",
        info.length_icount,
        seconds(info.length_ns)
    ));
    lines.push(format!("hashes      {}", info.state_hashes));
    if info.events.is_empty() {
        lines.push("events      none: nothing came in from outside".to_owned());
    }
    for (class, entry) in &info.events {
        lines.push(format!("events      {class}: {} ({} bytes)", entry.count, entry.payload_bytes));
    }
    if let Some(CheckpointsInfo { count, bytes, budget_bytes, first_icount, last_icount }) = &info.checkpoints
    {
        lines.push(format!(
            "checkpoints {count} beside it, {bytes} bytes, from icount {first_icount} to {last_icount}"
        ));
        lines
            .push(format!("            a replay keeps at most {budget_bytes} bytes of them (--checkpoints)"));
    }
    let how = if info.clean { "clean" } else { "NOT CLEAN" };
    lines.push(format!("end         {how}: {}", info.ending));
    lines.join("\n") + "\n"
}

fn seconds(ns: u64) -> String {
    format!("{}.{:09} s", ns / 1_000_000_000, ns % 1_000_000_000)
}
