//! Backtraces: who called whom, in the kernel by ORC, in user space by frame pointers.
//!
//! A frame tells how it was found. What is found by ORC or frame pointers is right as long as the
//! guest keeps to its own rules; a [`How::Guess`] is a return address that lies on the stack and
//! may be of a call that is over.

mod kernel_stack;
mod text;
mod user_stack;

use super::kernel::{LinuxError, View};
use super::modules::Module;
use super::tasks::Task;
use dejavm_core::cpu::CpuState;
use dejavm_core::cpu::state::{RBP, RCX, RSP};
use dejavm_core::types::VcpuId;

/// So many frames are walked at most.
pub const MOST_FRAMES: usize = 256;

/// Addresses from here on are of the kernel.
const KERNEL_HALF: u64 = 1 << 63;

/// How a frame was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The registers say it.
    Registers,
    /// By the kernel's ORC.
    Orc,
    /// By the chain of frame pointers.
    FramePointer,
    /// A return address lies on the stack.
    Guess,
}

impl How {
    /// A name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Registers => "registers",
            Self::Orc => "orc",
            Self::FramePointer => "frame_pointer",
            Self::Guess => "guess",
        }
    }
}

/// How an interrupted frame was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `orig_ax` of the saved registers: the number of a system call, an error code, or -1.
    pub orig_ax: i64,
    /// It came from user space.
    pub from_user: bool,
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The address in it: of the next instruction, or to which a call returns.
    pub ip: u64,
    /// The stack pointer in it.
    pub sp: u64,
    /// Whether the address is a return address: the call lies before it.
    pub returns: bool,
    /// How it was found.
    pub how: How,
    /// It was left by an interrupt, exception or system call, not by a call.
    pub entry: Option<Entry>,
}

impl Frame {
    /// Whether it is of the kernel.
    pub fn is_kernel(&self) -> bool {
        self.ip >= KERNEL_HALF
    }

    /// The address to look up: a call may be the last instruction of its function.
    pub fn lookup_address(&self) -> u64 {
        self.ip.wrapping_sub(self.returns.into())
    }
}

/// Who called whom, the innermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backtrace {
    /// The task that it is of, if there is one yet.
    pub task: Option<Task>,
    /// The frames.
    pub frames: Vec<Frame>,
    /// Why it ends, if not where the stack does.
    pub broken: Option<String>,
}

/// Where a walk is.
#[derive(Clone, Copy, Debug)]
struct Registers {
    ip: u64,
    sp: u64,
    bp: u64,
}

impl View<'_> {
    /// The backtrace of what a vCPU executes.
    ///
    /// # Errors
    /// If there is no such vCPU.
    pub fn backtrace_of_vcpu(&self, vcpu: VcpuId) -> Result<Backtrace, LinuxError> {
        let cpu = self.guest().cpu(vcpu).ok_or(LinuxError::NoVcpu(vcpu))?;
        let task = self.current(vcpu).ok();
        let mut trace = Backtrace { task, frames: Vec::new(), broken: None };
        let registers = Registers { ip: cpu.regs[16], sp: cpu.regs[RSP], bp: cpu.regs[RBP] };
        let frame =
            Frame { ip: registers.ip, sp: registers.sp, returns: false, how: How::Registers, entry: None };
        trace.frames.push(frame);
        if cpu.cpl == 3 {
            self.user(&mut trace, registers);
        } else if registers.sp < KERNEL_HALF {
            self.on_the_threshold(&mut trace, cpu);
        } else {
            self.kernel_then_user(&mut trace, registers, true);
        }
        Ok(trace)
    }

    /// The backtrace of a task: of where it runs, or of where it waits.
    ///
    /// # Errors
    /// If what it runs on cannot be read.
    pub fn backtrace_of_task(&self, task: &Task) -> Result<Backtrace, LinuxError> {
        if let Some(vcpu) = task.vcpu {
            return self.backtrace_of_vcpu(vcpu);
        }
        let mut trace = Backtrace { task: Some(task.clone()), frames: Vec::new(), broken: None };
        let layout = &self.kernel.tasks;
        let types = self.kernel.types();
        let saved = self.space.u64(task.address.wrapping_add(layout.sp.offset));
        let saved = saved.ok_or(LinuxError::Unsound("stack pointer of the task"))?;
        // `struct inactive_task_frame`: R15 to R12, RBX, RBP, the return address of __switch_to_asm.
        let field =
            |name: &str, or: u64| types.field("inactive_task_frame", name).map_or(or, |field| field.offset);
        let word = |offset: u64| self.space.u64(saved.wrapping_add(offset));
        let (ip, bp) = word(field("ret_addr", 48))
            .zip(word(field("bp", 40)))
            .ok_or(LinuxError::Unsound("stack of the task"))?;
        let sp = saved.wrapping_add(types.size("inactive_task_frame").unwrap_or(56));
        let registers = Registers { ip, sp, bp };
        trace.frames.push(Frame { ip, sp, returns: true, how: How::Registers, entry: None });
        let forked = ["ret_from_fork_asm", "ret_from_fork"].iter();
        let fresh = forked.filter_map(|name| self.kernel.symbols().address(name)).any(|at| at == ip);
        self.kernel_then_user(&mut trace, registers, fresh);
        Ok(trace)
    }

    /// In the first and the last instructions of a system call the stack is still, or already,
    /// that of user space; RCX has the address there.
    fn on_the_threshold(&self, trace: &mut Backtrace, cpu: &CpuState) {
        let here = self.kernel.symbols().lookup(cpu.regs[16]);
        if !here.is_some_and(|here| here.symbol.name.starts_with("entry_SYS")) {
            trace.broken = Some("the stack is not of the kernel".into());
            return;
        }
        let registers = Registers { ip: cpu.regs[RCX], sp: cpu.regs[RSP], bp: cpu.regs[RBP] };
        let entry = Some(Entry { orig_ax: cpu.regs[0] as i64, from_user: true });
        trace.frames.push(Frame {
            ip: registers.ip,
            sp: registers.sp,
            returns: false,
            how: How::Registers,
            entry,
        });
        self.user(trace, registers);
    }

    fn kernel_then_user(&self, trace: &mut Backtrace, from: Registers, interrupted: bool) {
        let modules = self.modules().unwrap_or_default();
        match kernel_stack::walk(self, &modules, trace, from, interrupted) {
            Ok(Some(user)) => self.user(trace, user),
            Ok(None) => {}
            Err(why) => trace.broken = Some(why.to_owned()),
        }
    }

    fn user(&self, trace: &mut Backtrace, from: Registers) {
        let space = trace.task.as_ref().and_then(|task| self.space_of(task));
        trace.broken = match space {
            Some(space) => user_stack::walk(&space, trace, from).err().map(str::to_owned),
            None => Some("the task has no memory of its own".into()),
        };
    }

    /// What a frame is called, if it is of the kernel.
    pub fn name_of(&self, frame: &Frame, symbols: &super::symbols::Symbols) -> Option<String> {
        if !frame.is_kernel() {
            return None;
        }
        symbols.describe_within(frame.ip, frame.lookup_address())
    }
}

/// What a walk of the kernel's stack needs of modules.
type Modules<'a> = &'a [Module];
