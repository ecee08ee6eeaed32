//! The real machine, with two small 64-bit guests.

use crate::script::{Script, Watch, open, record, text};
use dejavm_core::boundary::{Images, MachineConfig, Outbound};
use dejavm_core::machine::Machine;
use dejavm_core::vcpu::Engine;
use dejavm_replay::journal::{EndReason, Ending};
use dejavm_replay::session::{IdlePolicy, LiveOptions, ReplaySession, ReplayStop};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Counts in memory, and echoes what COM1 receives up to a `q`.
const POLLING: [u8; 46] = [
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

/// Sleeps between the interrupts of a timer (LAPIC, every 50 us), and looks for input at each.
const SLEEPING: [u8; 159] = [
    0xba, 0xfb, 0x03, 0x00, 0x00, // mov edx, 3FBh (COM1, line control)
    0xb0, 0x03, // mov al, 3 (8 bits)
    0xee, // out dx, al
    0xbc, 0x00, 0x00, 0x30, 0x00, // mov esp, 300000h
    0x48, 0x8d, 0x05, 0x6d, 0x00, 0x00, 0x00, // lea rax, [timer]
    0xbf, 0x00, 0x03, 0x20, 0x00, // mov edi, 200300h (gate 30h)
    0x66, 0x89, 0x07, // mov [rdi], ax
    0x8c, 0x4f, 0x02, // mov [rdi+2], cs
    0x66, 0xc7, 0x47, 0x04, 0x00, 0x8e, // mov word [rdi+4], 8E00h (interrupt gate)
    0x48, 0xc1, 0xe8, 0x10, // shr rax, 16
    0x48, 0x89, 0x47, 0x06, // mov [rdi+6], rax
    0x0f, 0x01, 0x1d, 0x61, 0x00, 0x00, 0x00, // lidt [idtr]
    0xbb, 0x00, 0x00, 0xe0, 0xfe, // mov ebx, 0FEE00000h (LAPIC)
    0xc7, 0x83, 0xf0, 0x00, 0x00, 0x00, 0xff, 0x01, 0x00, 0x00, // enable it
    0xc7, 0x83, 0xe0, 0x03, 0x00, 0x00, 0x0b, 0x00, 0x00, 0x00, // divide by 1
    0xc7, 0x83, 0x20, 0x03, 0x00, 0x00, 0x30, 0x00, 0x02, 0x00, // periodic, vector 30h
    0xc7, 0x83, 0x80, 0x03, 0x00, 0x00, 0x50, 0xc3, 0x00, 0x00, // count 50000
    0xfb, // sleep: sti
    0xf4, // hlt
    0xba, 0xfd, 0x03, 0x00, 0x00, // mov edx, 3FDh (COM1, line status)
    0xec, // in al, dx
    0xa8, 0x01, // test al, 1 (data ready)
    0x74, 0xf4, // jz sleep
    0xba, 0xf8, 0x03, 0x00, 0x00, // mov edx, 3F8h (COM1, data)
    0xec, // in al, dx
    0xee, // out dx, al
    0x3c, b'q', // cmp al, 'q'
    0x75, 0xe9, // jne sleep
    0xb8, 0x07, 0x00, 0x00, 0x00, // mov eax, 7
    0xe7, 0xf4, // out 0F4h, eax (debug exit)
    0xeb, 0xfe, // jmp $
    0x48, 0xff, 0x04, 0x25, 0x00, 0x10, 0x20, 0x00, // timer: inc qword [201000h]
    0xc7, 0x83, 0xb0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // end of interrupt
    0x48, 0xcf, // iretq
    0xff, 0x0f, 0x00, 0x00, 0x20, 0x00, 0x00, 0x00, 0x00, 0x00, // idtr: 200000h
];

fn u64s(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// An ELF executable that is entered at 1 MiB in 64-bit mode: file header, one program header,
/// the code.
fn elf(code: &[u8]) -> Vec<u8> {
    let (entry, code_offset) = (0x10_0000, 64 + 56);
    let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    elf.extend(u64s(&[entry, 64, 0]));
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    let len = code.len() as u64;
    elf.extend(u64s(&[code_offset, entry, entry, len, len, 0x1000]));
    elf.extend(code);
    elf
}

fn images(code: &[u8]) -> Images {
    Images { kernel: elf(code), initrd: None }
}

/// As `script::record` has it.
fn machine(code: &[u8]) -> Engine {
    let config = MachineConfig { ram_bytes: 16 << 20, ..MachineConfig::default() };
    Engine::new(Machine::new(&config, images(code)).unwrap())
}

/// A recording of a guest that is typed to, while another thread kicks it at any moment.
fn recorded(code: &[u8], seed: u64, idle: IdlePolicy) -> (Vec<u8>, Vec<Outbound>) {
    let events = vec![text("hello "), text("the quick brown fox jumps over the lazy dog")];
    let mut host = Script { lazy: 14, ..Script::new(events, seed) };
    let engine = machine(code);
    let (kicker, over) = (engine.kicker(), AtomicBool::new(false));
    let bytes = std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0u64.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                std::thread::sleep(Duration::from_micros(n * (n + seed) % 400));
                kicker.kick();
            }
        });
        let options = LiveOptions { idle, ..LiveOptions::default() };
        let bytes = record(engine, &images(code), &mut host, options, 1 << 18);
        over.store(true, Ordering::Relaxed);
        bytes
    });
    (bytes, host.out)
}

fn check(code: &[u8], seed: u64, idle: IdlePolicy) {
    let (bytes, out) = recorded(code, seed, idle);
    let echoed: Vec<u8> = out.iter().filter_map(serial_byte).collect();
    assert_eq!(String::from_utf8_lossy(&echoed), "hello the q");

    let mut session = ReplaySession::open(open(&bytes), Images::default()).unwrap();
    let mut watch = Watch::default();
    let verdict = session.verify(&mut watch).unwrap().unwrap();
    assert_eq!(watch.out, out);
    assert!(matches!(&verdict.ending, Ending::Clean(end) if end.reason == EndReason::DebugExit(7)));

    let last = verdict.last.icount;
    for icount in [last / 2, last / 5, last] {
        assert_eq!(session.seek(icount, &mut ()).unwrap(), ReplayStop::Reached);
        assert_eq!(session.position().icount, icount);
    }
    session.restart().unwrap();
    for stop in 0..200 {
        session.run_until(last * stop / 200, &mut ()).unwrap();
    }
    assert_eq!(session.run_until(u64::MAX, &mut ()).unwrap(), ReplayStop::Ended);
}

#[test]
fn a_guest_that_polls_is_recorded_and_replayed() {
    (0..4).for_each(|seed| check(&POLLING, seed, IdlePolicy::Skip));
}

#[test]
fn a_guest_that_sleeps_is_recorded_and_replayed() {
    (0..8).for_each(|seed| check(&SLEEPING, seed, IdlePolicy::Wait));
    (8..10).for_each(|seed| check(&SLEEPING, seed, IdlePolicy::Skip));
}

fn serial_byte(event: &Outbound) -> Option<u8> {
    match event {
        Outbound::Serial { port: 0, byte } => Some(*byte),
        _ => None,
    }
}
