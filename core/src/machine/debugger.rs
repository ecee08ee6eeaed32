//! What a debugger writes into the registers of a vCPU, and what it may not write.
//!
//! The guest's privileges do not count. But a register keeps a value that the CPU could have: what a
//! MOV to a control register, a WRMSR or the load of a selector would refuse for the value's sake
//! (SDM vol. 3, 2.5, 5.4) is refused here as well, and changes nothing.

use super::pc::Machine;
use crate::boundary::{Change, CpuRegister};
use crate::cpu::insn::RIP;
use crate::cpu::state::{CpuState, Segment, attr, cr0, efer, seg};
use crate::cpu::system::control::{set_cr0, set_cr3, set_cr4};
use crate::cpu::system::descriptor::{self, Descriptor, is_null};
use crate::cpu::system::load_segment::{null_segment, real_segment, v86_segment};
use crate::cpu::system::msr::set_efer;
use crate::cpu::{Flags, flags, quiet_walk};
use crate::mem::{IoBus, Memory};
use crate::softfloat::F80;
use crate::types::{Exception, VcpuId};

/// MXCSR has no bits above these.
const MXCSR_BITS: u32 = 0xFFFF;

/// Why a value does not go into a register.
type Refusal = &'static str;

const BY_THE_CPU: Refusal = "the CPU does not take that value in the mode that it is in";

impl Machine {
    /// Why a debugger's change cannot be made here; None if it can.
    pub fn refusal(&self, change: &Change) -> Option<String> {
        let Change::Registers { vcpu, values } = change else { return None };
        let Some(cpu) = self.vcpus.get(*vcpu as usize) else { return Some("there is no such vCPU".into()) };
        let mut state = cpu.state.clone();
        values.iter().find_map(|(register, value)| {
            let refused = write_register(&mut state, &self.mem, *register, *value).err();
            refused.map(|why| format!("{} cannot be {value:#x}: {why}", register.name()))
        })
    }

    /// Registers get new values here and now; those that are refused keep the old one.
    pub(super) fn change_registers(&mut self, vcpu: VcpuId, values: &[(CpuRegister, u128)]) {
        let now = self.clock.now_ns();
        let Some(cpu) = self.vcpus.get_mut(vcpu) else { return };
        let mut state = cpu.state.clone();
        for (register, value) in values {
            let written = write_register(&mut state, &self.mem, *register, *value);
            if *register == CpuRegister::Cr8 && written.is_ok() {
                self.board.set_cr8(vcpu, now, *value as u64);
            }
        }
        cpu.load_state(state);
    }
}

/// Puts a value into a register; one that there is not is left alone. CR8 is only looked at: the local
/// APIC has it.
fn write_register(
    cpu: &mut CpuState,
    mem: &Memory,
    register: CpuRegister,
    value: u128,
) -> Result<(), Refusal> {
    let word = value as u64;
    let by_the_cpu = |_: Exception| BY_THE_CPU;
    match register {
        CpuRegister::General(n) => {
            if n < 16 {
                cpu.regs[usize::from(n)] = word;
            }
        }
        CpuRegister::Rip => cpu.regs[RIP as usize] = word,
        CpuRegister::Rflags => cpu.flags = Flags::from_bits(word),
        CpuRegister::FsBase => cpu.segs[seg::FS].base = word,
        CpuRegister::GsBase => cpu.segs[seg::GS].base = word,
        CpuRegister::KernelGsBase => cpu.msrs.kernel_gs_base = word,
        CpuRegister::Cr2 => cpu.cr2 = word,
        CpuRegister::Xmm(n) => {
            if let Some(register) = cpu.xmm.get_mut(usize::from(n)) {
                *register = value;
            }
        }
        CpuRegister::Mxcsr => cpu.mxcsr = word as u32 & MXCSR_BITS,
        CpuRegister::Segment(n) => return write_selector(cpu, mem, n.into(), word),
        CpuRegister::Cr0 => return set_cr0(cpu, mem, word).map_err(by_the_cpu),
        CpuRegister::Cr3 => return set_cr3(cpu, mem, word).map_err(by_the_cpu),
        CpuRegister::Cr4 => return set_cr4(cpu, mem, word).map_err(by_the_cpu),
        CpuRegister::Cr8 if word > 15 => return Err("it has four bits"),
        CpuRegister::Cr8 => {}
        CpuRegister::Efer if (word ^ cpu.efer) & efer::LMA != 0 => {
            return Err("LMA follows from LME and CR0.PG");
        }
        CpuRegister::Efer => return set_efer(cpu, word).then_some(()).ok_or(BY_THE_CPU),
        CpuRegister::Stack(_)
        | CpuRegister::X87Control
        | CpuRegister::X87Status
        | CpuRegister::X87Tag
        | CpuRegister::X87InstructionSelector
        | CpuRegister::X87InstructionPointer
        | CpuRegister::X87DataSelector
        | CpuRegister::X87DataPointer
        | CpuRegister::X87Opcode => write_x87(cpu, register, value),
    }
    Ok(())
}

fn write_x87(cpu: &mut CpuState, register: CpuRegister, value: u128) {
    let x87 = &mut cpu.x87;
    let (word, half) = (value as u64, value as u16);
    match register {
        CpuRegister::Stack(n) => {
            let physical = (x87.top() + usize::from(n)) % x87.regs.len();
            x87.regs[physical] = F80 { significand: word, sign_exponent: (value >> 64) as u16 };
        }
        CpuRegister::X87Control => x87.set_control(half),
        CpuRegister::X87Status => {
            x87.status = half;
            x87.update_summary();
        }
        CpuRegister::X87Tag => x87.set_tag_word(half),
        CpuRegister::X87InstructionSelector => x87.instruction_selector = half,
        CpuRegister::X87InstructionPointer => x87.instruction_pointer = word,
        CpuRegister::X87DataSelector => x87.data_selector = half,
        CpuRegister::X87DataPointer => x87.data_pointer = word,
        CpuRegister::X87Opcode => x87.opcode = half & 0x7FF,
        _ => {}
    }
}

/// Loads a segment register, with the descriptor that the selector names. CPL stays what it is.
fn write_selector(cpu: &mut CpuState, mem: &Memory, r: usize, value: u64) -> Result<(), Refusal> {
    let Some(old) = cpu.segs.get(r) else { return Ok(()) };
    let selector = u16::try_from(value).map_err(|_| "a selector has 16 bits")?;
    cpu.segs[r] = if cpu.flags.system(flags::VM) {
        v86_segment(selector)
    } else if cpu.cr0 & cr0::PE == 0 {
        real_segment(old, selector)
    } else if is_null(selector) {
        null_selector(cpu, r, selector)?
    } else {
        let descriptor = find_descriptor(cpu, mem, selector)?;
        fits(cpu, r, &descriptor)?;
        let segment = descriptor.segment(selector);
        Segment { attributes: segment.attributes | attr::ACCESSED, ..segment }
    };
    Ok(())
}

fn null_selector(cpu: &CpuState, r: usize, selector: u16) -> Result<Segment, Refusal> {
    let stack_may = cpu.long_mode() && cpu.cpl < 3;
    if r == seg::CS || (r == seg::SS && !stack_may) {
        return Err("it needs a segment");
    }
    Ok(null_segment(selector))
}

fn find_descriptor(cpu: &CpuState, mem: &Memory, selector: u16) -> Result<Descriptor, Refusal> {
    if selector & 4 != 0 && cpu.ldtr.attributes & attr::P == 0 {
        return Err("there is no LDT");
    }
    let address = descriptor::place(cpu, selector).ok_or("the descriptor table has no such entry")?;
    let mut bytes = [0; 8];
    if !quiet_walk::read_virtual(mem, cpu, address, &mut bytes) {
        return Err("the descriptor table is not in memory");
    }
    Ok(Descriptor { raw: u64::from_le_bytes(bytes), upper: 0, address })
}

/// Whether a segment may be in a register while the CPU runs at the CPL that it has.
fn fits(cpu: &CpuState, r: usize, d: &Descriptor) -> Result<(), Refusal> {
    if !d.is_segment() || !d.present() {
        return Err("the descriptor is of no segment that is present");
    }
    let right_kind = match r {
        seg::CS => d.is_code(),
        seg::SS => d.is_writable_data(),
        _ => d.is_readable(),
    };
    let right_level = match r {
        seg::CS if d.is_conforming() => d.dpl() <= cpu.cpl,
        seg::CS | seg::SS => d.dpl() == cpu.cpl,
        _ => true,
    };
    match (right_kind, right_level) {
        (false, _) => Err("the segment is of another kind"),
        (_, false) => Err("the segment is of another privilege level than the CPU"),
        _ => Ok(()),
    }
}
