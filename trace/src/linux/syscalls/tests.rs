//! Decoding of what lies in a small guest.

use super::super::fake::Fake;
use super::table::kinds;
use super::*;

const AT: u64 = 0x40_0000;

fn guest() -> Fake {
    let mut fake = Fake::new(1 << 20);
    fake.map(AT, 0x8_0000, 0x2000);
    fake.put(0x8_0000, b"/etc/passwd\0hello\nworld");
    fake.put(0x8_0100, &[AT, AT + 6, 0].map(u64::to_le_bytes).concat());
    fake.put(0x8_0200, &[AT + 12, 5, AT + 18, 5].map(u64::to_le_bytes).concat());
    fake.put(0x8_0300, &[3u32, 4].map(u32::to_le_bytes).concat());
    fake.put(0x8_0400, &[2, 0, 0, 80, 127, 0, 0, 1]);
    fake
}

fn shown(number: u64, arguments: [u64; 6], result: Option<i64>) -> String {
    let fake = guest();
    let space = Space::of_cpu(&fake, &fake.cpus[0]);
    let call = Call { space, abi: Abi::X86_64, arguments, result };
    let kinds = kinds(Abi::X86_64, number);
    let texts: Vec<String> = (0..kinds.len())
        .filter(|n| !call.leaves_out(*n, kinds))
        .map(|n| call.argument(n, kinds[n]))
        .collect();
    format!("{}({})", syscall_name(Abi::X86_64, number), texts.join(", "))
}

#[test]
fn calls_look_as_strace_shows_them() {
    let minus = |n: i32| i64::from(-n) as u64;
    for (number, arguments, result, expected) in [
        (
            257,
            [minus(100), AT, 0o2_000_000, 0o666, 0, 0],
            3,
            r#"openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC)"#,
        ),
        (
            257,
            [minus(100), AT, 0o101, 0o644, 0, 0],
            3,
            r#"openat(AT_FDCWD, "/etc/passwd", O_WRONLY|O_CREAT, 0644)"#,
        ),
        (1, [1, AT + 12, 6, 0, 0, 0], 6, r#"write(1, "hello\n", 6)"#),
        (0, [0, AT + 12, 100, 0, 0, 0], 5, r#"read(0, "hello", 100)"#),
        (0, [0, AT + 12, 100, 0, 0, 0], -11, "read(0, 0x40000c, 100)"),
        (
            59,
            [AT, AT + 0x100, AT + 0x100, 0, 0, 0],
            0,
            r#"execve("/etc/passwd", ["/etc/passwd", "asswd"], 0x400100 /* 2 vars */)"#,
        ),
        (
            20,
            [1, AT + 0x200, 2, 0, 0, 0],
            10,
            r#"writev(1, [{iov_base="hello", iov_len=5}, {iov_base="world", iov_len=5}], 2)"#,
        ),
        (22, [AT + 0x300, 0, 0, 0, 0, 0], 0, "pipe([3, 4])"),
        (
            42,
            [3, AT + 0x400, 8, 0, 0, 0],
            0,
            r#"connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("127.0.0.1")}, 8)"#,
        ),
        (12, [0; 6], 0x1000, "brk(NULL)"),
        (
            9,
            [0, 4096, 3, 0x22, minus(1), 0],
            0x1000,
            "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)",
        ),
        (2, [0x1234, 0, 0, 0, 0, 0], -14, "open(0x1234, O_RDONLY)"),
        (999, [1, 0, 0, 0, 0, 0], -38, "syscall_0x3e7(0x1, 0, 0, 0, 0, 0)"),
    ] {
        assert_eq!(shown(number, arguments, Some(result)), expected);
    }
    assert_eq!(shown(0, [0, AT, 9, 0, 0, 0], None), "read(0, 0x400000, 9)", "it has not returned");
}

#[test]
fn addresses_that_lead_nowhere_are_shown_as_such() {
    for number in 0..470 {
        for value in [0, 1, AT + 0x1FFF, u64::MAX, u64::MAX - 7, 1 << 47, 1 << 63, 0xFFFF_FFFF] {
            for result in [None, Some(0), Some(-1), Some(i64::MAX), Some(i64::MIN)] {
                assert!(!shown(number, [value; 6], result).is_empty());
            }
        }
    }
}
