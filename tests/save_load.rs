//! Save and load of the whole machine: the state is complete. What is loaded saves as it was;
//! a run that is saved, loaded into another machine and continued ends like one that is not.

use dejavm_core::boundary::{Images, MachineConfig, Outbound};
use dejavm_core::machine::state_hash::StateHash;
use dejavm_core::machine::{LoadError, Machine, MachineState, RamPage, RunLimit, StopReason};
use dejavm_tests::cli::guest_file;
use iced_x86::IcedError;
use iced_x86::code_asm::*;

/// Where the guest's code is loaded and entered.
const BASE: u64 = 0x10_0000;
const IDT: u64 = 0x20_0000;
const IDT_POINTER: u64 = 0x20_1000;
const LAPIC: u64 = 0xFEE0_0000;
const COM1: u32 = 0x3F8;
/// For the other vCPUs, in real mode at 8000h: again: inc word [4000h]; pause; jmp again.
const OTHERS: u64 = u64::from_le_bytes([0xFF, 0x06, 0x00, 0x40, 0xF3, 0x90, 0xEB, 0xF8]);

/// A guest that uses a bit of everything: a timer (LAPIC, every 50 us) and HLT, the other vCPUs,
/// RDRAND, SSE, the UART, and code that it changes as it goes.
fn guest() -> Result<Vec<u8>, IcedError> {
    let mut a = CodeAssembler::new(64)?;
    let (mut timer, mut again, mut patched, mut pause) =
        (a.create_label(), a.create_label(), a.create_label(), a.create_label());
    a.mov(esp, 0x30_0000)?;
    a.lea(rax, ptr(timer))?;
    a.mov(word_ptr(IDT + 0x300), ax)?;
    a.mov(dword_ptr(IDT + 0x302), 0x8E00_0010u32 as i32)?;
    a.shr(rax, 16)?;
    a.mov(word_ptr(IDT + 0x306), ax)?;
    a.mov(word_ptr(IDT_POINTER), 0xFFF)?;
    a.mov(eax, IDT as u32)?;
    a.mov(qword_ptr(IDT_POINTER + 2), rax)?;
    a.lidt(ptr(IDT_POINTER))?;
    a.mov(rbx, LAPIC)?;
    // Enable; divide by 1; periodic, vector 30h; count; INIT and start-up to all others.
    for (register, value) in
        [(0xF0, 0x1FF), (0x3E0, 0xB), (0x320, 0x2_0030), (0x380, 50_000), (0x300, 0xC_4500)]
    {
        a.mov(dword_ptr(rbx + register), value)?;
    }
    a.mov(rax, OTHERS)?;
    a.mov(qword_ptr(0x8000), rax)?;
    a.mov(dword_ptr(rbx + 0x300), 0xC_4608)?;
    a.mov(rax, cr4)?;
    a.or(eax, 0x600)?;
    a.mov(cr4, rax)?;
    a.mov(edx, COM1 + 3)?;
    a.mov(al, 3)?;
    a.out(dx, al)?;
    a.xor(r12d, r12d)?;
    a.sti()?;
    a.set_label(&mut again)?;
    a.rdrand(rax)?;
    a.movq(xmm1, rax)?;
    a.paddq(xmm0, xmm1)?;
    a.movzx(ecx, r12w)?;
    a.mov(qword_ptr(rcx * 8 + 0x21_0000), rax)?;
    a.lea(rdx, ptr(patched))?;
    a.mov(byte_ptr(rdx + 1), al)?;
    a.set_label(&mut patched)?;
    a.mov(cl, 1)?;
    a.movzx(ecx, cl)?;
    a.set_label(&mut pause)?;
    a.dec(ecx)?;
    a.jns(pause)?;
    a.mov(edx, COM1)?;
    a.out(dx, al)?;
    a.inc(r12)?;
    a.test(r12d, 15)?;
    a.jnz(again)?;
    a.hlt()?;
    a.jmp(again)?;
    a.set_label(&mut timer)?;
    a.mov(dword_ptr(rbx + 0xB0), 0)?;
    a.inc(qword_ptr(IDT_POINTER + 0x100))?;
    a.iretq()?;
    Ok(elf(&a.assemble(BASE)?))
}

/// An ELF executable with one segment, entered at its start in 64-bit mode.
fn elf(code: &[u8]) -> Vec<u8> {
    let mut elf = b"\x7FELF\x02\x01\x01".to_vec();
    elf.resize(120 + code.len(), 0);
    let mut put = |at: usize, bytes: &[u8]| elf[at..at + bytes.len()].copy_from_slice(bytes);
    put(16, &[2, 0, 62, 0]);
    put(24, &BASE.to_le_bytes());
    put(32, &64u64.to_le_bytes());
    put(54, &[56, 0, 1, 0]);
    put(64, &[1, 0, 0, 0, 7, 0, 0, 0]);
    for (at, value) in [(72, 120), (80, BASE), (88, BASE), (96, code.len() as u64), (104, code.len() as u64)]
    {
        put(at, &value.to_le_bytes());
    }
    put(120, code);
    elf
}

fn machine(vcpus: u32) -> Machine {
    let config = MachineConfig {
        vcpus,
        ram_bytes: 8 << 20,
        quantum_icount: 5000,
        seed: 7,
        ..MachineConfig::default()
    };
    Machine::new(&config, Images { kernel: guest().expect("it assembles"), initrd: None }).expect("a machine")
}

/// Runs to an icount; gives what came out.
fn run(machine: &mut Machine, icount: u64) -> Vec<Outbound> {
    assert_eq!(machine.run(&RunLimit::to_icount(icount)), StopReason::Limit);
    machine.take_outbound()
}

/// Through bytes and back, as a checkpoint goes.
fn through_bytes(state: &MachineState) -> MachineState {
    let config = bincode::config::standard();
    let bytes = bincode::serde::encode_to_vec(state, config).expect("a state serialises");
    bincode::serde::decode_from_slice(&bytes, config).expect("a state deserialises").0
}

/// Runs to `cut`, saves, loads into `other`, and runs that one to `end`.
fn cut_run(
    mut first: Machine,
    mut other: Machine,
    cut: u64,
    end: u64,
) -> (Vec<Outbound>, StateHash, MachineState) {
    let mut out = run(&mut first, cut);
    let state = first.save();
    assert_eq!(first.save(), state, "saving changes something");
    other.load(through_bytes(&state)).expect("it fits");
    other.take_outbound();
    assert!(other.save() == state, "at {cut}: saved again after loading, it differs");
    assert_eq!(other.state_hash(), first.state_hash(), "at {cut}");
    out.extend(run(&mut other, end));
    (out, other.state_hash(), other.save())
}

#[test]
fn a_run_through_a_saved_state_ends_like_one_without() {
    const END: u64 = 400_000;
    for vcpus in [1, 3] {
        let mut whole = machine(vcpus);
        let out = run(&mut whole, END);
        let expected = (out, whole.state_hash(), whole.save());
        assert!(expected.0.len() > 100, "the guest prints");
        let counter = whole.memory().read_phys::<u16>(dejavm_core::types::Gpa(0x4000));
        assert_eq!(counter != Some(0), vcpus > 1, "the other vCPUs run");
        // Odd distances, so that every part of the guest's loop is hit, HLT and handlers too.
        for cut in (0..END).step_by(13_007).chain([1, END]) {
            let result = cut_run(machine(vcpus), machine(vcpus), cut, END);
            assert!(result == expected, "{vcpus} vCPUs, cut at {cut}");
        }
    }
}

#[test]
fn a_machine_that_ran_elsewhere_takes_over_a_state() {
    let mut whole = machine(2);
    let out = run(&mut whole, 200_000);
    let expected = (out, whole.state_hash(), whole.save());
    let mut elsewhere = machine(2);
    run(&mut elsewhere, 300_000);
    assert!(cut_run(machine(2), elsewhere, 150_000, 200_000) == expected);
}

#[test]
fn going_back_takes_only_the_pages_written_since() {
    for vcpus in [1, 3] {
        let mut m = machine(vcpus);
        run(&mut m, 150_000);
        assert!(m.take_unsaved_pages().len() > 2, "the first call gives all that was ever written");
        let (whole, mut rest) = (m.save(), m.save_but_ram());
        assert!(rest.ram.is_empty());
        run(&mut m, 250_000);
        let end = m.save();
        let written = m.take_unsaved_pages();
        assert!(!written.is_empty() && written.len() < whole.ram.len());
        let old = |number| whole.ram.iter().find(|page| page.number == number);
        let zero = |number| RamPage { number, bytes: vec![0; 4096] };
        rest.ram = written.iter().map(|&n| old(n).cloned().unwrap_or_else(|| zero(n))).collect();
        m.load_over(rest).expect("it fits");
        assert!(m.save() == whole);
        assert_eq!(m.take_unsaved_pages(), written, "a load writes");
        run(&mut m, 250_000);
        assert!(m.save() == end);
    }
}

#[test]
fn one_instruction_changes_the_state() {
    let mut m = machine(1);
    run(&mut m, 100_000);
    let before = m.save();
    run(&mut m, 100_001);
    assert_ne!(m.save(), before);
}

#[test]
fn a_state_that_does_not_fit_is_refused() {
    let mut m = machine(2);
    let state = machine(3).save();
    assert_eq!(m.load(state), Err(LoadError::VcpuCount { state: 3, machine: 2 }));
    let mut state = m.save();
    state.schedule.current = 2;
    assert_eq!(m.load(state), Err(LoadError::Schedule { current: 2 }));
    let mut state = m.save();
    state.ram[0].number = 2048;
    assert_eq!(m.load(state), Err(LoadError::Page { number: 2048, len: 4096 }));
    let mut state = m.save();
    state.ram[0].bytes.pop();
    assert_eq!(m.load(state), Err(LoadError::Page { number: 0, len: 4095 }));
}

#[test]
fn linux_goes_on_from_a_saved_state() {
    const CUT: u64 = 25_000_000;
    const END: u64 = 30_000_000;
    let read = |name| std::fs::read(guest_file(name)).expect("a guest's file");
    let config = MachineConfig {
        vcpus: 4,
        command_line: "console=ttyS0 earlyprintk=ttyS0".to_owned(),
        ..MachineConfig::default()
    };
    let images = Images { kernel: read("vmlinuz-cloud"), initrd: Some(read("initrd.gz")) };
    let new = || Machine::new(&config, images.clone()).expect("a machine");
    let mut whole = new();
    let out = run(&mut whole, END);
    let expected = (out, whole.state_hash(), whole.save());
    assert!(cut_run(new(), new(), CUT, END) == expected);
}
