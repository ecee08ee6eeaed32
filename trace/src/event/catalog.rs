//! The events that there are: name, arguments, when they happen.

use dejavm_core::boundary::{Chip, ProbeKind};
use std::sync::OnceLock;

/// The type of an argument of a trace event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentType {
    /// An unsigned number.
    U64,
    /// Text.
    Text,
}

/// What an event is called and what comes with it.
#[derive(Debug)]
pub struct Description {
    /// The probe that feeds it.
    pub kind: ProbeKind,
    /// The name, as `trace-event NAME on` has it.
    pub name: String,
    /// Its arguments, in order.
    pub arguments: &'static [(&'static str, ArgumentType)],
    /// When it happens.
    pub about: String,
}

/// All events, in the order of the kinds' numbers; first those of the run, then those of the engine.
fn known() -> &'static [Description] {
    static ALL: OnceLock<Vec<Description>> = OnceLock::new();
    ALL.get_or_init(|| ProbeKind::all().chain(ProbeKind::OF_THE_ENGINE).map(describe).collect())
}

/// The events that are part of a run, in the order of the kinds' numbers.
pub fn all() -> &'static [Description] {
    &known()[..ProbeKind::COUNT]
}

/// The events that tell [what the engine does](ProbeKind::OF_THE_ENGINE).
pub fn of_the_engine() -> &'static [Description] {
    &known()[ProbeKind::COUNT..]
}

/// The event of a kind of probe.
pub fn description(kind: ProbeKind) -> &'static Description {
    &known()[kind.index()]
}

const NUMBER: ArgumentType = ArgumentType::U64;
const TEXT: ArgumentType = ArgumentType::Text;

type Arguments = &'static [(&'static str, ArgumentType)];

const RIP: Arguments = &[("rip", NUMBER)];
const MSR: Arguments = &[("msr", NUMBER), ("value", NUMBER)];
const MEMORY: Arguments =
    &[("address", NUMBER), ("physical", NUMBER), ("size", NUMBER), ("value", NUMBER), ("value_high", NUMBER)];
const IO: Arguments = &[("address", NUMBER), ("size", NUMBER), ("value", NUMBER)];

fn describe(kind: ProbeKind) -> Description {
    let (name, arguments, about) = parts(kind);
    Description { kind, name, arguments, about }
}

fn parts(kind: ProbeKind) -> (String, Arguments, String) {
    let plain =
        |name: &str, arguments: Arguments, about: &str| (name.to_owned(), arguments, about.to_owned());
    match kind {
        ProbeKind::Exception => plain(
            "cpu_exception",
            &[("vector", NUMBER), ("error_code", NUMBER), ("rip", NUMBER), ("address", NUMBER)],
            "an exception is delivered; a page fault with its address",
        ),
        ProbeKind::Interrupt => plain(
            "cpu_interrupt",
            &[("vector", NUMBER), ("rip", NUMBER)],
            "an external interrupt is delivered before the instruction at rip",
        ),
        ProbeKind::Nmi => {
            plain("cpu_nmi", RIP, "a non-maskable interrupt is delivered before the instruction at rip")
        }
        ProbeKind::Instruction => {
            plain("cpu_instruction", RIP, "an instruction, or an iteration of a REP string, executes")
        }
        ProbeKind::Block => {
            plain("cpu_block", RIP, "the first instruction after a branch or delivery executes")
        }
        ProbeKind::ModeSwitch => plain(
            "cpu_mode_switch",
            &[("cpl", NUMBER), ("code_bits", NUMBER), ("long", NUMBER), ("paging", NUMBER)],
            "the privilege level, the code size, long mode or paging changed",
        ),
        ProbeKind::Syscall => plain(
            "cpu_syscall",
            &[
                ("rip", NUMBER),
                ("number", NUMBER),
                ("rdi", NUMBER),
                ("rsi", NUMBER),
                ("rdx", NUMBER),
                ("r10", NUMBER),
                ("r8", NUMBER),
                ("r9", NUMBER),
            ],
            "SYSCALL or SYSENTER; rip is where it returns to",
        ),
        ProbeKind::SyscallReturn => plain(
            "cpu_syscall_return",
            &[("rip", NUMBER), ("result", NUMBER)],
            "SYSRET or SYSEXIT; result is RAX",
        ),
        ProbeKind::InterruptReturn => plain(
            "cpu_interrupt_return",
            &[("rip", NUMBER), ("cpl", NUMBER)],
            "IRET to rip, at privilege level cpl",
        ),
        ProbeKind::ControlWrite => plain(
            "cpu_control_write",
            &[("register", NUMBER), ("old", NUMBER), ("value", NUMBER)],
            "MOV to a control register",
        ),
        ProbeKind::AddressSpace => plain(
            "cpu_page_table_switch",
            &[("old", NUMBER), ("value", NUMBER)],
            "CR3 is loaded, by MOV or a task switch",
        ),
        ProbeKind::MsrRead => plain("cpu_msr_read", MSR, "RDMSR"),
        ProbeKind::MsrWrite => plain("cpu_msr_write", MSR, "WRMSR"),
        ProbeKind::Load => plain("memory_load", MEMORY, "an instruction or a delivery loads"),
        ProbeKind::Store => plain("memory_store", MEMORY, "an instruction or a delivery stores"),
        ProbeKind::MmioRead => plain("mmio_read", IO, "a load from where there is no RAM"),
        ProbeKind::MmioWrite => plain("mmio_write", IO, "a store to where there is no RAM"),
        ProbeKind::PortRead => plain("port_read", IO, "IN or INS"),
        ProbeKind::PortWrite => plain("port_write", IO, "OUT or OUTS"),
        ProbeKind::IrqLine => plain(
            "irq_line",
            &[("irq", NUMBER), ("level", NUMBER)],
            "the level of an ISA interrupt line changed",
        ),
        ProbeKind::SerialOut => {
            plain("uart_write", &[("port", NUMBER), ("byte", NUMBER)], "a UART sent a byte")
        }
        ProbeKind::DebugConsole => {
            plain("debug_console_write", &[("byte", NUMBER)], "a byte was written to port E9h")
        }
        ProbeKind::Inbound => plain(
            "inbound_event",
            &[("class", TEXT), ("size_bytes", NUMBER)],
            "something came in through the door",
        ),
        ProbeKind::Reset => plain("machine_reset", &[("cause", TEXT)], "the machine was reset"),
        ProbeKind::PowerOff => plain("machine_power_off", &[], "the machine went off"),
        ProbeKind::DebugExit => {
            plain("debug_exit", &[("code", NUMBER)], "the guest ended the run through the debug-exit port")
        }
        ProbeKind::GuestPanic => plain(
            "guest_panic",
            &[("events", NUMBER)],
            "the guest's kernel said that it panicked: bit 0, or bit 1 if a crash kernel takes over",
        ),
        ProbeKind::Call => plain(
            "cpu_call",
            &[("target", NUMBER), ("back", NUMBER), ("rsp", NUMBER)],
            "a near CALL to target; rsp points to where it shall return",
        ),
        ProbeKind::Return => plain(
            "cpu_return",
            &[("target", NUMBER), ("rsp", NUMBER)],
            "a near RET; rsp pointed to the target",
        ),
        ProbeKind::ChipRead(chip) => {
            let name = chip_name(chip);
            (format!("chip_{name}_read"), IO, format!("a register of the {name} is read"))
        }
        ProbeKind::ChipWrite(chip) => {
            let name = chip_name(chip);
            (format!("chip_{name}_write"), IO, format!("a register of the {name} is written"))
        }
        ProbeKind::Timer(chip) => {
            let name = chip_name(chip);
            (format!("chip_{name}_timer"), &[], format!("a timer of the {name} is due"))
        }
        ProbeKind::TlbFill => plain(
            "tlb_fill",
            &[("address", NUMBER), ("physical", NUMBER)],
            "a translation is put into the soft TLB",
        ),
        ProbeKind::Translate => plain(
            "jit_translate",
            &[("address", NUMBER), ("instructions", NUMBER), ("host_bytes", NUMBER)],
            "a block is translated to host code",
        ),
        ProbeKind::Flush => plain(
            "jit_flush",
            &[("blocks", NUMBER)],
            "translated blocks are forgotten: their code was overwritten, or there was no room",
        ),
        ProbeKind::Link => plain(
            "jit_link",
            &[("address", NUMBER)],
            "an exit of a translated block is linked to the block at address",
        ),
        ProbeKind::Checkpoint => plain(
            "replay_checkpoint",
            &[("pages", NUMBER)],
            "a checkpoint is taken; so many pages were written since the one before",
        ),
        ProbeKind::Seek => plain("replay_seek", &[], "a seek has led here"),
    }
}

/// What a chip is called in names of events.
pub fn chip_name(chip: Chip) -> &'static str {
    match chip {
        Chip::Pic => "pic",
        Chip::Pit => "pit",
        Chip::I8042 => "i8042",
        Chip::Rtc => "rtc",
        Chip::Uart => "uart",
        Chip::AcpiPm => "acpi_pm",
        Chip::System => "system",
        Chip::Pci => "pci",
        Chip::FwCfg => "fw_cfg",
        Chip::Ioapic => "ioapic",
        Chip::Lapic => "lapic",
        Chip::Hpet => "hpet",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_found_by_kind() {
        let names: BTreeSet<&str> = known().iter().map(|event| event.name.as_str()).collect();
        assert_eq!(names.len(), ProbeKind::COUNT_WITH_ENGINE);
        assert_eq!(description(ProbeKind::Seek).name, "replay_seek");
        assert_eq!(description(ProbeKind::Inbound).name, "inbound_event");
        assert_eq!(description(ProbeKind::Timer(Chip::Hpet)).name, "chip_hpet_timer");
    }
}
