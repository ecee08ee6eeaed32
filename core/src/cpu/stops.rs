//! A vCPU's stop points, in the form in which the run loop and the accesses ask for them.
//!
//! While there are none this costs a test of a flag per block. A page with a breakpoint is not
//! translated, and runs block by block up to it; a watched page is kept out of the soft TLB's tags, so that its
//! accesses take the slow way, where they are noted.

use crate::boundary::{HitCause, OnHit, Space, StopCondition, StopHit, StopHits, StopPoints, Watch};
use crate::types::{Gpa, Icount, PAGE_OFFSET_MASK, PAGE_SHIFT, PAGE_SIZE, VcpuId};

/// The most hits kept of a run that stops at the first.
const KEPT_AT_A_STOP: usize = 64;

/// Which accesses to a page must be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// Loads.
    pub reads: bool,
    /// Stores.
    pub writes: bool,
}

/// A load or store of a vCPU.
#[derive(Clone, Copy, Debug)]
pub struct DataAccess {
    /// Its linear address.
    pub va: u64,
    /// Its size in bytes.
    pub size: usize,
    /// A store.
    pub write: bool,
    /// Its physical address.
    pub gpa: Gpa,
    /// The physical address of its part in the next page, if it crosses into that.
    pub second: Option<Gpa>,
}

/// The stop points of one vCPU.
#[derive(Clone, Debug, Default)]
pub struct Stops {
    vcpu: VcpuId,
    /// Address and id, in ascending order.
    breakpoints: Vec<(u64, u32)>,
    /// Bit n: a breakpoint lies in a page with number n modulo 64.
    pages: u64,
    every: Option<u32>,
    /// Probes want to see each instruction.
    noted: bool,
    from: Icount,
    watches: Vec<(Watch, u32)>,
    /// Those of them that are of no vCPU in particular.
    common_watches: Vec<(Watch, u32)>,
    exceptions: Vec<(Option<u8>, u32)>,
    interrupts: Vec<(Option<u8>, u32)>,
    on_hit: OnHit,
    /// An interrupt is being delivered.
    pub in_delivery: bool,
    /// Accesses of the instruction or delivery that is under way, or was the last.
    pending: Vec<StopHit>,
    hits: StopHits,
    fresh: bool,
}

impl Stops {
    /// Those of `points` that concern this vCPU.
    pub fn new(points: &StopPoints, vcpu: VcpuId) -> Self {
        let mut stops = Self { vcpu, from: points.from, on_hit: points.on_hit, ..Self::default() };
        for point in points.points.iter().filter(|p| p.vcpu.is_none_or(|id| id == vcpu)) {
            match point.condition {
                StopCondition::Breakpoint { address } => {
                    stops.breakpoints.push((address, point.id));
                    stops.pages |= page_bit(address);
                }
                StopCondition::EveryInstruction => stops.every = Some(point.id),
                StopCondition::Watch(watch) => {
                    stops.watches.push((watch, point.id));
                    if point.vcpu.is_none() {
                        stops.common_watches.push((watch, point.id));
                    }
                }
                StopCondition::Exception { vector } => stops.exceptions.push((vector, point.id)),
                StopCondition::Interrupt { vector } => stops.interrupts.push((vector, point.id)),
            }
        }
        stops.breakpoints.sort_unstable();
        stops
    }

    /// Whether instructions must be looked at before they execute.
    #[inline(always)]
    pub fn armed(&self) -> bool {
        self.pages != 0 || self.every.is_some() || self.noted
    }

    /// Says whether probes want to see each instruction.
    pub fn note_steps(&mut self, on: bool) {
        self.noted = on;
    }

    /// Whether probes, and nothing else, want to look at instructions.
    #[inline(always)]
    pub fn only_notes_steps(&self) -> bool {
        self.noted && self.pages == 0 && self.every.is_none()
    }

    /// Whether breakpoints, and nothing else, want to look at instructions: at none outside their pages.
    #[inline]
    pub fn only_breaks(&self) -> bool {
        self.pages != 0 && self.every.is_none() && !self.noted
    }

    /// The numbers of the linear pages that have breakpoints.
    pub fn breakpoint_pages(&self) -> impl Iterator<Item = u64> {
        self.breakpoints.iter().map(|&(address, _)| address >> PAGE_SHIFT)
    }

    /// Whether each instruction is seen by probes.
    #[inline]
    pub fn notes_steps(&self) -> bool {
        self.noted
    }

    /// Whether the instruction at `address` must be looked at before it executes.
    #[inline]
    pub fn looks_at(&self, address: u64) -> bool {
        self.every.is_some()
            || self.noted
            || (self.pages & page_bit(address) != 0 && self.breakpoint_within(address, address))
    }

    /// Whether a breakpoint lies at an address in `[first, last]`.
    pub fn breakpoint_within(&self, first: u64, last: u64) -> bool {
        let next = self.breakpoints.partition_point(|&(at, _)| at < first);
        self.breakpoints.get(next).is_some_and(|&(at, _)| at <= last)
    }

    /// Whether a breakpoint lies in the page of a linear address.
    #[inline]
    pub fn breakpoint_in_page(&self, address: u64) -> bool {
        self.pages & page_bit(address) != 0
            && self.breakpoint_within(address & !PAGE_OFFSET_MASK, address | PAGE_OFFSET_MASK)
    }

    /// Which accesses to the page of `va`, which is mapped to `frame`, must be seen.
    #[inline]
    pub fn watched(&self, va: u64, frame: Gpa) -> Watched {
        let mut watched = Watched::default();
        for (watch, _) in &self.watches {
            let page = match watch.space {
                Space::Linear => va,
                Space::Physical => frame.0,
            };
            if watch.overlaps(page & !PAGE_OFFSET_MASK, page | PAGE_OFFSET_MASK) {
                watched.reads |= watch.wants(false);
                watched.writes |= watch.wants(true);
            }
        }
        watched
    }

    /// Notes the breakpoints at `address`, where the instruction after `icount` others is next.
    /// True if the run stops before it.
    pub fn at_instruction(&mut self, address: u64, icount: Icount) -> bool {
        if icount < self.from || (self.pages == 0 && self.every.is_none()) {
            return false;
        }
        let first = self.breakpoints.partition_point(|&(at, _)| at < address);
        let here = self.breakpoints[first..].iter().take_while(|(at, _)| *at == address);
        let ids: Vec<u32> = here.map(|&(_, id)| id).chain(self.every).collect();
        for &id in &ids {
            self.push(self.hit(id, icount, HitCause::Instruction { address }));
        }
        !ids.is_empty() && self.on_hit == OnHit::Stop
    }

    /// Lets no breakpoint hit before the instruction after `icount` others.
    pub fn pass(&mut self, icount: Icount) {
        self.from = self.from.max(icount + 1);
    }

    /// Notes an access, which the instruction counted as `icount` makes, or a delivery before
    /// the next one. True if the run stops after it.
    pub fn at_access(&mut self, access: DataAccess, icount: Icount) -> bool {
        if self.watches.is_empty() {
            return false;
        }
        let icount = self.index(icount);
        let mut any = false;
        for n in 0..self.watches.len() {
            let (watch, id) = self.watches[n];
            if watch.wants(access.write) && touches(&watch, &access) {
                any = true;
                self.pend(id, icount, access);
            }
        }
        any && self.on_hit == OnHit::Stop
    }

    /// The watchpoints that are of no vCPU in particular: others do not see what a device does.
    pub fn common_watches(&self) -> &[(Watch, u32)] {
        &self.common_watches
    }

    /// Notes that the range of the watchpoint `id` was accessed by none of the vCPUs: by a device that
    /// the last instruction set to work, or from outside before the next one. True if the run stops.
    pub fn at_outside_access(
        &mut self,
        id: u32,
        access: DataAccess,
        icount: Icount,
        before_next: bool,
    ) -> bool {
        let in_delivery = std::mem::replace(&mut self.in_delivery, before_next);
        let icount = self.index(icount);
        self.pend(id, icount, access);
        self.in_delivery = in_delivery;
        self.on_hit == OnHit::Stop
    }

    /// The instruction that began last, counted as `icount`, faulted: it made no access.
    #[inline]
    pub fn forget_faulted(&mut self, icount: Icount) {
        if !self.pending.is_empty() {
            self.pending.retain(|hit| hit.in_delivery || hit.icount + 1 != icount);
        }
    }

    /// Notes the delivery of an exception. True if the run stops after it.
    #[inline]
    pub fn at_exception(&mut self, vector: u8, icount: Icount) -> bool {
        !self.exceptions.is_empty() && self.at_event(vector, icount, HitCause::Exception { vector })
    }

    /// Notes the delivery of an interrupt. True if the run stops after it.
    #[inline]
    pub fn at_interrupt(&mut self, vector: u8, icount: Icount) -> bool {
        !self.interrupts.is_empty() && self.at_event(vector, icount, HitCause::Interrupt { vector })
    }

    #[cold]
    fn at_event(&mut self, vector: u8, icount: Icount, cause: HitCause) -> bool {
        let wanted = match cause {
            HitCause::Exception { .. } => &self.exceptions,
            _ => &self.interrupts,
        };
        let matching = |&&(want, _): &&(Option<u8>, u32)| want.is_none_or(|v| v == vector);
        let ids: Vec<u32> = wanted.iter().filter(matching).map(|&(_, id)| id).collect();
        let icount = self.index(icount);
        for &id in &ids {
            self.push(self.hit(id, icount, cause));
        }
        !ids.is_empty() && self.on_hit == OnHit::Stop
    }

    /// Whether a run that stops at hits has had one since [`Self::take_stop`].
    #[inline]
    pub fn must_stop(&self) -> bool {
        self.on_hit == OnHit::Stop && (self.fresh || !self.pending.is_empty())
    }

    /// As [`Self::must_stop`], once.
    pub fn take_stop(&mut self) -> bool {
        self.commit();
        std::mem::take(&mut self.fresh) && self.on_hit == OnHit::Stop
    }

    /// What was hit since the last call.
    pub fn take_hits(&mut self) -> StopHits {
        self.commit();
        std::mem::take(&mut self.hits)
    }

    /// The icount of the position before what happens now.
    fn index(&self, icount: Icount) -> Icount {
        if self.in_delivery { icount } else { icount - 1 }
    }

    fn hit(&self, id: u32, icount: Icount, cause: HitCause) -> StopHit {
        StopHit { id, vcpu: self.vcpu, icount, in_delivery: self.in_delivery, cause }
    }

    /// Keeps the first access of an instruction to each watched range.
    fn pend(&mut self, id: u32, icount: Icount, access: DataAccess) {
        if self.pending.first().is_some_and(|p| (p.icount, p.in_delivery) != (icount, self.in_delivery)) {
            self.commit();
        }
        if self.pending.iter().any(|hit| hit.id == id) {
            return;
        }
        let DataAccess { va, size, write, .. } = access;
        let cause = HitCause::Access { address: va, size: size as u8, write };
        self.pending.push(self.hit(id, icount, cause));
    }

    fn commit(&mut self) {
        for hit in std::mem::take(&mut self.pending) {
            self.keep(hit);
        }
    }

    fn push(&mut self, hit: StopHit) {
        self.commit();
        self.keep(hit);
    }

    fn keep(&mut self, hit: StopHit) {
        let keep = match self.on_hit {
            OnHit::Stop => KEPT_AT_A_STOP,
            OnHit::Scan { keep } => keep,
        };
        self.fresh = true;
        self.hits.count += 1;
        self.hits.last.push_back(hit);
        while self.hits.last.len() > keep {
            self.hits.last.pop_front();
        }
    }
}

fn page_bit(address: u64) -> u64 {
    1 << (address >> PAGE_SHIFT & 63)
}

fn touches(watch: &Watch, access: &DataAccess) -> bool {
    let size = access.size as u64;
    let overlaps = |start: u64, len: u64| watch.overlaps(start, start.saturating_add(len - 1));
    match (watch.space, access.second) {
        (Space::Linear, _) => overlaps(access.va, size),
        (Space::Physical, None) => overlaps(access.gpa.0, size),
        (Space::Physical, Some(second)) => {
            let first = PAGE_SIZE - (access.va & PAGE_OFFSET_MASK);
            overlaps(access.gpa.0, first) || overlaps(second.0, size - first)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boundary::{StopPoint, WatchKind};

    fn stops(on_hit: OnHit, conditions: &[StopCondition]) -> Stops {
        let points = conditions.iter().zip(0..);
        let points = points.map(|(&condition, id)| StopPoint { id, vcpu: None, condition }).collect();
        Stops::new(&StopPoints { points, from: 10, on_hit }, 0)
    }

    fn watch(space: Space, start: u64, len: u64, kind: WatchKind) -> StopCondition {
        StopCondition::Watch(Watch { space, start, len, kind })
    }

    fn store(va: u64, size: usize) -> DataAccess {
        DataAccess { va, size, write: true, gpa: Gpa(va), second: None }
    }

    #[test]
    fn breakpoints_are_found_by_page_and_address() {
        let s = stops(OnHit::Stop, &[StopCondition::Breakpoint { address: 0x41_2345 }]);
        assert!(s.armed());
        assert!(s.breakpoint_in_page(0x41_2000));
        assert!(!s.breakpoint_in_page(0x41_2000 + 64 * 0x1000), "the same bit, another page");
        assert!(s.breakpoint_within(0x41_2345, 0x41_2345));
        assert!(!s.breakpoint_within(0x41_2346, u64::MAX));
    }

    #[test]
    fn breakpoints_hit_from_an_icount_on() {
        let mut s = stops(OnHit::Stop, &[StopCondition::Breakpoint { address: 5 }]);
        assert!(!s.at_instruction(5, 9));
        assert!(!s.take_stop());
        assert!(s.at_instruction(5, 10));
        assert!(s.take_stop());
        assert_eq!(s.take_hits().last[0].icount, 10);
    }

    #[test]
    fn an_instruction_hits_a_range_once_and_not_at_all_if_it_faults() {
        let mut s = stops(OnHit::Scan { keep: 9 }, &[watch(Space::Linear, 0x100, 4, WatchKind::Write)]);
        s.at_access(store(0xFD, 4), 21);
        s.at_access(store(0x102, 1), 21);
        s.at_access(store(0x104, 1), 21);
        s.at_access(store(0x100, 8), 22);
        s.forget_faulted(22);
        s.in_delivery = true;
        s.at_access(store(0x103, 8), 22);
        let hits = s.take_hits();
        let seen: Vec<_> = hits.last.iter().map(|hit| (hit.icount, hit.in_delivery)).collect();
        assert_eq!((hits.count, seen), (2, vec![(20, false), (22, true)]));
    }

    #[test]
    fn a_scan_keeps_the_last_hits_and_counts_all() {
        let mut s = stops(OnHit::Scan { keep: 2 }, &[StopCondition::EveryInstruction]);
        for icount in 0..15 {
            assert!(!s.at_instruction(0, icount));
        }
        assert!(!s.take_stop());
        let hits = s.take_hits();
        let seen: Vec<_> = hits.last.iter().map(|hit| hit.icount).collect();
        assert_eq!((hits.count, seen), (5, vec![13, 14]));
    }

    #[test]
    fn pages_are_watched_by_linear_or_physical_address() {
        let conditions = [
            watch(Space::Linear, 0x1FFF, 2, WatchKind::Write),
            watch(Space::Physical, 0x5000, 1, WatchKind::Read),
        ];
        let s = stops(OnHit::Stop, &conditions);
        let of = |va, frame| s.watched(va, Gpa(frame));
        assert_eq!(of(0x1000, 0), Watched { reads: false, writes: true });
        assert_eq!(of(0x2008, 0x5000), Watched { reads: true, writes: true });
        assert_eq!(of(0x3000, 0x1000), Watched::default());
    }
}
