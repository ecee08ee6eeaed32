//! Conditions: what they mean, and what is said of wrong ones.

use super::{Condition, ConsoleLines, View};
use dejavm_core::boundary::{Images, MachineConfig, Outbound};
use dejavm_core::machine::Machine;

/// An ELF executable for 64-bit mode: one NOP, loaded at 1 MiB.
fn kernel() -> Vec<u8> {
    let mut elf = b"\x7FELF\x02\x01\x01".to_vec();
    elf.resize(121, 0x90);
    elf[7..120].fill(0);
    let mut put = |at: usize, bytes: &[u8]| elf[at..at + bytes.len()].copy_from_slice(bytes);
    put(16, &[2, 0, 62, 0]);
    put(24, &0x10_0000u64.to_le_bytes());
    put(32, &64u64.to_le_bytes());
    put(54, &[56, 0, 1, 0]);
    put(64, &[1, 0, 0, 0, 7, 0, 0, 0]);
    for (at, value) in [(72, 120), (80, 0x10_0000), (88, 0x10_0000), (96, 1), (104, 1u64)] {
        put(at, &value.to_le_bytes());
    }
    elf
}

fn holds(text: &str) -> bool {
    let config = MachineConfig { ram_bytes: 16 << 20, ..MachineConfig::default() };
    let images = Images { kernel: kernel(), initrd: None };
    let mut machine = Machine::new(&config, images).unwrap();
    let mut cpu = machine.vcpus()[0].state.clone();
    cpu.regs[0] = 0x1122_3344_5566_7788;
    cpu.regs[8] = 0xAABB_CCDD_EEFF_0011;
    machine.load_vcpu(0, cpu);
    let condition = Condition::parse(text).unwrap_or_else(|e| panic!("{e}"));
    condition.holds(&View { machine: &machine, matched: &|_| false })
}

fn wrong(text: &str) -> String {
    Condition::parse(text).unwrap_err().to_string()
}

#[test]
fn what_holds() {
    for text in [
        "rax == 0x1122334455667788",
        "eax == 0x55667788 && ax == 0x7788 && al == 0x88 && ah == 0x77",
        "$rax@0 == rax",
        "r8d == 0xeeff0011 && r8w == 0x11 && r8b == 17",
        "rip == 0x10_0000 && [rip]:1 == 0x90",
        "phys[0x100000]:1 == 0x90",
        "[rip]:2 & 0xff == 0x90",
        "1 + 2 * 3 == 7 && (1 + 2) * 3 == 9 && 10 - 4 - 3 == 3",
        "1 << 4 | 1 == 17",
        "-1 == 0xffffffffffffffff && ~0 == -1",
        "'A' == 65 && 0b101 == 5",
        "icount == 0 && ns == 0 && vcpu == 0 && cpl == 0",
        "!(1 == 2) && !0",
        "7 / 2 == 3 && 7 % 4 == 3",
        "rax",
    ] {
        assert!(holds(text), "{text}");
    }
}

#[test]
fn what_does_not_hold() {
    for text in [
        "rax == 0",
        "rax@1 == rax@1",
        "[0xffffffffffff0000] == 0",
        "[0xffffffffffff0000] != 0",
        "phys[0xf000000000]:1 >= 0",
        "1 / 0 == 0",
        "console ~ /x/",
        "0",
    ] {
        assert!(!holds(text), "{text}");
    }
}

#[test]
fn errors_point_at_their_place() {
    assert_eq!(
        wrong("[0x1000]:8 == foo"),
        "'foo' is no register of the CPU, and no other name\n  [0x1000]:8 == foo\n                ^"
    );
    assert_eq!(wrong("rax =="), "the expression ends where a value is expected\n  rax ==\n        ^");
    for (text, message) in [
        ("", "ends where a value is expected"),
        ("rax rbx", "an operator is missing"),
        ("rax = 1", "'=' has no meaning here"),
        ("(rax", "')' is expected"),
        ("[rax", "']' is expected"),
        ("[rax]:3", "a size of 1, 2, 4 or 8"),
        ("0x1ffffffffffffffff", "is no number of at most 64 bits"),
        ("12ab == 1", "is no number"),
        ("console == 1", "'~' and a pattern"),
        ("console ~ panic", "a pattern between slashes"),
        ("console ~ /panic", "a slash is missing"),
        ("console ~ /(/", "the pattern is wrong: unclosed group"),
        ("rax@rbx", "the number of a vCPU"),
        ("rax@64", "the number of a vCPU"),
        ("phys 5", "'[' is expected"),
    ] {
        assert!(wrong(text).contains(message), "{}", wrong(text));
    }
    assert!(wrong(&"(".repeat(1000)).contains("nested too deeply"));
    assert!(wrong(&"!".repeat(1000)).contains("nested too deeply"));
    assert!(wrong("é == 1").contains("has no meaning"));
}

#[test]
fn the_console_is_looked_at_line_by_line() {
    let condition = Condition::parse(r"console ~ /^b.r$/ || console2 ~ /a\/b/").unwrap();
    let matched = |port: u8, text: &str| {
        let mut lines = ConsoleLines::default();
        for byte in text.bytes() {
            lines.take(&Outbound::Serial { port, byte }, condition.patterns());
        }
        [lines.matched(0), lines.matched(1)]
    };
    assert_eq!(matched(0, "foo\nbar\nfoo"), [true, false]);
    assert_eq!(matched(0, "foo bar"), [false, false]);
    assert_eq!(matched(1, "bar"), [false, false]);
    assert_eq!(matched(1, "xa/b"), [false, true]);
}

#[test]
fn what_the_console_demands_bounds_the_search() {
    let earliest = |text: &str| {
        let condition = Condition::parse(text).unwrap();
        condition.earliest(&|pattern| [Some(100), None].get(pattern).copied().flatten())
    };
    assert_eq!(earliest("rax == 1"), Some(0));
    assert_eq!(earliest("console ~ /a/"), Some(100));
    assert_eq!(earliest("console ~ /a/ && rax == 1"), Some(100));
    assert_eq!(earliest("console ~ /a/ || rax == 1"), Some(0));
    assert_eq!(earliest("console ~ /a/ || console ~ /b/"), Some(100));
    assert_eq!(earliest("console ~ /a/ && console ~ /b/"), None);
    assert_eq!(earliest("!(console ~ /a/)"), Some(0));
}
