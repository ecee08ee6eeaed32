//! `dejavm dump`.

use super::{AccelArgs, ImageArgs};
use clap::{Args, ValueEnum};
use dejavm_monitor::dump::{Compression, Format};
use std::path::PathBuf;

pub(super) const EXAMPLES: &str = "\
Examples:
  dejavm dump boot.dj --at 1200000000 -o vmcore          an ELF core of that moment
  crash vmlinux vmcore                                   … ps, bt -a, log (vmlinux: the -dbg package)
  gdb -ex 'core-file vmcore'                             … registers, physical memory
  dejavm dump boot.dj -o vmcore --paging                 virtual addresses, for gdb's backtraces
  dejavm dump boot.dj -o vmcore --format kdump-raw-zlib  small, for crash, drgn and makedumpfile

The same place of the same journal gives the same bytes. The guest needs to do nothing for it; if
it is Linux, its VMCOREINFO is found in its memory.";

/// Command line of `dejavm dump`.
#[derive(Debug, Args)]
pub struct DumpArgs {
    /// The journal.
    #[arg(value_name = "FILE")]
    pub journal: PathBuf,
    /// The position before this instruction (default: the end of the recording).
    #[arg(long, value_name = "ICOUNT")]
    pub at: Option<u64>,
    /// The dump to write. It appears under this name when it is complete.
    #[arg(short, long, value_name = "VMCORE")]
    pub output: PathBuf,
    /// The format.
    #[arg(long, value_enum, default_value = "elf")]
    pub format: DumpFormat,
    /// Virtual addresses too, by the page tables of all vCPUs (ELF).
    #[arg(short, long)]
    pub paging: bool,
    /// Only memory from this physical address on, as 0x100000 or 1M (ELF).
    #[arg(long, value_name = "ADDRESS", requires = "length", value_parser = number)]
    pub begin: Option<u64>,
    /// Only so much memory, as 0x1000 or 64K (ELF).
    #[arg(long, value_name = "BYTES", requires = "begin", value_parser = number)]
    pub length: Option<u64>,
    /// The engine.
    #[command(flatten)]
    pub accel: AccelArgs,
    /// Where the images are, if not in the journal.
    #[command(flatten)]
    pub images: ImageArgs,
}

/// The formats under the names that QMP has for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DumpFormat {
    /// ELF core: read by all tools; as large as the guest's memory (but sparse).
    Elf,
    /// kdump-compressed with zlib, flattened: for pipes; `makedumpfile -R` makes it raw.
    KdumpZlib,
    /// The same with LZO.
    KdumpLzo,
    /// The same with Snappy.
    KdumpSnappy,
    /// kdump-compressed with zlib, as crash, drgn and makedumpfile read it from disk.
    KdumpRawZlib,
    /// The same with LZO.
    KdumpRawLzo,
    /// The same with Snappy.
    KdumpRawSnappy,
    /// Windows crash dump, of a 64-bit Windows guest with a vmcoreinfo driver.
    WinDmp,
}

impl DumpFormat {
    /// As the monitor has it.
    pub fn format(self) -> Format {
        let kdump = |compression, raw| Format::Kdump { compression, raw };
        match self {
            Self::Elf => Format::Elf,
            Self::KdumpZlib => kdump(Compression::Zlib, false),
            Self::KdumpLzo => kdump(Compression::Lzo, false),
            Self::KdumpSnappy => kdump(Compression::Snappy, false),
            Self::KdumpRawZlib => kdump(Compression::Zlib, true),
            Self::KdumpRawLzo => kdump(Compression::Lzo, true),
            Self::KdumpRawSnappy => kdump(Compression::Snappy, true),
            Self::WinDmp => Format::Windows,
        }
    }
}

/// A number, also with `0x`, or with one of the suffixes K, M and G.
fn number(text: &str) -> Result<u64, String> {
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).map_err(|e| e.to_string());
    }
    let suffix = [('K', 10), ('M', 20), ('G', 30)].into_iter().find(|(letter, _)| text.ends_with(*letter));
    let (digits, shift) = suffix.map_or((text, 0), |(_, shift)| (&text[..text.len() - 1], shift));
    let number: u64 = digits.parse().map_err(|e: std::num::ParseIntError| e.to_string())?;
    number.checked_mul(1 << shift).ok_or_else(|| "more than 64 bits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn addresses_are_numbers_or_sizes() {
        assert_eq!(number("4096"), Ok(4096));
        assert_eq!(number("0x1000"), Ok(4096));
        assert_eq!(number("2M"), Ok(2 << 20));
        assert_eq!(number("17179869183G"), Ok(0xFFFF_FFFF_C000_0000));
        assert!(number("17179869184G").is_err());
        assert!(number("0xg").is_err() && number("x").is_err() && number("").is_err());
    }
}
