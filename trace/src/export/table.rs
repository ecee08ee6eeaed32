//! The tables: their columns, the probes that they are made of, and how a record becomes a row.

use super::batch::{Batch, Cell};
use super::schema::{Column, ColumnType, Schema};
use crate::event::{ArgumentType, Value, Values, all, description};
use dejavm_core::boundary::{MemoryAccess, ProbeEvent, ProbeKind, ProbeRecord, ProbeSettings};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Events by name, with their arguments, but for those of the next three tables.
    Events,
    /// Each instruction.
    Instructions,
    /// Each load and store.
    Memory,
    /// Calls and returns.
    Calls,
    /// Interrupts and exceptions.
    Interrupts,
    /// Lines of the serial ports.
    Console,
    /// System calls of a Linux guest.
    Syscalls,
    /// Who made them.
    Processes,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Events,
        Self::Instructions,
        Self::Memory,
        Self::Calls,
        Self::Interrupts,
        Self::Console,
        Self::Syscalls,
        Self::Processes,
    ];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Instructions => "instructions",
            Self::Memory => "memory",
            Self::Calls => "calls",
            Self::Interrupts => "interrupts",
            Self::Console => "console",
            Self::Syscalls => "syscalls",
            Self::Processes => "processes",
        }
    }

    /// What is in it.
    pub fn about(self) -> &'static str {
        match self {
            Self::Events => "every event that `dejavm trace --list` names, but for those of the tables below",
            Self::Instructions => "each instruction, and each iteration of a REP string",
            Self::Memory => "each load and store",
            Self::Calls => "each call and return",
            Self::Interrupts => "each interrupt and exception that is delivered",
            Self::Console => "each line that a serial port or the debug console wrote",
            Self::Syscalls => "each system call of a Linux guest, with its result",
            Self::Processes => "each process of a Linux guest that made a system call, by name",
        }
    }

    /// Whether rows depend on what was before them: then it is made of the whole run at once.
    pub fn is_whole(self) -> bool {
        matches!(self, Self::Console | Self::Syscalls | Self::Processes)
    }

    /// The probes that it is made of; none, if it is made of what a Linux kernel knows.
    pub fn probes(self) -> ProbeSettings {
        match self {
            Self::Events => ProbeSettings::of(ProbeKind::all().filter(|kind| !HAS_A_TABLE.contains(kind))),
            Self::Instructions => ProbeSettings::of([ProbeKind::Instruction]),
            // The instruction tells who makes the access.
            Self::Memory => ProbeSettings::of([ProbeKind::Instruction, ProbeKind::Load, ProbeKind::Store]),
            Self::Calls => ProbeSettings::of([ProbeKind::Call, ProbeKind::Return]),
            Self::Interrupts => {
                ProbeSettings::of([ProbeKind::Exception, ProbeKind::Interrupt, ProbeKind::Nmi])
            }
            Self::Console => ProbeSettings::of([ProbeKind::SerialOut, ProbeKind::DebugConsole]),
            Self::Syscalls | Self::Processes => ProbeSettings::default(),
        }
    }

    /// Its columns.
    pub fn schema(self) -> Arc<Schema> {
        let columns = match self {
            Self::Events => event_columns(&self.probes()),
            Self::Instructions => with_place(vec![Column::new("rip", ColumnType::U64).hex()]),
            Self::Memory => with_place(memory_columns()),
            Self::Calls => with_place(vec![
                Column::new("kind", ColumnType::Text),
                Column::new("target", ColumnType::U64).hex(),
                Column::new("back", ColumnType::U64).nullable().hex(),
                Column::new("rsp", ColumnType::U64).hex(),
            ]),
            Self::Interrupts => with_place(vec![
                Column::new("kind", ColumnType::Text),
                Column::new("vector", ColumnType::U8),
                Column::new("name", ColumnType::Text).nullable(),
                Column::new("error_code", ColumnType::U16).nullable().hex(),
                Column::new("rip", ColumnType::U64).hex(),
                Column::new("address", ColumnType::U64).nullable().hex(),
            ]),
            Self::Console => vec![
                Column::new("icount", ColumnType::U64),
                Column::new("time_ns", ColumnType::U64),
                Column::new("end_icount", ColumnType::U64),
                Column::new("vcpu", ColumnType::U8).nullable(),
                Column::new("port", ColumnType::U8).nullable(),
                Column::new("line", ColumnType::Text),
            ],
            Self::Syscalls => syscall_columns(),
            Self::Processes => vec![
                Column::new("icount", ColumnType::U64),
                Column::new("time_ns", ColumnType::U64),
                Column::new("end_icount", ColumnType::U64),
                Column::new("end_time_ns", ColumnType::U64),
                Column::new("pid", ColumnType::U32),
                Column::new("comm", ColumnType::Text),
                Column::new("cr3", ColumnType::U64).nullable().hex(),
                Column::new("calls", ColumnType::U64),
            ],
        };
        Arc::new(Schema::new(self.name(), columns))
    }
}

/// The events that are so many that they have a table of their own.
const HAS_A_TABLE: [ProbeKind; 6] = [
    ProbeKind::Instruction,
    ProbeKind::Block,
    ProbeKind::Load,
    ProbeKind::Store,
    ProbeKind::Call,
    ProbeKind::Return,
];

/// Where and when a record is, before what it is.
fn with_place(columns: Vec<Column>) -> Vec<Column> {
    let place = [
        Column::new("icount", ColumnType::U64),
        Column::new("time_ns", ColumnType::U64),
        Column::new("vcpu", ColumnType::U8).nullable(),
        Column::new("cpl", ColumnType::U8).nullable(),
        Column::new("cr3", ColumnType::U64).nullable().hex(),
    ];
    place.into_iter().chain(columns).collect()
}

fn memory_columns() -> Vec<Column> {
    vec![
        Column::new("kind", ColumnType::Text),
        Column::new("rip", ColumnType::U64).nullable().hex(),
        Column::new("address", ColumnType::U64).hex(),
        Column::new("physical", ColumnType::U64).hex(),
        Column::new("size", ColumnType::U8),
        Column::new("value", ColumnType::U64).hex(),
        Column::new("value_high", ColumnType::U64).nullable().hex(),
    ]
}

fn syscall_columns() -> Vec<Column> {
    let mut columns = vec![
        Column::new("icount", ColumnType::U64),
        Column::new("time_ns", ColumnType::U64),
        Column::new("end_icount", ColumnType::U64).nullable(),
        Column::new("duration_ns", ColumnType::U64).nullable(),
        Column::new("vcpu", ColumnType::U8),
        Column::new("pid", ColumnType::U32),
        Column::new("tid", ColumnType::U32),
        Column::new("comm", ColumnType::Text),
        Column::new("cr3", ColumnType::U64).nullable().hex(),
        Column::new("abi", ColumnType::Text),
        Column::new("number", ColumnType::U64).nullable(),
        Column::new("name", ColumnType::Text),
        Column::new("arguments", ColumnType::Text),
    ];
    columns.extend((0..6).map(|n| Column::new(&format!("arg{n}"), ColumnType::U64).nullable().hex()));
    columns.push(Column::new("result", ColumnType::I64).nullable());
    columns.push(Column::new("error", ColumnType::Text).nullable());
    columns
}

/// A column per argument that one of the events has.
fn event_columns(probes: &ProbeSettings) -> Vec<Column> {
    let mut columns = vec![Column::new("name", ColumnType::Text)];
    let on = all().iter().filter(|event| probes.on.contains_key(&event.kind));
    for (name, kind) in on.flat_map(|event| event.arguments) {
        let column = argument_column(name, *kind);
        if !columns.iter().any(|known| known.name == column.name) {
            columns.push(column);
        }
    }
    with_place(columns)
}

/// What the column of an argument is called: `cpl` is where an event is, not what it leads to.
fn argument_name(name: &str) -> &str {
    if name == "cpl" { "new_cpl" } else { name }
}

fn argument_column(name: &str, kind: ArgumentType) -> Column {
    let kind = match (kind, name) {
        (ArgumentType::Text, _) => ColumnType::Text,
        (_, "long" | "paging" | "level") => ColumnType::Bool,
        (_, "byte" | "code_bits" | "cpl" | "irq" | "port" | "register" | "size" | "vector") => ColumnType::U8,
        (_, "error_code") => ColumnType::U16,
        (_, "code" | "msr" | "size_bytes") => ColumnType::U32,
        _ => ColumnType::U64,
    };
    let column = Column::new(argument_name(name), kind).nullable();
    let hex = kind == ColumnType::U64 && !matches!(name, "number" | "events") || name == "msr";
    if hex { column.hex() } else { column }
}

/// Makes rows of records.
#[derive(Clone, Debug)]
pub struct TableRows {
    table: Table,
    schema: Arc<Schema>,
    /// Of each kind of event, the columns of its arguments.
    arguments: BTreeMap<ProbeKind, Vec<usize>>,
}

impl TableRows {
    /// Those of a table.
    pub fn of(table: Table) -> Self {
        Self { table, schema: table.schema(), arguments: BTreeMap::new() }.with_arguments(&table.probes())
    }

    /// Those of the events that are on, in a table with a column for each of their arguments.
    pub fn of_events(probes: &ProbeSettings) -> Self {
        let schema = Arc::new(Schema::new("events", event_columns(probes)));
        Self { table: Table::Events, schema, arguments: BTreeMap::new() }.with_arguments(probes)
    }

    fn with_arguments(mut self, probes: &ProbeSettings) -> Self {
        if self.table == Table::Events {
            let column = |(name, _): &(&str, ArgumentType)| self.schema.position(argument_name(name));
            let columns = |kind: &ProbeKind| description(*kind).arguments.iter().filter_map(column).collect();
            self.arguments = probes.on.keys().map(|kind| (*kind, columns(kind))).collect();
        }
        self
    }

    /// The columns.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// What records that follow each other are as rows; all those of one icount are among them.
    pub fn rows(&self, records: &[ProbeRecord]) -> Batch {
        let mut batch = Batch::new(self.schema.clone());
        match self.table {
            Table::Events => self.events(records, &mut batch),
            Table::Instructions => {
                for record in records {
                    if let ProbeEvent::Instruction { address } = record.event {
                        batch.push(&row(record, [address.into()]));
                    }
                }
            }
            Table::Memory => memory(records, &mut batch),
            Table::Calls => records.iter().for_each(|record| call(record, &mut batch)),
            Table::Interrupts => records.iter().for_each(|record| interrupt(record, &mut batch)),
            // Their rows need the whole run: see `ConsoleLines`, `LinuxRows`.
            Table::Console | Table::Syscalls | Table::Processes => {}
        }
        batch
    }

    fn events(&self, records: &[ProbeRecord], batch: &mut Batch) {
        let mut cells = vec![Cell::Null; self.schema.columns.len()];
        for record in records {
            let kind = record.event.kind();
            let Some(columns) = self.arguments.get(&kind) else { continue };
            cells.fill(Cell::Null);
            cells[..PLACE].clone_from_slice(&place(record));
            cells[PLACE] = Cell::Name(&description(kind).name);
            for (column, value) in columns.iter().zip(Values::of(&record.event).iter()) {
                cells[*column] = match value {
                    Value::U64(number) => Cell::Number(*number),
                    Value::Text(text) => Cell::Name(text),
                };
            }
            batch.push(&cells);
        }
    }
}

/// How many columns tell where a record is.
const PLACE: usize = 5;

fn place(record: &ProbeRecord) -> [Cell; PLACE] {
    let of_vcpu = |value: u64| Cell::from(record.vcpu.map(|_| value));
    [
        record.position.icount.into(),
        record.position.now_ns.into(),
        record.vcpu.map(u64::from).into(),
        of_vcpu(record.cpl.into()),
        of_vcpu(record.cr3),
    ]
}

fn row<const N: usize>(record: &ProbeRecord, cells: [Cell; N]) -> Vec<Cell> {
    place(record).into_iter().chain(cells).collect()
}

fn memory(records: &[ProbeRecord], batch: &mut Batch) {
    // What a delivery accesses comes before the instruction of its icount.
    let mut instruction = None;
    for record in records {
        let here = record.position.icount;
        let (kind, access) = match &record.event {
            ProbeEvent::Instruction { address } => {
                instruction = Some((here, *address));
                continue;
            }
            ProbeEvent::Load(access) => ("load", access),
            ProbeEvent::Store(access) => ("store", access),
            _ => continue,
        };
        let rip = instruction.filter(|(icount, _)| *icount == here).map(|(_, address)| address);
        let MemoryAccess { address, physical, size, value, high } = *access;
        let high = (size > 8).then_some(high);
        let [address, physical, value] = [address, physical, value].map(Cell::from);
        let cells = [Cell::Name(kind), rip.into(), address, physical, u64::from(size).into(), value];
        batch.push(&row(record, cells).into_iter().chain([high.into()]).collect::<Vec<_>>());
    }
}

fn call(record: &ProbeRecord, batch: &mut Batch) {
    let (kind, target, back, rsp) = match record.event {
        ProbeEvent::Call { target, back, rsp } => ("call", target, Some(back), rsp),
        ProbeEvent::Return { target, rsp } => ("return", target, None, rsp),
        _ => return,
    };
    batch.push(&row(record, [Cell::Name(kind), target.into(), back.into(), rsp.into()]));
}

fn interrupt(record: &ProbeRecord, batch: &mut Batch) {
    const NMI: u64 = 2;
    const PAGE_FAULT: u8 = 14;
    let (kind, vector, error_code, rip, address) = match record.event {
        ProbeEvent::Exception { vector, error_code, rip, address } => {
            let address = (vector == PAGE_FAULT).then_some(address);
            ("exception", u64::from(vector), error_code.map(u64::from), rip, address)
        }
        ProbeEvent::Interrupt { vector, rip } => ("interrupt", u64::from(vector), None, rip, None),
        ProbeEvent::Nmi { rip } => ("nmi", NMI, None, rip, None),
        _ => return,
    };
    let name = if kind == "interrupt" { Cell::Null } else { exception_name(vector) };
    batch.push(&row(
        record,
        [Cell::Name(kind), vector.into(), name, error_code.into(), rip.into(), address.into()],
    ));
}

/// The mnemonic of an exception (SDM vol. 3, table 6-1).
fn exception_name(vector: u64) -> Cell {
    const NAMES: [&str; 20] = [
        "#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "", "#TS", "#NP", "#SS", "#GP", "#PF",
        "", "#MF", "#AC", "#MC", "#XM",
    ];
    match NAMES.get(vector as usize) {
        Some(name) if !name.is_empty() => Cell::Name(name),
        _ => Cell::Null,
    }
}
