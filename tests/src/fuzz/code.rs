//! Random machine code that gets somewhere: bytes of any kind, among them sequences that reach
//! devices, MSRs, control registers, tables and the code itself.

use super::guest::layout;
use crate::rng::Rng;

/// Ports that somebody answers at, or just beside.
const PORTS: [u16; 48] = [
    0x00, 0x20, 0x21, 0x40, 0x41, 0x42, 0x43, 0x60, 0x61, 0x64, 0x70, 0x71, 0x80, 0x92, 0xA0, 0xA1, 0xE9,
    0xED, 0xF0, 0x2F8, 0x2F9, 0x2FA, 0x2FB, 0x2FC, 0x2FD, 0x2FE, 0x2FF, 0x3F8, 0x3F9, 0x3FA, 0x3FB, 0x3FC,
    0x3FD, 0x3FE, 0x3FF, 0x600, 0x602, 0x604, 0x608, 0x60C, 0x610, 0xCF8, 0xCFA, 0xCFC, 0xCFD, 0xCFF, 0x4D0,
    0xFFFF,
];
/// Ports that end the run: rare.
const LAST_PORTS: [u16; 3] = [0xF4, 0xCF9, 0x604];

/// Registers in memory, and addresses around them.
const MMIO: [u64; 8] =
    [0xFEE0_0000, 0xFEC0_0000, 0xFED0_0000, 0xE000_0000, 0xEFFF_FFF8, 0xFEC0_0FFC, 0xFED0_0FF8, 0xC000_0000];

const MSRS: [u32; 40] = [
    0x10,
    0x1B,
    0x3B,
    0x8B,
    0xFE,
    0x174,
    0x175,
    0x176,
    0x179,
    0x17A,
    0x1A0,
    0x1D9,
    0x200,
    0x201,
    0x20F,
    0x250,
    0x26F,
    0x277,
    0x2FF,
    0x6E0,
    0x802,
    0x808,
    0x80B,
    0x80D,
    0x80F,
    0x828,
    0x830,
    0x832,
    0x838,
    0x839,
    0x83E,
    0x83F,
    0xC000_0080,
    0xC000_0081,
    0xC000_0082,
    0xC000_0084,
    0xC000_0100,
    0xC000_0101,
    0xC000_0103,
    0xC001_0015,
];

const PREFIXES: [u8; 12] = [0x66, 0x67, 0xF0, 0xF2, 0xF3, 0x2E, 0x36, 0x3E, 0x26, 0x64, 0x65, 0x48];
const STRINGS: [u8; 14] =
    [0xA4, 0xA5, 0xA6, 0xA7, 0xAA, 0xAB, 0xAC, 0xAD, 0xAE, 0xAF, 0x6C, 0x6D, 0x6E, 0x6F];

/// A value that tends to matter.
pub fn value(rng: &mut Rng) -> u64 {
    match rng.below(12) {
        0 => 0,
        1 => u64::MAX >> rng.below(64),
        2 => 1 << rng.below(64),
        3 => (1u64 << rng.below(64)).wrapping_sub(rng.below(17)),
        4 => rng.below(256),
        5 => rng.pick(&MMIO) + rng.below(0x400) * 4,
        6 => layout::CODE + rng.below(layout::CODE_BYTES),
        7 => layout::DATA + rng.below(0x1_0000),
        8 => layout::GDT + rng.below(0x8000),
        9 => layout::STACK_END - rng.below(0x100),
        10 => (i64::MIN >> rng.below(64)) as u64,
        _ => rng.u64() >> rng.below(64),
    }
}

/// Random code for a code size of `bits`.
pub struct Writer<'a> {
    rng: &'a mut Rng,
    bits: u32,
    out: Vec<u8>,
}

/// `len` bytes of it.
pub fn code(rng: &mut Rng, bits: u32, len: u64) -> Vec<u8> {
    let mut w = Writer { rng, bits, out: Vec::new() };
    while (w.out.len() as u64) < len {
        w.item();
    }
    w.out.truncate(len as usize);
    w.out
}

impl Writer<'_> {
    fn item(&mut self) {
        match self.rng.below(64) {
            0..20 => self.any_instruction(),
            20..24 => self.any_bytes(),
            24..33 => self.port(),
            33..38 => self.memory(&MMIO, 0x400),
            38..43 => self.msr(),
            43..49 => self.system(),
            49..54 => self.flow(),
            54..56 => self.idle(),
            56..60 => self.string(),
            60..62 => self.memory(&[layout::CODE], layout::CODE_BYTES / 4),
            _ => self.memory(&[layout::PAGE_TABLES, layout::GDT, layout::IDT], 0x1800),
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    fn wide(&mut self) {
        if self.bits == 16 {
            self.put(&[0x66]);
        }
    }

    /// MOV r32, imm32.
    fn load(&mut self, register: u8, value: u32) {
        self.wide();
        self.put(&[0xB8 + register]);
        self.put(&value.to_le_bytes());
    }

    fn value32(&mut self) -> u32 {
        value(self.rng) as u32
    }

    fn any_instruction(&mut self) {
        for _ in 0..self.rng.below(3) {
            let prefix = self.rng.pick(&PREFIXES);
            self.put(&[prefix]);
        }
        if self.bits == 64 && self.rng.one_in(2) {
            let rex = 0x40 | self.rng.below(16) as u8;
            self.put(&[rex]);
        }
        match self.rng.below(8) {
            0..4 => {}
            4..6 => self.put(&[0x0F]),
            6 => self.put(&[0x0F, 0x38]),
            _ => self.put(&[0x0F, 0x3A]),
        }
        let tail = self.rng.u64().to_le_bytes();
        let len = 2 + self.rng.below(6) as usize;
        self.put(&tail[..len]);
    }

    fn any_bytes(&mut self) {
        let bytes = self.rng.u64().to_le_bytes();
        let len = 1 + self.rng.below(8) as usize;
        self.put(&bytes[..len]);
    }

    fn port(&mut self) {
        let port = if self.rng.one_in(200) { self.rng.pick(&LAST_PORTS) } else { self.rng.pick(&PORTS) };
        self.load(2, port.into());
        for _ in 0..1 + self.rng.below(4) {
            let v = self.value32();
            self.load(0, v);
            if self.rng.one_in(3) {
                self.put(&[0x66]);
            }
            let op = self.rng.pick(&[0xEC, 0xED, 0xEE, 0xEE, 0xEE, 0xEF]);
            self.put(&[op]);
        }
    }

    /// Loads and stores around an address that means something.
    fn memory(&mut self, bases: &[u64], words: u64) {
        let address =
            self.rng.pick(bases) + 4 * self.rng.below(words) + if self.rng.one_in(8) { 1 } else { 0 };
        self.load(7, address as u32);
        let v = self.value32();
        self.load(0, v);
        if self.bits == 16 {
            self.put(&[0x67]);
        }
        if self.rng.one_in(3) {
            let prefix = if self.bits == 64 { 0x48 } else { 0x66 };
            self.put(&[prefix]);
        }
        // MOV, ADD, XCHG, MOVUPS: [EDI].
        match self.rng.below(6) {
            0 => self.put(&[0x8B, 0x07]),
            1 => self.put(&[0x01, 0x07]),
            2 => self.put(&[0x87, 0x07]),
            3 => self.put(&[0x0F, 0x11, 0x07]),
            4 => self.put(&[0x0F, 0x10, 0x07]),
            _ => self.put(&[0x89, 0x07]),
        }
    }

    fn msr(&mut self) {
        let msr = if self.rng.one_in(6) { 0x800 + self.rng.below(0x40) as u32 } else { self.rng.pick(&MSRS) };
        self.load(1, msr);
        let (low, high) = (self.value32(), if self.rng.one_in(2) { 0 } else { self.value32() });
        self.load(0, low);
        self.load(2, high);
        let op = self.rng.pick(&[0x30, 0x30, 0x32]);
        self.put(&[0x0F, op]);
    }

    fn system(&mut self) {
        let v = if self.rng.one_in(2) { self.rng.below(32) as u32 * 8 } else { self.value32() };
        self.load(0, v);
        let n = (self.rng.below(8) << 3) as u8;
        match self.rng.below(12) {
            // MOV CRn / DRn, EAX and back.
            0 | 1 => self.put(&[0x0F, 0x22, 0xC0 | n]),
            2 => self.put(&[0x0F, 0x23, 0xC0 | n]),
            3 => self.put(&[0x0F, 0x20, 0xC0 | n]),
            // LGDT, LIDT, SIDT ...: [EBP]; LLDT, LTR, VERR: EAX.
            4 => self.put(&[0x0F, 0x01, 0x45 | n, 0]),
            5 | 6 => self.put(&[0x0F, 0x00, 0xC0 | n]),
            // MOV Sreg, EAX.
            7 | 8 => self.put(&[0x8E, 0xC0 | n]),
            // XSETBV, SWAPGS, MONITOR and their neighbours.
            9 => {
                let low = self.rng.below(64) as u8;
                self.put(&[0x0F, 0x01, 0xC0 | low]);
            }
            // FXSAVE and its neighbours: [ESI].
            10 => self.put(&[0x0F, 0xAE, 0x06 | n]),
            _ => self.put(&[0x0F, 0xC7, 0x06 | n]),
        }
    }

    fn flow(&mut self) {
        let near = self.rng.below(64) as u8;
        let n = self.rng.below(256) as u8;
        match self.rng.below(12) {
            0 => self.put(&[0xEB, near.wrapping_sub(32)]),
            1 => self.put(&[0x70 | n & 15, near.wrapping_sub(32)]),
            2 => self.put(&[0xE0 | n & 3, near.wrapping_sub(48)]),
            3 => self.put(&[0xCD, n]),
            4 => self.put(&[0xCF]),
            5 => self.put(&[0x48, 0xCF]),
            6 => self.put(&[0xCB]),
            7 => self.put(&[0x0F, n & 0x37 | 0x05]),
            8 => self.put(&[0xFF, 0x10 | n & 0x2F]),
            9 => {
                let target = layout::CODE as u32 + self.rng.below(layout::CODE_BYTES) as u32;
                self.wide();
                let opcode = self.far_opcode();
                self.put(&[opcode]);
                self.put(&target.to_le_bytes());
                let selector = self.rng.below(32) as u16 * 8 | self.rng.pick(&[0, 0, 3, 4]);
                self.put(&selector.to_le_bytes());
            }
            10 => self.put(&[0xE8, near, 0, 0, 0]),
            _ => self.put(&[0xC8, n, 0, n & 0x1F, 0xC9]),
        }
    }

    fn far_opcode(&mut self) -> u8 {
        self.rng.pick(&[0xEA, 0x9A])
    }

    fn idle(&mut self) {
        let n = self.rng.below(256) as u8;
        match self.rng.below(9) {
            // PUSHF, POP; RDTSC; MOV from a segment register; STI before one of them.
            5 => self.put(&[0x9C, 0x58 | n & 3]),
            6 => self.put(&[0x0F, 0x31]),
            7 => self.put(&[0x8C, 0xC0 | n & 0x2B]),
            8 => self.put(&[0xFB, 0x9C, 0x0F, 0x31, 0xFA, 0x58]),
            0 => self.put(&[0xFB, 0xF4]),
            1 => self.put(&[0xF3, 0x90]),
            2 => self.put(&[0xFA]),
            3 => {
                let flags = value(self.rng) as u32;
                self.wide();
                self.put(&[0x68]);
                self.put(&flags.to_le_bytes());
                self.wide();
                self.put(&[0x9D]);
            }
            _ => self.put(&[0xFB]),
        }
    }

    fn string(&mut self) {
        let count = if self.rng.one_in(3) { self.value32() } else { self.rng.below(40) as u32 };
        self.load(1, count);
        if self.rng.one_in(2) {
            let (to, from) = (self.value32(), self.value32());
            self.load(7, to);
            self.load(6, from);
        }
        let direction = self.rng.pick(&[0xFC, 0xFC, 0xFD]);
        let repeat = self.rng.pick(&[0xF3, 0xF3, 0xF2, 0x67]);
        let op = self.rng.pick(&STRINGS);
        self.put(&[direction, repeat, op]);
    }
}
