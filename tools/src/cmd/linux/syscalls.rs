//! `dejavm syscalls`: an strace of a whole guest, afterwards.

use super::follow::{Followed, follow};
use super::{ended, failure};
use crate::args::SyscallsArgs;
use crate::cmd::machine::accel;
use crate::cmd::verify::open_to_follow;
use crate::error::Failure;
use crate::exit::Exit;
use crate::say;
use dejavm_core::types::Icount;
use dejavm_trace::filter::glob_matches;
use dejavm_trace::linux::syscalls::{Syscall, icount_of_call, is_syscall};
use serde::Serialize;

/// A call as JSON has it.
#[derive(Serialize)]
struct Row<'a> {
    /// Of the instruction that made the call.
    icount: Option<Icount>,
    ns: Option<u64>,
    /// Where the kernel is about to return.
    return_icount: Option<Icount>,
    return_ns: Option<u64>,
    vcpu: usize,
    pid: i32,
    tid: i32,
    comm: &'a str,
    abi: &'static str,
    number: Option<u64>,
    name: &'a str,
    arguments: &'a [String],
    result: Option<i64>,
    error: Option<&'static str>,
    text: String,
}

/// Does it.
pub fn execute(args: &SyscallsArgs) -> Result<Exit, Failure> {
    for name in args.name.iter().filter(|name| !name.contains(['*', '?'])) {
        if !is_syscall(name) {
            return Err(Failure::new(format!("there is no system call '{name}'"))
                .advice("a pattern with * and ? names several, as in -e 'open*'"));
        }
    }
    let mut session = open_to_follow(&args.journal, &args.images, accel(args.accel))?;
    let from = args.from.unwrap_or(session.first().icount);
    let to = args.to.unwrap_or(Icount::MAX);
    if from >= to {
        return Err(Failure::new(format!("nothing lies between icount {from} and {to}")));
    }
    let mut failed = None;
    let followed = follow(&mut session, from, to, &mut |call, _, _| {
        if wanted(args, &call) {
            failed = print(args, &call).err();
        }
        failed.is_none()
    });
    match (followed, failed) {
        (Err(error), _) => ended(&args.journal, error),
        (_, Some(failure)) => Err(failure),
        (Ok(Followed::NoKernel(error)), None) => Err(failure(&error)),
        (Ok(Followed::Done | Followed::Stopped), None) => Ok(Exit::Success),
    }
}

fn wanted(args: &SyscallsArgs, call: &Syscall) -> bool {
    let any = |patterns: &[String], text: &str| {
        patterns.is_empty() || patterns.iter().any(|pattern| glob_matches(pattern, text))
    };
    (args.pid.is_empty() || args.pid.contains(&call.pid) || args.pid.contains(&call.tgid))
        && any(&args.comm, &call.comm)
        && any(&args.name, &call.name)
        && (!args.failed || call.error().is_some())
}

fn print(args: &SyscallsArgs, call: &Syscall) -> Result<(), Failure> {
    let icount = call.entered.map(icount_of_call);
    if !args.json {
        let Syscall { pid, comm, .. } = call;
        say!("{:>12} {pid:>5} {comm:<15} {call}", icount.unwrap_or(0));
        return Ok(());
    }
    let row = Row {
        icount,
        ns: call.entered.map(|at| at.now_ns),
        return_icount: call.returned.map(|at| at.icount),
        return_ns: call.returned.map(|at| at.now_ns),
        vcpu: call.vcpu,
        pid: call.tgid,
        tid: call.pid,
        comm: &call.comm,
        abi: call.abi.name(),
        number: call.number,
        name: &call.name,
        arguments: &call.decoded,
        result: call.result,
        error: call.error(),
        text: call.to_string(),
    };
    let text = serde_json::to_string(&row).map_err(|e| Failure::new(e.to_string()))?;
    say!("{text}");
    Ok(())
}
