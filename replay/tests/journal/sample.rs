//! A small journal for the tests, with every kind of chunk and event.

use dejavm_core::boundary::{Images, Inbound, MachineConfig, Position};
use dejavm_replay::journal::{
    CpuModel, End, EndReason, Header, ImageHash, ImageRecord, ImageRole, StateDigest, Writer,
};

pub fn at(icount: u64, now_ns: u64) -> Position {
    Position { icount, now_ns }
}

pub fn images() -> Images {
    Images { kernel: b"a kernel".repeat(9), initrd: Some(b"an initrd".to_vec()) }
}

fn record(role: ImageRole, image: &[u8], embedded: bool) -> ImageRecord {
    let file_name = format!("{role}.img");
    ImageRecord { role, hash: ImageHash::of(image), embedded, file_name }
}

pub fn header(embedded: bool) -> Header {
    let images = images();
    let initrd = images.initrd.as_deref().unwrap_or_default();
    Header {
        dejavm_version: "0.1.0".into(),
        config: MachineConfig {
            vcpus: 1,
            ram_bytes: 256 << 20,
            command_line: "console=ttyS0".into(),
            seed: 7,
            rtc_start_unix_s: 1_700_000_000,
            quantum_icount: 50_000,
        },
        cpu_model: CpuModel { name: "dejavm64".into(), version: 1 },
        images: vec![
            record(ImageRole::Kernel, &images.kernel, embedded),
            record(ImageRole::Initrd, initrd, embedded),
        ],
        interval_icount: 1000,
        part_names: ["vcpu0", "uart_16550", "memory"].map(String::from).to_vec(),
    }
}

pub fn digest(n: u128) -> StateDigest {
    let part = |k: u128| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834) ^ k << 3;
    let names = ["vcpu0", "uart_16550", "memory"];
    let parts = names.iter().zip(1..).map(|(name, k)| (String::from(*name), part(k))).collect();
    StateDigest { combined: part(0), parts }
}

/// One of each kind of inbound event.
pub fn events() -> Vec<(Position, Inbound)> {
    vec![
        (at(10, 10), Inbound::Serial { port: 0, bytes: b"ls\n".to_vec() }),
        (at(10, 5000), Inbound::SerialBreak { port: 1 }),
        (at(700, 5690), Inbound::Keyboard { scan_codes: vec![0x1e, 0x9e] }),
        (at(1200, 6190), Inbound::PowerButton),
        (at(1200, 6190), Inbound::Nmi),
        (at(2999, 90_000), Inbound::Reset),
    ]
}

pub fn end() -> End {
    End { reason: EndReason::DebugExit(3), position: at(3500, 91_000), hash: digest(4) }
}

/// The writer after three chunks and with all events in.
pub fn begun(embedded: bool) -> Writer<Vec<u8>> {
    let mut writer = Writer::new(Vec::new(), &header(embedded), &images()).unwrap();
    let chunk_ends = [at(1000, 5990), at(2000, 80_000), at(3000, 90_001)];
    let mut events = events().into_iter().peekable();
    for (end, n) in chunk_ends.into_iter().zip(1..) {
        while let Some((at, event)) = events.next_if(|(at, _)| at.icount <= end.icount) {
            writer.append(at, &event).unwrap();
        }
        writer.end_chunk(end, &digest(n)).unwrap();
    }
    writer
}

/// The complete journal.
pub fn journal(embedded: bool) -> Vec<u8> {
    begun(embedded).finish(&end()).unwrap()
}
