//! The real machine: a small 64-bit guest that counts, echoes what it receives, and ends at `q`.

use crate::script::{Script, Watch, open, record, text};
use dejavm_core::boundary::{Images, MachineConfig, Outbound};
use dejavm_core::machine::Machine;
use dejavm_core::vcpu::Engine;
use dejavm_replay::journal::{EndReason, Ending};
use dejavm_replay::session::{LiveOptions, ReplaySession, ReplayStop};

/// Loaded at 1 MiB, where it is entered in 64-bit mode.
const CODE: [u8; 46] = [
    0xba, 0xfb, 0x03, 0x00, 0x00, // mov edx, 3FBh (COM1, line control)
    0xb0, 0x03, // mov al, 3 (8 bits)
    0xee, // out dx, al
    0xba, 0xfd, 0x03, 0x00, 0x00, // start: mov edx, 3FDh (COM1, line status)
    0x48, 0xff, 0x04, 0x25, 0x00, 0x00, 0x20, 0x00, // again: inc qword [200000h]
    0xec, // in al, dx
    0xa8, 0x01, // test al, 1 (data ready)
    0x74, 0xf3, // jz again
    0xba, 0xf8, 0x03, 0x00, 0x00, // mov edx, 3F8h (COM1, data)
    0xec, // in al, dx
    0xee, // out dx, al
    0x3c, b'q', // cmp al, 'q'
    0x75, 0xe3, // jne start
    0xb8, 0x07, 0x00, 0x00, 0x00, // mov eax, 7
    0xe7, 0xf4, // out 0F4h, eax (debug exit)
    0xeb, 0xfe, // jmp $
];

fn u64s(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The guest as an ELF executable: file header, one program header, the code.
fn kernel() -> Vec<u8> {
    let (entry, code_offset) = (0x10_0000, 64 + 56);
    let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    elf.extend(u64s(&[entry, 64, 0]));
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    let len = CODE.len() as u64;
    elf.extend(u64s(&[code_offset, entry, entry, len, len, 0x1000]));
    elf.extend(CODE);
    elf
}

fn images() -> Images {
    Images { kernel: kernel(), initrd: None }
}

/// As `script::record` has it.
fn machine() -> Engine {
    let config = MachineConfig { ram_bytes: 16 << 20, ..MachineConfig::default() };
    Engine::new(Machine::new(&config, images()).unwrap())
}

#[test]
fn a_guest_is_recorded_and_replayed() {
    let typed = "the quick brown fox jumps over the lazy dog, and then it is q";
    let events = vec![text("hello "), text(typed)];
    let mut host = Script { lazy: 8, ..Script::new(events, 5) };
    let bytes = record(machine(), &images(), &mut host, LiveOptions::default(), 1 << 18);
    let echoed: Vec<u8> = host.out.iter().filter_map(serial_byte).collect();
    assert_eq!(String::from_utf8_lossy(&echoed), "hello the q");

    let mut session = ReplaySession::open(open(&bytes), Images::default()).unwrap();
    let mut watch = Watch::default();
    let verdict = session.verify(&mut watch).unwrap().unwrap();
    assert_eq!(watch.out, host.out);
    assert!(matches!(&verdict.ending, Ending::Clean(end) if end.reason == EndReason::DebugExit(7)));
    for icount in [verdict.last.icount / 2, 1000, verdict.last.icount] {
        assert_eq!(session.seek(icount, &mut ()).unwrap(), ReplayStop::Reached);
        assert_eq!(session.position().icount, icount);
    }
}

fn serial_byte(event: &Outbound) -> Option<u8> {
    match event {
        Outbound::Serial { port: 0, byte } => Some(*byte),
        _ => None,
    }
}
