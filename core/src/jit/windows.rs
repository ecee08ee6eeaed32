//! Windows: accesses of a block that go through the same base and lie near each other.
//!
//! Registers are followed through the block by number: each new value has a number of its own, and
//! what is moved or has a constant added keeps it, with an offset. Accesses at small distances from
//! the same value make a window. The code checks the whole window at its first access: that it lies
//! in one page, and that the page may be accessed so. The accesses behind it need no check.
//!
//! What writes which registers is taken from iced-x86 for the instructions listed here; at any other
//! instruction everything is forgotten.

use crate::cpu::insn::register_index;
use iced_x86::{
    Instruction, InstructionInfo, InstructionInfoFactory, InstructionInfoOptions, MemorySize, Mnemonic,
    OpAccess, OpKind, Register, UsedMemory,
};

/// The widest window, in bytes.
const WIDEST: i64 = 512;
/// The most windows of a block.
pub const WINDOWS: usize = 4;

/// A window of a block: addresses relative to the value that its base had at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its number in the block, below [`WINDOWS`].
    pub slot: u8,
    /// Its lowest address less the address of this access.
    pub below: i32,
    /// Its size.
    pub bytes: u32,
    /// Some access writes.
    pub write: bool,
}

/// The windows of the accesses of one instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// That of its memory operand.
    pub operand: Option<Window>,
    /// That of its push or pop.
    pub stack: Option<Window>,
}

/// A value that registers may have, plus a constant.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Value {
    number: u32,
    plus: i64,
}

/// One access to memory.
struct Seen {
    insn: usize,
    stack: bool,
    value: u32,
    low: i64,
    high: i64,
    write: bool,
}

struct Scan {
    registers: [Value; 16],
    next: u32,
    seen: Vec<Seen>,
}

/// The windows of a block.
#[derive(Default)]
pub struct Plan {
    /// Those of each instruction.
    pub accesses: Vec<Access>,
    /// The windows that lie where they lay in the iteration before, if the block is a loop: bit n for
    /// number n.
    pub invariant: u8,
}

/// The windows of the instructions of a block, which is a loop up to instruction `end`, if that is given.
pub fn plan(insns: &[Instruction], end: Option<usize>) -> Plan {
    let mut scan = Scan { registers: [Value { number: 0, plus: 0 }; 16], next: 0, seen: Vec::new() };
    scan.forget_all();
    let begin = scan.registers;
    let mut constant = Vec::new();
    let mut factory = InstructionInfoFactory::new();
    for (n, i) in insns.iter().enumerate() {
        if !followed(i) {
            scan.forget_all();
            continue;
        }
        let info = factory.info_options(i, InstructionInfoOptions::NONE);
        scan.accesses(n, i, info);
        scan.writes(i, info);
        if end == Some(n) {
            let same = begin.iter().zip(&scan.registers).filter(|(then, now)| then == now);
            constant = same.map(|(value, _)| value.number).collect();
        }
    }
    choose(insns.len(), scan.seen, &constant)
}

impl Scan {
    fn fresh(&mut self) -> Value {
        self.next += 1;
        Value { number: self.next, plus: 0 }
    }

    fn forget_all(&mut self) {
        for g in 0..16 {
            self.registers[g] = self.fresh();
        }
    }

    fn accesses(&mut self, n: usize, i: &Instruction, info: &InstructionInfo) {
        if i.stack_pointer_increment() != 0 && i.op0_kind() == OpKind::Memory {
            // Two accesses.
            return;
        }
        for memory in info.used_memory() {
            let Some(base) = plain_base(memory) else { continue };
            let bytes = memory.memory_size().size() as i64;
            let no_access = matches!(memory.access(), OpAccess::None | OpAccess::NoMemAccess);
            if bytes == 0 || bytes > 16 || memory.memory_size() == MemorySize::Unknown || no_access {
                continue;
            }
            let Value { number, plus } = self.registers[base];
            let low = plus.wrapping_add(memory.displacement() as i64);
            let write = matches!(
                memory.access(),
                OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
            );
            let stack = i.stack_pointer_increment() != 0;
            self.seen.push(Seen { insn: n, stack, value: number, low, high: low.wrapping_add(bytes), write });
        }
    }

    fn writes(&mut self, i: &Instruction, info: &InstructionInfo) {
        let known = self.known_result(i);
        for used in info.used_registers() {
            let reads_only = matches!(
                used.access(),
                OpAccess::Read | OpAccess::CondRead | OpAccess::None | OpAccess::NoMemAccess
            );
            if !used.register().is_gpr() || reads_only {
                continue;
            }
            let g = register_index(used.register().full_register()) as usize;
            self.registers[g] = match known {
                Some((r, value)) if r == g => value,
                _ => self.fresh(),
            };
        }
    }

    /// The register and value that the instruction gives, if it is one that is followed.
    fn known_result(&self, i: &Instruction) -> Option<(usize, Value)> {
        let add = |r: usize, n: i64| {
            let Value { number, plus } = self.registers[r];
            Value { number, plus: plus.wrapping_add(n) }
        };
        let sp = register_index(Register::RSP) as usize;
        if i.stack_pointer_increment() != 0 {
            // POP RSP is another matter.
            let pops_it = i.op0_kind() == OpKind::Register && i.op0_register() == Register::RSP;
            return (!pops_it).then(|| (sp, add(sp, i.stack_pointer_increment().into())));
        }
        if i.op0_kind() != OpKind::Register || !i.op0_register().is_gpr64() {
            return None;
        }
        let to = register_index(i.op0_register()) as usize;
        let two = i.op_count() == 2;
        let by_register = two && i.op1_kind() == OpKind::Register && i.op1_register().is_gpr64();
        let immediate = two && !matches!(i.op1_kind(), OpKind::Register | OpKind::Memory);
        let constant = immediate.then(|| i.immediate(1) as i64);
        let value = match i.mnemonic() {
            Mnemonic::Mov if by_register => add(register_index(i.op1_register()) as usize, 0),
            Mnemonic::Add => add(to, constant?),
            Mnemonic::Sub => add(to, constant?.wrapping_neg()),
            Mnemonic::Inc => add(to, 1),
            Mnemonic::Dec => add(to, -1),
            Mnemonic::Lea if i.memory_base().is_gpr64() && i.memory_index() == Register::None => {
                add(register_index(i.memory_base()) as usize, i.memory_displacement64() as i64)
            }
            _ => return None,
        };
        Some((to, value))
    }
}

/// The base register of an access through that alone, in a flat segment.
fn plain_base(memory: &UsedMemory) -> Option<usize> {
    let flat = !matches!(memory.segment(), Register::FS | Register::GS);
    let plain = memory.base().is_gpr64() && memory.index() == Register::None && flat;
    plain.then(|| register_index(memory.base()) as usize)
}

/// Instructions whose registers and memory are known for sure.
fn followed(i: &Instruction) -> bool {
    use Mnemonic::*;
    if i.has_rep_prefix() && i.is_string_instruction() || i.has_lock_prefix() {
        return false;
    }
    let stack = matches!(i.mnemonic(), Push | Pop) || i.is_call_near() || i.is_call_near_indirect();
    if stack || i.mnemonic() == Ret {
        // Of 64 bits, and one access of each kind.
        return matches!(i.stack_pointer_increment(), -8 | 8);
    }
    if i.is_jcc_short_or_near() || i.is_jmp_short_or_near() || i.is_jmp_near_indirect() {
        return true;
    }
    let vector = (0..i.op_count()).any(|k| i.op_kind(k) == OpKind::Register && i.op_register(k).is_xmm());
    vector
        || matches!(
            i.mnemonic(),
            Mov | Movzx
                | Movsx
                | Movsxd
                | Movnti
                | Lea
                | Add
                | Adc
                | Sub
                | Sbb
                | Cmp
                | And
                | Or
                | Xor
                | Test
                | Inc
                | Dec
                | Neg
                | Not
                | Shl
                | Sal
                | Shr
                | Sar
                | Rol
                | Ror
                | Imul
                | Nop
                | Bt
                | Bts
                | Btr
                | Btc
                | Bsf
                | Bsr
                | Bswap
                | Cdqe
                | Cwde
                | Cbw
                | Cdq
                | Cqo
                | Cwd
                | Xchg
                | Endbr64
                | Cmovo
                | Cmovno
                | Cmovb
                | Cmovae
                | Cmove
                | Cmovne
                | Cmovbe
                | Cmova
                | Cmovs
                | Cmovns
                | Cmovp
                | Cmovnp
                | Cmovl
                | Cmovge
                | Cmovle
                | Cmovg
                | Seto
                | Setno
                | Setb
                | Setae
                | Sete
                | Setne
                | Setbe
                | Seta
                | Sets
                | Setns
                | Setp
                | Setnp
                | Setl
                | Setge
                | Setle
                | Setg
        )
}

/// Makes windows of accesses through the same value.
fn choose(insns: usize, seen: Vec<Seen>, constant: &[u32]) -> Plan {
    let mut accesses = vec![Access::default(); insns];
    let mut done = vec![false; seen.len()];
    let (mut slot, mut invariant) = (0, 0);
    for first in 0..seen.len() {
        if done[first] || usize::from(slot) == WINDOWS {
            continue;
        }
        let (mut low, mut high, mut write) = (seen[first].low, seen[first].high, false);
        let mut members = Vec::new();
        for (n, s) in seen.iter().enumerate().skip(first).filter(|(_, s)| s.value == seen[first].value) {
            let (l, h) = (low.min(s.low), high.max(s.high));
            if !done[n] && s.low < s.high && h.wrapping_sub(l) <= WIDEST && l < h {
                (low, high, write) = (l, h, write | s.write);
                members.push(n);
            }
        }
        // An instruction that goes through it twice has one check of it, or none.
        if members.len() < 2 {
            continue;
        }
        for n in members {
            done[n] = true;
            let s = &seen[n];
            let window = Window { slot, below: (low - s.low) as i32, bytes: (high - low) as u32, write };
            let access = &mut accesses[s.insn];
            *(if s.stack { &mut access.stack } else { &mut access.operand }) = Some(window);
        }
        if constant.contains(&seen[first].value) {
            invariant |= 1 << slot;
        }
        slot += 1;
    }
    Plan { accesses, invariant }
}
