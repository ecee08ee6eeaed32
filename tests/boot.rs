//! Real guests: Debian's kernels boot, work and power off, recorded and replayed.

use dejavm_replay::journal::DEFAULT_INTERVAL_ICOUNT;
use dejavm_tests::cli::{Finished, Scratch, converse, on, record, run};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// The most that a run without input may take in a journal, apart from the images.
const IDLE_EVENT_BYTES: u64 = 16 << 10;

/// What the workload prints, whatever machine it runs on (QEMU prints the same). The list of
/// busybox's applets, which it hashes too, is not here: it depends on the package.
const WORKLOAD: [&str; 7] = [
    "sha256sum 72daababbfbdedb80662106f40d525ee0ad027c247af0fbfbde06a2cc7ebd1e5",
    "sort 81a3cdccaa455da75084c82942d8e2133bc8595f13529b88ace067c23d37ec42",
    "gzip 69650bfc7b1e4831a4b4f792dc486b3b",
    "awk 4000 20025550 10006",
    "float 7464.534242052",
    "jobs 6966f487e6866a48fdfc120ca1b82df2",
    "workload: done",
];

/// Records a workload, and holds replay, verification and journal against it.
fn workload(test: &str, kernel: &str, vcpus: u32) {
    let scratch = Scratch::new(test);
    let journal = scratch.file("run.dj");
    let mut command = record(&journal, kernel, vcpus, "console=ttyS0 dejavm.mode=workload");
    let recorded = run(command.args(["--idle", "jump"])).success();
    let console = recorded.console();
    assert!(console.contains(&format!("guest: up, {vcpus} processors")), "{console}");
    for line in WORKLOAD {
        assert!(console.contains(line), "{line:?} is not on the console:\n{console}");
    }
    assert!(console.contains("reboot: Power down"), "{console}");
    replays_alike(&journal, &recorded);
    let info = info(&journal);
    assert_eq!(info["clean"], true, "{info}");
    // A slow host saves more often than a run needs: held is the size on a host that keeps up.
    let number = |key: &str| info[key].as_u64().expect("a number");
    let regular_chunks = number("length_icount") / DEFAULT_INTERVAL_ICOUNT + 1;
    let bytes = number("events_bytes") / number("state_hashes") * regular_chunks;
    assert!(bytes <= IDLE_EVENT_BYTES, "{bytes} bytes of events and hashes without input: {info}");
}

fn event_bytes(class: &serde_json::Value) -> u64 {
    class["payload_bytes"].as_u64().expect("a number")
}

fn info(journal: &Path) -> serde_json::Value {
    let out = run(on("info", journal).arg("--json")).success();
    serde_json::from_slice(&out.stdout).expect("JSON")
}

/// A replay compares every state hash on its way, as `dejavm verify` does.
fn replays_alike(journal: &Path, recorded: &Finished) {
    let replayed = run(&mut on("replay", journal)).success();
    assert!(replayed.stdout == recorded.stdout, "other console in replay:\n{}", replayed.console());
}

#[test]
fn cloud_kernel_with_1_vcpu() {
    workload("cloud-1", "vmlinuz-cloud", 1);
}

#[test]
fn cloud_kernel_with_4_vcpus() {
    workload("cloud-4", "vmlinuz-cloud", 4);
}

#[test]
fn generic_kernel_with_1_vcpu() {
    workload("generic-1", "vmlinuz-generic", 1);
}

#[test]
fn generic_kernel_with_4_vcpus() {
    workload("generic-4", "vmlinuz-generic", 4);
}

/// Boots and powers off: not the workload, which takes its time.
fn boot_and_power_off(test: &str, kernel: &str, vcpus: u32) {
    let scratch = Scratch::new(test);
    let journal = scratch.file("run.dj");
    let mut command = record(&journal, kernel, vcpus, "console=ttyS0 dejavm.mode=poweroff");
    let recorded = run(command.args(["--idle", "jump"])).success();
    let console = recorded.console();
    assert!(console.contains(&format!("guest: up, {vcpus} processors")), "{console}");
    assert!(console.contains("reboot: Power down"), "{console}");
    replays_alike(&journal, &recorded);
}

#[test]
fn cloud_kernel_with_8_vcpus() {
    boot_and_power_off("cloud-8", "vmlinuz-cloud", 8);
}

/// The same kernel without its boot code, as an ELF file with a PVH note.
#[test]
fn cloud_kernel_by_pvh() {
    boot_and_power_off("cloud-pvh", "vmlinux-cloud", 1);
}

#[test]
fn typed_input_is_recorded_and_replayed() {
    let scratch = Scratch::new("typed");
    let journal = scratch.file("run.dj");
    let script = [
        ("/root # ", "echo product=$((6*7))\n"),
        ("product=42", "printf 'first\\nsecond\\n' > note; sha256sum < note\n"),
        ("dbea9325179efe46ea2add94f7b6b745ca983fabb208dc6d34aa064623d7ee23", "exit\n"),
    ];
    let recorded =
        converse(&mut record(&journal, "vmlinuz-cloud", 1, "console=ttyS0 quiet"), &script).success();
    assert!(recorded.console().contains("reboot: Power down"), "{}", recorded.console());
    let info = info(&journal);
    let serial: u64 = info["events"].as_object().expect("classes").values().map(event_bytes).sum();
    let typed: usize = script.iter().map(|(_, t)| t.len()).sum();
    assert!(serial >= typed as u64, "what was typed is not in the journal: {info}");
    replays_alike(&journal, &recorded);
    run(&mut on("verify", &journal)).success();
}

/// One journal goes on over resets, with what Linux does by itself (the FADT's reset register,
/// port CF9h), and with a triple fault.
#[test]
fn a_guest_that_resets_itself_replays_through_its_resets() {
    let scratch = Scratch::new("resets");
    let (journal, trace) = (scratch.file("run.dj"), scratch.file("trace"));
    let script = [
        ("/root # ", "echo triple > /sys/kernel/reboot/type && reboot -f\n"),
        ("/root # ", "reboot -f\n"),
        ("/root # ", "exit\n"),
    ];
    let mut command = record(&journal, "vmlinuz-cloud", 2, "console=ttyS0 quiet");
    let recorded = converse(command.args(["--idle", "jump"]), &script).success();
    let times = |text: &str| recorded.console().matches(text).count();
    assert_eq!(times("guest: up, 2 processors"), 3, "{}", recorded.console());
    assert_eq!(times("reboot: Restarting system"), 2, "{}", recorded.console());
    assert_eq!(times("reboot: Power down"), 1, "{}", recorded.console());
    let mut replay = on("replay", &journal);
    let replayed = run(replay.args(["--trace", "machine_reset", "--trace-file"]).arg(&trace)).success();
    assert!(replayed.stdout == recorded.stdout, "other console in replay:\n{}", replayed.console());
    let trace = std::fs::read_to_string(trace).expect("the trace");
    let causes: Vec<_> = trace.lines().filter_map(|line| line.split_once("cause=")).map(|(_, c)| c).collect();
    assert_eq!(causes, ["triple_fault", "reset_control"]);
}

/// Nothing is lost but the last moments when a recording is killed.
#[test]
fn a_killed_recording_replays_up_to_its_last_chunk() {
    let scratch = Scratch::new("killed");
    let journal = scratch.file("run.dj");
    let mut command = record(&journal, "vmlinuz-cloud", 2, "console=ttyS0 dejavm.mode=workload");
    let quiet =
        command.args(["--idle", "jump"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut recording = quiet.spawn().expect("dejavm");
    let deadline = Instant::now() + Duration::from_secs(120);
    // With a checkpoint, too, which are further apart on a faster engine.
    while length_icount(&journal) < 100_000_000 || info(&journal)["checkpoints"]["count"] == 0 {
        assert!(Instant::now() < deadline, "no chunk was written");
        std::thread::sleep(Duration::from_millis(100));
    }
    // SIGKILL: it cannot tidy up.
    recording.kill().expect("a child");
    recording.wait().expect("a child");
    let info = info(&journal);
    assert_eq!(info["clean"], false, "{info}");
    let verified = run(&mut on("verify", &journal));
    assert_eq!(verified.status, Some(TORN), "{}", verified.stderr);
    assert!(verified.console().contains("equal: "), "{}", verified.console());
    // Its checkpoints are good as far as they go, and so is the way without them.
    assert!(info["checkpoints"]["count"].as_u64() > Some(0), "{info}");
    assert_eq!(info["checkpoints"]["budget_bytes"].as_u64(), Some(512 << 20), "{info}");
    let middle = (length_icount(&journal) / 2).to_string();
    let place = |checkpoints| {
        let seek = ["--seek", &middle, "--checkpoints", checkpoints];
        run(on("replay", &journal).args(seek)).success().console()
    };
    assert_eq!(place("512M"), place("none"));
}

/// The exit status of `verify` for a journal that replays, but has no end.
const TORN: i32 = 4;

/// How far the run is in the journal; 0 while it is no journal yet.
fn length_icount(journal: &Path) -> u64 {
    let out = run(on("info", journal).arg("--json"));
    let info: Option<serde_json::Value> = serde_json::from_slice(&out.stdout).ok();
    info.and_then(|info| info["length_icount"].as_u64()).unwrap_or(0)
}
