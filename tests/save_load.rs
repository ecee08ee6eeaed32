//! Save and load of the whole machine: the state is complete. What is loaded saves as it was;
//! a run that is saved, loaded into another machine and continued ends like one that is not.

use dejavm_core::boundary::{Images, MachineConfig, Outbound};
use dejavm_core::machine::state_hash::{StateHash, hash_of};
use dejavm_core::machine::{LoadError, Machine, MachineState, RamPage, RunLimit, STATE_VERSION, StopReason};
use dejavm_tests::busy_guest::machine;
use dejavm_tests::cli::guest_file;

/// Runs to an icount; gives what came out.
fn run(machine: &mut Machine, icount: u64) -> Vec<Outbound> {
    assert_eq!(machine.run(&RunLimit::to_icount(icount)), StopReason::Limit);
    machine.take_outbound()
}

/// Through bytes and back, as a checkpoint goes.
fn through_bytes(state: &MachineState) -> MachineState {
    let config = bincode::config::standard();
    let bytes = bincode::serde::encode_to_vec(state, config).expect("a state serialises");
    bincode::serde::decode_from_slice(&bytes, config).expect("a state deserialises").0
}

/// Runs to `cut`, saves, loads into `other`, and runs that one to `end`.
fn cut_run(
    mut first: Machine,
    mut other: Machine,
    cut: u64,
    end: u64,
) -> (Vec<Outbound>, StateHash, MachineState) {
    let mut out = run(&mut first, cut);
    let state = first.save();
    assert_eq!(first.save(), state, "saving changes something");
    other.load(through_bytes(&state)).expect("it fits");
    other.take_outbound();
    assert!(other.save() == state, "at {cut}: saved again after loading, it differs");
    assert_eq!(other.state_hash(), first.state_hash(), "at {cut}");
    out.extend(run(&mut other, end));
    (out, other.state_hash(), other.save())
}

#[test]
fn a_run_through_a_saved_state_ends_like_one_without() {
    const END: u64 = 400_000;
    for vcpus in [1, 3] {
        let mut whole = machine(vcpus);
        let out = run(&mut whole, END);
        let expected = (out, whole.state_hash(), whole.save());
        assert!(expected.0.len() > 100, "the guest prints");
        let counter = whole.memory().read_phys::<u16>(dejavm_core::types::Gpa(0x4000));
        assert_eq!(counter != Some(0), vcpus > 1, "the other vCPUs run");
        // Odd distances, so that every part of the guest's loop is hit, HLT and handlers too.
        for cut in (0..END).step_by(13_007).chain([1, END]) {
            let result = cut_run(machine(vcpus), machine(vcpus), cut, END);
            assert!(result == expected, "{vcpus} vCPUs, cut at {cut}");
        }
    }
}

#[test]
fn a_machine_that_ran_elsewhere_takes_over_a_state() {
    let mut whole = machine(2);
    let out = run(&mut whole, 200_000);
    let expected = (out, whole.state_hash(), whole.save());
    let mut elsewhere = machine(2);
    run(&mut elsewhere, 300_000);
    assert!(cut_run(machine(2), elsewhere, 150_000, 200_000) == expected);
}

#[test]
fn going_back_takes_only_the_pages_written_since() {
    for vcpus in [1, 3] {
        let mut m = machine(vcpus);
        run(&mut m, 150_000);
        assert!(m.take_unsaved_pages().len() > 2, "the first call gives all that was ever written");
        let (whole, mut rest) = (m.save(), m.save_but_ram());
        assert!(rest.ram.is_empty());
        run(&mut m, 250_000);
        let end = m.save();
        let written = m.take_unsaved_pages();
        assert!(!written.is_empty() && written.len() < whole.ram.len());
        let old = |number| whole.ram.iter().find(|page| page.number == number);
        let zero = |number| RamPage { number, bytes: vec![0; 4096] };
        rest.ram = written.iter().map(|&n| old(n).cloned().unwrap_or_else(|| zero(n))).collect();
        m.load_over(rest).expect("it fits");
        assert!(m.save() == whole);
        assert_eq!(m.take_unsaved_pages(), written, "a load writes");
        run(&mut m, 250_000);
        assert!(m.save() == end);
    }
}

#[test]
fn one_instruction_changes_the_state() {
    let mut m = machine(1);
    run(&mut m, 100_000);
    let before = m.save();
    run(&mut m, 100_001);
    assert_ne!(m.save(), before);
}

#[test]
fn a_state_that_does_not_fit_is_refused() {
    let mut m = machine(2);
    let state = machine(3).save();
    assert_eq!(m.load(state), Err(LoadError::VcpuCount { state: 3, machine: 2 }));
    let mut state = m.save();
    state.schedule.current = 2;
    assert_eq!(m.load(state), Err(LoadError::Schedule { current: 2 }));
    let mut state = m.save();
    state.ram[0].number = 2048;
    assert_eq!(m.load(state), Err(LoadError::Page { number: 2048, len: 4096 }));
    let mut state = m.save();
    state.ram[0].bytes.pop();
    assert_eq!(m.load(state), Err(LoadError::Page { number: 0, len: 4095 }));
}

/// Stored states are read by their layout alone: whoever changes it raises `STATE_VERSION`, and puts
/// the new number and hash here.
#[test]
fn a_layout_has_its_version() {
    let text = format!("{:#?}", machine(1).save_but_ram());
    let names = text.lines().filter_map(|line| line.split_once(": ").map(|(name, _)| name));
    let layout = names.collect::<Vec<_>>().join("\n");
    assert_eq!((STATE_VERSION, hash_of(&layout) as u64), (2, 14_051_930_773_504_004_089), "{layout}");
}

#[test]
fn linux_goes_on_from_a_saved_state() {
    const CUT: u64 = 25_000_000;
    const END: u64 = 30_000_000;
    let read = |name| std::fs::read(guest_file(name)).expect("a guest's file");
    let config = MachineConfig {
        vcpus: 4,
        command_line: "console=ttyS0 earlyprintk=ttyS0".to_owned(),
        ..MachineConfig::default()
    };
    let images = Images { kernel: read("vmlinuz-cloud"), initrd: Some(read("initrd.gz")) };
    let new = || Machine::new(&config, images.clone()).expect("a machine");
    let mut whole = new();
    let out = run(&mut whole, END);
    let expected = (out, whole.state_hash(), whole.save());
    assert!(cut_run(new(), new(), CUT, END) == expected);
}
