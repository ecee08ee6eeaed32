//! Where code and data of a test case lie, the same on the host CPU and on the interpreter.

/// The page that holds the code: readable and executable, not writable.
pub const CODE_PAGE: u64 = 0x0800_0000;
/// The offset of the first instruction within [`CODE_PAGE`].
pub const CODE_OFFSET: usize = 0x800;
/// The address of the first instruction.
pub const CODE: u64 = CODE_PAGE + CODE_OFFSET as u64;
/// The longest block of code, in bytes; what follows it is filled with INT3.
pub const CODE_BYTES: usize = 64;
/// The data: readable and writable. Nothing is mapped before and after it.
pub const WINDOW: u64 = 0x1000_0000;
/// The size of the data, in bytes.
pub const WINDOW_BYTES: usize = 2 * 4096;

/// The opcode of INT3, which ends a block.
pub const INT3: u8 = 0xCC;
