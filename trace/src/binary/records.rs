//! The body of a chunk of records: shapes, and a column for each argument of each event.

use super::TraceFileError;
use super::column::{ColumnReader, ColumnWriter};
use super::schema::{FileEvent, codings};
use super::varint::{self, Input};
use crate::event::{Description, MOST_ARGUMENTS, all, pack, unpack};
use dejavm_core::boundary::{Position, ProbeEvent, ProbeKind, ProbeRecord};

/// The most records of a chunk.
pub const MOST_RECORDS: usize = 1 << 20;

/// The byte that says that a definition follows.
const DEFINED: u8 = 0;
/// Shapes with numbers that are looked up by them.
const NUMBERED: usize = 255;

/// Steps of the icount that are looked up first are below this.
const QUICK: usize = 32;

/// vCPU, privilege level and CR3 of a shape.
type ShapeOrigin = (u16, u8, u64);

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
    /// Which events there are.
    seen: [bool; ProbeKind::COUNT],
    /// The numbers of shapes of the origin that came last, if no time passes but that of instructions: by
    /// event and step of the icount.
    quick: Box<[[u8; QUICK]; ProbeKind::COUNT]>,
    origin: ShapeOrigin,
}

impl ShapeWriter {
    fn new() -> Self {
        let known = vec![(Shape::default(), DEFINED); 1 << 10];
        Self {
            known,
            numbered: 0,
            bytes: Vec::new(),
            definitions: Vec::new(),
            seen: [false; ProbeKind::COUNT],
            quick: Box::new([[DEFINED; QUICK]; ProbeKind::COUNT]),
            origin: (0, 0, 0),
        }
    }

    fn clear(&mut self) {
        self.known.fill((Shape::default(), DEFINED));
        self.numbered = 0;
        self.bytes.clear();
        self.definitions.clear();
        self.seen.fill(false);
        self.quick.fill([DEFINED; QUICK]);
    }

    #[inline(always)]
    fn put(&mut self, shape: Shape) {
        let origin = (shape.vcpu, shape.cpl, shape.cr3);
        if shape.icount < QUICK as u64 && shape.idle_ns == 0 && self.origin == origin {
            let number = self.quick[usize::from(shape.event)][shape.icount as usize];
            if number != DEFINED {
                return self.bytes.push(number);
            }
        }
        self.look_up(shape, origin);
    }

    #[inline(never)]
    fn look_up(&mut self, shape: Shape, origin: ShapeOrigin) {
        self.find(shape);
        if shape.icount < QUICK as u64 && shape.idle_ns == 0 {
            if std::mem::replace(&mut self.origin, origin) != origin {
                self.quick.fill([DEFINED; QUICK]);
            }
            let (known, number) = self.known[shape.slot()];
            if known == shape {
                self.quick[usize::from(shape.event)][shape.icount as usize] = number;
            }
        }
    }

    fn find(&mut self, shape: Shape) {
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
        self.seen[usize::from(shape.event)] = true;
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

/// The arguments of the records of an event: a column for each. One that is empty is of zeros.
type Columns = Vec<Vec<u64>>;

/// The body of a chunk under construction.
pub struct Body {
    shapes: ShapeWriter,
    events: Vec<Columns>,
    writer: ColumnWriter,
    start: Position,
    last: Position,
}

impl Default for Body {
    fn default() -> Self {
        let columns = |event: &Description| vec![Vec::new(); event.arguments.len()];
        Self {
            shapes: ShapeWriter::new(),
            events: all().iter().map(columns).collect(),
            writer: ColumnWriter::default(),
            start: Position::default(),
            last: Position::default(),
        }
    }
}

impl Body {
    /// How many records it has.
    pub fn count(&self) -> usize {
        self.shapes.bytes.len()
    }

    /// The icounts of the first and the last record.
    pub fn icounts(&self) -> (u64, u64) {
        (self.start.icount, self.last.icount)
    }

    /// More records.
    pub fn add(&mut self, records: &[ProbeRecord]) {
        if let Some(first) = records.first().filter(|_| self.count() == 0) {
            (self.start, self.last) = (first.position, first.position);
        }
        records.iter().for_each(|record| self.add_one(record));
    }

    #[inline(always)]
    fn add_one(&mut self, record: &ProbeRecord) {
        let event = record.event.kind().index();
        let icount = record.position.icount.wrapping_sub(self.last.icount);
        let ns = record.position.now_ns.wrapping_sub(self.last.now_ns);
        let vcpu = record.vcpu.map_or(0, |id| 1 + u16::from(id));
        let (cpl, cr3) = (record.cpl, record.cr3);
        self.shapes.put(Shape {
            event: event as u16,
            vcpu,
            cpl,
            icount,
            idle_ns: ns.wrapping_sub(icount),
            cr3,
        });
        self.last = record.position;
        let columns = &mut self.events[event];
        match (&record.event, &mut columns[..]) {
            (ProbeEvent::Instruction { address: at } | ProbeEvent::Block { address: at }, [address]) => {
                return address.push(*at);
            }
            (ProbeEvent::Load(a) | ProbeEvent::Store(a), [address, physical, size, value, high]) => {
                address.push(a.address);
                physical.push(a.physical);
                size.push(a.size.into());
                value.push(a.value);
                // Nearly all are 0: while all are, there is none.
                if a.high != 0 || !high.is_empty() {
                    high.resize(address.len() - 1, 0);
                    high.push(a.high);
                }
                return;
            }
            _ => {}
        }
        let mut numbers = [0; MOST_ARGUMENTS];
        let count = pack(&record.event, &mut numbers);
        columns.iter_mut().zip(&numbers[..count]).for_each(|(column, number)| column.push(*number));
    }

    /// What is stored. There are no records then.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut out = Vec::with_capacity(2 * self.count() + 1024);
        varint::put(&mut out, self.start.now_ns);
        varint::put_section(&mut out, &self.shapes.bytes);
        varint::put_section(&mut out, &self.shapes.definitions);
        for (event, columns) in all().iter().zip(&mut self.events) {
            if !self.shapes.seen[event.kind.index()] {
                continue;
            }
            varint::put(&mut out, event.kind.index() as u64);
            for (k, &coding) in codings(event.kind)[..columns.len()].iter().enumerate() {
                varint::put_section(&mut out, self.writer.encode(coding, k, columns));
            }
            columns.iter_mut().for_each(Vec::clear);
        }
        self.shapes.clear();
        out
    }
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
