//! The system calls of a Linux guest as rows, and the processes that made them.

use super::batch::{Batch, Cell};
use super::table::Table;
use crate::linux::syscalls::{Syscall, icount_of_call};
use dejavm_core::boundary::Position;
use dejavm_core::types::Icount;
use std::collections::BTreeMap;

/// A process under one name in one address space.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Known {
    pid: i32,
    comm: String,
    cr3: Option<u64>,
}

/// What is known of it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    first: Position,
    last: Position,
    calls: u64,
}

/// Collects calls.
#[derive(Clone, Debug, Default)]
pub struct LinuxRows {
    calls: Vec<(Icount, Vec<Cell>)>,
    processes: BTreeMap<Known, Seen>,
}

impl LinuxRows {
    /// One call more; `cr3` is the address space of who made it, where it returned.
    pub fn add(&mut self, call: &Syscall, cr3: Option<u64>) {
        let entered = call.entered.map(|at| Position { icount: icount_of_call(at), ..at });
        // One of the two is there.
        let Some(at) = entered.or(call.returned) else { return };
        let last = call.returned.unwrap_or(at);
        self.calls.push((at.icount, row(call, at, entered, cr3)));
        let known = Known { pid: call.tgid, comm: call.comm.clone(), cr3 };
        let seen = self.processes.entry(known).or_insert(Seen { first: at, last, calls: 0 });
        seen.first = seen.first.min(at);
        seen.last = seen.last.max(last);
        seen.calls += 1;
    }

    /// The rows of `syscalls` in the order in which calls were made.
    pub fn syscalls(&mut self) -> Batch {
        let mut batch = Batch::new(Table::Syscalls.schema());
        self.calls.sort_by_key(|(icount, _)| *icount);
        self.calls.iter().for_each(|(_, row)| batch.push(row));
        batch
    }

    /// The rows of `processes` in the order in which they were seen first.
    pub fn processes(&self) -> Batch {
        let mut batch = Batch::new(Table::Processes.schema());
        let mut all: Vec<_> = self.processes.iter().collect();
        all.sort_by_key(|(_, seen)| seen.first);
        for (known, seen) in all {
            batch.push(&[
                seen.first.icount.into(),
                seen.first.now_ns.into(),
                seen.last.icount.into(),
                seen.last.now_ns.into(),
                number(known.pid),
                Cell::Text(known.comm.clone()),
                known.cr3.into(),
                seen.calls.into(),
            ]);
        }
        batch
    }
}

fn number(pid: i32) -> Cell {
    Cell::Number(u64::from(pid as u32))
}

fn row(call: &Syscall, at: Position, entered: Option<Position>, cr3: Option<u64>) -> Vec<Cell> {
    let duration = entered.zip(call.returned).map(|(from, to)| to.now_ns.saturating_sub(from.now_ns));
    let mut row = vec![
        at.icount.into(),
        at.now_ns.into(),
        call.returned.map(|at| at.icount).into(),
        duration.into(),
        Cell::Number(call.vcpu as u64),
        number(call.tgid),
        number(call.pid),
        Cell::Text(call.comm.clone()),
        cr3.into(),
        Cell::Name(call.abi.name()),
        call.number.into(),
        Cell::Text(call.name.clone()),
        Cell::Text(call.decoded.join(", ")),
    ];
    row.extend((0..6).map(|n| Cell::from(call.arguments.get(n).copied())));
    row.push(call.result.map(|result| result as u64).into());
    row.push(call.error().map_or(Cell::Null, Cell::Name));
    row
}
