//! Probes: they see the same whatever the pieces in which a run is watched, and change nothing.

use dejavm_core::boundary::{
    Images, Inbound, MachineConfig, OnHit, ProbeEvent, ProbeKind, ProbeRecord, ProbeRule, ProbeSettings,
    Space, StopCondition, StopPoint, StopPoints, Watch, WatchKind,
};
use dejavm_core::machine::{Accel, Machine, RunLimit, StopReason};
use dejavm_tests::accel::on;
use dejavm_tests::busy_guest::{BASE, config, elf, images, machine};
use dejavm_tests::cli::guest_file;
use dejavm_tests::fuzz;
use dejavm_tests::generate::{encode::code_of, state};
use dejavm_tests::isa::{Row, families};
use dejavm_tests::lockstep::{Lockstep, compare, compare_records};
use dejavm_tests::rng::Rng;
use iced_x86::IcedError;
use iced_x86::code_asm::*;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

const PIECE: u64 = 20_011;
const PIECES: u64 = 12;

fn all() -> ProbeSettings {
    ProbeSettings::of(ProbeKind::all())
}

/// Runs piece by piece with something coming in after each; a hash after each, and what was seen.
fn run(machine: &mut Machine, pieces: std::ops::Range<u64>) -> (Vec<u128>, Vec<ProbeRecord>) {
    let (mut hashes, mut records) = (Vec::new(), Vec::new());
    for piece in pieces {
        machine.run(&RunLimit::to_icount((piece + 1) * PIECE));
        machine.apply(&Inbound::Serial { port: 0, bytes: vec![piece as u8] });
        hashes.push(machine.state_hash().combined());
        records.append(&mut machine.take_probe_records());
        machine.take_outbound();
    }
    (hashes, records)
}

#[test]
fn a_run_with_all_probes_is_the_run_without() {
    for vcpus in [1, 3] {
        let (unwatched, nothing) = run(&mut machine(vcpus), 0..PIECES);
        assert_eq!(nothing, []);
        let mut watched = machine(vcpus);
        watched.set_probes(&all());
        let (hashes, records) = run(&mut watched, 0..PIECES);
        assert_eq!(hashes, unwatched, "{vcpus} vCPUs, all probes");
        assert!(records.iter().map(|record| record.position.icount).is_sorted());
        for kind in [
            ProbeKind::Instruction,
            ProbeKind::Block,
            ProbeKind::Interrupt,
            ProbeKind::InterruptReturn,
            ProbeKind::ControlWrite,
            ProbeKind::Load,
            ProbeKind::Store,
            ProbeKind::MmioWrite,
            ProbeKind::PortWrite,
            ProbeKind::Inbound,
        ] {
            assert!(records.iter().any(|record| record.event.kind() == kind), "{kind:?} never came");
        }
    }
}

#[test]
fn translated_code_notes_what_the_interpreter_notes() {
    if let Err(e) = Accel::Jit.available() {
        eprintln!("skipped: {e}");
        return;
    }
    use ProbeKind::{Block, Call, Instruction, Load, ModeSwitch, Return, Store};
    let mut second = ProbeSettings::of([Instruction, Store]);
    second.on.insert(Block, ProbeRule { vcpus: 1 << 1, ..ProbeRule::default() });
    let kinds: [&[ProbeKind]; 9] = [
        &[Instruction],
        &[Block],
        &[Block, Instruction],
        &[ModeSwitch],
        &[Load, Store],
        &[Load],
        &[Store],
        &[Block, Store],
        &[Call, Return],
    ];
    let some = kinds.into_iter().map(|kinds| ProbeSettings::of(kinds.iter().copied()));
    let [few, many] = [(0x4000, 0x4001), (0x20_0000, 0x23_FFFF)].map(|range| {
        let mut settings = ProbeSettings::of([Load, Store]);
        settings.on.values_mut().for_each(|rule| rule.filter.address = Some(range));
        settings
    });
    let mut code = ProbeSettings::of([Block, Instruction]);
    code.on.values_mut().for_each(|rule| rule.filter.address = Some((0x10_0080, 0x10_0100)));
    let mut mixed = few.clone();
    mixed.on.insert(Load, ProbeRule::default());
    for settings in some.chain([second, few, many, mixed, code, all()]) {
        for vcpus in [1, 3] {
            let watch = |accel| {
                let mut watched = on(accel, machine(vcpus));
                watched.set_probes(&settings);
                run(&mut watched, 0..PIECES / 4)
            };
            let (expected, got) = (watch(Accel::Interp), watch(Accel::Jit));
            assert_eq!(expected.0, got.0, "{settings:?}");
            let differing = expected.1.iter().zip(&got.1).find(|(a, b)| a != b);
            assert_eq!((differing, expected.1.len()), (None, got.1.len()), "{vcpus} vCPUs, {settings:?}");
        }
    }
}

#[test]
fn each_probe_alone_changes_nothing() {
    let (unwatched, _) = run(&mut machine(2), 0..3);
    for kind in ProbeKind::all() {
        let mut watched = machine(2);
        watched.set_probes(&ProbeSettings::of([kind]));
        let (hashes, records) = run(&mut watched, 0..3);
        assert_eq!(hashes, unwatched, "{kind:?}");
        assert!(records.iter().all(|record| record.event.kind() == kind), "{kind:?}");
    }
}

#[test]
fn every_instruction_is_seen_once() {
    let mut watched = machine(2);
    watched.set_probes(&ProbeSettings::of([ProbeKind::Instruction]));
    let (_, records) = run(&mut watched, 0..4);
    let icounts: Vec<u64> = records.iter().map(|record| record.position.icount).collect();
    assert_eq!(icounts, (0..watched.position().icount).collect::<Vec<_>>());
}

#[test]
fn a_run_watched_from_its_middle_on_shows_what_it_shows_as_a_whole() {
    for (vcpus, from) in [(1, 3), (3, 5)] {
        let mut whole = machine(vcpus);
        whole.set_probes(&all());
        let (_, records) = run(&mut whole, 0..PIECES);
        let mut part = machine(vcpus);
        run(&mut part, 0..from - 1);
        // One instruction before, and on from a saved state.
        let start = from * PIECE + 17;
        run(&mut part, from - 1..from);
        part.run(&RunLimit::to_icount(start - 1));
        part.take_outbound();
        let mut other = machine(vcpus);
        other.load(part.save()).unwrap();
        other.set_probes(&all());
        let (_, later) = run(&mut other, from..PIECES);
        let since = |records: Vec<ProbeRecord>| -> Vec<_> {
            records.into_iter().filter(|record| record.position.icount >= start).collect()
        };
        let (records, later) = (since(records), since(later));
        let differing = records.iter().zip(&later).find(|(a, b)| a != b);
        assert_eq!((differing, records.len()), (None, later.len()), "{vcpus} vCPUs");
    }
}

#[test]
fn rules_select_vcpus_addresses_and_levels() {
    let mut settings = ProbeSettings::of([ProbeKind::Instruction]);
    settings.on.insert(ProbeKind::Instruction, ProbeRule { vcpus: 1 << 1, ..ProbeRule::default() });
    let mut store = ProbeRule::default();
    store.filter.address = Some((0x4000, 0x4001));
    store.filter.privilege = Some(0);
    settings.on.insert(ProbeKind::Store, store);
    let mut watched = machine(2);
    watched.set_probes(&settings);
    let (_, records) = run(&mut watched, 0..PIECES);
    assert!(!records.is_empty());
    for record in records {
        match record.event {
            ProbeEvent::Instruction { .. } => assert_eq!(record.vcpu, Some(1)),
            ProbeEvent::Store(access) => assert!((0x3FF1..=0x4001).contains(&access.address)),
            other => panic!("{other:?} was not asked for"),
        }
    }
}

#[test]
fn what_the_engine_does_is_seen_and_changes_nothing() {
    for accel in [Accel::Interp, Accel::Jit] {
        if accel.available().is_err() {
            eprintln!("skipped: no {accel:?} here");
            continue;
        }
        let (unwatched, _) = run(&mut on(accel, machine(2)), 0..PIECES);
        let mut watched = on(accel, machine(2));
        watched.set_probes(&ProbeSettings::of(ProbeKind::all().chain(ProbeKind::OF_THE_ENGINE)));
        let (hashes, records) = run(&mut watched, 0..PIECES);
        assert_eq!(hashes, unwatched, "{accel:?}");
        watched.set_probes(&ProbeSettings::of(ProbeKind::OF_THE_ENGINE));
        let (_, records_alone) = run(&mut watched, PIECES..PIECES + 3);
        let seen = |kind| records.iter().chain(&records_alone).any(|record| record.event.kind() == kind);
        assert!(seen(ProbeKind::TlbFill), "{accel:?}");
        assert_eq!(seen(ProbeKind::Translate), accel == Accel::Jit);
    }
}

#[test]
fn iterations_of_a_string_are_seen_one_by_one_and_begin_no_block() {
    // again: mov edi, 210000h; mov ecx, 1000; cld; rep stosb; mov ecx, 3; mov esi, 210000h; rep movsb; jmp again
    const CODE: [u8; 27] = [
        0xBF, 0, 0, 0x21, 0, 0xB9, 0xE8, 3, 0, 0, 0xFC, 0xF3, 0xAA, 0xB9, 3, 0, 0, 0, 0xBE, 0, 0, 0x21, 0,
        0xF3, 0xA4, 0xEB, 0xE5,
    ];
    const ROUND: u64 = 1 + 1 + 1 + 1000 + 1 + 1 + 3 + 1;
    let guest = || {
        let images = Images { kernel: elf(&CODE), ..images() };
        Machine::new(&config(1), images).unwrap()
    };
    for accel in [Accel::Interp, Accel::Jit] {
        if accel.available().is_err() {
            continue;
        }
        let watch = |kinds: &[ProbeKind]| {
            let mut watched = on(accel, guest());
            watched.set_probes(&ProbeSettings::of(kinds.iter().copied()));
            watched.run(&RunLimit::to_icount(50 * ROUND + 300));
            watched.take_probe_records()
        };
        let instructions = watch(&[ProbeKind::Instruction]);
        let icounts: Vec<u64> = instructions.iter().map(|record| record.position.icount).collect();
        assert_eq!(icounts, (0..50 * ROUND + 300).collect::<Vec<_>>(), "{accel:?}");
        let blocks = watch(&[ProbeKind::Block]);
        let icounts: Vec<u64> = blocks.iter().map(|record| record.position.icount).collect();
        assert_eq!(icounts, (0..=50).map(|round| round * ROUND).collect::<Vec<_>>(), "{accel:?}");
    }
}

/// What a case of the instruction rows is watched with, by turns.
fn watched_kinds(n: usize) -> ProbeSettings {
    use ProbeKind::{Block, Call, Exception, Instruction, Load, Return, Store};
    let kinds: [&[ProbeKind]; 4] = [
        &[Load, Store],
        &[Block, Instruction, Load, Store, Call, Return, Exception],
        &[Store, Call, Return],
        &[Load],
    ];
    ProbeSettings::of(kinds[n % kinds.len()].iter().copied())
}

fn rows() -> Vec<Row> {
    families().expect("rows").into_iter().flat_map(|family| family.rows).collect()
}

fn check(lockstep: &mut Lockstep, code: &[u8], rng: &mut Rng) {
    let case = state::input(rng.u64(), code);
    if let Some(difference) = lockstep.run(&case, rng) {
        panic!("{code:02x?}\n{difference}");
    }
}

#[test]
fn every_form_is_noted_as_it_is_interpreted() {
    if let Err(e) = Accel::Jit.available() {
        eprintln!("skipped: {e}");
        return;
    }
    for (n, cases) in [(0, 1), (1, 1)] {
        let mut lockstep = Lockstep::new();
        lockstep.watch(&watched_kinds(n));
        for row in rows() {
            for case in 0..cases {
                let mut rng = Rng::new(case << 32 | 11);
                let code = code_of(&row, &mut rng);
                // Twice, with flags in between.
                let code = [&code[..], &[0x83, 0xF9, 0x05, 0x0F, 0x9C, 0xC1], &code].concat();
                check(&mut lockstep, &code, &mut rng);
            }
        }
    }
}

#[test]
fn random_blocks_are_noted_as_they_are_interpreted() {
    if let Err(e) = Accel::Jit.available() {
        eprintln!("skipped: {e}");
        return;
    }
    let rows = rows();
    let locksteps = [0, 1, 2, 3].map(|n| {
        let mut lockstep = Lockstep::new();
        lockstep.watch(&watched_kinds(n));
        RefCell::new(lockstep)
    });
    fuzz::run(800, |seed| {
        let mut rng = Rng::new(seed);
        let mut code = Vec::new();
        for _ in 0..1 + rng.below(12) {
            code.extend(code_of(&rows[rng.below(rows.len() as u64) as usize], &mut rng));
        }
        code.truncate(1024);
        check(&mut locksteps[seed as usize % 4].borrow_mut(), &code, &mut rng);
    });
}

/// The beginning of a boot of Debian's kernel, watched on both engines.
#[test]
fn a_boot_is_noted_as_it_is_interpreted() {
    const EVERY: u64 = 250_000;
    if let Err(e) = Accel::Jit.available() {
        eprintln!("skipped: {e}");
        return;
    }
    let read = |name| std::fs::read(guest_file(name)).expect("a guest's file");
    let images = Images { kernel: read("vmlinuz-cloud"), initrd: Some(read("initrd.gz")) };
    let command_line = "console=ttyS0 earlyprintk=ttyS0".to_owned();
    let config = MachineConfig { command_line, ..MachineConfig::default() };
    let [mut a, mut b] = [Accel::Interp, Accel::Jit].map(|accel| {
        let mut machine = Machine::new(&config, images.clone()).expect("a machine");
        machine.set_accel(accel).expect("an engine");
        machine
    });
    // Decompression, then the kernel itself.
    for (n, from) in [(0, 1_000_000), (1, 6_000_000), (2, 12_000_000)] {
        for machine in [&mut a, &mut b] {
            machine.set_probes(&ProbeSettings::default());
            machine.run(&RunLimit::to_icount(from));
            machine.set_probes(&watched_kinds(n));
        }
        for piece in 1..=4 {
            let limit = RunLimit::to_icount(from + piece * EVERY);
            assert_eq!([a.run(&limit), b.run(&limit)], [StopReason::Limit; 2]);
            if let Some(difference) = compare_records(&mut a, &mut b).or_else(|| compare(&mut a, &mut b)) {
                panic!("{difference}");
            }
        }
    }
}

/// A machine whose code is translated when it runs first.
fn translating(vcpus: u32) -> Machine {
    let mut machine = on(Accel::Jit, machine(vcpus));
    machine.translate_after(1);
    machine
}

/// Loads, stores, calls and branches, and code that stays as it is.
fn plain_guest() -> Result<Vec<u8>, IcedError> {
    let mut a = CodeAssembler::new(64)?;
    let (mut again, mut even, mut function) = (a.create_label(), a.create_label(), a.create_label());
    a.mov(esp, 0x30_0000)?;
    a.set_label(&mut again)?;
    a.mov(eax, dword_ptr(0x21_0000))?;
    a.add(eax, 1)?;
    a.mov(dword_ptr(0x21_0000), eax)?;
    a.call(function)?;
    a.test(al, 1)?;
    a.jz(even)?;
    a.inc(ebx)?;
    a.set_label(&mut even)?;
    a.push(rbx)?;
    a.pop(rcx)?;
    a.jmp(again)?;
    a.set_label(&mut function)?;
    a.add(qword_ptr(0x21_0008), 3)?;
    a.ret()?;
    a.assemble(BASE)
}

/// The blocks that are translated: linear address, and how long the host's code is, in both forms if there
/// is one without windows, which depends on what the soft TLB knew.
fn blocks(machine: &Machine) -> BTreeMap<u64, BTreeSet<usize>> {
    let mut blocks: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    machine.translated_blocks().into_iter().for_each(|b| {
        blocks.entry(b.linear).or_default().insert(b.bytes);
    });
    blocks
}

#[test]
fn with_all_events_off_code_is_what_it_is_without_any() {
    if let Err(e) = Accel::Jit.available() {
        eprintln!("skipped: {e}");
        return;
    }
    let images = Images { kernel: elf(&plain_guest().unwrap()), ..images() };
    let mut machine = on(Accel::Jit, Machine::new(&config(1), images).unwrap());
    machine.translate_after(1);
    let start = machine.save();
    let mut code_of = |settings: &ProbeSettings| {
        machine.load(start.clone()).unwrap();
        machine.set_probes(settings);
        machine.run(&RunLimit::to_icount(5000));
        let code = blocks(&machine);
        // What is loaded finds no code, whatever was on.
        machine.set_probes(&ProbeSettings::of([ProbeKind::ModeSwitch]));
        machine.set_probes(&ProbeSettings::default());
        code
    };
    let without = code_of(&ProbeSettings::default());
    assert!(without.len() >= 4, "only {} blocks", without.len());
    let mut differing = |settings: &ProbeSettings| {
        let code = code_of(settings);
        let common = without.iter().filter_map(|(linear, size)| Some((size, code.get(linear)?)));
        let (same, other): (Vec<_>, Vec<_>) = common.partition(|(a, b)| !a.is_disjoint(b));
        assert!(same.len() + other.len() >= 4, "hardly a block is the same");
        other.len()
    };
    use ProbeKind::{
        Block, Call, DebugExit, Instruction, Interrupt, Load, MsrWrite, PortWrite, Return, Store,
    };
    for kinds in [&[Block][..], &[Instruction], &[Load], &[Store], &[Call], &[Return]] {
        assert!(differing(&ProbeSettings::of(kinds.iter().copied())) > 0, "{kinds:?} need notes");
        assert_eq!(differing(&ProbeSettings::default()), 0, "after {kinds:?}");
    }
    // What generated code has no part in leaves it as it is.
    assert_eq!(differing(&ProbeSettings::of([DebugExit, Interrupt, PortWrite, MsrWrite])), 0);
}

#[test]
fn a_watchpoint_costs_nothing_on_other_pages() {
    if let Err(e) = Accel::Jit.available() {
        eprintln!("skipped: {e}");
        return;
    }
    let watched = |start: Option<u64>| {
        let mut machine = translating(1);
        let condition = |start| {
            let watch = Watch { space: Space::Linear, start, len: 8, kind: WatchKind::Access };
            StopPoint { id: 1, vcpu: None, condition: StopCondition::Watch(watch) }
        };
        let points = start.map(condition).into_iter().collect();
        machine.set_stop_points(&StopPoints { points, from: 0, on_hit: OnHit::Scan { keep: 9 } });
        run(&mut machine, 0..PIECES);
        let stats = machine.jit_stats().unwrap();
        let code = blocks(&machine);
        ((stats.interpreted, stats.entries, stats.left, code), machine.take_stop_hits().count)
    };
    let (without, none) = watched(None);
    assert_eq!(none, 0);
    // A page that is never touched, beside one that always is.
    assert_eq!(watched(Some(0x22_3000)), (without.clone(), 0));
    let (with, hits) = watched(Some(0x21_0000));
    assert!(hits > 0 && with.0 > without.0, "{hits} hits, {with:?}, {without:?}");
}
