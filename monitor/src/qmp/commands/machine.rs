//! What the machine is (QAPI: machine.json, machine-target.json, misc.json).

use super::{Arguments, Command, Context, Outcome};
use crate::pci;
use crate::qmp::QmpError;
use crate::qmp::schema::{NOTHING, Type, optional, required};
use crate::qom::{CPU_TYPE, NO_HOTPLUG};
use dejavm_core::types::MAX_VCPUS;
use serde_json::{Value, json};

const TARGET: Type = Type::Enum(&["x86_64"]);

const PROPS: Type = Type::Object(&[
    optional("socket-id", Type::Int),
    optional("core-id", Type::Int),
    optional("thread-id", Type::Int),
]);

const CPU: Type = Type::Object(&[
    required("cpu-index", Type::Int),
    required("qom-path", Type::Str),
    required("thread-id", Type::Int),
    optional("props", PROPS),
    required("target", TARGET),
]);

/// What a watchdog can be told to do.
pub(crate) const WATCHDOG_ACTIONS: &[&str] =
    &["reset", "shutdown", "poweroff", "pause", "debug", "none", "inject-nmi"];

const IO_THREAD: Type = Type::Object(&[required("id", Type::Str), required("thread-id", Type::Int)]);

const HOTPLUGGABLE_CPU: Type = Type::Object(&[
    required("type", Type::Str),
    required("vcpus-count", Type::Int),
    required("props", PROPS),
    optional("qom-path", Type::Str),
]);

const MACHINE: Type = Type::Object(&[
    required("name", Type::Str),
    optional("is-default", Type::Bool),
    required("cpu-max", Type::Int),
    required("hotpluggable-cpus", Type::Bool),
    required("numa-mem-supported", Type::Bool),
    required("deprecated", Type::Bool),
    optional("default-cpu-type", Type::Str),
    required("acpi", Type::Bool),
]);

const CPU_DEFINITION: Type = Type::Object(&[
    required("name", Type::Str),
    optional("migration-safe", Type::Bool),
    required("static", Type::Bool),
    optional("unavailable-features", Type::Array(&Type::Str)),
    required("typename", Type::Str),
    required("deprecated", Type::Bool),
]);

const PCI_DEVICE: Type = Type::Object(&[
    required("bus", Type::Int),
    required("slot", Type::Int),
    required("function", Type::Int),
    required("class_info", Type::Object(&[optional("desc", Type::Str), required("class", Type::Int)])),
    required("id", Type::Object(&[required("device", Type::Int), required("vendor", Type::Int)])),
    required("irq_pin", Type::Int),
    required("qdev_id", Type::Str),
    required("regions", Type::Array(&NOTHING)),
]);

const PCI_BUS: Type =
    Type::Object(&[required("bus", Type::Int), required("devices", Type::Array(&PCI_DEVICE))]);

pub(super) const COMMANDS: &[Command] = &[
    Command::new("query-hotpluggable-cpus", &[], Type::Array(&HOTPLUGGABLE_CPU), |_, _| {
        Err(QmpError::generic(NO_HOTPLUG))
    }),
    Command::new("query-machines", &[], Type::Array(&MACHINE), |_, _| {
        Ok(json!([{
            "name": "pc", "is-default": true, "cpu-max": MAX_VCPUS, "hotpluggable-cpus": false,
            "numa-mem-supported": false, "deprecated": false, "default-cpu-type": CPU_TYPE, "acpi": true,
        }]))
    }),
    Command::new("query-cpu-definitions", &[], Type::Array(&CPU_DEFINITION), |_, _| {
        Ok(json!([{
            "name": "dejavm", "migration-safe": true, "static": true, "unavailable-features": [],
            "typename": CPU_TYPE, "deprecated": false,
        }]))
    }),
    Command::new("query-pci", &[], Type::Array(&PCI_BUS), query_pci),
    Command::new("x-exit-preconfig", &[], NOTHING, |_, _| {
        Err(QmpError::generic("The command is permitted only before machine initialization"))
    }),
    Command::new(
        "set-action",
        &[optional("watchdog", Type::Enum(WATCHDOG_ACTIONS))],
        NOTHING,
        |context, arguments| Ok(set_watchdog(context, arguments, "watchdog")),
    ),
    Command::new("query-name", &[], Type::Object(&[optional("name", Type::Str)]), query_name),
    Command::new("query-uuid", &[], Type::Object(&[required("UUID", Type::Str)]), |context, _| {
        Ok(json!({"UUID": context.services.identity.uuid_text()}))
    }),
    Command::new(
        "query-kvm",
        &[],
        Type::Object(&[required("enabled", Type::Bool), required("present", Type::Bool)]),
        |_, _| Ok(json!({"enabled": false, "present": false})),
    ),
    Command::new("query-target", &[], Type::Object(&[required("arch", TARGET)]), |_, _| {
        Ok(json!({"arch": "x86_64"}))
    }),
    Command::new("query-iothreads", &[], Type::Array(&IO_THREAD), |_, _| Ok(json!([]))),
    Command::new("system_wakeup", &[], NOTHING, |_, _| {
        Err(QmpError::generic("Unable to wake up: guest is not in suspended state"))
    }),
    Command::new(
        "watchdog-set-action",
        &[required("action", Type::Enum(WATCHDOG_ACTIONS))],
        NOTHING,
        |context, arguments| Ok(set_watchdog(context, arguments, "action")),
    ),
    Command::new("query-cpus-fast", &[], Type::Array(&CPU), query_cpus_fast),
    Command::new(
        "query-memory-size-summary",
        &[],
        Type::Object(&[required("base-memory", Type::Int), optional("plugged-memory", Type::Int)]),
        query_memory_size_summary,
    ),
    Command::new(
        "query-current-machine",
        &[],
        Type::Object(&[required("wakeup-suspend-support", Type::Bool)]),
        |_, _| Ok(json!({"wakeup-suspend-support": false})),
    ),
];

/// Sets what is done when a watchdog expires, if the argument is there.
fn set_watchdog(context: &mut Context<'_>, arguments: &Arguments<'_>, name: &str) -> Value {
    if arguments.value(name).is_some() {
        *context.services.watchdog_action.borrow_mut() = arguments.string(name).to_owned();
    }
    json!({})
}

fn query_name(context: &mut Context<'_>, _: &Arguments<'_>) -> Outcome {
    Ok(match &context.services.identity.name {
        Some(name) => json!({"name": name}),
        None => json!({}),
    })
}

/// All vCPUs have one owner at a time on the host; its process stands for the thread.
fn query_cpus_fast(context: &mut Context<'_>, _: &Arguments<'_>) -> Outcome {
    let cpu = |index: usize| {
        json!({
            "cpu-index": index,
            "qom-path": format!("/machine/cpu[{index}]"),
            "thread-id": std::process::id(),
            "props": {"socket-id": index, "core-id": 0, "thread-id": 0},
            "target": "x86_64",
        })
    };
    Ok((0..context.control.vcpus()).map(cpu).collect::<Value>())
}

fn query_memory_size_summary(context: &mut Context<'_>, _: &Arguments<'_>) -> Outcome {
    let bytes = context.control.machine().memory().bytes();
    Ok(json!({"base-memory": bytes, "plugged-memory": 0}))
}

fn query_pci(context: &mut Context<'_>, _: &Arguments<'_>) -> Outcome {
    let entry = |device: &pci::Device| {
        let mut class = json!({"class": device.class});
        if let Some(name) = device.class_name() {
            class["desc"] = json!(name);
        }
        json!({
            "bus": 0, "slot": device.slot, "function": 0, "class_info": class,
            "id": {"device": device.device, "vendor": device.vendor},
            "irq_pin": device.interrupt_pin, "qdev_id": "", "regions": [],
        })
    };
    let devices: Value = pci::devices(context.control).iter().map(entry).collect();
    Ok(json!([{"bus": 0, "devices": devices}]))
}
