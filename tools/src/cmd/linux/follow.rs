//! The system calls of a stretch of a recorded Linux guest, one after the other.

use crate::console::replay::FileReplay;
use crate::progress::Progress;
use dejavm_core::boundary::{OnHit, Outbound, Position, StopCondition, StopPoint, StopPoints};
use dejavm_core::machine::Machine;
use dejavm_core::types::{Icount, VcpuId};
use dejavm_replay::session::{Observer, ReplayStop, SessionError};
use dejavm_trace::linux::syscalls::{Syscall, Tracer};
use dejavm_trace::linux::{Kernel, LinuxError};

/// While there is no kernel yet, it is looked for after so many instructions.
const LOOK_ICOUNT: Icount = 1 << 25;

/// How it ended.
pub enum Followed {
    /// The stretch is done.
    Done,
    /// Nobody wants more.
    Stopped,
    /// No kernel was found in all of the stretch.
    NoKernel(LinuxError),
}

/// Sees how far it is, and whether the guest begins anew.
struct Watcher {
    progress: Progress,
    from: Icount,
    reset: bool,
}

impl Observer for Watcher {
    fn outbound(&mut self, event: Outbound) {
        self.reset |= matches!(event, Outbound::Reset(_));
    }

    fn progress(&mut self, icount: Icount, _total: Icount) -> bool {
        self.progress.done(icount.saturating_sub(self.from));
        !self.reset
    }
}

/// Takes calls: each with the machine where it returns, and the vCPU; None: it has not returned.
pub type Take<'a> = &'a mut dyn FnMut(Syscall, &Machine, Option<VcpuId>) -> bool;

/// Hands the system calls from `from` to before `to` to `take`, in the order in which they return;
/// then those that have not. `take` says whether to go on.
///
/// # Errors
/// If the replay fails.
pub fn follow(
    session: &mut FileReplay,
    from: Icount,
    to: Icount,
    take: Take<'_>,
) -> Result<Followed, SessionError> {
    let progress = Progress::icount("following system calls", from, to.min(session.last().icount));
    let mut watcher = Watcher { progress, from, reset: false };
    session.machine().machine().set_stop_points(&StopPoints::default());
    if from > session.first().icount {
        session.seek(from, &mut watcher)?;
    }
    let mut found = false;
    loop {
        watcher.reset = false;
        let kernel = match look(session, to, &mut watcher)? {
            Ok(kernel) => kernel,
            Err(_) if found => return Ok(Followed::Done),
            Err(error) => return Ok(Followed::NoKernel(error)),
        };
        let Ok(mut tracer) = Tracer::new(&kernel, &*session.machine().machine()) else { continue };
        found = true;
        let again = one_boot(session, &mut tracer, to, take, &mut watcher);
        session.machine().machine().set_stop_points(&StopPoints::default());
        match again? {
            Some(true) => {}
            Some(false) => return Ok(Followed::Stopped),
            None => {
                let machine = session.machine().machine();
                let more = tracer.unfinished().into_iter().all(|call| take(call, machine, None));
                return Ok(if more { Followed::Done } else { Followed::Stopped });
            }
        }
    }
}

/// Goes on until there is a kernel with its doors open.
fn look(
    session: &mut FileReplay,
    to: Icount,
    watcher: &mut Watcher,
) -> Result<Result<Kernel, LinuxError>, SessionError> {
    loop {
        let machine = session.machine().machine();
        let error = match Kernel::of_guest(machine) {
            Ok(kernel) => match Tracer::new(&kernel, machine).map(drop) {
                Ok(()) => return Ok(Ok(kernel)),
                Err(error) => error,
            },
            Err(error) => error,
        };
        let here = session.position().icount;
        let next = here.saturating_add(LOOK_ICOUNT).min(to);
        watcher.reset = false;
        if here >= next || session.run_until(next, watcher)? == ReplayStop::Ended {
            return Ok(Err(error));
        }
    }
}

/// Follows one boot of the guest. None: the stretch is done; else whether to go on with the next.
fn one_boot(
    session: &mut FileReplay,
    tracer: &mut Tracer<'_>,
    to: Icount,
    take: Take<'_>,
    watcher: &mut Watcher,
) -> Result<Option<bool>, SessionError> {
    let points = tracer.stops().into_iter().enumerate().map(|(id, address)| StopPoint {
        id: id as u32,
        vcpu: None,
        condition: StopCondition::Breakpoint { address },
    });
    let points = StopPoints { points: points.collect(), from: 0, on_hit: OnHit::Stop };
    session.machine().machine().set_stop_points(&points);
    loop {
        match session.run_until(to, watcher)? {
            ReplayStop::StopPoint => {
                let machine = session.machine().machine();
                let now_ns = machine.position().now_ns;
                for hit in machine.take_stop_hits().last {
                    let here = Position { icount: hit.icount, now_ns };
                    let returned = tracer.at_stop(&*machine, hit.vcpu, here);
                    if returned.is_some_and(|call| !take(call, machine, Some(hit.vcpu))) {
                        return Ok(Some(false));
                    }
                }
                machine.pass_breakpoints_here();
            }
            ReplayStop::Interrupted if watcher.reset => return Ok(Some(true)),
            ReplayStop::Reached | ReplayStop::Ended | ReplayStop::Interrupted => return Ok(None),
        }
    }
}
