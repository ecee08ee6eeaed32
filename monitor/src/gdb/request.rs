//! What a client asks of the run, and the answers, as values that can travel between threads.

use super::registers;
use crate::control::{Control, ControlError, Motion, RunState, quiet_walk};
use crate::hmp::Hmp;
use dejavm_core::boundary::{Change, StopPoint};
use dejavm_core::cpu::state::Activity;
use dejavm_core::types::{Gpa, PAGE_OFFSET_MASK, PAGE_SIZE, VcpuId};

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A client is there: the machine stands still for it.
    Attach,
    /// The client has gone: its stop points go, and if it said good-bye the machine goes on.
    Detach {
        /// It did.
        resume: bool,
    },
    /// End the run.
    Kill,
    /// What each vCPU does.
    Vcpus,
    /// The vCPU whose turn it is.
    CurrentVcpu,
    /// Whether the run can go backward.
    CanGoBack,
    /// All registers of a vCPU.
    Registers(VcpuId),
    /// Change registers.
    SetRegisters(VcpuId, Vec<u8>),
    /// Read memory.
    Read {
        /// Through whose page tables; none: it is a physical address.
        vcpu: Option<VcpuId>,
        /// From where.
        address: u64,
        /// How many bytes.
        len: usize,
    },
    /// Write memory.
    Write {
        /// Through whose page tables; none: it is a physical address.
        vcpu: Option<VcpuId>,
        /// To where.
        address: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// Where to stop.
    StopPoints(Vec<StopPoint>),
    /// Go.
    SetOut(Motion),
    /// Stand still.
    Interrupt,
    /// A command for the monitor.
    Monitor(String),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is done.
    Done,
    /// It is not done, and why.
    Refused(String),
    /// Yes or no.
    Bool(bool),
    /// A vCPU.
    Vcpu(VcpuId),
    /// Bytes; of memory, as many as could be read.
    Bytes(Vec<u8>),
    /// Text for the user.
    Text(String),
    /// What each vCPU does.
    Vcpus(Vec<&'static str>),
}

/// The way to the run.
pub trait Link {
    /// Asks, and waits for the answer; none if the run is over.
    fn ask(&mut self, request: Request) -> Option<Reply>;
}

/// Answers a request.
pub fn serve(request: Request, run: &mut dyn Control, hmp: &mut Hmp) -> Reply {
    match request {
        Request::Attach => {
            run.stop();
            Reply::Done
        }
        Request::Detach { resume } => {
            run.set_stop_points(Vec::new());
            if resume && run.run_state() != RunState::Shutdown {
                return done(run.resume());
            }
            Reply::Done
        }
        Request::Kill => {
            run.quit();
            Reply::Done
        }
        Request::Vcpus => {
            Reply::Vcpus(run.machine().vcpus().iter().map(|cpu| activity(cpu.activity)).collect())
        }
        Request::CurrentVcpu => Reply::Vcpu(run.machine().current_vcpu()),
        Request::CanGoBack => Reply::Bool(run.can_go_back()),
        Request::Registers(vcpu) => match register_bytes(run, vcpu) {
            Some(bytes) => Reply::Bytes(bytes),
            None => no_such_vcpu(),
        },
        Request::SetRegisters(vcpu, bytes) => set_registers(run, vcpu, &bytes),
        Request::Read { vcpu, address, len } => Reply::Bytes(read(run, vcpu, address, len)),
        Request::Write { vcpu, address, bytes } => write(run, vcpu, address, &bytes),
        Request::StopPoints(points) => {
            run.set_stop_points(points);
            Reply::Done
        }
        Request::SetOut(motion) => {
            run.set_out(motion);
            Reply::Done
        }
        Request::Interrupt => {
            run.stop();
            Reply::Done
        }
        Request::Monitor(line) => Reply::Text(hmp.execute(&line, run)),
    }
}

fn done(result: Result<(), ControlError>) -> Reply {
    match result {
        Ok(()) => Reply::Done,
        Err(error) => Reply::Refused(error.to_string()),
    }
}

fn no_such_vcpu() -> Reply {
    Reply::Refused("there is no such vCPU".into())
}

fn activity(activity: Activity) -> &'static str {
    match activity {
        Activity::Running => "running",
        Activity::Halted => "halted",
        Activity::WaitForSipi => "waits for its start-up",
        Activity::Shutdown => "shut down",
    }
}

fn register_bytes(run: &mut dyn Control, vcpu: VcpuId) -> Option<Vec<u8>> {
    let cpu = run.cpu_state(vcpu)?;
    Some(registers::to_bytes(&cpu, run.machine().cr8(vcpu)))
}

fn set_registers(run: &mut dyn Control, vcpu: VcpuId, bytes: &[u8]) -> Reply {
    let Some(cpu) = run.cpu_state(vcpu) else { return no_such_vcpu() };
    let cr8 = run.machine().cr8(vcpu);
    let values = registers::changes(&cpu, cr8, bytes);
    if values.is_empty() {
        return Reply::Done;
    }
    done(run.change(Change::Registers { vcpu: vcpu as u32, values }))
}

/// As many bytes from `address` on as can be read.
fn read(run: &mut dyn Control, vcpu: Option<VcpuId>, address: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut filled = 0;
    while filled < len {
        let at = address.wrapping_add(filled as u64);
        let in_page = (PAGE_SIZE - (at & PAGE_OFFSET_MASK)) as usize;
        let piece = &mut bytes[filled..len.min(filled + in_page)];
        let piece_len = piece.len();
        let readable = match vcpu {
            Some(vcpu) => run.read_virtual(vcpu, at, piece),
            None => run.read_physical(Gpa(at), piece),
        };
        if !readable {
            break;
        }
        filled += piece_len;
    }
    bytes.truncate(filled);
    bytes
}

/// Writes all of it or, if a page is not there, nothing.
fn write(run: &mut dyn Control, vcpu: Option<VcpuId>, address: u64, bytes: &[u8]) -> Reply {
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let at = address.wrapping_add((bytes.len() - rest.len()) as u64);
        let in_page = (PAGE_SIZE - (at & PAGE_OFFSET_MASK)) as usize;
        let (piece, after) = rest.split_at(in_page.min(rest.len()));
        rest = after;
        let Some(gpa) = physical(run, vcpu, at) else {
            return Reply::Refused(format!("there is no RAM at {at:#x}"));
        };
        pieces.push((gpa, piece));
    }
    for (gpa, piece) in pieces {
        if let Err(error) = run.change(Change::Memory { gpa: gpa.0, bytes: piece.to_vec() }) {
            return Reply::Refused(error.to_string());
        }
    }
    Reply::Done
}

fn physical(run: &mut dyn Control, vcpu: Option<VcpuId>, address: u64) -> Option<Gpa> {
    let gpa = match vcpu {
        Some(vcpu) => {
            let cpu = run.cpu_state(vcpu)?;
            quiet_walk::translate(run.machine().memory(), &cpu, address)?
        }
        None => Gpa(address),
    };
    run.machine().memory().ram_offset(gpa).map(|_| gpa)
}
