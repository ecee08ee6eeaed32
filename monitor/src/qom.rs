//! The machine as a tree of objects with properties. What the guest could see of them is not changed.

use crate::control::Control;
use crate::services::Services;
use crate::translation;
use dejavm_core::machine::board_pc::layout;
use serde_json::{Value, json};

/// An object.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its name among its parent's children.
    pub name: String,
    /// Its type.
    pub kind: &'static str,
    /// What is known of it.
    pub properties: Vec<(&'static str, Value)>,
    /// What it is made of.
    pub children: Vec<Object>,
}

impl Object {
    fn new(name: impl Into<String>, kind: &'static str, properties: Vec<(&'static str, Value)>) -> Self {
        Self { name: name.into(), kind, properties, children: Vec::new() }
    }

    /// This object and all that it is made of.
    pub fn walk(&self) -> Vec<&Self> {
        std::iter::once(self).chain(self.children.iter().flat_map(Self::walk)).collect()
    }

    /// The object at a path from here; a path without a slash in front is found, too.
    pub fn find(&self, path: &str) -> Option<&Self> {
        let mut at = self;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            at = at.children.iter().find(|child| child.name == name)?;
        }
        Some(at)
    }
}

/// The type of a property's value, as QOM names it.
pub fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "bool",
        Value::Number(_) => "uint64",
        _ => "string",
    }
}

/// The property of `/machine/accel` that can be changed: it is of the host.
pub const ONE_INSTRUCTION: &str = "one-insn-per-tb";

/// The type of the vCPUs.
pub const CPU_TYPE: &str = "dejavm-x86_64-cpu";

/// Why no vCPU can be plugged in.
pub const NO_HOTPLUG: &str = "machine does not support hot-plugging CPUs";

/// The abstract types that a type descends from, its parent first; none: there is no such type, or it is the
/// one that all descend from.
pub fn ancestors(kind: &str) -> &'static [&'static str] {
    match kind {
        "object" => &[],
        "container" | "machine" | "accel" | "device" => &["object"],
        "pc-machine" => &["machine", "object"],
        "dejavm-accel" => &["accel", "object"],
        "cpu" => &["device", "object"],
        CPU_TYPE => &["cpu", "device", "object"],
        _ => &["device", "object"],
    }
}

/// The types that objects have something of and are never of.
pub const ABSTRACT_TYPES: &[&str] = &["object", "machine", "accel", "device", "cpu"];

/// All objects, under the root.
pub fn tree(control: &mut dyn Control, services: &Services) -> Object {
    let identity = &services.identity;
    let vcpus = control.vcpus();
    let config = control.machine().config().clone();
    let mut machine = Object::new(
        "machine",
        "pc-machine",
        vec![
            ("kernel-cmdline", json!(config.command_line)),
            ("ram-size", json!(config.ram_bytes)),
            ("smp-cpus", json!(vcpus)),
            ("quantum-icount", json!(config.quantum_icount)),
            ("seed", json!(config.seed)),
            ("rtc-start-unix-s", json!(config.rtc_start_unix_s)),
            ("name", json!(identity.name.clone().unwrap_or_default())),
            ("uuid", json!(identity.uuid_text())),
            ("watchdog-action", json!(*services.watchdog_action.borrow())),
        ],
    );
    let one_instruction = translation::is_one_instruction(control);
    machine.children.push(Object::new(
        "accel",
        "dejavm-accel",
        vec![(ONE_INSTRUCTION, json!(one_instruction))],
    ));
    machine.children.extend((0..vcpus).map(|vcpu| cpu(control, vcpu)));
    machine.children.extend(chips());
    let mut root = Object::new("", "container", Vec::new());
    root.children.push(machine);
    root
}

fn cpu(control: &mut dyn Control, vcpu: usize) -> Object {
    let state = control.cpu_state(vcpu);
    let halted = state.is_some_and(|state| state.activity != dejavm_core::cpu::Activity::Running);
    let properties = vec![
        ("apic-id", json!(vcpu)),
        ("halted", json!(halted)),
        ("start-powered-off", json!(vcpu != 0)),
        ("type", json!(CPU_TYPE)),
    ];
    let mut cpu = Object::new(format!("cpu[{vcpu}]"), CPU_TYPE, properties);
    cpu.children.push(Object::new(
        "lapic",
        "apic",
        vec![("id", json!(vcpu)), ("mmio", json!(layout::LAPIC_BASE))],
    ));
    cpu
}

fn chips() -> Vec<Object> {
    let port = |port: u16| vec![("iobase", json!(port))];
    let mmio = |address: u64| vec![("mmio", json!(address))];
    let mut chips = vec![
        Object::new("pit", "isa-pit", port(0x40)),
        Object::new("rtc", "mc146818rtc", vec![("iobase", json!(0x70)), ("irq", json!(layout::RTC_IRQ))]),
        Object::new("hpet", "hpet", mmio(layout::HPET_BASE)),
        Object::new("i8042", "i8042", vec![("iobase", json!(0x60)), ("irq", json!(layout::KEYBOARD_IRQ))]),
        Object::new(
            "acpi-pm",
            "acpi-pm",
            vec![("iobase", json!(layout::PM_BASE)), ("irq", json!(layout::SCI_IRQ))],
        ),
        Object::new("pic", "isa-i8259", port(0x20)),
        Object::new("ioapic", "ioapic", mmio(layout::IOAPIC_BASE)),
        Object::new("pcihost", "pci-host", mmio(layout::ECAM_BASE)),
        Object::new("debugcon", "isa-debugcon", port(layout::DEBUG_CONSOLE_PORT)),
        Object::new("debug-exit", "isa-debug-exit", port(layout::DEBUG_EXIT_PORT)),
    ];
    for (n, (base, irq)) in layout::UART_PORTS.iter().zip(layout::UART_IRQS).enumerate() {
        let properties =
            vec![("iobase", json!(base)), ("irq", json!(irq)), ("chardev", json!(format!("serial{n}")))];
        chips.push(Object::new(format!("serial{n}"), "isa-serial", properties));
    }
    chips
}
