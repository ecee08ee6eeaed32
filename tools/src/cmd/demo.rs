//! `dejavm demo`: what it is all for, told with a guest that fails now and then.

use super::machine;
use super::verify::{reader, session_failure};
use crate::args::DemoArgs;
use crate::console::look;
use crate::console::replay::{FileReplay, Patience, seek};
use crate::demo::guest::{self, Guest};
use crate::demo::hunt::{self, Access, Event, Moment};
use crate::error::Failure;
use crate::exit::Exit;
use crate::hostio::{HostEvent, HostEvents};
use crate::output::print;
use crate::say;
use crossbeam_channel::{Receiver, unbounded};
use dejavm_core::boundary::{Images, Inbound, MachineConfig, Outbound};
use dejavm_core::machine::Accel;
use dejavm_replay::journal::EndReason;
use dejavm_replay::session::{
    Host, LiveOptions, Observer, RecordOptions, RecordSession, ReplaySession, Step, Waited,
};
use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

/// How many runs are made at least, to see how often it fails.
const LEAST_RUNS: u64 = 8;
/// How many runs are tried before the demo gives up.
const MOST_RUNS: u64 = 64;
/// The guest needs little.
const RAM_BYTES: u64 = 16 << 20;
/// About how often a key is typed.
const TYPING_PAUSE: Duration = Duration::from_millis(7);

const INTRODUCTION: &str = "\
A bug that shows in one run out of several, and is gone when you look for it: this is what
dejavm is for. Here is a bank's ledger, a guest of 64-bit code on an emulated PC. Three parties
pay into one total: a teller (the main program), interest (the timer interrupt), and you (each
key typed on the serial console). At the end of each day the books are audited.

Every run gets a fresh seed, and keys come when they come. Every run is recorded.
";

/// Does it.
pub fn execute(args: &DemoArgs) -> Result<Exit, Failure> {
    let start = Instant::now();
    let guest =
        guest::build().map_err(|e| Failure::new(format!("the demo's guest cannot be assembled: {e}")))?;
    say!("{INTRODUCTION}");
    let first_seed = args.seed.map_or_else(machine::host_seed, Ok)?;
    let Some(failed) = run_until_it_fails(&guest, &args.output, first_seed)? else {
        say!("Run the demo again: every time is different.");
        return Ok(Exit::Success);
    };
    say!("The first was run {}. What its console said:\n", failed.number);
    print(format_args!("{}", indented(&tail(&failed.console, 4))));
    say!(
        "\nWith a debugger attached, or run again, it would most likely not fail. But the run is\n\
         recorded: all that came in from outside ({} keys, each with its instruction count), in\n\
         {} bytes with the kernel. Here it is again.\n",
        failed.keys,
        failed.journal_bytes
    );
    let mut session = open(&args.output)?;
    replay(&mut session, &args.output, &failed)?;
    verify(&mut session, &args.output)?;
    let moment = find(&mut session, &guest, &args.output)?;
    show(&mut session, &args.output, &moment)?;
    say!("{}", further(&args.output, &moment, start));
    Ok(Exit::Success)
}

/// A recorded run that failed.
struct FailedRun {
    number: u64,
    console: Vec<u8>,
    keys: usize,
    journal_bytes: usize,
}

fn run_until_it_fails(guest: &Guest, journal: &Path, first_seed: u64) -> Result<Option<FailedRun>, Failure> {
    let mut first: Option<FailedRun> = None;
    let (mut runs, mut failures) = (0, 0);
    while runs < LEAST_RUNS || (first.is_none() && runs < MOST_RUNS) {
        let seed = first_seed.wrapping_add(runs);
        runs += 1;
        let (reason, host, bytes) = record(guest, seed)?;
        let verdict = match reason {
            EndReason::PowerOff => "closed, all accounted for",
            EndReason::DebugExit(guest::PANIC_CODE) => "PANIC: the audit failed",
            other => return Err(Failure::new(format!("the demo's guest ended unexpectedly: {other}"))),
        };
        say!("  run {runs:>2}: seed {seed:016x}, {:>2} keys typed: {verdict}", host.keys);
        if reason == EndReason::PowerOff {
            continue;
        }
        failures += 1;
        if first.is_none() {
            std::fs::write(journal, &bytes).map_err(|e| Failure::file("write", journal, &e))?;
            let journal_bytes = bytes.len();
            first = Some(FailedRun { number: runs, console: host.console, keys: host.keys, journal_bytes });
        }
    }
    say!(
        "
{failures} of {runs} runs failed."
    );
    Ok(first)
}

/// One run, with someone typing, and its journal.
fn record(guest: &Guest, seed: u64) -> Result<(EndReason, DemoHost, Vec<u8>), Failure> {
    let config = MachineConfig { seed, ram_bytes: RAM_BYTES, ..MachineConfig::default() };
    let images = Images { kernel: guest.kernel.clone(), initrd: None };
    let engine = machine::engine(&config, &images, Accel::Interp)?;
    let (sender, receiver) = unbounded();
    let events = HostEvents::new(sender);
    events.set_kicker(engine.kicker());
    let options = RecordOptions { kernel_file_name: "demo ledger".into(), ..RecordOptions::default() };
    let failed = |e: &dyn std::fmt::Display| Failure::new(format!("recording the demo: {e}"));
    let live = LiveOptions::default();
    let mut session =
        RecordSession::start(engine, &config, &images, Vec::new(), &options, live).map_err(|e| failed(&e))?;
    let mut host = DemoHost { receiver, typed: VecDeque::new(), console: Vec::new(), keys: 0 };
    let typist = std::thread::spawn(move || type_keys(&events));
    let reason = loop {
        if let Step::Ended(reason) = session.step(&mut host).map_err(|e| failed(&e))? {
            break reason;
        }
    };
    let (_, journal) = session.finish().map_err(|e| failed(&e))?;
    // The typist ends when nobody listens any more.
    host.receiver = unbounded().1;
    typist.join().map_err(|_| Failure::new("the demo's typist failed"))?;
    Ok((reason, host, journal))
}

/// Types until the run is over, as evenly as the host lets it.
fn type_keys(events: &HostEvents) {
    while events.send(HostEvent::Input(b"d".to_vec())) {
        std::thread::sleep(TYPING_PAUSE);
    }
}

/// The outside of a demo run: someone types, someone reads.
struct DemoHost {
    receiver: Receiver<HostEvent>,
    typed: VecDeque<u8>,
    console: Vec<u8>,
    keys: usize,
}

impl Observer for DemoHost {
    fn outbound(&mut self, event: Outbound) {
        if let Outbound::Serial { port: 0, byte } = event {
            self.console.push(byte);
        }
    }
}

impl Host for DemoHost {
    fn next_inbound(&mut self, room: &mut dyn FnMut(u8) -> usize) -> Option<Inbound> {
        for event in self.receiver.try_iter() {
            if let HostEvent::Input(bytes) = event {
                self.typed.extend(bytes);
            }
        }
        let count = self.typed.len().min(room(0));
        let bytes: Vec<u8> = self.typed.drain(..count).collect();
        self.keys += bytes.len();
        (!bytes.is_empty()).then_some(Inbound::Serial { port: 0, bytes })
    }

    fn has_backlog(&self) -> bool {
        !self.typed.is_empty()
    }

    fn flush_due(&mut self) -> bool {
        false
    }

    fn wait(&mut self, _max_ns: Option<u64>) -> Waited {
        Waited::NoMoreInput
    }
}

/// Keeps what the console says.
#[derive(Default)]
struct Listener(Vec<u8>);

impl Observer for Listener {
    fn outbound(&mut self, event: Outbound) {
        if let Outbound::Serial { port: 0, byte } = event {
            self.0.push(byte);
        }
    }
}

fn open(journal: &Path) -> Result<FileReplay, Failure> {
    ReplaySession::open(reader(journal)?, Images::default()).map_err(|e| session_failure(journal, &e))
}

fn replay(session: &mut FileReplay, journal: &Path, failed: &FailedRun) -> Result<(), Failure> {
    let mut listener = Listener::default();
    session.run_until(u64::MAX, &mut listener).map_err(|e| session_failure(journal, &e))?;
    if listener.0 != failed.console {
        return Err(Failure::new("the replay's console differs from the recorded one: a bug of dejavm"));
    }
    say!(
        "  replayed: {} instructions, the same {} bytes on the console, the same PANIC",
        session.position().icount,
        listener.0.len()
    );
    Ok(())
}

fn verify(session: &mut FileReplay, journal: &Path) -> Result<(), Failure> {
    match session.verify(&mut ()).map_err(|e| session_failure(journal, &e))? {
        Some(verdict) => {
            say!("  verified: all {} state hashes are equal (registers, devices, memory)\n", verdict.hashes);
            Ok(())
        }
        None => Err(Failure::new("the verification was interrupted")),
    }
}

fn find(session: &mut FileReplay, guest: &Guest, journal: &Path) -> Result<Moment, Failure> {
    let start = Instant::now();
    let end = session.last().icount;
    say!("When was the money lost? A binary search over the run: is anything missing at this instruction?");
    let moment = hunt::find(session, guest, end).map_err(|e| session_failure(journal, &e))?;
    let moment = moment.ok_or_else(|| Failure::new("nothing is missing in the run that failed"))?;
    say!(
        "Found after {} seeks ({} ms): the store at instruction {}, {} instructions before the panic.\n",
        moment.seeks,
        start.elapsed().as_millis(),
        moment.store_icount,
        end - moment.store_icount
    );
    Ok(moment)
}

/// The events of the moment, and the registers before the store.
fn show(session: &mut FileReplay, journal: &Path, moment: &Moment) -> Result<(), Failure> {
    say!("All that touched the total, from the teller's load to the teller's store:\n");
    for event in &moment.events {
        say!("{}", event_line(event));
    }
    say!(
        "\nThe teller stores a sum that was computed from what it loaded, before the interrupt. The\n\
         payment made in between is gone; the audit found out much later. The place, one instruction\n\
         before the store:"
    );
    seek(session, moment.store_icount, Patience::Endless).map_err(|e| session_failure(journal, &e))?;
    let text = look::place_text(session.machine().machine(), 3);
    let (registers, rest) = text.split_at(text.find("ES =").unwrap_or(0));
    let code = rest.rfind("\n\n").map_or("", |at| &rest[at + 1..]);
    say!("{registers}{code}");
    Ok(())
}

fn event_line(event: &Event) -> String {
    match event {
        Event::Interrupt { icount, vector } => {
            let who = match *vector {
                guest::TIMER_VECTOR => "timer",
                guest::SERIAL_VECTOR => "serial port",
                _ => "another device",
            };
            format!("  {icount:>10}  *** interrupt {vector:#04x}: {who} ***")
        }
        Event::Access { icount, access, text, total } => {
            let what = match access {
                Access::Load => "loads",
                Access::Store => "STORES",
                Access::Update => "adds",
            };
            format!("  {icount:>10}  {text:<62} {what:<6} total = {total}")
        }
    }
}

fn further(journal: &Path, moment: &Moment, start: Instant) -> String {
    let file = journal.display();
    let at = moment.store_icount;
    format!(
        "That took {:.1} s. The journal stays in {file}. Look further:

  \
         dejavm info {file}
  \
         dejavm events {file}
  \
         dejavm replay {file}
  \
         dejavm verify {file}
  \
         dejavm replay {file} --seek {at}

\
         and in the monitor that the last one opens:  x/4i $pc   x/1dg {:#x}   step   replay_seek {}

\
         With your own guest: dejavm record -o run.dj -kernel KERNEL -initrd INITRD -append 'console=ttyS0'",
        start.elapsed().as_secs_f64(),
        guest::TOTAL,
        at - 10,
    )
}

/// The last lines of a console.
fn tail(console: &[u8], lines: usize) -> String {
    let text = String::from_utf8_lossy(console).replace('\r', "");
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  | {line}\n")).collect()
}
