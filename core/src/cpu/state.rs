//! The state of a vCPU: all that a guest can observe of it, plain and complete.

use super::flags::{self, Flags};
use super::insn::{RIP, ZERO};
use super::probes::Probes;
use super::stops::Stops;
use crate::mem::{MmuIndex, PagingRegs, SoftTlb};
use crate::softfloat::F80;
use crate::types::VcpuId;
use serde::{Deserialize, Serialize};

/// Index of RAX among the general registers; the others follow in encoding order.
pub const RAX: usize = 0;
/// RCX.
pub const RCX: usize = 1;
/// RDX.
pub const RDX: usize = 2;
/// RBX.
pub const RBX: usize = 3;
/// RSP.
pub const RSP: usize = 4;
/// RBP.
pub const RBP: usize = 5;
/// RSI.
pub const RSI: usize = 6;
/// RDI.
pub const RDI: usize = 7;

/// Indices of segment registers.
pub mod seg {
    /// ES.
    pub const ES: usize = 0;
    /// CS.
    pub const CS: usize = 1;
    /// SS.
    pub const SS: usize = 2;
    /// DS.
    pub const DS: usize = 3;
    /// FS.
    pub const FS: usize = 4;
    /// GS.
    pub const GS: usize = 5;
    /// Not a register: base 0, no limit (see [`crate::cpu::insn::SEG_FLAT`]).
    pub const FLAT: usize = 6;
}

/// A segment register: the selector and the descriptor cached with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The selector.
    pub selector: u16,
    /// The base address.
    pub base: u64,
    /// The limit in bytes, granularity applied.
    pub limit: u32,
    /// The access rights as in the second dword of a descriptor, bits 23:8 of it shifted down
    /// by 8: type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15.
    pub attributes: u16,
}

impl Segment {
    /// Where its selector is, in an array of them, for generated code.
    pub const fn selector_at(number: usize) -> usize {
        number * size_of::<Self>() + std::mem::offset_of!(Self, selector)
    }

    /// Where its base is, likewise.
    pub const fn base_at(number: usize) -> usize {
        number * size_of::<Self>() + std::mem::offset_of!(Self, base)
    }
}

/// Bits of [`Segment::attributes`].
pub mod attr {
    /// The descriptor type (4 bits).
    pub const TYPE: u16 = 0xF;
    /// Accessed (code and data).
    pub const ACCESSED: u16 = 1;
    /// Writable data, or readable code.
    pub const RW: u16 = 2;
    /// Expand-down data, or conforming code.
    pub const DC: u16 = 4;
    /// Code.
    pub const CODE: u16 = 8;
    /// Code or data (not system).
    pub const S: u16 = 1 << 4;
    /// Shift of the descriptor privilege level.
    pub const DPL_SHIFT: u16 = 5;
    /// Present.
    pub const P: u16 = 1 << 7;
    /// 64-bit code.
    pub const L: u16 = 1 << 13;
    /// 32-bit code or stack.
    pub const DB: u16 = 1 << 14;
    /// Limit counted in pages.
    pub const G: u16 = 1 << 15;
}

/// GDTR or IDTR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRegister {
    /// The linear base address.
    pub base: u64,
    /// The limit in bytes.
    pub limit: u16,
}

/// What a vCPU does when it has its turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activity {
    /// Executes instructions.
    #[default]
    Running,
    /// Waits for an interrupt (HLT, MWAIT).
    Halted,
    /// Waits for a start-up IPI (an application processor after INIT).
    WaitForSipi,
    /// Stopped by a triple fault.
    Shutdown,
}

/// What holds back interrupts for one instruction (SDM vol. 3, 6.8.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shadow {
    /// Nothing.
    #[default]
    None,
    /// STI: maskable interrupts.
    Sti,
    /// MOV SS, POP SS: interrupts, NMI and debug traps.
    MovSs,
}

/// The x87 unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct X87 {
    /// R0 to R7, physical order; ST(i) is R((TOP + i) mod 8). MMX register i is the
    /// significand of Ri.
    pub regs: [F80; 8],
    /// Control word.
    pub control: u16,
    /// Status word, TOP in bits 13:11.
    pub status: u16,
    /// Bit i set: Ri is not empty (the abridged tag word of FXSAVE).
    pub valid: u8,
    /// Opcode of the last non-control instruction, 11 bits.
    pub opcode: u16,
    /// Its address.
    pub instruction_pointer: u64,
    /// Its code selector.
    pub instruction_selector: u16,
    /// Its operand's address.
    pub data_pointer: u64,
    /// Its operand's selector.
    pub data_selector: u16,
}

impl Default for X87 {
    /// The state after FNINIT.
    fn default() -> Self {
        Self {
            regs: [F80::default(); 8],
            control: 0x037F,
            status: 0,
            valid: 0,
            opcode: 0,
            instruction_pointer: 0,
            instruction_selector: 0,
            data_pointer: 0,
            data_selector: 0,
        }
    }
}

/// Model-specific registers that are plain storage with checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Msrs {
    /// IA32_STAR.
    pub star: u64,
    /// IA32_LSTAR.
    pub lstar: u64,
    /// IA32_CSTAR.
    pub cstar: u64,
    /// IA32_FMASK.
    pub fmask: u64,
    /// IA32_KERNEL_GS_BASE.
    pub kernel_gs_base: u64,
    /// IA32_SYSENTER_CS.
    pub sysenter_cs: u64,
    /// IA32_SYSENTER_ESP.
    pub sysenter_esp: u64,
    /// IA32_SYSENTER_EIP.
    pub sysenter_eip: u64,
    /// IA32_TSC_AUX.
    pub tsc_aux: u64,
    /// What IA32_TSC_ADJUST and writes of IA32_TIME_STAMP_COUNTER add to the TSC.
    pub tsc_offset: u64,
    /// IA32_TSC_ADJUST as read back.
    pub tsc_adjust: u64,
    /// IA32_PAT.
    pub pat: u64,
    /// IA32_MISC_ENABLE.
    pub misc_enable: u64,
    /// IA32_MTRR_DEF_TYPE.
    pub mtrr_def_type: u64,
    /// The eight variable MTRR pairs, base and mask.
    pub mtrr_variable: [[u64; 2]; 8],
    /// The eleven fixed MTRRs.
    pub mtrr_fixed: [u64; 11],
    /// IA32_DEBUGCTL.
    pub debugctl: u64,
    /// HWCR (APM vol. 2, A.2): kept, of no effect.
    pub hwcr: u64,
    /// MCG_STATUS.
    pub mcg_status: u64,
}

/// All that a guest can observe of a vCPU, and that decides what it does next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuState {
    /// RAX to R15 in encoding order; [16] is RIP, [17] always 0.
    pub regs: [u64; 18],
    /// RFLAGS.
    pub flags: Flags,
    /// ES CS SS DS FS GS, and a flat one that never changes.
    pub segs: [Segment; 7],
    /// LDTR.
    pub ldtr: Segment,
    /// TR.
    pub tr: Segment,
    /// GDTR.
    pub gdtr: TableRegister,
    /// IDTR.
    pub idtr: TableRegister,
    /// The current privilege level.
    pub cpl: u8,
    /// CR0.
    pub cr0: u64,
    /// CR2.
    pub cr2: u64,
    /// CR3.
    pub cr3: u64,
    /// CR4.
    pub cr4: u64,
    /// IA32_EFER.
    pub efer: u64,
    /// XCR0.
    pub xcr0: u64,
    /// PDPTE registers (PAE paging).
    pub pdpte: [u64; 4],
    /// DR0 to DR3, DR6, DR7 at their numbers; 4 and 5 unused.
    pub dr: [u64; 8],
    /// Model-specific registers.
    pub msrs: Msrs,
    /// x87 and MMX.
    pub x87: X87,
    /// XMM0 to XMM15.
    pub xmm: [u128; 16],
    /// MXCSR.
    pub mxcsr: u32,
    /// What it does.
    pub activity: Activity,
    /// What holds back interrupts.
    pub shadow: Shadow,
    /// An NMI was delivered and no IRET came yet.
    pub nmi_masked: bool,
    /// An NMI waits to be delivered.
    pub nmi_pending: bool,
    /// A debug trap to be delivered before the next instruction: bits for DR6.
    pub pending_debug: u64,
    /// The address of a MONITOR that was armed, if any (MWAIT waits like HLT).
    pub monitor_armed: bool,
}

/// CR0 bits.
pub mod cr0 {
    /// Protection enable.
    pub const PE: u64 = 1;
    /// Monitor coprocessor.
    pub const MP: u64 = 1 << 1;
    /// Emulation.
    pub const EM: u64 = 1 << 2;
    /// Task switched.
    pub const TS: u64 = 1 << 3;
    /// Extension type, always 1.
    pub const ET: u64 = 1 << 4;
    /// Numeric error.
    pub const NE: u64 = 1 << 5;
    /// Write protect.
    pub const WP: u64 = 1 << 16;
    /// Alignment mask.
    pub const AM: u64 = 1 << 18;
    /// Not write-through.
    pub const NW: u64 = 1 << 29;
    /// Cache disable.
    pub const CD: u64 = 1 << 30;
    /// Paging.
    pub const PG: u64 = 1 << 31;
}

/// CR4 bits that the virtual CPU has.
pub mod cr4 {
    /// Time stamp disable.
    pub const TSD: u64 = 1 << 2;
    /// Debugging extensions.
    pub const DE: u64 = 1 << 3;
    /// Page size extensions.
    pub const PSE: u64 = 1 << 4;
    /// Physical address extension.
    pub const PAE: u64 = 1 << 5;
    /// Machine check enable.
    pub const MCE: u64 = 1 << 6;
    /// Global pages.
    pub const PGE: u64 = 1 << 7;
    /// RDPMC at any privilege.
    pub const PCE: u64 = 1 << 8;
    /// FXSAVE and SSE.
    pub const OSFXSR: u64 = 1 << 9;
    /// #XM.
    pub const OSXMMEXCPT: u64 = 1 << 10;
    /// User-mode instruction prevention.
    pub const UMIP: u64 = 1 << 11;
    /// RDFSBASE and its kin.
    pub const FSGSBASE: u64 = 1 << 16;
    /// Process-context identifiers.
    pub const PCIDE: u64 = 1 << 17;
    /// XSAVE.
    pub const OSXSAVE: u64 = 1 << 18;
    /// Supervisor-mode execution prevention.
    pub const SMEP: u64 = 1 << 20;
    /// Supervisor-mode access prevention.
    pub const SMAP: u64 = 1 << 21;
}

/// IA32_EFER bits.
pub mod efer {
    /// SYSCALL enable.
    pub const SCE: u64 = 1;
    /// Long mode enable.
    pub const LME: u64 = 1 << 8;
    /// Long mode active.
    pub const LMA: u64 = 1 << 10;
    /// No-execute enable.
    pub const NXE: u64 = 1 << 11;
}

/// Why an instruction is the last of its block; each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BlockEnd {
    /// It is not.
    None,
    /// An interrupt that is pending may have become deliverable.
    Interrupts,
    /// A device was accessed: interrupts, timers, and requests to the machine may be others.
    Devices,
    /// A repeated string goes on when it may: the limit was reached, and nothing else.
    Repeats,
    /// What comes next may be elsewhere: the mode, the privilege level, or translations changed.
    Elsewhere,
    /// Anything may have happened to devices, timers and other processors.
    Everything,
}

/// The operating mode as far as decoding goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum CodeSize {
    /// 16-bit code.
    #[default]
    Bits16 = 16,
    /// 32-bit code.
    Bits32 = 32,
    /// 64-bit code.
    Bits64 = 64,
}

/// A vCPU: its state, and what is derived from it for speed.
///
/// It derefs to [`CpuState`]. Whoever changes CS, CPL, CR0, CR4, EFER, EFLAGS.AC or a DR calls
/// [`Vcpu::refresh`] afterwards; whoever changes CR3 or how pages are read, [`Vcpu::switch_tlb`].
pub struct Vcpu {
    /// Its number.
    pub id: VcpuId,
    /// The number of vCPUs of the machine, for CPUID.
    pub vcpu_count: u32,
    /// The architectural state.
    pub state: CpuState,
    /// Translations.
    pub tlb: SoftTlb,
    /// Derived: the rights of data accesses and fetches now.
    pub mmu: MmuIndex,
    /// Derived: how code is decoded now.
    pub code_size: CodeSize,
    /// Derived: instructions must be looked at one by one (TF, instruction breakpoints).
    pub careful: bool,
    /// Derived: data breakpoints are armed, so that every access goes the slow way.
    pub watching: bool,
    /// The linear address of the #PF being raised.
    pub fault_address: u64,
    /// The position in the decoded code at which the current block ends. A handler after which
    /// the run loop must look around sets it to 0 with [`Vcpu::leave_block`].
    pub block_end: usize,
    /// The run loop must look at interrupts, timers and activity before going on.
    pub attention: bool,
    /// What it asks attention for, since somebody set this to [`BlockEnd::None`].
    pub ended_for: BlockEnd,
    /// The instruction entered a handler (INT n, SYSCALL): TF does not trap after it.
    pub entered_handler: bool,
    /// The instruction was PAUSE or the like: others may go first.
    pub yielded: bool,
    /// Scratch: the table entries of the last page walk.
    pub scratch_tables: Vec<usize>,
    /// What an observer wants to see of this vCPU.
    pub probes: Probes,
    /// What an observer wants a run to stop at.
    pub stops: Stops,
    /// Instructions that raised #UD because the virtual CPU lacks them, by iced code.
    pub unimplemented: std::collections::BTreeMap<u16, u64>,
}

impl std::ops::Deref for Vcpu {
    type Target = CpuState;
    #[inline(always)]
    fn deref(&self) -> &CpuState {
        &self.state
    }
}

impl std::ops::DerefMut for Vcpu {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut CpuState {
        &mut self.state
    }
}

impl Vcpu {
    /// A vCPU in its power-up state (SDM vol. 3, table 9-1).
    pub fn new(id: VcpuId) -> Self {
        let mut cpu = Self {
            id,
            vcpu_count: 1,
            state: CpuState::reset(id),
            tlb: SoftTlb::default(),
            mmu: MmuIndex::Kernel,
            code_size: CodeSize::Bits16,
            careful: false,
            watching: false,
            fault_address: 0,
            block_end: 0,
            attention: true,
            ended_for: BlockEnd::Everything,
            entered_handler: false,
            yielded: false,
            scratch_tables: Vec::with_capacity(4),
            probes: Probes::default(),
            stops: Stops::default(),
            unimplemented: std::collections::BTreeMap::new(),
        };
        cpu.refresh();
        cpu
    }

    /// Takes over a saved state.
    pub fn load_state(&mut self, state: CpuState) {
        self.state = state;
        self.flush_tlb();
        self.refresh();
        self.leave_block();
    }

    /// Recomputes what is derived from CS, CPL, control registers, EFLAGS.AC, TF and DR7.
    pub fn refresh(&mut self) {
        let s = &self.state;
        self.code_size = if s.long_mode() && s.segs[seg::CS].attributes & attr::L != 0 {
            CodeSize::Bits64
        } else if s.segs[seg::CS].attributes & attr::DB != 0 {
            CodeSize::Bits32
        } else {
            CodeSize::Bits16
        };
        let ac = s.flags.system(flags::AC);
        let user_aligned = s.cpl == 3 && ac && s.cr0 & cr0::AM != 0;
        let smap = s.cr4 & cr4::SMAP != 0 && !ac;
        let mmu = match (s.cpl, user_aligned) {
            (3, true) => MmuIndex::UserAligned,
            (3, false) => MmuIndex::User,
            _ if smap => MmuIndex::KernelSmap,
            _ => MmuIndex::Kernel,
        };
        let breakpoints = self.has_breakpoints();
        // RF holds for one instruction: the run loop must see that one.
        let careful = s.flags.system(flags::TF | flags::RF) || breakpoints;
        if breakpoints != self.watching {
            self.watching = breakpoints;
            self.tlb.flush();
        }
        self.mmu = mmu;
        self.careful = careful;
        if careful {
            self.end_block(BlockEnd::Everything);
        }
    }

    /// Drops every translation.
    pub fn flush_tlb(&mut self) {
        self.tlb.flush();
        self.switch_tlb();
    }

    /// Goes over to the translations of the address space that CR3 and the other registers
    /// that decide translation now select.
    pub fn switch_tlb(&mut self) {
        self.tlb.select(&self.paging_regs());
    }

    /// Makes the current instruction the last of its block, and has the run loop look at
    /// everything: devices, timers, other processors.
    #[inline]
    pub fn leave_block(&mut self) {
        self.end_block(BlockEnd::Everything);
    }

    /// Makes the current instruction the last of its block, and has the run loop look at what
    /// `why` says.
    #[inline]
    pub fn end_block(&mut self, why: BlockEnd) {
        self.block_end = 0;
        self.attention = true;
        use BlockEnd::{Devices, Elsewhere, Everything};
        self.ended_for = match (self.ended_for, why) {
            (Devices, Elsewhere) | (Elsewhere, Devices) => Everything,
            (old, new) => old.max(new),
        };
    }

    /// The registers that decide translation.
    pub fn paging_regs(&self) -> PagingRegs {
        PagingRegs { cr0: self.cr0, cr3: self.cr3, cr4: self.cr4, efer: self.efer, pdpte: self.pdpte }
    }

    /// The address of the next instruction (within a handler), or of the current one (outside).
    #[inline(always)]
    pub fn rip(&self) -> u64 {
        self.state.regs[RIP as usize]
    }

    /// Sets RIP.
    #[inline(always)]
    pub fn set_rip(&mut self, rip: u64) {
        self.state.regs[RIP as usize] = rip;
    }

    /// Whether CR0.PE is clear.
    #[inline]
    pub fn real_mode(&self) -> bool {
        self.cr0 & cr0::PE == 0
    }
}

impl CpuState {
    /// Whether IA32_EFER.LMA is set.
    #[inline]
    pub fn long_mode(&self) -> bool {
        self.efer & efer::LMA != 0
    }

    /// The same state in the one form that equal states share, for saving and hashing.
    pub fn canonical(&self) -> Self {
        Self { flags: self.flags.canonical(), ..self.clone() }
    }

    /// The state after power-up or RESET (SDM vol. 3, table 9-1). Processor 0 runs from the
    /// reset vector; the others wait for a start-up IPI.
    pub fn reset(id: VcpuId) -> Self {
        let data = Segment {
            selector: 0,
            base: 0,
            limit: 0xFFFF,
            attributes: attr::P | attr::S | attr::RW | attr::ACCESSED,
        };
        let mut segs = [data; 7];
        segs[seg::CS] = Segment {
            selector: 0xF000,
            base: 0xFFFF_0000,
            limit: 0xFFFF,
            attributes: attr::P | attr::S | attr::CODE | attr::RW | attr::ACCESSED,
        };
        segs[seg::FLAT] = Segment {
            selector: 0,
            base: 0,
            limit: u32::MAX,
            attributes: data.attributes | attr::G | attr::DB,
        };
        let system = |kind: u16| Segment { selector: 0, base: 0, limit: 0xFFFF, attributes: attr::P | kind };
        let mut regs = [0; 18];
        regs[RIP as usize] = 0xFFF0;
        regs[ZERO as usize] = 0;
        regs[RDX] = 0x0006_0FB1;
        Self {
            regs,
            flags: Flags::default(),
            segs,
            ldtr: system(2),
            tr: system(0xB),
            gdtr: TableRegister { base: 0, limit: 0xFFFF },
            idtr: TableRegister { base: 0, limit: 0xFFFF },
            cpl: 0,
            cr0: cr0::CD | cr0::NW | cr0::ET,
            cr2: 0,
            cr3: 0,
            cr4: 0,
            efer: 0,
            xcr0: 1,
            pdpte: [0; 4],
            dr: [0, 0, 0, 0, 0, 0, 0xFFFF_0FF0, 0x400],
            msrs: Msrs { pat: 0x0007_0406_0007_0406, misc_enable: 1, ..Msrs::default() },
            x87: X87 { control: 0x0040, valid: 0xFF, ..X87::default() },
            xmm: [0; 16],
            mxcsr: 0x1F80,
            activity: if id == 0 { Activity::Running } else { Activity::WaitForSipi },
            shadow: Shadow::None,
            nmi_masked: false,
            nmi_pending: false,
            pending_debug: 0,
            monitor_armed: false,
        }
    }
}
