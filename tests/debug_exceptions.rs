//! What makes a debug exception, and what does not (SDM vol. 3, 17.2 and 17.3).

use dejavm_core::boundary::{Images, MachineConfig};
use dejavm_core::cpu::CpuState;
use dejavm_core::cpu::flags;
use dejavm_core::cpu::state::{RCX, RDI, RDX, RSI, RSP, TableRegister, cr4, seg};
use dejavm_core::machine::{Machine, RunLimit, StopReason};
use dejavm_core::types::{Gpa, vector};
use dejavm_tests::fuzz::guest::{kernel, layout};

const START: u64 = layout::KERNEL;
const HLT: u8 = 0xF4;
const NOP: u8 = 0x90;
/// OUT 80h, AL; OUT 80h, EAX; IN AX, 7Fh.
const OUT_BYTE: [u8; 2] = [0xE6, 0x80];
const OUT_DWORD: [u8; 2] = [0xE7, 0x80];
const IN_WORD: [u8; 3] = [0x66, 0xE5, 0x7F];
const REP_OUTSB: [u8; 2] = [0xF3, 0x6E];
const REP_INSB: [u8; 2] = [0xF3, 0x6C];
const IRETQ: [u8; 2] = [0x48, 0xCF];

/// R/W fields of DR7.
const EXECUTION: u64 = 0;
const PORT: u64 = 2;
const LOAD_OR_STORE: u64 = 3;
/// The LEN field of four bytes.
const FOUR: u64 = 3;

const DR6_CLEAR: u64 = 0xFFFF_0FF0;
const BS: u64 = 1 << 14;
const BTF: u64 = 1 << 1;

/// Breakpoint 0 at `address`.
fn breakpoint(s: &mut CpuState, address: u64, condition: u64, len: u64) {
    s.dr[0] = address;
    s.dr[7] = 0x400 | 1 | condition << 16 | len << 18;
}

/// Where a guest came to rest.
#[derive(Debug)]
struct Rest {
    state: CpuState,
    /// RIP and RFLAGS as the handler finds them on its stack; 0 if none was entered.
    rip: u64,
    image: u64,
}

impl Rest {
    /// The hits in DR6.
    fn hits(&self) -> u64 {
        self.state.dr[6] ^ DR6_CLEAR
    }
}

/// Runs `code`, then HLT, from a state that `set_up` changes; #DB and #GP go to another HLT.
fn run(code: &[u8], set_up: impl FnOnce(&mut CpuState)) -> Rest {
    run_on_stack(code, |s| {
        set_up(s);
        Vec::new()
    })
}

/// [`run`] with what `set_up` gives on the stack.
fn run_on_stack(code: &[u8], set_up: impl FnOnce(&mut CpuState) -> Vec<u64>) -> Rest {
    let mut code = code.to_vec();
    code.extend([HLT, HLT]);
    let end = START + code.len() as u64 - 2;
    let config = MachineConfig { ram_bytes: 2 << 20, ..MachineConfig::default() };
    let mut machine =
        Machine::new(&config, Images { kernel: kernel(&code), initrd: None }).expect("a good image");
    let mut state = machine.vcpus()[0].state.clone();
    let handler = end + 1;
    let selector = u64::from(state.segs[seg::CS].selector);
    let gate = handler & 0xFFFF | selector << 16 | 0x8E << 40 | handler >> 16 << 48;
    for v in [vector::DB, vector::GP] {
        machine.load_memory(Gpa(layout::IDT + u64::from(v) * 16), &gate.to_le_bytes());
    }
    state.idtr = TableRegister { base: layout::IDT, limit: 0xFFF };
    let stack: Vec<_> = set_up(&mut state).iter().flat_map(|v| v.to_le_bytes()).collect();
    state.regs[RSP] = layout::STACK_END - stack.len() as u64;
    machine.load_memory(Gpa(state.regs[RSP]), &stack);
    machine.load_vcpu(0, state);
    let stopped = machine.run(&RunLimit { stop_when_idle: true, ..RunLimit::to_icount(1000) });
    assert!(matches!(stopped, StopReason::Idle { .. }), "{stopped:?}");
    let state = machine.vcpus()[0].state.clone();
    let word = |at| machine.memory().read_phys::<u64>(Gpa(at)).expect("RAM");
    let entered = machine.vcpus()[0].rip() == handler + 1;
    // A frame with an error code ends on a multiple of 16.
    let error_code = if state.regs[RSP] % 16 == 0 { 8 } else { 0 };
    let frame = state.regs[RSP] + error_code;
    let (rip, image) = if entered { (word(frame), word(frame + 16)) } else { (0, 0) };
    Rest { state, rip, image }
}

#[test]
fn a_port_breakpoint_traps_behind_the_access() {
    let rows: [(&[u8], u64, u64, bool); 7] = [
        (&OUT_BYTE, 0x80, 0, true),
        (&OUT_BYTE, 0x81, 0, false),
        (&OUT_BYTE, 0x83, FOUR, true),
        (&OUT_DWORD, 0x83, 0, true),
        (&OUT_DWORD, 0x84, 0, false),
        (&IN_WORD, 0x80, 0, true),
        (&IN_WORD, 0x1_0080, 0, false),
    ];
    for (code, address, len, hit) in rows {
        let rest = run(code, |s| {
            s.cr4 |= cr4::DE;
            breakpoint(s, address, PORT, len);
        });
        let expected = if hit { (1, START + code.len() as u64) } else { (0, 0) };
        assert_eq!((rest.hits(), rest.rip), expected, "{code:x?} at {address:x}");
    }
}

#[test]
fn without_de_nothing_hits_a_port_breakpoint() {
    let rest = run(&OUT_BYTE, |s| breakpoint(s, 0x80, PORT, 0));
    assert_eq!((rest.hits(), rest.rip), (0, 0));
}

#[test]
fn a_port_is_no_data_address() {
    let rest = run(&OUT_BYTE, |s| {
        s.cr4 |= cr4::DE;
        breakpoint(s, 0x80, LOAD_OR_STORE, 0);
    });
    assert_eq!((rest.hits(), rest.rip), (0, 0));
}

#[test]
fn a_repeated_port_access_traps_behind_each_iteration() {
    for code in [REP_OUTSB, REP_INSB] {
        for (count, rip, rf) in [(3, START, flags::RF), (1, START + 2, 0)] {
            let rest = run(&code, |s| {
                s.cr4 |= cr4::DE;
                (s.regs[RDX], s.regs[RCX]) = (0x80, count);
                (s.regs[RSI], s.regs[RDI]) = (layout::DATA, layout::DATA);
                breakpoint(s, 0x80, PORT, 0);
            });
            assert_eq!((rest.hits(), rest.rip, rest.state.regs[RCX]), (1, rip, count - 1), "{code:x?}");
            assert_eq!(rest.image & flags::RF, rf, "RF is set while the instruction goes on");
        }
    }
}

/// Debuggers continue from a breakpoint so: their handler returns with RF.
#[test]
fn rf_covers_all_iterations_of_a_repeated_instruction() {
    let rep_stosb = [0xF3, 0xAA];
    let rest = run(&rep_stosb, |s| {
        (s.regs[RCX], s.regs[RDI]) = (5, layout::DATA);
        s.flags.set_system(flags::RF, true);
        breakpoint(s, START, EXECUTION, 0);
    });
    assert_eq!((rest.hits(), rest.state.regs[RCX]), (0, 0));
    assert!(!rest.state.flags.system(flags::RF));
}

/// IRETQ to the NOP behind it, where a breakpoint is, while RF is set.
fn return_with(rf: u64) -> Rest {
    let next = START + IRETQ.len() as u64;
    run_on_stack(&[IRETQ[0], IRETQ[1], NOP], |s| {
        s.flags.set_system(flags::RF, true);
        breakpoint(s, next, EXECUTION, 0);
        let (ss, cs) = (s.segs[seg::SS].selector, s.segs[seg::CS].selector);
        vec![next, cs.into(), 2 | rf, layout::STACK_END - 0x100, ss.into()]
    })
}

#[test]
fn iret_loads_rf_even_if_it_was_set() {
    let hit = return_with(0);
    assert_eq!((hit.hits(), hit.rip), (1, START + 2));
    let resumed = return_with(flags::RF);
    assert_eq!((resumed.hits(), resumed.rip), (0, 0));
    assert!(!resumed.state.flags.system(flags::RF), "it is for one instruction");
}

/// MOVSB reads what is watched, and cannot write.
#[test]
fn a_fault_leaves_no_trap_for_what_came_before_it() {
    let rest = run(&[0xA4], |s| {
        (s.regs[RSI], s.regs[RDI]) = (layout::DATA, 1 << 63);
        breakpoint(s, layout::DATA, LOAD_OR_STORE, 0);
    });
    assert_eq!((rest.hits(), rest.rip), (0, START));
}

#[test]
fn single_steps_by_branch_trap_behind_taken_branches() {
    // STC; JNC; JMP +0; NOP.
    let code = [0xF9, 0x73, 1, 0xEB, 0, NOP];
    for (debugctl, steps_to) in [(BTF, 5), (0, 1)] {
        let rest = run(&code, |s| {
            s.msrs.debugctl = debugctl;
            s.flags.set_system(flags::TF, true);
        });
        assert_eq!((rest.hits(), rest.rip), (BS, START + steps_to));
        assert_eq!(rest.state.msrs.debugctl, 0, "a debug exception clears BTF");
    }
}

/// INT 1 goes through the same gate, and is no debug exception; INT1 is one.
#[test]
fn int_1_clears_nothing() {
    const GD: u64 = 1 << 13;
    for (code, kept) in [(&[0xCD, 1][..], GD | BTF), (&[0xF1], 0)] {
        let rest = run(code, |s| {
            s.dr[7] |= GD;
            s.msrs.debugctl = BTF;
        });
        assert_eq!(rest.rip, START + code.len() as u64);
        assert_eq!(rest.state.dr[7] & GD | rest.state.msrs.debugctl, kept, "{code:x?}");
    }
}
