//! Looking at the machine of a run: a place as text, and what the probes saw.

use dejavm_core::boundary::{ProbeEvent, ProbeSettings};
use dejavm_core::machine::Machine;
use dejavm_core::types::VcpuId;
use dejavm_monitor::control::inspect::{cpu_state, read_virtual};
use dejavm_monitor::disassembly::{MAX_INSN_BYTES, disassemble};
use dejavm_monitor::hmp::{code_size, instruction_address, registers_text};
use dejavm_trace::event::Registry;

/// Registers of the vCPU whose turn it is, and the next instructions: a place in a run.
pub fn place_text(machine: &Machine, instructions: usize) -> String {
    let vcpu = machine.current_vcpu();
    let Some(cpu) = cpu_state(machine, vcpu) else { return String::new() };
    let mut text = registers_text(vcpu, &cpu);
    text.push('\n');
    text.push_str(&disassembly_text(machine, vcpu, instruction_address(&cpu), instructions));
    text
}

/// Where the next instruction of a vCPU is.
pub fn instruction_address_of(machine: &Machine, vcpu: VcpuId) -> u64 {
    machine.vcpus().get(vcpu).map_or(0, |cpu| instruction_address(&cpu.state))
}

/// A number of instructions from `address` on, a line each.
pub fn disassembly_text(machine: &Machine, vcpu: VcpuId, mut address: u64, count: usize) -> String {
    let Some(cpu) = cpu_state(machine, vcpu) else { return String::new() };
    let mut text = String::new();
    for _ in 0..count {
        let mut bytes = [0; MAX_INSN_BYTES];
        let readable = (0..bytes.len())
            .find(|&i| !read_virtual(machine, vcpu, address.wrapping_add(i as u64), &mut bytes[i..=i]))
            .unwrap_or(bytes.len());
        let Some(line) = disassemble(address, &bytes[..readable], code_size(&cpu)) else {
            text.push_str(&format!("{address:#010x}: unable to read memory\n"));
            break;
        };
        text.push_str(&line.text);
        text.push('\n');
        address = address.wrapping_add(line.length as u64);
    }
    text
}

/// Switches the machine's probes as the trace events say.
pub fn set_probes(machine: &mut Machine, trace: &Registry) {
    machine.set_probes(&trace.settings());
}

/// Writes what the probes saw.
pub fn write_probes(machine: &mut Machine, trace: &Registry) {
    trace.write(&machine.take_probe_records());
}

/// Tells the trace that a seek has led here.
pub fn note_seek(machine: &mut Machine, trace: &Registry) {
    set_probes(machine, trace);
    machine.note(ProbeEvent::Seek);
    write_probes(machine, trace);
}

/// Switches all probes off and forgets what they saw.
pub fn clear_probes(machine: &mut Machine) {
    machine.set_probes(&ProbeSettings::default());
    machine.take_probe_records();
}
