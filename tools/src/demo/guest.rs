//! The demo's guest: a bank's ledger. Assembled here, from instructions as one would write them.
//!
//! Three parties add to one `TOTAL`. The teller (the main program) works through its days, with
//! pauses of random length from RDRAND. The timer interrupt pays interest. Each key typed on
//! the console is a deposit, taken by the UART's interrupt. Each party also counts its own
//! payments, so that an auditor can compare at the end of a day.
//!
//! The planted bug: the teller loads `TOTAL`, adds to it, and stores it, and an interrupt may
//! come in between. What the interrupt added is then overwritten. The auditor sees it much
//! later, and can only say that money is missing.

use super::elf;
use iced_x86::code_asm::*;
use iced_x86::{BlockEncoderOptions, IcedError};

/// Where the guest is loaded.
const BASE: u64 = 0x20_0000;
/// Where its data is, after the code and before the end of its segment.
const DATA: u64 = BASE + 0x8000;
const MEMORY_BYTES: u64 = 0x1_0000;

/// The sum that all parties add to.
pub const TOTAL: u64 = DATA;
/// What the teller paid in.
pub const TELLER: u64 = DATA + 8;
/// What the timer interrupt paid in.
pub const INTEREST: u64 = DATA + 16;
/// What was typed.
pub const DEPOSITS: u64 = DATA + 24;
const IDT: u64 = DATA + 0x1000;
const IDT_POINTER: u64 = DATA + 0x40;
const STACK_TOP: u64 = BASE + MEMORY_BYTES - 16;

/// The vector of IRQ 0 after the guest has set up the 8259.
pub const TIMER_VECTOR: u8 = 0x20;
/// The vector of COM1's IRQ 4.
pub const SERIAL_VECTOR: u8 = 0x24;

const DAYS: u64 = 20;
const ROUNDS_PER_DAY: u64 = 120;
/// A pause is up to this many iterations of two instructions.
const PAUSE_MASK: i32 = 0x7FF;
/// The 8254's divisor: about 20 µs, or 20,000 instructions.
const TIMER_DIVISOR: u32 = 24;
/// What the guest writes to the debug-exit port when it panics.
pub const PANIC_CODE: u32 = 7;

const COM1: u32 = 0x3F8;
const CODE_SELECTOR: u32 = 0x10;

/// The kernel image, and where its parts are.
#[derive(Clone, Debug)]
pub struct Guest {
    /// An ELF executable.
    pub kernel: Vec<u8>,
    /// The teller's payment, from its first to after its last instruction.
    pub payment: std::ops::Range<u64>,
    /// The timer's handler.
    pub timer_handler: std::ops::Range<u64>,
    /// The UART's handler.
    pub serial_handler: std::ops::Range<u64>,
}

/// Assembles the guest.
///
/// # Errors
/// If an instruction cannot be encoded: a mistake in this file.
pub fn build() -> Result<Guest, IcedError> {
    let mut asm = CodeAssembler::new(64)?;
    let mut labels = Labels::new(&mut asm);
    start(&mut asm, &mut labels)?;
    teller(&mut asm, &mut labels)?;
    audit(&mut asm, &mut labels)?;
    handlers(&mut asm, &mut labels)?;
    printing(&mut asm, &mut labels)?;
    texts(&mut asm, &mut labels)?;
    let options = BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS;
    let code = asm.assemble_options(BASE, options)?;
    let range =
        |from: &CodeLabel, to: &CodeLabel| Ok::<_, IcedError>(code.label_ip(from)?..code.label_ip(to)?);
    Ok(Guest {
        payment: range(&labels.payment, &labels.payment_end)?,
        timer_handler: range(&labels.timer, &labels.timer_end)?,
        serial_handler: range(&labels.serial, &labels.serial_end)?,
        kernel: elf::executable(BASE, &code.inner.code_buffer, MEMORY_BYTES),
    })
}

/// The places that are jumped to or spoken of.
struct Labels {
    day: CodeLabel,
    payment: CodeLabel,
    payment_end: CodeLabel,
    audit: CodeLabel,
    timer: CodeLabel,
    timer_end: CodeLabel,
    serial: CodeLabel,
    serial_end: CodeLabel,
    print: CodeLabel,
    print_number: CodeLabel,
    put: CodeLabel,
    welcome_text: CodeLabel,
    day_text: CodeLabel,
    balance_text: CodeLabel,
    ok_text: CodeLabel,
    closed_text: CodeLabel,
    panic_text: CodeLabel,
    receipts_text: CodeLabel,
    halted_text: CodeLabel,
}

impl Labels {
    fn new(a: &mut CodeAssembler) -> Self {
        Self {
            day: a.create_label(),
            payment: a.create_label(),
            payment_end: a.create_label(),
            audit: a.create_label(),
            timer: a.create_label(),
            timer_end: a.create_label(),
            serial: a.create_label(),
            serial_end: a.create_label(),
            print: a.create_label(),
            print_number: a.create_label(),
            put: a.create_label(),
            welcome_text: a.create_label(),
            day_text: a.create_label(),
            balance_text: a.create_label(),
            ok_text: a.create_label(),
            closed_text: a.create_label(),
            panic_text: a.create_label(),
            receipts_text: a.create_label(),
            halted_text: a.create_label(),
        }
    }
}

/// OUT of a constant byte to a constant port.
fn out(a: &mut CodeAssembler, port: u32, value: u32) -> Result<(), IcedError> {
    a.mov(edx, port)?;
    a.mov(eax, value)?;
    a.out(dx, al)
}

/// Interrupt gates, 8259, 8254, UART.
fn start(a: &mut CodeAssembler, l: &mut Labels) -> Result<(), IcedError> {
    a.cli()?;
    a.mov(rsp, STACK_TOP)?;
    gate(a, TIMER_VECTOR, l.timer)?;
    gate(a, SERIAL_VECTOR, l.serial)?;
    a.mov(word_ptr(IDT_POINTER), 0xFFF)?;
    a.mov(rax, IDT)?;
    a.mov(qword_ptr(IDT_POINTER + 2), rax)?;
    a.lidt(ptr(IDT_POINTER))?;
    // 8259: cascade, vectors from 20h and 28h, 8086 mode; only IRQ 0 and 4 are let through.
    for (port, value) in [
        (0x20, 0x11),
        (0xA0, 0x11),
        (0x21, 0x20),
        (0xA1, 0x28),
        (0x21, 4),
        (0xA1, 2),
        (0x21, 1),
        (0xA1, 1),
        (0x21, 0xFF & !(1 | 1 << 4)),
        (0xA1, 0xFF),
        // 8254: counter 0, mode 2.
        (0x43, 0x34),
        (0x40, TIMER_DIVISOR & 0xFF),
        (0x40, TIMER_DIVISOR >> 8),
        // UART: 115200 8N1, FIFO, interrupt on received data.
        (COM1 + 3, 0x83),
        (COM1, 1),
        (COM1 + 1, 0),
        (COM1 + 3, 3),
        (COM1 + 2, 7),
        (COM1 + 4, 0x0B),
        (COM1 + 1, 1),
    ] {
        out(a, port, value)?;
    }
    a.lea(rsi, ptr(l.welcome_text))?;
    a.call(l.print)?;
    a.sti()
}

/// An interrupt gate to a handler.
fn gate(a: &mut CodeAssembler, vector: u8, handler: CodeLabel) -> Result<(), IcedError> {
    let at = IDT + 16 * u64::from(vector);
    a.lea(rax, ptr(handler))?;
    a.mov(word_ptr(at), ax)?;
    a.mov(dword_ptr(at + 2), 0x8E00_0000 | CODE_SELECTOR)?;
    a.shr(rax, 16)?;
    a.mov(word_ptr(at + 6), ax)?;
    a.shr(rax, 16)?;
    a.mov(dword_ptr(at + 8), eax)
}

/// The main program: days of rounds, each a pause and a payment.
fn teller(a: &mut CodeAssembler, l: &mut Labels) -> Result<(), IcedError> {
    let mut round = a.create_label();
    let mut pause = a.create_label();
    a.mov(r12d, 1)?; // the day
    a.set_label(&mut l.day)?;
    a.mov(r13, ROUNDS_PER_DAY)?;
    a.set_label(&mut round)?;
    a.rdrand(rcx)?;
    a.and(ecx, PAUSE_MASK)?;
    a.inc(ecx)?;
    a.set_label(&mut pause)?;
    a.dec(ecx)?;
    a.jnz(pause)?;
    a.set_label(&mut l.payment)?;
    a.mov(rcx, qword_ptr(TOTAL))?;
    a.lea(rdx, ptr(rcx + 1))?;
    a.mov(qword_ptr(TOTAL), rdx)?; // the bug: TOTAL may have grown since it was loaded
    a.inc(qword_ptr(TELLER))?;
    a.set_label(&mut l.payment_end)?;
    a.dec(r13)?;
    a.jnz(round)?;
    a.jmp(l.audit)
}

/// The end of a day: does the total equal what the parties say they paid?
fn audit(a: &mut CodeAssembler, l: &mut Labels) -> Result<(), IcedError> {
    let mut wrong = a.create_label();
    a.set_label(&mut l.audit)?;
    a.cli()?;
    a.mov(r14, qword_ptr(TOTAL))?;
    a.mov(r15, qword_ptr(TELLER))?;
    a.add(r15, qword_ptr(INTEREST))?;
    a.add(r15, qword_ptr(DEPOSITS))?;
    a.sti()?;
    a.lea(rsi, ptr(l.day_text))?;
    a.call(l.print)?;
    a.mov(rax, r12)?;
    a.call(l.print_number)?;
    a.lea(rsi, ptr(l.balance_text))?;
    a.call(l.print)?;
    a.mov(rax, r14)?;
    a.call(l.print_number)?;
    a.cmp(r14, r15)?;
    a.jne(wrong)?;
    a.lea(rsi, ptr(l.ok_text))?;
    a.call(l.print)?;
    a.inc(r12)?;
    a.cmp(r12, DAYS as i32)?;
    a.jbe(l.day)?;
    a.lea(rsi, ptr(l.closed_text))?;
    a.call(l.print)?;
    // ACPI: soft off.
    a.mov(edx, 0x604)?;
    a.mov(eax, 0x3400)?;
    a.out(dx, ax)?;
    a.hlt()?;
    a.set_label(&mut wrong)?;
    a.lea(rsi, ptr(l.panic_text))?;
    a.call(l.print)?;
    a.mov(rax, r15)?;
    a.call(l.print_number)?;
    a.lea(rsi, ptr(l.receipts_text))?;
    a.call(l.print)?;
    a.mov(rax, r15)?;
    a.sub(rax, r14)?;
    a.call(l.print_number)?;
    a.lea(rsi, ptr(l.halted_text))?;
    a.call(l.print)?;
    a.mov(edx, 0xF4)?;
    a.mov(eax, PANIC_CODE)?;
    a.out(dx, eax)?;
    a.hlt()
}

/// The timer pays interest; a byte on the UART is a deposit.
fn handlers(a: &mut CodeAssembler, l: &mut Labels) -> Result<(), IcedError> {
    let mut next = a.create_label();
    let mut done = a.create_label();
    a.set_label(&mut l.timer)?;
    a.push(rax)?;
    a.inc(qword_ptr(TOTAL))?;
    a.inc(qword_ptr(INTEREST))?;
    a.mov(al, 0x20)?;
    a.out(0x20, al)?;
    a.pop(rax)?;
    a.iretq()?;
    a.set_label(&mut l.timer_end)?;
    a.nop()?;
    a.set_label(&mut l.serial)?;
    a.push(rax)?;
    a.push(rdx)?;
    a.set_label(&mut next)?;
    a.mov(edx, COM1 + 5)?;
    a.in_(al, dx)?;
    a.test(al, 1)?;
    a.jz(done)?;
    a.mov(edx, COM1)?;
    a.in_(al, dx)?;
    a.inc(qword_ptr(TOTAL))?;
    a.inc(qword_ptr(DEPOSITS))?;
    a.jmp(next)?;
    a.set_label(&mut done)?;
    a.mov(al, 0x20)?;
    a.out(0x20, al)?;
    a.pop(rdx)?;
    a.pop(rax)?;
    a.iretq()?;
    a.set_label(&mut l.serial_end)?;
    a.nop()
}

/// Text and numbers to the UART.
fn printing(a: &mut CodeAssembler, l: &mut Labels) -> Result<(), IcedError> {
    let mut done = a.create_label();
    let mut wait = a.create_label();
    let mut digit = a.create_label();
    let mut show = a.create_label();
    // The text at RSI, up to its zero.
    a.set_label(&mut l.print)?;
    a.lodsb()?;
    a.test(al, al)?;
    a.jz(done)?;
    a.call(l.put)?;
    a.jmp(l.print)?;
    a.set_label(&mut done)?;
    a.ret()?;
    // The byte in AL.
    a.set_label(&mut l.put)?;
    a.mov(bl, al)?;
    a.mov(edx, COM1 + 5)?;
    a.set_label(&mut wait)?;
    a.in_(al, dx)?;
    a.test(al, 0x20)?;
    a.jz(wait)?;
    a.mov(edx, COM1)?;
    a.mov(al, bl)?;
    a.out(dx, al)?;
    a.ret()?;
    // The number in RAX, in decimal: digits are pushed from the last on.
    a.set_label(&mut l.print_number)?;
    a.xor(ecx, ecx)?;
    a.mov(r8d, 10)?;
    a.set_label(&mut digit)?;
    a.xor(edx, edx)?;
    a.div(r8)?;
    a.push(rdx)?;
    a.inc(ecx)?;
    a.test(rax, rax)?;
    a.jnz(digit)?;
    a.set_label(&mut show)?;
    a.pop(rax)?;
    a.add(al, i32::from(b'0'))?;
    a.call(l.put)?;
    a.dec(ecx)?;
    a.jnz(show)?;
    a.ret()
}

fn texts(a: &mut CodeAssembler, l: &mut Labels) -> Result<(), IcedError> {
    for (label, text) in [
        (&mut l.welcome_text, "ledger: open for business\r\n\0"),
        (&mut l.day_text, "day \0"),
        (&mut l.balance_text, ": balance \0"),
        (&mut l.ok_text, ", audit ok\r\n\0"),
        (&mut l.closed_text, "ledger: closed, all accounted for\r\n\0"),
        (&mut l.panic_text, "\r\nPANIC: audit failed: the receipts say \0"),
        (&mut l.receipts_text, ", missing: \0"),
        (&mut l.halted_text, "\r\nledger: halted\r\n\0"),
    ] {
        a.set_label(label)?;
        a.db(text.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dejavm_core::boundary::{Images, MachineConfig, Outbound};
    use dejavm_core::machine::{Machine, RunLimit, StopReason};

    /// Runs the guest with a seed: how it stops, and what it prints.
    fn run(seed: u64) -> (StopReason, String) {
        let config = MachineConfig { seed, ram_bytes: 16 << 20, ..MachineConfig::default() };
        let images = Images { kernel: build().unwrap().kernel, initrd: None };
        let mut machine = Machine::new(&config, images).unwrap();
        let stop = machine.run(&RunLimit::to_icount(50_000_000));
        let bytes = machine.take_outbound().into_iter().filter_map(|event| match event {
            Outbound::Serial { port: 0, byte } => Some(byte),
            _ => None,
        });
        (stop, String::from_utf8(bytes.collect()).unwrap())
    }

    #[test]
    fn some_seeds_fail_and_some_do_not_and_the_guest_says_which() {
        let runs: Vec<_> = (0..24).map(run).collect();
        for (stop, text) in &runs {
            match stop {
                StopReason::PowerOff => assert!(text.contains("all accounted for"), "{text}"),
                StopReason::DebugExit(code) => {
                    assert_eq!(*code, PANIC_CODE);
                    assert!(text.contains("PANIC"), "{text}");
                }
                other => panic!("{other:?}: {text}"),
            }
        }
        let failed = runs.iter().filter(|(stop, _)| matches!(stop, StopReason::DebugExit(_))).count();
        assert!((1..runs.len()).contains(&failed), "{failed} of {} failed", runs.len());
    }

    #[test]
    fn a_seed_decides_the_run() {
        assert_eq!(run(3), run(3));
    }
}
