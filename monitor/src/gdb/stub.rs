//! One client: its bytes in, the replies out.

use super::filter::{Frame, Framer, PACKET_BYTES, error_text, frame, own_reply};
use super::request::{Link, Request};
use super::stops::Point;
use super::target::{RunTarget, tid};
use crate::control::{StopCause, Stopped};
use dejavm_core::boundary::HitCause;
use gdbstub::common::Signal;
use gdbstub::conn::Connection;
use gdbstub::stub::state_machine::GdbStubStateMachine;
use gdbstub::stub::{DisconnectReason, GdbStub, MultiThreadStopReason};
use gdbstub::target::ext::base::reverse_exec::ReplayLogPosition;
use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

/// What is to be sent.
#[derive(Clone, Default)]
struct Output(Rc<RefCell<Vec<u8>>>);

impl Connection for Output {
    type Error = Infallible;

    fn write(&mut self, byte: u8) -> Result<(), Infallible> {
        self.0.borrow_mut().push(byte);
        Ok(())
    }
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.borrow_mut().extend(bytes);
        Ok(())
    }
    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

type Machine<L> = GdbStubStateMachine<'static, RunTarget<L>, Output>;

/// The connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

/// One client.
pub struct Stub<L: Link> {
    framer: Framer,
    target: RunTarget<L>,
    /// None only if the client's last packet broke off what it was doing.
    machine: Option<Machine<L>>,
    output: Output,
    last_reply: Vec<u8>,
    acknowledges: bool,
}

impl<L: Link> Stub<L> {
    /// A client has come; the machine stops for it. None if the run is over.
    pub fn attach(link: L) -> Option<Self> {
        let output = Output::default();
        let mut target = RunTarget::new(link);
        target.ask(Request::Attach).ok()?;
        let stub = GdbStub::builder(output.clone()).packet_buffer_size(PACKET_BYTES + 4).build().ok()?;
        let machine = stub.run_state_machine(&mut target).ok();
        Some(Self {
            framer: Framer::default(),
            target,
            machine,
            output,
            last_reply: Vec::new(),
            acknowledges: true,
        })
    }

    /// Takes bytes of the client.
    ///
    /// # Errors
    /// [`Closed`], after what [`Self::take_output`] still gives.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Closed> {
        for &byte in bytes {
            match self.framer.push(byte) {
                None => {}
                Some(Frame::Packet(packet)) => self.packet(&packet)?,
                Some(Frame::Interrupt) => self.feed(&[3])?,
                Some(Frame::Repeat) => {
                    let last = self.last_reply.clone();
                    self.output.0.borrow_mut().extend(last);
                }
                Some(Frame::Damaged) => self.output.0.borrow_mut().push(b'-'),
                Some(Frame::TooLong) => return Err(self.close(false)),
            }
        }
        Ok(())
    }

    /// What is to be sent to the client.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut *self.output.0.borrow_mut())
    }

    /// The machine stands still, and why.
    ///
    /// # Errors
    /// [`Closed`], if the run is over.
    pub fn stopped(&mut self, stopped: Stopped) -> Result<(), Closed> {
        let reason = self.reason(stopped);
        let next = match self.machine.take() {
            Some(GdbStubStateMachine::Running(machine)) => machine.report_stop(&mut self.target, reason).ok(),
            // Nobody waits for it: someone else let the machine run.
            other => other,
        };
        self.machine = next;
        self.look_at_state()
    }

    /// The client is gone without a word.
    pub fn hang_up(mut self) {
        self.close(false);
    }

    fn packet(&mut self, packet: &[u8]) -> Result<(), Closed> {
        let before = self.output.0.borrow().len();
        let running = matches!(self.machine, Some(GdbStubStateMachine::Running(_)));
        if !running && let Some(reply) = own_reply(packet, &mut self.target.physical) {
            self.reply(before, &reply);
        } else {
            self.feed(&frame(packet))?;
            if let Some(why) = self.target.take_refusal() {
                self.reply(before, &error_text(&why));
            }
        }
        self.last_reply = self.output.0.borrow()[before..].to_vec();
        if packet == b"QStartNoAckMode" {
            self.acknowledges = false;
        }
        Ok(())
    }

    /// Puts a reply in place of what was to be sent from `start` on.
    fn reply(&mut self, start: usize, body: &[u8]) {
        let mut output = self.output.0.borrow_mut();
        output.truncate(start);
        if self.acknowledges {
            output.push(b'+');
        }
        output.extend(frame(body));
    }

    /// Gives bytes to the gdbstub crate.
    fn feed(&mut self, bytes: &[u8]) -> Result<(), Closed> {
        for &byte in bytes {
            let target = &mut self.target;
            self.machine = match self.machine.take() {
                Some(GdbStubStateMachine::Idle(machine)) => machine.incoming_data(target, byte).ok(),
                Some(GdbStubStateMachine::Running(machine)) => machine.incoming_data(target, byte).ok(),
                other => other,
            };
            self.look_at_state()?;
        }
        Ok(())
    }

    fn look_at_state(&mut self) -> Result<(), Closed> {
        match self.machine.take() {
            Some(GdbStubStateMachine::CtrlCInterrupt(machine)) => {
                if self.target.ask(Request::Interrupt).is_err() {
                    return Err(Closed);
                }
                let later: Option<MultiThreadStopReason<u64>> = None;
                self.machine = machine.interrupt_handled(&mut self.target, later).ok();
                Ok(())
            }
            Some(GdbStubStateMachine::Disconnected(machine)) => match machine.get_reason() {
                DisconnectReason::Kill => {
                    // Nobody is left to be told if the run is over already.
                    let _ = self.target.ask(Request::Kill);
                    Err(Closed)
                }
                DisconnectReason::Disconnect => Err(self.close(true)),
                DisconnectReason::TargetExited(_) | DisconnectReason::TargetTerminated(_) => {
                    Err(self.close(false))
                }
            },
            // A packet that no gdb sends.
            None => Err(self.close(false)),
            other => {
                self.machine = other;
                Ok(())
            }
        }
    }

    fn close(&mut self, resume: bool) -> Closed {
        let _ = self.target.ask(Request::Detach { resume });
        Closed
    }

    fn reason(&self, stopped: Stopped) -> MultiThreadStopReason<u64> {
        let tid = tid(stopped.vcpu);
        let signal = |signal| MultiThreadStopReason::SignalWithThread { tid, signal };
        match stopped.cause {
            StopCause::Hit(hit) => match (hit.cause, self.target.points.get(hit.id)) {
                (HitCause::Access { address, .. }, Some(&Point::Watch { address: start, kind, .. })) => {
                    MultiThreadStopReason::Watch { tid, kind, addr: address.max(start) }
                }
                (_, Some(Point::Software { .. })) => MultiThreadStopReason::SwBreak(tid),
                (_, Some(Point::Hardware { .. })) => MultiThreadStopReason::HwBreak(tid),
                _ => signal(Signal::SIGTRAP),
            },
            StopCause::Step => signal(Signal::SIGTRAP),
            StopCause::Interrupted => signal(Signal::SIGINT),
            StopCause::Begin => {
                MultiThreadStopReason::ReplayLog { tid: Some(tid), pos: ReplayLogPosition::Begin }
            }
            StopCause::End => {
                MultiThreadStopReason::ReplayLog { tid: Some(tid), pos: ReplayLogPosition::End }
            }
            StopCause::Exited(status) => MultiThreadStopReason::Exited(status),
        }
    }
}
