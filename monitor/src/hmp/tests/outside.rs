//! What is around the machine: character devices, descriptors, the log, profiles.

use super::{Log, check, monitor, on_replay};
use crate::chardev::{Backend, User};
use crate::control::Mode;
use crate::control::fake::Fake;
use crate::hmp::Hmp;
use crate::qmp::tests::services;
use crate::services::LogControl as _;
use std::rc::Rc;

/// A monitor of a machine whose first serial port goes into a ring buffer.
fn with_ring() -> (Hmp, Rc<crate::services::Services>) {
    let services = services();
    services.chardevs.add("serial0", Backend::Ring { size_bytes: 16 }, User::Serial(0)).unwrap();
    services.chardevs.add("mon", Backend::Monitor("unix:q".into()), User::Monitor).unwrap();
    (Hmp::new(services.clone()), services)
}

#[test]
fn ring_buffers() {
    let (mut hmp, services) = with_ring();
    let mut fake = Fake::replay();
    let mut said = |line: &str| hmp.execute(line, &mut fake);
    services.chardevs.write_serial(0, b"a\\b\n\x1b[0m").unwrap();
    assert_eq!(said("ringbuf_read serial0 4*2+100"), "a\\\\b\n\\u001B[0m\n");
    assert_eq!(said("ringbuf_read serial0 1"), "\n");
    assert_eq!(said("ringbuf_write serial0 hello"), "");
    assert_eq!(said("ringbuf_write serial0 \" you\""), "");
    assert_eq!(said("ringbuf_read serial0 99"), "hello you\n");
    assert_eq!(said("ringbuf_read serial0 0"), "Error: size must be greater than zero\n");
    assert_eq!(said("ringbuf_read mon 1"), "Error: mon is not a ringbuf device\n");
    assert_eq!(said("ringbuf_write nosuch x"), "Error: Device 'nosuch' not found\n");
    let try_help = |name: &str| format!("Try \"help {name}\" for more information\n");
    let expected = format!("ringbuf_write: string expected\n{}", try_help("ringbuf_write"));
    assert_eq!(said("ringbuf_write serial0"), expected);
    let expected = format!("unexpected end of expression\n{}", try_help("ringbuf_read"));
    assert_eq!(said("ringbuf_read serial0"), expected);
}

#[test]
fn character_devices_come_change_and_go() {
    let (mut hmp, services) = with_ring();
    let mut fake = Fake::replay();
    let mut said = |line: &str| hmp.execute(line, &mut fake);
    assert_eq!(said("chardev-add ringbuf,id=r,size=64"), "");
    assert_eq!(said("chardev-add null,id=r"), "Error: Chardev with id 'r' already exists\n");
    assert_eq!(said("chardev-add null"), "Error: Parameter 'id' is missing\n");
    let no_display = said("chardev-add vc,id=p");
    assert!(no_display.starts_with("Error: 'vc' is no character device here (this machine has no display)"));
    assert_eq!(
        said("chardev-add socket,id=p,path=s,server=on"),
        "Error: a run that goes on waits for no client: say wait=off\n"
    );
    assert_eq!(
        said("chardev-change serial0 pipe,path=/nonexistent/p"),
        "Error: Failed to open 'pipe': No such file or directory\n"
    );
    let terminal = said("chardev-add pty,id=p");
    let path =
        terminal.strip_prefix("char device redirected to ").and_then(|t| t.strip_suffix(" (label p)\n"));
    let path = path.unwrap_or_else(|| panic!("{terminal}"));
    assert!(said("info chardev").contains(&format!("p: filename=pty:{path}\n")));
    assert_eq!(said("chardev-remove p"), "");
    assert_eq!(said("chardev-add stdio,id=p"), "");
    assert_eq!(
        said("chardev-change serial0 stdio"),
        "Error: cannot use stdio by multiple character devices\n"
    );
    assert_eq!(said("chardev-remove p"), "");
    assert_eq!(
        said("info chardev"),
        "serial0: filename=ringbuf\nmon: filename=unix:q\nr: filename=ringbuf\n"
    );
    let path = std::env::temp_dir().join(format!("dejavm-chardev-{}", std::process::id()));
    assert_eq!(said(&format!("chardev-change serial0 file,path={}", path.display())), "");
    services.chardevs.write_serial(0, b"into the file").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"into the file");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(
        said("chardev-change serial0 file,path=/nonexistent/f"),
        "Error: Could not open '/nonexistent/f': No such file or directory\n"
    );
    assert_eq!(said("chardev-change mon null"), "Error: Chardev user does not support chardev hotswap\n");
    assert_eq!(said("chardev-change nosuch null"), "Error: Chardev 'nosuch' does not exist\n");
    assert_eq!(said("chardev-remove serial0"), "Error: Chardev 'serial0' is busy\n");
    assert_eq!(said("chardev-remove r"), "");
    assert_eq!(said("chardev-remove r"), "Error: Chardev 'r' not found\n");
}

#[test]
fn a_break_is_sent_to_a_serial_port_by_the_name_of_its_device() {
    let (mut hmp, _) = with_ring();
    let mut live = Fake::new(Mode::Live);
    assert_eq!(hmp.execute("chardev-send-break serial0", &mut live), "");
    assert_eq!(live.told, ["SerialBreak { port: 0 }"]);
    assert_eq!(hmp.execute("chardev-send-break mon", &mut live), "Chardev 'mon' is no serial port\n");
    assert!(hmp.execute("chardev-send-break serial0", &mut Fake::replay()).contains("`go_live FILE`"));
}

#[test]
fn descriptors_come_over_sockets_only() {
    check("getfd a", "No file descriptor supplied via SCM_RIGHTS\n");
    check("getfd 1", "Parameter 'fdname' expects a name not starting with a digit\n");
    check("closefd a", "File descriptor named 'a' not found\n");
    check("getfd", "getfd: string expected\nTry \"help getfd\" for more information\n");
}

#[test]
fn logging() {
    let log = Log::default();
    log.set_file(Some(std::path::Path::new("l.txt"))).unwrap();
    assert_eq!(log.filter(), "in Some(\"l.txt\")");
    check("logfile", "logfile: filename expected\nTry \"help logfile\" for more information\n");
    check("logfile l.txt", "");
    let mut hmp = monitor();
    let mut fake = Fake::replay();
    let mut said = |line: &str| hmp.execute(line, &mut fake);
    assert_eq!(said("log int,exec"), "");
    assert_eq!(said("info trace-events cpu_block"), "cpu_block : state 1\n");
    assert_eq!(said("info trace-events cpu_nmi"), "cpu_nmi : state 1\n");
    assert_eq!(said("log trace:uart*,warn"), "");
    assert_eq!(said("info trace-events uart*"), "uart_write : state 1\n");
    assert_eq!(said("info trace-events cpu_block"), "cpu_block : state 0\n");
    assert_eq!(said("log trace:nosuch"), "unknown event \"nosuch\"\n");
    assert!(said("log trace:help").contains("\nuart_write\n"));
    assert_eq!(said("log none"), "");
    assert!(on_replay("log nosuch").0.contains("Use \"log trace:help\""));
    // Each item of QEMU's does something, or says what does.
    for item in
        "out_asm in_asm op op_opt op_ind op_plugin int exec cpu fpu mmu pcall cpu_reset unimp guest_errors \
                 page nochain plugin strace tid vpu invalid_mem"
            .split_whitespace()
    {
        let answer = on_replay(&format!("log {item}")).0;
        assert!(
            answer.is_empty() || answer.starts_with(&format!("log item '{item}' is not here: ")),
            "{answer}"
        );
    }
}

#[test]
fn profiles() {
    let mut hmp = monitor();
    let mut fake = Fake::replay();
    let mut said = |line: &str| hmp.execute(line, &mut fake);
    assert_eq!(said("sync-profile"), "sync-profile is off\n");
    assert_eq!(said("sync-profile on"), "");
    assert_eq!(said("sync-profile"), "sync-profile is on\n");
    assert!(said("sync-profile maybe").starts_with("invalid parameter, expecting 'on', 'off', or 'reset'"));
    assert_eq!(said("sync-profile reset"), "");
    let table = said("info sync-profile -m -n 3");
    assert!(
        table.starts_with(
            "Type       Object         Call site   Wait Time (s)        Count   Average (us)\n---"
        )
    );
    assert!(said("info sync-profile -x").starts_with("sync-profile: unsupported option -x\n"));
    assert!(said("info profile").contains("executing instructions"));
    assert_eq!(said("info opcount"), "[no dynamic compiler: instructions are interpreted one by one]\n");
    assert_eq!(said("info iothreads"), "");
    let roms = said("info roms");
    assert!(roms.starts_with("addr=00000000000e0000 size=0x00"), "{roms}");
    assert!(roms.contains("addr=0000000000100000 size=0x001000 mem=ram name=\"kernel\"\n"), "{roms}");
}

#[test]
fn without_a_translator_each_instruction_is_one_block_anyway() {
    check("one-insn-per-tb on", "");
    check("singlestep", "");
    check("one-insn-per-tb maybe", "unexpected option maybe\n");
    check("qom-get /machine/accel one-insn-per-tb", "true\n");
    check("qom-set /machine/accel one-insn-per-tb off", "");
}

#[test]
fn what_there_is_nothing_for_says_so() {
    let refused = on_replay("boot_set c").0;
    assert!(refused.starts_with("Error: no function defined to set boot device list for this architecture"));
    check("watchdog_action pause", "");
    check("watchdog_action jump", "Error: invalid parameter value: jump\n");
    check("system_wakeup", "Unable to wake up: guest is not in suspended state\n");
}

#[test]
fn symbols_of_a_file_are_names() {
    let path = std::env::temp_dir().join(format!("dejavm-symbols-{}", std::process::id()));
    std::fs::write(
        &path,
        "0000000000001000 T start\n0000000000001010 T next.isra.0\n0000000000001020 T end\n",
    )
    .unwrap();
    let mut hmp = monitor();
    let mut fake = Fake::replay();
    // A jump from one to the other.
    fake.write(0x1000, &[0xEB, 0x0E, 0x90]);
    let mut said = |line: &str| hmp.execute(line, &mut fake);
    let help = |name: &str| format!("Try \"help {name}\" for more information\n");
    assert_eq!(said("print start"), format!("invalid char 's' in expression\n{}", help("print")));
    assert_eq!(said(&format!("symbols {}", path.display())), "3 symbols\n");
    assert_eq!(said("print start+8"), "0x1008\n");
    assert_eq!(said("p next.isra.0-start"), "0x10\n");
    assert_eq!(said("print nosuch"), format!("unknown symbol 'nosuch'\n{}", help("print")));
    let code = said("x/2i start");
    assert!(code.starts_with("start:\n0x00001000:  eb 0e"), "{code}");
    assert!(code.contains("<next.isra.0>\n0x00001002:  90"), "{code}");
    assert_eq!(said("symbols off"), "");
    assert!(said("x/1i 0x1000").starts_with("0x00001000:  eb 0e"));
    std::fs::remove_file(path).unwrap();
    assert!(said("symbols").starts_with("Error: no Linux kernel with symbols"));
    assert_eq!(
        said("symbols /nonexistent/map"),
        "Error: Could not open '/nonexistent/map': No such file or directory\n"
    );
}
