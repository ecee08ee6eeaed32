//! `dejavm ps`: the processes of a Linux guest.

use super::{at_place, failure, hex, print_json};
use crate::args::PsArgs;
use crate::error::Failure;
use crate::exit::Exit;
use dejavm_core::machine::Machine;
use dejavm_trace::linux::{Kernel, Task, View};
use serde::Serialize;

/// A task as JSON has it.
#[derive(Serialize)]
struct Row<'a> {
    pid: i32,
    tid: i32,
    ppid: i32,
    uid: u32,
    euid: u32,
    state: char,
    comm: &'a str,
    kernel_thread: bool,
    /// On which vCPU it is the current task.
    vcpu: Option<usize>,
    /// The CPU, as Linux counts them, on which it was last.
    cpu: Option<u32>,
    /// The address of its `task_struct`.
    task: String,
    /// As CR3 has it.
    page_table: Option<String>,
    command_line: Option<Vec<String>>,
}

/// Does it.
pub fn execute(args: &PsArgs) -> Result<Exit, Failure> {
    at_place(&args.place, |machine| list(args, machine))
}

fn list(args: &PsArgs, machine: &Machine) -> Result<(), Failure> {
    let kernel = Kernel::of_guest(machine).map_err(|e| failure(&e))?;
    let view = kernel.at(machine);
    let tasks = if args.threads { view.tasks() } else { view.processes() };
    let tasks = tasks.map_err(|e| failure(&e))?;
    if args.place.json {
        let rows: Vec<Row<'_>> = tasks.iter().map(|task| row(&view, task)).collect();
        return print_json(&rows);
    }
    crate::output::print(format_args!("{}", view.task_table(&tasks, args.threads)));
    Ok(())
}

fn row<'a>(view: &View<'_>, task: &'a Task) -> Row<'a> {
    Row {
        pid: task.tgid,
        tid: task.pid,
        ppid: task.ppid,
        uid: task.uid,
        euid: task.euid,
        state: task.state.letter(),
        comm: &task.comm,
        kernel_thread: task.kernel_thread,
        vcpu: task.vcpu,
        cpu: task.cpu,
        task: hex(task.address),
        page_table: task.page_table.map(hex),
        command_line: view.command_line(task),
    }
}
