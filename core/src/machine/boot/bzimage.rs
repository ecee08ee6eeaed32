//! The bzImage format (Linux Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header").

use super::{BootError, require_ram};
use crate::mem::Memory;
use crate::types::Gpa;
use linux_loader::loader::bootparam::setup_header;
use vm_memory::ByteValued;

/// Where the setup header starts in the file, and in boot_params.
const HEADER_OFFSET: usize = 0x1F1;
/// The byte whose value says where the header ends, counted from [`HEADER_MAGIC_OFFSET`].
const HEADER_LENGTH_OFFSET: usize = 0x201;
const HEADER_MAGIC_OFFSET: usize = 0x202;
/// "HdrS".
const HEADER_MAGIC: u32 = 0x5372_6448;
/// The first version with a 64-bit entry point and init_size (xloadflags).
const VERSION_64: u16 = 0x020C;
const LOADED_HIGH: u8 = 1;
const XLF_KERNEL_64: u16 = 1;
const SECTOR: usize = 512;
/// Offset of the 64-bit entry point in the protected-mode kernel.
pub const ENTRY_64: u64 = 0x200;

/// A bzImage that lies in RAM.
pub struct BzImage {
    /// Its header, as in the file.
    pub header: setup_header,
    /// Where the protected-mode kernel starts.
    pub start: u64,
    /// The end of the memory that it needs before it has read the memory map.
    pub end: u64,
}

/// Checks a bzImage and loads its protected-mode part.
pub fn load(mem: &mut Memory, image: &[u8]) -> Result<BzImage, BootError> {
    let header = parse_header(image)?;
    let sectors = if header.setup_sects == 0 { 4 } else { usize::from(header.setup_sects) };
    let setup_bytes = (sectors + 1) * SECTOR;
    let payload = image.get(setup_bytes..).filter(|p| !p.is_empty()).ok_or(BootError::Truncated {
        what: "the real-mode part",
        end: setup_bytes as u64 + 1,
        len: image.len() as u64,
    })?;
    check_length(&header, setup_bytes, image)?;
    let needed = u64::from(header.init_size).max(payload.len() as u64);
    let start = load_address(mem, &header, needed)?;
    mem.write_bytes(Gpa(start), payload);
    Ok(BzImage { header, start, end: start + needed })
}

fn parse_header(image: &[u8]) -> Result<setup_header, BootError> {
    let magic = image.get(HEADER_MAGIC_OFFSET..HEADER_MAGIC_OFFSET + 4);
    if magic != Some(&HEADER_MAGIC.to_le_bytes()) {
        return Err(BootError::NotAKernel);
    }
    let end = HEADER_MAGIC_OFFSET + usize::from(image[HEADER_LENGTH_OFFSET]);
    let mut bytes = [0; size_of::<setup_header>()];
    let known = end.min(HEADER_OFFSET + bytes.len());
    let fields = image.get(HEADER_OFFSET..known).ok_or(BootError::Truncated {
        what: "the setup header",
        end: end as u64,
        len: image.len() as u64,
    })?;
    bytes[..fields.len()].copy_from_slice(fields);
    let header =
        *setup_header::from_slice(&bytes).ok_or(BootError::Damaged("the setup header is too short"))?;
    if header.loadflags & LOADED_HIGH == 0 {
        return Err(BootError::Unsupported("it is a zImage, loaded below 1 MiB; a bzImage is needed"));
    }
    let xloadflags = header.xloadflags;
    if header.version < VERSION_64 || xloadflags & XLF_KERNEL_64 == 0 {
        return Err(BootError::Unsupported(
            "it has no 64-bit entry point (boot protocol 2.12, CONFIG_X86_64, is needed)",
        ));
    }
    Ok(header)
}

/// syssize counts the protected-mode part in units of 16 bytes.
fn check_length(header: &setup_header, setup_bytes: usize, image: &[u8]) -> Result<(), BootError> {
    let end = setup_bytes as u64 + u64::from(header.syssize) * 16;
    let len = image.len() as u64;
    // The last unit may be partly there.
    if len + 16 <= end {
        return Err(BootError::Truncated { what: "the protected-mode part", end, len });
    }
    Ok(())
}

/// The preferred address if the machine has RAM there, else, for a relocatable kernel, the
/// first aligned one above 1 MiB.
fn load_address(mem: &Memory, header: &setup_header, needed: u64) -> Result<u64, BootError> {
    let preferred = header.pref_address;
    let fits = |start: u64| {
        let end = start.checked_add(needed).ok_or(BootError::Damaged("its load address overflows"))?;
        if start < super::layout::HIGH_START {
            return Err(BootError::Damaged("its load address is below 1 MiB"));
        }
        require_ram(mem, start, end)
    };
    let result = fits(preferred);
    if result.is_err() && header.relocatable_kernel != 0 {
        let alignment = u64::from(header.kernel_alignment).max(1);
        let start = super::layout::HIGH_START.next_multiple_of(alignment);
        return fits(start).map(|()| start);
    }
    result.map(|()| preferred)
}
