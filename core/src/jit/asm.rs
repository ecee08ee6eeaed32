//! A small encoder of x86-64 instructions: the forms that translations consist of.

/// Host registers by number.
pub mod host {
    #![allow(missing_docs)]
    pub const RAX: u8 = 0;
    pub const RCX: u8 = 1;
    pub const RDX: u8 = 2;
    pub const RBX: u8 = 3;
    pub const RSP: u8 = 4;
    pub const RBP: u8 = 5;
    pub const RSI: u8 = 6;
    pub const RDI: u8 = 7;
    pub const R8: u8 = 8;
    pub const R9: u8 = 9;
    pub const R10: u8 = 10;
    pub const R11: u8 = 11;
    pub const R12: u8 = 12;
    pub const R13: u8 = 13;
    pub const R14: u8 = 14;
    pub const R15: u8 = 15;
}

/// No index register.
pub const NONE: u8 = 0xFF;

/// The width of an operation, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 8 bits.
    B,
    /// 16 bits.
    W,
    /// 32 bits.
    D,
    /// 64 bits.
    Q,
}

impl Width {
    /// From a number of bytes.
    pub fn of(bytes: usize) -> Self {
        match bytes {
            1 => Self::B,
            2 => Self::W,
            4 => Self::D,
            _ => Self::Q,
        }
    }

    /// The number of bytes.
    pub fn bytes(self) -> usize {
        match self {
            Self::B => 1,
            Self::W => 2,
            Self::D => 4,
            Self::Q => 8,
        }
    }
}

/// A memory operand of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mem {
    /// The base register, or [`NONE`] (then there is an index, or an absolute address).
    pub base: u8,
    /// The index register or [`NONE`].
    pub index: u8,
    /// log2 of its scale.
    pub scale: u8,
    /// The displacement.
    pub disp: i32,
}

impl Mem {
    /// `[base + disp]`.
    pub fn at(base: u8, disp: i32) -> Self {
        Self { base, index: NONE, scale: 0, disp }
    }
}

/// A register or memory operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rm {
    /// A register.
    R(u8),
    /// Memory.
    M(Mem),
    /// Memory from the base of GS on.
    Gs(Mem),
}

/// The eight operations of the first opcode rows, by their number in the opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Alu {
    Add = 0,
    Or = 1,
    Adc = 2,
    Sbb = 3,
    And = 4,
    Sub = 5,
    Xor = 6,
    Cmp = 7,
}

/// A place in the code that is jumped to, known or not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(usize);

/// A place that code can be taken back to.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    bytes: usize,
    fixups: usize,
}

/// Code under construction.
pub struct Asm {
    /// The bytes so far.
    pub bytes: Vec<u8>,
    origin: usize,
    /// Offset of each label, if bound.
    labels: Vec<Option<usize>>,
    /// Offsets of 32-bit distances that wait for a label.
    fixups: Vec<(usize, Label)>,
}

impl Asm {
    /// Code that will lie at address `origin`.
    pub fn new(origin: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(8192),
            origin,
            labels: Vec::with_capacity(128),
            fixups: Vec::with_capacity(128),
        }
    }

    /// The address of the next byte.
    pub fn here(&self) -> usize {
        self.origin + self.bytes.len()
    }

    /// Appends raw bytes.
    pub fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// A label to be bound later.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Binds a label here.
    pub fn bind(&mut self, label: Label) {
        self.labels[label.0] = Some(self.bytes.len());
    }

    /// Resolves what refers to labels.
    ///
    /// # Panics
    /// If a label was never bound.
    pub fn finish(&mut self) {
        for (at, label) in std::mem::take(&mut self.fixups) {
            let target = self.labels[label.0].expect("every label is bound");
            let distance = (target as i64 - (at as i64 + 4)) as i32;
            self.set32(at, distance);
        }
    }

    /// This place, to go back to.
    pub fn mark(&self) -> Mark {
        Mark { bytes: self.bytes.len(), fixups: self.fixups.len() }
    }

    /// Takes back all that was appended since; labels that were bound since must not be used.
    pub fn back_to(&mut self, mark: &Mark) {
        self.bytes.truncate(mark.bytes);
        self.fixups.truncate(mark.fixups);
    }

    /// Fills up to a multiple of `n` with NOPs that nobody comes to.
    pub fn align(&mut self, n: usize) {
        while self.here() % n != 0 {
            self.put(&[0x90]);
        }
    }

    /// Overwrites the 32-bit value at offset `at`.
    pub fn set32(&mut self, at: usize, value: i32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    fn distance_to(&mut self, label: Label) {
        self.fixups.push((self.bytes.len(), label));
        self.put(&[0; 4]);
    }

    fn distance_to_address(&mut self, address: usize) {
        let distance = address as i64 - (self.here() as i64 + 4);
        self.put(&i32::try_from(distance).expect("code is within 2 GiB of itself").to_le_bytes());
    }

    /// JMP to a label.
    pub fn jmp(&mut self, label: Label) {
        self.put(&[0xE9]);
        self.distance_to(label);
    }

    /// JMP to an address.
    pub fn jmp_to(&mut self, address: usize) {
        self.put(&[0xE9]);
        self.distance_to_address(address);
    }

    /// CALL to an address.
    pub fn call_to(&mut self, address: usize) {
        self.put(&[0xE8]);
        self.distance_to_address(address);
    }

    /// Jcc to a label.
    pub fn jcc(&mut self, cc: u8, label: Label) {
        self.put(&[0x0F, 0x80 | cc]);
        self.distance_to(label);
    }

    /// The general form: prefixes, REX, opcode, ModRM with SIB and displacement.
    /// `byte` tells which of register and r/m are byte registers, which need REX for SPL to DIL.
    pub fn op(&mut self, prefix: Option<u8>, w: bool, byte: (bool, bool), opcode: &[u8], reg: u8, rm: Rm) {
        if let Rm::Gs(_) = rm {
            self.put(&[0x65]);
        }
        if let Some(p) = prefix {
            self.put(&[p]);
        }
        let high = |r: u8| u8::from(r != NONE && r & 8 != 0);
        let (x, b) = match rm {
            Rm::R(r) => (0, high(r)),
            Rm::M(m) | Rm::Gs(m) => (high(m.index), high(m.base)),
        };
        let rex = u8::from(w) << 3 | high(reg) << 2 | x << 1 | b;
        let spl = |r: u8| (4..8).contains(&r);
        let needed = (byte.0 && spl(reg)) || (byte.1 && matches!(rm, Rm::R(r) if spl(r)));
        if rex != 0 || needed {
            self.put(&[0x40 | rex]);
        }
        self.put(opcode);
        self.modrm(reg & 7, rm);
    }

    fn modrm(&mut self, reg: u8, rm: Rm) {
        let m = match rm {
            Rm::R(r) => return self.put(&[0xC0 | reg << 3 | r & 7]),
            Rm::M(m) | Rm::Gs(m) => m,
        };
        if m.base == NONE {
            // SIB without a base: disp32.
            let index = if m.index == NONE { 4 } else { m.index & 7 };
            self.put(&[reg << 3 | 4, m.scale << 6 | index << 3 | 5]);
            return self.put(&m.disp.to_le_bytes());
        }
        let base = m.base & 7;
        let mode = match i8::try_from(m.disp) {
            Ok(0) if base != 5 => 0,
            Ok(_) => 0x40,
            Err(_) => 0x80,
        };
        if m.index != NONE {
            debug_assert!(m.index != host::RSP);
            self.put(&[mode | reg << 3 | 4, m.scale << 6 | (m.index & 7) << 3 | base]);
        } else if base == 4 {
            self.put(&[mode | reg << 3 | 4, 0x24]);
        } else {
            self.put(&[mode | reg << 3 | base]);
        }
        match mode {
            0 => {}
            0x40 => self.put(&[m.disp as u8]),
            _ => self.put(&m.disp.to_le_bytes()),
        }
    }

    /// An instruction of width `w` whose byte form has opcode `op` and the others `op | 1`.
    pub fn sized(&mut self, w: Width, op: u8, reg: u8, rm: Rm) {
        match w {
            Width::B => self.op(None, false, (true, true), &[op], reg, rm),
            _ => self.wide(w, &[op | 1], reg, rm),
        }
    }

    /// [`Self::sized`] with an opcode of two bytes.
    pub fn sized_with(&mut self, w: Width, [escape, op]: &[u8; 2], reg: u8, rm: Rm) {
        match w {
            Width::B => self.op(None, false, (true, true), &[*escape, *op], reg, rm),
            _ => self.wide(w, &[*escape, op | 1], reg, rm),
        }
    }

    /// [`Self::sized`] where `reg` extends the opcode.
    pub fn sized_ext(&mut self, w: Width, op: u8, ext: u8, rm: Rm) {
        match w {
            Width::B => self.op(None, false, (false, true), &[op], ext, rm),
            _ => self.wide(w, &[op | 1], ext, rm),
        }
    }

    /// An instruction without a byte form.
    pub fn wide(&mut self, w: Width, opcode: &[u8], reg: u8, rm: Rm) {
        let prefix = (w == Width::W).then_some(0x66);
        self.op(prefix, w == Width::Q, (false, false), opcode, reg, rm);
    }

    /// MOV reg, r/m.
    pub fn load(&mut self, w: Width, reg: u8, rm: Rm) {
        self.sized(w, 0x8A, reg, rm);
    }

    /// MOV r/m, reg.
    pub fn store(&mut self, w: Width, rm: Rm, reg: u8) {
        self.sized(w, 0x88, reg, rm);
    }

    /// MOV r64, r64.
    pub fn mov(&mut self, to: u8, from: u8) {
        if to != from {
            self.load(Width::Q, to, Rm::R(from));
        }
    }

    /// MOV reg, imm, in the shortest form that gives these 64 bits; leaves the flags.
    pub fn mov_imm(&mut self, reg: u8, value: u64) {
        if let Ok(v) = u32::try_from(value) {
            if reg & 8 != 0 {
                self.put(&[0x41]);
            }
            self.put(&[0xB8 | reg & 7]);
            self.put(&v.to_le_bytes());
        } else if let Ok(v) = i32::try_from(value as i64) {
            self.wide(Width::Q, &[0xC7], 0, Rm::R(reg));
            self.put(&v.to_le_bytes());
        } else {
            self.put(&[0x48 | u8::from(reg & 8 != 0), 0xB8 | reg & 7]);
            self.put(&value.to_le_bytes());
        }
    }

    /// An immediate of width `w` (32 bits for 64).
    pub fn imm(&mut self, w: Width, value: u64) {
        let bytes = value.to_le_bytes();
        self.put(&bytes[..w.bytes().min(4)]);
    }

    /// MOV r/m, imm; a 64-bit form takes what sign-extends from 32.
    pub fn store_imm(&mut self, w: Width, rm: Rm, value: u64) {
        self.sized_ext(w, 0xC6, 0, rm);
        self.imm(w, value);
    }

    /// op reg, r/m.
    pub fn alu(&mut self, op: Alu, w: Width, reg: u8, rm: Rm) {
        self.sized(w, (op as u8) << 3 | 2, reg, rm);
    }

    /// op r/m, reg.
    pub fn alu_to(&mut self, op: Alu, w: Width, rm: Rm, reg: u8) {
        self.sized(w, (op as u8) << 3, reg, rm);
    }

    /// op r/m, imm; a 64-bit form takes what sign-extends from 32.
    pub fn alu_imm(&mut self, op: Alu, w: Width, rm: Rm, value: u64) {
        let unused = 64 - 8 * w.bytes() as u32;
        let signed = ((value << unused) as i64) >> unused;
        if w != Width::B && i8::try_from(signed).is_ok() {
            self.wide(w, &[0x83], op as u8, rm);
            self.put(&[signed as u8]);
        } else {
            self.sized_ext(w, 0x80, op as u8, rm);
            self.imm(w, value);
        }
    }

    /// LEA.
    pub fn lea(&mut self, w: Width, reg: u8, m: Mem) {
        self.wide(w, &[0x8D], reg, Rm::M(m));
    }

    /// LEA of the address of a label.
    pub fn lea_label(&mut self, reg: u8, label: Label) {
        // [RIP + disp32]
        self.put(&[0x48 | (reg >> 3) << 2, 0x8D, (reg & 7) << 3 | 5]);
        self.distance_to(label);
    }

    /// MOVZX r32, r/m of width `from`.
    pub fn movzx(&mut self, reg: u8, from: Width, rm: Rm) {
        match from {
            Width::B => self.op(None, false, (false, true), &[0x0F, 0xB6], reg, rm),
            Width::W => self.op(None, false, (false, false), &[0x0F, 0xB7], reg, rm),
            _ => self.load(from, reg, rm),
        }
    }

    /// MOVSX of width `w` from r/m of width `from`.
    pub fn movsx(&mut self, w: Width, reg: u8, from: Width, rm: Rm) {
        let prefix = (w == Width::W).then_some(0x66);
        let opcode: &[u8] = match from {
            Width::B => &[0x0F, 0xBE],
            Width::W => &[0x0F, 0xBF],
            _ => &[0x63],
        };
        self.op(prefix, w == Width::Q, (false, from == Width::B), opcode, reg, rm);
    }

    /// RORX: a rotation that leaves the flags.
    pub fn rorx(&mut self, w: Width, to: u8, from: u8, count: u8) {
        self.vex(w, 3, 3, 0xF0, to, 0, Rm::R(from));
        self.put(&[count]);
    }

    /// SARX: a shift that leaves the flags.
    pub fn sarx(&mut self, w: Width, to: u8, from: u8, count: u8) {
        self.vex(w, 2, 2, 0xF7, to, count, Rm::R(from));
    }

    /// MULX: RDX times `rm`, into `high` and `low`; leaves the flags.
    pub fn mulx(&mut self, high: u8, low: u8, from: u8) {
        self.vex(Width::Q, 2, 3, 0xF6, high, low, Rm::R(from));
    }

    /// WRGSBASE r64.
    pub fn wrgsbase(&mut self, reg: u8) {
        self.op(Some(0xF3), true, (false, false), &[0x0F, 0xAE], 3, Rm::R(reg));
    }

    /// A VEX-encoded general instruction: `map` 1 to 3, `pp` 0 to 3.
    fn vex(&mut self, w: Width, map: u8, pp: u8, opcode: u8, reg: u8, vvvv: u8, rm: Rm) {
        let high = |r: u8| r != NONE && r & 8 != 0;
        let (x, b) = match rm {
            Rm::R(r) => (false, high(r)),
            Rm::M(m) | Rm::Gs(m) => (high(m.index), high(m.base)),
        };
        let not = |bit: bool, shift: u8| u8::from(!bit) << shift;
        self.put(&[0xC4, not(high(reg), 7) | not(x, 6) | not(b, 5) | map]);
        self.put(&[u8::from(w == Width::Q) << 7 | (!vvvv & 15) << 3 | pp, opcode]);
        self.modrm(reg & 7, rm);
    }

    /// LAHF; SETO AL: the arithmetic flags into AX.
    pub fn save_flags(&mut self) {
        self.put(&[0x9F, 0x0F, 0x90, 0xC0]);
    }

    /// All arithmetic flags from AX; AL is lost.
    pub fn restore_flags(&mut self) {
        self.put(&[0x04, 0x7F, 0x9E]);
    }

    /// All but OF from AX.
    pub fn sahf(&mut self) {
        self.put(&[0x9E]);
    }

    /// JMP r/m64.
    pub fn jmp_rm(&mut self, rm: Rm) {
        self.op(None, false, (false, false), &[0xFF], 4, rm);
    }

    /// CALL r/m64.
    pub fn call_rm(&mut self, rm: Rm) {
        self.op(None, false, (false, false), &[0xFF], 2, rm);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};

    fn text(build: impl Fn(&mut Asm)) -> String {
        let mut asm = Asm::new(0x1000);
        build(&mut asm);
        asm.finish();
        let mut formatter = IntelFormatter::new();
        formatter.options_mut().set_show_branch_size(false);
        let mut lines = Vec::new();
        for i in &mut Decoder::with_ip(64, &asm.bytes, 0x1000, DecoderOptions::NONE) {
            let mut line = String::new();
            formatter.format(&i, &mut line);
            lines.push(line);
        }
        lines.join("; ")
    }

    #[test]
    fn forms_decode_to_what_was_meant() {
        use host::*;
        let slot = Mem::at(RSP, 64);
        assert_eq!(text(|a| a.load(Width::Q, R9, Rm::M(slot))), "mov r9,[rsp+40h]");
        assert_eq!(text(|a| a.store(Width::B, Rm::M(Mem::at(RCX, 0)), RSI)), "mov [rcx],sil");
        assert_eq!(text(|a| a.alu(Alu::Sub, Width::D, RBX, Rm::R(R12))), "sub ebx,r12d");
        assert_eq!(text(|a| a.alu_imm(Alu::Cmp, Width::W, Rm::R(RBX), 0xFFFF)), "cmp bx,0FFFFh");
        assert_eq!(text(|a| a.alu_imm(Alu::And, Width::Q, Rm::R(R13), 0x1000)), "and r13,1000h");
        let m = Mem { base: R13, index: R12, scale: 2, disp: 0 };
        assert_eq!(text(|a| a.lea(Width::Q, RCX, m)), "lea rcx,[r13+r12*4]");
        let m = Mem { base: NONE, index: RBP, scale: 3, disp: -8 };
        assert_eq!(text(|a| a.lea(Width::D, R8, m)), "lea r8d,[rbp*8-8]");
        assert_eq!(text(|a| a.movzx(RDI, Width::B, Rm::R(RBP))), "movzx edi,bpl");
        assert_eq!(text(|a| a.movsx(Width::Q, RDI, Width::D, Rm::R(R8))), "movsxd rdi,r8d");
        assert_eq!(text(|a| a.rorx(Width::Q, RDX, R11, 8)), "rorx rdx,r11,8");
        assert_eq!(text(|a| a.sarx(Width::D, R9, RBX, RCX)), "sarx r9d,ebx,ecx");
        let there = |a: &mut Asm| {
            let l = a.label();
            a.lea_label(RCX, l);
            a.bind(l);
        };
        assert_eq!(text(there), "lea rcx,[1007h]");
        assert_eq!(text(|a| a.mov_imm(R10, u64::MAX)), "mov r10,0FFFFFFFFFFFFFFFFh");
        let m = Mem { base: NONE, index: NONE, scale: 0, disp: 64 };
        assert_eq!(text(|a| a.alu_imm(Alu::Cmp, Width::D, Rm::Gs(m), 300)), "cmp dword ptr gs:[40h],12Ch");
        assert_eq!(text(|a| a.alu(Alu::Xor, Width::Q, RCX, Rm::Gs(Mem::at(RDX, 8)))), "xor rcx,gs:[rdx+8]");
        assert_eq!(text(|a| a.wrgsbase(R9)), "wrgsbase r9");
        assert_eq!(text(|a| a.mulx(RDX, RCX, R9)), "mulx rdx,rcx,r9");
        assert_eq!(text(|a| a.sized_with(Width::B, &[0x0F, 0xC0], RDX, Rm::R(RSI))), "xadd sil,dl");
        assert_eq!(text(|a| a.save_flags()), "lahf; seto al");
        assert_eq!(text(|a| a.jmp_rm(Rm::M(Mem::at(RDX, 16)))), "jmp qword ptr [rdx+10h]");
        let there = |a: &mut Asm| {
            let l = a.label();
            a.jcc(4, l);
            a.bind(l);
        };
        assert_eq!(text(there), "je 0000000000001006h");
    }
}
