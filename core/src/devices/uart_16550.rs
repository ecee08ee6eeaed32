//! 16550D UART (National Semiconductor PC16550D datasheet, sections 8.1 to 8.11).
//!
//! Bytes leave at once: the transmitter is always empty again after a write, so a guest never
//! waits for a line that has no physical speed. Reception keeps the FIFO, its trigger levels
//! and the character timeout, which follows from the divisor.

use crate::types::VirtualNs;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The size of the receive FIFO, in bytes.
pub const FIFO_BYTES: usize = 16;
const CRYSTAL_HZ: u64 = 1_843_200;

const IER_RDA: u8 = 1;
const IER_THRE: u8 = 2;
const IER_LINE: u8 = 4;
const IER_MODEM: u8 = 8;

const FCR_ENABLE: u8 = 1;
const FCR_CLEAR_RX: u8 = 2;

const LCR_DLAB: u8 = 0x80;

const MCR_OUT2: u8 = 8;
const MCR_LOOP: u8 = 0x10;

const LSR_DR: u8 = 1;
const LSR_OE: u8 = 2;
const LSR_FE: u8 = 8;
const LSR_BI: u8 = 0x10;
const LSR_THRE: u8 = 0x20;
const LSR_TEMT: u8 = 0x40;
const LSR_FIFO_ERROR: u8 = 0x80;

const MSR_TERI: u8 = 4;
/// CTS, DSR and DCD are up: somebody listens.
const MSR_CONNECTED: u8 = 0xB0;

/// A received character with its line errors (LSR bits 4:2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Received {
    byte: u8,
    errors: u8,
}

/// A 16550 with all of its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uart16550 {
    divisor: u16,
    ier: u8,
    fcr: u8,
    lcr: u8,
    mcr: u8,
    /// Delta bits (3:0) of the modem status.
    msr_delta: u8,
    scr: u8,
    overrun: bool,
    rx: VecDeque<Received>,
    thre_pending: bool,
    /// When the character timeout strikes, if nobody touches the FIFO.
    timeout_at: Option<VirtualNs>,
    timeout_pending: bool,
}

impl Default for Uart16550 {
    fn default() -> Self {
        Self {
            divisor: 12,
            ier: 0,
            fcr: 0,
            lcr: 0,
            mcr: 0,
            msr_delta: 0,
            scr: 0,
            overrun: false,
            rx: VecDeque::new(),
            thre_pending: false,
            timeout_at: None,
            timeout_pending: false,
        }
    }
}

impl Uart16550 {
    /// Reads register `offset` (0 to 7).
    pub fn read(&mut self, now: VirtualNs, offset: u16) -> u8 {
        let dlab = self.lcr & LCR_DLAB != 0;
        match offset {
            0 if dlab => self.divisor as u8,
            1 if dlab => (self.divisor >> 8) as u8,
            0 => self.read_rbr(now),
            1 => self.ier,
            2 => self.read_iir(),
            3 => self.lcr,
            4 => self.mcr,
            5 => self.read_lsr(),
            6 => self.read_msr(),
            _ => self.scr,
        }
    }

    /// Writes register `offset` (0 to 7); gives the byte that leaves on the line, if one does.
    pub fn write(&mut self, now: VirtualNs, offset: u16, value: u8) -> Option<u8> {
        let dlab = self.lcr & LCR_DLAB != 0;
        match offset {
            0 if dlab => self.divisor = self.divisor & 0xFF00 | u16::from(value),
            1 if dlab => self.divisor = self.divisor & 0x00FF | u16::from(value) << 8,
            0 => return self.transmit(now, value),
            1 => self.write_ier(value),
            2 => self.write_fcr(value),
            3 => self.lcr = value,
            4 => self.write_mcr(value),
            // LSR and MSR are read-only in practice (8.4, 8.8).
            5 | 6 => {}
            _ => self.scr = value,
        }
        None
    }

    /// The level of the interrupt line; a PC gates it with OUT2, which loopback takes away.
    pub fn irq(&self) -> bool {
        self.mcr & (MCR_OUT2 | MCR_LOOP) == MCR_OUT2 && self.source().is_some()
    }

    /// How many more bytes the receiver takes without an overrun.
    pub fn room(&self) -> usize {
        if self.mcr & MCR_LOOP != 0 { 0 } else { self.depth().saturating_sub(self.rx.len()) }
    }

    /// A byte arrives on the line.
    pub fn receive(&mut self, now: VirtualNs, byte: u8) {
        if self.mcr & MCR_LOOP == 0 {
            self.push(now, Received { byte, errors: 0 });
        }
    }

    /// A break condition arrives: one zero character with BI and FE (8.4, bit 4).
    pub fn receive_break(&mut self, now: VirtualNs) {
        if self.mcr & MCR_LOOP == 0 {
            self.push(now, Received { byte: 0, errors: LSR_BI | LSR_FE });
        }
    }

    /// When the character timeout strikes.
    pub fn next_deadline(&self) -> Option<VirtualNs> {
        self.timeout_at
    }

    /// Brings the chip to `now`.
    pub fn advance(&mut self, now: VirtualNs) {
        if self.timeout_at.is_some_and(|t| t <= now) {
            self.timeout_at = None;
            self.timeout_pending = true;
        }
    }

    fn fifo_enabled(&self) -> bool {
        self.fcr & FCR_ENABLE != 0
    }

    fn depth(&self) -> usize {
        if self.fifo_enabled() { FIFO_BYTES } else { 1 }
    }

    fn trigger(&self) -> usize {
        if self.fifo_enabled() { [1, 4, 8, 14][usize::from(self.fcr >> 6)] } else { 1 }
    }

    /// Four character times (8.11): start, data, parity and stop bits.
    fn timeout_ns(&self) -> VirtualNs {
        let parity = u64::from(self.lcr >> 3 & 1);
        let bits = 1 + 5 + u64::from(self.lcr & 3) + parity + 1 + u64::from(self.lcr >> 2 & 1);
        4 * bits * 16 * u64::from(self.divisor.max(1)) * 1_000_000_000 / CRYSTAL_HZ
    }

    fn restart_timeout(&mut self, now: VirtualNs) {
        self.timeout_pending = false;
        let waiting = self.fifo_enabled() && !self.rx.is_empty();
        self.timeout_at = waiting.then(|| now + self.timeout_ns());
    }

    fn push(&mut self, now: VirtualNs, received: Received) {
        if self.rx.len() < self.depth() {
            self.rx.push_back(received);
        } else {
            self.overrun = true;
            if !self.fifo_enabled() {
                // Without a FIFO the new character overwrites the old one (8.4, bit 1).
                self.rx[0] = received;
            }
        }
        self.restart_timeout(now);
    }

    fn read_rbr(&mut self, now: VirtualNs) -> u8 {
        let byte = self.rx.pop_front().map_or(0, |r| r.byte);
        self.restart_timeout(now);
        byte
    }

    /// IIR bits 3:1 of the pending interrupt of highest priority (8.7, table IV).
    fn source(&self) -> Option<u8> {
        let line = self.overrun || self.rx.front().is_some_and(|r| r.errors != 0);
        if self.ier & IER_LINE != 0 && line {
            Some(0x06)
        } else if self.ier & IER_RDA != 0 && self.rx.len() >= self.trigger() {
            Some(0x04)
        } else if self.ier & IER_RDA != 0 && self.timeout_pending {
            Some(0x0C)
        } else if self.ier & IER_THRE != 0 && self.thre_pending {
            Some(0x02)
        } else if self.ier & IER_MODEM != 0 && self.msr_delta != 0 {
            Some(0x00)
        } else {
            None
        }
    }

    fn read_iir(&mut self) -> u8 {
        let source = self.source();
        if source == Some(0x02) {
            self.thre_pending = false;
        }
        source.unwrap_or(0x01) | if self.fifo_enabled() { 0xC0 } else { 0 }
    }

    fn read_lsr(&mut self) -> u8 {
        let mut lsr = LSR_THRE | LSR_TEMT;
        if self.fifo_enabled() && self.rx.iter().any(|r| r.errors != 0) {
            lsr |= LSR_FIFO_ERROR;
        }
        if std::mem::take(&mut self.overrun) {
            lsr |= LSR_OE;
        }
        if let Some(first) = self.rx.front_mut() {
            lsr |= LSR_DR | std::mem::take(&mut first.errors);
        }
        lsr
    }

    fn modem_lines(&self) -> u8 {
        if self.mcr & MCR_LOOP == 0 {
            return MSR_CONNECTED;
        }
        // RTS -> CTS, DTR -> DSR, OUT1 -> RI, OUT2 -> DCD (8.6, bit 4).
        (self.mcr & 2) << 3 | (self.mcr & 1) << 5 | (self.mcr & 4) << 4 | (self.mcr & 8) << 4
    }

    fn read_msr(&mut self) -> u8 {
        self.modem_lines() | std::mem::take(&mut self.msr_delta)
    }

    fn write_mcr(&mut self, value: u8) {
        let before = self.modem_lines();
        self.mcr = value & 0x1F;
        let after = self.modem_lines();
        let changed = (before ^ after) >> 4;
        // RI counts only when it goes away (TERI).
        let ri = if before & !after & 0x40 != 0 { MSR_TERI } else { 0 };
        self.msr_delta |= changed & !MSR_TERI | ri;
    }

    fn write_ier(&mut self, value: u8) {
        let enabled = value & 0x0F & !self.ier;
        self.ier = value & 0x0F;
        if enabled & IER_THRE != 0 {
            self.thre_pending = true;
        }
    }

    fn write_fcr(&mut self, value: u8) {
        let toggled = (self.fcr ^ value) & FCR_ENABLE != 0;
        if toggled || value & FCR_CLEAR_RX != 0 {
            self.rx.clear();
            self.timeout_at = None;
            self.timeout_pending = false;
        }
        // The other bits are taken only together with bit 0 (8.5).
        self.fcr = if value & FCR_ENABLE != 0 { value & 0xC9 } else { 0 };
    }

    fn transmit(&mut self, now: VirtualNs, value: u8) -> Option<u8> {
        self.thre_pending = true;
        let byte = value & (0xFF >> (3 - (self.lcr & 3)));
        if self.mcr & MCR_LOOP != 0 {
            self.push(now, Received { byte, errors: 0 });
            return None;
        }
        Some(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> Uart16550 {
        let mut u = Uart16550::default();
        u.write(0, 3, 0x83);
        u.write(0, 0, 1);
        u.write(0, 1, 0);
        u.write(0, 3, 0x03);
        u.write(0, 4, 0x0B);
        u
    }

    #[test]
    fn transmits_at_once_and_interrupts_on_empty() {
        let mut u = ready();
        u.write(0, 1, IER_THRE);
        assert!(u.irq());
        assert_eq!(u.read(0, 2), 0x02);
        assert!(!u.irq(), "reading IIR clears THRE");
        assert_eq!(u.write(0, 0, b'x'), Some(b'x'));
        assert!(u.irq());
        assert_eq!(u.read(0, 5), 0x60);
    }

    #[test]
    fn five_bit_characters_lose_their_upper_bits() {
        let mut u = ready();
        u.write(0, 3, 0);
        assert_eq!(u.write(0, 0, 0xFF), Some(0x1F));
    }

    #[test]
    fn trigger_level_and_character_timeout() {
        let mut u = ready();
        u.write(0, 2, 0x81);
        u.write(0, 1, IER_RDA);
        for i in 0..7 {
            u.receive(1000, i);
        }
        assert!(!u.irq());
        // 4 characters of 10 bits at 115200 baud.
        let t = u.next_deadline().unwrap();
        assert_eq!(t - 1000, 4 * 10 * 1_000_000_000 / 115_200);
        u.advance(t);
        assert_eq!(u.read(t, 2), 0xCC);
        u.receive(t, 7);
        assert_eq!(u.read(t, 2), 0xC4);
        for i in 0..8 {
            assert_eq!(u.read(t, 0), i);
        }
        assert_eq!(u.next_deadline(), None);
        assert_eq!(u.read(t, 2), 0xC1);
    }

    #[test]
    fn overrun_keeps_the_fifo_and_shows_once() {
        let mut u = ready();
        u.write(0, 2, 1);
        u.write(0, 1, IER_LINE);
        for i in 0..17 {
            u.receive(0, i);
        }
        assert_eq!(u.room(), 0);
        assert_eq!(u.read(0, 2), 0xC6);
        assert_eq!(u.read(0, 5) & LSR_OE, LSR_OE);
        assert_eq!(u.read(0, 5) & LSR_OE, 0);
        assert_eq!(u.read(0, 0), 0);
    }

    #[test]
    fn without_fifo_the_newest_byte_wins() {
        let mut u = ready();
        assert_eq!(u.room(), 1);
        u.receive(0, 1);
        u.receive(0, 2);
        assert_eq!(u.read(0, 5) & (LSR_OE | LSR_DR), LSR_OE | LSR_DR);
        assert_eq!(u.read(0, 0), 2);
    }

    #[test]
    fn break_is_a_zero_with_errors() {
        let mut u = ready();
        u.write(0, 2, 1);
        u.receive_break(0);
        assert_eq!(u.read(0, 5), 0x60 | LSR_DR | LSR_BI | LSR_FE | LSR_FIFO_ERROR);
        assert_eq!(u.read(0, 5), 0x60 | LSR_DR);
        assert_eq!(u.read(0, 0), 0);
    }

    #[test]
    fn loopback_returns_data_and_modem_lines() {
        let mut u = ready();
        u.write(0, 4, MCR_LOOP | 0x0A);
        assert_eq!(u.read(0, 6) & 0xF0, 0x90);
        assert_eq!(u.write(0, 0, 0x5A), None);
        assert_eq!(u.read(0, 0), 0x5A);
        u.write(0, 1, IER_THRE);
        assert!(!u.irq(), "OUT2 is disconnected");
    }

    #[test]
    fn modem_deltas_clear_on_read() {
        let mut u = ready();
        u.read(0, 6);
        u.write(0, 1, IER_MODEM);
        u.write(0, 4, MCR_LOOP | 4);
        assert_eq!(u.read(0, 6), 0x40 | 0x0B, "CTS, DSR, DCD fell; a rising RI does not count");
        u.write(0, 4, MCR_LOOP);
        assert_eq!(u.read(0, 6), MSR_TERI);
        assert_eq!(u.read(0, 6), 0);
    }

    #[test]
    fn divisor_latch_and_scratch() {
        let mut u = ready();
        u.write(0, 3, 0x80);
        u.write(0, 0, 0x34);
        u.write(0, 1, 0x12);
        assert_eq!((u.read(0, 0), u.read(0, 1)), (0x34, 0x12));
        u.write(0, 7, 0xA5);
        assert_eq!(u.read(0, 7), 0xA5);
    }
}
