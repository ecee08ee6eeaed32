//! ORC: what a Linux kernel knows of its own stack frames, for each address of its code (Linux,
//! Documentation/arch/x86/orc-unwinder.rst, arch/x86/include/asm/orc_types.h).
//!
//! Entries have changed from version to version; their layout is taken from the kernel's types.

use super::btf::{Field, Types};
use super::kernel::View;
use super::modules::Module;
use super::symbols::Symbols;

/// No entry has more bytes.
const MOST_ENTRY_BYTES: u64 = 16;

/// Where entries have what, and where the kernel's own are.
#[derive(Debug)]
pub(super) struct OrcLayout {
    bytes: u64,
    sp_offset: Field,
    bp_offset: Field,
    sp_reg: Field,
    bp_reg: Field,
    kind: Field,
    /// A bit that says that there is nothing above (up to 6.3).
    end: Option<Field>,
    /// A bit that says that the frame was interrupted (since 6.3).
    signal: Option<Field>,
    kernel: Table,
}

/// Sorted addresses, each as the distance from where it lies, and the entries for what begins
/// there.
#[derive(Clone, Copy, Debug)]
struct Table {
    addresses: u64,
    entries: u64,
    count: u64,
}

/// From where a frame's end, or the caller's RBP, is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    Undefined,
    /// The frame's own end.
    PreviousSp,
    Dx,
    Di,
    Bp,
    Sp,
    R10,
    R13,
    BpIndirect,
    SpIndirect,
}

impl Base {
    fn new(number: u64) -> Option<Self> {
        const ALL: [Base; 10] = [
            Base::Undefined,
            Base::PreviousSp,
            Base::Dx,
            Base::Di,
            Base::Bp,
            Base::Sp,
            Base::R10,
            Base::R13,
            Base::BpIndirect,
            Base::SpIndirect,
        ];
        ALL.get(number as usize).copied()
    }
}

/// What lies at the end of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Above {
    /// Nothing is known.
    Undefined,
    /// Nothing: the stack ends.
    End,
    /// A return address.
    Call,
    /// `struct pt_regs`.
    Registers,
    /// The last five words of it: what IRET takes.
    IretFrame,
}

/// What is known of the frame at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Orc {
    pub sp: Base,
    pub sp_offset: i64,
    pub bp: Base,
    pub bp_offset: i64,
    pub above: Above,
    /// What lies above was interrupted: its address is that of an instruction, not a return
    /// address.
    pub signal: bool,
}

impl OrcLayout {
    pub fn new(types: &Types, symbols: &Symbols) -> Option<Self> {
        let field = |path: &str| types.field("orc_entry", path);
        let bytes = types.size("orc_entry").filter(|bytes| (1..=MOST_ENTRY_BYTES).contains(bytes))?;
        let addresses = symbols.address("__start_orc_unwind_ip")?;
        let length = symbols.address("__stop_orc_unwind_ip")?.checked_sub(addresses)?;
        let entries = symbols.address("__start_orc_unwind")?;
        Some(Self {
            bytes,
            sp_offset: field("sp_offset")?,
            bp_offset: field("bp_offset")?,
            sp_reg: field("sp_reg")?,
            bp_reg: field("bp_reg")?,
            kind: field("type")?,
            end: field("end"),
            signal: field("signal"),
            kernel: Table { addresses, entries, count: length / 4 },
        })
    }

    /// The entry for an address.
    pub fn find(&self, view: &View<'_>, modules: &[Module], address: u64) -> Option<Orc> {
        let table = match modules.iter().find(|module| module.contains(address)) {
            Some(module) => {
                let (count, addresses, entries) = view.module_orc(module)?;
                Table { addresses, entries, count: count.min(1 << 24) }
            }
            None => self.kernel,
        };
        let at = |n: u64| {
            let place = table.addresses.wrapping_add(4 * n);
            Some(place.wrapping_add_signed(view.space.i32(place)?.into()))
        };
        // The last that begins at the address or before.
        let (mut first, mut end) = (0, table.count);
        while first < end {
            let middle = first + (end - first) / 2;
            if at(middle)? <= address { first = middle + 1 } else { end = middle }
        }
        let entry = table.entries.wrapping_add(first.checked_sub(1)? * self.bytes);
        self.read(&view.space.bytes(entry, self.bytes as usize)?)
    }

    fn read(&self, entry: &[u8]) -> Option<Orc> {
        let number = |field: &Field| field.value(entry);
        let offset = |field: &Field| Some(i64::from(number(field)? as u16 as i16));
        let sp = Base::new(number(&self.sp_reg)?)?;
        let kind = number(&self.kind)?;
        let ends = match &self.end {
            Some(end) => number(end)? != 0,
            None => false,
        };
        // Since 6.4 the kinds have three bits, and begin with the two that say that nothing follows.
        let above = match (self.kind.bits.map_or(8, |(_, width)| width), kind) {
            _ if ends => Above::End,
            (3.., 0) => Above::Undefined,
            (3.., 1) => Above::End,
            (3.., 2) => Above::Call,
            (3.., 3) => Above::Registers,
            (3.., 4) => Above::IretFrame,
            _ if sp == Base::Undefined => Above::Undefined,
            (..3, 0) => Above::Call,
            (..3, 1) => Above::Registers,
            (..3, 2) => Above::IretFrame,
            _ => return None,
        };
        let interrupted = matches!(above, Above::Registers | Above::IretFrame);
        let signal = match &self.signal {
            Some(signal) => number(signal)? != 0,
            None => interrupted,
        };
        Some(Orc {
            sp,
            sp_offset: offset(&self.sp_offset)?,
            bp: Base::new(number(&self.bp_reg)?)?,
            bp_offset: offset(&self.bp_offset)?,
            above,
            signal,
        })
    }
}
