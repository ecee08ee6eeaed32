//! The probes of one vCPU: what is on, in the form in which the run loop, the accesses and the
//! handlers ask for it, and how what they see gets into the log.

use super::env::Env;
use super::state::{Vcpu, cr0};
use super::stops::{DataAccess, Watched};
use crate::boundary::{
    Chip, MemoryAccess, Mode, Origin, Position, ProbeEvent, ProbeKind, ProbeLog, ProbeSettings,
};
use crate::mem::Memory;
use crate::types::{Gpa, PAGE_OFFSET_MASK, VcpuId};

/// What is noted before each instruction.
const STEPS: u128 = ProbeKind::Instruction.bit() | ProbeKind::Block.bit() | ProbeKind::ModeSwitch.bit();

/// What the chips note. They must be told where they are.
fn of_chips() -> u128 {
    let chips = Chip::ALL.into_iter();
    let kinds = chips.flat_map(|c| [ProbeKind::ChipRead(c), ProbeKind::ChipWrite(c), ProbeKind::Timer(c)]);
    let plain = [ProbeKind::IrqLine, ProbeKind::SerialOut, ProbeKind::DebugConsole];
    kinds.chain(plain).fold(0, |bits, kind| bits | kind.bit())
}

/// Of accesses to more bytes than this, translated code notes all, and what is not wanted is left out
/// later; of fewer, those to their pages are interpreted, and the others cost nothing.
const NARROW: u64 = 1 << 16;

/// Which accesses to memory are seen, and where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Accesses {
    on: bool,
    /// The first and the last address that is wanted.
    range: Option<(u64, u64)>,
}

impl Accesses {
    fn of(settings: &ProbeSettings, kind: ProbeKind, id: VcpuId) -> Self {
        let rule = settings.on.get(&kind).filter(|rule| rule.has_vcpu(id));
        rule.map_or(Self::default(), |rule| Self { on: true, range: rule.filter.address })
    }

    /// Whether accesses to a few places only are wanted.
    fn narrow(&self) -> bool {
        self.range.is_some_and(|(first, last)| last.saturating_sub(first) < NARROW)
    }

    /// Whether some access to the page of `va`, which is mapped to `frame`, may be wanted.
    fn in_page(&self, va: u64, frame: Gpa) -> bool {
        let page_is_within = |(first, last): (u64, u64)| {
            // An access that begins on the page before crosses into this one.
            let touches = |page: u64| {
                let start = page & !PAGE_OFFSET_MASK;
                start.saturating_sub(15) <= last && (start | PAGE_OFFSET_MASK).saturating_add(15) >= first
            };
            touches(va) || touches(frame.0)
        };
        self.on && self.range.is_none_or(page_is_within)
    }
}

/// Where what translated code noted goes.
pub struct NoteLog<'e> {
    log: &'e mut ProbeLog,
    mem: &'e Memory,
    origin: Origin,
    skipped_ns: u64,
    on: u128,
}

impl NoteLog<'_> {
    #[inline(always)]
    fn push(&mut self, icount: u64, event: ProbeEvent) {
        if self.on & event.kind().bit() != 0 {
            let here = Position { icount, now_ns: icount + self.skipped_ns };
            self.log.push_at(here, Some(self.origin), event);
        }
    }

    /// The instruction at `address` is about to execute, after `icount` others: the first of a block, one
    /// that is to be seen, or both.
    #[inline(always)]
    pub fn step(&mut self, icount: u64, address: u64, block: bool, instruction: bool) {
        if block {
            self.push(icount, ProbeEvent::Block { address });
        }
        if instruction {
            self.push(icount, ProbeEvent::Instruction { address });
        }
    }

    /// An access to RAM at an offset.
    #[inline(always)]
    pub fn access(&mut self, icount: u64, write: bool, place: (u64, u64), size: u8, value: [u64; 2]) {
        let (address, offset) = place;
        let physical = self.mem.gpa_of(offset as usize).0;
        let seen = MemoryAccess { address, physical, size, value: value[0], high: value[1] };
        match write {
            true => self.push(icount, ProbeEvent::Store(seen)),
            false => self.push(icount, ProbeEvent::Load(seen)),
        }
    }

    /// See [`ProbeEvent::Call`].
    pub fn call(&mut self, icount: u64, target: u64, back: u64, rsp: u64) {
        self.push(icount, ProbeEvent::Call { target, back, rsp });
    }

    /// See [`ProbeEvent::Return`].
    pub fn return_to(&mut self, icount: u64, target: u64, rsp: u64) {
        self.push(icount, ProbeEvent::Return { target, rsp });
    }
}

/// The probes of one vCPU.
#[derive(Clone, Debug, Default)]
pub struct Probes {
    on: u128,
    loads: Accesses,
    stores: Accesses,
    /// Loads or stores are seen.
    pub memory: bool,
    /// Chips note what they do.
    pub chips: bool,
    /// What the engine does is seen.
    pub engine: bool,
    /// The next instruction begins a block.
    pub block_next: bool,
    mode: Mode,
}

impl Probes {
    /// Those of `settings` that concern a vCPU.
    pub fn new(settings: &ProbeSettings, id: VcpuId) -> Self {
        let loads = Accesses::of(settings, ProbeKind::Load, id);
        let stores = Accesses::of(settings, ProbeKind::Store, id);
        Self {
            on: settings.kinds(Some(id)),
            loads,
            stores,
            memory: loads.on || stores.on,
            chips: settings.kinds(None) & of_chips() != 0,
            engine: settings.on.keys().any(|kind| kind.is_of_the_engine()),
            block_next: true,
            mode: Mode::default(),
        }
    }

    /// Whether a kind is on.
    #[inline(always)]
    pub fn wants(&self, kind: ProbeKind) -> bool {
        self.on & kind.bit() != 0
    }

    /// Whether something is noted before each instruction.
    pub fn steps(&self) -> bool {
        self.on & STEPS != 0
    }

    /// Whether translated code is to note loads, and stores.
    pub fn noted_accesses(&self) -> (bool, bool) {
        let narrow = |accesses: &Accesses| !accesses.on || accesses.narrow();
        match narrow(&self.loads) && narrow(&self.stores) {
            true => (false, false),
            false => (self.loads.on, self.stores.on),
        }
    }

    /// Which accesses to the page of `va`, which is mapped to `frame`, must be seen.
    #[inline]
    pub fn watched(&self, va: u64, frame: Gpa) -> Watched {
        if !self.memory {
            return Watched::default();
        }
        Watched { reads: self.loads.in_page(va, frame), writes: self.stores.in_page(va, frame) }
    }
}

impl Vcpu {
    /// Switches its probes.
    pub fn set_probes(&mut self, settings: &ProbeSettings) {
        self.probes = Probes::new(settings, self.id);
        self.probes.mode = self.mode();
        self.stops.note_steps(self.probes.steps());
        self.flush_tlb();
    }

    /// Its mode.
    pub fn mode(&self) -> Mode {
        Mode {
            cpl: self.cpl,
            code_bits: self.code_size as u8,
            long: self.long_mode(),
            paging: self.cr0 & cr0::PG != 0,
        }
    }

    /// The position before the instruction that executes, or the delivery that is under way.
    pub fn position_before(&self, env: &Env<'_>) -> Position {
        let begun = u64::from(!self.stops.in_delivery);
        let now_ns = env.clock.now_ns();
        // Before the first instruction of all only its fetch is seen.
        Position { icount: env.clock.icount.saturating_sub(begun), now_ns: now_ns.saturating_sub(begun) }
    }

    /// It, as what happens is ascribed to it.
    pub fn origin(&self) -> Origin {
        Origin { vcpu: self.id, cpl: self.cpl, cr3: self.cr3 }
    }

    /// Notes what the instruction that executes, or a delivery, does, if that is wanted.
    #[inline]
    pub fn note(&self, env: &mut Env<'_>, kind: ProbeKind, event: impl FnOnce() -> ProbeEvent) {
        if self.probes.wants(kind) {
            self.log_at(env, self.position_before(env), event());
        }
    }

    /// Notes what the instruction that executes did as `origin`.
    pub fn log_of(&self, env: &mut Env<'_>, origin: Origin, event: ProbeEvent) {
        let position = self.position_before(env);
        if let Some(log) = env.io.probe_log() {
            log.push_at(position, Some(origin), event);
        }
    }

    #[cold]
    fn log_at(&self, env: &mut Env<'_>, position: Position, event: ProbeEvent) {
        let origin = self.origin();
        if let Some(log) = env.io.probe_log() {
            log.push_at(position, Some(origin), event);
        }
    }

    /// Tells the chips where they are, before an access to them.
    #[inline]
    pub fn stamp_chips(&self, env: &mut Env<'_>) {
        if self.probes.chips {
            let (at, origin) = (self.position_before(env), self.origin());
            if let Some(log) = env.io.probe_log() {
                log.stamp(at, Some(origin));
            }
        }
    }

    /// Notes what is to be noted before an instruction at a linear address.
    #[cold]
    pub fn note_step(&mut self, env: &mut Env<'_>, address: u64) {
        let begins = std::mem::take(&mut self.probes.block_next);
        let turned = env.io.probe_log().is_some_and(|log| log.turns_to(self.id));
        let here = Position { icount: env.clock.icount, now_ns: env.clock.now_ns() };
        self.note_mode(env, here);
        if (begins || turned) && self.probes.wants(ProbeKind::Block) {
            self.log_at(env, here, ProbeEvent::Block { address });
        }
        if self.probes.wants(ProbeKind::Instruction) {
            self.log_at(env, here, ProbeEvent::Instruction { address });
        }
    }

    /// Before translated code that notes steps: what is to be noted, or known, of how it was come
    /// to.
    pub fn enter_steps(&mut self, env: &mut Env<'_>) {
        let turned = env.io.probe_log().is_some_and(|log| log.turns_to(self.id));
        self.probes.block_next |= turned;
        let here = Position { icount: env.clock.icount, now_ns: env.clock.now_ns() };
        self.note_mode(env, here);
    }

    /// Where what translated code noted goes.
    pub fn note_log<'e>(&self, env: &'e mut Env<'_>) -> Option<NoteLog<'e>> {
        let (origin, skipped_ns) = (self.origin(), env.clock.skipped_ns);
        let log = env.io.probe_log()?;
        Some(NoteLog { log, mem: env.mem, origin, skipped_ns, on: self.probes.on })
    }

    /// Notes what the engine does between instructions.
    #[cold]
    pub fn note_engine(&self, env: &mut Env<'_>, event: ProbeEvent) {
        if self.probes.wants(event.kind()) {
            let here = Position { icount: env.clock.icount, now_ns: env.clock.now_ns() };
            self.log_at(env, here, event);
        }
    }

    fn note_mode(&mut self, env: &mut Env<'_>, here: Position) {
        let mode = self.mode();
        if std::mem::replace(&mut self.probes.mode, mode) != mode && self.probes.wants(ProbeKind::ModeSwitch)
        {
            self.log_at(env, here, ProbeEvent::ModeSwitch(mode));
        }
    }

    /// The vCPU is put elsewhere, or into another mode from outside: that is no switch of modes.
    pub fn forget_steps(&mut self) {
        self.probes.block_next = true;
        self.probes.mode = self.mode();
    }

    /// Notes an access with its value.
    #[inline]
    pub(super) fn note_access(&mut self, env: &mut Env<'_>, access: DataAccess, value: u128) {
        if self.probes.memory {
            self.log_access(env, access, value);
        }
    }

    #[cold]
    fn log_access(&mut self, env: &mut Env<'_>, access: DataAccess, value: u128) {
        let seen = MemoryAccess {
            address: access.va,
            physical: access.gpa.0,
            size: access.size as u8,
            value: value as u64,
            high: (value >> 64) as u64,
        };
        if access.write {
            self.note(env, ProbeKind::Store, || ProbeEvent::Store(seen));
        } else {
            self.note(env, ProbeKind::Load, || ProbeEvent::Load(seen));
        }
    }

    /// The instruction that executes has faulted: it made no access.
    #[inline]
    pub fn forget_accesses(&self, env: &mut Env<'_>) {
        if self.probes.memory {
            let icount = self.position_before(env).icount;
            if let Some(log) = env.io.probe_log() {
                log.forget_accesses(icount, self.id);
            }
        }
    }
}
