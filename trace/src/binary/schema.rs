//! What a trace says of its events, so that it can be read without this program, and by later
//! versions of it.

use super::TraceFileError;
use super::varint::{self, Input};
use crate::event::{ArgumentType, Description, all, words};
use dejavm_core::boundary::ProbeKind;
use std::sync::OnceLock;

const MOST_EVENTS: u64 = 4096;
const MOST_ARGUMENTS: u64 = 16;
const MOST_WORDS: u64 = 4096;

/// How the values of an argument are stored; see `FORMAT.md`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coding {
    /// 0, or 1 + the argument that is subtracted.
    pub minus: u8,
    /// 0, or 1 + the argument by which the value is predicted.
    pub context: u8,
    /// That many low bits of it do not count.
    pub shift: u8,
}

/// An argument in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileArgument {
    /// Its name.
    pub name: String,
    /// Its values, if it is no number.
    pub words: Vec<String>,
    /// How it is stored.
    pub coding: Coding,
}

/// An event in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEvent {
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub arguments: Vec<FileArgument>,
    /// What it is here; None: this dejavm knows no such event.
    pub kind: Option<ProbeKind>,
}

/// The codings of an event's arguments.
pub fn codings(kind: ProbeKind) -> &'static [Coding] {
    const PLAIN: Coding = Coding { minus: 0, context: 0, shift: 0 };
    const BY_FIRST: Coding = Coding { minus: 0, context: 1, shift: 0 };
    // Physical pages follow from linear ones, and much that is read was read or written there before.
    const MEMORY: [Coding; 5] =
        [PLAIN, Coding { minus: 1, context: 1, shift: 12 }, BY_FIRST, BY_FIRST, BY_FIRST];
    const ONE: [Coding; 8] = [PLAIN; 8];
    const IO: [Coding; 3] = [PLAIN, BY_FIRST, BY_FIRST];
    const CALL: [Coding; 3] = [PLAIN, PLAIN, PLAIN];
    match kind {
        ProbeKind::Load | ProbeKind::Store => &MEMORY,
        ProbeKind::MmioRead
        | ProbeKind::MmioWrite
        | ProbeKind::PortRead
        | ProbeKind::PortWrite
        | ProbeKind::ChipRead(_)
        | ProbeKind::ChipWrite(_) => &IO,
        ProbeKind::Call => &CALL,
        _ => &ONE,
    }
}

/// The events of this dejavm, as a file has them.
pub fn own() -> &'static [FileEvent] {
    static OWN: OnceLock<Vec<FileEvent>> = OnceLock::new();
    OWN.get_or_init(|| decode(&encode()).expect("what was just encoded"))
}

/// The events of this dejavm as the body of a schema chunk.
pub fn encode() -> Vec<u8> {
    let mut out = Vec::new();
    varint::put(&mut out, all().len() as u64);
    for event in all() {
        varint::put_text(&mut out, &event.name);
        varint::put(&mut out, event.arguments.len() as u64);
        for ((name, kind), coding) in event.arguments.iter().zip(codings(event.kind)) {
            varint::put_text(&mut out, name);
            let words = words_of(event, *kind);
            varint::put(&mut out, words.len() as u64);
            words.iter().for_each(|word| varint::put_text(&mut out, word));
            for number in [coding.minus, coding.context, coding.shift] {
                varint::put(&mut out, number.into());
            }
        }
    }
    out
}

fn words_of(event: &Description, kind: ArgumentType) -> Vec<&'static str> {
    match kind {
        ArgumentType::U64 => Vec::new(),
        ArgumentType::Text => words(event.kind),
    }
}

/// The events of a file.
pub fn decode(body: &[u8]) -> Result<Vec<FileEvent>, TraceFileError> {
    let mut input = Input(body);
    let count = input.at_most(MOST_EVENTS)?;
    let mut events = Vec::new();
    for _ in 0..count {
        events.push(event(&mut input)?);
    }
    match input.is_empty() {
        true => Ok(events),
        false => Err(TraceFileError::Malformed("more than a schema")),
    }
}

fn event(input: &mut Input<'_>) -> Result<FileEvent, TraceFileError> {
    let name = input.text()?;
    let count = input.at_most(MOST_ARGUMENTS)?;
    let mut arguments = Vec::new();
    for before in 0..count as u64 {
        let name = input.text()?;
        let words = (0..input.at_most(MOST_WORDS)?).map(|_| input.text()).collect::<Result<_, _>>()?;
        let coding = Coding {
            minus: input.at_most(before)? as u8,
            context: input.at_most(before)? as u8,
            shift: input.at_most(63)? as u8,
        };
        arguments.push(FileArgument { name, words, coding });
    }
    let kind = all().iter().find(|known| is_same(known, &name, &arguments)).map(|known| known.kind);
    Ok(FileEvent { name, arguments, kind })
}

fn is_same(known: &Description, name: &str, arguments: &[FileArgument]) -> bool {
    let same = |((known_name, kind), argument): (&(&str, ArgumentType), &FileArgument)| {
        *known_name == argument.name && words_of(known, *kind) == argument.words
    };
    known.name == name
        && known.arguments.len() == arguments.len()
        && known.arguments.iter().zip(arguments).all(same)
}
