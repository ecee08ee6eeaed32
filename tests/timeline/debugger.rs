//! What a debugger changes while a run is recorded is part of the recording.

use crate::engines;
use dejavm_core::boundary::{
    Change, CpuRegister, DebuggerWrite, Images, Inbound, OnHit, StopCondition, StopPoint, StopPoints,
};
use dejavm_core::cpu::state::RBP;
use dejavm_core::machine::Accel;
use dejavm_core::types::Gpa;
use dejavm_replay::journal::Reader;
use dejavm_replay::session::{
    Host, LiveOptions, Observer, RecordOptions, RecordSession, ReplaySession, RunMachine, Waited,
};
use dejavm_tests::busy_guest;
use dejavm_tests::recording::{DENSE, replay_on, straight};
use dejavm_tests::rng::Rng;
use std::io::Cursor;

const END: u64 = 400_000;
/// RAM that the guest does not use.
const SPARE: u64 = 0x31_0000;

struct Nobody;

impl Observer for Nobody {}

impl Host for Nobody {
    fn next_inbound(&mut self, _room: &mut dyn FnMut(u8) -> usize) -> Option<Inbound> {
        None
    }
    fn has_backlog(&self) -> bool {
        false
    }
    fn flush_due(&mut self) -> bool {
        false
    }
    fn wait(&mut self, _max_ns: Option<u64>) -> Waited {
        Waited::NoMoreInput
    }
}

/// Registers that the guest does not mind, and RAM.
fn change(rng: &mut Rng, vcpus: u32) -> Change {
    match rng.below(3) {
        0 => {
            let len = 1 + rng.below(5000);
            Change::Memory {
                gpa: SPARE + rng.below(9000),
                bytes: (0..len).map(|_| rng.u64() as u8).collect(),
            }
        }
        _ => {
            let registers = [
                CpuRegister::General(RBP as u8),
                CpuRegister::Cr2,
                CpuRegister::Xmm(9),
                CpuRegister::Stack(rng.below(8) as u8),
                CpuRegister::X87InstructionPointer,
                CpuRegister::X87Opcode,
                // Most values are refused, and leave it as it is.
                CpuRegister::Efer,
            ];
            let value = |rng: &mut Rng| (rng.pick(&registers), u128::from(rng.u64()) << 3);
            let values = (0..1 + rng.below(3)).map(|_| value(rng)).collect();
            Change::Registers { vcpu: rng.below(u64::from(vcpus)) as u32, values }
        }
    }
}

/// A recording that is stopped at interrupts (within their position) and elsewhere, and changed there;
/// and how many changes were made at each.
fn recorded(vcpus: u32, accel: Accel, seed: u64) -> (Vec<u8>, [u32; 2]) {
    let mut rng = Rng::new(seed);
    let mut machine = busy_guest::machine(vcpus);
    machine.set_accel(accel).expect("it is there");
    machine.translate_after(1);
    let interrupts = StopPoint { id: 0, vcpu: None, condition: StopCondition::Interrupt { vector: None } };
    machine.set_stop_points(&StopPoints { points: vec![interrupts], from: 0, on_hit: OnHit::Stop });
    let options = RecordOptions { interval_icount: 50_000, ..RecordOptions::default() };
    let live = LiveOptions { until_icount: Some(END), ..LiveOptions::default() };
    let (config, images) = (busy_guest::config(vcpus), busy_guest::images());
    let mut session =
        RecordSession::start(machine, &config, &images, Vec::new(), &options, live).expect("a recording");
    let mut made = [0; 2];
    while session.ended().is_none() {
        let icount = session.machine().position().icount + 1 + rng.below(20_000);
        session.step_until(icount, &mut Nobody).expect("a step");
        let begun = session.machine().in_instruction();
        if session.ended().is_none() && rng.below(if begun { 2 } else { 3 }) == 0 {
            for _ in 0..1 + rng.below(3) {
                session.debug(change(&mut rng, vcpus), &mut Nobody).expect("it is taken down");
                assert_eq!(session.machine().in_instruction(), begun, "it stands where it stood");
                made[usize::from(begun)] += 1;
            }
        }
        session.machine().take_stop_hits();
    }
    (session.finish().expect("an end").1, made)
}

#[test]
fn changes_replay_where_they_were_made() {
    for vcpus in [1, 3] {
        for accel in engines() {
            let (journal, made) = recorded(vcpus, accel, 6 + u64::from(vcpus));
            assert!(made[0] > 5 && made[1] > 5, "{made:?}");
            for other in engines() {
                let mut session = replay_on(other, &journal);
                let verdict = session.verify(&mut ()).expect("the same run").expect("all of it");
                assert_eq!(verdict.events as u32, made[0] + made[1]);
            }
            // Back and forth, where they were made, too.
            let reader = Reader::new(Cursor::new(journal.clone())).expect("a journal");
            let mut session = ReplaySession::open(reader, Images::default()).expect("a replay");
            session.set_spacing(Some(DENSE));
            session.run_until(END, &mut ()).expect("a replay");
            let mut icounts: Vec<u64> = Vec::new();
            let mut before = END;
            while let Some(icount) = session.last_input_before(before) {
                icounts.extend([icount, icount + 1]);
                before = icount;
            }
            icounts.sort_unstable();
            icounts.dedup();
            let expected = straight(&journal, &icounts);
            for (icount, expected) in icounts.iter().zip(expected).rev() {
                session.seek(*icount, &mut ()).expect("a seek");
                assert!(session.machine().digest() == expected, "{vcpus} vCPUs, {accel:?}, icount {icount}");
            }
        }
    }
}

#[test]
fn a_change_that_cannot_be_made_changes_nothing() {
    let mut machine = busy_guest::machine(2);
    let before = machine.state_hash();
    let high = 4 << 30;
    let changes = [
        Change::Memory { gpa: busy_guest::RAM_BYTES - 3, bytes: vec![1; 4] },
        Change::Memory { gpa: u64::MAX, bytes: vec![1; 4] },
        Change::Memory { gpa: high, bytes: vec![1] },
        Change::Memory { gpa: SPARE, bytes: vec![] },
        Change::Registers { vcpu: 2, values: vec![(CpuRegister::Rip, 5)] },
        Change::Registers { vcpu: 0, values: vec![(CpuRegister::General(16), 5), (CpuRegister::Xmm(16), 5)] },
        Change::Registers {
            vcpu: 0,
            values: vec![(CpuRegister::Segment(6), 5), (CpuRegister::Segment(1), 0)],
        },
        Change::Registers { vcpu: 0, values: vec![(CpuRegister::Cr0, 1 << 31), (CpuRegister::Cr4, 1 << 63)] },
        Change::Registers { vcpu: 0, values: vec![(CpuRegister::Cr8, 16), (CpuRegister::Efer, 1 << 63)] },
    ];
    for change in changes {
        machine.apply(&Inbound::Debugger(DebuggerWrite { begun: false, change }));
    }
    assert_eq!(machine.state_hash(), before);
    let change = Change::Memory { gpa: SPARE, bytes: vec![9] };
    machine.apply(&Inbound::Debugger(DebuggerWrite { begun: true, change }));
    assert_eq!(machine.memory().read_phys::<u8>(Gpa(SPARE)), Some(9));
    let values = vec![(CpuRegister::Mxcsr, u128::MAX), (CpuRegister::Rflags, 0x246)];
    machine.apply(&Inbound::Debugger(DebuggerWrite {
        begun: false,
        change: Change::Registers { vcpu: 1, values },
    }));
    assert_eq!(machine.vcpus()[1].state.mxcsr, 0xFFFF);
    assert_eq!(machine.vcpus()[1].state.flags.bits(), 0x246);
}
