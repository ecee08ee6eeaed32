//! Command lines and what they print. The texts are those of QEMU 10.0.2, captured from it,
//! wherever QEMU has the command.

mod machine;
mod outside;
mod table;
mod transcripts;

use super::*;
use crate::control::fake::Fake;
use crate::control::{Mode, RunState, Timeline as _};
use crate::services::{Identity, LogControl};
use dejavm_trace::event::Registry;
use dejavm_trace::sink::{Format, Writer};
use std::sync::Arc;
use std::sync::Mutex;

#[derive(Default)]
struct Log(Mutex<String>);
impl LogControl for Log {
    fn set_filter(&self, filter: &str) -> Result<(), String> {
        if filter == "bogus" {
            return Err("invalid filter".into());
        }
        *self.0.lock().unwrap() = filter.to_owned();
        Ok(())
    }
    fn filter(&self) -> String {
        self.0.lock().unwrap().clone()
    }
    fn set_file(&self, path: Option<&std::path::Path>) -> Result<(), String> {
        *self.0.lock().unwrap() = format!("in {path:?}");
        Ok(())
    }
}

fn monitor() -> Hmp {
    let trace = Arc::new(Registry::new(Writer::new(Format::Text, Box::new(std::io::sink()))));
    Hmp::new(Rc::new(Services::new(trace, Box::new(Log::default()), Identity::default())))
}

/// Executes one line on a replay whose memory holds some bytes at 1000h.
fn on_replay(line: &str) -> (String, Fake) {
    let mut fake = Fake::replay();
    fake.write(0x1000, b"H\x89\x83\xC0\x09\x00\x00'A\\\n\r\x7F\xFF\xFF\xFF");
    fake.change_cpu(|cpu| cpu.regs[3] = 0x1000);
    let out = monitor().execute(line, &mut fake);
    (out, fake)
}

fn check(line: &str, expected: &str) {
    assert_eq!(on_replay(line).0, expected, "{line}");
}

fn check_live(line: &str, expected: &str) {
    assert_eq!(monitor().execute(line, &mut Fake::new(Mode::Live)), expected, "{line}");
}

#[test]
fn info_replay_and_status() {
    check(
        "info replay",
        "Replaying execution 'run.dj': instruction count = 50\n\
         0.005 % of 1000000 instructions, 0 replay breakpoints\n",
    );
    check_live("info replay", "Record/replay is not active\n");
    check("info status", "VM status: paused\n");
    let mut fake = Fake::replay();
    fake.state = RunState::Prelaunch;
    assert_eq!(monitor().execute("info status", &mut fake), "VM status: paused (prelaunch)\n");
    let mut hmp = monitor();
    assert_eq!(hmp.execute("c", &mut fake), "");
    assert_eq!(hmp.execute("info status", &mut fake), "VM status: running\n");
    assert_eq!(hmp.execute("stop", &mut fake), "");
    assert_eq!(fake.state, RunState::Paused);
}

#[test]
fn replay_commands() {
    check_live("replay_break 100", "setting the breakpoint is allowed only in play mode\n");
    check_live("replay_seek 100", "replay must be enabled to seek\n");
    check_live("replay_delete_break", "replay breakpoints are allowed only in play mode\n");
    check("replay_break", "unexpected end of expression\nTry \"help replay_break\" for more information\n");
    check("replay_break 10", "cannot set breakpoint at the instruction in the past\n");
    assert_eq!(on_replay("replay_break 50*2").1.breaks(), [100]);
    assert_eq!(on_replay("replay_seek 0x10").1.icount, 16);
    check_live("go_live new.dj", "replay must be enabled to leave it\n");
    assert_eq!(on_replay("go_live new.dj").1.told, ["go live new.dj"]);
}

#[test]
fn unknown_commands_and_options() {
    check("nosuch", "unknown command: 'nosuch'\n");
    check("info nosuch", "unknown command: 'info nosuch'\n");
    check("help nosuch", "unknown command: 'nosuch'\n");
    check(
        "info registers -v",
        "registers: unsupported option -v\nTry \"help info registers\" for more information\n",
    );
    check("cpu 1", "invalid CPU index\n");
    check("log", "log: string expected\nTry \"help log\" for more information\n");
    assert!(
        on_replay("log bogus")
            .0
            .starts_with("Log items (comma separated):\nnone            remove all logs\n")
    );
    check("trace-event", "trace-event: string expected\nTry \"help trace-event\" for more information\n");
    check("trace-event nosuch on", "unknown event \"nosuch\"\n");
    check(
        "trace-event uart_write maybe",
        "Expected 'on' or 'off'\nTry \"help trace-event\" for more information\n",
    );
}

#[test]
fn trace_events() {
    let mut hmp = monitor();
    let mut fake = Fake::replay();
    assert_eq!(hmp.execute("info trace-events uart*", &mut fake), "uart_write : state 0\n");
    assert_eq!(hmp.execute("trace-event uart_write on", &mut fake), "");
    assert_eq!(hmp.execute("info trace-events uart*", &mut fake), "uart_write : state 1\n");
    assert_eq!(hmp.execute("trace-event uart_write off", &mut fake), "");
    assert_eq!(hmp.execute("trace-event uart_write on 1", &mut fake), "");
    assert_eq!(hmp.execute("info trace-events uart_write 0", &mut fake), "uart_write : state 0\n");
    assert_eq!(hmp.execute("info trace-events uart_write 1", &mut fake), "uart_write : state 1\n");
    let no_vcpu = "No such vCPU\nTry \"help info trace-events\" for more information\n";
    assert_eq!(hmp.execute("info trace-events uart_write 99", &mut fake), no_vcpu);
    assert_eq!(hmp.execute("info trace-events nosuch", &mut fake), "unknown event \"nosuch\"\n");
}

#[test]
fn memory_in_units() {
    check("xp/8xb 0x1000", "0000000000001000: 0x48 0x89 0x83 0xc0 0x09 0x00 0x00 0x27\n");
    check("xp /4xw 0x1000", "0000000000001000: 0xc0838948 0x27000009 0x0d0a5c41 0xffffff7f\n");
    check("x/4xh $ebx", "0000000000001000: 0x8948 0xc083 0x0009 0x2700\n");
    check("x/2dw 0x1000", "0000000000001000: 3229845832  654311433\n");
    check("x/2ow 0x1000", "0000000000001000: 030040704510 04700000011\n");
    check("x/8cb 0x1005", "0000000000001005: '\\x00' '\\x00' '\\'' 'A' '\\\\' '\\n' '\\r' '\\x7f'\n");
    check("xp/1xg 0xdead000000000000", "dead000000000000: Cannot access memory\n");
    check("x", "unexpected end of expression\nTry \"help x\" for more information\n");
    check("x/4xz 0", "invalid char in format: 'z'\nTry \"help x\" for more information\n");
    check("xp/s 0", "invalid char in format: 's'\nTry \"help xp\" for more information\n");
    check("x $nosuch", "unknown register\nTry \"help x\" for more information\n");
}

#[test]
fn a_format_stays_for_the_next_time() {
    let mut hmp = monitor();
    let mut fake = Fake::replay();
    hmp.execute("x/2ub 0", &mut fake);
    assert_eq!(hmp.execute("x 0", &mut fake), "0000000000000000:   0\n");
}

#[test]
fn memory_as_instructions() {
    let mut fake = Fake::replay();
    fake.write(0x100, &[0x90, 0xEB, 0xFE]);
    assert_eq!(
        monitor().execute("xp/2i 0x100", &mut fake),
        format!("0x00000100:  90 {:22}nop\n0x00000101:  eb fe {:19}jmp      0x101\n", "", "")
    );
    assert_eq!(monitor().execute("x/1i 0x800000", &mut fake), "0x00800000: unable to read memory\n");
}

#[test]
fn print_expressions() {
    check("print 1+2", "0x3\n");
    check("p/x 255", "0xff\n");
    check("print/d 0xffffffffffffffff", "-1\n");
    check("p/o 64", "0100\n");
    check("p/c 65", "'A'\n");
    check("p/u -1", "18446744073709551615\n");
    check("p 0x10*4+(3&1)", "0x41\n");
    check("p 1+", "unexpected end of expression\nTry \"help p\" for more information\n");
    check("p 5/0", "division by zero\nTry \"help p\" for more information\n");
    check("p $rbx", "0x1000\n");
}

#[test]
fn registers_in_real_mode_are_those_of_qemu() {
    let mut fake = Fake::replay();
    fake.change_cpu(|cpu| {
        cpu.x87 = Default::default();
        cpu.x87.valid = 0;
    });
    let out = monitor().execute("info registers", &mut fake);
    for line in [
        "\nCPU#0\n",
        "EAX=00000000 EBX=00000000 ECX=00000000 EDX=00060fb1\n",
        "EIP=0000fff0 EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0\n",
        "ES =0000 00000000 0000ffff 00009300\n",
        "CS =f000 ffff0000 0000ffff 00009b00\n",
        "LDT=0000 00000000 0000ffff 00008200\n",
        "TR =0000 00000000 0000ffff 00008b00\n",
        "GDT=     00000000 0000ffff\n",
        "CR0=60000010 CR2=00000000 CR3=00000000 CR4=00000000\n",
        "DR6=00000000ffff0ff0 DR7=0000000000000400\n",
        "EFER=0000000000000000\n",
        "FCW=037f FSW=0000 [ST=0] FTW=00 MXCSR=00001f80\n",
        "XMM06=0000000000000000 0000000000000000 XMM07=0000000000000000 0000000000000000\n",
    ] {
        assert!(out.contains(line), "{line:?} is not in\n{out}");
    }
}

#[test]
fn registers_in_long_mode_are_those_of_qemu() {
    use dejavm_core::cpu::Segment;
    let mut fake = Fake::replay();
    fake.change_cpu(|cpu| {
        cpu.cr0 = 0x8005_0033;
        cpu.efer = 0xD01;
        cpu.regs[8] = 4;
        cpu.segs[1] = Segment { selector: 0x10, base: 0, limit: u32::MAX, attributes: 0xAF9B };
        cpu.segs[2] = Segment { selector: 0x18, base: 0, limit: u32::MAX, attributes: 0xCF93 };
        cpu.tr = Segment { selector: 0x40, base: 0xffff_fe00_0000_3000, limit: 0x4087, attributes: 0x89 };
    });
    let out = monitor().execute("info registers", &mut fake);
    for line in [
        "R8 =0000000000000004 R9 =0000000000000000 R10=0000000000000000 R11=0000000000000000\n",
        "CS =0010 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]\n",
        "SS =0018 0000000000000000 ffffffff 00cf9300 DPL=0 DS   [-WA]\n",
        "TR =0040 fffffe0000003000 00004087 00008900 DPL=0 TSS64-avl\n",
        "CR0=80050033 CR2=0000000000000000 CR3=0000000000000000 CR4=00000000\n",
    ] {
        assert!(out.contains(line), "{line:?} is not in\n{out}");
    }
}

#[test]
fn help_shows_names_parameters_and_purpose() {
    check("help replay_break", "replay_break icount -- set breakpoint at the specified instruction count\n");
    check("? stop", "stop|s  -- stop emulation\n");
    check("help info replay", "info replay  -- show record/replay information\n");
    let (all, _) = on_replay("help");
    let lines = all.lines().filter(|line| !line.starts_with('\t'));
    assert_eq!(lines.count(), commands::ALL.len() + absent::COMMANDS.len());
    assert_eq!(on_replay("info").0, on_replay("help info").0);
}

#[test]
fn quit_ends_the_run() {
    assert_eq!(on_replay("quit").1.told, ["quit"]);
}

#[test]
fn commands_complete() {
    let monitor = monitor();
    let complete = |line: &str| Hmp::complete(line, &monitor.services.words);
    assert_eq!(complete("replay_s"), ["replay_seek"]);
    assert_eq!(complete("info re"), ["info registers", "info replay"]);
}

#[test]
fn dump_guest_memory() {
    check("info dump", "Status: none\n");
    check(
        "dump-guest-memory",
        "dump-guest-memory: filename expected\nTry \"help dump-guest-memory\" for more information\n",
    );
    check(
        "dump-guest-memory -q /dev/null",
        "dump-guest-memory: unsupported option -q\nTry \"help dump-guest-memory\" for more information\n",
    );
    for (arguments, error) in [
        ("-zw /dev/null", "only one of '-z|-l|-s|-w' can be set"),
        ("-z -p /dev/null", "kdump-compressed format doesn't support paging or filter"),
        ("/dev/null 0x1000", "Parameter 'length' is missing"),
        ("/dev/null 0 0", "parameter 'length' expects a non-zero size"),
        ("/dev/null 1024*1024*1024*1024 4096", "dump: no guest memory to dump"),
        ("/nonexistent/x", "Could not create '/nonexistent/x': No such file or directory"),
        ("/dev/full", "dump: failed to save memory: No space left on device"),
    ] {
        check(&format!("dump-guest-memory {arguments}"), &format!("Error: {error}\n"));
    }
    let (mut hmp, mut fake) = (monitor(), Fake::replay());
    assert_eq!(hmp.execute("dump-guest-memory -d /dev/null 0x1000 64*1024", &mut fake), "");
    while hmp.execute("info dump", &mut fake).starts_with("Status: active") {
        std::thread::yield_now();
    }
    assert_eq!(hmp.execute("info dump", &mut fake), "Status: completed\n");
}

#[test]
fn what_enters_the_machine_is_refused_in_a_replay_which_says_how_to_branch() {
    for (line, event) in [
        ("o /b 0x80 1", "PortWrite(PortWrite { port: 128, size: 1, value: 1 })"),
        ("o/h 0x3f8 0x40+1", "PortWrite(PortWrite { port: 1016, size: 2, value: 65 })"),
        ("o 0xcf8 -1", "PortWrite(PortWrite { port: 3320, size: 4, value: 4294967295 })"),
        ("nmi", "Nmi"),
        ("system_reset", "Reset"),
        ("system_powerdown", "PowerButton"),
        ("sendkey a", "Keyboard { scan_codes: [30, 158] }"),
    ] {
        let mut live = Fake::new(Mode::Live);
        assert_eq!(monitor().execute(line, &mut live), "", "{line}");
        assert_eq!(live.told, [event], "{line}");
        let (refused, replay) = on_replay(line);
        assert!(refused.contains("`go_live FILE`"), "{line}: {refused}");
        assert!(replay.told.is_empty());
    }
    check("o", "unexpected end of expression\nTry \"help o\" for more information\n");
    check("o 0x80", "unexpected end of expression\nTry \"help o\" for more information\n");
    check("o/q 0x80 1", "invalid char in format: 'q'\nTry \"help o\" for more information\n");
}
