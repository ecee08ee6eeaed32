//! `log`: activate logging of the specified items.

use super::super::Context;
use super::super::arguments::Arguments;
use super::{Command, CommandError, Outcome};

pub(crate) const COMMAND: Command = Command {
    names: &["log"],
    parameters: "item1[,...]",
    about: "activate logging of the specified items (int, exec, trace:PATTERN ..., or what the program logs \
            about itself: off, error, warn, info, debug, trace, or per module as in 'info,dejavm_core=debug')",
    run,
};

/// QEMU's items that there are trace events for: the item, the events, what they are.
const ITEMS: &[(&str, &[&str], &str)] = &[
    ("int", &["cpu_exception", "cpu_interrupt", "cpu_nmi"], "interrupts and exceptions"),
    ("exec", &["cpu_block"], "each block of code that is run (a lot)"),
    ("mmu", &["cpu_page_table_switch"], "changes of the page tables"),
    ("pcall", &["cpu_mode_switch", "cpu_interrupt_return"], "changes of mode, returns from interrupts"),
    ("cpu_reset", &["machine_reset"], "resets"),
    ("strace", &["cpu_syscall*"], "system calls, and their results"),
];

/// QEMU's other items: what to do instead.
const NOT_HERE: &[(&[&str], &str)] = &[
    (&["in_asm"], "`log trace:cpu_instruction` tells each instruction, `x/10i $rip` shows code"),
    (&["out_asm"], "host code is not shown as text; `info jit` tells how much of it there is"),
    (&["op", "op_opt", "op_ind", "op_plugin"], "the translator has no code in between"),
    (&["cpu", "fpu", "vpu"], "a replay can stop at any instruction, where `info registers -a` shows them"),
    (&["unimp"], "`info opcount` lists the instructions that the virtual CPU lacks"),
    (&["guest_errors", "invalid_mem"], "`log trace:mmio_*` tells each access where there is no RAM"),
    (&["nochain"], "`log exec` tells each block, whether or not the translator links it to others"),
    (&["page"], "that is for programs without a machine"),
    (&["plugin"], "there are no plugins; trace events tell what happens"),
    (&["tid"], "a run has one log"),
];

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

fn run(context: &mut Context<'_>, arguments: &mut Arguments<'_>) -> Outcome {
    let given = arguments.string()?;
    arguments.end()?;
    let (mut events, mut patterns, mut filter) = (Vec::new(), Vec::new(), Vec::new());
    for item in given.split(',') {
        if item == "trace:help" {
            let list = context.services.trace.list(None).map_err(|e| CommandError::Refused(e.to_string()))?;
            list.iter().for_each(|(name, _)| context.out.push_str(&format!("{name}\n")));
            return Ok(());
        }
        match ITEMS.iter().find(|(name, ..)| *name == item) {
            Some((_, of_item, _)) => events.extend(*of_item),
            None if item.starts_with("trace:") => patterns.push(&item["trace:".len()..]),
            None if item == "none" => filter.push("off"),
            None if LEVELS.contains(&item) || item.contains('=') => filter.push(item),
            None => return Err(CommandError::Refused(not_here(item).unwrap_or_else(items_text))),
        }
    }
    if !filter.is_empty() {
        context.services.log.set_filter(&filter.join(",")).map_err(CommandError::Usage)?;
    }
    let trace = &context.services.trace;
    let unknown = |e: dejavm_trace::event::UnknownEvent| CommandError::Refused(e.to_string());
    patterns.iter().try_for_each(|pattern| trace.set(pattern, true)).map_err(unknown)?;
    // Items take the place of those given before; events that were switched on one by one stay on.
    let mut logged = context.services.logged_events.borrow_mut();
    for pattern in logged.drain(..) {
        trace.set(pattern, false).map_err(unknown)?;
    }
    for pattern in events {
        trace.set(pattern, true).map_err(unknown)?;
        logged.push(pattern);
    }
    Ok(())
}

/// Why an item of QEMU's is not here.
fn not_here(item: &str) -> Option<String> {
    let (_, instead) = NOT_HERE.iter().find(|(names, _)| names.contains(&item))?;
    Some(format!("log item '{item}' is not here: {instead}"))
}

/// The names of what can be logged.
pub(in crate::hmp) fn items() -> impl Iterator<Item = String> {
    let items = ITEMS.iter().map(|(name, ..)| *name).chain(LEVELS).chain(["none", "trace:help"]);
    items.map(str::to_owned)
}

/// What can be logged, a line each.
fn items_text() -> String {
    let mut text = String::from("Log items (comma separated):\n");
    let mut row = |name: &str, about: &str| text.push_str(&format!("{name:<15} {about}\n"));
    row("none", "remove all logs");
    ITEMS.iter().for_each(|(name, _, about)| row(name, about));
    row("trace:PATTERN", "enable trace events");
    row(&LEVELS[..3].join(" "), "what the program logs about itself, from this level on");
    row(&LEVELS[3..].join(" "), "");
    row("MODULE=LEVEL", "the same, of one module");
    text.push_str("\nUse \"log trace:help\" to get a list of trace events.\n");
    text
}
