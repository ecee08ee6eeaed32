//! The commands, one file each, and the tables that name them.

mod boot_set;
mod bt;
mod chardev_add;
mod chardev_change;
mod chardev_remove;
mod chardev_send_break;
mod closefd;
mod cont;
mod cpu;
mod delvm;
mod dump_guest_memory;
mod exit_preconfig;
mod gdbserver;
mod getfd;
mod go_live;
mod gpa2hva;
mod gva2gpa;
pub(crate) mod help;
mod i;
mod info_breakpoints;
mod info_chardev;
mod info_checkpoints;
mod info_cpus;
mod info_dump;
mod info_hash;
mod info_history;
mod info_hotpluggable_cpus;
mod info_iothreads;
mod info_irq;
mod info_jit;
mod info_kvm;
mod info_lapic;
mod info_marks;
mod info_mem;
mod info_memory_size_summary;
mod info_modules;
mod info_mtree;
mod info_name;
mod info_numa;
mod info_opcount;
mod info_pci;
mod info_pic;
mod info_profile;
mod info_qdm;
mod info_qom_tree;
mod info_qtree;
mod info_ramblock;
mod info_registers;
mod info_replay;
mod info_roms;
mod info_snapshots;
mod info_status;
mod info_symbol;
mod info_sync_profile;
mod info_tasks;
mod info_tlb;
mod info_trace_events;
mod info_uuid;
mod info_version;
mod last_write;
mod loadvm;
pub(super) mod log;
mod logfile;
mod mark;
mod memory_dump;
mod memsave;
mod nmi;
mod o;
mod one_insn_per_tb;
mod pmemsave;
mod print;
mod qom_get;
mod qom_list;
mod qom_set;
mod quit;
mod replay_break;
mod replay_delete_break;
mod replay_seek;
mod reverse_continue;
mod reverse_step;
mod ringbuf_read;
mod ringbuf_write;
mod savevm;
mod sendkey;
mod step;
mod stop;
mod sum;
mod symbols;
mod sync_profile;
mod system_powerdown;
mod system_reset;
mod system_wakeup;
mod trace_event;
mod watchdog_action;
mod when;
mod x;
mod xp;

use super::Context;
use super::arguments::Arguments;
use super::expression;
use crate::control::{ControlError, Mode};
use dejavm_core::cpu::CpuState;
use dejavm_core::types::VcpuId;
use dejavm_trace::linux::LinuxError;

/// A command of the monitor.
pub(crate) struct Command {
    /// Its name, then its short names.
    pub names: &'static [&'static str],
    /// Its parameters, as help shows them.
    pub parameters: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Does it.
    pub run: fn(&mut Context<'_>, &mut Arguments<'_>) -> Outcome,
}

/// What becomes of a command.
pub(crate) type Outcome = Result<(), CommandError>;

/// Why a command was not carried out.
#[derive(Debug)]
pub(crate) enum CommandError {
    /// The arguments are wrong.
    Usage(String),
    /// A word is missing.
    StringExpected,
    /// The name of a file is missing.
    FilenameExpected,
    /// Something is left after the last argument.
    Extraneous,
    /// An option that the command lacks.
    UnsupportedOption(String),
    /// The arguments are right, the moment is not.
    Refused(String),
}

impl From<ControlError> for CommandError {
    fn from(error: ControlError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<LinuxError> for CommandError {
    fn from(error: LinuxError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl CommandError {
    /// The lines to print; `name` is what the command was called, `full_name` with its `info`.
    pub fn text(&self, name: &str, full_name: &str) -> String {
        let message = match self {
            Self::Refused(message) => return format!("{message}\n"),
            Self::Usage(message) => message.clone(),
            Self::StringExpected => format!("{name}: string expected"),
            Self::FilenameExpected => format!("{name}: filename expected"),
            Self::Extraneous => format!("{name}: extraneous characters at the end of line"),
            Self::UnsupportedOption(option) => format!("{name}: unsupported option {option}"),
        };
        format!("{message}\nTry \"help {full_name}\" for more information\n")
    }
}

/// The commands, by name.
pub(crate) const ALL: &[Command] = &[
    boot_set::COMMAND,
    bt::COMMAND,
    chardev_add::COMMAND,
    chardev_change::COMMAND,
    chardev_remove::COMMAND,
    chardev_send_break::COMMAND,
    closefd::COMMAND,
    cont::COMMAND,
    cpu::COMMAND,
    delvm::COMMAND,
    dump_guest_memory::COMMAND,
    exit_preconfig::COMMAND,
    gdbserver::COMMAND,
    getfd::COMMAND,
    go_live::COMMAND,
    gpa2hva::COMMAND,
    gva2gpa::COMMAND,
    help::COMMAND,
    help::INFO_COMMAND,
    i::COMMAND,
    last_write::COMMAND,
    loadvm::COMMAND,
    log::COMMAND,
    logfile::COMMAND,
    mark::COMMAND,
    memsave::COMMAND,
    nmi::COMMAND,
    o::COMMAND,
    one_insn_per_tb::COMMAND,
    pmemsave::COMMAND,
    print::COMMAND,
    qom_get::COMMAND,
    qom_list::COMMAND,
    qom_set::COMMAND,
    quit::COMMAND,
    replay_break::COMMAND,
    replay_delete_break::COMMAND,
    replay_seek::COMMAND,
    reverse_continue::COMMAND,
    reverse_step::COMMAND,
    ringbuf_read::COMMAND,
    ringbuf_write::COMMAND,
    savevm::COMMAND,
    sendkey::COMMAND,
    step::COMMAND,
    stop::COMMAND,
    sum::COMMAND,
    symbols::COMMAND,
    sync_profile::COMMAND,
    system_powerdown::COMMAND,
    system_reset::COMMAND,
    system_wakeup::COMMAND,
    trace_event::COMMAND,
    watchdog_action::COMMAND,
    when::COMMAND,
    x::COMMAND,
    xp::COMMAND,
];

/// The commands after `info`, by name.
pub(crate) const INFO: &[Command] = &[
    info_breakpoints::COMMAND,
    info_chardev::COMMAND,
    info_checkpoints::COMMAND,
    info_cpus::COMMAND,
    info_dump::COMMAND,
    info_hash::COMMAND,
    info_history::COMMAND,
    info_hotpluggable_cpus::COMMAND,
    info_iothreads::COMMAND,
    info_irq::COMMAND,
    info_jit::COMMAND,
    info_kvm::COMMAND,
    info_lapic::COMMAND,
    info_marks::COMMAND,
    info_mem::COMMAND,
    info_memory_size_summary::COMMAND,
    info_modules::COMMAND,
    info_mtree::COMMAND,
    info_name::COMMAND,
    info_numa::COMMAND,
    info_opcount::COMMAND,
    info_pci::COMMAND,
    info_pic::COMMAND,
    info_profile::COMMAND,
    info_qdm::COMMAND,
    info_qom_tree::COMMAND,
    info_qtree::COMMAND,
    info_ramblock::COMMAND,
    info_registers::COMMAND,
    info_replay::COMMAND,
    info_roms::COMMAND,
    info_snapshots::COMMAND,
    info_status::COMMAND,
    info_symbol::COMMAND,
    info_sync_profile::COMMAND,
    info_tasks::COMMAND,
    info_tlb::COMMAND,
    info_trace_events::COMMAND,
    info_uuid::COMMAND,
    info_version::COMMAND,
];

/// The command of that name.
pub(crate) fn find(table: &'static [Command], name: &str) -> Option<&'static Command> {
    table.iter().find(|c| c.names.contains(&name))
}

/// The state of the current vCPU.
fn current_cpu(context: &mut Context<'_>) -> Result<CpuState, CommandError> {
    context.control.cpu_state(context.settings.vcpu).ok_or_else(no_such_cpu)
}

fn no_such_cpu() -> CommandError {
    CommandError::Refused("invalid CPU index".into())
}

/// The value of the expression that the rest of the line is.
fn evaluate(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Result<u64, CommandError> {
    text_value(context, arguments.remainder())
}

/// The value of an expression; the first name in one makes symbols be looked for in the guest.
fn text_value(context: &mut Context<'_>, text: &str) -> Result<u64, CommandError> {
    let cpu = current_cpu(context)?;
    if expression::has_name(text) {
        context.services.names.look(context.control.machine());
    }
    expression::evaluate(text, &cpu, context.services.names.loaded().as_deref())
}

/// The value of the next word.
fn word_value(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Result<u64, CommandError> {
    text_value(context, arguments.word().unwrap_or_default())
}

/// What memsave and pmemsave are told: an address, a size, a file.
fn stretch_and_file<'a>(
    context: &mut Context<'_>,
    arguments: &mut Arguments<'a>,
) -> Result<(u64, u64, &'a str), CommandError> {
    let stretch = (word_value(context, arguments)?, word_value(context, arguments)?);
    let file = arguments.string()?;
    arguments.end()?;
    Ok((stretch.0, stretch.1, file))
}

/// Refuses with `message` unless a journal is replayed.
fn require_replay(context: &mut Context<'_>, message: &str) -> Outcome {
    match context.control.mode() {
        Mode::Replay { .. } => Ok(()),
        Mode::Live | Mode::Record { .. } => Err(CommandError::Refused(message.to_owned())),
    }
}

/// Reads as much of `bytes` as is mapped from `address` on; returns how much.
fn readable(context: &mut Context<'_>, vcpu: VcpuId, address: u64, bytes: &mut [u8]) -> usize {
    (0..bytes.len())
        .find(|&i| !context.control.read_virtual(vcpu, address.wrapping_add(i as u64), &mut bytes[i..=i]))
        .unwrap_or(bytes.len())
}
