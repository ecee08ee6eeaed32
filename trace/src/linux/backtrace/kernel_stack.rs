//! Walks of the kernel's stack by ORC, through interrupts and exceptions, from one stack to
//! another, to where user space was left.

use super::super::kernel::View;
use super::super::orc::{Above, Base, Orc};
use super::{Backtrace, Entry, Frame, How, KERNEL_HALF, MOST_FRAMES, Modules, Registers};

/// `struct pt_regs` (Linux, arch/x86/include/asm/ptrace.h).
mod pt_regs {
    pub const R13: u64 = 16;
    pub const BP: u64 = 32;
    pub const R10: u64 = 56;
    pub const DX: u64 = 96;
    pub const DI: u64 = 112;
    pub const ORIG_AX: u64 = 120;
    pub const IP: u64 = 128;
    pub const CS: u64 = 136;
    pub const SP: u64 = 152;
}

/// The entry that the kernel takes for code without any: a frame with a frame pointer.
const BY_FRAME_POINTER: Orc = Orc {
    sp: Base::Bp,
    sp_offset: 16,
    bp: Base::PreviousSp,
    bp_offset: -16,
    above: Above::Call,
    signal: false,
};

struct Walk<'a> {
    view: &'a View<'a>,
    modules: Modules<'a>,
    at: Registers,
    /// The address is that of an instruction that is next.
    exact: bool,
    /// Where the registers that were saved last are, and whether they are all there.
    saved: Option<(u64, bool)>,
}

/// Walks on from where `trace` ends; gives the registers in user space, if the walk comes there.
pub fn walk(
    view: &View<'_>,
    modules: Modules<'_>,
    trace: &mut Backtrace,
    from: Registers,
    exact: bool,
) -> Result<Option<Registers>, &'static str> {
    let mut walk = Walk { view, modules, at: from, exact, saved: None };
    while trace.frames.len() < MOST_FRAMES {
        let Some((how, entry)) = walk.step()? else { return Ok(None) };
        let Registers { ip, sp, .. } = walk.at;
        trace.frames.push(Frame { ip, sp, returns: !walk.exact, how, entry });
        if entry.is_some_and(|entry| entry.from_user) {
            return Ok(Some(walk.at));
        }
        if ip < KERNEL_HALF {
            return Err("the address that follows is not of the kernel");
        }
    }
    Err("there are more frames than are shown")
}

impl Walk<'_> {
    /// To the frame above; None if there is none.
    fn step(&mut self) -> Result<Option<(How, Option<Entry>)>, &'static str> {
        let before = self.at;
        let address = if self.exact { before.ip } else { before.ip.wrapping_sub(1) };
        let layout = self.view.kernel.orc.as_ref();
        let found = layout.and_then(|layout| layout.find(self.view, self.modules, address));
        let (orc, how) = found.map_or((BY_FRAME_POINTER, How::FramePointer), |orc| (orc, How::Orc));
        let end = match orc.above {
            Above::End => return Ok(None),
            Above::Undefined => return Err("the kernel knows nothing of the frame"),
            _ => self.end_of_frame(&orc).ok_or("the end of the frame cannot be found")?,
        };
        let unreadable = "the stack cannot be read";
        let entry = self.go_above(&orc, end).ok_or(unreadable)?;
        self.exact = orc.signal;
        let stands = self.at.ip == before.ip && self.at.sp == before.sp && self.at.bp == before.bp;
        if stands { Err("the stack leads nowhere") } else { Ok(Some((how, entry))) }
    }

    fn end_of_frame(&self, orc: &Orc) -> Option<u64> {
        let Registers { sp, bp, .. } = self.at;
        let offset = |base: u64| base.wrapping_add_signed(orc.sp_offset);
        match orc.sp {
            Base::Sp => Some(offset(sp)),
            Base::Bp => Some(offset(bp)),
            Base::SpIndirect => self.word(sp).map(offset),
            Base::BpIndirect => self.word(offset(bp)),
            Base::R10 => self.saved_register(pt_regs::R10),
            Base::R13 => self.saved_register(pt_regs::R13),
            Base::Di => self.saved_register(pt_regs::DI),
            Base::Dx => self.saved_register(pt_regs::DX),
            Base::Undefined | Base::PreviousSp => None,
        }
    }

    fn go_above(&mut self, orc: &Orc, end: u64) -> Option<Option<Entry>> {
        self.saved = None;
        let bp = match orc.bp {
            Base::PreviousSp => self.word(end.wrapping_add_signed(orc.bp_offset))?,
            Base::Bp => self.word(self.at.bp.wrapping_add_signed(orc.bp_offset))?,
            _ => self.at.bp,
        };
        match orc.above {
            Above::Registers => self.take_registers(end, true, orc, bp),
            // Only the last five words are there.
            Above::IretFrame => self.take_registers(end.wrapping_sub(pt_regs::IP), false, orc, bp),
            _ => {
                self.at = Registers { ip: self.word(end.wrapping_sub(8))?, sp: end, bp };
                Some(None)
            }
        }
    }

    fn take_registers(&mut self, at: u64, full: bool, orc: &Orc, bp: u64) -> Option<Option<Entry>> {
        let word = |offset: u64| self.word(at.wrapping_add(offset));
        let saved_bp = if full && orc.bp == Base::Undefined { word(pt_regs::BP)? } else { bp };
        let from_user = word(pt_regs::CS)? & 3 == 3;
        let orig_ax = if full { word(pt_regs::ORIG_AX)? as i64 } else { -1 };
        self.at = Registers { ip: word(pt_regs::IP)?, sp: word(pt_regs::SP)?, bp: saved_bp };
        self.saved = Some((at, full));
        Some(Some(Entry { orig_ax, from_user }))
    }

    /// A register of the frame that was interrupted just now.
    fn saved_register(&self, offset: u64) -> Option<u64> {
        let (at, full) = self.saved?;
        if full { self.word(at.wrapping_add(offset)) } else { None }
    }

    fn word(&self, address: u64) -> Option<u64> {
        self.view.space.u64(address).filter(|_| address >= KERNEL_HALF)
    }
}
