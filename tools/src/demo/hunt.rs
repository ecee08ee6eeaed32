//! Finding the moment at which money is lost, in a replay: a search over the whole run, then
//! every instruction around the place.

use super::guest::{self, Guest};
use crate::console::replay::FileReplay;
use dejavm_core::boundary::{ProbeEvent, ProbeKind, ProbeSettings};
use dejavm_core::machine::Machine;
use dejavm_core::types::{Gpa, Icount};
use dejavm_monitor::control::inspect::{cpu_state, read_physical};
use dejavm_monitor::disassembly::{MAX_INSN_BYTES, disassemble};
use dejavm_monitor::hmp::{code_size, instruction_address};
use dejavm_replay::session::SessionError;
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind};

/// When the search over the run gives way to single steps, in instructions.
const CLOSE_ICOUNT: Icount = 64;

/// What an instruction did with the total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Loaded it into a register.
    Load,
    /// Stored it from a register.
    Store,
    /// Added to it in memory, at one stroke.
    Update,
}

/// Something that happened to the total.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An instruction touched it.
    Access {
        /// The position before the instruction.
        icount: Icount,
        /// What it did.
        access: Access,
        /// It, disassembled.
        text: String,
        /// The total after it.
        total: u64,
    },
    /// An interrupt came.
    Interrupt {
        /// The position before the handler's first instruction.
        icount: Icount,
        /// Its vector.
        vector: u8,
    },
}

/// The moment, and how it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The load that the lost payment began with, and all that happened up to the store.
    pub events: Vec<Event>,
    /// The position before the store that overwrote a payment.
    pub store_icount: Icount,
    /// How many places of the run were looked at.
    pub seeks: usize,
}

/// Searches the run up to `end` for the moment. `None`: nothing is missing there.
///
/// # Errors
/// If the replay fails.
pub fn find(session: &mut FileReplay, guest: &Guest, end: Icount) -> Result<Option<Moment>, SessionError> {
    let (mut good, mut bad, mut seeks) = (0, end, 1);
    session.seek(end, &mut ())?;
    if missing(session) == 0 {
        return Ok(None);
    }
    while bad - good > CLOSE_ICOUNT {
        let middle = good + (bad - good) / 2;
        session.seek(middle, &mut ())?;
        settle(session, guest)?;
        seeks += 1;
        if missing(session) > 0 {
            bad = middle;
        } else {
            good = session.position().icount;
        }
    }
    session.seek(good, &mut ())?;
    let events = walk(session, guest)?;
    Ok(lost_update(events).map(|(events, store_icount)| Moment { events, store_icount, seeks }))
}

/// What the parties paid and the total does not hold.
fn missing(session: &mut FileReplay) -> u64 {
    let machine = session.machine().machine();
    let [total, teller, interest, deposits] =
        [guest::TOTAL, guest::TELLER, guest::INTEREST, guest::DEPOSITS].map(|at| word(machine, at));
    (teller + interest + deposits).saturating_sub(total)
}

fn word(machine: &Machine, gpa: u64) -> u64 {
    let mut bytes = [0; 8];
    read_physical(machine, Gpa(gpa), &mut bytes);
    u64::from_le_bytes(bytes)
}

/// Steps on until nobody is in the middle of a payment, so that the books can be compared.
fn settle(session: &mut FileReplay, guest: &Guest) -> Result<(), SessionError> {
    while in_payment(session, guest) {
        step(session)?;
    }
    Ok(())
}

fn in_payment(session: &mut FileReplay, guest: &Guest) -> bool {
    let machine = session.machine().machine();
    let Some(cpu) = cpu_state(machine, 0) else { return false };
    let rip = instruction_address(&cpu);
    let within = guest.payment.contains(&rip) && rip != guest.payment.start;
    within || guest.timer_handler.contains(&rip) || guest.serial_handler.contains(&rip)
}

fn step(session: &mut FileReplay) -> Result<(), SessionError> {
    let next = session.position().icount + 1;
    session.run_until(next, &mut ())?;
    Ok(())
}

/// Steps until money is missing, and notes all that happens to the total on the way.
fn walk(session: &mut FileReplay, guest: &Guest) -> Result<Vec<Event>, SessionError> {
    session.machine().machine().set_probes(&ProbeSettings::of([ProbeKind::Interrupt]));
    let mut events = Vec::new();
    while missing(session) == 0 || in_payment(session, guest) {
        let icount = session.position().icount;
        let before = next_instruction(session.machine().machine());
        step(session)?;
        let machine = session.machine().machine();
        let total = word(machine, guest::TOTAL);
        let records = machine.take_probe_records();
        let interrupts: Vec<_> = records
            .iter()
            .filter_map(|record| match record.event {
                ProbeEvent::Interrupt { vector, .. } => Some(Event::Interrupt { icount, vector }),
                _ => None,
            })
            .collect();
        // An interrupt comes before the instruction that was next: the handler's first ran instead.
        if interrupts.is_empty()
            && let Some((insn, text)) = before
            && let Some(access) = access(&insn)
        {
            events.push(Event::Access { icount, access, text, total });
        }
        events.extend(interrupts);
    }
    Ok(events)
}

/// The instruction that runs next, if no interrupt comes.
fn next_instruction(machine: &Machine) -> Option<(Instruction, String)> {
    let cpu = cpu_state(machine, 0)?;
    let mut bytes = [0; MAX_INSN_BYTES];
    let address = instruction_address(&cpu);
    read_physical(machine, Gpa(address), &mut bytes);
    let text = disassemble(address, &bytes, code_size(&cpu))?.text;
    Some((Decoder::with_ip(64, &bytes, address, DecoderOptions::AMD).decode(), text))
}

/// What an instruction does with the total, if anything.
fn access(insn: &Instruction) -> Option<Access> {
    let memory = (0..insn.op_count()).find(|&k| insn.op_kind(k) == OpKind::Memory)?;
    if insn.memory_displacement64() != guest::TOTAL {
        return None;
    }
    Some(match (insn.mnemonic(), memory) {
        (Mnemonic::Mov, 0) => Access::Store,
        (Mnemonic::Mov, _) => Access::Load,
        (_, _) => Access::Update,
    })
}

/// The last store, and all since the load that it belongs to.
fn lost_update(mut events: Vec<Event>) -> Option<(Vec<Event>, Icount)> {
    let is = |wanted: Access| move |event: &Event| matches!(event, Event::Access { access, .. } if *access == wanted);
    let store = events.iter().rposition(is(Access::Store))?;
    let load = events[..store].iter().rposition(is(Access::Load))?;
    events.truncate(store + 1);
    let Event::Access { icount, .. } = events[store] else { return None };
    Some((events.split_off(load), icount))
}
