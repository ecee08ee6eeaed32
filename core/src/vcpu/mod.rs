//! The vCPU threads and their channels: the only threads of the core.
//!
//! The machine is owned, never shared: whoever runs it holds it, and it travels through the
//! channels. A vCPU's thread runs that vCPU's turn and hands the machine to the thread whose
//! turn is next, or back to the engine when the run is over. So at any time exactly one thread
//! can touch the machine, by construction; and since the order of turns is a function of the
//! machine alone, the host's scheduler has no part in it.

use crate::machine::{Machine, Prepared, RunLimit, StopReason};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// What a vCPU thread is told.
enum Command {
    /// Run your vCPU's turn.
    Turn { machine: Box<Machine>, limit: RunLimit },
    /// End.
    Quit,
}

/// A finished run.
struct Done {
    machine: Box<Machine>,
    reason: StopReason,
}

/// Asks a running [`Engine`] to stop soon; may be cloned and sent anywhere.
#[derive(Clone)]
pub struct Kicker(Arc<AtomicBool>);

impl Kicker {
    /// The current or next [`Engine::run`] returns [`StopReason::Kicked`], unless it stops for
    /// another reason first.
    pub fn kick(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A machine with a thread for each of its vCPUs.
pub struct Engine {
    machine: Option<Box<Machine>>,
    commands: Vec<Sender<Command>>,
    done: Receiver<Done>,
    kicked: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Starts the threads; the machine waits for [`Self::run`].
    pub fn new(machine: Machine) -> Self {
        let kicked = Arc::new(AtomicBool::new(false));
        let (done_tx, done) = bounded(1);
        let channels: Vec<_> = machine.vcpus().iter().map(|_| unbounded()).collect();
        let commands: Vec<Sender<Command>> = channels.iter().map(|(tx, _)| tx.clone()).collect();
        let threads = channels
            .into_iter()
            .enumerate()
            .map(|(id, (_, inbox))| {
                let worker = Worker {
                    id,
                    inbox,
                    commands: commands.clone(),
                    done: done_tx.clone(),
                    kicked: kicked.clone(),
                };
                std::thread::Builder::new()
                    .name(format!("vcpu{id}"))
                    .spawn(move || worker.serve())
                    .expect("the host starts a thread per vCPU")
            })
            .collect();
        Self { machine: Some(Box::new(machine)), commands, done, kicked, threads }
    }

    /// A handle that makes [`Self::run`] return.
    pub fn kicker(&self) -> Kicker {
        Kicker(self.kicked.clone())
    }

    /// The machine, which stands still.
    pub fn machine(&mut self) -> &mut Machine {
        self.machine.as_mut().expect("the machine is here whenever no run is under way")
    }

    /// Runs the machine on its vCPU threads until something stops it.
    ///
    /// # Panics
    /// If a vCPU thread panicked: a bug of ours, which took the machine with it.
    pub fn run(&mut self, limit: &RunLimit) -> StopReason {
        let mut machine = self.machine.take().expect("the machine is here whenever no run is under way");
        let reason = match machine.prepare(limit, || self.kicked.load(Ordering::Acquire)) {
            Prepared::Stop(reason) => {
                self.machine = Some(machine);
                reason
            }
            Prepared::Run(id) => {
                let turn = Command::Turn { machine, limit: *limit };
                self.commands[id].send(turn).expect("vCPU threads live as long as the engine");
                let done = self.done.recv().expect("a vCPU thread panicked");
                self.machine = Some(done.machine);
                done.reason
            }
        };
        if reason == StopReason::Kicked {
            self.kicked.store(false, Ordering::Release);
        }
        reason
    }

    /// Ends the threads and gives the machine back.
    pub fn into_machine(mut self) -> Machine {
        *self.machine.take().expect("the machine is here whenever no run is under way")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for tx in &self.commands {
            // A thread that panicked has no receiver any more; there is nobody left to tell.
            let _ = tx.send(Command::Quit);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// One vCPU's thread.
struct Worker {
    id: usize,
    inbox: Receiver<Command>,
    commands: Vec<Sender<Command>>,
    done: Sender<Done>,
    kicked: Arc<AtomicBool>,
}

impl Worker {
    fn serve(&self) {
        while let Ok(Command::Turn { machine, limit }) = self.inbox.recv() {
            self.turn(machine, limit);
        }
    }

    /// Runs this vCPU as long as it is its turn, then passes the machine on.
    fn turn(&self, mut machine: Box<Machine>, limit: RunLimit) {
        let panic_guard = Sentinel(self);
        loop {
            machine.execute(self.id, &limit);
            match machine.prepare(&limit, || self.kicked.load(Ordering::Acquire)) {
                Prepared::Run(next) if next == self.id => {}
                Prepared::Run(next) => {
                    // Fails only while the engine is being dropped: the machine ends here.
                    let _ = self.commands[next].send(Command::Turn { machine, limit });
                    break;
                }
                Prepared::Stop(reason) => {
                    let _ = self.done.send(Done { machine, reason });
                    break;
                }
            }
        }
        std::mem::forget(panic_guard);
    }
}

/// Ends the process if a vCPU thread unwinds: the engine would wait for its machine for ever.
struct Sentinel<'a>(&'a Worker);

impl Drop for Sentinel<'_> {
    fn drop(&mut self) {
        tracing::error!(vcpu = self.0.id, "a vCPU thread panicked; the machine is lost");
        std::process::abort();
    }
}
