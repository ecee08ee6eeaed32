//! The places where a search backward is easily off by one, each with what is known to be right.

use crate::engines;
use crate::search::all_hits;
use dejavm_core::boundary::{
    Change, DebuggerWrite, HitCause, Images, Inbound, MachineConfig, Space, StopCondition, StopHit,
    StopPoint, Watch, WatchKind,
};
use dejavm_core::cpu::insn::RIP;
use dejavm_core::cpu::state::{RCX, RSP};
use dejavm_core::machine::{Accel, Machine};
use dejavm_core::types::Gpa;
use dejavm_replay::checkpoint::Spacing;
use dejavm_replay::session::timeline::{Found, Search};
use dejavm_tests::busy_guest::{BASE, RAM_BYTES, elf};
use dejavm_tests::recording::{DENSE, Session, recorded, replay, replay_on, scripted};
use iced_x86::IcedError;
use iced_x86::code_asm::*;

/// Written by the first instruction of all, and by no other.
const FIRST: u64 = 0x22_0000;
/// Written again and again in a short stretch.
const OFTEN: u64 = 0x22_0100;
/// Written once in each round.
const ROUND: u64 = 0x22_0200;
/// Written by nobody in the guest.
const UNTOUCHED: u64 = 0x22_0300;
/// Filled by a REP string.
const FILLED: u64 = 0x23_0000;
const FILLED_BYTES: u64 = 5000;
/// A DMA command of fw_cfg, and where its data goes.
const COMMAND: u64 = 0x24_0000;
const DMA_BUFFER: u64 = 0x24_1000;
const FW_CFG_DMA_LOW: u32 = 0x518;
/// Select item 0 (the signature), and read.
const READ_SIGNATURE: u32 = 8 | 2;

const UNTIL: u64 = 90_000;
/// Checkpoints at every look: behind each input, too.
const EVERYWHERE: Spacing = Spacing { least_icount: 1 << 9, most_icount: 1 << 10, icount_per_page: 1 };

fn guest() -> Result<Vec<u8>, IcedError> {
    let mut a = CodeAssembler::new(64)?;
    let (mut round, mut often, mut pause) = (a.create_label(), a.create_label(), a.create_label());
    a.mov(qword_ptr(FIRST), rsp)?;
    // Control, length, address: big-endian.
    a.mov(dword_ptr(COMMAND), READ_SIGNATURE.swap_bytes() as i32)?;
    a.mov(dword_ptr(COMMAND + 4), 4u32.swap_bytes() as i32)?;
    a.mov(dword_ptr(COMMAND + 12), (DMA_BUFFER as u32).swap_bytes() as i32)?;
    a.set_label(&mut round)?;
    a.mov(ecx, 200)?;
    a.set_label(&mut often)?;
    a.inc(qword_ptr(OFTEN))?;
    a.dec(ecx)?;
    a.jnz(often)?;
    a.mov(edi, FILLED as u32)?;
    a.mov(ecx, FILLED_BYTES as u32)?;
    a.inc(r12)?;
    a.mov(eax, r12d)?;
    a.rep().stosb()?;
    // Once more, or the device's errors would be taken for commands.
    a.mov(dword_ptr(COMMAND), READ_SIGNATURE.swap_bytes() as i32)?;
    a.mov(eax, (COMMAND as u32).swap_bytes())?;
    a.mov(edx, FW_CFG_DMA_LOW)?;
    a.out(dx, eax)?;
    a.mov(ecx, 10_000)?;
    a.set_label(&mut pause)?;
    a.dec(ecx)?;
    a.jnz(pause)?;
    a.inc(qword_ptr(ROUND))?;
    a.jmp(round)?;
    Ok(elf(&a.assemble(BASE)?))
}

fn config() -> MachineConfig {
    MachineConfig { ram_bytes: RAM_BYTES, ..MachineConfig::default() }
}

fn journal(script: &[(u64, Inbound)]) -> Vec<u8> {
    let images = Images { kernel: guest().expect("it assembles"), initrd: None };
    scripted(&config(), &images, script, UNTIL)
}

fn watch(space: Space, start: u64, len: u64) -> StopPoint {
    let condition = StopCondition::Watch(Watch { space, start, len, kind: WatchKind::Write });
    StopPoint { id: 0, vcpu: None, condition }
}

fn written(start: u64, len: u64) -> StopPoint {
    watch(Space::Linear, start, len)
}

/// The last hit before `to`.
fn last(session: &mut Session<Machine>, point: StopPoint, to: u64) -> Option<StopHit> {
    let search = Search { points: vec![point], from: 0, to, delivered: false };
    match session.last_hit(&search, &mut ()).expect("a search") {
        Found::Hit(hit) => Some(hit),
        Found::Nothing => None,
        Found::Interrupted => panic!("nobody interrupts"),
    }
}

fn at(session: &mut Session<Machine>, icount: u64) -> &Machine {
    session.seek(icount, &mut ()).expect("a seek");
    assert_eq!(session.position().icount, icount);
    session.machine()
}

fn word(machine: &Machine, address: u64) -> u64 {
    machine.memory().read_phys(Gpa(address)).expect("RAM")
}

fn travellers(journal: &[u8]) -> Vec<(Accel, Session<Machine>)> {
    let travel = |accel| {
        let mut session = replay_on(accel, journal);
        session.set_spacing(Some(DENSE));
        session.run_until(UNTIL, &mut ()).expect("a replay");
        (accel, session)
    };
    engines().into_iter().map(travel).collect()
}

#[test]
fn the_first_instruction_of_the_recording() {
    let journal = journal(&[]);
    for (accel, mut session) in travellers(&journal) {
        let point = written(FIRST, 8);
        for to in [1, 2, 100, UNTIL] {
            let hit = last(&mut session, point, to).expect("a hit");
            assert_eq!((hit.icount, hit.in_delivery), (0, false), "{accel:?} before {to}");
        }
        assert_eq!(last(&mut session, point, 0), None, "nothing lies before the beginning");
        assert_eq!(word(at(&mut session, 0), FIRST), 0);
        let machine = at(&mut session, 1);
        assert_eq!(word(machine, FIRST), machine.vcpus()[0].state.regs[RSP]);
        let entry = at(&mut session, 0).vcpus()[0].state.regs[RIP as usize];
        let breakpoint = StopCondition::Breakpoint { address: entry };
        let hit = last(&mut session, StopPoint { id: 0, vcpu: None, condition: breakpoint }, UNTIL);
        assert_eq!(hit.map(|hit| hit.icount), Some(0));
    }
}

#[test]
fn several_hits_in_one_segment_and_one_where_the_run_stands() {
    let journal = journal(&[]);
    let point = written(OFTEN, 8);
    let all = all_hits(&journal, &[point]);
    assert!(all.len() >= 600, "{}", all.len());
    for (accel, mut session) in travellers(&journal) {
        let mut to = UNTIL;
        // The last round and more, each a hit at a time; a hit where the run stands is still to come.
        for expected in all.iter().rev().take(230) {
            let hit = last(&mut session, point, to).expect("a hit");
            assert_eq!(hit, *expected, "{accel:?} before {to}");
            assert_eq!(last(&mut session, point, to.min(hit.icount + 1)), Some(hit), "right behind it");
            to = hit.icount;
        }
        let hit = all[all.len() - 230];
        let (before, after) =
            (word(at(&mut session, hit.icount), OFTEN), word(at(&mut session, hit.icount + 1), OFTEN));
        assert_eq!(after, before + 1);
    }
}

#[test]
fn an_iteration_in_the_middle_of_a_rep_string() {
    let journal = journal(&[]);
    let middle = FILLED + FILLED_BYTES / 2;
    for (accel, mut session) in travellers(&journal) {
        let hit = last(&mut session, written(middle, 1), UNTIL).expect("a hit");
        let machine = at(&mut session, hit.icount);
        let (rip, value) = (machine.vcpus()[0].state.regs[RIP as usize], word(machine, middle) as u8);
        assert_eq!(machine.vcpus()[0].state.regs[RCX], FILLED_BYTES - FILLED_BYTES / 2, "{accel:?}");
        let machine = at(&mut session, hit.icount + 1);
        assert_eq!(machine.vcpus()[0].state.regs[RIP as usize], rip, "the string goes on");
        assert_eq!(word(machine, middle) as u8, value + 1);
        // From within the string: the iteration before, and those of the round before.
        let all = written(FILLED, FILLED_BYTES);
        let before = last(&mut session, all, hit.icount).expect("a hit");
        assert_eq!(before.icount, hit.icount - 1);
        assert_eq!(before.cause, HitCause::Access { address: middle - 1, size: 1, write: true });
        let earlier = last(&mut session, written(middle, 1), hit.icount).expect("a hit");
        assert!(earlier.icount + FILLED_BYTES < hit.icount, "{earlier:?} {hit:?}");
        let first = last(&mut session, written(FILLED, 1), hit.icount).expect("a hit");
        assert_eq!(first.icount + FILLED_BYTES / 2, hit.icount);
    }
}

#[test]
fn a_hit_on_another_vcpu() {
    let journal = recorded(3, 5, None);
    let others = watch(Space::Physical, 0x4000, 2);
    let all = all_hits(&journal, &[others]);
    let by = |vcpu| all.iter().filter(|hit| hit.vcpu == vcpu).count();
    assert!(by(1) > 10 && by(2) > 10 && by(0) == 0, "{} {}", by(1), by(2));
    for accel in engines() {
        let mut session = replay_on(accel, &journal);
        session.set_spacing(Some(DENSE));
        let mut to = session.last().icount;
        for (n, expected) in all.iter().rev().step_by(all.len() / 3).enumerate() {
            to = if n == 0 { to } else { expected.icount + 1 };
            assert_eq!(last(&mut session, others, to), Some(*expected), "{accel:?}");
            // Only what that one does, and only what the other does.
            let other = 3 - expected.vcpu;
            let of = |vcpu| StopPoint { vcpu: Some(vcpu), ..others };
            assert_eq!(last(&mut session, of(expected.vcpu), to), Some(*expected));
            let before = all.iter().rfind(|hit| hit.vcpu == other && hit.icount < to).copied();
            assert_eq!(last(&mut session, of(other), to), before);
            assert_eq!(last(&mut session, of(0), to), None);
        }
    }
}

#[test]
fn an_input_at_the_very_icount() {
    let debugger = |change| Inbound::Debugger(DebuggerWrite { begun: false, change });
    let put = |value: u8| debugger(Change::Memory { gpa: UNTOUCHED, bytes: vec![value; 8] });
    let key = || Inbound::Keyboard { scan_codes: vec![0x1E] };
    let script = [(20_000, key()), (20_000, put(1)), (20_000, key()), (50_000, put(2)), (50_001, put(3))];
    let journal = journal(&script);
    for (accel, mut session) in travellers(&journal) {
        for (space, spacing) in [Space::Linear, Space::Physical].into_iter().zip([DENSE, EVERYWHERE]) {
            session.set_spacing(Some(spacing));
            session.seek(0, &mut ()).expect("a seek");
            session.run_until(UNTIL, &mut ()).expect("a replay");
            let point = watch(space, UNTOUCHED + 3, 2);
            for (to, expected) in [
                (UNTIL, Some(50_001)),
                (50_002, Some(50_001)),
                (50_001, Some(50_000)),
                (50_000, Some(20_000)),
                (20_001, Some(20_000)),
                (20_000, None),
            ] {
                let hit = last(&mut session, point, to);
                assert_eq!(hit.map(|hit| hit.icount), expected, "{accel:?} {space:?} before {to}");
                assert!(hit.is_none_or(|hit| hit.in_delivery), "no instruction did it: {hit:?}");
            }
            // To stand at an icount is to stand before what comes in there.
            assert!(session.checkpoints().summary().count > 1);
            for (icount, value) in [(20_000, 0), (20_001, 1), (50_000, 1), (50_001, 2), (50_002, 3)] {
                let there = word(at(&mut session, icount), UNTOUCHED);
                assert_eq!(there, u64::from_le_bytes([value; 8]), "{accel:?} at {icount}");
            }
        }
    }
}

#[test]
fn what_a_device_writes_by_itself() {
    let journal = journal(&[]);
    for (accel, mut session) in travellers(&journal) {
        let result = last(&mut session, written(COMMAND, 4), UNTIL).expect("a hit");
        for space in [Space::Linear, Space::Physical] {
            let hit = last(&mut session, watch(space, DMA_BUFFER + 1, 2), UNTIL).expect("a hit");
            assert_eq!((hit.icount, hit.in_delivery), (result.icount, false), "{accel:?} {space:?}");
            assert_eq!(hit.cause, HitCause::Access { address: DMA_BUFFER + 1, size: 2, write: true });
        }
        let code = {
            let machine = at(&mut session, result.icount);
            let rip = machine.vcpus()[0].state.regs[RIP as usize];
            machine.memory().read_phys::<u8>(Gpa(rip))
        };
        assert_eq!(code, Some(0xEF), "before OUT DX, EAX");
        let first = all_hits(&journal, &[written(DMA_BUFFER, 4)])[0];
        assert_eq!(word(at(&mut session, first.icount), DMA_BUFFER) as u32, 0);
        assert_eq!(word(at(&mut session, first.icount + 1), DMA_BUFFER) as u32, u32::from_le_bytes(*b"QEMU"));
        // What it reads is the command, and no buffer.
        let kind = WatchKind::Read;
        let read = |start| {
            let condition = StopCondition::Watch(Watch { space: Space::Physical, start, len: 4, kind });
            StopPoint { id: 0, vcpu: None, condition }
        };
        assert_eq!(last(&mut session, read(COMMAND), UNTIL).map(|hit| hit.icount), Some(result.icount));
        assert_eq!(last(&mut session, read(DMA_BUFFER), UNTIL), None);
    }
}

#[test]
fn going_on_stops_at_what_a_device_wrote_and_at_what_came_in() {
    use dejavm_core::boundary::{OnHit, StopPoints};
    use dejavm_replay::session::ReplayStop;
    let change = Change::Memory { gpa: UNTOUCHED, bytes: vec![7] };
    let journal = journal(&[(30_000, Inbound::Debugger(DebuggerWrite { begun: false, change }))]);
    let points = [written(DMA_BUFFER, 4), StopPoint { id: 1, ..written(UNTOUCHED, 8) }];
    let expected = all_hits(&journal, &points);
    assert!(expected.iter().any(|hit| hit.id == 1) && expected.len() > 3);
    let mut session = replay(&journal);
    session.machine().set_stop_points(&StopPoints { points: points.to_vec(), from: 0, on_hit: OnHit::Stop });
    let mut seen = Vec::new();
    while session.run_until(UNTIL, &mut ()).expect("a replay") == ReplayStop::StopPoint {
        seen.extend(session.machine().take_stop_hits().last);
    }
    assert_eq!(seen, expected);
}
