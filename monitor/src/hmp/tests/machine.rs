//! Commands that look at the machine's parts.

use super::{check, check_live, monitor, on_replay};
use crate::chardev::{Backend, User};
use crate::control::fake::Fake;
use crate::control::{Inspect as _, Mode, Timeline as _, date_text};
use crate::hmp::Hmp;
use dejavm_core::boundary::{HitCause, StopHit};
use dejavm_core::cpu::state::{cr0, cr4, efer};

/// A machine with one page at 401000h (user, read-only) and two at 600000h (kernel, writable).
fn paged() -> Fake {
    let mut fake = Fake::replay();
    let entries = [
        (0x10000, 0x11007u64),
        (0x11000, 0x12007),
        (0x12010, 0x13007),
        (0x12018, 0x14003),
        (0x13008, 0x8000_0000_0000_5025),
        (0x14000, 0x6063),
        (0x14008, 0x7103),
    ];
    for (gpa, entry) in entries {
        fake.write(gpa, &entry.to_le_bytes());
    }
    fake.change_cpu(|cpu| {
        (cpu.cr0, cpu.cr3, cpu.cr4, cpu.efer) = (cr0::PG | cr0::PE, 0x10000, cr4::PAE, efer::LMA | efer::LME);
    });
    fake
}

fn on_paged(line: &str) -> String {
    monitor().execute(line, &mut paged())
}

#[test]
fn page_tables() {
    check("info mem", "PG disabled\n");
    assert_eq!(
        on_paged("info mem"),
        "0000000000401000-0000000000402000 0000000000001000 ur-\n\
         0000000000600000-0000000000602000 0000000000002000 -rw\n"
    );
    assert_eq!(
        on_paged("info tlb"),
        "0000000000401000: 0000000000005000 X---A--U-\n\
         0000000000600000: 0000000000006000 ---DA---W\n\
         0000000000601000: 0000000000007000 -G------W\n"
    );
    assert_eq!(on_paged("gva2gpa 0x401123"), "gpa: 0x5123\n");
    assert_eq!(on_paged("gva2gpa 0x402000"), "Unmapped\n");
    assert_eq!(on_paged("x/1xb 0x402000"), "0000000000402000: Cannot access memory\n");
}

#[test]
fn interrupt_controllers() {
    let pic = on_replay("info pic").0;
    assert!(pic.starts_with("ioapic0: ver=0x20 id=0x00 sel=0x00\n"), "{pic}");
    assert!(
        pic.contains("  pin 0  0x0000000000010000 dest=0 vec=0   active-hi edge  masked fixed  physical\n"),
        "{pic}"
    );
    assert!(pic.ends_with(
        "pic1: irr=00 imr=ff isr=00 hprio=0 irq_base=00 rr_sel=0 elcr=00 fnm=0\n\
         pic0: irr=01 imr=ff isr=00 hprio=0 irq_base=00 rr_sel=0 elcr=00 fnm=0\n"
    ));
    let lapic = on_replay("info lapic").0;
    for part in [
        "dumping local APIC state for CPU 0 \n",
        "LVT0\t 0x",
        "Timer\t DCR=0x0 (divide by 2) initial_count = 0 current_count = 0\n",
        "ISR\t (none)\n",
        "IRR\t (none)\n",
    ] {
        assert!(lapic.contains(part), "{part:?} is not in {lapic}");
    }
    check("info lapic 1", "invalid CPU index\n");
    assert!(on_replay("info irq").0.ends_with("asserted ISA lines: 0\n"));
}

#[test]
fn looking_changes_nothing() {
    let mut fake = Fake::replay();
    let before = fake.machine().state_hash();
    for line in [
        "info pic",
        "info lapic",
        "info pci",
        "info irq",
        "i /b 0x60",
        "i /b 0x3f8",
        "info tlb",
        "sum 0 4096",
    ] {
        monitor().execute(line, &mut fake);
    }
    assert_eq!(fake.machine().state_hash(), before);
}

#[test]
fn ports_are_read_from_a_copy() {
    check("i /b 0x21", "portb[0x0021] = 0xff\n");
    check("i /h 0x20", "portw[0x0020] = 0xff01\n");
    check("i 0xcf8", "portl[0x0cf8] = 0x00000000\n");
    check("i", "unexpected end of expression\nTry \"help i\" for more information\n");
}

#[test]
fn the_memory_map() {
    let tree = on_replay("info mtree").0;
    for line in [
        "address-space: memory\n",
        "    0000000000000000-00000000007fffff (prio 0, ram): pc.ram\n",
        "    00000000fee00000-00000000fee00fff (prio 0, i/o): apic\n",
        "    00000000000003f8-00000000000003ff (prio 0, i/o): serial\n",
    ] {
        assert!(tree.contains(line), "{line:?} is not in {tree}");
    }
    assert!(on_replay("info mtree -f").0.contains("FlatView #0\n AS \"memory\", root: system\n"));
    let dispatch = on_replay("info mtree -f -d").0;
    assert!(dispatch.contains("#0 @0000000000000000..00000000007fffff pc.ram [RAM]\n"), "{dispatch}");
    assert!(dispatch.contains("..00000000feefffff") || dispatch.contains("apic [i/o]\n"), "{dispatch}");
    let owners = on_replay("info mtree -o").0;
    assert!(owners.contains("(prio 0, i/o): io parent:{obj path=/machine}\n"), "{owners}");
    for line in owners.lines().filter_map(|line| line.split_once("owner:{dev path=")) {
        let path = line.1.trim_end_matches('}');
        assert!(!on_replay(&format!("qom-list {path}")).0.contains("not found"), "{path}");
    }
    assert_eq!(on_replay("info mtree -D").0, tree);
    assert_eq!(on_replay("info mtree -fo").0.matches("owner:").count(), owners.matches("owner:").count());
    check("info mtree -z", "mtree: unsupported option -z\nTry \"help info mtree\" for more information\n");
    check("info memory_size_summary", "base memory: 8388608\nplugged memory: 0\n");
    check("gpa2hva 0xfee00000", "Memory at address 0xfee00000 is not RAM\n");
    assert!(on_replay("gpa2hva 0x100000").0.starts_with("Host virtual address for 0x100000 (pc.ram) is 0x"));
    assert!(on_replay("info ramblock").0.contains("0x0000000000800000"));
}

#[test]
fn checksums() {
    let mut fake = Fake::replay();
    fake.write(0x2000, &[1, 2, 3]);
    // ((1 >> 1 | 1 << 15) + 2 = 8002h, then >> 1 + 3 = 4004h
    assert_eq!(monitor().execute("sum 0x2000 3", &mut fake), "16388\n");
    check("sum 0 0", "00000\n");
    check("sum", "unexpected end of expression\nTry \"help sum\" for more information\n");
    check(
        "sum 0xfffffffffff0 16",
        "'sum' has failed: integer is for 32-bit values\nTry \"help sum\" for more information\n",
    );
}

#[test]
fn objects() {
    let tree = on_replay("info qom-tree").0;
    assert!(
        tree.starts_with("/machine (pc-machine)\n  /accel (dejavm-accel)\n  /cpu[0] (dejavm-x86_64-cpu)\n    /lapic (apic)\n"),
        "{tree}"
    );
    check("qom-get /machine ram-size", "8388608\n");
    check("qom-get /machine/serial0 irq", "4\n");
    check("qom-get /machine/nosuch irq", "Device '/machine/nosuch' not found\n");
    check("qom-get /machine nosuch", "Property 'pc-machine.nosuch' not found\n");
    check("qom-set /machine ram-size 1", "Property 'pc-machine.ram-size' cannot be changed\n");
    assert!(on_replay("qom-list /machine").0.contains("serial0 (child<isa-serial>)\n"));
    assert!(on_replay("info qtree -b").0.contains("  dev: hpet, id \"\"\n"));
    assert!(on_replay("info qdm").0.contains("name \"ioapic\", no-user\n"));
}

/// When a mark was set, as wide as its column.
fn date(fake: &Fake, mark: &str) -> String {
    format!("{:>19}", date_text(fake.marks[mark].made_unix_s))
}

#[test]
fn marks() {
    let mut hmp = monitor();
    let mut fake = Fake::replay();
    assert_eq!(hmp.execute("savevm here", &mut fake), "");
    assert_eq!(hmp.execute("replay_seek +50", &mut fake), "");
    assert_eq!(
        hmp.execute("when", &mut fake),
        "instruction count 100, virtual time 100 ns, 0.010 % of 1000000\n"
    );
    assert_eq!(hmp.execute("savevm", &mut fake), "");
    assert_eq!(
        hmp.execute("info snapshots", &mut fake),
        format!(
            "List of snapshots present on all disks:\n\
             ID      TAG               VM_SIZE                DATE        VM_CLOCK     ICOUNT\n\
             --      here                  0 B {}  0000:00:00.000         50\n\
             --      icount-100            0 B {}  0000:00:00.000        100\n",
            date(&fake, "here"),
            date(&fake, "icount-100")
        )
    );
    assert_eq!(hmp.execute("loadvm here", &mut fake), "");
    assert_eq!(fake.icount, 50);
    assert_eq!(hmp.execute("replay_seek icount-100", &mut fake), "");
    assert_eq!(fake.icount, 100);
    assert_eq!(hmp.execute("delvm here", &mut fake), "");
    assert_eq!(
        hmp.execute("loadvm here", &mut fake),
        "Error: Snapshot 'here' does not exist in this recording\n"
    );
    for (line, icount) in [("-1", 99), ("25%", 250_000), ("end", 1_000_000), ("0x10", 16)] {
        assert_eq!(hmp.execute(&format!("replay_seek {line}"), &mut fake), "");
        assert_eq!(fake.icount, icount, "{line}");
    }
    let before = "cannot seek to the specified instruction count: it is before the start\n";
    assert_eq!(hmp.execute("replay_seek -17", &mut fake), before);
    assert!(hmp.execute("replay_seek 101%", &mut fake).starts_with("'101%' is no percentage"));
    check_live("savevm x", "Error: nothing is recorded that a place could be marked in\n");
    let mut recording = Fake::new(Mode::Record { file: "run.dj".into() });
    assert_eq!(hmp.execute("savevm x", &mut recording), "");
    assert_eq!(recording.marks["x"].at.icount, 50);
    let refused = "Error: only a replay goes back: record the run, then replay it\n";
    assert_eq!(hmp.execute("loadvm x", &mut recording), refused);
}

#[test]
fn breakpoints() {
    let mut hmp = monitor();
    let mut fake = Fake::replay();
    hmp.execute("replay_break 70", &mut fake);
    hmp.execute("replay_break 60", &mut fake);
    assert_eq!(hmp.execute("info breakpoints", &mut fake), "instruction count 60\ninstruction count 70\n");
    assert_eq!(hmp.execute("replay_delete_break 60", &mut fake), "");
    assert_eq!(hmp.execute("replay_delete_break 60", &mut fake), "there is no replay breakpoint at 60\n");
    assert_eq!(hmp.execute("replay_delete_break", &mut fake), "");
    assert_eq!(hmp.execute("info breakpoints", &mut fake), "");
}

#[test]
fn backward_to_where_the_run_was_to_stop() {
    let mut hmp = monitor();
    let mut fake = Fake::replay();
    for line in ["replay_break 60", "replay_break 90", "replay_seek 100"] {
        assert_eq!(hmp.execute(line, &mut fake), "");
    }
    for icount in [90, 60, 0, 0] {
        let said = hmp.execute("reverse_continue", &mut fake);
        assert!(said.starts_with(&format!("{icount} ")), "{said}");
    }
    let cause = HitCause::Instruction { address: 0x1000 };
    fake.hit = Some(StopHit { id: 0, vcpu: 0, icount: 40, in_delivery: false, cause });
    for (line, told) in [
        ("0x1000", "Breakpoint { address: 4096 }"),
        ("-e", "Exception { vector: None }"),
        ("-e 14", "Exception { vector: Some(14) }"),
        ("-i 0x20", "Interrupt { vector: Some(32) }"),
    ] {
        let said = hmp.execute(&format!("reverse_continue {line}"), &mut fake);
        assert!(said.starts_with("40 "), "{line}: {said}");
        assert_eq!(fake.told.pop().as_deref(), Some(told));
    }
    fake.hit = None;
    assert_eq!(hmp.execute("reverse_continue 0x1000", &mut fake), "there was none before\n");
    assert!(
        hmp.execute("reverse_continue -e 256", &mut fake).contains("'vector' expects a number up to 255\n")
    );
    let unknown = "reverse_continue: unsupported option -x\n";
    assert!(hmp.execute("reverse_continue -x", &mut fake).starts_with(unknown));
    check_live("reverse_continue", "replay must be enabled to go back\n");
}

#[test]
fn history() {
    let mut hmp = monitor();
    let mut fake = Fake::new(Mode::Live);
    for line in ["info name", "info name", "p 1"] {
        hmp.execute(line, &mut fake);
    }
    assert_eq!(hmp.execute("info history", &mut fake), "0: 'info name'\n1: 'p 1'\n2: 'info history'\n");
}

#[test]
fn completion() {
    let monitor = monitor();
    let services = &monitor.services;
    let complete = |line: &str| Hmp::complete(line, &services.words);
    assert_eq!(
        complete("x/4i $r1"),
        ["x/4i $r10", "x/4i $r11", "x/4i $r12", "x/4i $r13", "x/4i $r14", "x/4i $r15"]
    );
    assert_eq!(complete("p 1+$rfl"), ["p 1+$rflags"]);
    assert_eq!(complete("help replay_s"), ["help replay_seek"]);
    assert_eq!(complete("help info mt"), ["help info mtree"]);
    assert_eq!(complete("sendkey ctrl-del"), ["sendkey ctrl-delete"]);
    assert_eq!(complete("trace-event uart_w"), ["trace-event uart_write"]);
    assert_eq!(
        complete("trace-event uart_write o"),
        ["trace-event uart_write off", "trace-event uart_write on"]
    );
    assert_eq!(complete("info trace-events uart_w"), ["info trace-events uart_write"]);
    assert_eq!(complete("log int,trace:uart_w"), ["log int,trace:uart_write"]);
    assert_eq!(complete("log pc"), ["log pcall"]);
    assert_eq!(complete("singlestep of"), ["singlestep off"]);
    assert_eq!(complete("watchdog_action pow"), ["watchdog_action poweroff"]);
    let mut fake = Fake::replay();
    fake.marks().unwrap().insert("crash".into(), Default::default());
    services.take_events(&mut fake);
    for command in ["replay_seek", "loadvm", "delvm", "mark -d"] {
        assert_eq!(complete(&format!("{command} cr")), [format!("{command} crash")]);
    }
    assert_eq!(complete("replay_seek e"), ["replay_seek end"]);
    services.chardevs.add("serial0", Backend::Null, User::Serial(0)).unwrap();
    services.chardevs.add("ring", Backend::Ring { size_bytes: 16 }, User::Nobody).unwrap();
    assert_eq!(complete("chardev-change se"), ["chardev-change serial0"]);
    assert_eq!(complete("chardev-change serial0 pi"), ["chardev-change serial0 pipe"]);
    assert_eq!(complete("chardev-add so"), ["chardev-add socket"]);
    assert_eq!(complete("chardev-remove "), ["chardev-remove serial0", "chardev-remove ring"]);
    assert_eq!(complete("ringbuf_read "), ["ringbuf_read ring"]);
    let folder = std::env::temp_dir().join(format!("dejavm-complete-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("inner")).unwrap();
    let line = format!("pmemsave 0 4096 {}/in", folder.display());
    assert_eq!(complete(&line), [format!("{line}ner/")]);
    let map = folder.join("System.map");
    std::fs::write(&map, "ffffffff81000000 T vfs_read\nffffffff81000100 T vfs_write\n").unwrap();
    assert_eq!(services.names.load_file(&map, fake.machine()), Ok(2));
    services.take_events(&mut fake);
    assert_eq!(complete("x/4i 8+vfs_w"), ["x/4i 8+vfs_write"]);
    assert_eq!(complete("info symbol vfs_"), ["info symbol vfs_read", "info symbol vfs_write"]);
    assert_eq!(complete("memsave vfs_r"), ["memsave vfs_read"]);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn memory_into_files() {
    let path = std::env::temp_dir().join(format!("dejavm-memsave-{}", std::process::id()));
    let mut fake = paged();
    fake.write(0x5000, b"hello");
    let line = format!("memsave 0x401000 5 {}", path.display());
    assert_eq!(monitor().execute(&line, &mut fake), "");
    assert_eq!(std::fs::read(&path).unwrap(), b"hello");
    std::fs::remove_file(&path).unwrap();
    let line = format!("memsave 0x401000 5000 {}", path.display());
    assert_eq!(monitor().execute(&line, &mut fake), "Invalid addr 0x0000000000401000/size 5000 specified\n");
    assert!(!path.exists());
}
