//! Going backward: to the last stop point before now, or to a vCPU's last instruction.

use super::seek::last_hit;
use super::{FileReplay, Patience, seek};
use crate::console::Console;
use dejavm_core::boundary::{OnHit, StopCondition, StopPoint, StopPoints};
use dejavm_core::types::{Icount, VcpuId};
use dejavm_monitor::control::{Motion, StopCause, Stopped};
use dejavm_replay::session::SessionError;
use dejavm_replay::session::timeline::{Found, Search};

/// How far back a vCPU's last instruction is looked for first: it is the last of all, most often.
const FIRST_LOOK_ICOUNT: Icount = 64;
/// How much farther it is looked for each time.
const FARTHER: Icount = 32;

/// Goes backward and says why it stopped where.
pub(super) fn go_back(
    session: &mut FileReplay,
    console: &mut Console,
    motion: Motion,
) -> Result<Stopped, SessionError> {
    let to = session.position().icount;
    let delivered = session.machine().machine().in_instruction();
    let first = session.first().icount;
    let found = match motion.step {
        Some(vcpu) => last_instruction(session, console, vcpu, to)?,
        None => {
            let points = console.debugger.points().to_vec();
            last_hit(session, &Search { points, from: first, to, delivered }, Patience::Little(console))?
        }
    };
    let (vcpu, cause) = match found {
        Found::Interrupted => (session.machine().machine().current_vcpu(), StopCause::Interrupted),
        Found::Nothing => {
            seek(session, first, Patience::UntilQuit(console))?;
            (session.machine().machine().current_vcpu(), StopCause::Begin)
        }
        Found::Hit(hit) => {
            seek(session, hit.icount, Patience::UntilQuit(console))?;
            if !hit.in_delivery {
                begin_instruction(session)?;
            }
            let cause = if motion.step.is_some() { StopCause::Step } else { StopCause::Hit(hit) };
            (hit.vcpu, cause)
        }
    };
    Ok(Stopped { vcpu, cause })
}

/// The last instruction of `vcpu` before the one at `to`.
fn last_instruction(
    session: &mut FileReplay,
    console: &mut Console,
    vcpu: VcpuId,
    to: Icount,
) -> Result<Found, SessionError> {
    let first = session.first().icount;
    let every = StopPoint { id: 0, vcpu: Some(vcpu), condition: StopCondition::EveryInstruction };
    let mut look_icount = FIRST_LOOK_ICOUNT;
    loop {
        let from = to.saturating_sub(look_icount).max(first);
        let search = Search { points: vec![every], from, to, delivered: false };
        match last_hit(session, &search, Patience::Little(console))? {
            Found::Nothing if from > first => look_icount = look_icount.saturating_mul(FARTHER),
            found => return Ok(found),
        }
    }
}

/// Delivers what is due before the next instruction, so that it really is the next.
fn begin_instruction(session: &mut FileReplay) -> Result<(), SessionError> {
    let here = session.position().icount;
    let every = StopPoint { id: 0, vcpu: None, condition: StopCondition::EveryInstruction };
    let points = StopPoints { points: vec![every], from: here, on_hit: OnHit::Stop };
    session.machine().machine().set_stop_points(&points);
    session.run_until(here + 1, &mut ())?;
    let machine = session.machine().machine();
    machine.take_stop_hits();
    machine.set_stop_points(&StopPoints::default());
    Ok(())
}
