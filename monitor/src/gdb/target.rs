//! The run as the gdbstub crate wants to see it.

use super::registers::{RegisterBytes, RegisterNumber, X86, place, target_xml};
use super::request::{Link, Reply, Request};
use super::stops::{Point, Points};
use crate::control::Motion;
use dejavm_core::types::VcpuId;
use gdbstub::common::{Signal, Tid};
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::multithread::{
    MultiThreadBase, MultiThreadResume, MultiThreadResumeOps, MultiThreadSchedulerLocking,
    MultiThreadSchedulerLockingOps, MultiThreadSingleStep, MultiThreadSingleStepOps,
};
use gdbstub::target::ext::base::reverse_exec::{ReverseCont, ReverseContOps, ReverseStep, ReverseStepOps};
use gdbstub::target::ext::base::single_register_access::{SingleRegisterAccess, SingleRegisterAccessOps};
use gdbstub::target::ext::breakpoints::{
    Breakpoints, BreakpointsOps, HwBreakpoint, HwBreakpointOps, HwWatchpoint, HwWatchpointOps, SwBreakpoint,
    SwBreakpointOps, WatchKind,
};
use gdbstub::target::ext::monitor_cmd::{ConsoleOutput, MonitorCmd, MonitorCmdOps};
use gdbstub::target::ext::target_description_xml_override::{
    TargetDescriptionXmlOverride, TargetDescriptionXmlOverrideOps,
};
use gdbstub::target::ext::thread_extra_info::{ThreadExtraInfo, ThreadExtraInfoOps};
use gdbstub::target::{Target, TargetError, TargetResult};
use std::cell::RefCell;

/// The run is over, so that there is nobody to answer.
#[derive(Debug, thiserror::Error)]
#[error("the run is over")]
pub struct Over;

/// errno values that gdb is given where no text can be.
const EFAULT: u8 = 14;
const ENOSPC: u8 = 28;

/// The thread of a vCPU.
pub fn tid(vcpu: VcpuId) -> Tid {
    Tid::MIN.saturating_add(vcpu)
}

/// The vCPU of a thread.
pub fn vcpu(tid: Tid) -> VcpuId {
    tid.get() - 1
}

/// The run behind a link, with what a client set.
pub struct RunTarget<L> {
    link: RefCell<L>,
    /// Its break- and watchpoints.
    pub points: Points,
    /// Addresses are physical ones.
    pub physical: bool,
    can_go_back: bool,
    step: Option<VcpuId>,
    /// Why the last packet was refused, for the user.
    refusal: RefCell<Option<String>>,
    xml: String,
}

impl<L: Link> RunTarget<L> {
    /// A target on which nothing is set.
    pub fn new(mut link: L) -> Self {
        let can_go_back = link.ask(Request::CanGoBack) == Some(Reply::Bool(true));
        Self {
            link: RefCell::new(link),
            points: Points::default(),
            physical: false,
            can_go_back,
            step: None,
            refusal: RefCell::default(),
            xml: target_xml(),
        }
    }

    /// Asks the run.
    pub fn ask(&self, request: Request) -> Result<Reply, Over> {
        self.link.borrow_mut().ask(request).ok_or(Over)
    }

    /// Tells the run something that it does or refuses.
    fn tell(&self, request: Request) -> TargetResult<(), Self> {
        match self.ask(request).map_err(TargetError::Fatal)? {
            Reply::Refused(why) => {
                *self.refusal.borrow_mut() = Some(why);
                Err(TargetError::Errno(EFAULT))
            }
            _ => Ok(()),
        }
    }

    /// Why the run refused what the last packet wanted.
    pub fn take_refusal(&mut self) -> Option<String> {
        self.refusal.get_mut().take()
    }

    /// Whose page tables an address goes through.
    fn space(&self, tid: Tid) -> Option<VcpuId> {
        (!self.physical).then(|| vcpu(tid))
    }

    fn add(&mut self, point: Point) -> TargetResult<bool, Self> {
        if !self.points.add(point) {
            return Err(TargetError::Errno(ENOSPC));
        }
        self.tell(Request::StopPoints(self.points.stop_points()))?;
        Ok(true)
    }

    fn remove(&mut self, point: Point) -> TargetResult<bool, Self> {
        if !self.points.remove(&point) {
            return Ok(false);
        }
        self.tell(Request::StopPoints(self.points.stop_points()))?;
        Ok(true)
    }

    fn set_out(&mut self, motion: Motion) -> Result<(), Over> {
        self.ask(Request::SetOut(motion)).map(|_| ())
    }

    fn all_registers(&self, tid: Tid) -> TargetResult<Vec<u8>, Self> {
        match self.ask(Request::Registers(vcpu(tid))).map_err(TargetError::Fatal)? {
            Reply::Bytes(bytes) => Ok(bytes),
            _ => Err(TargetError::NonFatal),
        }
    }

    fn activities(&self) -> Result<Vec<&'static str>, Over> {
        match self.ask(Request::Vcpus)? {
            Reply::Vcpus(list) => Ok(list),
            _ => Ok(Vec::new()),
        }
    }
}

impl<L: Link> Target for RunTarget<L> {
    type Arch = X86;
    type Error = Over;

    fn base_ops(&mut self) -> BaseOps<'_, X86, Over> {
        BaseOps::MultiThread(self)
    }
    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }
    fn support_monitor_cmd(&mut self) -> Option<MonitorCmdOps<'_, Self>> {
        Some(self)
    }
    fn support_target_description_xml_override(
        &mut self,
    ) -> Option<TargetDescriptionXmlOverrideOps<'_, Self>> {
        Some(self)
    }
}

impl<L: Link> TargetDescriptionXmlOverride for RunTarget<L> {
    fn target_description_xml(
        &self,
        annex: &[u8],
        offset: u64,
        length: usize,
        buf: &mut [u8],
    ) -> TargetResult<usize, Self> {
        if annex != b"target.xml" {
            return Err(TargetError::NonFatal);
        }
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.xml.len());
        let rest = &self.xml.as_bytes()[start..];
        let len = rest.len().min(length).min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

impl<L: Link> MultiThreadBase for RunTarget<L> {
    fn read_registers(&mut self, regs: &mut RegisterBytes, tid: Tid) -> TargetResult<(), Self> {
        regs.0 = self.all_registers(tid)?;
        Ok(())
    }
    fn write_registers(&mut self, regs: &RegisterBytes, tid: Tid) -> TargetResult<(), Self> {
        self.tell(Request::SetRegisters(vcpu(tid), regs.0.clone()))
    }
    fn support_single_register_access(&mut self) -> Option<SingleRegisterAccessOps<'_, Tid, Self>> {
        Some(self)
    }
    fn read_addrs(&mut self, start: u64, data: &mut [u8], tid: Tid) -> TargetResult<usize, Self> {
        let request = Request::Read { vcpu: self.space(tid), address: start, len: data.len() };
        match self.ask(request).map_err(TargetError::Fatal)? {
            Reply::Bytes(bytes) if !bytes.is_empty() => {
                data[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
            _ => Err(TargetError::Errno(EFAULT)),
        }
    }
    fn write_addrs(&mut self, start: u64, data: &[u8], tid: Tid) -> TargetResult<(), Self> {
        self.tell(Request::Write { vcpu: self.space(tid), address: start, bytes: data.to_vec() })
    }
    fn list_active_threads(&mut self, register: &mut dyn FnMut(Tid)) -> Result<(), Over> {
        (0..self.activities()?.len()).for_each(|vcpu| register(tid(vcpu)));
        Ok(())
    }
    fn support_resume(&mut self) -> Option<MultiThreadResumeOps<'_, Self>> {
        Some(self)
    }
    fn support_thread_extra_info(&mut self) -> Option<ThreadExtraInfoOps<'_, Self>> {
        Some(self)
    }
}

impl<L: Link> SingleRegisterAccess<Tid> for RunTarget<L> {
    fn read_register(
        &mut self,
        tid: Tid,
        reg_id: RegisterNumber,
        buf: &mut [u8],
    ) -> TargetResult<usize, Self> {
        let place = place(reg_id.0).ok_or(TargetError::NonFatal)?;
        let all = self.all_registers(tid)?;
        buf[..place.len()].copy_from_slice(&all[place.clone()]);
        Ok(place.len())
    }
    fn write_register(&mut self, tid: Tid, reg_id: RegisterNumber, val: &[u8]) -> TargetResult<(), Self> {
        let place = place(reg_id.0).filter(|p| p.len() == val.len()).ok_or(TargetError::NonFatal)?;
        let mut all = self.all_registers(tid)?;
        all[place].copy_from_slice(val);
        self.tell(Request::SetRegisters(vcpu(tid), all))
    }
}

impl<L: Link> ThreadExtraInfo for RunTarget<L> {
    fn thread_extra_info(&self, tid: Tid, buf: &mut [u8]) -> Result<usize, Over> {
        let vcpu = vcpu(tid);
        let activities = self.activities()?;
        let text = format!("CPU#{vcpu} [{}]", activities.get(vcpu).unwrap_or(&"not there"));
        let len = text.len().min(buf.len());
        buf[..len].copy_from_slice(&text.as_bytes()[..len]);
        Ok(len)
    }
}

impl<L: Link> MultiThreadResume for RunTarget<L> {
    fn resume(&mut self) -> Result<(), Over> {
        let step = self.step.take();
        self.set_out(Motion { backward: false, step })
    }
    fn clear_resume_actions(&mut self) -> Result<(), Over> {
        self.step = None;
        Ok(())
    }
    fn set_resume_action_continue(&mut self, _: Tid, _: Option<Signal>) -> Result<(), Over> {
        Ok(())
    }
    fn support_single_step(&mut self) -> Option<MultiThreadSingleStepOps<'_, Self>> {
        Some(self)
    }
    fn support_reverse_step(&mut self) -> Option<ReverseStepOps<'_, Tid, Self>> {
        if self.can_go_back { Some(self) } else { None }
    }
    fn support_reverse_cont(&mut self) -> Option<ReverseContOps<'_, Tid, Self>> {
        if self.can_go_back { Some(self) } else { None }
    }
    fn support_scheduler_locking(&mut self) -> Option<MultiThreadSchedulerLockingOps<'_, Self>> {
        Some(self)
    }
}

impl<L: Link> MultiThreadSingleStep for RunTarget<L> {
    fn set_resume_action_step(&mut self, tid: Tid, _: Option<Signal>) -> Result<(), Over> {
        self.step = Some(vcpu(tid));
        Ok(())
    }
}

/// Whose turn it is follows from the run, so nobody is held: the others go on as they must.
impl<L: Link> MultiThreadSchedulerLocking for RunTarget<L> {
    fn set_resume_action_scheduler_lock(&mut self) -> Result<(), Over> {
        Ok(())
    }
}

impl<L: Link> ReverseCont<Tid> for RunTarget<L> {
    fn reverse_cont(&mut self) -> Result<(), Over> {
        self.set_out(Motion { backward: true, step: None })
    }
}

impl<L: Link> ReverseStep<Tid> for RunTarget<L> {
    fn reverse_step(&mut self, tid: Tid) -> Result<(), Over> {
        self.set_out(Motion { backward: true, step: Some(vcpu(tid)) })
    }
}

impl<L: Link> Breakpoints for RunTarget<L> {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }
    fn support_hw_breakpoint(&mut self) -> Option<HwBreakpointOps<'_, Self>> {
        Some(self)
    }
    fn support_hw_watchpoint(&mut self) -> Option<HwWatchpointOps<'_, Self>> {
        Some(self)
    }
}

impl<L: Link> SwBreakpoint for RunTarget<L> {
    fn add_sw_breakpoint(&mut self, address: u64, _: usize) -> TargetResult<bool, Self> {
        self.add(Point::Software { address })
    }
    fn remove_sw_breakpoint(&mut self, address: u64, _: usize) -> TargetResult<bool, Self> {
        self.remove(Point::Software { address })
    }
}

impl<L: Link> HwBreakpoint for RunTarget<L> {
    fn add_hw_breakpoint(&mut self, address: u64, _: usize) -> TargetResult<bool, Self> {
        self.add(Point::Hardware { address })
    }
    fn remove_hw_breakpoint(&mut self, address: u64, _: usize) -> TargetResult<bool, Self> {
        self.remove(Point::Hardware { address })
    }
}

impl<L: Link> HwWatchpoint for RunTarget<L> {
    fn add_hw_watchpoint(&mut self, address: u64, len: u64, kind: WatchKind) -> TargetResult<bool, Self> {
        if len == 0 || address.checked_add(len - 1).is_none() {
            return Err(TargetError::NonFatal);
        }
        self.add(Point::Watch { address, len, kind, physical: self.physical })
    }
    fn remove_hw_watchpoint(&mut self, address: u64, len: u64, kind: WatchKind) -> TargetResult<bool, Self> {
        self.remove(Point::Watch { address, len, kind, physical: self.physical })
    }
}

impl<L: Link> MonitorCmd for RunTarget<L> {
    fn handle_monitor_cmd(&mut self, line: &[u8], mut out: ConsoleOutput<'_>) -> Result<(), Over> {
        let line = String::from_utf8_lossy(line).into_owned();
        if let Reply::Text(text) = self.ask(Request::Monitor(line))? {
            // One packet each: gdb has a limit on their size.
            for piece in text.as_bytes().chunks(1024) {
                out.write_raw(piece);
                out.flush();
            }
        }
        Ok(())
    }
}
