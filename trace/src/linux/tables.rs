//! What is known of a guest as tables of text.

use super::kernel::View;
use super::modules::Module;
use super::tasks::Task;
use std::fmt::Write as _;

impl View<'_> {
    /// Tasks, one on a line, below a line of titles; `threads`: with the numbers of threads.
    pub fn task_table(&self, tasks: &[Task], threads: bool) -> String {
        let title = if threads { "   TID " } else { "" };
        let mut text = format!("  PID {title} PPID   UID S VCPU         CR3 COMMAND\n");
        for task in tasks {
            let command = match self.command_line(task) {
                Some(words) if task.is_leader() => words.join(" "),
                _ if task.kernel_thread => format!("[{}]", task.comm),
                _ => task.comm.clone(),
            };
            let thread = if threads { format!("{:>6} ", task.pid) } else { String::new() };
            let vcpu = task.vcpu.map_or_else(|| "-".to_owned(), |vcpu| vcpu.to_string());
            let table = task.page_table.map_or_else(|| "-".to_owned(), |table| format!("{table:#x}"));
            let Task { tgid, ppid, uid, state, .. } = task;
            let letter = state.letter();
            let _ = writeln!(
                text,
                "{tgid:>5} {thread}{ppid:>5} {uid:>5} {letter} {vcpu:>4} {table:>11} {command}"
            );
        }
        text
    }
}

/// Modules, one on a line, below a line of titles.
pub fn module_table(modules: &[Module]) -> String {
    let mut text = "ADDRESS                SIZE NAME\n".to_owned();
    for module in modules {
        let _ = writeln!(text, "{:#018x} {:>8} {}", module.base(), module.size(), module.name);
    }
    text
}
