//! The translator against the interpreter, in lock step: the same guest on both, all state
//! compared at every stop.
//!
//! Each case is a seed; `DEJAVM_FUZZ_SEED=N` repeats one, `DEJAVM_FUZZ_SECONDS=S` goes on that
//! long from `DEJAVM_FUZZ_FIRST=N`. `DEJAVM_FORM=PATTERN` takes only forms of that name.

use dejavm_core::boundary::{Inbound, ProbeKind, ProbeSettings};
use dejavm_core::jit::Trust;
use dejavm_core::machine::{Accel, Machine, RunLimit, StopReason};
use dejavm_tests::fuzz::{self, guest::Guest};
use dejavm_tests::generate::{encode::code_of, state};
use dejavm_tests::isa::{Row, Subject, families, glob};
use dejavm_tests::layout::{WINDOW, WINDOW_BYTES};
use dejavm_tests::lockstep::{Lockstep, compare};
use dejavm_tests::rng::Rng;
use std::cell::RefCell;

const BLOCKS: u64 = 3000;
const CASES_PER_FORM: u64 = 8;
const GUESTS: u64 = 100;
const ICOUNT: u64 = 20_000;
const STOPS: u32 = 40;
/// The page of the code holds a block and what is before it.
const BLOCK_BYTES: usize = 1024;

/// Why the tests of this file cannot run here, said aloud.
fn no_translator() -> bool {
    match Accel::Jit.available() {
        Ok(()) => false,
        Err(e) => {
            eprintln!("skipped: {e}");
            true
        }
    }
}

fn rows() -> Vec<Row> {
    let pattern = std::env::var("DEJAVM_FORM").unwrap_or_else(|_| "*".to_owned());
    let mut rows: Vec<_> = families().expect("rows").into_iter().flat_map(|f| f.rows).collect();
    rows.retain(|row| match row.subject {
        Subject::Form(code) => glob(&pattern, &format!("{code:?}")),
        Subject::Bytes(_) => pattern == "*",
    });
    rows
}

fn check(lockstep: &mut Lockstep, code: &[u8], rng: &mut Rng) {
    let case = state::input(rng.u64(), code);
    if let Some(difference) = lockstep.run(&case, rng) {
        panic!("{code:02x?}\n{difference}");
    }
}

fn forms_do_the_same(mut lockstep: Lockstep, cases: u64) {
    for row in rows() {
        for n in 0..cases {
            let mut rng = Rng::new(n << 32 | 7);
            let code = code_of(&row, &mut rng);
            // Alone, and twice in a row with flags in between.
            check(&mut lockstep, &code, &mut rng);
            check(
                &mut lockstep,
                &[&[0x83, 0xF9, 0x05], &code[..], &[0x0F, 0x9C, 0xC1], &code].concat(),
                &mut rng,
            );
        }
    }
}

#[test]
fn every_form_does_the_same() {
    if !no_translator() {
        forms_do_the_same(Lockstep::new(), CASES_PER_FORM);
    }
}

#[test]
fn every_form_does_the_same_on_a_host_that_is_trusted_with_nothing() {
    if !no_translator() {
        forms_do_the_same(Lockstep::trusting(Trust::NONE), 1);
    }
}

#[test]
fn random_blocks_do_the_same() {
    if no_translator() {
        return;
    }
    let rows = rows();
    let lockstep = RefCell::new(Lockstep::new());
    fuzz::run(BLOCKS, |seed| {
        let mut rng = Rng::new(seed);
        let mut code = Vec::new();
        for _ in 0..1 + rng.below(12) {
            let row = &rows[rng.below(rows.len() as u64) as usize];
            code.extend(code_of(row, &mut rng));
        }
        code.truncate(BLOCK_BYTES);
        check(&mut lockstep.borrow_mut(), &code, &mut rng);
    });
}

/// Registers that accesses go through, and others.
const BASES: [u8; 7] = [3, 4, 5, 7, 10, 12, 15];
const OTHERS: [u8; 8] = [0, 1, 2, 6, 8, 9, 11, 13];

/// `opcode` with register `r` and `[base + disp]`, of 64 bits if `wide`.
fn through(wide: bool, opcode: &[u8], r: u8, base: u8, disp: i8) -> Vec<u8> {
    let rex = 0x40 | u8::from(wide) << 3 | (r >> 3) << 2 | base >> 3;
    let mut code = vec![rex];
    code.extend(opcode);
    code.push(0x40 | (r & 7) << 3 | base & 7);
    if base & 7 == 4 {
        code.push(0x24);
    }
    code.push(disp as u8);
    code
}

/// `opcode` of 64 bits with register `r` and `[base + scale * index]`.
fn through_two(opcode: &[u8], r: u8, base: u8, index: u8, scale: u8) -> Vec<u8> {
    let mut code = vec![0x48 | (r >> 3) << 2 | (index >> 3) << 1 | base >> 3];
    code.extend(opcode);
    code.extend([0x44 | (r & 7) << 3, scale << 6 | (index & 7) << 3 | base & 7, 0]);
    code
}

/// An instruction that goes through a base and an index that is small, most of the time: one that was
/// made so just before.
fn indexed(rng: &mut Rng) -> Vec<u8> {
    let (base, index) = (BASES[rng.below(7) as usize], [0, 1, 2, 8, 9][rng.below(5) as usize]);
    let r = OTHERS[rng.below(8) as usize];
    let opcode: &[u8] = [&[0x8B][..], &[0x89], &[0x33], &[0x01], &[0x0F, 0xB6]][rng.below(5) as usize];
    let mask = [0x7F_u32, 0xFF0, 0x1FFF][rng.below(3) as usize];
    // AND r32, imm32
    let mut code = vec![0x40 | index >> 3, 0x81, 0xE0 | index & 7];
    code.extend(mask.to_le_bytes());
    if rng.one_in(8) {
        code.clear();
    }
    code.extend(through_two(opcode, r, base, index, rng.below(4) as u8));
    code
}

/// An instruction that goes through a base, or changes one.
fn near(rng: &mut Rng) -> Vec<u8> {
    let base = BASES[rng.below(7) as usize];
    let other = BASES[rng.below(7) as usize];
    let r = if rng.one_in(12) { other } else { OTHERS[rng.below(8) as usize] };
    let disp = rng.u64() as i8 >> rng.below(4);
    let wide = rng.one_in(2);
    match rng.below(16) {
        0..=2 => through(wide, &[0x8B], r, base, disp),
        3 | 4 => through(wide, &[0x89], r, base, disp),
        5 => through(wide, &[0x01], r, base, disp),
        6 => through(wide, &[0x3B], r, base, disp),
        7 => through(false, &[0x0F, 0x10], r, base, disp),
        8 => through(false, &[0x0F, 0x29], r, base, disp & !15),
        9 => vec![0x40 | r >> 3, 0x50 | r & 7],
        10 => vec![0x40 | r >> 3, 0x58 | r & 7],
        11 => through(true, &[0x8D], other, base, disp),
        12 => vec![0x48 | base >> 3, 0x83, [0xC0, 0xE8][rng.below(2) as usize] | base & 7, disp as u8],
        13 => vec![0x48 | (other >> 3) << 2 | base >> 3, 0x89, 0xC0 | (other & 7) << 3 | base & 7],
        14 => vec![0x70 | rng.below(16) as u8, 0],
        _ => through(false, &[0x0F, 0xB6], r, base, disp),
    }
}

/// Runs code on a state whose bases are often near the end of a page, or of what is mapped.
fn check_near(lockstep: &mut Lockstep, code: &[u8], rng: &mut Rng) {
    let mut case = state::input(rng.u64(), code);
    for base in BASES {
        let edge = WINDOW + 4096 * rng.below(3);
        case.registers.gpr[usize::from(base)] = match rng.below(3) {
            0 => edge.wrapping_add(rng.below(128)).wrapping_sub(64),
            _ => WINDOW + rng.below(WINDOW_BYTES as u64),
        };
    }
    if let Some(difference) = lockstep.run(&case, rng) {
        panic!("{code:02x?}\n{difference}");
    }
}

#[test]
fn accesses_near_each_other_do_the_same() {
    if no_translator() {
        return;
    }
    let lockstep = RefCell::new(Lockstep::new());
    fuzz::run(BLOCKS, |seed| {
        let mut rng = Rng::new(seed);
        let code: Vec<u8> = (0..2 + rng.below(24)).flat_map(|_| near(&mut rng)).collect();
        check_near(&mut lockstep.borrow_mut(), &code, &mut rng);
    });
}

/// An instruction that makes flags, of two registers or one and a constant.
fn compute(rng: &mut Rng) -> Vec<u8> {
    let (a, b) = (OTHERS[rng.below(8) as usize], OTHERS[rng.below(8) as usize]);
    let wide = u8::from(rng.one_in(2)) << 3;
    let row = rng.below(8) as u8;
    match rng.below(4) {
        0 => vec![0x40 | wide | a >> 3, 0x83, 0xC0 | row << 3 | a & 7, rng.u64() as u8],
        1 => vec![0x40 | wide | (b >> 3) << 2 | a >> 3, 0x85, 0xC0 | (b & 7) << 3 | a & 7],
        _ => vec![0x40 | wide | (b >> 3) << 2 | a >> 3, row << 3 | 1, 0xC0 | (b & 7) << 3 | a & 7],
    }
}

/// Appends a Jcc to the beginning of the code.
fn jump_back(code: &mut Vec<u8>, rng: &mut Rng) {
    let back = (code.len() as i32 + 6).wrapping_neg();
    code.extend([0x0F, 0x80 | rng.below(16) as u8]);
    code.extend(back.to_le_bytes());
}

#[test]
fn loops_do_the_same() {
    if no_translator() {
        return;
    }
    let lockstep = RefCell::new(Lockstep::new());
    fuzz::run(BLOCKS, |seed| {
        let mut rng = Rng::new(seed);
        let any = |rng: &mut Rng| match rng.below(6) {
            0..=2 => near(rng),
            3 => indexed(rng),
            _ => compute(rng),
        };
        let mut code: Vec<u8> = (0..1 + rng.below(8)).flat_map(|_| any(&mut rng)).collect();
        if rng.one_in(2) {
            code.extend(compute(&mut rng));
        }
        jump_back(&mut code, &mut rng);
        code.extend((0..rng.below(4)).flat_map(|_| any(&mut rng)));
        check_near(&mut lockstep.borrow_mut(), &code, &mut rng);
    });
}

/// An instruction of a supervisor, or one that shows what it did.
fn privileged(rng: &mut Rng) -> Vec<u8> {
    match rng.below(12) {
        0..=2 => vec![0x0F, 0x01, 0xCB],
        3 => vec![0x0F, 0x01, 0xCA],
        4 | 5 => vec![0x0F, 0x01, 0xF8],
        6 => vec![0xFC + rng.below(2) as u8],
        // MOV RAX, GS:[disp32]; LODSB; PUSHF; MOV EAX, GS; CLI, STI
        7 => vec![0x65, 0x48, 0x8B, 0x04, 0x25, rng.u64() as u8, 0, 0, 0],
        8 => vec![0xAC],
        9 => vec![0x9C],
        10 => vec![0x8C, 0xE8],
        _ => vec![0xFA + rng.below(2) as u8],
    }
}

#[test]
fn supervisors_do_the_same() {
    if no_translator() {
        return;
    }
    let lockstep = RefCell::new(Lockstep::supervisor());
    fuzz::run(BLOCKS, |seed| {
        let mut rng = Rng::new(seed);
        let any = |rng: &mut Rng| match rng.below(8) {
            0..=3 => privileged(rng),
            4 | 5 => near(rng),
            6 => indexed(rng),
            _ => compute(rng),
        };
        let mut code = if rng.one_in(4) { Vec::new() } else { vec![0x0F, 0x01, 0xCB] };
        code.extend((0..1 + rng.below(10)).flat_map(|_| any(&mut rng)));
        if rng.one_in(2) {
            jump_back(&mut code, &mut rng);
        }
        check_near(&mut lockstep.borrow_mut(), &code, &mut rng);
    });
}

/// What comes from outside, to both.
fn inbound(rng: &mut Rng) -> Inbound {
    match rng.below(4) {
        0 => Inbound::Nmi,
        1 => Inbound::Keyboard { scan_codes: rng.u64().to_le_bytes().to_vec() },
        _ => {
            Inbound::Serial { port: rng.below(3) as u8, bytes: vec![rng.u64() as u8; rng.below(40) as usize] }
        }
    }
}

/// Probes that watch instructions or memory.
fn probes(rng: &mut Rng) -> ProbeSettings {
    use ProbeKind::{Block, Exception, Instruction, Load, ModeSwitch, Store};
    let mut wanted = vec![Instruction, Block, ModeSwitch, Load, Store, Exception];
    wanted.retain(|_| rng.one_in(2));
    ProbeSettings::of(wanted)
}

/// Random machines, on the interpreter and on a translator that translates at once and is
/// switched off and on in between.
fn guests_in_lock_step(seed: u64) {
    let mut rng = Rng::new(seed);
    let guest = Guest::new(&mut rng);
    let (mut a, mut b) = (guest.machine(), guest.machine());
    let hot = 1 + rng.below(3) as u16;
    let on = |machine: &mut Machine, accel| {
        machine.set_accel(accel).expect("a translator");
        machine.translate_after(hot);
    };
    on(&mut b, Accel::Jit);
    if rng.one_in(3) {
        let probes = probes(&mut rng);
        a.set_probes(&probes);
        b.set_probes(&probes);
    }
    let mut stops = 0;
    while a.position().icount < ICOUNT && stops < STOPS {
        let mut limit = RunLimit::to_icount(a.position().icount + 1 + rng.below(3000));
        limit.stop_when_idle = true;
        limit.stop_on_reset = true;
        let (ra, rb) = (a.run(&limit), b.run(&limit));
        if let Some(difference) = compare(&mut a, &mut b) {
            panic!("{difference}");
        }
        assert_eq!(ra, rb);
        let (seen, noted) = (a.take_probe_records(), b.take_probe_records());
        let differing = seen.iter().zip(&noted).find(|(a, b)| a != b);
        assert_eq!((differing, seen.len()), (None, noted.len()));
        match ra {
            StopReason::Limit if rng.one_in(4) => {
                let event = inbound(&mut rng);
                a.apply(&event);
                b.apply(&event);
            }
            StopReason::Limit if rng.one_in(8) => {
                on(&mut b, Accel::Interp);
                let mut limit = limit;
                limit.until.icount += 100;
                assert_eq!(a.run(&limit), b.run(&limit));
                on(&mut b, Accel::Jit);
            }
            StopReason::Limit => {}
            StopReason::Idle { deadline_ns: Some(ns) } => {
                stops += 1;
                a.skip_idle(ns);
                b.skip_idle(ns);
            }
            StopReason::Idle { deadline_ns: None } => {
                stops += 1;
                let event = inbound(&mut rng);
                a.apply(&event);
                b.apply(&event);
            }
            StopReason::Reset(_) => stops += 1,
            StopReason::PowerOff | StopReason::DebugExit(_) => return,
            StopReason::Kicked | StopReason::StopPoint => unreachable!("nobody asked for it"),
        }
    }
}

#[test]
fn random_guests_do_the_same() {
    if no_translator() {
        return;
    }
    fuzz::run(GUESTS, guests_in_lock_step);
}
