//! MOVS, CMPS, SCAS, LODS, STOS, alone and with REP (SDM vol. 2). INS and OUTS are in `port_io`.
//!
//! Each iteration of a repeated instruction counts as one instruction. A repetition that does
//! not finish (the slice ends, TF, a device was touched, code was overwritten) leaves RIP on
//! the instruction and what is left in RCX, RSI, RDI; so does a fault, which keeps the
//! iterations before it.

use super::form::is_long;
use super::operand::Operand;
use crate::cpu::decode_cache::BLOCK_LIMIT;
use crate::cpu::env::Env;
use crate::cpu::flags::DF;
use crate::cpu::insn::{Exec, Handler, Insn, insn_flags};
use crate::cpu::state::{BlockEnd, RAX, RCX, RDI, RSI, Vcpu, seg};
use crate::mem::AccessKind;
use crate::types::{Exception, PAGE_OFFSET_MASK, PAGE_SIZE};
use iced_x86::{Code, Instruction, OpKind};

/// The segment of the destination: always ES, which has no base in 64-bit mode.
#[inline(always)]
fn destination_segment(insn: &Insn) -> usize {
    if insn.has(insn_flags::MODE64) { seg::FLAT } else { seg::ES }
}

/// Adds to RSI or RDI, in the width A of addresses.
#[inline(always)]
fn advance<A: Operand>(cpu: &mut Vcpu, register: usize, by: u64) {
    let v = A::get(cpu, register as u8).wrapping_add(by);
    A::set(cpu, register as u8, v);
}

/// The distance from one element to the next.
#[inline(always)]
fn stride<T: Operand>(cpu: &Vcpu) -> u64 {
    if cpu.flags.system(DF) { (T::SIZE as u64).wrapping_neg() } else { T::SIZE as u64 }
}

/// One of the five operations on elements of width T with addresses of width A.
trait StringOp {
    /// Whether REPE and REPNE look at ZF after each iteration.
    const COMPARES: bool = false;
    /// One iteration.
    fn one<T: Operand, A: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec;
    /// Up to `n` iterations at once if that is possible without anybody noticing; how many
    /// were done.
    #[inline(always)]
    fn many<T: Operand, A: Operand>(_: &mut Vcpu, _: &mut Env<'_>, _: &Insn, _n: u64) -> u64 {
        0
    }
}

struct Movs;
struct Cmps;
struct Scas;
struct Lods;
struct Stos;

/// The element at RSI.
#[inline(always)]
fn load_source<T: Operand, A: Operand>(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    insn: &Insn,
) -> Result<u64, Exception> {
    let ea = A::get(cpu, RSI as u8);
    let va = cpu.linear_at(insn, insn.seg as usize, ea, T::SIZE, false)?;
    Ok(cpu.load::<T>(env, va)?.widen())
}

/// The element at RDI.
#[inline(always)]
fn load_destination<T: Operand, A: Operand>(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    insn: &Insn,
) -> Result<u64, Exception> {
    let ea = A::get(cpu, RDI as u8);
    let va = cpu.linear_at(insn, destination_segment(insn), ea, T::SIZE, false)?;
    Ok(cpu.load::<T>(env, va)?.widen())
}

#[inline(always)]
fn store_destination<T: Operand, A: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn, v: u64) -> Exec {
    let ea = A::get(cpu, RDI as u8);
    let va = cpu.linear_at(insn, destination_segment(insn), ea, T::SIZE, true)?;
    cpu.store(env, va, T::narrow(v))
}

impl StringOp for Movs {
    #[inline(always)]
    fn one<T: Operand, A: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
        let v = load_source::<T, A>(cpu, env, insn)?;
        store_destination::<T, A>(cpu, env, insn, v)?;
        let stride = stride::<T>(cpu);
        advance::<A>(cpu, RSI, stride);
        advance::<A>(cpu, RDI, stride);
        Ok(())
    }

    #[inline(always)]
    fn many<T: Operand, A: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn, n: u64) -> u64 {
        move_run::<T, A>(cpu, env, insn, n).unwrap_or(0)
    }
}

impl StringOp for Cmps {
    const COMPARES: bool = true;
    #[inline(always)]
    fn one<T: Operand, A: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
        // The order shows if both fault: Zen 4 looks at the destination first, but for REPE CMPSB.
        let source_first = T::SIZE == 1 && insn.has(insn_flags::REP);
        let (a, b);
        if source_first {
            a = load_source::<T, A>(cpu, env, insn)?;
            b = load_destination::<T, A>(cpu, env, insn)?;
        } else {
            b = load_destination::<T, A>(cpu, env, insn)?;
            a = load_source::<T, A>(cpu, env, insn)?;
        }
        cpu.state.flags.set_sub::<T>(a, b, a.wrapping_sub(b));
        let stride = stride::<T>(cpu);
        advance::<A>(cpu, RSI, stride);
        advance::<A>(cpu, RDI, stride);
        Ok(())
    }
}

impl StringOp for Scas {
    const COMPARES: bool = true;
    #[inline(always)]
    fn one<T: Operand, A: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
        let b = load_destination::<T, A>(cpu, env, insn)?;
        let a = T::get(cpu, RAX as u8);
        cpu.state.flags.set_sub::<T>(a, b, a.wrapping_sub(b));
        let stride = stride::<T>(cpu);
        advance::<A>(cpu, RDI, stride);
        Ok(())
    }
}

impl StringOp for Lods {
    #[inline(always)]
    fn one<T: Operand, A: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
        let v = load_source::<T, A>(cpu, env, insn)?;
        T::set(cpu, RAX as u8, v);
        let stride = stride::<T>(cpu);
        advance::<A>(cpu, RSI, stride);
        Ok(())
    }
}

impl StringOp for Stos {
    #[inline(always)]
    fn one<T: Operand, A: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
        let v = T::get(cpu, RAX as u8);
        store_destination::<T, A>(cpu, env, insn, v)?;
        let stride = stride::<T>(cpu);
        advance::<A>(cpu, RDI, stride);
        Ok(())
    }

    #[inline(always)]
    fn many<T: Operand, A: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn, n: u64) -> u64 {
        store_run::<T, A>(cpu, env, insn, n).unwrap_or(0)
    }
}

/// The number of elements, at most `n`, from effective address `ea` upwards to the end of
/// its page, which is also where addresses of width A may wrap.
fn elements_in_page<T: Operand>(va: u64, n: u64) -> u64 {
    n.min((PAGE_SIZE - (va & PAGE_OFFSET_MASK)) / T::SIZE as u64)
}

/// The linear address of `n` elements at `ea`, and how many of them lie in its page; `None`
/// if they are not simply consecutive, or the segment does not allow them all.
fn run_at<T: Operand, A: Operand>(
    cpu: &Vcpu,
    insn: &Insn,
    segment: usize,
    ea: u64,
    n: u64,
    write: bool,
) -> Option<(u64, u64)> {
    let first = cpu.linear_at(insn, segment, ea, T::SIZE, write).ok()?;
    let n = elements_in_page::<T>(first, n);
    if n < 2 || ea.checked_add(n * T::SIZE as u64 - 1)? > A::MASK {
        return None;
    }
    let bytes = n as usize * T::SIZE;
    let va = cpu.linear_at(insn, segment, ea, bytes, write).ok()?;
    Some((va, n))
}

/// The RAM offset of `va` if the soft TLB allows this access there at full speed.
fn fast_offset(cpu: &Vcpu, va: u64, write: bool) -> Option<usize> {
    cpu.tlb.find_fast(cpu.mmu, va, write).map(|offset| offset as usize)
}

/// The RAM offset of `[va, va + bytes)`, within one page, if it may be written at once, or how many bytes
/// of it may: where somebody must see stores, as far as they would find nothing.
fn writable_run<T: Operand>(
    cpu: &mut Vcpu,
    env: &mut Env<'_>,
    va: u64,
    bytes: usize,
) -> Option<(usize, usize)> {
    if let Some(offset) = fast_offset(cpu, va, true) {
        return Some((offset, bytes));
    }
    let index = cpu.mmu;
    let offset = cpu.tlb.find(index, va, AccessKind::Write)? as usize;
    cpu.tlb.note_store(va, bytes);
    let bytes = env.mem.begin_quiet_run(offset, bytes, T::SIZE);
    if env.mem.fast_write_allowed(offset) {
        cpu.tlb.allow_fast_writes(index, va);
    }
    (bytes > 0).then_some((offset, bytes))
}

/// REP MOVS upwards within a page of plain RAM at either side.
#[inline(never)]
fn move_run<T: Operand, A: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn, n: u64) -> Option<u64> {
    if cpu.flags.system(DF) {
        return None;
    }
    let (si, di) = (A::get(cpu, RSI as u8), A::get(cpu, RDI as u8));
    let (_, n) = run_at::<T, A>(cpu, insn, insn.seg as usize, si, n, false)?;
    let (to, n) = run_at::<T, A>(cpu, insn, destination_segment(insn), di, n, true)?;
    let (from, n) = run_at::<T, A>(cpu, insn, insn.seg as usize, si, n, false)?;
    let from = fast_offset(cpu, from, false)?;
    let (to, bytes) = writable_run::<T>(cpu, env, to, n as usize * T::SIZE)?;
    if to > from && to - from < bytes {
        // The source is overwritten while it is read: element by element, as defined.
        for k in (0..bytes).step_by(T::SIZE) {
            let v = env.mem.ram.read::<T>(from + k);
            env.mem.ram.write(to + k, v);
        }
    } else {
        let low = from.min(to);
        let span = env.mem.ram.slice_mut(low, from.max(to) - low + bytes);
        span.copy_within(from - low..from - low + bytes, to - low);
    }
    advance::<A>(cpu, RSI, bytes as u64);
    advance::<A>(cpu, RDI, bytes as u64);
    Some((bytes / T::SIZE) as u64)
}

/// REP STOS upwards within a page of plain RAM.
#[inline(never)]
fn store_run<T: Operand, A: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn, n: u64) -> Option<u64> {
    if cpu.flags.system(DF) {
        return None;
    }
    let di = A::get(cpu, RDI as u8);
    let (to, n) = run_at::<T, A>(cpu, insn, destination_segment(insn), di, n, true)?;
    let (to, bytes) = writable_run::<T>(cpu, env, to, n as usize * T::SIZE)?;
    let element = T::get(cpu, RAX as u8).to_le_bytes();
    let span = env.mem.ram.slice_mut(to, bytes);
    if element[..T::SIZE].iter().all(|b| *b == element[0]) {
        span.fill(element[0]);
    } else {
        span.chunks_exact_mut(T::SIZE).for_each(|c| c.copy_from_slice(&element[..T::SIZE]));
    }
    advance::<A>(cpu, RDI, bytes as u64);
    Some((bytes / T::SIZE) as u64)
}

fn single<O: StringOp, T: Operand, A: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    O::one::<T, A>(cpu, env, insn)
}

/// The iterations that may be done now: the caller has counted one, the slice allows more.
fn iterations_allowed(cpu: &Vcpu, env: &Env<'_>) -> u64 {
    if cpu.careful { 1 } else { env.clock.limit.saturating_sub(env.clock.icount).saturating_add(1) }
}

fn repeat<O: StringOp, T: Operand, A: Operand>(cpu: &mut Vcpu, env: &mut Env<'_>, insn: &Insn) -> Exec {
    let wanted = A::get(cpu, RCX as u8);
    if wanted == 0 {
        return Ok(());
    }
    let icount = env.clock.icount;
    let allowed = wanted.min(iterations_allowed(cpu, env));
    // An iteration that asks for attention (a device, a page table, code) is the last for now.
    let attention = std::mem::replace(&mut cpu.attention, false);
    let mut done = 0;
    let mut ended = false;
    let mut result = Ok(());
    while done < allowed && !ended && !cpu.attention {
        let run = O::many::<T, A>(cpu, env, insn, allowed - done);
        done += run;
        if run != 0 {
            continue;
        }
        env.clock.icount = icount + done;
        result = O::one::<T, A>(cpu, env, insn);
        if result.is_err() {
            break;
        }
        done += 1;
        ended = O::COMPARES && cpu.flags.zf() != insn.has(insn_flags::REP);
    }
    let asked = cpu.attention;
    cpu.attention |= attention;
    if done > 0 {
        A::set(cpu, RCX as u8, wanted - done);
    }
    if result.is_err() {
        // The attempt that failed counts too, and the caller has counted one.
        env.clock.icount = icount + done;
        return result;
    }
    env.clock.icount = icount + done - 1;
    if env.clock.limit.saturating_sub(env.clock.icount) < BLOCK_LIMIT as u64 {
        // What is left of the block may be more than what is left of the slice.
        cpu.block_end = 0;
    }
    if done < wanted && !ended {
        let start = cpu.rip().wrapping_sub(insn.len.into());
        cpu.set_rip(start);
        // Whoever set the limit knows how to go on.
        cpu.end_block(if asked || cpu.careful { BlockEnd::Everything } else { BlockEnd::Repeats });
    }
    Ok(())
}

fn by_width<O: StringOp>(i: &Instruction, bytes: usize) -> Handler {
    macro_rules! instance {
        ($handler:ident, $t:ty) => {
            match address_size(i) {
                2 => $handler::<O, $t, u16> as Handler,
                4 => $handler::<O, $t, u32>,
                _ => $handler::<O, $t, u64>,
            }
        };
    }
    match (i.has_rep_prefix() || i.has_repne_prefix(), bytes) {
        (false, 1) => instance!(single, u8),
        (false, 2) => instance!(single, u16),
        (false, 4) => instance!(single, u32),
        (false, _) => instance!(single, u64),
        (true, 1) => instance!(repeat, u8),
        (true, 2) => instance!(repeat, u16),
        (true, 4) => instance!(repeat, u32),
        (true, _) => instance!(repeat, u64),
    }
}

/// The address size in bytes, which the kind of the memory operand tells.
fn address_size(i: &Instruction) -> usize {
    let kind = |k: u32| i.op_kind(k);
    let memory = if matches!(kind(0), OpKind::Register) { kind(1) } else { kind(0) };
    match memory {
        OpKind::MemorySegSI | OpKind::MemoryESDI => 2,
        OpKind::MemorySegESI | OpKind::MemoryESEDI => 4,
        _ if is_long(i) => 8,
        _ => unreachable!("a string instruction addresses memory by SI or DI"),
    }
}

/// The handler of a form of this family.
pub fn select(i: &Instruction) -> Option<Handler> {
    use Code::*;
    let bytes = i.memory_size().size();
    Some(match i.code() {
        Movsb_m8_m8 | Movsw_m16_m16 | Movsd_m32_m32 | Movsq_m64_m64 => by_width::<Movs>(i, bytes),
        Cmpsb_m8_m8 | Cmpsw_m16_m16 | Cmpsd_m32_m32 | Cmpsq_m64_m64 => by_width::<Cmps>(i, bytes),
        Scasb_AL_m8 | Scasw_AX_m16 | Scasd_EAX_m32 | Scasq_RAX_m64 => by_width::<Scas>(i, bytes),
        Lodsb_AL_m8 | Lodsw_AX_m16 | Lodsd_EAX_m32 | Lodsq_RAX_m64 => by_width::<Lods>(i, bytes),
        Stosb_m8_AL | Stosw_m16_AX | Stosd_m32_EAX | Stosq_m64_RAX => by_width::<Stos>(i, bytes),
        _ => return None,
    })
}
