//! What stands between the bytes of a client and the gdbstub crate: packets whole and with a
//! right checksum, and those of QEMU's that the crate does not know.

/// The longest packet that is taken, in bytes. A client is told that it may send as many.
pub const PACKET_BYTES: usize = 0x1_0000;

/// What came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A packet, without `$` and checksum.
    Packet(Vec<u8>),
    /// ctrl-c.
    Interrupt,
    /// The client did not understand the last reply.
    Repeat,
    /// A packet with a wrong checksum.
    Damaged,
    /// A packet longer than any may be: there is no use in going on.
    TooLong,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Between,
    Body,
    Checksum(Option<u8>),
}

/// Puts bytes together to packets.
#[derive(Debug, Default)]
pub struct Framer {
    state: State,
    body: Vec<u8>,
}

impl Framer {
    /// Takes a byte.
    pub fn push(&mut self, byte: u8) -> Option<Frame> {
        match self.state {
            State::Between => match byte {
                b'$' => {
                    self.body.clear();
                    self.state = State::Body;
                    None
                }
                3 => Some(Frame::Interrupt),
                b'-' => Some(Frame::Repeat),
                _ => None,
            },
            State::Body if byte == b'#' => {
                self.state = State::Checksum(None);
                None
            }
            State::Body if self.body.len() == PACKET_BYTES => Some(Frame::TooLong),
            State::Body => {
                self.body.push(byte);
                None
            }
            State::Checksum(None) => {
                self.state = State::Checksum(Some(byte));
                None
            }
            State::Checksum(Some(first)) => {
                self.state = State::Between;
                let right = hex_byte(first, byte) == Some(checksum(&self.body));
                Some(if right { Frame::Packet(std::mem::take(&mut self.body)) } else { Frame::Damaged })
            }
        }
    }
}

fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let digit = |c: u8| char::from(c).to_digit(16).map(|d| d as u8);
    Some(digit(high)? << 4 | digit(low)?)
}

fn checksum(body: &[u8]) -> u8 {
    body.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// A packet as it goes over the wire.
pub fn frame(body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![b'$'];
    bytes.extend(body);
    bytes.extend(format!("#{:02x}", checksum(body)).bytes());
    bytes
}

/// An error reply with a text, which gdb shows for some packets.
pub fn error_text(text: &str) -> Vec<u8> {
    let plain = |c: char| if c.is_ascii_graphic() && !"#$}*".contains(c) || c == ' ' { c } else { '_' };
    let text: String = text.chars().map(plain).collect();
    format!("E.{text}").into_bytes()
}

/// The reply to a packet that is not for the gdbstub crate; `physical` is QEMU's mode in which
/// all addresses are physical ones.
pub fn own_reply(packet: &[u8], physical: &mut bool) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(packet).ok()?;
    let reply = match text {
        "qqemu.PhyMemMode" => u8::from(*physical).to_string(),
        // Single steps always take interrupts: they are of the run.
        "qqemu.sstepbits" => "ENABLE=1".to_owned(),
        "qqemu.sstep" => "0x1".to_owned(),
        "Qqemu.sstep=1" | "qqemu.sstep=1" => "OK".to_owned(),
        _ => {
            if let Some(mode) = text.strip_prefix("Qqemu.PhyMemMode:") {
                *physical = match mode {
                    "0" => false,
                    "1" => true,
                    _ => return Some(b"E22".to_vec()),
                };
                "OK".to_owned()
            } else if text.strip_prefix('m').is_some_and(|range| !sane_range(range)) {
                "E22".to_owned()
            } else {
                return None;
            }
        }
    };
    Some(reply.into_bytes())
}

/// Whether `ADDRESS,LENGTH` is short enough for a reply and does not wrap.
fn sane_range(range: &str) -> bool {
    let Some((address, len)) = range.split_once(',') else { return false };
    let number = |text| u64::from_str_radix(text, 16).ok();
    let (Some(address), Some(len)) = (number(address), number(len)) else { return false };
    len <= (PACKET_BYTES / 2) as u64 && address.checked_add(len).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(bytes: &[u8]) -> Vec<Frame> {
        let mut framer = Framer::default();
        bytes.iter().filter_map(|&byte| framer.push(byte)).collect()
    }

    #[test]
    fn packets_come_whole_and_checked() {
        assert_eq!(frames(b"+$g#67+"), [Frame::Packet(b"g".to_vec())]);
        assert_eq!(
            frames(b"$g#68$g#zz$?#3F"),
            [Frame::Damaged, Frame::Damaged, Frame::Packet(b"?".to_vec())]
        );
        assert_eq!(frames(b"\x03-"), [Frame::Interrupt, Frame::Repeat]);
        assert_eq!(frames(b"$m0,3\x03"), [], "within a packet it is a byte like others");
        assert_eq!(frames(&vec![b'$'; PACKET_BYTES + 2]), [Frame::TooLong]);
        assert_eq!(frame(b"OK"), b"$OK#9a");
    }

    #[test]
    fn physical_mode_is_qemus() {
        let mut physical = false;
        let mut reply =
            |packet: &str| own_reply(packet.as_bytes(), &mut physical).map(|r| String::from_utf8(r).unwrap());
        assert_eq!(reply("qqemu.PhyMemMode").as_deref(), Some("0"));
        assert_eq!(reply("Qqemu.PhyMemMode:1").as_deref(), Some("OK"));
        assert_eq!(reply("qqemu.PhyMemMode").as_deref(), Some("1"));
        assert_eq!(reply("Qqemu.PhyMemMode:2").as_deref(), Some("E22"));
        assert_eq!(reply("qSupported"), None);
    }

    #[test]
    fn ranges_that_cannot_be_read_are_refused() {
        let refused = |packet: &str| own_reply(packet.as_bytes(), &mut false).is_some();
        assert!(!refused("mffffffff81000000,40"));
        assert!(refused("m0,ffffffffff"));
        assert!(refused("mffffffffffffffff,2"));
        assert!(refused("m"));
    }

    #[test]
    fn texts_of_errors_fit_into_a_packet() {
        assert_eq!(error_text("no: $a#1}"), b"E.no: _a_1_");
    }
}
