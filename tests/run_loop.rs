//! Small guests that the run loop has to get right: exact stops, interrupts without end, and
//! the end of time.

use dejavm_core::boundary::{Images, MachineConfig};
use dejavm_core::cpu::CpuState;
use dejavm_core::cpu::state::{RSP, TableRegister, seg};
use dejavm_core::machine::{Machine, RunLimit, StopReason};
use dejavm_core::types::Gpa;
use dejavm_core::vcpu::Engine;
use dejavm_tests::fuzz::guest::{kernel, layout};

/// 64-bit mode at privilege level 0, memory mapped to itself, with this code.
fn machine(code: &[u8]) -> Machine {
    let config = MachineConfig { ram_bytes: 2 << 20, ..MachineConfig::default() };
    Machine::new(&config, Images { kernel: kernel(code), initrd: None }).expect("a good image")
}

#[test]
fn a_run_stops_exactly_at_its_limit_behind_a_repeated_string() {
    // MOV ECX, 40; MOV EDI, 40000h; REP STOSB; then NOPs.
    let mut code = vec![0xB9, 40, 0, 0, 0, 0xBF, 0, 0, 4, 0, 0xF3, 0xAA];
    code.resize(200, 0x90);
    for icount in 1..100 {
        let mut machine = machine(&code);
        assert_eq!(machine.run(&RunLimit::to_icount(icount)), StopReason::Limit);
        assert_eq!(machine.position().icount, icount);
    }
}

/// OUT imm8, AL.
fn out(port: u8, value: u8) -> [u8; 4] {
    [0xB0, value, 0xE6, port]
}

/// OUT DX, AL.
fn out_dx(port: u16, value: u8) -> [u8; 7] {
    let [low, high] = port.to_le_bytes();
    [0x66, 0xBA, low, high, 0xB0, value, 0xEE]
}

/// A level-triggered 8259 that ends interrupts by itself, the UART's line high, and a trap gate,
/// which leaves IF set: the next interrupt is there before the handler's first instruction.
#[test]
fn interrupts_without_end_leave_room_for_instructions() {
    const LOOP: [u8; 2] = [0xEB, 0xFE];
    let mut code = Vec::new();
    for (port, value) in [(0x20, 0x11), (0x21, 0x20), (0x21, 0x04), (0x21, 0x03), (0x21, 0xEF)] {
        code.extend(out(port, value));
    }
    code.extend(out_dx(0x4D0, 0x10));
    code.extend(out_dx(0x3FC, 0x08));
    code.extend(out_dx(0x3F9, 0x02));
    code.extend([0xFB, 0x90]);
    code.extend(LOOP);
    let mut machine = machine(&code);
    let handler = layout::KERNEL + code.len() as u64 - 2;
    let state = machine.vcpus()[0].state.clone();
    let gate =
        handler & 0xFFFF | u64::from(state.segs[seg::CS].selector) << 16 | 0x8F << 40 | handler >> 16 << 48;
    machine.load_memory(Gpa(layout::IDT + 0x24 * 16), &gate.to_le_bytes());
    let idtr = TableRegister { base: layout::IDT, limit: 0xFFF };
    machine.load_vcpu(0, CpuState { idtr, ..state });
    let before = machine.vcpus()[0].regs[RSP];
    let instructions_before_sti = 5 * 2 + 3 * 3;
    let limit = RunLimit::to_icount(instructions_before_sti + 4);
    assert_eq!(machine.run(&limit), StopReason::Limit);
    assert_eq!(machine.position().icount, limit.until.icount);
    let cpu = &machine.vcpus()[0];
    assert_eq!(cpu.rip(), handler);
    const FRAME_BYTES: u64 = 40;
    assert!(before - cpu.regs[RSP] > 3 * FRAME_BYTES, "more interrupts than instructions");
}

/// MOV EDI, register; MOV dword [RDI], value: for each of them.
fn write_lapic(registers: &[(u32, u32)]) -> Vec<u8> {
    let mut code = Vec::new();
    for (register, value) in registers {
        code.push(0xBF);
        code.extend((0xFEE0_0000 + register).to_le_bytes());
        code.extend([0xC7, 0x07]);
        code.extend(value.to_le_bytes());
    }
    code
}

/// Time jumps from tick to tick for ever; each run has to end when it is asked to.
#[test]
fn a_sleep_without_end_can_be_kicked() {
    let mut code = write_lapic(&[(0xF0, 0x1FF), (0x3E0, 0xB), (0x320, 0x200EF), (0x380, 100_000)]);
    code.extend([0xFA, 0xF4]);
    let mut machine = machine(&code);
    let to_sleep = RunLimit { stop_when_idle: true, ..RunLimit::to_icount(1000) };
    assert!(matches!(machine.run(&to_sleep), StopReason::Idle { deadline_ns: Some(_) }));
    let mut engine = Engine::new(machine);
    engine.kicker().kick();
    assert_eq!(engine.run(&RunLimit::to_icount(1000)), StopReason::Kicked);
}

#[test]
fn no_timer_fires_at_the_end_of_time() {
    let mut code = write_lapic(&[(0x320, 0x400EF), (0xF0, 0x1FF)]);
    // IA32_TSC_DEADLINE = FFFF_FFFF_FFFF_FF00h; STI; HLT.
    code.extend([0xB9, 0xE0, 0x06, 0, 0, 0xB8, 0, 0xFF, 0xFF, 0xFF, 0xBA, 0xFF, 0xFF, 0xFF, 0xFF]);
    code.extend([0x0F, 0x30, 0xFB, 0xF4]);
    let reason = machine(&code).run(&RunLimit::to_icount(1000));
    assert_eq!(reason, StopReason::Idle { deadline_ns: None });
}
