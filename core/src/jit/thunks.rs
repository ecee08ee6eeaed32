//! The code that all translations share: in, out, and to the interpreter for one instruction.

use super::asm::{Alu, Asm, Mem, Rm, Width, host};
use super::regs::{pinned, slot_at};
use crate::codemem::{CONTINUE, EXIT_TO_TARGET, JUMP, X87_IN_HOST, X87_IN_IMAGE, field};
use crate::softfloat::ieee::mxcsr;

/// The callee-saved registers of the host's calling convention.
const SAVED: [u8; 6] = [host::RBX, host::RBP, host::R12, host::R13, host::R14, host::R15];

/// The addresses of the thunks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Thunks {
    /// Into generated code: `extern "sysv64" fn(*mut Frame) -> u32`.
    pub enter: usize,
    /// Out of it, with the guest's registers in place; ECX is the number of the exit.
    pub exit: usize,
    /// Out of it likewise, to linear address RCX.
    pub lost: usize,
    /// Has the instruction of site ECX interpreted; comes back if generated code goes on behind
    /// it, with the flags in AX.
    pub slow: usize,
    /// The same, jumped to from an instruction that ends its block: never comes back.
    pub slow_end: usize,
    /// Called: the guest's vector registers and MXCSR into the host's. ECX is 0 if that cannot
    /// be: SSE is disabled, or an exception unmasked. RDX and the host's flags are lost.
    pub load_vectors: usize,
}

/// The mask bits of MXCSR.
const ALL_MASKED: u64 = (mxcsr::FLAGS << mxcsr::MASK_SHIFT) as u64;
/// Extensions of opcode 0F AE.
const LDMXCSR: u8 = 2;
const STMXCSR: u8 = 3;

fn frame(disp: i32) -> Rm {
    Rm::M(Mem::at(host::RSP, disp))
}

/// Builds the thunks at address `origin`.
pub fn build(origin: usize) -> (Vec<u8>, Thunks) {
    let mut asm = Asm::new(origin);
    let mut thunks = Thunks { enter: asm.here(), ..Thunks::default() };
    enter(&mut asm);
    thunks.load_vectors = asm.here();
    load_vectors(&mut asm);
    thunks.exit = asm.here();
    exit(&mut asm);
    thunks.lost = asm.here();
    asm.store(Width::Q, frame(field::TARGET), host::RCX);
    asm.mov_imm(host::RCX, u64::from(EXIT_TO_TARGET));
    asm.jmp_to(thunks.exit);
    // `slow` leaves through `leave`, which expects the frame at the stack pointer.
    let leave = asm.here();
    leave_with_eax(&mut asm);
    thunks.slow_end = asm.here();
    slow(&mut asm, leave, 0);
    thunks.slow = asm.here();
    slow(&mut asm, leave, 8);
    asm.finish();
    (asm.bytes, thunks)
}

/// The frame is copied to the stack, so that all of it is in reach of the stack pointer.
fn enter(asm: &mut Asm) {
    for r in SAVED {
        push(asm, r);
    }
    // SUB RSP, SIZE: RSP is 8 modulo 16 from here on.
    asm.alu_imm(Alu::Sub, Width::Q, Rm::R(host::RSP), field::SIZE as u64);
    asm.store(Width::Q, Rm::M(Mem::at(host::RDI, field::HOME)), host::RDI);
    copy_frame(asm, host::RDI, host::RSP);
    asm.load(Width::Q, host::RDX, frame(field::TLB));
    use_table(asm, 0);
    load_registers(asm, 0);
    asm.jmp_rm(frame(field::ENTRY));
}

fn exit(asm: &mut Asm) {
    asm.store(Width::Q, frame(field::EXIT), host::RCX);
    store_registers(asm, 0);
    asm.mov_imm(host::RAX, 0);
    leave_with_eax(asm);
}

/// Back to Rust; EAX is the answer.
fn leave_with_eax(asm: &mut Asm) {
    asm.load(Width::Q, host::RDI, frame(field::HOME));
    copy_frame(asm, host::RSP, host::RDI);
    asm.alu_imm(Alu::Add, Width::Q, Rm::R(host::RSP), field::SIZE as u64);
    for r in SAVED.into_iter().rev() {
        pop(asm, r);
    }
    asm.put(&[0xC3]);
}

/// `above`: the bytes on the stack above the frame, a return address if it was called.
fn slow(asm: &mut Asm, leave: usize, above: i32) {
    store_registers(asm, above);
    asm.load(Width::D, host::RSI, Rm::R(host::RCX));
    asm.lea(Width::Q, host::RDI, Mem::at(host::RSP, above));
    // At a call the stack pointer is a multiple of 16; the frame is 8 beside one.
    let padding = 8 - above;
    move_stack(asm, -padding);
    asm.call_rm(frame(field::HELPER + above + padding));
    move_stack(asm, padding);
    let jump = asm.label();
    let out = asm.label();
    asm.alu_imm(Alu::Cmp, Width::D, Rm::R(host::RAX), u64::from(JUMP));
    asm.jcc(4, jump);
    if above != 0 {
        asm.alu_imm(Alu::Cmp, Width::D, Rm::R(host::RAX), u64::from(CONTINUE));
        asm.jcc(5, out);
        follow_table(asm, above);
        load_registers(asm, above);
        asm.put(&[0xC3]);
    }
    asm.bind(out);
    move_stack(asm, above);
    asm.jmp_to(leave);
    asm.bind(jump);
    move_stack(asm, above);
    follow_table(asm, 0);
    load_registers(asm, 0);
    asm.jmp_rm(frame(field::ENTRY));
}

/// GS begins at the table of translations in RDX.
fn use_table(asm: &mut Asm, above: i32) {
    asm.wrgsbase(host::RDX);
    asm.store(Width::Q, frame(field::TLB_IN_USE + above), host::RDX);
}

/// The table may have changed.
fn follow_table(asm: &mut Asm, above: i32) {
    let same = asm.label();
    asm.load(Width::Q, host::RDX, frame(field::TLB + above));
    asm.alu(Alu::Cmp, Width::Q, host::RDX, frame(field::TLB_IN_USE + above));
    asm.jcc(4, same);
    use_table(asm, above);
    asm.bind(same);
}

fn move_stack(asm: &mut Asm, bytes: i32) {
    if bytes != 0 {
        asm.lea(Width::Q, host::RSP, Mem::at(host::RSP, bytes));
    }
}

fn push(asm: &mut Asm, r: u8) {
    if r & 8 != 0 {
        asm.put(&[0x41]);
    }
    asm.put(&[0x50 | r & 7]);
}

fn pop(asm: &mut Asm, r: u8) {
    if r & 8 != 0 {
        asm.put(&[0x41]);
    }
    asm.put(&[0x58 | r & 7]);
}

/// Through XMM0: nothing of the guest's is in the host's vector registers.
fn copy_frame(asm: &mut Asm, from: u8, to: u8) {
    for at in (0..field::SIZE).step_by(16) {
        asm.op(None, false, (false, false), &[0x0F, 0x10], 0, Rm::M(Mem::at(from, at)));
        asm.op(None, false, (false, false), &[0x0F, 0x11], 0, Rm::M(Mem::at(to, at)));
    }
}

fn load_registers(asm: &mut Asm, above: i32) {
    for g in 0..16 {
        if let Some(h) = pinned(g) {
            asm.load(Width::Q, h, Rm::M(slot_at(g, above)));
        }
    }
    asm.load(Width::Q, host::RAX, frame(field::RAX + above));
}

/// RAX is lost; RCX is not.
fn store_registers(asm: &mut Asm, above: i32) {
    for g in 0..16 {
        if let Some(h) = pinned(g) {
            asm.store(Width::Q, Rm::M(slot_at(g, above)), h);
        }
    }
    asm.store(Width::Q, frame(field::RAX + above), host::RAX);
    let clean = asm.label();
    asm.alu_imm(Alu::Cmp, Width::Q, frame(field::VECTORS + above), 0);
    asm.jcc(4, clean);
    spill_vectors(asm, above);
    asm.bind(clean);
    let clean = asm.label();
    asm.alu_imm(Alu::Cmp, Width::Q, frame(field::X87 + above), X87_IN_HOST);
    asm.jcc(5, clean);
    asm.load(Width::Q, host::RAX, frame(field::X87_IMAGE + above));
    // FNSAVE
    asm.op(None, false, (false, false), &[0xDD], 6, Rm::M(Mem::at(host::RAX, 0)));
    asm.store_imm(Width::Q, frame(field::X87 + above), X87_IN_IMAGE);
    asm.bind(clean);
}

fn load_vectors(asm: &mut Asm) {
    // Behind the return address.
    let above = 8;
    let refuse = asm.label();
    asm.alu_imm(Alu::Cmp, Width::Q, frame(field::VECTORS_ALLOWED + above), 0);
    asm.jcc(4, refuse);
    asm.load(Width::Q, host::RCX, frame(field::MXCSR + above));
    asm.load(Width::D, host::RDX, Rm::M(Mem::at(host::RCX, 0)));
    asm.alu_imm(Alu::And, Width::D, Rm::R(host::RDX), ALL_MASKED);
    asm.alu_imm(Alu::Cmp, Width::D, Rm::R(host::RDX), ALL_MASKED);
    asm.jcc(5, refuse);
    control(asm, STMXCSR, Mem::at(host::RSP, field::HOST_MXCSR + above));
    control(asm, LDMXCSR, Mem::at(host::RCX, 0));
    asm.load(Width::Q, host::RDX, frame(field::XMM + above));
    for x in 0..16 {
        movaps(asm, 0x28, x, Mem::at(host::RDX, 16 * i32::from(x)));
    }
    asm.store_imm(Width::Q, frame(field::VECTORS + above), 1);
    asm.mov_imm(host::RCX, 1);
    asm.put(&[0xC3]);
    asm.bind(refuse);
    asm.mov_imm(host::RCX, 0);
    asm.put(&[0xC3]);
}

/// The other way round; RAX is lost.
fn spill_vectors(asm: &mut Asm, above: i32) {
    asm.load(Width::Q, host::RAX, frame(field::XMM + above));
    for x in 0..16 {
        movaps(asm, 0x29, x, Mem::at(host::RAX, 16 * i32::from(x)));
    }
    asm.load(Width::Q, host::RAX, frame(field::MXCSR + above));
    control(asm, STMXCSR, Mem::at(host::RAX, 0));
    control(asm, LDMXCSR, Mem::at(host::RSP, field::HOST_MXCSR + above));
    asm.store_imm(Width::Q, frame(field::VECTORS + above), 0);
}

/// MOVAPS with opcode 28h (load) or 29h (store).
fn movaps(asm: &mut Asm, opcode: u8, x: u8, m: Mem) {
    asm.op(None, false, (false, false), &[0x0F, opcode], x, Rm::M(m));
}

fn control(asm: &mut Asm, extension: u8, m: Mem) {
    asm.op(None, false, (false, false), &[0x0F, 0xAE], extension, Rm::M(m));
}
