//! A kernel image made in memory: an ELF64 executable with one segment and a 64-bit entry point
//! (System V ABI, Object Files).

const HEADER_BYTES: u64 = 64;
const PROGRAM_HEADER_BYTES: u64 = 56;
const READ_WRITE_EXECUTE: u32 = 7;

/// An executable whose `code` is loaded at `address`, in a segment of `memory_bytes`, and
/// entered at its first byte.
pub fn executable(address: u64, code: &[u8], memory_bytes: u64) -> Vec<u8> {
    let offset = HEADER_BYTES + PROGRAM_HEADER_BYTES;
    let mut file = Vec::new();
    file.extend([0x7F, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    file.extend(2u16.to_le_bytes()); // ET_EXEC
    file.extend(62u16.to_le_bytes()); // EM_X86_64
    file.extend(1u32.to_le_bytes());
    file.extend(address.to_le_bytes()); // e_entry
    file.extend(HEADER_BYTES.to_le_bytes()); // e_phoff
    file.extend(0u64.to_le_bytes()); // e_shoff
    file.extend(0u32.to_le_bytes());
    for half in [HEADER_BYTES as u16, PROGRAM_HEADER_BYTES as u16, 1, 64, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    file.extend(1u32.to_le_bytes()); // PT_LOAD
    file.extend(READ_WRITE_EXECUTE.to_le_bytes());
    for word in [offset, address, address, code.len() as u64, memory_bytes, 0x1000] {
        file.extend(word.to_le_bytes());
    }
    file.extend(code);
    file
}
