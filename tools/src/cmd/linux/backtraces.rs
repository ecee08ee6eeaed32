//! `dejavm bt`: who called whom.

use super::{at_place, failure, hex, print_json};
use crate::args::BtArgs;
use crate::cmd::machine::read;
use crate::error::Failure;
use crate::exit::Exit;
use crate::say;
use dejavm_core::machine::Machine;
use dejavm_trace::linux::{Backtrace, Frame, Kernel, LinuxError, Symbols, View};
use serde::Serialize;

#[derive(Serialize)]
struct TraceRow<'a> {
    pid: Option<i32>,
    comm: Option<&'a str>,
    vcpu: Option<usize>,
    frames: Vec<FrameRow>,
    /// Why it ends, if not where the stack does.
    broken: Option<&'a str>,
}

#[derive(Serialize)]
struct FrameRow {
    address: String,
    stack_pointer: String,
    symbol: Option<String>,
    /// registers, orc, frame_pointer or guess.
    found_by: &'static str,
    kernel: bool,
    /// The frame was interrupted: the saved ORIG_RAX.
    interrupted: Option<i64>,
}

/// Does it.
pub fn execute(args: &BtArgs) -> Result<Exit, Failure> {
    let user = args.user_symbols.as_deref().map(|path| {
        let symbols = Symbols::from_file(&read(path)?);
        symbols.map_err(|e| Failure::new(format!("{}: {e}", path.display())))
    });
    let names = Names { kernel: Symbols::default(), user: user.transpose()? };
    at_place(&args.place, |machine| show(args, machine, names))
}

/// The symbols of both worlds.
struct Names {
    kernel: Symbols,
    user: Option<Symbols>,
}

impl Names {
    fn of(&self, view: &View<'_>, frame: &Frame) -> Option<String> {
        if frame.is_kernel() {
            return view.name_of(frame, &self.kernel);
        }
        self.user.as_ref()?.describe_within(frame.ip, frame.lookup_address())
    }
}

fn show(args: &BtArgs, machine: &Machine, mut names: Names) -> Result<(), Failure> {
    let kernel = Kernel::of_guest(machine).map_err(|e| failure(&e))?;
    let view = kernel.at(machine);
    names.kernel = view.symbols().unwrap_or_else(|_| kernel.symbols().clone());
    let traces = traces(args, &view, machine).map_err(|e| failure(&e))?;
    if args.place.json {
        let rows: Vec<TraceRow<'_>> = traces.iter().map(|trace| row(&view, trace, &names)).collect();
        return print_json(&rows);
    }
    for (n, trace) in traces.iter().enumerate() {
        if n > 0 {
            say!();
        }
        crate::output::print(format_args!("{}", view.backtrace_text(trace, &|frame| names.of(&view, frame))));
    }
    Ok(())
}

fn traces(args: &BtArgs, view: &View<'_>, machine: &Machine) -> Result<Vec<Backtrace>, LinuxError> {
    if args.all {
        return view.tasks()?.iter().map(|task| view.backtrace_of_task(task)).collect();
    }
    let trace = match args.pid {
        Some(pid) => view.backtrace_of_task(&view.task(pid)?),
        None => view.backtrace_of_vcpu(args.vcpu.unwrap_or(machine.current_vcpu())),
    };
    trace.map(|trace| vec![trace])
}

fn row<'a>(view: &View<'_>, trace: &'a Backtrace, names: &Names) -> TraceRow<'a> {
    let frame = |frame: &Frame| FrameRow {
        address: hex(frame.ip),
        stack_pointer: hex(frame.sp),
        symbol: names.of(view, frame),
        found_by: frame.how.name(),
        kernel: frame.is_kernel(),
        interrupted: frame.entry.map(|entry| entry.orig_ax),
    };
    let task = trace.task.as_ref();
    TraceRow {
        pid: task.map(|task| task.pid),
        comm: task.map(|task| task.comm.as_str()),
        vcpu: task.and_then(|task| task.vcpu),
        frames: trace.frames.iter().map(frame).collect(),
        broken: trace.broken.as_deref(),
    }
}
