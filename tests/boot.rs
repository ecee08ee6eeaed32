//! Real guests: Debian's kernels boot, work and power off, recorded and replayed.

use dejavm_tests::cli::{Finished, Scratch, converse, on, record, run};
use std::path::Path;

/// The most that the inbound events of a run without input may take in a journal.
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
    let bytes: u64 = info["events"].as_object().expect("classes").values().map(event_bytes).sum();
    assert!(bytes <= IDLE_EVENT_BYTES, "{bytes} bytes of events without input: {info}");
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
