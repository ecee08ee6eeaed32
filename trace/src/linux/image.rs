//! The kernel's image as it lies in memory, wherever KASLR put it: all that is mapped in the
//! gigabyte where x86-64 Linux has it (Linux, Documentation/arch/x86/x86_64/mm.rst).

use super::space::Space;

/// `__START_KERNEL_map`.
pub const KERNEL_MAP: u64 = 0xFFFF_FFFF_8000_0000;
/// Where modules begin.
pub const MODULES: u64 = 0xFFFF_FFFF_C000_0000;

/// No kernel is larger.
const MOST_BYTES: u64 = 256 << 20;

/// Bytes that lie together.
#[derive(Clone, Debug, Default)]
pub struct Stretch {
    /// The address of the first.
    pub address: u64,
    /// They.
    pub bytes: Vec<u8>,
}

/// The stretches of an image, in ascending order.
pub fn stretches(space: &Space<'_>) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    // A kernel has each of its pages once.
    let mut left = MOST_BYTES.min(space.guest().ram_bytes());
    for mapped in space.mapped(KERNEL_MAP, MODULES) {
        if mapped.bytes > left {
            break;
        }
        let mut bytes = vec![0; mapped.bytes as usize];
        if !space.guest().read_physical(mapped.physical, &mut bytes) {
            continue;
        }
        left -= mapped.bytes;
        match stretches.last_mut() {
            Some(last) if last.address + last.bytes.len() as u64 == mapped.address => {
                last.bytes.append(&mut bytes);
            }
            _ => stretches.push(Stretch { address: mapped.address, bytes }),
        }
    }
    stretches
}
