//! One terminal for the guest's console and the monitor: the ctrl-a escapes that QEMU users know.

/// What a byte from the terminal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MuxEvent {
    /// A byte for whoever has the terminal (see [`Mux::in_monitor`]).
    Byte(u8),
    /// The other one has the terminal now.
    SwitchFocus,
    /// Ask for help on the escapes.
    Help,
    /// End the program.
    Quit,
    /// A break condition on the guest's serial line.
    Break,
    /// Switch the timestamps of console lines on or off.
    ToggleTimestamps,
}

const CTRL_A: u8 = 1;

/// What ctrl-a h prints, a line each.
pub const HELP: &[&str] = &[
    "C-a h    print this help",
    "C-a x    exit",
    "C-a c    switch between console and monitor",
    "C-a b    send break to the console",
    "C-a t    toggle console timestamps",
    "C-a C-a  send C-a",
];

/// Reads the bytes of a terminal.
#[derive(Debug, Default)]
pub struct Mux {
    escaped: bool,
    in_monitor: bool,
}

impl Mux {
    /// The guest's console has the terminal, or the monitor.
    pub fn new(in_monitor: bool) -> Self {
        Self { escaped: false, in_monitor }
    }

    /// Whether the monitor has the terminal.
    pub fn in_monitor(&self) -> bool {
        self.in_monitor
    }

    /// Gives the terminal to the monitor or to the console.
    pub fn focus_monitor(&mut self, in_monitor: bool) {
        self.in_monitor = in_monitor;
    }

    /// Takes one byte; nothing comes of the first half of an escape, or of an unknown one.
    pub fn push(&mut self, byte: u8) -> Option<MuxEvent> {
        if !std::mem::take(&mut self.escaped) {
            self.escaped = byte == CTRL_A;
            return (!self.escaped).then_some(MuxEvent::Byte(byte));
        }
        match byte {
            CTRL_A => Some(MuxEvent::Byte(CTRL_A)),
            b'h' | b'?' => Some(MuxEvent::Help),
            b'x' => Some(MuxEvent::Quit),
            b'b' => Some(MuxEvent::Break),
            b't' => Some(MuxEvent::ToggleTimestamps),
            b'c' => {
                self.in_monitor = !self.in_monitor;
                Some(MuxEvent::SwitchFocus)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(bytes: &[u8]) -> Vec<MuxEvent> {
        let mut mux = Mux::default();
        bytes.iter().filter_map(|&b| mux.push(b)).collect()
    }

    #[test]
    fn plain_bytes_pass() {
        assert_eq!(events(b"a\x03"), [MuxEvent::Byte(b'a'), MuxEvent::Byte(3)]);
    }

    #[test]
    fn escapes() {
        assert_eq!(
            events(b"\x01h\x01x\x01b\x01t\x01\x01c"),
            [
                MuxEvent::Help,
                MuxEvent::Quit,
                MuxEvent::Break,
                MuxEvent::ToggleTimestamps,
                MuxEvent::Byte(1),
                MuxEvent::Byte(b'c'),
            ]
        );
    }

    #[test]
    fn an_unknown_escape_is_swallowed() {
        assert_eq!(events(b"\x01qa"), [MuxEvent::Byte(b'a')]);
    }

    #[test]
    fn ctrl_a_c_goes_to_the_monitor_and_back() {
        let mut mux = Mux::default();
        for expected in [true, false] {
            mux.push(1);
            assert_eq!(mux.push(b'c'), Some(MuxEvent::SwitchFocus));
            assert_eq!(mux.in_monitor(), expected);
        }
    }
}
