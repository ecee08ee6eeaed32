//! The registers as gdb sees them: QEMU's layout for x86-64, with the segment bases, the control
//! registers, x87 and SSE.
//!
//! The same table gives the bytes, the numbers of single registers, and the target description
//! (GDB manual, "Target Descriptions" and "i386 Features").

use dejavm_core::boundary::CpuRegister;
use dejavm_core::cpu::CpuState;
use dejavm_core::cpu::insn::RIP;
use dejavm_core::cpu::state::{RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP, seg};
use gdbstub::arch::{Arch, RegId, Registers};
use std::fmt::Write as _;
use std::num::NonZeroUsize;

/// What a register is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A general register, by its index.
    General(usize),
    Rip,
    Flags,
    /// A selector, by its index.
    Segment(usize),
    FsBase,
    GsBase,
    KernelGsBase,
    Cr0,
    Cr2,
    Cr3,
    Cr4,
    Cr8,
    Efer,
    /// ST(i).
    Stack(usize),
    /// A word of the x87 environment, by its place there.
    X87(usize),
    Xmm(usize),
    Mxcsr,
}

/// A register: what it is, its size, its name and type in the target description.
#[derive(Clone, Copy, Debug)]
struct Register {
    kind: Kind,
    bits: usize,
    name: &'static str,
    xml_type: &'static str,
}

const fn register(kind: Kind, bits: usize, name: &'static str, xml_type: &'static str) -> Register {
    Register { kind, bits, name, xml_type }
}

const fn general(index: usize, name: &'static str) -> Register {
    register(Kind::General(index), 64, name, "int64")
}

const fn selector(index: usize, name: &'static str) -> Register {
    register(Kind::Segment(index), 32, name, "int32")
}

const fn stack(index: usize, name: &'static str) -> Register {
    register(Kind::Stack(index), 80, name, "i387_ext")
}

const fn x87(index: usize, name: &'static str) -> Register {
    register(Kind::X87(index), 32, name, "int")
}

const fn xmm(index: usize, name: &'static str) -> Register {
    register(Kind::Xmm(index), 128, name, "vec128")
}

/// All of them, in the order of their numbers.
const REGISTERS: [Register; 66] = [
    general(RAX, "rax"),
    general(RBX, "rbx"),
    general(RCX, "rcx"),
    general(RDX, "rdx"),
    general(RSI, "rsi"),
    general(RDI, "rdi"),
    register(Kind::General(RBP), 64, "rbp", "data_ptr"),
    register(Kind::General(RSP), 64, "rsp", "data_ptr"),
    general(8, "r8"),
    general(9, "r9"),
    general(10, "r10"),
    general(11, "r11"),
    general(12, "r12"),
    general(13, "r13"),
    general(14, "r14"),
    general(15, "r15"),
    register(Kind::Rip, 64, "rip", "code_ptr"),
    register(Kind::Flags, 32, "eflags", "i386_eflags"),
    selector(seg::CS, "cs"),
    selector(seg::SS, "ss"),
    selector(seg::DS, "ds"),
    selector(seg::ES, "es"),
    selector(seg::FS, "fs"),
    selector(seg::GS, "gs"),
    register(Kind::FsBase, 64, "fs_base", "int64"),
    register(Kind::GsBase, 64, "gs_base", "int64"),
    register(Kind::KernelGsBase, 64, "k_gs_base", "int64"),
    register(Kind::Cr0, 64, "cr0", "x64_cr0"),
    register(Kind::Cr2, 64, "cr2", "int64"),
    register(Kind::Cr3, 64, "cr3", "int64"),
    register(Kind::Cr4, 64, "cr4", "x64_cr4"),
    register(Kind::Cr8, 64, "cr8", "int64"),
    register(Kind::Efer, 64, "efer", "x64_efer"),
    stack(0, "st0"),
    stack(1, "st1"),
    stack(2, "st2"),
    stack(3, "st3"),
    stack(4, "st4"),
    stack(5, "st5"),
    stack(6, "st6"),
    stack(7, "st7"),
    x87(0, "fctrl"),
    x87(1, "fstat"),
    x87(2, "ftag"),
    x87(3, "fiseg"),
    x87(4, "fioff"),
    x87(5, "foseg"),
    x87(6, "fooff"),
    x87(7, "fop"),
    xmm(0, "xmm0"),
    xmm(1, "xmm1"),
    xmm(2, "xmm2"),
    xmm(3, "xmm3"),
    xmm(4, "xmm4"),
    xmm(5, "xmm5"),
    xmm(6, "xmm6"),
    xmm(7, "xmm7"),
    xmm(8, "xmm8"),
    xmm(9, "xmm9"),
    xmm(10, "xmm10"),
    xmm(11, "xmm11"),
    xmm(12, "xmm12"),
    xmm(13, "xmm13"),
    xmm(14, "xmm14"),
    xmm(15, "xmm15"),
    register(Kind::Mxcsr, 32, "mxcsr", "i386_mxcsr"),
];

/// Where the registers of SSE begin, which are a feature of their own.
const FIRST_SSE: usize = 49;

/// The bytes of a general register set before RIP.
const RIP_OFFSET: usize = 16 * 8;

impl Register {
    fn bytes(&self) -> usize {
        self.bits / 8
    }

    fn read(&self, cpu: &CpuState, cr8: u64) -> u128 {
        let x87 = &cpu.x87;
        match self.kind {
            Kind::General(n) => cpu.regs[n].into(),
            Kind::Rip => cpu.regs[RIP as usize].into(),
            Kind::Flags => cpu.flags.bits().into(),
            Kind::Segment(n) => cpu.segs[n].selector.into(),
            Kind::FsBase => cpu.segs[seg::FS].base.into(),
            Kind::GsBase => cpu.segs[seg::GS].base.into(),
            Kind::KernelGsBase => cpu.msrs.kernel_gs_base.into(),
            Kind::Cr0 => cpu.cr0.into(),
            Kind::Cr2 => cpu.cr2.into(),
            Kind::Cr3 => cpu.cr3.into(),
            Kind::Cr4 => cpu.cr4.into(),
            Kind::Cr8 => cr8.into(),
            Kind::Efer => cpu.efer.into(),
            Kind::Stack(n) => {
                let top = usize::from(x87.status >> 11) & 7;
                let value = x87.regs[(top + n) % 8];
                u128::from(value.sign_exponent) << 64 | u128::from(value.significand)
            }
            Kind::X87(0) => x87.control.into(),
            Kind::X87(1) => x87.status.into(),
            Kind::X87(2) => x87.tag_word().into(),
            Kind::X87(3) => x87.instruction_selector.into(),
            Kind::X87(4) => x87.instruction_pointer.into(),
            Kind::X87(5) => x87.data_selector.into(),
            Kind::X87(6) => x87.data_pointer.into(),
            Kind::X87(_) => x87.opcode.into(),
            Kind::Xmm(n) => cpu.xmm[n],
            Kind::Mxcsr => cpu.mxcsr.into(),
        }
    }

    /// What gdb changes with it.
    fn changes(&self) -> CpuRegister {
        match self.kind {
            Kind::General(n) => CpuRegister::General(n as u8),
            Kind::Rip => CpuRegister::Rip,
            Kind::Flags => CpuRegister::Rflags,
            Kind::Segment(n) => CpuRegister::Segment(n as u8),
            Kind::FsBase => CpuRegister::FsBase,
            Kind::GsBase => CpuRegister::GsBase,
            Kind::KernelGsBase => CpuRegister::KernelGsBase,
            Kind::Cr0 => CpuRegister::Cr0,
            Kind::Cr2 => CpuRegister::Cr2,
            Kind::Cr3 => CpuRegister::Cr3,
            Kind::Cr4 => CpuRegister::Cr4,
            Kind::Cr8 => CpuRegister::Cr8,
            Kind::Efer => CpuRegister::Efer,
            Kind::Stack(n) => CpuRegister::Stack(n as u8),
            Kind::X87(0) => CpuRegister::X87Control,
            Kind::X87(1) => CpuRegister::X87Status,
            Kind::X87(2) => CpuRegister::X87Tag,
            Kind::X87(3) => CpuRegister::X87InstructionSelector,
            Kind::X87(4) => CpuRegister::X87InstructionPointer,
            Kind::X87(5) => CpuRegister::X87DataSelector,
            Kind::X87(6) => CpuRegister::X87DataPointer,
            Kind::X87(_) => CpuRegister::X87Opcode,
            Kind::Xmm(n) => CpuRegister::Xmm(n as u8),
            Kind::Mxcsr => CpuRegister::Mxcsr,
        }
    }
}

/// All registers of a vCPU, as in the reply to `g`.
pub fn to_bytes(cpu: &CpuState, cr8: u64) -> Vec<u8> {
    let of = |r: &Register| r.read(cpu, cr8).to_le_bytes().into_iter().take(r.bytes());
    REGISTERS.iter().flat_map(of).collect()
}

/// Where a register is in [`to_bytes`]; none if there is none of this number.
pub fn place(number: usize) -> Option<std::ops::Range<usize>> {
    let register = REGISTERS.get(number)?;
    let start = REGISTERS[..number].iter().map(Register::bytes).sum();
    Some(start..start + register.bytes())
}

/// The registers that differ from what `cpu` has, with their new values.
pub fn changes(cpu: &CpuState, cr8: u64, bytes: &[u8]) -> Vec<(CpuRegister, u128)> {
    let mut rest = bytes;
    let mut changes = Vec::new();
    for register in &REGISTERS {
        let (own, after) = rest.split_at(register.bytes().min(rest.len()));
        rest = after;
        let mut value = [0; 16];
        value[..own.len()].copy_from_slice(own);
        let value = u128::from_le_bytes(value);
        let mask = u128::MAX >> (128 - register.bits);
        let same = register.read(cpu, cr8) & mask == value;
        if own.len() == register.bytes() && !same {
            changes.push((register.changes(), value));
        }
    }
    changes
}

/// The target description.
pub fn target_xml() -> String {
    let mut xml = String::from(
        "<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n<target>\n\
         <architecture>i386:x86-64</architecture>\n<feature name=\"org.gnu.gdb.i386.core\">\n",
    );
    for (id, bytes, fields) in FLAGS {
        push_flags(&mut xml, id, bytes, fields);
    }
    push_registers(&mut xml, 0, &REGISTERS[..FIRST_SSE]);
    xml.push_str("</feature>\n<feature name=\"org.gnu.gdb.i386.sse\">\n");
    xml.push_str(VECTORS);
    let (id, bytes, fields) = MXCSR;
    push_flags(&mut xml, id, bytes, fields);
    push_registers(&mut xml, FIRST_SSE, &REGISTERS[FIRST_SSE..]);
    xml.push_str("</feature>\n</target>\n");
    xml
}

fn push_registers(xml: &mut String, first: usize, registers: &[Register]) {
    for (number, r) in (first..).zip(registers) {
        let group = if matches!(r.kind, Kind::X87(_)) { " group=\"float\"" } else { "" };
        let _ = writeln!(
            xml,
            "<reg name=\"{}\" bitsize=\"{}\" type=\"{}\" regnum=\"{number}\"{group}/>",
            r.name, r.bits, r.xml_type
        );
    }
}

/// A type of single bits: its name, its size, and the name of each bit.
type FlagsType = (&'static str, usize, &'static [(u32, &'static str)]);

const FLAGS: [FlagsType; 4] = [
    (
        "i386_eflags",
        4,
        &[
            (0, "CF"),
            (1, ""),
            (2, "PF"),
            (4, "AF"),
            (6, "ZF"),
            (7, "SF"),
            (8, "TF"),
            (9, "IF"),
            (10, "DF"),
            (11, "OF"),
            (14, "NT"),
            (16, "RF"),
            (17, "VM"),
            (18, "AC"),
            (19, "VIF"),
            (20, "VIP"),
            (21, "ID"),
        ],
    ),
    (
        "x64_cr0",
        8,
        &[
            (0, "PE"),
            (1, "MP"),
            (2, "EM"),
            (3, "TS"),
            (4, "ET"),
            (5, "NE"),
            (16, "WP"),
            (18, "AM"),
            (29, "NW"),
            (30, "CD"),
            (31, "PG"),
        ],
    ),
    (
        "x64_cr4",
        8,
        &[
            (0, "VME"),
            (1, "PVI"),
            (2, "TSD"),
            (3, "DE"),
            (4, "PSE"),
            (5, "PAE"),
            (6, "MCE"),
            (7, "PGE"),
            (8, "PCE"),
            (9, "OSFXSR"),
            (10, "OSXMMEXCPT"),
            (11, "UMIP"),
            (16, "FSGSBASE"),
            (17, "PCIDE"),
            (18, "OSXSAVE"),
            (20, "SMEP"),
            (21, "SMAP"),
        ],
    ),
    ("x64_efer", 8, &[(0, "SCE"), (8, "LME"), (10, "LMA"), (11, "NXE")]),
];

const MXCSR: FlagsType = (
    "i386_mxcsr",
    4,
    &[
        (0, "IE"),
        (1, "DE"),
        (2, "ZE"),
        (3, "OE"),
        (4, "UE"),
        (5, "PE"),
        (6, "DAZ"),
        (7, "IM"),
        (8, "DM"),
        (9, "ZM"),
        (10, "OM"),
        (11, "UM"),
        (12, "PM"),
        (15, "FZ"),
    ],
);

fn push_flags(xml: &mut String, id: &str, bytes: usize, fields: &[(u32, &str)]) {
    let _ = writeln!(xml, "<flags id=\"{id}\" size=\"{bytes}\">");
    for (bit, name) in fields {
        let _ = writeln!(xml, "<field name=\"{name}\" start=\"{bit}\" end=\"{bit}\"/>");
    }
    xml.push_str("</flags>\n");
}

/// What an XMM register may hold, under the names that gdb gives its parts.
const VECTORS: &str = "\
<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>
<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>
<vector id=\"v16i8\" type=\"int8\" count=\"16\"/>
<vector id=\"v8i16\" type=\"int16\" count=\"8\"/>
<vector id=\"v4i32\" type=\"int32\" count=\"4\"/>
<vector id=\"v2i64\" type=\"int64\" count=\"2\"/>
<union id=\"vec128\">
<field name=\"v4_float\" type=\"v4f\"/>
<field name=\"v2_double\" type=\"v2d\"/>
<field name=\"v16_int8\" type=\"v16i8\"/>
<field name=\"v8_int16\" type=\"v8i16\"/>
<field name=\"v4_int32\" type=\"v4i32\"/>
<field name=\"v2_int64\" type=\"v2i64\"/>
<field name=\"uint128\" type=\"uint128\"/>
</union>
";

/// x86-64 with QEMU's registers.
#[derive(Debug)]
pub enum X86 {}

impl Arch for X86 {
    type Usize = u64;
    type Registers = RegisterBytes;
    type BreakpointKind = usize;
    type RegId = RegisterNumber;
}

/// All registers, as bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegisterBytes(pub Vec<u8>);

impl Registers for RegisterBytes {
    type ProgramCounter = u64;

    fn pc(&self) -> u64 {
        let bytes = self.0.get(RIP_OFFSET..RIP_OFFSET + 8);
        bytes.and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
    }

    fn gdb_serialize(&self, mut write_byte: impl FnMut(Option<u8>)) {
        self.0.iter().for_each(|&byte| write_byte(Some(byte)));
    }

    fn gdb_deserialize(&mut self, bytes: &[u8]) -> Result<(), ()> {
        self.0 = bytes.to_vec();
        Ok(())
    }
}

/// The number of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterNumber(pub usize);

impl RegId for RegisterNumber {
    fn from_raw_id(id: usize) -> Option<(Self, Option<NonZeroUsize>)> {
        let place = place(id)?;
        Some((Self(id), NonZeroUsize::new(place.len())))
    }

    fn to_raw_id(&self) -> Option<usize> {
        Some(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_is_qemus() {
        let number = |name| REGISTERS.iter().position(|r| r.name == name).unwrap();
        let numbers = ["rip", "eflags", "cs", "fs_base", "cr0", "efer", "st0", "fctrl", "xmm0", "mxcsr"];
        assert_eq!(numbers.map(number), [16, 17, 18, 24, 27, 32, 33, 41, 49, 65]);
        assert_eq!(number("rip"), 16);
        assert_eq!(place(16), Some(RIP_OFFSET..RIP_OFFSET + 8));
        assert_eq!(place(65), Some(604..608));
        assert_eq!(place(66), None);
    }

    #[test]
    fn registers_are_where_the_table_says() {
        let mut cpu = CpuState::reset(0);
        cpu.regs[RBX] = 0x1122;
        cpu.regs[RIP as usize] = 0xFFFF_8000_0000_1234;
        cpu.xmm[15] = 7;
        let bytes = to_bytes(&cpu, 9);
        assert_eq!(bytes.len(), 608);
        assert_eq!(bytes[8..10], [0x22, 0x11]);
        assert_eq!(RegisterBytes(bytes.clone()).pc(), 0xFFFF_8000_0000_1234);
        assert_eq!(bytes[place(31).unwrap()][0], 9);
        assert_eq!(bytes[place(64).unwrap()][0], 7);
    }

    #[test]
    fn changes_go_where_they_came_from_and_nowhere_else() {
        let cpu = CpuState::reset(0);
        let mut bytes = to_bytes(&cpu, 0);
        assert_eq!(changes(&cpu, 0, &bytes), []);
        bytes[place(3).unwrap()][0] ^= 0x55;
        let rdx = u128::from(cpu.regs[RDX] ^ 0x55);
        let rdx = (CpuRegister::General(RDX as u8), rdx);
        assert_eq!(changes(&cpu, 0, &bytes), [rdx]);
        bytes[place(27).unwrap()][0] ^= 1;
        assert_eq!(changes(&cpu, 0, &bytes), [rdx, (CpuRegister::Cr0, (cpu.cr0 ^ 1).into())]);
    }

    #[test]
    fn the_description_names_every_register_and_every_type() {
        let xml = target_xml();
        for r in &REGISTERS {
            assert!(xml.contains(&format!("<reg name=\"{}\" ", r.name)), "{}", r.name);
            let builtin = ["int", "int32", "int64", "data_ptr", "code_ptr", "i387_ext"];
            let defined = xml.contains(&format!("id=\"{}\"", r.xml_type));
            assert!(defined || builtin.contains(&r.xml_type), "{}", r.xml_type);
        }
    }
}
