//! A Linux kernel: what holds of it at every place of a run once it is up, and the view of it at
//! one place.

use super::btf::{Field, Types};
use super::guest::Guest;
use super::modules::ModuleLayout;
use super::orc::OrcLayout;
use super::space::Space;
use super::symbols::{SymbolError, Symbols, images, kallsyms};
use super::tasks::TaskLayout;
use dejavm_core::types::VcpuId;

/// Why something cannot be told of a guest.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinuxError {
    /// No Linux, or no symbols of it.
    #[error(transparent)]
    Symbols(#[from] SymbolError),
    /// The kernel does not say how its structures are laid out.
    #[error(
        "the guest's kernel has no BTF (CONFIG_DEBUG_INFO_BTF), which tells how its structures are laid out"
    )]
    NoTypes,
    /// The kernel's BTF cannot be used.
    #[error("the BTF in the guest's memory cannot be used: {0}")]
    BadTypes(String),
    /// A structure is not as it is known.
    #[error("the guest's kernel has no {0}: it is of a version that is not known here")]
    NoField(String),
    /// A symbol is missing.
    #[error("the guest's kernel has no symbol {0}")]
    NoSymbol(&'static str),
    /// Memory is not what it must be.
    #[error(
        "the guest's memory holds no sound {0} at this place (the kernel has not set it up yet, or it is damaged)"
    )]
    Unsound(&'static str),
    /// No task of that number.
    #[error("there is no task with pid {0} at this place")]
    NoTask(i32),
    /// No vCPU of that number.
    #[error("there is no vCPU {0}")]
    NoVcpu(VcpuId),
}

/// What a kernel says of itself: its symbols and types, and where it keeps what. It stays true
/// from the place where it was read on, until the guest boots anew.
#[derive(Debug)]
pub struct Kernel {
    symbols: Symbols,
    types: Types,
    banner: String,
    /// The physical address of the page table that maps all of the kernel, and no process.
    table: u64,
    pub(super) tasks: TaskLayout,
    pub(super) modules: Option<ModuleLayout>,
    pub(super) orc: Option<OrcLayout>,
}

/// Looks for a field.
pub(super) fn field(types: &Types, structure: &str, path: &str) -> Result<Field, LinuxError> {
    types.field(structure, path).ok_or_else(|| LinuxError::NoField(format!("{structure}.{path}")))
}

impl Kernel {
    /// The kernel of a guest, read from its memory. This takes tens of milliseconds: it is kept.
    ///
    /// # Errors
    /// If the guest is no Linux, or not yet; or one that has no BTF, or is not understood.
    pub fn of_guest(guest: &dyn Guest) -> Result<Self, LinuxError> {
        let found = images(guest).find_map(|(table, image)| Some((table, kallsyms::find(&image)?)));
        let (table, symbols) = found.ok_or(SymbolError::NotLinux)?;
        let space = Space::new(guest, table);
        let types = read_types(&space, &symbols)?;
        let banner =
            symbols.address("linux_banner").and_then(|at| space.c_string(at, 512)).unwrap_or_default();
        // Of the running process's table only the upper half is of use, and it may go.
        let top = symbols.address("init_top_pgt").or_else(|| symbols.address("swapper_pg_dir"));
        let table = top.and_then(|top| space.translate(top)).unwrap_or(table);
        Ok(Self {
            tasks: TaskLayout::new(&types)?,
            modules: ModuleLayout::new(&types),
            orc: OrcLayout::new(&types, &symbols),
            banner: String::from_utf8_lossy(&banner).trim_end().to_owned(),
            symbols,
            types,
            table,
        })
    }

    /// Its own symbols, without those of modules.
    pub fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// Its types.
    pub fn types(&self) -> &Types {
        &self.types
    }

    /// `Linux version …`, as the kernel greets.
    pub fn banner(&self) -> &str {
        &self.banner
    }

    /// The kernel's version, as `6.1.0-56-cloud-amd64`.
    pub fn release(&self) -> &str {
        self.banner.split(' ').nth(2).unwrap_or_default()
    }

    /// Whether it is the kernel that is in a guest's memory, at the same place.
    pub fn is_in(&self, guest: &dyn Guest) -> bool {
        let space = Space::new(guest, self.table);
        let banner = self.symbols.address("linux_banner").and_then(|at| space.c_string(at, 512));
        banner.is_some_and(|banner| {
            !banner.is_empty() && String::from_utf8_lossy(&banner).trim_end() == self.banner
        })
    }

    /// How things are at a place.
    pub fn at<'a>(&'a self, guest: &'a dyn Guest) -> View<'a> {
        View { kernel: self, space: Space::new(guest, self.table) }
    }

    /// The address of a symbol.
    pub(super) fn address(&self, name: &'static str) -> Result<u64, LinuxError> {
        self.symbols.address(name).ok_or(LinuxError::NoSymbol(name))
    }
}

fn read_types(space: &Space<'_>, symbols: &Symbols) -> Result<Types, LinuxError> {
    let range = symbols.address("__start_BTF").zip(symbols.address("__stop_BTF"));
    let (start, stop) = range.ok_or(LinuxError::NoTypes)?;
    let length = stop.checked_sub(start).and_then(|length| usize::try_from(length).ok());
    let length = length.filter(|length| *length > 0).ok_or(LinuxError::NoTypes)?;
    let bytes = space.bytes(start, length).ok_or(LinuxError::Unsound("BTF"))?;
    Types::read(bytes).map_err(|error| LinuxError::BadTypes(error.to_string()))
}

/// A Linux guest at a place.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub(super) kernel: &'a Kernel,
    /// The address space of the kernel.
    pub(super) space: Space<'a>,
}

impl<'a> View<'a> {
    /// The guest.
    pub fn guest(&self) -> &'a dyn Guest {
        self.space.guest()
    }

    /// The kernel.
    pub fn kernel(&self) -> &'a Kernel {
        self.kernel
    }

    /// The kernel's memory.
    pub fn space(&self) -> Space<'a> {
        self.space
    }

    /// The address of a per-CPU variable, for what Linux calls CPU `cpu`.
    pub(super) fn per_cpu(&self, variable: u64, cpu: usize) -> Option<u64> {
        let offsets = self.kernel.symbols.address("__per_cpu_offset")?;
        let base = match self.space.u64(offsets.checked_add(8 * cpu as u64)?)? {
            // Before the areas are set up the first CPU has the image's own.
            0 => self.kernel.symbols.address("__per_cpu_load")?,
            base => base,
        };
        Some(base.wrapping_add(variable))
    }

    /// What Linux calls a vCPU: by where its per-CPU area is, or else by its own number.
    pub(super) fn linux_cpu(&self, vcpu: VcpuId) -> Result<usize, LinuxError> {
        let cpu = self.guest().cpu(vcpu).ok_or(LinuxError::NoVcpu(vcpu))?;
        let bases = [cpu.segs[dejavm_core::cpu::state::seg::GS].base, cpu.msrs.kernel_gs_base];
        let is_here = |n: &usize| self.per_cpu(0, *n).is_some_and(|base| bases.contains(&base));
        Ok(std::iter::once(vcpu).chain(0..self.guest().vcpus()).find(is_here).unwrap_or(vcpu))
    }
}
