//! What is typed: a thread that reads stdin. When it arrives in the machine is decided by the
//! one who drives it, and journalled there; nothing here touches the machine.

use super::{HostEvent, HostEvents};
use std::io::Read;

/// The most bytes of one event.
const MOST_BYTES: usize = 4096;

/// Starts reading stdin. The thread ends with stdin or with the process.
///
/// # Errors
/// If the host cannot start a thread.
pub fn read_stdin(events: HostEvents) -> std::io::Result<()> {
    std::thread::Builder::new().name("stdin".into()).spawn(move || pump(std::io::stdin().lock(), &events))?;
    Ok(())
}

fn pump(mut input: impl Read, events: &HostEvents) {
    let mut buffer = [0; MOST_BYTES];
    loop {
        let event = match input.read(&mut buffer) {
            Ok(0) => HostEvent::InputEnded,
            Ok(n) => HostEvent::Input(buffer[..n].to_vec()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => {
                tracing::warn!(%error, "stdin cannot be read any more");
                HostEvent::InputEnded
            }
        };
        let last = event == HostEvent::InputEnded;
        if !events.send(event) || last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_arrives_in_order_and_its_end_is_told() {
        let (sender, receiver) = crossbeam_channel::unbounded();
        pump(&b"abc"[..], &HostEvents::new(sender));
        let events: Vec<_> = receiver.try_iter().collect();
        assert_eq!(events, [HostEvent::Input(b"abc".to_vec()), HostEvent::InputEnded]);
    }
}
