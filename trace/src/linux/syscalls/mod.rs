//! System calls of all tasks, as strace shows those of one: with decoded arguments, results and
//! errors, the call and its return paired across switches of tasks.
//!
//! A [`Tracer`] names the addresses at which the run is to stop ([`Tracer::stops`], for
//! [`dejavm_core::boundary::StopCondition::Breakpoint`]): the first instruction behind each door
//! into the kernel, where all registers are still those of the program, and where the kernel is
//! about to return to it. At each stop [`Tracer::at_stop`] reads what is there. Memory is read at
//! those very places, so that a buffer is shown as it was when the call was made, or returned.

mod decode;
mod errno;
mod flags;
mod table;
#[cfg(test)]
mod tests;

pub use table::{Abi, is_syscall, syscall_name};

use super::guest::Guest;
use super::kernel::{Kernel, LinuxError, View};
use super::space::Space;
use decode::Call;
use dejavm_core::boundary::Position;
use dejavm_core::cpu::CpuState;
use dejavm_core::types::{Icount, VcpuId};
use std::collections::BTreeMap;

const RAX: usize = 0;
const RDI: usize = 7;
const RIP: usize = 16;
/// RDI RSI RDX R10 R8 R9.
const ARGUMENTS_64: [usize; 6] = [7, 6, 2, 10, 8, 9];
/// EBX ECX EDX ESI EDI EBP.
const ARGUMENTS_32: [usize; 6] = [3, 1, 2, 6, 7, 5];
/// As SYSCALL of 32-bit programs passes them: the second is in EBP, and the last on the stack, from
/// where it is not taken (register 17 is always 0).
const ARGUMENTS_32_SYSCALL: [usize; 6] = [3, 5, 2, 6, 7, 17];
/// `struct pt_regs`: RAX.
const PT_REGS_AX: u64 = 80;
/// The vector of system calls of 32-bit programs.
const INT80: u64 = 0x80;

/// A system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syscall {
    /// Before the first instruction in the kernel; None: it was made before the stretch.
    pub entered: Option<Position>,
    /// Where the kernel is about to return; None: it has not returned in the stretch, or never
    /// does.
    pub returned: Option<Position>,
    /// The vCPU on which it was made, or else on which it returned.
    pub vcpu: VcpuId,
    /// The thread that made it.
    pub pid: i32,
    /// Its process.
    pub tgid: i32,
    /// The name of the thread when it made it.
    pub comm: String,
    /// The door.
    pub abi: Abi,
    /// The number; None if the call was made before the stretch.
    pub number: Option<u64>,
    /// The name, as `read`.
    pub name: String,
    /// The registers with the arguments, as many as the call has.
    pub arguments: Vec<u64>,
    /// The arguments as text.
    pub decoded: Vec<String>,
    /// What it returned.
    pub result: Option<i64>,
}

impl Syscall {
    /// The name of the error, if it failed.
    pub fn error(&self) -> Option<&'static str> {
        self.result.and_then(decode::error)
    }

    /// The result as strace writes it; `?` if there is none.
    pub fn result_text(&self) -> String {
        self.result.map_or_else(|| "?".to_owned(), |result| decode::result(&self.name, result))
    }
}

impl std::fmt::Display for Syscall {
    /// `openat(AT_FDCWD, "/", O_RDONLY) = 3`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}({}) = {}", self.name, self.decoded.join(", "), self.result_text())
    }
}

/// What is known of a call that has not returned.
struct Pending {
    call: Syscall,
    registers: [u64; 6],
}

/// Follows the system calls of a run.
pub struct Tracer<'k> {
    kernel: &'k Kernel,
    doors: Vec<(u64, Door)>,
    exit: u64,
    /// By the address of the task.
    pending: BTreeMap<u64, Pending>,
}

/// What leads into the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Syscall,
    Syscall32,
    Int80,
}

impl<'k> Tracer<'k> {
    /// For a kernel in a guest that has set up its doors.
    ///
    /// # Errors
    /// If the kernel is not there yet, or not as it is known.
    pub fn new(kernel: &'k Kernel, guest: &dyn Guest) -> Result<Self, LinuxError> {
        let exit = kernel.address("syscall_exit_to_user_mode")?;
        let cpus = (0..guest.vcpus()).filter_map(|vcpu| guest.cpu(vcpu));
        let view = kernel.at(guest);
        let mut doors = Vec::new();
        for cpu in cpus {
            let all = [
                (cpu.msrs.lstar, Door::Syscall),
                (cpu.msrs.cstar, Door::Syscall32),
                (gate(&view, cpu, INT80).unwrap_or(0), Door::Int80),
            ];
            doors.extend(all.into_iter().filter(|(address, _)| kernel.symbols().lookup(*address).is_some()));
        }
        doors.sort_by_key(|(address, _)| *address);
        doors.dedup();
        match doors.iter().any(|(_, door)| *door == Door::Syscall) {
            true => Ok(Self { kernel, doors, exit, pending: BTreeMap::new() }),
            false => Err(LinuxError::Unsound("entry for system calls")),
        }
    }

    /// The addresses at which the run is to stop.
    pub fn stops(&self) -> Vec<u64> {
        self.doors.iter().map(|(address, _)| *address).chain([self.exit]).collect()
    }

    /// Takes in what is there when a vCPU stands at one of the addresses; gives the call that is told
    /// of there: as it returns, or as it is known that it never will.
    pub fn at_stop(&mut self, guest: &dyn Guest, vcpu: VcpuId, here: Position) -> Option<Syscall> {
        let cpu = guest.cpu(vcpu)?;
        let view = self.kernel.at(guest);
        let rip = cpu.regs[RIP];
        let space = Space::of_cpu(guest, cpu);
        if rip == self.exit {
            return self.leave(&view, cpu, space, vcpu, here);
        }
        let (_, door) = *self.doors.iter().find(|(address, _)| *address == rip)?;
        self.enter(&view, cpu, space, (vcpu, door), here)
    }

    /// The calls that have not returned by now, in the order in which they were made.
    pub fn unfinished(self) -> Vec<Syscall> {
        let mut calls: Vec<Syscall> = self.pending.into_values().map(|pending| pending.call).collect();
        calls.sort_by_key(|call| call.entered);
        calls
    }

    fn enter(
        &mut self,
        view: &View<'_>,
        cpu: &CpuState,
        space: Option<Space<'_>>,
        (vcpu, door): (VcpuId, Door),
        here: Position,
    ) -> Option<Syscall> {
        let task = view.current(vcpu).ok()?;
        let (abi, registers, number) = match door {
            Door::Syscall => (Abi::X86_64, ARGUMENTS_64, cpu.regs[RAX] as u32),
            Door::Syscall32 => (Abi::I386, ARGUMENTS_32_SYSCALL, cpu.regs[RAX] as u32),
            Door::Int80 => (Abi::I386, ARGUMENTS_32, cpu.regs[RAX] as u32),
        };
        let mask = if abi == Abi::I386 { u64::from(u32::MAX) } else { u64::MAX };
        let registers = registers.map(|register| cpu.regs[register] & mask);
        let number = u64::from(number);
        let kinds = table::kinds(abi, number);
        let call = Call { space, abi, arguments: registers, result: None };
        let shown = (0..kinds.len()).filter(|n| !call.leaves_out(*n, kinds));
        let call = Syscall {
            entered: Some(here),
            returned: None,
            vcpu,
            pid: task.pid,
            tgid: task.tgid,
            comm: task.comm,
            abi,
            number: Some(number),
            name: syscall_name(abi, number),
            arguments: registers[..kinds.len().min(6)].to_vec(),
            decoded: shown.map(|n| call.argument(n, kinds[n])).collect(),
            result: None,
        };
        // It never returns.
        if matches!(call.name.as_str(), "exit" | "exit_group") {
            return Some(call);
        }
        // Of a task that was killed in a call, whose place another has now.
        self.pending.insert(task.address, Pending { call, registers }).map(|before| before.call)
    }

    fn leave(
        &mut self,
        view: &View<'_>,
        cpu: &CpuState,
        space: Option<Space<'_>>,
        vcpu: VcpuId,
        here: Position,
    ) -> Option<Syscall> {
        let result = view.space.u64(cpu.regs[RDI].wrapping_add(PT_REGS_AX))? as i64;
        let task = view.current_address(vcpu).ok()?;
        let Some(Pending { mut call, registers }) = self.pending.remove(&task) else {
            // Made before the stretch; or a child of fork, which has made none.
            return None;
        };
        // As above; the first thing that a child of fork does is to return.
        if view.pid_at(task) != Some(call.pid) {
            return Some(call);
        }
        let kinds = table::kinds(call.abi, call.number?);
        let result = if call.abi == Abi::I386 { i64::from(result as i32) } else { result };
        let decode = Call { space, abi: call.abi, arguments: registers, result: Some(result) };
        // Only of those that are shown: none that the kernel writes is left out.
        let shown = (0..kinds.len()).filter(|n| !decode.leaves_out(*n, kinds));
        for (text, n) in call.decoded.iter_mut().zip(shown) {
            // What was not in memory when the call was made, the kernel has brought in since.
            let absent = *text == decode::pointer(registers[n]);
            if kinds[n].is_out() || absent {
                *text = decode.argument(n, kinds[n]);
            }
        }
        (call.returned, call.result) = (Some(here), Some(result));
        Some(call)
    }
}

/// Where a gate of the interrupt descriptor table leads (SDM vol. 3, 6.14.1).
fn gate(view: &View<'_>, cpu: &CpuState, vector: u64) -> Option<u64> {
    let at = cpu.idtr.base.wrapping_add(16 * vector);
    let (low, high) = view.space.u64(at).zip(view.space.u64(at.wrapping_add(8)))?;
    let present = low >> 47 & 1 != 0;
    present.then_some(low & 0xFFFF | low >> 32 & 0xFFFF_0000 | high << 32)
}

/// The icount of the instruction that made a call: the one before the first in the kernel.
pub fn icount_of_call(entered: Position) -> Icount {
    entered.icount.saturating_sub(1)
}
