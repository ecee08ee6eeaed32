//! The body of a chunk of records: shapes, and a column for each argument of each event.

use super::TraceFileError;
use super::column::{ColumnReader, ColumnWriter};
use super::schema::{FileEvent, codings};
use super::varint::{self, Input};
use crate::event::{MOST_ARGUMENTS, all, pack, unpack};
use dejavm_core::boundary::{Position, ProbeKind, ProbeRecord};

/// The most records of a chunk.
pub const MOST_RECORDS: usize = 1 << 20;

/// The byte that says that a definition follows.
const DEFINED: u8 = 0;
/// Shapes with numbers that are looked up by them.
const NUMBERED: usize = 255;

/// What most records have in common with others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shape {
    event: u16,
    vcpu: u16,
    cpl: u8,
    icount: u64,
    idle_ns: u64,
    cr3: u64,
}

impl Shape {
    #[inline(always)]
    fn slot(&self) -> usize {
        let origin = u64::from(self.vcpu) << 17 ^ u64::from(self.cpl) << 15 ^ self.cr3 << 11;
        let mixed = u64::from(self.event) ^ self.icount << 7 ^ self.idle_ns << 23 ^ origin;
        (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54) as usize
    }
}

/// The shapes of a chunk that is written.
struct ShapeWriter {
    /// By [`Shape::slot`], with their numbers.
    known: Vec<(Shape, u8)>,
    numbered: usize,
    bytes: Vec<u8>,
    definitions: Vec<u8>,
}

impl ShapeWriter {
    fn new(count: usize) -> Self {
        Self {
            known: vec![(Shape::default(), DEFINED); 1 << 10],
            numbered: 0,
            bytes: Vec::with_capacity(count),
            definitions: Vec::new(),
        }
    }

    #[inline(always)]
    fn put(&mut self, shape: Shape) {
        let (known, number) = self.known[shape.slot()];
        if number != DEFINED && known == shape {
            self.bytes.push(number);
        } else {
            self.define(shape);
        }
    }

    #[cold]
    fn define(&mut self, shape: Shape) {
        self.bytes.push(DEFINED);
        if self.numbered < NUMBERED {
            self.numbered += 1;
            self.known[shape.slot()] = (shape, self.numbered as u8);
        }
        varint::put(&mut self.definitions, shape.event.into());
        varint::put(&mut self.definitions, shape.icount);
        varint::put_signed(&mut self.definitions, shape.idle_ns);
        varint::put(&mut self.definitions, shape.vcpu.into());
        varint::put(&mut self.definitions, shape.cpl.into());
        varint::put(&mut self.definitions, shape.cr3);
    }
}

/// The body of a chunk with these records.
pub fn encode(records: &[ProbeRecord]) -> Vec<u8> {
    let mut counts = [0usize; ProbeKind::COUNT];
    for record in records {
        counts[record.event.kind().index()] += 1;
    }
    let columns_of = |(kind, count): (ProbeKind, usize)| -> Vec<ColumnWriter> {
        let arguments = if count == 0 { 0 } else { all()[kind.index()].arguments.len() };
        codings(kind)[..arguments].iter().map(|&coding| ColumnWriter::new(coding, count)).collect()
    };
    let mut columns: Vec<Vec<ColumnWriter>> = ProbeKind::all().zip(counts).map(columns_of).collect();
    let mut shapes = ShapeWriter::new(records.len());
    let start = records.first().map_or(Position::default(), |record| record.position);
    let mut before = start;
    let mut numbers = [0; MOST_ARGUMENTS];
    for record in records {
        let event = record.event.kind().index();
        let icount = record.position.icount.wrapping_sub(before.icount);
        let ns = record.position.now_ns.wrapping_sub(before.now_ns);
        let vcpu = record.vcpu.map_or(0, |id| 1 + u16::from(id));
        let (cpl, cr3) = (record.cpl, record.cr3);
        shapes.put(Shape { event: event as u16, vcpu, cpl, icount, idle_ns: ns.wrapping_sub(icount), cr3 });
        before = record.position;
        let count = pack(&record.event, &mut numbers);
        for (k, column) in columns[event].iter_mut().enumerate() {
            column.put(k, &numbers[..count]);
        }
    }
    let mut out = Vec::with_capacity(shapes.bytes.len() + 1024);
    varint::put(&mut out, start.now_ns);
    varint::put_section(&mut out, &shapes.bytes);
    varint::put_section(&mut out, &shapes.definitions);
    for (event, columns) in columns.into_iter().enumerate() {
        if counts[event] != 0 {
            varint::put(&mut out, event as u64);
            columns.into_iter().for_each(|column| varint::put_section(&mut out, &column.finish()));
        }
    }
    out
}

fn definition(input: &mut Input<'_>, events: usize) -> Result<Shape, TraceFileError> {
    let event = input.number()?;
    if event >= events as u64 {
        return Err(TraceFileError::Malformed("an event that the schema has not"));
    }
    let (icount, idle_ns) = (input.number()?, input.signed()?);
    let (vcpu, cpl) = (input.at_most(256)? as u16, input.at_most(3)? as u8);
    Ok(Shape { event: event as u16, vcpu, cpl, icount, idle_ns, cr3: input.number()? })
}

/// The shape of each record.
fn shapes(bytes: Input<'_>, mut input: Input<'_>, events: usize) -> Result<Vec<Shape>, TraceFileError> {
    let mut numbered: Vec<Shape> = Vec::new();
    let mut shapes = Vec::with_capacity(bytes.0.len());
    for &byte in bytes.0 {
        let shape = match byte {
            DEFINED => {
                let shape = definition(&mut input, events)?;
                if numbered.len() < NUMBERED {
                    numbered.push(shape);
                }
                shape
            }
            number => *numbered
                .get(usize::from(number) - 1)
                .ok_or(TraceFileError::Malformed("a shape that is not defined"))?,
        };
        shapes.push(shape);
    }
    match input.is_empty() {
        true => Ok(shapes),
        false => Err(TraceFileError::Malformed("definitions that nothing uses")),
    }
}

struct EventReader<'a> {
    kind: ProbeKind,
    columns: Vec<ColumnReader<'a>>,
}

/// The columns of the events that occur.
fn columns<'a>(
    input: &mut Input<'a>,
    counts: &[usize],
    events: &[FileEvent],
) -> Result<Vec<Option<EventReader<'a>>>, TraceFileError> {
    let mut readers: Vec<Option<EventReader<'a>>> = Vec::new();
    for (number, (&count, event)) in counts.iter().zip(events).enumerate() {
        if count == 0 {
            readers.push(None);
            continue;
        }
        if input.number()? != number as u64 {
            return Err(TraceFileError::Malformed("columns of other events than the shapes have"));
        }
        let kind = event.kind.ok_or_else(|| TraceFileError::UnknownEvent(event.name.clone()))?;
        let arguments = event.arguments.iter();
        let columns = arguments
            .map(|argument| ColumnReader::new(argument.coding, count, input.section()?))
            .collect::<Result<_, _>>()?;
        readers.push(Some(EventReader { kind, columns }));
    }
    match input.is_empty() {
        true => Ok(readers),
        false => Err(TraceFileError::Malformed("more than the columns")),
    }
}

/// The records of a chunk.
///
/// # Errors
/// If the body breaks the rules of the format, or has an event that is not known here.
pub fn decode(
    body: &[u8],
    first_icount: u64,
    expected: usize,
    events: &[FileEvent],
) -> Result<Vec<ProbeRecord>, TraceFileError> {
    let mut input = Input(body);
    let mut position = Position { icount: first_icount, now_ns: input.number()? };
    let bytes = input.section()?;
    if bytes.0.len() != expected {
        return Err(TraceFileError::Malformed("another number of records than the chunk's header says"));
    }
    let shapes = shapes(bytes, input.section()?, events.len())?;
    let mut counts = vec![0; events.len()];
    shapes.iter().for_each(|shape| counts[shape.event as usize] += 1);
    let mut readers = columns(&mut input, &counts, events)?;
    let mut records = Vec::with_capacity(shapes.len());
    let mut numbers = [0; 16];
    for shape in shapes {
        let Some(reader) = &mut readers[shape.event as usize] else { continue };
        position.icount = position
            .icount
            .checked_add(shape.icount)
            .ok_or(TraceFileError::Malformed("an icount of more than 64 bits"))?;
        position.now_ns = position.now_ns.wrapping_add(shape.icount).wrapping_add(shape.idle_ns);
        let count = reader.columns.len();
        for (k, column) in reader.columns.iter_mut().enumerate() {
            numbers[k] = column.next(&numbers[..count])?;
        }
        let event = unpack(reader.kind, &numbers[..count])
            .ok_or(TraceFileError::Malformed("an argument that its event cannot have"))?;
        let vcpu = shape.vcpu.checked_sub(1).map(|id| id as u8);
        records.push(ProbeRecord { position, vcpu, cpl: shape.cpl, cr3: shape.cr3, event });
    }
    for reader in readers.into_iter().flatten() {
        reader.columns.into_iter().try_for_each(ColumnReader::finish)?;
    }
    Ok(records)
}
