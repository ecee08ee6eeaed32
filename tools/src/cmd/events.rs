//! `dejavm events`: what came in from outside, a line each.

use super::verify::{journal_failure, reader};
use crate::args::EventsArgs;
use crate::error::Failure;
use crate::exit::Exit;
use dejavm_core::boundary::{Change, Inbound, Position};
use std::io::Write as _;

/// How many bytes of what a debugger wrote are shown.
const MOST_BYTES: usize = 16;

/// Does it.
pub fn execute(args: &EventsArgs) -> Result<Exit, Failure> {
    let mut reader = reader(&args.journal)?;
    let chunks: Vec<_> = reader.events_chunks().copied().collect();
    let mut stdout = std::io::stdout().lock();
    for chunk in chunks {
        let chunk = reader.read_events(&chunk).map_err(|e| journal_failure(&args.journal, &e))?;
        for (position, event) in &chunk.events {
            if writeln!(stdout, "{}", line(*position, event)).is_err() {
                // Whoever reads has seen enough.
                return Ok(Exit::Success);
            }
        }
    }
    Ok(Exit::Success)
}

/// Icount, virtual time in seconds, class, contents.
pub fn line(at: Position, event: &Inbound) -> String {
    let class = event.class_and_size().0.name();
    let seconds = at.now_ns / 1_000_000_000;
    let ns = at.now_ns % 1_000_000_000;
    let contents = match event {
        Inbound::Serial { port, bytes } => format!(" port={port} \"{}\"", bytes.escape_ascii()),
        Inbound::SerialBreak { port } => format!(" port={port}"),
        Inbound::Keyboard { scan_codes } => {
            scan_codes.iter().map(|code| format!(" {code:02x}")).collect::<String>()
        }
        Inbound::Debugger(write) => debugger_text(&write.change),
        Inbound::PortWrite(w) => {
            format!(" port={:#x} size={} value={:#x}", w.port, w.size, w.value)
        }
        Inbound::Reset | Inbound::PowerButton | Inbound::Nmi => String::new(),
    };
    format!("{:>14} {seconds:>6}.{ns:09} {class}{contents}", at.icount)
}

/// What a debugger changed.
fn debugger_text(change: &Change) -> String {
    match change {
        Change::Memory { gpa, bytes } => {
            let shown: String = bytes.iter().take(MOST_BYTES).map(|byte| format!(" {byte:02x}")).collect();
            let more = if bytes.len() > MOST_BYTES { " ..." } else { "" };
            format!(" {} bytes at {gpa:#x}:{shown}{more}", bytes.len())
        }
        Change::Registers { vcpu, values } => {
            let values = values.iter().map(|(register, value)| format!(" {}={value:#x}", register.name()));
            format!(" vcpu{vcpu}{}", values.collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dejavm_core::boundary::{CpuRegister, DebuggerWrite};

    #[test]
    fn lines() {
        let at = Position { icount: 1234, now_ns: 1_000_000_007 };
        assert_eq!(
            line(at, &Inbound::Serial { port: 0, bytes: b"ls\r".to_vec() }),
            "          1234      1.000000007 serial port=0 \"ls\\r\""
        );
        assert_eq!(
            line(at, &Inbound::Keyboard { scan_codes: vec![0x1E, 0x9E] }),
            "          1234      1.000000007 keyboard 1e 9e"
        );
        let written = |change| Inbound::Debugger(DebuggerWrite { begun: false, change });
        assert_eq!(
            line(at, &written(Change::Memory { gpa: 0x1000, bytes: vec![1, 0xAB] })),
            "          1234      1.000000007 debugger 2 bytes at 0x1000: 01 ab"
        );
        let values = vec![(CpuRegister::Rip, 0x10), (CpuRegister::Xmm(3), 5)];
        assert_eq!(
            line(at, &written(Change::Registers { vcpu: 1, values })),
            "          1234      1.000000007 debugger vcpu1 rip=0x10 xmm3=0x5"
        );
        assert_eq!(line(at, &Inbound::Nmi), "          1234      1.000000007 nmi");
    }
}
