//! Commands of QEMU's monitor for devices that this machine lacks: `help` knows them, and they say
//! what is missing.

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    Audio,
    Block,
    DirtyRate,
    Display,
    Firmware,
    HostPhysical,
    Hotplug,
    Hypervisor,
    MachineCheck,
    MemoryDevices,
    Migration,
    Mouse,
    Network,
    Objects,
    Usb,
    Virtio,
}

impl Lack {
    /// The answer of a command.
    pub fn text(self) -> String {
        let what = match self {
            Self::Audio => "no sound card",
            Self::Block => "no block devices",
            Self::DirtyRate => "no limits and rates of dirty pages",
            Self::Display => "no display",
            Self::Firmware => "no firmware that could be asked: it loads its kernel itself",
            Self::HostPhysical => "no knowledge of the host's physical memory",
            Self::Hotplug => "no devices that come and go",
            Self::Hypervisor => "no hypervisor beneath it and no such device",
            Self::MachineCheck => "no machine checks from outside",
            Self::MemoryDevices => "no memory devices",
            Self::Migration => "no migration",
            Self::Mouse => "no mouse",
            Self::Network => "no network devices",
            Self::Objects => "no objects that come and go",
            Self::Usb => "no USB",
            Self::Virtio => "no virtio devices",
        };
        format!("this machine has {what}")
    }
}

/// A command that there is nothing for.
pub(crate) struct Absent {
    /// Its name.
    pub name: &'static str,
    /// Its parameters, as help shows them.
    pub parameters: &'static str,
    /// What it would do.
    pub about: &'static str,
    /// Why it does not.
    pub lacks: Lack,
}

/// The absent command of that name.
pub(crate) fn find(table: &'static [Absent], name: &str) -> Option<&'static Absent> {
    table.iter().find(|absent| absent.name == name)
}

const fn absent(name: &'static str, parameters: &'static str, about: &'static str, lacks: Lack) -> Absent {
    Absent { name, parameters, about, lacks }
}

/// The commands.
pub(crate) const COMMANDS: &[Absent] = &[
    absent("announce_self", "[interfaces] [id]", "Trigger GARP/RARP announcements", Lack::Network),
    absent("balloon", "target", "request VM to change its memory allocation (in MB)", Lack::MemoryDevices),
    absent("block_job_cancel", "[-f] device", "stop an active background block operation", Lack::Block),
    absent("block_job_complete", "device", "stop an active background block operation", Lack::Block),
    absent("block_job_pause", "device", "pause an active background block operation", Lack::Block),
    absent("block_job_resume", "device", "resume a paused background block operation", Lack::Block),
    absent(
        "block_job_set_speed",
        "device speed",
        "set maximum speed for a background block operation",
        Lack::Block,
    ),
    absent("block_resize", "device size", "resize a block image", Lack::Block),
    absent(
        "block_set_io_throttle",
        "device bps bps_rd bps_wr iops iops_rd iops_wr",
        "change I/O throttle limits for a block drive",
        Lack::Block,
    ),
    absent(
        "block_stream",
        "device [speed [base]]",
        "copy data from a backing file into a block device",
        Lack::Block,
    ),
    absent(
        "calc_dirty_rate",
        "[-r] [-b] second [sample_pages_per_GB]",
        "start a round of guest dirty rate measurement (using",
        Lack::DirtyRate,
    ),
    absent(
        "cancel_vcpu_dirty_limit",
        "[cpu_index]",
        "cancel dirty page rate limit, use cpu_index to cancel limit on a specified virtual cpu",
        Lack::DirtyRate,
    ),
    absent(
        "change",
        "device [-f] filename [format [read-only-mode]]",
        "change a removable medium, optional format, use",
        Lack::Block,
    ),
    absent(
        "client_migrate_info",
        "protocol hostname port tls-port cert-subject",
        "set migration information for remote display",
        Lack::Display,
    ),
    absent(
        "commit",
        "device|all",
        "commit changes to the disk images (if -snapshot is used) or backing files",
        Lack::Block,
    ),
    absent(
        "device_add",
        "driver[,prop=value][,...]",
        "add device, like -device on the command line",
        Lack::Hotplug,
    ),
    absent("device_del", "device", "remove device", Lack::Hotplug),
    absent(
        "drive_add",
        "[-n] [[<domain>:]<bus>:]<slot> [file=file][,if=type][,bus=n][,unit=m][,media=d][,index=i][,snapshot=on|off][,cache=on|off][,readonly=on|off][,copy-on-read=on|off]",
        "add drive to PCI storage controller",
        Lack::Block,
    ),
    absent(
        "drive_backup",
        "[-n] [-f] [-c] device target [format]",
        "initiates a point-in-time copy for a device",
        Lack::Block,
    ),
    absent("drive_del", "device", "remove host block device", Lack::Block),
    absent(
        "drive_mirror",
        "[-n] [-f] device target [format]",
        "initiates live storage migration for a device",
        Lack::Block,
    ),
    absent("dumpdtb", "filename", "dump the FDT in dtb format to 'filename'", Lack::Firmware),
    absent("eject", "[-f] device", "eject a removable medium", Lack::Block),
    absent(
        "expire_password",
        "protocol time [-d display]",
        "set spice/vnc password expire-time",
        Lack::Display,
    ),
    absent(
        "gpa2hpa",
        "addr",
        "print the host physical address corresponding to a guest physical address",
        Lack::HostPhysical,
    ),
    absent(
        "hostfwd_add",
        "[netdev_id] [tcp|udp]:[hostaddr]:hostport-[guestaddr]:guestport",
        "redirect TCP or UDP connections from host to guest (requires -net user)",
        Lack::Network,
    ),
    absent(
        "hostfwd_remove",
        "[netdev_id] [tcp|udp]:[hostaddr]:hostport",
        "remove host-to-guest TCP or UDP redirection",
        Lack::Network,
    ),
    absent(
        "mce",
        "[-b] cpu bank status mcgstatus addr misc",
        "inject a MCE on the given CPU [and broadcast to other CPUs with -b option]",
        Lack::MachineCheck,
    ),
    absent("migrate", "[-d] [-r] uri", "migrate to URI (using", Lack::Migration),
    absent("migrate_cancel", "", "cancel the current VM migration", Lack::Migration),
    absent("migrate_continue", "state", "Continue migration from the given paused state", Lack::Migration),
    absent(
        "migrate_incoming",
        "uri",
        "Continue an incoming migration from an -incoming defer",
        Lack::Migration,
    ),
    absent("migrate_pause", "", "Pause an ongoing migration (postcopy-only)", Lack::Migration),
    absent("migrate_recover", "uri", "Continue a paused incoming postcopy migration", Lack::Migration),
    absent(
        "migrate_set_capability",
        "capability state",
        "Enable/Disable the usage of a capability for migration",
        Lack::Migration,
    ),
    absent("migrate_set_parameter", "parameter value", "Set the parameter for migration", Lack::Migration),
    absent(
        "migrate_start_postcopy",
        "",
        "Followup to a migration command to switch the migration to postcopy mode",
        Lack::Migration,
    ),
    absent("mouse_button", "state", "change mouse button state (1=L, 2=M, 4=R)", Lack::Mouse),
    absent("mouse_move", "dx dy [dz]", "send mouse move events", Lack::Mouse),
    absent("mouse_set", "index", "set which mouse device receives events", Lack::Mouse),
    absent("nbd_server_add", "[-w] device [name]", "export a block device via NBD", Lack::Block),
    absent("nbd_server_remove", "[-f] name", "remove an export previously exposed via NBD", Lack::Block),
    absent(
        "nbd_server_start",
        "[-a] [-w] host:port",
        "serve block devices on the given host and port",
        Lack::Block,
    ),
    absent("nbd_server_stop", "", "stop serving block devices using the NBD protocol", Lack::Block),
    absent(
        "netdev_add",
        "[user|tap|socket|stream|dgram|vde|bridge|hubport|netmap|vhost-user],id=str[,prop=value][,...]",
        "add host network device",
        Lack::Network,
    ),
    absent("netdev_del", "id", "remove host network device", Lack::Network),
    absent("object_add", "[qom-type=]type,id=str[,prop=value][,...]", "create QOM object", Lack::Objects),
    absent("object_del", "id", "destroy QOM object", Lack::Objects),
    absent(
        "pcie_aer_inject_error",
        "[-a] [-c] id <error_status> [<tlp header> [<tlp header prefix>]]",
        "inject pcie aer error",
        Lack::Hotplug,
    ),
    absent(
        "qemu-io",
        "[-d] [device] \"[command]\"",
        "run a qemu-io command on a block device -d: [device] is a device ID rather than a drive ID or node name",
        Lack::Block,
    ),
    absent(
        "screendump",
        "filename [-f format] [device [head]]",
        "save screen from head 'head' of display device 'device'in specified format 'format' as image 'filename'.Curren",
        Lack::Display,
    ),
    absent("set_link", "name on|off", "change the link status of a network adapter", Lack::Network),
    absent(
        "set_password",
        "protocol password [-d display] [action-if-connected]",
        "set spice/vnc password",
        Lack::Display,
    ),
    absent(
        "set_vcpu_dirty_limit",
        "dirty_rate [cpu_index]",
        "set dirty page rate limit, use cpu_index to set limit on a specified virtual cpu",
        Lack::DirtyRate,
    ),
    absent(
        "snapshot_blkdev",
        "[-n] device [new-image-file] [format]",
        "initiates a live snapshot of device",
        Lack::Block,
    ),
    absent("snapshot_blkdev_internal", "device name", "take an internal snapshot of device", Lack::Block),
    absent(
        "snapshot_delete_blkdev_internal",
        "device name [id]",
        "delete an internal snapshot of device",
        Lack::Block,
    ),
    absent("stopcapture", "capture index", "stop capture", Lack::Audio),
    absent(
        "wavcapture",
        "path audiodev [frequency [bits [channels]]]",
        "capture audio to a wave file (default frequency=44100 bits=16 channels=2)",
        Lack::Audio,
    ),
    absent(
        "x_colo_lost_heartbeat",
        "",
        "Tell COLO that heartbeat is lost, a failover or takeover is needed",
        Lack::Migration,
    ),
    absent("xen-event-inject", "port", "inject event channel", Lack::Hypervisor),
    absent("xen-event-list", "", "list event channel state", Lack::Hypervisor),
];

/// Those after `info`.
pub(crate) const INFO: &[Absent] = &[
    absent("balloon", "", "show balloon information", Lack::MemoryDevices),
    absent(
        "block",
        "[-n] [-v] [device]",
        "show info of one block device or all block devices (-n: show named nodes; -v: show details)",
        Lack::Block,
    ),
    absent("block-jobs", "", "show progress of ongoing block device operations", Lack::Block),
    absent("blockstats", "", "show block device statistics", Lack::Block),
    absent("capture", "", "show capture information", Lack::Audio),
    absent("cryptodev", "", "show the crypto devices", Lack::Hotplug),
    absent("dirty_rate", "", "show dirty rate information", Lack::DirtyRate),
    absent("memdev", "", "show memory backends", Lack::MemoryDevices),
    absent("memory-devices", "", "show memory devices", Lack::MemoryDevices),
    absent("mice", "", "show which guest mouse is receiving events", Lack::Mouse),
    absent("migrate", "", "show migration status", Lack::Migration),
    absent("migrate_capabilities", "", "show current migration capabilities", Lack::Migration),
    absent("migrate_parameters", "", "show current migration parameters", Lack::Migration),
    absent("network", "", "show the network state", Lack::Network),
    absent("rdma", "", "show RDMA state", Lack::Migration),
    absent("rocker", "name", "Show rocker switch", Lack::Network),
    absent("rocker-of-dpa-flows", "name [tbl_id]", "Show rocker OF-DPA flow tables", Lack::Network),
    absent("rocker-of-dpa-groups", "name [type]", "Show rocker OF-DPA groups", Lack::Network),
    absent("rocker-ports", "name", "Show rocker ports", Lack::Network),
    absent("sev", "", "show SEV information", Lack::Hypervisor),
    absent("sgx", "", "show intel SGX information", Lack::Hypervisor),
    absent("spice", "", "show the spice server status", Lack::Display),
    absent(
        "stats",
        "target [names] [provider]",
        "show statistics for the given target (vm or vcpu); optionally filter byname (comma-separated list, or * for al",
        Lack::Hypervisor,
    ),
    absent("tpm", "", "show the TPM device", Lack::Hypervisor),
    absent("usb", "", "show guest USB devices", Lack::Usb),
    absent("usbhost", "", "show host USB devices", Lack::Usb),
    absent("usernet", "", "show user network stack connection states", Lack::Network),
    absent("vcpu_dirty_limit", "", "show dirty page limit information of all vCPU", Lack::DirtyRate),
    absent("virtio", "", "List all available virtio devices", Lack::Virtio),
    absent(
        "virtio-queue-element",
        "path queue [index]",
        "Display element of a given virtio queue",
        Lack::Virtio,
    ),
    absent("virtio-queue-status", "path queue", "Display status of a given virtio queue", Lack::Virtio),
    absent("virtio-status", "path", "Display status of a given virtio device", Lack::Virtio),
    absent("virtio-vhost-queue-status", "path queue", "Display status of a given vhost queue", Lack::Virtio),
    absent("vm-generation-id", "", "Show Virtual Machine Generation ID", Lack::Hypervisor),
    absent("vnc", "", "show the vnc server status", Lack::Display),
];
