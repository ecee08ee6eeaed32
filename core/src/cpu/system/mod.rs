//! The system side of a vCPU: descriptors, privilege, delivery of events, start-up.
//!
//! Instructions are in [`super::exec`]; here is what several of them share, and what the run
//! loop calls between instructions.

pub mod control;
pub mod deliver;
pub mod descriptor;
pub mod fast_call;
pub mod load_segment;
pub mod msr;
pub mod stack_frame;
pub mod task_switch;
pub mod transfer;
pub mod tss;

use super::env::Env;
use super::flags;
use super::insn::RIP;
use super::state::{Activity, CpuState, Shadow, Vcpu, cr0, seg};
use crate::types::{Exception, vector};
use deliver::{Event, Source, deliver};

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Delivery {
    /// Its handler (or that of a fault on the way to it) is entered.
    Done,
    /// A fault while a double fault was delivered: the vCPU is shut down.
    TripleFault,
}

/// Delivers an exception that the instruction at RIP raised.
pub fn raise(cpu: &mut Vcpu, env: &mut Env<'_>, e: Exception) -> Delivery {
    let mut current = e;
    loop {
        if current.vector == vector::PF {
            cpu.cr2 = cpu.fault_address;
        }
        match deliver(cpu, env, event_of(&current)) {
            Ok(()) => return Delivery::Done,
            Err(next) => {
                if next.vector == vector::PF {
                    cpu.cr2 = cpu.fault_address;
                }
                match escalate(current.vector, next) {
                    Some(e) => current = e,
                    None => {
                        cpu.activity = Activity::Shutdown;
                        cpu.leave_block();
                        return Delivery::TripleFault;
                    }
                }
            }
        }
    }
}

/// RF is set in the image that faults push, so that an instruction breakpoint does not hit
/// again on return (SDM vol. 3, 17.3.1.1).
fn event_of(e: &Exception) -> Event {
    let rf = !matches!(e.vector, vector::DB | vector::DF | vector::MC);
    Event {
        vector: e.vector,
        error_code: e.error_code,
        source: Source::Hardware,
        pushed_flags: if rf { flags::RF } else { 0 },
    }
}

/// What a fault `next` during the delivery of `first` amounts to (SDM vol. 3, table 6-5);
/// `None` is a triple fault.
fn escalate(first: u8, next: Exception) -> Option<Exception> {
    let contributory = |v| matches!(v, vector::DE | vector::TS | vector::NP | vector::SS | vector::GP);
    let severe = contributory(next.vector) || next.vector == vector::PF;
    match first {
        vector::DF => None,
        vector::PF if severe => Some(Exception::with_code(vector::DF, 0)),
        v if contributory(v) && contributory(next.vector) => Some(Exception::with_code(vector::DF, 0)),
        _ => Some(next),
    }
}

/// Delivers an event that is no exception; a fault on the way is delivered in its place.
fn deliver_or_raise(cpu: &mut Vcpu, env: &mut Env<'_>, event: Event) -> Delivery {
    cpu.activity = Activity::Running;
    match deliver(cpu, env, event) {
        Ok(()) => Delivery::Done,
        Err(e) => raise(cpu, env, e),
    }
}

/// Delivers an external interrupt; the caller has seen to IF and the shadow. A halted vCPU
/// wakes.
pub fn interrupt(cpu: &mut Vcpu, env: &mut Env<'_>, vector: u8) -> Delivery {
    deliver_or_raise(cpu, env, Event::plain(vector, Source::Hardware))
}

/// Delivers a non-maskable interrupt; further ones wait for IRET.
pub fn nmi(cpu: &mut Vcpu, env: &mut Env<'_>) -> Delivery {
    cpu.nmi_masked = true;
    deliver_or_raise(cpu, env, Event::plain(vector::NMI, Source::Hardware))
}

/// Whether a maskable interrupt may be delivered before the next instruction.
pub fn interruptible(cpu: &Vcpu) -> bool {
    cpu.flags.system(flags::IF) && cpu.shadow == Shadow::None
}

/// INIT (SDM vol. 3, table 9-1): as RESET, but caches, x87, SSE, MSRs and the time stay as
/// they were. The bootstrap processor starts at the reset vector, others wait for a SIPI.
pub fn init(cpu: &mut Vcpu) {
    let old = cpu.state.clone();
    let fresh = CpuState::reset(cpu.id);
    let kept_cr0 = old.cr0 & (cr0::CD | cr0::NW);
    cpu.load_state(CpuState {
        cr0: fresh.cr0 & !(cr0::CD | cr0::NW) | kept_cr0,
        msrs: old.msrs,
        x87: old.x87,
        xmm: old.xmm,
        mxcsr: old.mxcsr,
        xcr0: old.xcr0,
        ..fresh
    });
}

/// A start-up IPI: real mode at `vector << 12`. Of no effect unless the vCPU waits for one.
pub fn startup(cpu: &mut Vcpu, vector: u8) {
    if cpu.activity != Activity::WaitForSipi {
        return;
    }
    let selector = u16::from(vector) << 8;
    cpu.segs[seg::CS].selector = selector;
    cpu.segs[seg::CS].base = u64::from(selector) << 4;
    cpu.regs[RIP as usize] = 0;
    cpu.activity = Activity::Running;
    cpu.refresh();
    cpu.leave_block();
}

#[cfg(test)]
mod tests;
