//! A decoded instruction in the form that the interpreter executes.
//!
//! iced-x86 decodes; what its `Instruction` says is flattened into an [`Insn`] once, and the
//! handler for it is chosen once. An `Insn` holds no absolute address, since one physical page
//! may be mapped at several linear ones: branch targets are relative.

use super::env::Env;
use super::state::Vcpu;
use crate::types::Exception;
use iced_x86::{Code, Instruction, MemorySize, OpKind, Register};

/// The outcome of a handler. On `Err` the instruction has changed nothing that the guest can
/// see (faults), and RIP goes back to its start.
pub type Exec = Result<(), Exception>;

/// The interpreter of one instruction form.
///
/// While it runs, `regs[RIP]` is the address of the *next* instruction; a branch overwrites it,
/// a REP string that is not finished subtracts [`Insn::len`].
pub type Handler = fn(&mut Vcpu, &mut Env<'_>, &Insn) -> Exec;

/// Index of RIP among the registers of an [`Insn`].
pub const RIP: u8 = 16;
/// Index of the register that is always zero: "no base", "no index".
pub const ZERO: u8 = 17;
/// Operand `k` is not a register.
pub const NO_REG: u8 = 0xFF;
/// AH, CH, DH, BH are byte registers 16 to 19.
pub const HIGH_BYTE: u8 = 16;

/// Segment index of an operand whose segment base is zero and has no limit (64-bit mode, all
/// but FS and GS).
pub const SEG_FLAT: u8 = 6;

/// A decoded instruction.
#[derive(Clone, Copy)]
pub struct Insn {
    /// Executes it.
    pub exec: Handler,
    /// The (first) immediate, sign-extended to 64 bits as the form asks for; of a near branch,
    /// the distance of the target from the next instruction; of a far branch, the offset.
    pub imm: u64,
    /// The displacement of the memory operand, sign-extended; of a moffs operand, the address.
    pub disp: u64,
    /// Masks an effective address to the address size.
    pub addr_mask: u64,
    /// The register of operand k, as an index into its file (general, segment, control,
    /// debug, MMX, XMM, x87); [`NO_REG`] if operand k is not a register.
    pub r: [u8; 4],
    /// The base register of the memory operand, [`RIP`] or [`ZERO`].
    pub base: u8,
    /// The index register of the memory operand, or [`ZERO`].
    pub index: u8,
    /// log2 of its scale.
    pub scale: u8,
    /// The segment of the memory operand: 0..=5 ES CS SS DS FS GS, or [`SEG_FLAT`].
    pub seg: u8,
    /// Its length in bytes.
    pub len: u8,
    /// The second immediate (ENTER, EXTRQ), or the selector's low byte of a far branch.
    pub imm2: u16,
    /// See [`insn_flags`].
    pub flags: u16,
    /// iced-x86's code of the form.
    pub code: Code,
}

/// Bits of [`Insn::flags`].
pub mod insn_flags {
    /// LOCK prefix.
    pub const LOCK: u16 = 1;
    /// F3 prefix (REP, REPE).
    pub const REP: u16 = 1 << 1;
    /// F2 prefix (REPNE).
    pub const REPNE: u16 = 1 << 2;
    /// Memory operands need segment checks (any mode but 64-bit).
    pub const SEG_CHECK: u16 = 1 << 3;
    /// The memory operand exists.
    pub const MEM: u16 = 1 << 4;
    /// Decoded in 64-bit mode.
    pub const MODE64: u16 = 1 << 5;
    /// Decoded in a 32-bit code segment.
    pub const MODE32: u16 = 1 << 6;
    /// Has a segment override prefix.
    pub const SEG_OVERRIDE: u16 = 1 << 7;
}

impl Insn {
    /// Flattens a decoded instruction; `bitness` is 16, 32 or 64.
    pub fn new(i: &Instruction, bitness: u32, exec: Handler) -> Self {
        let mut insn = Self {
            exec,
            imm: immediate(i),
            disp: 0,
            addr_mask: u64::MAX,
            r: [NO_REG; 4],
            base: ZERO,
            index: ZERO,
            scale: 0,
            seg: SEG_FLAT,
            len: i.len() as u8,
            imm2: second_immediate(i),
            flags: prefix_flags(i, bitness),
            code: i.code(),
        };
        for k in 0..i.op_count().min(4) {
            if i.op_kind(k) == OpKind::Register {
                insn.r[k as usize] = register_index(i.op_register(k));
            }
        }
        insn.set_memory(i, bitness);
        insn
    }

    fn set_memory(&mut self, i: &Instruction, bitness: u32) {
        let Some(kind) = (0..i.op_count()).map(|k| i.op_kind(k)).find(|k| is_memory(*k)) else { return };
        self.flags |= insn_flags::MEM;
        self.addr_mask = match address_size(i, kind, bitness) {
            2 => 0xFFFF,
            4 => 0xFFFF_FFFF,
            _ => u64::MAX,
        };
        let segment = i.memory_segment();
        let unsegmented = bitness == 64 && !matches!(segment, Register::FS | Register::GS);
        self.seg = if unsegmented { SEG_FLAT } else { register_index(segment) };
        if kind != OpKind::Memory {
            return;
        }
        self.disp = i.memory_displacement64();
        match i.memory_base() {
            Register::None => {}
            Register::RIP | Register::EIP => {
                // iced gives the target for an instruction at address 0: make it relative.
                self.base = RIP;
                self.disp = self.disp.wrapping_sub(i.next_ip());
            }
            base => self.base = register_index(base),
        }
        if i.memory_index() != Register::None {
            self.index = register_index(i.memory_index());
            self.scale = i.memory_index_scale().trailing_zeros() as u8;
        }
    }

    /// Whether a flag of [`insn_flags`] is set.
    #[inline(always)]
    pub fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Whether the instruction has a memory operand.
    #[inline(always)]
    pub fn is_mem(&self) -> bool {
        self.has(insn_flags::MEM)
    }

    /// The address size in bytes.
    #[inline]
    pub fn address_size(&self) -> usize {
        match self.addr_mask {
            0xFFFF => 2,
            0xFFFF_FFFF => 4,
            _ => 8,
        }
    }
}

/// The number of a register within its file.
pub fn register_index(r: Register) -> u8 {
    match r {
        Register::AH | Register::CH | Register::DH | Register::BH => {
            HIGH_BYTE + (r as u8 - Register::AH as u8)
        }
        Register::RIP | Register::EIP => RIP,
        Register::None => ZERO,
        // iced numbers the byte registers in a row: SPL, BPL, SIL, DIL, R8L follow BH.
        _ if r.is_gpr8() => r.full_register().number() as u8,
        _ => r.number() as u8,
    }
}

fn is_memory(k: OpKind) -> bool {
    matches!(
        k,
        OpKind::Memory
            | OpKind::MemorySegSI
            | OpKind::MemorySegESI
            | OpKind::MemorySegRSI
            | OpKind::MemorySegDI
            | OpKind::MemorySegEDI
            | OpKind::MemorySegRDI
            | OpKind::MemoryESDI
            | OpKind::MemoryESEDI
            | OpKind::MemoryESRDI
    )
}

fn address_size(i: &Instruction, kind: OpKind, bitness: u32) -> usize {
    match kind {
        OpKind::MemorySegSI | OpKind::MemorySegDI | OpKind::MemoryESDI => 2,
        OpKind::MemorySegESI | OpKind::MemorySegEDI | OpKind::MemoryESEDI => 4,
        OpKind::MemorySegRSI | OpKind::MemorySegRDI | OpKind::MemoryESRDI => 8,
        _ => {
            let r = if i.memory_base() == Register::None { i.memory_index() } else { i.memory_base() };
            match r {
                Register::EIP => 4,
                Register::RIP => 8,
                Register::None => match i.memory_displ_size() {
                    2 => 2,
                    8 => 8,
                    // A displacement alone: 32 bits of it, sign-extended in 64-bit mode
                    // unless the address size is 32 (then iced says 4).
                    _ if bitness == 64 => 8,
                    _ => 4,
                },
                r => r.size(),
            }
        }
    }
}

fn prefix_flags(i: &Instruction, bitness: u32) -> u16 {
    let mut f = 0;
    let mut set = |on: bool, flag: u16| f |= if on { flag } else { 0 };
    set(i.has_lock_prefix(), insn_flags::LOCK);
    set(i.has_rep_prefix(), insn_flags::REP);
    set(i.has_repne_prefix(), insn_flags::REPNE);
    set(bitness != 64, insn_flags::SEG_CHECK);
    set(bitness == 64, insn_flags::MODE64);
    set(bitness == 32, insn_flags::MODE32);
    set(i.has_segment_prefix(), insn_flags::SEG_OVERRIDE);
    f
}

fn immediate(i: &Instruction) -> u64 {
    for k in 0..i.op_count() {
        match i.op_kind(k) {
            OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => {
                return i.near_branch_target().wrapping_sub(i.next_ip());
            }
            OpKind::FarBranch16 => return u64::from(i.far_branch16()),
            OpKind::FarBranch32 => return u64::from(i.far_branch32()),
            OpKind::Immediate8
            | OpKind::Immediate16
            | OpKind::Immediate32
            | OpKind::Immediate64
            | OpKind::Immediate8to16
            | OpKind::Immediate8to32
            | OpKind::Immediate8to64
            | OpKind::Immediate32to64 => return i.immediate(k),
            _ => {}
        }
    }
    0
}

fn second_immediate(i: &Instruction) -> u16 {
    for k in 0..i.op_count() {
        match i.op_kind(k) {
            OpKind::FarBranch16 | OpKind::FarBranch32 => return i.far_branch_selector(),
            OpKind::Immediate8_2nd => return u16::from(i.immediate8_2nd()),
            _ => {}
        }
    }
    0
}

/// The size in bytes of the memory operand, 0 if it has none or no fixed size.
pub fn memory_size(i: &Instruction) -> usize {
    if i.memory_size() == MemorySize::Unknown { 0 } else { i.memory_size().size() }
}
