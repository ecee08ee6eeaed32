//! The PC board: which chips there are, and how time, lines and state go through them.
//!
//! The address decoder is in `ports` and `mmio`, interrupt wiring in `interrupts`. Chips are
//! advanced in order of their deadlines, and at one moment in the order of [`BoardState`]'s
//! fields, so that nothing depends on when the run loop happens to look.

pub mod acpi_tables;
mod inspect;
mod interrupts;
pub mod layout;
mod mmio;
mod parts;
mod ports;
#[cfg(test)]
mod tests;

use crate::boundary::{Chip, Inbound, MachineConfig, Outbound, ProbeEvent, ProbeLog, ResetCause};
use crate::devices::acpi_pm::AcpiPm;
use crate::devices::fw_cfg::{FwCfg, VmcoreinfoNote};
use crate::devices::hpet::Hpet;
use crate::devices::i8042::I8042;
use crate::devices::ioapic::IoApic;
use crate::devices::lapic::Lapic;
pub use crate::devices::lapic::VcpuSignals;
use crate::devices::pci_host::PciHost;
use crate::devices::pic_8259::PicPair;
use crate::devices::pit_8254::Pit8254;
use crate::devices::rtc_cmos::RtcCmos;
use crate::devices::system_ports::SystemPorts;
use crate::devices::uart_16550::Uart16550;
use crate::machine::virtual_time::LAST_NS;
use crate::mem::DmaAccess;
use crate::mem::Memory;
use crate::types::{Icount, VcpuId, VirtualNs};
pub use interrupts::IrqCounts;
use serde::{Deserialize, Serialize};

/// All chips with their state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoardState {
    pit: Pit8254,
    rtc: RtcCmos,
    hpet: Hpet,
    i8042: I8042,
    uarts: [Uart16550; 2],
    acpi_pm: AcpiPm,
    system: SystemPorts,
    pci: PciHost,
    fw_cfg: FwCfg,
    pic: PicPair,
    ioapic: IoApic,
    lapics: Vec<Lapic>,
    /// The levels of the ISA interrupt lines, bit n for IRQ n.
    isa_lines: u16,
    /// The levels of the I/O APIC pins that the HPET drives itself, bit n for pin n.
    hpet_pins: u32,
}

impl BoardState {
    fn new(config: &MachineConfig, rtc: RtcCmos, now: VirtualNs) -> Self {
        let mut lapics: Vec<Lapic> = (0..config.vcpus as VcpuId).map(Lapic::new).collect();
        if let Some(bsp) = lapics.first_mut() {
            bsp.enter_virtual_wire_mode();
        }
        // Firmware leaves every ISA line masked until somebody initialises the 8259s.
        let mut pic = PicPair::default();
        pic.write(0x21, 0xFF);
        pic.write(0xA1, 0xFF);
        Self {
            pit: Pit8254::default(),
            rtc,
            hpet: Hpet::default(),
            i8042: I8042::default(),
            uarts: Default::default(),
            acpi_pm: AcpiPm::new(now),
            system: SystemPorts::default(),
            pci: PciHost::default(),
            fw_cfg: FwCfg::default(),
            pic,
            ioapic: IoApic::default(),
            lapics,
            isa_lines: 0,
            hpet_pins: 0,
        }
    }

    /// For how many vCPUs it is.
    pub fn vcpus(&self) -> usize {
        self.lapics.len()
    }

    fn next_deadline(&self) -> VirtualNs {
        let chips = [
            self.pit.next_deadline(),
            self.rtc.next_deadline(),
            self.hpet.next_deadline(),
            self.i8042.next_deadline(),
            self.acpi_pm.next_deadline(),
        ];
        let uarts = self.uarts.iter().map(Uart16550::next_deadline);
        let lapics = self.lapics.iter().map(Lapic::next_deadline);
        let all = chips.into_iter().chain(uarts).chain(lapics).flatten();
        all.filter(|&moment| moment <= LAST_NS).min().unwrap_or(VirtualNs::MAX)
    }

    /// Advances the chips for which something is due at `now`.
    fn advance(&mut self, now: VirtualNs, mut fired: impl FnMut(Chip)) {
        let due = |deadline: Option<VirtualNs>| deadline.is_some_and(|t| t <= now);
        if due(self.pit.next_deadline()) {
            fired(Chip::Pit);
            self.pit.advance(now);
        }
        if due(self.rtc.next_deadline()) {
            fired(Chip::Rtc);
            self.rtc.advance(now);
        }
        if due(self.hpet.next_deadline()) {
            fired(Chip::Hpet);
            self.hpet.advance(now);
        }
        if due(self.i8042.next_deadline()) {
            fired(Chip::I8042);
            self.i8042.advance(now);
        }
        for uart in &mut self.uarts {
            if due(uart.next_deadline()) {
                fired(Chip::Uart);
                uart.advance(now);
            }
        }
        if due(self.acpi_pm.next_deadline()) {
            fired(Chip::AcpiPm);
            self.acpi_pm.advance(now);
        }
        for lapic in &mut self.lapics {
            if due(lapic.next_deadline()) {
                fired(Chip::Lapic);
                lapic.advance(now);
            }
        }
    }
}

/// What the guest asks of the machine as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MachineRequest {
    /// Reset everything and boot again.
    Reset(ResetCause),
    /// Switch off.
    PowerOff,
    /// End the run with a code.
    DebugExit(u32),
}

/// The board: its state, and what leaves it.
pub struct Board {
    config: MachineConfig,
    state: BoardState,
    /// Derived: the earliest deadline of any chip.
    deadline: VirtualNs,
    outbound: Vec<Outbound>,
    request: Option<MachineRequest>,
    /// What probes saw, of the chips and of the vCPUs.
    pub probes: ProbeLog,
    /// How often interrupt lines rose.
    irqs: IrqCounts,
}

impl Board {
    /// The board after power-up, as firmware hands it over.
    pub fn new(config: &MachineConfig) -> Self {
        let state = BoardState::new(config, RtcCmos::new(config.rtc_start_unix_s), 0);
        let (config, outbound) = (config.clone(), Vec::new());
        let probes = ProbeLog::default();
        let irqs = IrqCounts::default();
        let mut board = Self { config, state, deadline: 0, outbound, request: None, probes, irqs };
        board.settle();
        board
    }

    /// Reset of all chips at `now`; the RTC goes on. What was pending for the run loop is gone.
    pub fn reset(&mut self, now: VirtualNs) {
        let mut rtc = self.state.rtc.clone();
        rtc.reset(now);
        self.state = BoardState::new(&self.config, rtc, now);
        self.request = None;
        self.settle();
    }

    /// The state, for a checkpoint, and what the guest asks of the machine at the moment.
    ///
    /// # Panics
    /// If nobody has taken yet what leaves the board: it would be lost.
    pub fn save(&self) -> (BoardState, Option<MachineRequest>) {
        assert!(self.outbound.is_empty());
        (self.state.clone(), self.request)
    }

    /// Takes over a state that was saved at `icount`.
    pub fn load(&mut self, state: BoardState, request: Option<MachineRequest>, icount: Icount) {
        self.state = state;
        self.irqs = IrqCounts { since: icount, ..IrqCounts::default() };
        self.outbound.clear();
        self.request = request;
        self.deadline = self.state.next_deadline();
    }

    /// When a chip does something by itself next.
    #[inline]
    pub fn next_deadline(&self) -> Option<VirtualNs> {
        (self.deadline != VirtualNs::MAX).then_some(self.deadline)
    }

    /// Makes everything happen that is due at `now`, in the order of its moments.
    pub fn advance(&mut self, now: VirtualNs) {
        while self.deadline <= now {
            let moment = self.deadline;
            let Self { state, probes, .. } = self;
            state.advance(moment, |chip| probes.push(ProbeEvent::Timer { chip }));
            self.settle();
            assert!(self.deadline > moment, "a chip did not get past its own deadline");
        }
    }

    /// After any change of a chip: lines, messages and the next deadline follow.
    fn settle(&mut self) {
        self.update_lines();
        self.deadline = self.state.next_deadline();
    }

    /// Applies something from outside.
    pub fn apply(&mut self, event: &Inbound, now: VirtualNs) {
        self.advance(now);
        match event {
            Inbound::Serial { port, bytes } => {
                if let Some(uart) = self.state.uarts.get_mut(usize::from(*port)) {
                    for &byte in bytes {
                        uart.receive(now, byte);
                    }
                }
            }
            Inbound::SerialBreak { port } => {
                if let Some(uart) = self.state.uarts.get_mut(usize::from(*port)) {
                    uart.receive_break(now);
                }
            }
            Inbound::Keyboard { scan_codes } => self.state.i8042.press(now, scan_codes),
            Inbound::Reset => self.request(MachineRequest::Reset(ResetCause::Button)),
            Inbound::PowerButton => self.state.acpi_pm.press_power_button(),
            Inbound::Nmi => self.state.lapics.iter_mut().for_each(Lapic::signal_nmi),
            // Of vCPUs and RAM, which are not on the board: see [`crate::machine::Machine::apply`].
            Inbound::Debugger(_) => {}
            Inbound::PortWrite(write) => self.write_ports(now, write.port, write.size, write.masked_value()),
        }
        self.settle();
    }

    /// How many bytes UART `port` takes without losing one.
    pub fn serial_room(&self, port: usize) -> usize {
        self.state.uarts.get(port).map_or(0, Uart16550::room)
    }

    /// Lets chips that have asked for it have the memory; gives what they did there.
    #[inline]
    pub fn run_dma(&mut self, mem: &mut Memory) -> Vec<DmaAccess> {
        if self.state.fw_cfg.dma_pending() { self.state.fw_cfg.run_dma(mem) } else { Vec::new() }
    }

    /// Where the guest says that its VMCOREINFO note lies.
    pub fn vmcoreinfo(&self) -> Option<VmcoreinfoNote> {
        self.state.fw_cfg.vmcoreinfo()
    }

    /// Takes what left the machine since the last call.
    pub fn take_outbound(&mut self) -> Vec<Outbound> {
        std::mem::take(&mut self.outbound)
    }

    /// Takes what the guest asks of the machine; the run loop must honour it at once.
    pub fn take_request(&mut self) -> Option<MachineRequest> {
        self.request.take()
    }

    /// Whether [`Self::take_request`] has something.
    #[inline]
    pub fn has_request(&self) -> bool {
        self.request.is_some()
    }

    /// The first request stands.
    fn request(&mut self, request: MachineRequest) {
        self.request.get_or_insert(request);
    }
}
